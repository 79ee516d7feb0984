"""Every family x {ROM, arithmetic} from float layer to integers: QAT equals the frozen model equals the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pymodel.errors import ConfigError, ModelError
from pymodel.ir import BasisKind, HostSpec, Implementation, KanLinear, Task
from pymodel.layers import ACTIVATIONS, FAMILIES, KAGN, FastKAN, FrozenKAN, build_kan, load_float, save_float
from pymodel.lower import lower
from pymodel.quant import QuantKAN, freeze, prune_to, quantize_model
from pymodel.reference import Reference
from pymodel.settings import QuantizeSettings
from tests.conformance import LayerConformance

KINDS = {
    "efficient_kan": BasisKind.BSPLINE,
    "pykan": BasisKind.BSPLINE,
    "fast_kan": BasisKind.RBF,
    "kagn": BasisKind.GRAM,
}
#: Name: family, implementation, widths, grid, order, activation, norm, edge bits.
CASES = {
    "efficient_kan-rom": ("efficient_kan", "rom", (3, 5, 2), 5, 3, "silu", "none", None),
    "efficient_kan-arith": ("efficient_kan", "arith", (3, 5, 2), 4, 3, "silu", "none", None),
    "efficient_kan-arith-order-5": ("efficient_kan", "arith", (1, 3, 1), 3, 5, "gelu", "none", None),
    "efficient_kan-rom-order-1-no-base": ("efficient_kan", "rom", (2, 1, 3), 4, 1, "zero", "none", None),
    "fast_kan-rom": ("fast_kan", "rom", (3, 5, 2), 8, 1, "silu", "none", None),
    "fast_kan-arith": ("fast_kan", "arith", (3, 5, 2), 8, 1, "tanh", "none", None),
    "fast_kan-edge": ("fast_kan", "rom", (2, 3, 2), 4, 1, "silu", "none", 5),
    "pykan-rom": ("pykan", "rom", (3, 5, 2), 5, 3, "silu", "none", None),
    "pykan-arith": ("pykan", "arith", (2, 3, 2), 4, 2, "identity", "none", None),
    "kagn-rom": ("kagn", "rom", (3, 5, 2), 1, 3, "silu", "batch", None),
    "kagn-arith": ("kagn", "arith", (3, 5, 2), 1, 3, "identity", "batch", None),
    "kagn-arith-degree-6": ("kagn", "arith", (2, 2, 1, 7), 1, 6, "relu", "none", None),
}


def host(n_in: int) -> HostSpec:
    return HostSpec(Task.REGRESSION, tuple(f"f{i}" for i in range(n_in)), (0.0,) * n_in, (1.0,) * n_in)


def make(name: str) -> QuantKAN:
    """Return a calibrated model whose weights and norms are those of a network that was trained a little."""
    family, implementation, widths, grid, order, activation, norm, edge = CASES[name]
    torch.manual_seed(3)
    model = build_kan(family, widths, grid=grid, order=order, range=(-2.0, 2.0), activation=activation, norm=norm)
    x = (torch.rand(256, widths[0]) - 0.5) * 5
    target = torch.sin(x.sum(dim=1, keepdim=True) + torch.arange(widths[-1]))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        (model(x) - target).square().mean().backward()
        optimizer.step()
    model.eval()
    if len(widths) == 3 and widths[0] > 1:
        prune_to(model, sum(layer.mask.numel() for layer in model.kan_layers()) - 3, x)
    settings = QuantizeSettings(
        activations=5, first_activations=6, basis=7, spline_weights=6, implementation=implementation, edge=edge
    )
    quantized = quantize_model(model, settings)
    quantized.calibrate(x)
    return quantized


@pytest.fixture(scope="module", params=CASES)
def quantized(request: pytest.FixtureRequest) -> QuantKAN:
    return make(request.param)


class TestFamilies(LayerConformance):
    @pytest.fixture(scope="class", params=CASES)
    @classmethod
    def frozen(cls, request: pytest.FixtureRequest) -> FrozenKAN:
        model = make(request.param)
        return freeze(model, name="kan", host=host(CASES[request.param][2][0]))

    def test_the_units_are_those_asked_for(self, request: pytest.FixtureRequest, ir) -> None:
        family, implementation, _, _, _, activation, _, edge = CASES[request.node.callspec.params["frozen"]]
        for node in ir.layers:
            if edge is not None:
                assert not isinstance(node, KanLinear)
                continue
            assert isinstance(node, KanLinear)
            assert node.spline.basis.kind is KINDS[family]
            assert node.spline.basis.implementation is Implementation[implementation.upper()]
            assert (node.base is None) == (activation == "zero")


def test_qat_computes_what_the_frozen_model_does(quantized: QuantKAN) -> None:
    """Hidden codes are equal; the last layer's sums differ by what its output type rounds."""
    ir = lower(freeze(quantized, name="kan", host=host(next(quantized.kan_layers()).in_features)))
    t = ir.input.out_type
    X = np.random.default_rng(0).integers(t.min_int, t.max_int, (400, ir.input.size), endpoint=True)
    want = Reference(ir).run(X)
    double = quantized.double()
    with torch.no_grad():
        u = double._first(torch.from_numpy(t.to_real(X)))
        codes = double.codes()
        for layer, here, after, node in zip(double.kan_layers(), codes, [*codes[1:], None], ir.layers, strict=True):
            u = layer(u, here, after)
            if after is not None:
                got = torch.floor(u + 0.5).clamp(0, node.out_type.max_int).long().numpy()
                assert np.array_equal(got, want[node.name])
    last = ir.node(ir.output)
    # Multipliers are dyadic with 8 bits in the last layer of the frozen model, exact in QAT.
    assert (
        np.abs(u.numpy() - last.value_lsb * want[ir.output]).max()
        <= 2 * last.value_lsb + 2**-6 * np.abs(u.numpy()).max()
    )


