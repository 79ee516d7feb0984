"""The PyKAN layer against a plain float64 evaluation of pykan's formulas, and its grids that follow the data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.interpolate import BSpline

from pymodel.errors import ModelError
from pymodel.layers import (
    BSplineFunctions,
    KnotFunctions,
    PyKAN,
    PyKANLinear,
    fit_curves,
    knot_basis,
    load_float,
    refuse_symbolic,
    save_float,
)

Reals = npt.NDArray[np.float64]


def bases(x: Reals, t: Reals, k: int) -> Reals:
    """Cox and de Boor as pykan writes it, NaN to 0 at every level; (B,), (L + 1,) -> (B, L - k)."""
    b = ((x[:, None] >= t[:-1]) & (x[:, None] < t[1:])).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        for p in range(1, k + 1):
            left = (x[:, None] - t[: -p - 1]) / (t[p:-1] - t[: -p - 1]) * b[:, :-1]
            right = (t[p + 1 :] - x[:, None]) / (t[p + 1 :] - t[1:-p]) * b[:, 1:]
            b = np.nan_to_num(left + right, posinf=np.inf, neginf=-np.inf)
    return b


def oracle(layer: PyKANLinear, x: Reals) -> Reals:
    """The layer's formula, edge by edge."""
    p = {name: value.detach().double().numpy() for name, value in layer.state_dict().items()}
    s = np.zeros((len(x), layer.out_features))
    for i in range(layer.in_features):
        b = bases(x[:, i], p["grid"][i], layer.order)
        silu = x[:, i] / (1 + np.exp(-x[:, i]))
        for j in range(layer.out_features):
            edge = p["base_weight"][j, i] * silu + p["scale_sp"][j, i] * (b @ p["spline_weight"][j, i])
            s[:, j] += p["mask"][j, i] * edge
    s = s * p["subnode_scale"] + p["subnode_bias"]
    nodes, first = [], 0
    for arity in layer.arity:
        nodes.append(s[:, first : first + arity].prod(axis=1))
        first += arity
    return np.stack(nodes, axis=1) * p["node_scale"] + p["node_bias"]


def randomised(layer: PyKANLinear, seed: int = 0) -> PyKANLinear:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter))
    layer.apply_mask(torch.rand(layer.mask.shape) < 0.7)
    return layer.double()


def inputs(grid: torch.Tensor, rows: int = 200) -> Reals:
    """Random points, all knots, just beside them, and points far outside."""
    rng = np.random.default_rng(0)
    t = grid.double().numpy()
    some = rng.uniform(t.min() - 1, t.max() + 1, (rows, len(t)))
    near = np.concatenate([np.nextafter(t, -9), t, np.nextafter(t, 9)], axis=1).T
    far = np.array([[-50.0], [50.0], [t.max() + 1e-9]]) * np.ones(len(t))
    return np.concatenate([some, near, far])


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("arities", [(), (2,), (3, 2)])
def test_formula(order: int, arities: tuple[int, ...]) -> None:
    layer = randomised(PyKANLinear(3, 2, arities, grid=4, order=order, range=(-1.0, 2.0)))
    layer.update_grid_from_samples(torch.randn(50, 3, dtype=torch.float64) ** 3)
    x = inputs(layer.grid)
    np.testing.assert_allclose(layer(torch.from_numpy(x)).detach().numpy(), oracle(layer, x), rtol=1e-9, atol=1e-9)


def test_float32_is_within_rounding() -> None:
    layer = randomised(PyKANLinear(4, 3, (2,), grid=6))
    x = inputs(layer.grid)
    expected = oracle(layer, x.astype(np.float32).astype(float))
    got = layer.float()(torch.from_numpy(x).float()).detach().double().numpy()
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_bases_are_scipys_on_increasing_knots() -> None:
    rng = np.random.default_rng(1)
    for order in (1, 2, 3, 4, 7):
        t = np.sort(rng.uniform(-1, 1, (3, 2 * order + 6)), axis=1)
        x = rng.uniform(-1.2, 1.2, (300, 3))
        got = knot_basis(torch.from_numpy(x), torch.from_numpy(t), order).numpy()
        for i in range(3):
            for b in range(got.shape[2]):
                element = BSpline.basis_element(t[i, b : b + order + 2], extrapolate=False)
                np.testing.assert_allclose(got[:, i, b], np.nan_to_num(element(x[:, i])), atol=1e-12)


