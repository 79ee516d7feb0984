"""Each PTQ method's distinctive step against its paper's formula, on small tensors."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from pymodel.errors import ConfigError, ModelError
from pymodel.layers import EfficientKAN, FastKAN, build_kan
from pymodel.quant import InputQuantizer, TensorQuantizer, best_steps, covering_range, post_training, quantize_model
from pymodel.quant._functions import round_half_up
from pymodel.quant.ptq import (
    RoundingWeights,
    allocate_bits,
    awq_scales,
    gptq_levels,
    hutchinson_trace,
    least_squares_update,
    output_range,
    rectified_sigmoid,
    rounding_penalty,
    sensitivities,
)
from pymodel.quant.ptq._adaround import learn_rounding
from pymodel.quant.ptq._brecq import fisher
from pymodel.quant.ptq._hawq import BITS, Sensitivity, divergence
from pymodel.settings import QuantizeSettings

DOUBLE = torch.float64


def problem(seed: int, width: int = 7) -> tuple[Tensor, Tensor]:
    """Return one output's weights (1, K) in units of its step, and a Hessian with strong correlations."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(40, width, generator=g, dtype=DOUBLE)
    x[:, 1:] += 1.5 * x[:, :1]
    return torch.randn(1, width, generator=g, dtype=DOUBLE) * 1.5, x.T @ x


def loss(w: Tensor, q: Tensor, h: Tensor) -> float:
    return float(((w - q) @ h * (w - q)).sum())


def optimal(w: Tensor, h: Tensor, high: int) -> float:
    levels = torch.tensor(list(itertools.product(range(-high, high + 1), repeat=w.shape[1])), dtype=DOUBLE)
    difference = levels - w
    return float(((difference @ h) * difference).sum(dim=1).min())


def test_gptq_comes_close_to_brute_force_and_beats_rounding() -> None:
    gaps, wins = [], 0
    for seed in range(12):
        w, h = problem(seed)
        levels = gptq_levels(w, h, torch.ones(1, 1, dtype=DOUBLE), torch.full((7,), 2.0, dtype=DOUBLE), damping=1e-6)
        assert torch.equal(levels, round_half_up(levels))
        assert float(levels.abs().max()) <= 2
        best, found = optimal(w, h, 2), loss(w, levels, h)
        nearest = loss(w, round_half_up(w).clamp(-2, 2), h)
        assert found >= best - 1e-9
        gaps.append(found / nearest)
        wins += found <= nearest + 1e-9
    assert wins >= 10
    assert sum(gaps) / len(gaps) < 0.6


def test_gptq_is_the_obs_update_column_by_column() -> None:
    """Equation 2: after rounding column q, the rest moves by -(w_q - Q(w_q)) / [H^-1]_qq * [H^-1]_q,: of what is left."""
    w, h = problem(3, 5)
    w = w.repeat(2, 1) * torch.tensor([[1.0], [-0.7]], dtype=DOUBLE)
    high = torch.full((5,), 7.0, dtype=DOUBLE)
    step = torch.tensor([[0.5], [0.3]], dtype=DOUBLE)
    damped = h + 0.01 * h.diagonal().mean() * torch.eye(5, dtype=DOUBLE)
    left = torch.argsort(h.diagonal(), descending=True, stable=True).tolist()
    want, moved = torch.empty_like(w), w.clone()
    while left:
        inverse = torch.linalg.inv(damped[left][:, left])
        q = left[0]
        want[:, q] = round_half_up(moved[:, q] / step[:, 0]).clamp(-7, 7)
        error = (moved[:, q] - want[:, q] * step[:, 0]) / inverse[0, 0]
        moved[:, left] -= error.unsqueeze(1) * inverse[0]
        left = left[1:]
    for block in (1, 2, 128):
        assert torch.equal(gptq_levels(w, h, step, high, block=block), want)


