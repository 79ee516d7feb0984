"""Straight-through functions and quantizer modules: what goes forward, and LSQ's gradients back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pymodel.errors import ConfigError, ModelError
from pymodel.ir import FixedPoint
from pymodel.layers import EfficientKANLinear
from pymodel.quant import (
    ActivationQuantizer,
    InputQuantizer,
    TensorQuantizer,
    best_range,
    best_step,
    fake_quantize,
    replace,
    round_half_up,
    scale_gradient,
)
from pymodel.quant._lsq_linear import LsqBranch, emit, lsq_facts, lsq_linear
from pymodel.quant._ste import edge_linear
from pymodel.quant._tables import code_tables


def ste_round(x: Tensor) -> Tensor:
    return x + (round_half_up(x) - x).detach()


def test_replace_and_scale_gradient() -> None:
    soft = torch.tensor([1.0, 2.0], requires_grad=True)
    hard = torch.tensor([5.0, 7.0])
    y = replace(soft, hard)
    assert torch.equal(y, hard)
    (scale_gradient(y, 0.5) * torch.tensor([1.0, 3.0])).sum().backward()
    assert soft.grad.tolist() == [0.5, 1.5]


def test_lsq_gradients_are_the_paper_s() -> None:
    w = torch.linspace(-3, 3, 41, dtype=torch.float64, requires_grad=True)
    step = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    upstream = torch.sin(torch.arange(41, dtype=torch.float64))
    y = fake_quantize(w, step, -7, 7)
    (y * upstream).sum().backward()
    v = w.detach() / 0.3
    expected = round_half_up(v).clamp(-7, 7) * 0.3
    torch.testing.assert_close(y.detach(), expected)
    inside = (v > -7.5) & (v < 7.5)
    by_step = torch.where(inside, round_half_up(v) - v, v.sign() * 7)
    torch.testing.assert_close(w.grad, upstream * inside)
    torch.testing.assert_close(step.grad, (by_step * upstream).sum() / math.sqrt(41 * 7))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_tensor_quantizer_levels(bits: int) -> None:
    q = TensorQuantizer(bits)
    w = torch.randn(200)
    q.calibrate(w)
    levels = q.integers(w)
    top = (1 << (bits - 1)) - 1
    assert int(levels.min()) >= -top
    assert int(levels.max()) <= top
    assert torch.equal(q(w), levels * q.step)
    assert torch.equal(q(torch.zeros(3)), torch.zeros(3))
    full = TensorQuantizer(bits, symmetric=False)
    assert int(full.integers_at(torch.tensor([-1e9]), torch.tensor(1.0))) == -top - 1


def test_calibration_ignores_removed_edges_and_survives_none() -> None:
    q = TensorQuantizer(4)
    w = torch.randn(500)
    q.calibrate(w)
    step = float(q.step.detach())
    q.calibrate(torch.cat((w, torch.zeros(100_000))))
    assert float(q.step.detach()) == pytest.approx(step)
    q.calibrate(torch.zeros(5))
    assert float(q.step.detach()) > 0


def test_best_step_beats_its_neighbours() -> None:
    w = torch.randn(4000, generator=torch.Generator().manual_seed(0)).double()

    def error(step: float) -> float:
        return float((w - step * round_half_up(w / step).clamp(-7, 7)).square().sum())

    step = best_step(w, 7)
    extent = float(w.abs().max())
    assert error(step) <= min(error(extent / 7), error(step * 1.1), error(step * 0.9))


@pytest.mark.parametrize("n_codes", [2, 4, 16, 256])
def test_best_range_beats_the_full_range(n_codes: int) -> None:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0)).double()
    x[0] = 40.0  # an outlier

    def error(low: float, step: float) -> float:
        codes = round_half_up((x[1:] - low) / step).clamp(0, n_codes - 1)
        return float((x[1:] - (low + step * codes)).square().sum())

    low, step = best_range(x, n_codes)
    full = float(x.max() - x.min()) / (n_codes - 1)
    assert error(low, step) <= error(float(x.min()), full)


def test_best_range_of_a_constant_and_of_nothing() -> None:
    low, step = best_range(torch.full((10,), 3.0), 16)
    assert step > 0
    assert low <= 3.0 <= low + 15 * step
    assert best_range(torch.zeros(0), 4)[1] > 0


@pytest.mark.parametrize("find", [best_step, best_range])
def test_calibration_refuses_non_finite_data(find) -> None:
    with pytest.raises(ModelError, match="NaN or infinity"):
        find(torch.tensor([1.0, float("nan")]), 4)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((-2.0, 2.0), FixedPoint(8, 2, signed=True)),
        ((-1.0, 1.0), FixedPoint(8, 1, signed=True)),
        ((-2.0, 2.1), FixedPoint(8, 3, signed=True)),
        ((-0.3, 0.1), FixedPoint(8, 0, signed=True)),
        ((0.0, 1.0), FixedPoint(8, 1, signed=True)),
    ],
)
def test_input_type_covers_the_range(bounds: tuple[float, float], expected: FixedPoint) -> None:
    assert InputQuantizer(4, 8, bounds).in_type == expected


@pytest.mark.parametrize(("bits", "width"), [(1, 1), (1, 8), (4, 8), (6, 6), (8, 10)])
def test_input_codes_are_a_bit_slice(bits: int, width: int) -> None:
    q = InputQuantizer(bits, width, (-2.0, 2.0))
    t = q.in_type
    X = np.arange(t.min_int, t.max_int + 1)
    codes = q.codes(torch.from_numpy(t.to_real(X)))
    coder = q.coder()
    assert np.array_equal(codes.numpy(), coder.codes(X[:, None])[:, 0])
    assert np.array_equal(codes.numpy(), (X - t.min_int) >> (width - bits))
    # A representative is the centre of its bin.
    for c, x in enumerate(coder.representatives):
        assert x == t.to_real(X[codes.numpy() == c]).mean()


def test_input_needs_as_many_bits_as_the_code() -> None:
    with pytest.raises(ConfigError, match=r"quantize\.input is 4"):
        InputQuantizer(6, 4, (-2.0, 2.0))


def test_activation_quantizer() -> None:
    q = ActivationQuantizer(4)
    q.calibrate(torch.linspace(-1.0, 2.0, 1000))
    coder = q.coder()
    assert coder.is_identity
    assert coder.n_codes == 16
    assert q.in_type == FixedPoint(4, 4, signed=False)
    assert coder.low == pytest.approx(-1.0, abs=0.15)
    assert coder.low + 15 * coder.step == pytest.approx(2.0, abs=0.15)


# --- a layer's product, against plain autograd on straight-through operations ----------------------------------------


def _problem(order: int, n_codes: int):
    torch.manual_seed(1)
    layer = EfficientKANLinear(3, 2, grid=4, order=order, range=(-2.0, 2.0)).double()
    x = (torch.rand(50, 3, dtype=torch.float64) - 0.5) * 7
    step = torch.tensor(5.0 / n_codes, dtype=torch.float64, requires_grad=True)
    low = torch.tensor(-2.3, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(50, 2, dtype=torch.float64)
    tables = code_tables(layer.functions, -2.3, float(step.detach()), n_codes, 8, torch.zeros((), dtype=torch.float64))
    return layer, x.requires_grad_(), step, low, upstream, tables


def _gradients(y: Tensor, upstream: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    for leaf in leaves:
        leaf.grad = None
    (y * upstream).sum().backward()
    return [leaf.grad.clone() for leaf in leaves]


def table_linear(
    layer: EfficientKANLinear,
    inputs: tuple[Tensor, Tensor, Tensor],
    steps: list[Tensor],
    ratios: tuple[float, float],
    tables: tuple[Tensor, Tensor],
    mask: Tensor | None,
) -> Tensor:
    """`lsq_linear` of the layer's weights with 3 and 7 levels."""
    weights = layer.base_weight, layer.spline_weight
    parts = [
        LsqBranch(float(step.detach()), high, ratio, weight.numel())
        for step, high, ratio, weight in zip(steps, (3, 7), ratios, weights, strict=True)
    ]
    branch = torch.tensor([0] + [1] * layer.n_basis)
    facts = lsq_facts(parts[0], parts[1], branch, layer.base_weight)
    return lsq_linear(*inputs, weights, (steps[0].log(), steps[1].log()), mask, facts, tables)


