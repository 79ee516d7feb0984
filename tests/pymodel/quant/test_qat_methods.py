"""Each QAT method's distinctive step against its paper's formula, on small tensors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pymodel.errors import ConfigError
from pymodel.quant import METHODS, ActivationQuantizer, TensorQuantizer, fake_quantize, round_half_up
from pymodel.quant._feature_linear import feature_linear
from pymodel.quant._lsq_linear import LsqBranch, lsq_facts, lsq_linear
from pymodel.quant.qat import (
    DorefaWeights,
    DsqActivations,
    DsqWeights,
    FixedActivations,
    LsqPlusWeights,
    PactActivations,
    QilWeights,
    soft_staircase,
    staircase_stiffness,
)
from pymodel.settings import PTQ_METHODS, QAT_METHODS, QuantizeSettings

WEIGHTS = (TensorQuantizer, LsqPlusWeights, DorefaWeights, QilWeights, DsqWeights)


def weights(rows: int = 6) -> Tensor:
    return torch.randn(rows, 5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 0.3


def test_the_registry_has_the_names_of_the_configuration() -> None:
    assert set(METHODS) == {*QAT_METHODS, *PTQ_METHODS}
    for name, method in METHODS.items():
        assert method.post_training == QuantizeSettings(method=name).post_training == (name in PTQ_METHODS)


def test_settings_resolve_what_the_method_decides() -> None:
    assert (QuantizeSettings().granularity, QuantizeSettings().coder) == ("tensor", None)
    assert (QuantizeSettings(method="gptq").granularity, QuantizeSettings(method="gptq").coder) == ("channel", "output")
    assert QuantizeSettings(method="percentile").coder == "percentile"
    for changes, what in (
        ({"method": "gtpq"}, "quantize.method"),
        ({"granularity": "row"}, "quantize.granularity"),
        ({"method": "mse", "coder": "best"}, "quantize.coder"),
        ({"method": "dsq", "edge": 4}, "quantize.edge"),
        ({"method": "awq", "implementation": "arith"}, "awq scales the basis ROM"),
    ):
        with pytest.raises(ConfigError, match=what):
            QuantizeSettings(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [None, 6])
@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_are_levels_times_a_step_and_zeros_stay(kind: type[TensorQuantizer], bits: int, channels: int | None):
    q = kind(bits, channels=channels)
    w = weights()
    w[2, 1:3] = 0.0
    q.calibrate(w)
    levels = q.integers(w)
    assert int(levels.abs().max()) <= (1 << (bits - 1)) - 1
    assert not levels[2, 1:3].any()
    torch.testing.assert_close(q(w).double(), levels * q.step_for(w).double(), rtol=1e-6, atol=0)
    parameters = [p for p in q.parameters() if p.requires_grad]
    leaf = w.clone().requires_grad_()
    gradients = torch.autograd.grad(q(leaf).pow(3).sum(), [leaf, *parameters])
    assert all(bool(torch.isfinite(g).all()) for g in gradients)
    assert float(gradients[0].abs().sum()) > 0


def test_lsq_gradient_scale() -> None:
    """g = 1 / sqrt(N Q_P) (Esser et al., section 2.2), per tensor and per output."""
    w, step = weights(), torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    fake_quantize(w, step, -7, 7).sum().backward()
    v = w / 0.1
    by_step = torch.where(v.abs() < 7.5, round_half_up(v) - v, v.sign() * 7)
    torch.testing.assert_close(step.grad, by_step.sum() / math.sqrt(w.numel() * 7))
    steps = torch.full((6, 1, 1), 0.1, dtype=torch.float64, requires_grad=True)
    fake_quantize(w, steps, -7, 7).sum().backward()
    torch.testing.assert_close(steps.grad.flatten(), by_step.sum(dim=(1, 2)) / math.sqrt(20 * 7))


def test_lsq_plus_starts_at_three_sigma() -> None:
    """Section 3.2: max(|mu - 3 sigma|, |mu + 3 sigma|) / 2^(b-1), without the zeros of removed edges."""
    w = weights() + 0.05
    q = LsqPlusWeights(4)
    q.calibrate(torch.cat((w, torch.zeros(3, 5, 4, dtype=torch.float64))))
    mean, deviation = float(w.mean()), float(w.std(correction=0))
    assert float(q.step.detach()) == pytest.approx(
        max(abs(mean - 3 * deviation), abs(mean + 3 * deviation)) / 8, rel=1e-6
    )


def _layer(coder: ActivationQuantizer, x: Tensor) -> Tensor:
    """Return what a layer with the table `[0, v]` and weight 1 gets from codes of `x`: the representatives' sum."""
    step, low = coder.scaled(1) if not isinstance(coder, PactActivations) else (coder.step, coder.low)
    step, low = coder.step, coder.low
    u = coder.shaped((x - low) / step, step)
    codes = torch.arange(coder.n_codes, dtype=x.dtype)
    table = torch.stack((torch.zeros_like(codes), (low + step * codes).detach()), dim=1)
    slopes = torch.tensor([[0.0, 1.0]], dtype=x.dtype).expand(coder.n_codes, 2)
    weight = torch.ones(1, x.shape[1], 2, dtype=x.dtype)
    return feature_linear(u, step, low, weight, table, slopes).squeeze(1)