def test_coinciding_knots_drop_functions_as_pykan_does() -> None:
    t = np.array([[-2.0, -1, 0, 0, 0.5, 1, 1, 1, 2, 3], [0.0] * 10])
    x = np.linspace(-2.5, 3.5, 121)[:, None].repeat(2, axis=1)
    for order in (1, 2, 3):
        got = knot_basis(torch.from_numpy(x), torch.from_numpy(t), order).numpy()
        for i in range(2):
            np.testing.assert_allclose(got[:, i], bases(x[:, i], t[i], order), atol=1e-12)
        assert not got[:, 1].any()


def test_gradients() -> None:
    layer = randomised(PyKANLinear(2, 1, (2,), grid=3))
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_nan_gives_bases_of_zero() -> None:
    grid = torch.linspace(-1, 1, 9)[None]
    assert not knot_basis(torch.tensor([[float("nan")]]), grid, 2).any()


# --- grids ------------------------------------------------------------------------------------------------------------


def test_knots_follow_the_samples() -> None:
    layer = PyKANLinear(2, 3, grid=5, order=2).double()
    x = torch.randn(101, 2, dtype=torch.float64) * torch.tensor([1.0, 5.0])
    layer.update_grid_from_samples(x)
    for i in range(2):
        ordered = np.sort(x[:, i].numpy())
        rows = [int(101 / 5 * j) for j in range(5)] + [-1]
        even = ordered[0] + (ordered[-1] - ordered[0]) / 5 * np.arange(6)
        inner = 0.02 * even + 0.98 * ordered[rows]
        step = (inner[-1] - inner[0]) / 5
        expected = np.concatenate([inner[0] - step * np.arange(2, 0, -1), inner, inner[-1] + step * np.arange(1, 3)])
        np.testing.assert_allclose(layer.grid[i].numpy(), expected, atol=1e-12)


def test_an_update_keeps_a_curve_that_the_new_grid_can_hold() -> None:
    layer = PyKANLinear(1, 2, grid=6, order=3, range=(-1, 1)).double()
    x = torch.linspace(-1, 1, 400, dtype=torch.float64)[:, None]
    cubic = torch.stack((x[:, :1] ** 3 - x[:, :1], x[:, :1] ** 2), dim=-1)
    with torch.no_grad():
        layer.spline_weight.copy_(fit_curves(x, cubic, layer.grid, 3))
    before = layer(x)
    layer.update_grid_from_samples(0.5 * x)
    inside = x[(x.abs() < 0.49).flatten()]
    assert (layer(inside) - before[(x.abs() < 0.49).flatten()]).abs().max() < 1e-9


def test_a_constant_feature_keeps_its_base_only() -> None:
    layer = randomised(PyKANLinear(2, 2, grid=4))
    x = torch.randn(60, 2, dtype=torch.float64)
    x[:, 1] = 0.25
    layer.update_grid_from_samples(x)
    assert (layer.grid[1] == 0.25).all()
    assert (layer.spline_weight[:, 1] == 0).all()
    np.testing.assert_allclose(layer(x).detach().numpy(), oracle(layer, x.numpy()), atol=1e-9)


def test_refinement_interpolates_knots_and_keeps_the_function() -> None:
    torch.manual_seed(0)
    model = PyKAN([2, [2, 1], 1], grid=3, order=3, noise_scale=3.0).double()
    x = torch.rand(500, 2, dtype=torch.float64) * 2 - 1
    finer = model.refine(9, x)
    for coarse, fine in zip(model.kan_layers(), finer.kan_layers(), strict=True):
        assert isinstance(coarse, PyKANLinear)
        assert isinstance(fine, PyKANLinear)
        assert fine.spline_weight.shape[-1] == 12
        inner, old = fine.grid[:, 3:-3], coarse.grid[:, 3:-3]
        for i in range(len(inner)):
            expected = np.interp(np.linspace(0, 3, 10), np.arange(4), old[i].numpy())
            np.testing.assert_allclose(inner[i].numpy(), expected, atol=1e-12)
    assert (finer(x) - model(x)).abs().max() < 1e-6  # the old knots are among the new ones
    assert model.refine(4, x)(x).shape == (500, 1)