MASK = torch.tensor([[True, False, True], [True, True, True]])


@pytest.mark.parametrize("n_codes", [2, 16, 64])
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("form", ["branches", "whole", "edges"])
def test_layer_products_have_the_gradients_of_their_definition(form: str, order: int, n_codes: int) -> None:
    layer, x, step, low, upstream, tables = _problem(order, n_codes)
    weights = [layer.base_weight, layer.spline_weight]
    steps = [torch.tensor(s, dtype=torch.float64, requires_grad=True) for s in (0.11, 0.003)]
    leaves = [x, step, low, *weights]
    u = ((x - low) / step).clamp(-0.5, n_codes - 0.5 - 1e-12)
    representative = low + step * ste_round(u)
    v = (x - low) / step
    if form != "edges":
        mask = MASK if form == "branches" else torch.ones_like(MASK)
        leaves += steps
        base = 1.25 * fake_quantize(layer.base_weight * mask, steps[0], -3, 3)
        spline = 0.75 * fake_quantize(layer.spline_weight * mask[..., None], steps[1], -7, 7)
        parameters = {"base_weight": base, "spline_weight": spline}
        expected = torch.func.functional_call(layer, parameters, (representative,))
        pruned = None if form == "whole" else mask
        y = table_linear(layer, (v, step, low), steps, (1.25, 0.75), (tables.exact, tables.slopes), pruned)
    else:
        expected = layer(representative)
        weight = torch.cat((layer.base_weight.unsqueeze(-1), layer.spline_weight), dim=-1)
        functions = tables.exact @ weight.permute(1, 2, 0)
        y = edge_linear(v, step, low, functions, weight.detach(), tables.slopes)
    torch.testing.assert_close(y, expected)
    want = _gradients(expected, upstream, leaves)
    for got, expected_gradient in zip(_gradients(y, upstream, leaves), want, strict=True):
        torch.testing.assert_close(got, expected_gradient)


