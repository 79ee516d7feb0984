"""torch-conv-kan's convolutions: same output, then same integers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from pymodel.errors import ModelError
from pymodel.importers import load
from pymodel.layers import KAN, FrozenKAN
from pymodel.quant import freeze, quantize_model
from pymodel.settings import QuantizeSettings
from tests.conformance import LayerConformance, assert_same
from tests.pymodel.importers import conv_peers as peers
from tests.pymodel.importers.comparison import assert_float32
from tests.pymodel.quant.test_families import host

BN = nn.BatchNorm2d


@dataclass(frozen=True)
class Case:
    """A model, the size of its images (channels first), and the facts that its state_dict does not tell."""

    make: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    facts: dict[str, Any] = field(default_factory=dict)


ONE = {"stride": 1, "padding": 0, "dilation": 1}
GELU = {"base_activation": "gelu", "grid_range": [-1, 1], "grid_size": 5}
CASES = {
    "kagn": Case(lambda: peers.KAGNConv2DLayer(3, 4, 3, norm_layer=BN, padding=1), (3, 5, 6), {**ONE, "padding": 1}),
    "kagn-groups-stride": Case(
        lambda: peers.KAGNConv2DLayer(4, 6, 3, degree=4, norm_layer=BN, groups=2, stride=2, dilation=2, padding=2),
        (4, 9, 7),
        {"stride": 2, "padding": 2, "dilation": 2, "groups": 2, "degree": 4, "kernel_size": 3},
    ),
    "kagn-v2": Case(lambda: peers.KAGNConv2DLayerV2(2, 3, 3, degree=2, norm_layer=BN), (2, 5, 5), ONE),
    "kagn-no-norm": Case(
        lambda: peers.KAGNConv2DLayer(2, 3, 1, norm_layer=lambda _: nn.Identity()),
        (2, 3, 4),
        {**ONE, "norm_layer": nn.Identity},
    ),
    "kagn-chain": Case(
        lambda: nn.Sequential(
            peers.KAGNConv2DLayer(2, 3, 3, norm_layer=BN, padding=1),
            peers.KAGNConv2DLayer(3, 2, 2, norm_layer=BN, stride=2),
        ),
        (2, 6, 6),
        {"stride": [1, 2], "padding": [1, 0], "dilation": 1},
    ),
    "kan": Case(
        lambda: peers.KANConv2DLayer(2, 3, 3, norm_layer=BN, padding=1), (2, 5, 6), {**ONE, "padding": 1, **GELU}
    ),
    "kan-order-2": Case(
        lambda: peers.KANConv2DLayer(
            2, 4, 2, spline_order=2, grid_size=4, base_activation=nn.SiLU, grid_range=(-2.0, 1.0), norm_layer=BN
        ),
        (2, 4, 4),
        {**ONE, "base_activation": "silu", "grid_range": [-2, 1], "spline_order": 2},
    ),
    "fast": Case(
        lambda: peers.FastKANConv2DLayer(3, 4, 3, norm_layer=BN, padding=1),
        (3, 5, 6),
        {**ONE, "padding": 1, "base_activation": "silu"},
    ),
    "fast-groups": Case(
        lambda: peers.FastKANConv2DLayer(
            4, 2, 3, norm_layer=BN, groups=2, stride=2, grid_size=5, base_activation=nn.Tanh
        ),
        (4, 5, 5),
        {**ONE, "stride": 2, "base_activation": "tanh", "grid_size": 5, "grid_range": [-2, 2]},
    ),
    "fast-no-norm": Case(
        lambda: peers.FastKANConv2DLayer(2, 3, 3, norm_layer=lambda _: nn.Identity()),
        (2, 5, 5),
        {**ONE, "base_activation": "silu", "norm_layer": "Identity"},
    ),
}


def trained(case: Case) -> nn.Module:
    """A few steps, which also move the running statistics."""
    torch.manual_seed(3)
    model = case.make()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    x = torch.randn(16, *case.shape)
    for _ in range(6):
        optimizer.zero_grad()
        (model(x) - torch.sin(x).mean()).square().mean().backward()
        optimizer.step()
    return model.eval()


def probes(shape: tuple[int, int, int]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def image(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(12, *shape, generator=generator)

    knots = torch.linspace(-2.2, 2.2, 12)[torch.randint(12, (12, *shape), generator=generator)]
    return {"inside": image(-1.5, 1.5), "knots": knots, "outside": image(-5.0, 5.0), "far": image(-1e3, 1e3)}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Case, nn.Module]:
    chosen = CASES[request.param]
    return chosen, trained(chosen)


def test_the_output_is_the_librarys(case: tuple[Case, nn.Module]) -> None:
    chosen, peer = case
    inputs = probes(chosen.shape)
    size = chosen.shape[1:]
    ours = load(peer.state_dict(), family="torch_conv_kan", size=size, **chosen.facts)
    assert isinstance(ours, KAN)
    assert_float32(ours, peer, inputs)
    live = load(nn.ModuleDict({"a": peer}), family="torch_conv_kan", prefix="a", size=size)
    rows = inputs["inside"].permute(0, 2, 3, 1).flatten(1)
    assert torch.equal(live(inputs["outside"]), ours(inputs["outside"]))
    # Flat rows, channels last, as every other part of kan4ml has images.
    torch.testing.assert_close(ours(rows), ours(inputs["inside"]).permute(0, 2, 3, 1).flatten(1))


def test_a_changed_weight_is_seen(case: tuple[Case, nn.Module]) -> None:
    chosen, peer = case
    inputs = probes(chosen.shape)
    for name, tensor in peer.state_dict().items():
        if not tensor.is_floating_point() or name.endswith(("rbf.grid", "beta_weights")):
            continue
        state = {key: value.clone() for key, value in peer.state_dict().items()}
        state[name] = 1.5 * state[name] + 0.1
        with pytest.raises(AssertionError):
            assert_float32(load(state, family="torch_conv_kan", size=chosen.shape[1:], **chosen.facts), peer, inputs)


class TestImportedModels(LayerConformance):
    """Quantized without training, frozen and lowered: torch == numba on integers."""

    @pytest.fixture(scope="class", params=["kagn-chain", "kan-order-2", "fast-groups"])
    @classmethod
    def frozen(cls, request: pytest.FixtureRequest) -> FrozenKAN:
        chosen = CASES[request.param]
        ours = load(trained(chosen).state_dict(), family="torch_conv_kan", size=chosen.shape[1:], **chosen.facts)
        assert isinstance(ours, KAN)
        quantized = quantize_model(ours, QuantizeSettings(activations=6, basis=7, base_weights=6, spline_weights=6))
        rows = torch.randn(64, ours.widths[0])
        quantized.calibrate(rows)
        return freeze(quantized, name="kan", host=host(ours.widths[0]))

    def test_a_changed_constant_is_seen(self, frozen, ir, X, expected) -> None:
        """As for dense layers, in the first group of every convolution."""
        for index, (name, _) in enumerate(frozen.named_layers()):
            sabotaged = copy.deepcopy(frozen)
            group = sabotaged.layers[index].groups[0]
            group.bias += 1 << group.shift
            got = sabotaged.run(X)
            assert (got[name] != expected[name]).any()
            with pytest.raises(pytest.fail.Exception, match=name):
                assert_same(expected, got)


def test_the_eps_of_a_norm_is_a_fact() -> None:
    """It is an argument of the library's constructor and not in the state_dict; 1e-5 unless it is given."""
    chosen = CASES["kagn"]
    peer = trained(chosen)
    peer.layer_norm[0].eps = 0.3
    size = chosen.shape[1:]
    assert_float32(load(peer, family="torch_conv_kan", size=size), peer, probes(chosen.shape))
    told = load(peer.state_dict(), family="torch_conv_kan", size=size, eps=0.3, **chosen.facts)
    assert_float32(told, peer, probes(chosen.shape))
    with pytest.raises(ModelError, match=r"eps is given as 0.2, but the live module has 0.3"):
        load(peer, family="torch_conv_kan", size=size, eps=0.2)