def test_gptq_rounds_what_no_row_reaches_to_nearest() -> None:
    w, h = problem(1)
    h[2], h[:, 2] = 0.0, 0.0
    levels = gptq_levels(w, h, torch.ones(1, 1, dtype=DOUBLE), torch.full((7,), 3.0, dtype=DOUBLE))
    assert float(levels[0, 2]) == float(round_half_up(w[0, 2]).clamp(-3, 3))


def test_the_float_update_is_a_ridge_regression() -> None:
    g = torch.Generator().manual_seed(0)
    b, w = torch.randn(50, 4, generator=g, dtype=DOUBLE), torch.randn(2, 4, generator=g, dtype=DOUBLE)
    y = torch.randn(50, 2, generator=g, dtype=DOUBLE)
    got = least_squares_update(w, b.T @ b, y.T @ b, 0.1).requires_grad_()
    ridge = 0.1 * (b.T @ b).diagonal().mean()
    objective = (b @ got.T - y).square().sum() + ridge * (got - w).square().sum()
    (gradient,) = torch.autograd.grad(objective, got)
    assert float(gradient.abs().max()) < 1e-9


def test_adaround_s_sigmoid_and_penalty() -> None:
    """Equations 23 and 24, and V's start: h(V) is the weight's fraction."""
    v = torch.linspace(-6, 6, 25, dtype=DOUBLE)
    want = [min(max(1.2 / (1 + math.exp(-x)) - 0.1, 0.0), 1.0) for x in v.tolist()]
    torch.testing.assert_close(rectified_sigmoid(v), torch.tensor(want, dtype=DOUBLE))
    h = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=DOUBLE)
    assert float(rounding_penalty(h, 3.0)) == pytest.approx(0 + (1 - 0.5**3) + 1 + 0)
    w = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)) * 0.2
    w[1, 2] = 0.0
    q = TensorQuantizer(3)
    q.calibrate(w)
    soft = RoundingWeights(q, w)
    inside = (w / q.step.detach()).abs() < 3
    torch.testing.assert_close(soft(w).detach()[inside], w[inside], atol=1e-3, rtol=0)
    assert torch.equal(soft.levels()[inside], q.integers(w)[inside].float())
    assert float(soft(w).detach()[1, 2]) == 0.0


def test_adaround_finds_what_brute_force_finds() -> None:
    better = 0
    for seed in range(3):
        w, h = problem(seed, 6)
        q = TensorQuantizer(4)
        q.set_step(1.0)
        soft = RoundingWeights(q, w.float())

        def error(rows: Tensor, soft: RoundingWeights = soft, w: Tensor = w, h: Tensor = h) -> Tensor:
            difference = soft(w) - w
            return (difference @ h * difference).sum()

        learn_rounding([soft], error, 16, steps=250)
        floors = torch.floor(w)
        choices = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=DOUBLE) + floors
        best = min(loss(w, c.unsqueeze(0), h) for c in choices.clamp(-7, 7))
        found = loss(w, soft.levels().double(), h)
        nearest = loss(w, round_half_up(w), h)
        assert found <= nearest + 1e-9
        better += found <= 1.5 * best + 1e-9
    assert better >= 2


def test_fisher_of_a_softmax_and_of_one_output() -> None:
    torch.manual_seed(0)
    z = torch.randn(4000, 3)
    p = torch.softmax(z, dim=1)
    weight = fisher([], z)
    assert float(weight.mean()) == pytest.approx(1.0, abs=1e-4)
    want = (p * (1 - p)).mean(dim=0)
    torch.testing.assert_close(weight.mean(dim=0), want / want.mean(), atol=0.1, rtol=0)
    # Behind a linear layer with one output: the squared weights.
    last = nn.Linear(3, 1)
    got = fisher([last], z)
    square = last.weight.detach().square().expand_as(got)
    torch.testing.assert_close(got, square / square.mean(), rtol=1e-3, atol=0)