def test_lsq_plus_offset_gradient() -> None:
    """Equations 5 and 6: by the offset 0 inside and 1 outside; by the step the residual inside, the level outside."""
    coder = ActivationQuantizer(2).double()
    coder.set_range(-1.0, 0.5)
    for value, by_low, by_step in ((-0.3, 0.0, 1 - 1.4), (0.1, 0.0, 2 - 2.2), (-4.0, 1.0, 0.0), (4.0, 1.0, 3.0)):
        y = _layer(coder, torch.tensor([[value]], dtype=torch.float64))
        low, log_step = torch.autograd.grad(y.sum(), [coder.low, coder.log_step])
        assert float(low) == pytest.approx(by_low, abs=1e-12)
        assert float(log_step) / 0.5 == pytest.approx(by_step, abs=1e-12)


def test_pact_ends_learn_from_what_lies_beyond_them() -> None:
    """Equation 3: dy/d alpha is 1 for x >= alpha and 0 otherwise; the lower end likewise; straight through inside."""
    coder = PactActivations(3).double()
    coder.set_range(-1.0, 0.25)
    assert float(coder.high.detach()) == pytest.approx(0.75)
    for value, by_low, by_high, by_x in ((-0.4, 0, 0, 1), (0.6, 0, 0, 1), (-3.0, 1, 0, 0), (3.0, 0, 1, 0)):
        x = torch.tensor([[float(value)]], dtype=torch.float64, requires_grad=True)
        found = torch.autograd.grad(_layer(coder, x).sum(), [coder.low, coder.high, x])
        assert [float(g) for g in found] == pytest.approx([by_low, by_high, by_x], abs=1e-12)


def test_dorefa_is_the_normalised_tanh() -> None:
    """Equation 9's t = tanh(w) / max|tanh(w)|, on the symmetric lattice; its gradient straight through the rounding."""
    w = weights().requires_grad_()
    q = DorefaWeights(4).double()
    q.calibrate(w)
    t = torch.tanh(w) / torch.tanh(w).abs().max()
    assert torch.equal(q.integers(w), round_half_up(7 * t).long())
    (got,) = torch.autograd.grad(q(w).sum(), w)
    (want,) = torch.autograd.grad((7 * t * q.step.detach()).sum(), w)
    torch.testing.assert_close(got, want)
    assert not FixedActivations(4).low.requires_grad


def test_qil_prunes_below_its_interval_and_clips_above() -> None:
    """Equations 2 to 4 with c = 0.5, d = 0.3, gamma = 2 at 4 bits."""
    q = QilWeights(4).double()
    with torch.no_grad():
        q.ratio.fill_(0.5 / 0.3)
        q.log_distance.fill_(math.log(0.3))
        q.log_gamma.fill_(math.log(2.0))
    w = torch.tensor([-0.9, -0.81, -0.5, -0.19, 0.0, 0.1, 0.21, 0.4, 0.65, 0.79, 2.0], dtype=torch.float64)
    alpha, beta = 0.5 / 0.3, -0.5 * 0.5 / 0.3 + 0.5
    inner = (alpha * w.abs() + beta).clamp(0.0, 1.0) ** 2
    inner = torch.where(w.abs() < 0.2, 0.0, torch.where(w.abs() > 0.8, 1.0, inner))
    torch.testing.assert_close(q.soft(w).detach(), w.sign() * inner * 7, rtol=1e-5, atol=1e-5)
    leaf = w.clone().requires_grad_()
    by_w, by_ratio, by_distance, by_gamma = torch.autograd.grad(
        q(leaf).sum(), [leaf, q.ratio, q.log_distance, q.log_gamma]
    )
    inside = (w.abs() > 0.2) & (w.abs() < 0.8)
    assert torch.equal(by_w != 0, inside)
    scale = 7 * q.step.detach() * inside * w.sign()
    t = alpha * w.abs() + beta
    torch.testing.assert_close(by_ratio, (scale * 2 * t * -0.5).sum())
    torch.testing.assert_close(by_gamma, 2 * torch.where(inside, scale * t**2 * t.clamp_min(1e-9).log(), 0.0).sum())
    torch.testing.assert_close(by_distance, (scale * 2 * t * (-0.5 * w.abs() / 0.3)).sum())