def test_one_dimension() -> None:
    """A KAGNConv1D is a KAGNConv2D on images of one line."""
    torch.manual_seed(0)
    plane = trained(Case(lambda: peers.KAGNConv2DLayer(2, 3, 3, norm_layer=BN), (2, 5, 9)))
    state = {
        name: t[..., 1, :] if name.endswith(("weights", "conv.0.weight")) and t.dim() > 3 else t
        for name, t in plane.state_dict().items()
    }
    ours = load(state, family="torch_conv_kan", size=9, **ONE)

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plane = plane

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            # The middle row of the kernel alone, on the line between two rows that are not there.
            clone = peers.KAGNConv2DLayer(2, 3, 3, norm_layer=BN, padding=1).to(x.dtype).eval()
            clone.load_state_dict(self.plane.state_dict())
            return clone(x.unsqueeze(2))[:, :, 0, 1:-1]

    x = torch.randn(7, 2, 9)
    assert_float32(ours, Line(), {"inside": x})


def _state(name: str) -> dict[str, Any]:
    torch.manual_seed(0)
    return dict(CASES[name].make().state_dict())


def _facts(name: str, **changes: Any) -> dict[str, Any]:
    facts = {"size": CASES[name].shape[1:], **CASES[name].facts, **changes}
    return {key: value for key, value in facts.items() if value is not None}


REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "no stride": (
        lambda: _state("kagn"),
        _facts("kagn", stride=None),
        "the stride of the convolution; supply the fact stride",
    ),
    "no padding": (lambda: _state("kagn"), _facts("kagn", padding=None), "supply the fact padding"),
    "no dilation": (lambda: _state("kagn"), _facts("kagn", dilation=None), "supply the fact dilation"),
    "no size": (lambda: _state("kagn"), _facts("kagn", size=None), "the size of the images; supply the fact size"),
    "no norm_layer": (
        lambda: peers.KAGNConv2DLayer(2, 3, 3).state_dict(),
        _facts("kagn"),
        "which norm it has, if any; supply the fact norm_layer",
    ),
    "an instance norm": (
        lambda: peers.KAGNConv2DLayer(2, 3, 3).state_dict(),
        _facts("kagn", norm_layer="InstanceNorm2d"),
        "a InstanceNorm2d, which normalises every image by its own mean and variance, at run time; train it with",
    ),
    "a live instance norm": (lambda: peers.FastKANConv2DLayer(2, 3, 3), {"size": (5, 6)}, "at run time; train it with"),
    "a batch norm that is not there": (
        lambda: peers.KAGNConv2DLayer(2, 3, 3).state_dict(),
        _facts("kagn", norm_layer="BatchNorm2d"),
        "lacks 'layer_norm.0.running_mean'",
    ),
    "no such norm": (
        lambda: peers.KAGNConv2DLayer(2, 3, 3).state_dict(),
        _facts("kagn", norm_layer="Norm"),
        "must be a norm of torch",
    ),
    "another kernel": (lambda: _state("kagn"), _facts("kagn", kernel_size=5), r"kernel_size is given as \(5, 5\), but"),
    "other groups": (
        lambda: _state("kagn-groups-stride"),
        _facts("kagn-groups-stride", groups=1),
        "groups is given as 1",
    ),
    "another degree": (
        lambda: _state("kagn"),
        _facts("kagn", degree=5),
        "degree is given as 5, but the tensors have 3",
    ),
    "gelu": (lambda: _state("kagn"), _facts("kagn", base_activation="gelu"), "KAGNConv always has SiLU"),
    "padding as a word": (lambda: _state("kagn"), _facts("kagn", padding="same"), "an integer or a pair"),
    "strides of other layers": (
        lambda: _state("kagn-chain"),
        _facts("kagn-chain", stride=[1, 1, 2]),
        "stride has 3 entries, but there are 2 layers",
    ),
    "images smaller than the kernel": (lambda: _state("kagn"), _facts("kagn", size=(1, 1), padding=0), "window"),
    "an image of no size": (lambda: _state("kagn"), _facts("kagn", size=(0, 3)), "of at least 1"),
    "no range": (lambda: _state("kan"), _facts("kan", grid_range=None), "supply the fact grid_range"),
    "no grid": (lambda: _state("kan"), _facts("kan", grid_size=None), "supply the fact grid_size"),
    "no activation": (lambda: _state("kan"), _facts("kan", base_activation=None), "supply the fact base_activation"),
    "another grid": (
        lambda: _state("fast"),
        _facts("fast", grid_size=9),
        "grid_size is given as 9, but the tensors have 8",
    ),
    "v2 with groups": (
        lambda: peers.KAGNConv2DLayerV2(2, 4, 3, norm_layer=BN, groups=2),
        _facts("kagn-v2"),
        "KAGNConvV2 with groups, which mixes the channels",
    ),
    "slopes that differ": (
        lambda: {
            **peers.KANConv2DLayer(2, 4, 3, norm_layer=BN, groups=2).state_dict(),
            "prelus.1.weight": torch.tensor([0.5]),
        },
        _facts("kan"),
        "slopes differ",
    ),
    "an unknown tensor": (
        lambda: {**_state("kagn"), "inner_proj.weight": torch.zeros(1)},
        _facts("kagn"),
        "'inner_proj.weight' belongs to no layer of this family",
    ),
    "a missing base": (
        lambda: {key: value for key, value in _state("kagn").items() if "base_conv" not in key},
        _facts("kagn"),
        "'base_conv.0.weight' is missing",
    ),
    "a missing variance": (
        lambda: {key: value for key, value in _state("kagn").items() if "running_var" not in key},
        _facts("kagn"),
        "'layer_norm.0.running_var' is missing",
    ),
    "a pool between": (
        lambda: nn.Sequential(
            peers.KAGNConv2DLayer(2, 3, 3, norm_layer=BN),
            nn.MaxPool2d(2),
            peers.KAGNConv2DLayer(3, 2, 1, norm_layer=BN),
        ),
        {"size": (9, 9)},
        "layer number 1 is not in",
    ),
    "channels that do not fit": (
        lambda: nn.Sequential(
            peers.KAGNConv2DLayer(2, 3, 3, norm_layer=BN), peers.KAGNConv2DLayer(2, 2, 1, norm_layer=BN)
        ),
        {"size": (9, 9)},
        "1 has 2 input channels, but the layer before it has 3 outputs",
    ),
    "kinds that do not follow": (
        lambda: nn.Sequential(
            peers.KAGNConv2DLayer(2, 3, 3, norm_layer=BN), peers.FastKANConv2DLayer(3, 2, 1, norm_layer=BN)
        ),
        {"size": (9, 9)},
        "whose SiLU it cannot take over",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_by_name(what: str) -> None:
    make, facts, message = REFUSED[what]
    with pytest.raises(ModelError, match=message) as caught:
        load(make(), family="torch_conv_kan", **facts)
    assert "\n" not in str(caught.value)
