"""Dense layers of efficient-kan, fast-kan and torch-conv-kan: same output, then same integers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mpmath
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from pymodel.errors import ModelError
from pymodel.importers import load
from pymodel.layers import KAN, FrozenKAN, activate, prelu_name, prelu_slope
from pymodel.quant import freeze, quantize_model
from pymodel.quant._exact import exact_activation
from pymodel.settings import QuantizeSettings
from tests.conformance import LayerConformance
from tests.pymodel.importers import peers
from tests.pymodel.importers.comparison import assert_float32
from tests.pymodel.quant.test_families import host


@dataclass(frozen=True)
class Case:
    """A model of a library, and the facts that its state_dict does not tell."""

    family: str
    make: Callable[[], nn.Module]
    n_in: int
    facts: dict[str, Any] = field(default_factory=dict)
    #: Of the grid, where the formulas are interesting.
    span: tuple[float, float] = (-2.2, 2.2)


def _efficient(widths: list[int], **arguments: Any) -> Callable[[], nn.Module]:
    return lambda: peers.chain(lambda n, m: peers.KANLinear(n, m, **arguments), widths)


def _fast(widths: list[int], **arguments: Any) -> Callable[[], nn.Module]:
    return lambda: peers.chain(lambda n, m: peers.FastKANLayer(n, m, **arguments), widths)


def _gram(widths: list[int], between: Any = None, **arguments: Any) -> Callable[[], nn.Module]:
    return lambda: peers.chain(lambda n, m: peers.GRAMLayer(n, m, **arguments), widths, between)


def _spline(widths: list[int], **arguments: Any) -> Callable[[], nn.Module]:
    return lambda: peers.chain(lambda n, m: peers.SplineLayer(n, m, **arguments), widths)


SILU = {"base_activation": "silu"}
CASES = {
    "efficient": Case("efficient_kan", _efficient([4, 5, 3]), 4, SILU),
    "efficient-no-scaler-gelu": Case(
        "efficient_kan",
        _efficient(
            [3, 4, 2], enable_standalone_scale_spline=False, base_activation=nn.GELU, grid_size=7, spline_order=2
        ),
        3,
        {"base_activation": nn.GELU},
        (-1.6, 1.6),
    ),
    "efficient-one-layer-order-1": Case(
        "efficient_kan",
        _efficient([2, 3], grid_size=3, spline_order=1, base_activation=nn.Tanh, grid_range=(-3.0, 0.7)),
        2,
        {"base_activation": "torch.nn.Tanh", "grid_range": [-3, 0.7], "grid_size": 3, "layers_hidden": [2, 3]},
        (-5.0, 2.0),
    ),
    "efficient-order-5": Case(
        "efficient_kan",
        _efficient([3, 2, 2], spline_order=5, base_activation=nn.Identity),
        3,
        {"base_activation": "identity"},
    ),
    "efficient-small-cells": Case(
        "efficient_kan", _efficient([3, 2], grid_size=9, grid_range=(4.0, 4.3)), 3, {**SILU, "grid_range": [4, 4.3]}
    ),
    "fast": Case("fast_kan", _fast([4, 5, 3]), 4, SILU, (-3.0, 3.0)),
    "fast-no-layernorm": Case("fast_kan", _fast([4, 5, 3], use_layernorm=False), 4, SILU, (-3.0, 3.0)),
    "fast-no-base": Case("fast_kan", _fast([4, 3], use_base_update=False, num_grids=5), 4, {"use_base_update": False}),
    "fast-wide": Case(
        "fast_kan",
        _fast([3, 4, 2], use_layernorm=False, denominator=1.25, grid_min=-1.0, base_activation=functional.relu),
        3,
        {"base_activation": functional.relu, "denominator": 1.25, "grid_min": -1, "num_grids": 8},
        (-3.0, 3.0),
    ),
    "kagn": Case("torch_conv_kan", _gram([4, 5, 3]), 4, SILU),
    "kagn-dropout-degree-5": Case(
        "torch_conv_kan", _gram([3, 4, 4, 3], nn.Dropout, degree=5), 3, {**SILU, "degree": 5, "dropout": 0.5}
    ),
    "kagn-degree-1": Case("torch_conv_kan", _gram([3, 2], degree=1), 3, SILU),
    "conv-kan": Case(
        "torch_conv_kan", _spline([4, 5, 3]), 4, {"base_activation": nn.GELU(), "grid_range": (-1, 1), "grid_size": 5}
    ),
    "conv-kan-order-2": Case(
        "torch_conv_kan",
        _spline([3, 4], grid_size=4, spline_order=2, grid_range=(0.0, 1.0), base_activation=nn.SiLU),
        3,
        {"base_activation": "SiLU", "grid_range": [0, 1], "spline_order": 2},
        (-0.5, 1.5),
    ),
    "conv-fast": Case(
        "torch_conv_kan", _fast([4, 5, 3]), 4, {**SILU, "grid_range": [-2, 2], "grid_size": 8}, (-3.0, 3.0)
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Case, nn.Module]:
    torch.manual_seed(1)
    chosen = CASES[request.param]
    return chosen, peers.train(chosen.make(), chosen.n_in)


def _probes(case: Case, model: nn.Module) -> dict[str, torch.Tensor]:
    first = model.layers[0]
    knots = getattr(first, "grid", None)
    if knots is None:
        knots = first.rbf.grid if hasattr(first, "rbf") else torch.linspace(*case.span, 9)
    return peers.probes(case.n_in, knots)


def test_the_output_is_the_librarys(case: tuple[Case, nn.Module], tmp_path: Path) -> None:
    """From a state_dict, a file, a live module, and under a prefix: four times the same model."""
    chosen, peer = case
    inputs = _probes(chosen, peer)
    state = peer.state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    ours = load(state, family=chosen.family, **chosen.facts)
    assert isinstance(ours, KAN)
    assert not ours.training
    assert_float32(ours, peer, inputs)
    save_file(
        {f"a.kan.{name}": tensor for name, tensor in state.items()} | {"b": torch.ones(2)}, tmp_path / "m.safetensors"
    )
    outer = nn.ModuleDict({"head": peer, "other": nn.Linear(2, 2)})
    live_facts = {key: chosen.facts[key] for key in chosen.facts if key != "base_activation"}
    for again in (
        load(tmp_path / "m.safetensors", family=chosen.family, prefix="a.kan.", **chosen.facts),
        load(peer, family=chosen.family, **chosen.facts),
        load(outer, family=chosen.family, prefix="head", **live_facts),
    ):
        for x in inputs.values():
            assert torch.equal(again(x), ours(x))
    with torch.no_grad():  # a copy: what happens to ours afterwards is no matter of the source
        for parameter in ours.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], tensor) for name, tensor in peer.state_dict().items())


def test_one_layer_under_its_prefix(case: tuple[Case, nn.Module]) -> None:
    chosen, peer = case
    last = len(peer.layers) - 1
    facts = {key: value for key, value in chosen.facts.items() if key != "layers_hidden"}
    ours = load(peer.state_dict(), family=chosen.family, prefix=f"layers.{last}", **facts)
    layer = peer.layers[last]
    n_in = next(ours.kan_layers()).in_features
    knots = getattr(layer, "grid", torch.linspace(-2, 2, 7))
    assert_float32(ours, layer, peers.probes(n_in, knots))


def test_a_changed_weight_is_seen(case: tuple[Case, nn.Module]) -> None:
    """The comparison can fail: any tensor that is off by a little is noticed."""
    chosen, peer = case
    inputs = _probes(chosen, peer)
    for name, tensor in peer.state_dict().items():
        if name.endswith(("grid", "beta_weights")) or not tensor.is_floating_point():
            continue
        state = {key: value.clone() for key, value in peer.state_dict().items()}
        state[name][0] = 1.5 * state[name][0] + 0.1
        with pytest.raises(AssertionError):
            assert_float32(load(state, family=chosen.family, **chosen.facts), peer, inputs)


def test_any_leading_shape_and_gradients(case: tuple[Case, nn.Module]) -> None:
    chosen, peer = case
    ours = load(peer, family=chosen.family, **chosen.facts)
    x = torch.randn(2, 3, chosen.n_in)
    y = ours(x)
    torch.testing.assert_close(y, ours(x.reshape(6, -1)).reshape(2, 3, -1))
    y.sum().backward()
    named = [(name, p) for name, p in next(ours.kan_layers()).named_parameters() if p.requires_grad]
    assert all(p.grad is not None for name, p in named if name != "beta_weights")


def _frozen(chosen: Case) -> FrozenKAN:
    torch.manual_seed(2)
    peer = peers.train(chosen.make(), chosen.n_in)
    ours = load(peer.state_dict(), family=chosen.family, **chosen.facts)
    quantized = quantize_model(ours, QuantizeSettings(activations=6, basis=8, base_weights=8, spline_weights=8))
    quantized.calibrate(torch.randn(256, chosen.n_in))
    return freeze(quantized, name="kan", host=host(chosen.n_in))


QUANTIZABLE = ["efficient", "fast", "fast-wide", "kagn", "conv-kan"]


class TestImportedModels(LayerConformance):
    """Quantized without training, frozen and lowered: torch == numba on integers."""

    @pytest.fixture(scope="class", params=QUANTIZABLE)
    @classmethod
    def frozen(cls, request: pytest.FixtureRequest) -> FrozenKAN:
        return _frozen(CASES[request.param])


@pytest.mark.parametrize("slope", [0.25, 0.0, -0.7, 1.0, 3.3e-5])
def test_a_prelu_is_an_activation_by_name(slope: float) -> None:
    """Its name is a plain identifier that says the float32 slope exactly; in float and in 50 digits."""
    name = prelu_name(slope)
    assert name.isidentifier()
    exact = prelu_slope(name)
    assert exact == float(torch.tensor(slope))
    x = torch.linspace(-3.0, 3.0, 13, dtype=torch.float64)
    assert torch.equal(activate(name, x), functional.prelu(x, torch.tensor([exact], dtype=torch.float64)))
    with mpmath.workdps(50):
        assert [float(exact_activation(name, mpmath.mpf(v))) for v in x.tolist()] == activate(name, x).tolist()
    assert prelu_slope("prelu") is None
    with pytest.raises(ModelError, match="an activation must be one of"):
        activate("prelu_25", x)


def test_eight_bits_change_little() -> None:
    """PTQ at W8A8 of an imported model: close to the library's own float outputs."""
    chosen = CASES["efficient"]
    torch.manual_seed(2)
    peer = peers.train(chosen.make(), chosen.n_in)
    ours = load(peer, family=chosen.family)
    bits = QuantizeSettings(activations=8, basis=10, base_weights=8, spline_weights=8, input=10)
    quantized = quantize_model(copy.deepcopy(ours), bits)
    x = torch.rand(512, chosen.n_in) * 1.8 - 0.9
    quantized.calibrate(x)
    frozen = freeze(quantized, name="kan", host=host(chosen.n_in))
    with torch.no_grad():
        error = (frozen(x.double()) - peer(x)).abs().max()
        assert error < 0.05 * peer(x).abs().max()