def test_too_few_samples_are_refused() -> None:
    model = PyKAN([2, 1], grid=5)
    with pytest.raises(ModelError, match="at least 5 finite samples were expected"):
        model.update_grid_from_samples(torch.zeros(4, 2))
    with pytest.raises(ModelError, match="at least 9 rows were expected"):
        model.refine(9, torch.zeros(4, 2))


# --- networks ---------------------------------------------------------------------------------------------------------


def test_widths_and_arities() -> None:
    model = PyKAN([3, [2, 2], [0, 1]], mult_arity=[[], [2, 3], [2]])
    first, last = model.kan_layers()
    assert model.widths == (3, 4, 1)
    assert (first.out_features, first.n_nodes) == (7, 4)
    assert (last.out_features, last.n_nodes) == (2, 1)
    assert model(torch.zeros(5, 3)).shape == (5, 1)


@pytest.mark.parametrize(
    ("width", "arity", "message"),
    [
        ([[1, 1], 1], 2, "the inputs never multiply"),
        ([2, [1, 2], 1], [[], [2], []], "every other node needs its arity"),
        ([2, [1, 1], 1], 17, "needs 2 … 16 factors"),
        ([2, [0, 0], 1], 2, "at least 1 input, output"),
    ],
)
def test_impossible_networks_are_refused(width: list[int], arity: int, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PyKAN(width, mult_arity=arity)


def test_functions_are_shared_until_a_grid_moves() -> None:
    layer = PyKANLinear(2, 3, grid=4)
    assert layer.functions == BSplineFunctions(-1.0, 1.0, 4, 3)
    layer.update_grid_from_samples(torch.randn(50, 1).repeat(1, 2))
    functions = layer.functions
    assert isinstance(functions, KnotFunctions)
    assert functions.n_tables == 1
    layer.update_grid_from_samples(torch.randn(50, 2))
    assert layer.functions.n_tables == 2


def test_tables_are_the_features_and_their_slopes() -> None:
    layer = randomised(PyKANLinear(3, 1, grid=4, order=2))
    layer.update_grid_from_samples(torch.randn(80, 3, dtype=torch.float64))
    functions = layer.functions
    points = torch.linspace(-3, 3, 61, dtype=torch.float64)
    values, slopes = functions.table(points)
    features = layer.edge_features(points[:, None].expand(-1, 3)).detach()
    assert torch.allclose(values, features.transpose(0, 1), atol=1e-12)
    h = 1e-6
    numeric = (functions.table(points + h)[0] - functions.table(points - h)[0]) / (2 * h)
    assert (slopes - numeric).abs().max() < 1e-5


def test_symbolic_edges_are_refused() -> None:
    state = {"symbolic_fun.0.mask": torch.zeros(2, 2), "act_fun.0.mask": torch.ones(2, 2)}
    refuse_symbolic(state)
    state["symbolic_fun.0.mask"][0, 1] = 1
    with pytest.raises(ModelError, match=r"1 edges of symbolic_fun.0 are symbolic, .* unfix_symbolic"):
        refuse_symbolic(state)


def test_file_round_trip(tmp_path) -> None:
    torch.manual_seed(0)
    model = PyKAN([3, [2, 2], 2], mult_arity=[[], [2, 3], []], grid=4, order=2, range=(-2, 2), affine=True)
    model.update_grid_from_samples(torch.randn(60, 3))
    save_float(model, tmp_path / "a")
    again = load_float(tmp_path / "a")
    x = torch.randn(20, 3)
    assert torch.equal(again(x), model(x))
    save_float(again, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