def test_no_gradient_beyond_the_codes() -> None:
    layer, _, step, low, _, tables = _problem(3, 16)
    u = torch.tensor([[-5.0, 3.0, 99.0]], dtype=torch.float64, requires_grad=True)
    fine = torch.tensor(1e-3, dtype=torch.float64)
    table_linear(layer, (u, step, low), [fine, fine], (1.0, 1.0), (tables.exact, tables.slopes), None).sum().backward()
    assert (u.grad != 0).tolist() == [[False, True, False]]


def test_emission_is_exact_and_has_the_gradient_of_its_definition() -> None:
    torch.manual_seed(0)
    step, low = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.3, -1.7))
    shift, bias = 6, 1234
    unit = 0.3 / 64
    integers = torch.randint(-5000, 5000, (7, 5)).double()
    y = (integers * unit * (1.0 + 1e-13)).requires_grad_()
    out = emit(y, step, low, unit, shift, bias)
    assert torch.equal(out, (integers + bias) / 64)
    upstream = torch.randn(7, 5, dtype=torch.float64)
    want = torch.autograd.grad((((y - low) / step) * upstream).sum(), (y, step, low))
    for got, expected in zip(torch.autograd.grad((out * upstream).sum(), (y, step, low)), want, strict=True):
        torch.testing.assert_close(got, expected)