def test_dsq_is_a_tanh_between_two_levels() -> None:
    """Equations 5, 7, 8 and 9: phi = s tanh(k (x - m)), s = 1 / tanh(k Delta / 2), k = log(2 / alpha - 1) / Delta."""
    alpha = torch.tensor(0.2, dtype=torch.float64)
    s, stiffness = staircase_stiffness(alpha)
    assert float(s) == pytest.approx(1 / math.tanh(float(stiffness) / 2))
    x = torch.linspace(-4.2, 4.2, 61, dtype=torch.float64)
    got = soft_staircase(x, alpha, -3, 3)
    for value, y in zip(x.tolist(), got.tolist(), strict=True):
        v = min(max(value, -3.0), 3.0)
        i = min(math.floor(v), 2)
        phi = math.tanh(math.log(2 / 0.2 - 1) * (v - (i + 0.5))) / math.tanh(0.5 * math.log(2 / 0.2 - 1))
        assert y == pytest.approx(i + (phi + 1) / 2, abs=1e-12)
    w = weights()
    q = DsqWeights(3).double()
    q.calibrate(w)
    assert torch.equal(q.integers(w), round_half_up(w / q.step.detach()).clamp(-3, 3).long())
    leaf = w.clone().requires_grad_()
    (by_w,) = torch.autograd.grad(q(leaf).sum(), leaf)
    v = w / q.step.detach()
    f = v - torch.floor(v) - 0.5
    slope = 0.5 * s * stiffness / torch.cosh(stiffness * f) ** 2 * (v.abs() < 3)
    torch.testing.assert_close(by_w, slope)


def test_dsq_codes_have_the_staircase_s_slope() -> None:
    coder = DsqActivations(3).double()
    coder.set_range(-1.0, 0.25)
    x = torch.tensor([[-0.4]], dtype=torch.float64, requires_grad=True)
    (by_x,) = torch.autograd.grad(_layer(coder, x).sum(), x)
    s, stiffness = staircase_stiffness(torch.tensor(0.2, dtype=torch.float64))
    f = 0.6 / 0.25 - 2 - 0.5
    assert float(by_x) == pytest.approx(float(0.5 * s * stiffness) / math.cosh(float(stiffness) * f) ** 2, rel=1e-6)


def test_the_general_product_is_the_fused_one() -> None:
    torch.manual_seed(0)
    double = torch.float64
    u = torch.rand(20, 3, dtype=double) * 9 - 1
    step, low = (
        torch.tensor(0.4, dtype=double, requires_grad=True),
        torch.tensor(-1.0, dtype=double, requires_grad=True),
    )
    base, spline = torch.randn(2, 3, dtype=double), torch.randn(2, 3, 4, dtype=double)
    table, slopes = torch.randn(8, 5, dtype=double), torch.randn(8, 5, dtype=double)
    leaves = [t.requires_grad_() for t in (u, base, spline)] + [step, low]
    steps = [torch.tensor(s, dtype=double) for s in (0.3, 0.2)]
    mask = torch.tensor([[True, False, True], [True, True, True]])
    branches = [LsqBranch(float(s), 7, 1.0, w.numel()) for s, w in zip(steps, (base, spline), strict=True)]
    facts = lsq_facts(branches[0], branches[1], torch.tensor([0, 1, 1, 1, 1]), base.detach())
    logs = steps[0].log(), steps[1].log()
    fused = lsq_linear(u, step, low, (base, spline), logs, mask, facts, (table, slopes))
    weight = torch.cat((fake_quantize(base * mask, steps[0], -7, 7).unsqueeze(-1),
                        fake_quantize(spline * mask[..., None], steps[1], -7, 7)), dim=-1)  # fmt: skip
    general = feature_linear(u, step, low, weight, table, slopes)
    per_input = feature_linear(u, step, low, weight, table.expand(3, 8, 5), slopes.expand(3, 8, 5))
    upstream = torch.randn(20, 2, dtype=double)
    want = torch.autograd.grad((fused * upstream).sum(), leaves, retain_graph=True)
    for y in (general, per_input):
        torch.testing.assert_close(y, fused)
        for a, b in zip(torch.autograd.grad((y * upstream).sum(), leaves, retain_graph=True), want, strict=True):
            torch.testing.assert_close(a, b)
