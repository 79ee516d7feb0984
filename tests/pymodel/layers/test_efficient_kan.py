"""The float layer: values against scipy, gradients against finite differences, behaviour as efficient-kan's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch.func import functional_call
from torch.nn import functional

from pymodel.errors import ModelError
from pymodel.layers import MAX_ORDER, EfficientKAN, EfficientKANLinear, feature_table, uniform_knots

RANGE = (-1.5, 2.0)
GEOMETRIES = [(grid, order) for grid in (1, 2, 5) for order in range(1, MAX_ORDER + 1)]


def scipy_features(x: np.ndarray, knots: np.ndarray, order: int, derivative: int = 0) -> np.ndarray:
    columns = []
    for b in range(len(knots) - order - 1):
        spline = BSpline.basis_element(knots[b : b + order + 2], extrapolate=False)
        columns.append(np.nan_to_num((spline.derivative(derivative) if derivative else spline)(x)))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize(("grid", "order"), GEOMETRIES)
def test_values_and_slopes_equal_scipy(grid: int, order: int) -> None:
    knots = uniform_knots(*RANGE, grid, order)
    # Points in every cell, beyond both ends, but not on knots: there the slope of order 1 jumps.
    x = np.linspace(knots[0] - 1.0, knots[-1] + np.sqrt(2), 2003)
    step = (RANGE[1] - RANGE[0]) / grid
    values, slopes = feature_table(torch.from_numpy(x), RANGE[0], step, grid, order)
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(values[:, 1:], scipy_features(x, knots, order), atol=1e-13)
    np.testing.assert_allclose(slopes[:, 1:], scipy_features(x, knots, order, 1), atol=1e-11)
    np.testing.assert_allclose(values[:, 0], x * sigmoid, atol=1e-15)
    np.testing.assert_allclose(slopes[:, 0], sigmoid * (1 + x * (1 - sigmoid)), atol=1e-15)


@pytest.mark.parametrize(("grid", "order"), GEOMETRIES)
def test_layer_is_its_formula(grid: int, order: int) -> None:
    layer = EfficientKANLinear(3, 2, grid=grid, order=order, range=RANGE).double()
    x = (torch.rand(60, 3, dtype=torch.float64) - 0.5) * 12
    basis = torch.from_numpy(scipy_features(x.numpy(), layer.knots, order))
    expected = functional.silu(x) @ layer.base_weight.T + torch.einsum("xib,oib->xo", basis, layer.spline_weight)
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("order", range(2, MAX_ORDER + 1))  # order 1 is not differentiable at its knots
@pytest.mark.parametrize("pruned", [False, True])
def test_gradients(order: int, pruned: bool) -> None:
    torch.manual_seed(order)
    layer = EfficientKANLinear(3, 2, grid=4, order=order, range=RANGE).double()
    if pruned:
        layer.apply_mask(torch.tensor([[True, False, True], [False, True, True]]))
    x = ((torch.rand(8, 3, dtype=torch.float64) - 0.5) * 8).requires_grad_()

    def call(x: torch.Tensor, base: torch.Tensor, spline: torch.Tensor) -> torch.Tensor:
        return functional_call(layer, {"base_weight": base, "spline_weight": spline}, (x,))

    assert torch.autograd.gradcheck(call, (x, layer.base_weight, layer.spline_weight))


def test_gradients_of_order_one() -> None:
    layer = EfficientKANLinear(2, 2, grid=4, order=1, range=RANGE).double()
    x = torch.tensor([[-1.3, 0.3], [1.1, 1.9], [-2.2, 2.5], [-9.0, 9.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_a_chain_learns_through_its_layers() -> None:
    model = EfficientKAN([2, 3, 1], grid=3, order=3, range=RANGE).double()
    x = torch.rand(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (x,))


def test_inside_the_grid_the_bases_sum_to_one_and_outside_they_run_out() -> None:
    inside = torch.linspace(-2.0, 2.0, 101, dtype=torch.float64)
    values, _ = feature_table(inside, -2.0, 0.8, 5, 3)
    torch.testing.assert_close(values[:, 1:].sum(dim=1), torch.ones(101, dtype=torch.float64), atol=1e-14, rtol=0)
    steps = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    for points in (2.0 + 0.8 * steps, -2.0 - 0.8 * steps):
        values, _ = feature_table(points, -2.0, 0.8, 5, 3)
        expected = torch.tensor([5 / 6, 1 / 6, 0.0, 0.0], dtype=torch.float64)
        torch.testing.assert_close(values[:, 1:].sum(dim=1), expected, atol=1e-12, rtol=0)


def test_initialisation_follows_efficient_kan() -> None:
    torch.manual_seed(0)
    layer = EfficientKANLinear(64, 100, grid=5, order=3).requires_grad_(False)
    bound = 1 / 64**0.5
    assert float(layer.base_weight.abs().max()) <= bound
    assert float(layer.base_weight.abs().max()) > 0.95 * bound
    # The splines pass through noise within +-scale_noise / (2 G) at the G + 1 inner knots.
    points = torch.linspace(-1, 1, 6, dtype=torch.float64)
    values, _ = feature_table(points, -1.0, 0.4, 5, 3)
    noise = torch.einsum("pb,oib->poi", values[:, 1:], layer.spline_weight.double())
    assert float(noise.abs().max()) <= 0.1 / 10 * (1 + 1e-4)
    assert float(noise.std()) == pytest.approx(0.1 / 10 / 3**0.5, rel=0.05)


def test_masked_edges_do_nothing_and_do_not_learn() -> None:
    layer = EfficientKANLinear(3, 2)
    mask = torch.tensor([[True, False, True], [False, False, False]])
    layer.apply_mask(mask)
    x = torch.randn(7, 3)
    y = layer(x)
    assert torch.equal(y[:, 1], torch.zeros(7))
    y.square().sum().backward()
    assert torch.equal(layer.base_weight.grad != 0, mask)
    assert not layer.spline_weight.grad[~mask].any()
    changed = x.clone()
    changed[:, 1] += 1
    assert torch.equal(layer(changed), y)
    with pytest.raises(ModelError, match=r"mask of shape \(2, 3\)"):
        layer.apply_mask(mask.T)


def test_mask_travels_with_the_state() -> None:
    layer = EfficientKANLinear(3, 2)
    layer.apply_mask(torch.tensor([[True, False, True], [False, True, False]]))
    other = EfficientKANLinear(3, 2)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(4, 3)
    assert torch.equal(other(x), layer(x))


def test_any_leading_shape() -> None:
    layer = EfficientKANLinear(3, 2)
    x = torch.randn(2, 5, 3)
    assert torch.equal(layer(x), layer(x.reshape(10, 3)).reshape(2, 5, 2))
    assert layer(torch.randn(3)).shape == (2,)
    assert layer(torch.randn(0, 3)).shape == (0, 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
def test_extreme_inputs_neither_crash_nor_touch_other_rows(value: float) -> None:
    layer = EfficientKANLinear(3, 2)
    x = torch.randn(3, 3)
    clean = layer(x)
    x[1, 2] = value
    y = layer(x)
    assert torch.equal(y[[0, 2]], clean[[0, 2]])
    if value != value:
        assert y[1].isnan().all()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"order": 0}, "order of 1 … 7"),
        ({"order": 8}, "order of 1 … 7"),
        ({"grid": 0}, "grid interval"),
        ({"range": (1.0, 1.0)}, "low < high"),
        ({"range": (0.0, float("inf"))}, "finite"),
    ],
)
def test_refuses_bad_arguments(arguments: dict[str, object], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        EfficientKANLinear(2, 2, **arguments)


def test_refuses_a_chain_of_one_width() -> None:
    with pytest.raises(ModelError, match="two widths"):
        EfficientKAN([3])


def test_shows_its_geometry() -> None:
    assert "2, 3, grid=5, order=3, range=(-1, 1)" in repr(EfficientKANLinear(2, 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu() -> None:
    torch.manual_seed(0)
    on_cpu = EfficientKAN([5, 4, 2], range=RANGE).double()
    x = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    on_cpu(x).square().sum().backward()
    expected = [p.grad.clone() for p in (*on_cpu.parameters(), x)]
    for p in on_cpu.parameters():
        p.grad = None
    on_gpu, x_gpu = on_cpu.cuda(), x.detach().cuda().requires_grad_()
    on_gpu(x_gpu).square().sum().backward()
    for want, p in itertools.zip_longest(expected, (*on_gpu.parameters(), x_gpu)):
        torch.testing.assert_close(p.grad.cpu(), want)