def test_hutchinson_s_trace_is_the_hessian_s() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(3, 2, dtype=DOUBLE, requires_grad=True), torch.randn(4, dtype=DOUBLE, requires_grad=True)

    def value(a: Tensor, b: Tensor) -> Tensor:
        return torch.sin(a).pow(2).sum() * b.cos().sum() + (a[0, 0] * b[1]) ** 3

    hessian = torch.autograd.functional.hessian(value, (a, b))
    exact = [float(hessian[k][k].reshape(n, n).trace()) for k, n in ((0, 6), (1, 4))]
    got = hutchinson_trace(lambda: value(a, b), [a, b], 1000, torch.Generator().manual_seed(0))
    assert got == pytest.approx(exact, rel=0.1, abs=0.6)
    # A diagonal Hessian needs one probe: v_i^2 = 1.
    (one,) = hutchinson_trace(lambda: a.pow(4).sum(), [a], 1, torch.Generator().manual_seed(1))
    assert one == pytest.approx(float(12 * a.detach().square().sum()), rel=1e-5)


def test_the_loss_behind_the_traces_has_the_model_s_hessian() -> None:
    """For a twice differentiable family the trace of every branch, by automatic differentiation of the float model."""
    torch.manual_seed(0)
    model = FastKAN([2, 2, 2], grid=3).double()
    x = torch.rand(64, 2, dtype=DOUBLE) * 4 - 2
    own = torch.softmax(model(x).detach(), dim=1)
    names = [f"layers.{k}.{name}" for k in (0, 1) for name in ("base_weight", "spline_weight")]

    def value(*weights: Tensor) -> Tensor:  # the layers themselves are differentiable once
        y = x
        for k, layer in enumerate(model.kan_layers()):
            weight = torch.cat((weights[2 * k].unsqueeze(-1), weights[2 * k + 1]), dim=-1)
            y = nn.functional.linear(layer.functions.features(y).flatten(1), weight.flatten(1), layer.bias)
        return nn.functional.cross_entropy(y, own)

    weights = tuple(model.get_parameter(name).detach() for name in names)
    hessian = torch.autograd.functional.hessian(value, weights)
    quantized = quantize_model(model, QuantizeSettings(method="hawq_v2")).double()
    loss, parameters = divergence(quantized, x)
    for k, p in enumerate(parameters):
        trace = 0.0
        for index in range(p.numel()):  # what a probe along one weight gives
            ends = []
            for by in (1e-4, -1e-4):
                with torch.no_grad():
                    p.view(-1)[index] += by
                ends.append(float(torch.autograd.grad(loss(), p)[0].view(-1)[index]))
                with torch.no_grad():
                    p.view(-1)[index] -= by
            trace += (ends[0] - ends[1]) / 2e-4
        n = p.numel()
        assert trace == pytest.approx(float(hessian[k][k].reshape(n, n).trace()), rel=1e-5)
    for k, branch in enumerate(sensitivities(quantized, x)):
        assert (branch.layer, branch.branch, branch.weights) == (k // 2, ("base", "spline")[k % 2], weights[k].numel())
        assert branch.errors[2] > branch.errors[4] > branch.errors[8]


def test_bits_go_where_they_matter_within_the_budget() -> None:
    errors = {bits: 4.0**-bits for bits in BITS}
    branches = [Sensitivity(0, "base", 100.0, 10, errors), Sensitivity(0, "spline", 1.0, 100, errors)]
    for mean in (2, 3, 4):
        budget = 110 * mean
        bits = allocate_bits(branches, budget)
        spent = sum(b.weights * n for b, n in zip(branches, bits, strict=True))
        assert spent <= budget
        choices = [c for c in itertools.product(BITS, repeat=2) if 10 * c[0] + 100 * c[1] <= budget]
        cost = min(sum(b.cost(n) for b, n in zip(branches, c, strict=True)) for c in choices)
        assert sum(b.cost(n) for b, n in zip(branches, bits, strict=True)) == pytest.approx(cost)
    assert allocate_bits(branches, 330)[0] > 3


def test_awq_scales_are_normalised_powers_of_two() -> None:
    activity = torch.tensor([0.5, 0.1, 0.0, 0.02])
    assert awq_scales(activity, 0.0) == (1.0,) * 4
    s = awq_scales(activity, 1.0)
    assert all(math.log2(v).is_integer() for v in s)
    exact = activity.clamp_min(0.02) / (0.5 * 0.02) ** 0.5
    assert all(abs(math.log2(v / float(e))) <= 0.5 + 1e-9 for v, e in zip(s, exact, strict=True))
    assert awq_scales(torch.zeros(3), 0.5) == (1.0, 1.0, 1.0)


def test_output_range_ignores_what_the_basis_cannot_see() -> None:
    """Gaussians on [-2, 2] without a base branch: inputs far outside must not cost codes."""
    torch.manual_seed(0)
    layer = next(FastKAN([1, 4], grid=5, activation="zero").kan_layers())
    x = torch.cat((torch.linspace(-2, 2, 400), torch.linspace(-30, 30, 200)))[:, None]
    with torch.no_grad():
        target = layer(x)
    low, step = output_range(lambda points, codes: layer(points.float()[codes]), x, target, 8)
    assert low > -4.0
    assert low + 7 * step < 4.0
    assert covering_range(x, 8) == (-30.0, pytest.approx(60 / 7))
    percentile = covering_range(x, 8, 0.1)
    assert percentile[0] == pytest.approx(-12.3, abs=0.5)


def test_steps_per_row_are_each_row_s_best() -> None:
    v = torch.randn(3, 500, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([[1.0], [9.0], [0.01]])
    steps = best_steps(v, 3)
    for row, step in zip(v, steps.tolist(), strict=True):

        def error(s: float, row: Tensor = row) -> float:
            return float((row - s * round_half_up(row / s).clamp(-3, 3)).square().sum())

        assert error(step) <= min(error(step * f) for f in (0.8, 1.25)) + 1e-12
    heavy = torch.zeros(500).double()
    heavy[0] = 1.0
    assert float(best_steps(v[:1], 3, heavy)[0]) != pytest.approx(float(steps[0]))


def test_the_input_s_codes_can_stand_for_what_they_mean() -> None:
    q = InputQuantizer(2, 8, (-2.0, 2.0))
    x = torch.cat((torch.full((900,), -2.0), torch.linspace(-2, 1.9, 100)))
    before = q.low.clone()
    q.fit(x)
    assert float(q.low) < float(before) - 0.2  # code 0 stands for black, not for the middle of its bin
    with pytest.raises(ModelError, match="NaN"):
        q.fit(torch.tensor([float("nan")]))


def test_methods_of_training_are_refused() -> None:
    with pytest.raises(ConfigError, match="the method dsq trains"):
        post_training(EfficientKAN([2, 2]), QuantizeSettings(method="dsq"), torch.zeros(4, 2))


@pytest.mark.parametrize("family", ["efficient_kan", "kagn"])
def test_better_methods_have_smaller_errors(family: str) -> None:
    torch.manual_seed(0)
    norm = "batch" if family == "kagn" else "none"
    model = build_kan(family, (5, 8, 3), grid=5, order=3, range=(-2.0, 2.0), norm=norm)
    x = torch.rand(400, 5) * 4 - 2
    model(x)
    model.eval()
    with torch.no_grad():
        wanted = model(x)
        errors = {
            method: float(
                (post_training(model, QuantizeSettings(method=method, basis=8), x)(x) - wanted).square().mean()
            )
            for method in ("minmax", "mse", "gptq", "adaround", "awq")
        }
    assert errors["gptq"] < errors["mse"] < 1.2 * errors["minmax"]
    assert errors["adaround"] < errors["minmax"]
    assert errors["awq"] < 1.2 * errors["mse"]