# pykan's knots are float32 and its weights have scales: tests/pymodel/layers/test_pykan.py.
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "pykan"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float_layers_equal_their_formula(family: str, activation: str) -> None:
    """Every layer, masked, on and far beyond its range, against a sum over edges in float64; gradients reach everything."""
    torch.manual_seed(0)
    model = build_kan(family, (4, 3), grid=6, order=2, range=(-1.0, 1.5), activation=activation).double()
    layer = next(model.kan_layers())
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1, 2] = False
    layer.apply_mask(mask)
    x = torch.linspace(-4.0, 4.0, 40, dtype=torch.float64).reshape(10, 4).requires_grad_()
    values, slopes = layer.functions.table(x.detach().flatten())
    phi = values.view(10, 4, -1)
    weight = torch.cat((layer.base_weight.unsqueeze(-1), layer.spline_weight), dim=-1) * mask.unsqueeze(-1)
    expected = torch.einsum("bif,oif->bo", phi, weight)
    if layer.bias is not None:
        expected = expected + layer.bias
    y = model(x)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    y.sum().backward()
    by_x = torch.einsum("bif,oif->bi", slopes.view(10, 4, -1), weight)
    torch.testing.assert_close(x.grad, by_x, rtol=1e-9, atol=1e-9)
    assert layer.spline_weight.grad is not None
    assert layer.spline_weight.grad[1, 2].abs().max() == 0
    assert layer.spline_weight.grad[0].abs().max() > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_float_files_keep_the_family(family: str, tmp_path) -> None:
    norm = "batch" if family == "kagn" else "none"
    model = build_kan(family, (3, 4, 2), grid=4, order=3, range=(-1.0, 1.0), activation="gelu", norm=norm).eval()
    save_float(model, tmp_path / "m.safetensors")
    again = load_float(tmp_path / "m.safetensors").eval()
    assert type(again) is type(model)
    x = torch.randn(5, 3)
    assert torch.equal(again(x), model(x))
    save_float(again, tmp_path / "n.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == (tmp_path / "n.safetensors").read_bytes()


def test_batch_norm_folds_into_weights_and_bias() -> None:
    torch.manual_seed(1)
    model = KAGN([3, 4, 2], norm="batch")
    for _ in range(20):
        model(torch.randn(64, 3))
    model.eval().double()
    layer = next(model.kan_layers())
    x = torch.randn(9, 3, dtype=torch.float64)
    base, spline, bias = layer.folded()
    values, _ = layer.functions.table(x.flatten())
    folded = torch.einsum("bif,oif->bo", values.view(9, 3, -1), torch.cat((base.unsqueeze(-1), spline), -1)) + bias
    torch.testing.assert_close(layer(x), folded)
    # One row has no variance: training on it uses the running statistics.
    model.train()
    assert torch.isfinite(model(x[:1])).all()


def test_a_layer_norm_of_outputs_trains_but_is_refused_by_name() -> None:
    model = KAGN([2, 3], norm="layer")
    model(torch.randn(8, 2)).sum().backward()
    with pytest.raises(ModelError, match="layers_0 cannot be quantized, because its LayerNorm has no integer form"):
        quantize_model(model, QuantizeSettings())


WRONG = {
    "one centre": (lambda: FastKAN([2, 1], grid=1), "at least 1 input, output and basis function"),
    "no width": (lambda: FastKAN([2]), "at least two widths"),
    "empty range": (lambda: FastKAN([2, 1], range=(1.0, 1.0)), "low < high"),
    "mish": (lambda: FastKAN([2, 1], activation="mish"), "one of silu"),
    "layernorm of one": (lambda: FastKAN([1, 1], layernorm=True), "over one input"),
    "degree 0": (lambda: KAGN([2, 1], degree=0), "at least 1 input"),
    "degree 9": (lambda: KAGN([2, 1], degree=9), "degree of 1 … 8"),
    "unknown norm": (lambda: KAGN([2, 1], norm="instance"), "norm of none, batch, layer"),
    "norm of another family": (
        lambda: build_kan("efficient_kan", (2, 1), grid=3, order=3, range=(-1.0, 1.0), norm="batch"),
        "no family 'efficient_kan' with the norm 'batch'",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arguments_are_refused(what: str) -> None:
    call, message = WRONG[what]
    with pytest.raises((ModelError, ConfigError), match=message):
        call()
