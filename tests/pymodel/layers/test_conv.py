"""Float convolutions: against their formula, pixel by pixel; layouts, gradients, folding, files."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from pymodel.errors import ModelError
from pymodel.layers import (
    ConvSpec,
    EfficientKANConv1d,
    EfficientKANConv2d,
    FastKANConv1d,
    FastKANConv2d,
    KAGNConv1d,
    KAGNConv2d,
    build_kan,
    family_of,
    load_float,
    save_float,
)
from pymodel.layers._bspline import feature_map

FAMILIES = {
    "efficient_kan": (EfficientKANConv2d, EfficientKANConv1d, {"grid": 4, "order": 3, "range": (-1.0, 1.0)}),
    "efficient_kan_relu": (EfficientKANConv2d, EfficientKANConv1d, {"grid": 3, "order": 2, "activation": "relu"}),
    "fast_kan": (FastKANConv2d, FastKANConv1d, {"grid": 5}),
    "kagn": (KAGNConv2d, KAGNConv1d, {"degree": 3, "before": "silu"}),
}
SHAPES = {
    "plain": {"kernel_size": 3},
    "1x1": {"kernel_size": 1},
    "7x7": {"kernel_size": 7, "padding": 3},
    "stride": {"kernel_size": (2, 3), "stride": (2, 1), "padding": (0, 1)},
    "dilation": {"kernel_size": 2, "dilation": (1, 3), "padding": 1},
    "groups": {"kernel_size": 3, "groups": 2, "padding": 1},
}


def make(family: str, channels=2, out=4, size=(5, 6), **options):
    torch.manual_seed(0)
    cls, _, facts = FAMILIES[family]
    layer = cls(channels, out, size=size, **facts, **options).double().eval()
    if isinstance(layer, KAGNConv2d):
        with torch.no_grad():
            layer.beta_weights.normal_(std=0.02)
    return layer


def by_hand(layer, image: torch.Tensor) -> torch.Tensor:
    """Return (N, OH, OW) of one image (C, H, W): the sum over the taps that exist, edge by edge."""
    g = layer.geometry
    n = layer.out_features // g.groups
    result = torch.zeros(layer.out_features, g.out_height, g.out_width, dtype=torch.float64)
    for o in range(layer.out_features):
        for oy in range(g.out_height):
            for ox in range(g.out_width):
                total = 0.0 if layer.bias is None else float(layer.bias[o])
                for ky in range(g.kernel_height):
                    for kx in range(g.kernel_width):
                        y = oy * g.stride_h + ky * g.dilation_h - g.padding_top
                        x = ox * g.stride_w + kx * g.dilation_w - g.padding_left
                        if not (0 <= y < g.height and 0 <= x < g.width):
                            continue
                        for c in range(g.group_channels):
                            value = image[o // n * g.group_channels + c, y, x].reshape(1)
                            features = layer.functions.features(value)[0]
                            i = (ky * g.kernel_width + kx) * g.group_channels + c
                            total += float(
                                layer.base_weight[o, i] * features[0] + layer.spline_weight[o, i] @ features[1:]
                            )
                result[o, oy, ox] = total
    return result


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_formula(family: str, shape: str) -> None:
    layer = make(family, **SHAPES[shape], norm="none")
    image = torch.rand(1, 2, 5, 6, dtype=torch.float64) * 6 - 3
    got = layer(image)
    assert torch.allclose(got[0], by_hand(layer, image[0]), rtol=1e-9, atol=1e-9)
    flat = layer(image.permute(0, 2, 3, 1).reshape(1, -1))
    assert torch.equal(flat.view(1, *got.shape[2:], -1).permute(0, 3, 1, 2), got)


@torch.no_grad()
def test_kagn_is_torch_conv_kans() -> None:
    """Its own arrangement: basis channels degree by degree, two convolutions, padding after the basis, norm, SiLU."""
    layer = make("kagn", kernel_size=3, padding=1)
    layer.before = "identity"
    nn.init.normal_(layer.norm.running_mean)
    nn.init.uniform_(layer.norm.running_var, 0.5, 2.0)
    x = torch.randn(3, 2, 5, 6, dtype=torch.float64)
    t = torch.tanh(x)
    beta = layer.beta_weights
    polynomials = [torch.ones_like(t), t]
    for n in (2, 3):
        m = n - 1
        factor = (m + n) * (n - m) * m**2 * (4 * m**2 - 1) / n**2 * beta[m]
        polynomials.append(t * polynomials[-1] - factor * polynomials[-2])
    basis = functional.silu(torch.cat(polynomials, dim=1))
    poly = layer.spline_weight.view(4, 3, 3, 2, 4).permute(0, 4, 3, 1, 2).reshape(4, 8, 3, 3)
    base = layer.base_weight.view(4, 3, 3, 2).permute(0, 3, 1, 2)
    y = functional.conv2d(basis, poly, padding=1) + functional.conv2d(functional.silu(x), base, padding=1)
    norm = layer.norm
    y = functional.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    assert torch.allclose(layer(x), y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_one_dimension(family: str) -> None:
    _, cls, facts = FAMILIES[family]
    torch.manual_seed(1)
    line = (
        cls(3, 4, 5, size=11, stride=2, padding=2, pool="average", pool_size=2, norm="batch", **facts).double().eval()
    )
    plane = make(family, 3, 4, (1, 11), kernel_size=(1, 5), stride=(1, 2), padding=(0, 2), norm="batch")
    plane.load_state_dict(line.state_dict())
    x = torch.randn(2, 3, 11, dtype=torch.float64)
    got = line(x)
    assert got.shape == (2, 4, 3)
    assert torch.allclose(got, functional.avg_pool1d(plane(x[:, :, None])[:, :, 0], 2))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pool", ["max", "average"])
@torch.no_grad()
def test_pools_follow(family: str, pool: str) -> None:
    layer = make(family, kernel_size=3, padding=1, norm="batch", pool=pool, pool_size=(2, 3))
    x = torch.randn(2, 2, 5, 6, dtype=torch.float64)
    got = layer(x)
    layer.pool = None
    function = functional.max_pool2d if pool == "max" else functional.avg_pool2d
    assert torch.equal(got, function(layer(x), (2, 3)))
    assert layer.n_nodes == 4 * 5 * 6


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients(family: str) -> None:
    layer = make(family, 2, 2, (3, 3), kernel_size=2, padding=1, norm="none")
    x = (torch.rand(2, 18, dtype=torch.float64) * 1.9 - 0.95).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,), atol=1e-5)
    layer.zero_grad()
    layer(x).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_feature_map_outside_the_grid() -> None:
    x = torch.tensor([[-50.0, -1.7, 0.3, 2.5, 90.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: feature_map(x, -1.0, 0.5, 4, 3), (x,), atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_batch_norm_folds(family: str) -> None:
    layer = make(family, kernel_size=3, norm="batch", groups=2)
    for value in (layer.norm.running_mean, layer.norm.weight, layer.norm.bias):
        value.normal_()
    layer.norm.running_var.uniform_(0.5, 2.0)
    x = torch.randn(3, 60, dtype=torch.float64)
    expected = layer(x)
    base, spline, bias = layer.folded()
    layer.base_weight.copy_(base)
    layer.spline_weight.copy_(spline)
    layer.norm, layer.bias = None, nn.Parameter(bias)
    assert torch.allclose(layer(x), expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_masks_and_edge_features() -> None:
    layer = make("fast_kan", kernel_size=3, padding=1, stride=2)
    mask = torch.rand(layer.mask.shape) < 0.5
    layer.apply_mask(mask)
    x = torch.randn(3, 60, dtype=torch.float64)
    phi = layer.edge_features(x)
    weight = torch.cat((layer.base_weight.unsqueeze(-1), layer.spline_weight), dim=-1) * mask.unsqueeze(-1)
    y = phi.flatten(1) @ weight.flatten(1).T + layer.bias
    # A pixel that does not exist has features of 0, so the windows' sums are the layer's.
    assert torch.allclose(y.view(3, -1), layer(x))
    with pytest.raises(ModelError, match="several groups"):
        make("fast_kan", kernel_size=3, groups=2).edge_features(x)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kernel_size": 9}, "does not fit"),
        ({"kernel_size": 3, "padding": 3}, "less padding"),
        ({"kernel_size": 0}, "kernel_height must be 1"),
        ({"kernel_size": 3, "groups": 3}, "cannot be divided"),
        ({"kernel_size": 3, "pool": "median"}, "a pool must be none, max or average"),
        ({"kernel_size": 3, "pool": "max", "pool_size": 9}, "does not fit"),
        ({"kernel_size": 3, "norm": "layer"}, "none or batch"),
    ],
)
@pytest.mark.parametrize("family", ["efficient_kan", "fast_kan", "kagn"])
def test_refusals(family: str, options: dict, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        make(family, **options)


# --- networks and files -----------------------------------------------------------------------------------------------

CONV = (ConvSpec(4, 3, 1, 1, pool="max"), ConvSpec(6, (2, 3), groups=2))


def network(family: str):
    torch.manual_seed(3)
    norm = "none" if family == "fast_kan" else "batch"
    return build_kan(
        family, (36, 5, 3), grid=3, order=2, range=(-2, 2), norm=norm, conv=CONV, image=(6, 6, 1), activation="gelu"
    )


@pytest.mark.parametrize("family", ["efficient_kan", "fast_kan", "kagn"])
def test_networks_and_their_files(family: str, tmp_path) -> None:
    model = network(family).eval()
    assert [layer.n_inputs for layer in model.kan_layers()] == [36, 36, 12, 5]
    save_float(model, tmp_path / "a.safetensors")
    again = load_float(tmp_path / "a.safetensors").eval()
    assert family_of(again) == family_of(model)
    x = torch.rand(4, 36)
    assert torch.equal(again(x), model(x))
    save_float(again, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


EDITS = {
    "image": lambda d: d.update(image=[6, 6]),
    "image of floats": lambda d: d.update(image=[6.0, 6, 1]),
    "image of another size": lambda d: d.update(image=[6, 7, 1]),
    "no convolution": lambda d: d.update(conv=[]),
    "convolution is no object": lambda d: d["conv"].__setitem__(0, 3),
    "unknown key": lambda d: d["conv"][0].update(depth=1),
    "missing key": lambda d: d["conv"][0].pop("pool"),
    "negative": lambda d: d["conv"][0].update(stride=-1),
    "zero stride": lambda d: d["conv"][0].update(stride=0),
    "pair of channels": lambda d: d["conv"][0].update(channels=[2, 2]),
    "zero groups": lambda d: d["conv"][0].update(groups=0),
    "triple": lambda d: d["conv"][0].update(kernel=[1, 1, 1]),
    "huge": lambda d: d["conv"][0].update(channels=1 << 16),
    "many": lambda d: d.update(conv=d["conv"] * 60),
    "text": lambda d: d["conv"][0].update(kernel="3"),
    "pool": lambda d: d["conv"][0].update(pool="median"),
    "image without convolutions": lambda d: d.pop("conv"),
    "family": lambda d: d.update(kind="pykan", arities=[[], []]),
}


@pytest.mark.parametrize("name", EDITS)
def test_files_that_are_refused(name: str, tmp_path) -> None:
    path = tmp_path / "m.safetensors"
    save_float(network("efficient_kan"), path)
    with safe_open(str(path), framework="pt") as archive:
        document = json.loads(archive.metadata()["kan4ml"])
        tensors = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118
    EDITS[name](document)
    save_file(tensors, str(path), metadata={"kan4ml": json.dumps(document)})
    with pytest.raises(ModelError) as caught:
        load_float(path)
    assert "\n" not in str(caught.value)


def test_a_network_by_hand_is_not_stored(tmp_path) -> None:
    model = network("kagn")
    model.image = None
    with pytest.raises(ModelError, match="only networks of build_kan"):
        save_float(model, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="need an image of 36"):
        build_kan("kagn", (36, 2), grid=3, order=2, range=(-2, 2), conv=CONV, image=(6, 7, 1))
    with pytest.raises(ModelError, match="pykan has no convolutions"):
        build_kan("pykan", (36, 2), grid=3, order=2, range=(-2, 2), conv=CONV, image=(6, 6, 1))


def test_one_value_is_not_normalised_by_itself() -> None:
    layer = KAGNConv2d(1, 2, 3, size=(3, 3)).train()
    assert all(map(math.isfinite, layer(torch.randn(1, 9)).flatten().tolist()))
