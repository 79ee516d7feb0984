"""torch-conv-kan (Drokin), convolutions in one and two dimensions: `KAGNConv`, `KAGNConvV2`, `KANConv`, `FastKANConv`.

Bases are evaluated per pixel and then convolved, in the library and here, so a padded pixel contributes 0. The order of
basis channels differs: Gram polynomials are degree-major, B-splines and Gaussians channel-major. Batch norms keep their
running statistics; instance norms, the library's default, take each image's own, and are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.importers._chain import Chain, copy_
from pymodel.importers._facts import Facts, activation_name, as_integer, as_pair, as_real
from pymodel.importers._fast_kan import centres
from pymodel.importers._source import Layer, Source, check_shape, split_layers
from pymodel.importers._spline_facts import spline_facts
from pymodel.layers import ConvLayer, EfficientKANConv2d, FastKANConv2d, KAGNConv2d, prelu_name

__all__ = ["CONV_MARKERS", "import_conv"]

_NORM: Final = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
CONV_MARKERS: Final = frozenset({"poly_weights", "poly_conv.weight", "spline_conv.0.weight"})
_Pair = tuple[int, int]


@dataclass(frozen=True)
class _Window:
    """Where a layer is applied; pairs are (vertical, horizontal)."""

    size: _Pair
    stride: _Pair
    padding: _Pair
    dilation: _Pair

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a convolution."""
        return {"size": self.size, "stride": self.stride, "padding": self.padding, "dilation": self.dilation}


def import_conv(source: Source, facts: Facts) -> Chain:
    """Return the convolution, or the chain of convolutions, in `source`.

    Raises:
        ModelError: if tensors or facts are missing, wrong or contradictory, or a norm has no fixed statistics.
    """
    layers = split_layers(source, CONV_MARKERS, gaps=False)
    facts.ignore("dropout", "affine", "momentum", "track_running_stats")
    result: list[ConvLayer] = []
    one_dimensional = _base(layers[0])[0].dim() == 3
    size = facts.need("size", "the size of the images", None, _size)
    before = "identity"
    for index, layer in enumerate(layers):
        channels = result[-1].out_features if result else None
        window = _window(layer, facts, index, len(layers), size, one_dimensional)
        if "poly_weights" in layer.tensors or "poly_conv.weight" in layer.tensors:
            parts = _gram(layer, facts, window, before)
            before = "silu"
        elif "rbf.grid" in layer.tensors:
            parts = _gaussians(layer, facts, window, before)
        else:
            parts = _splines(layer, facts, window, before)
        if channels is not None and parts[0].geometry.channels != channels:
            raise ModelError(
                f"{layer.name} has {parts[0].geometry.channels} input channels, but the layer before it has {channels} outputs; "
                "check that the state_dict belongs to one model"
            )
        result += parts
        size = result[-1].out_geometry
    if before == "silu":
        result.append(_pointwise(result[-1], "silu"))
    return Chain(result)


# --- geometry ---------------------------------------------------------------------------------------------------------


def _pair(name: str, value: Any) -> _Pair:
    values = [value, value] if isinstance(value, int) else value
    if not isinstance(values, Sequence) or isinstance(values, str) or not 1 <= len(values) <= 2:
        raise ModelError(
            f"the fact {name} must be an integer or a pair (vertical, horizontal), not {value!r}; correct it"
        )
    numbers = [as_integer(name, v) for v in values]
    return numbers[0], numbers[-1]


def _size(name: str, value: Any) -> _Pair:
    pair = (1, value) if isinstance(value, int) else _pair(name, value)
    if min(pair) < 1:
        raise ModelError(
            f"the fact {name} must be (height, width), or a length, of at least 1, not {value!r}; correct it"
        )
    return pair


def _window(layer: Layer, facts: Facts, index: int, n_layers: int, size: _Pair, line: bool) -> _Window:
    """Return the geometry of a layer: its facts may be one for all layers, or a list with one per layer."""
    live: Any = layer.module

    def each(name: str, value: Any) -> Any:
        if isinstance(value, list) and n_layers > 1:
            if len(value) != n_layers:
                raise ModelError(
                    f"the fact {name} has {len(value)} entries, but there are {n_layers} layers; give one each"
                )
            value = value[index]
        first, second = _pair(name, value)
        return (0 if name == "padding" else 1, second) if line else (first, second)

    found = {
        name: facts.need(name, f"the {name} of {layer.name or 'the convolution'}", getattr(live, name, None), each)
        for name in ("stride", "padding", "dilation")
    }
    return _Window(size, **found)


def _base(layer: Layer) -> list[Tensor]:
    """Return the weights of the base branch, one per group."""
    if "base_conv.weight" in layer.tensors:
        return [layer.tensors["base_conv.weight"]]
    result: list[Tensor] = []
    while f"base_conv.{len(result)}.weight" in layer.tensors:
        result.append(layer.tensors[f"base_conv.{len(result)}.weight"])
    if not result or result[0].dim() not in (3, 4):
        raise ModelError(
            f"{layer.label('base_conv.0.weight')!r} is missing or no kernel of one or two dimensions; give the whole layer"
        )
    return result


def _kernels(layer: Layer, names: list[str], facts: Facts) -> tuple[list[Tensor], int, int, _Pair]:
    """Return the kernels called `names` as (N/g, C/g * F, kh, kw), and C/g, N/g and the kernel's size."""
    base = _base(layer)
    n_out, n_in = int(base[0].shape[0]), int(base[0].shape[1])
    extent = tuple(int(k) for k in base[0].shape[2:])
    if len(base) != len(names):
        raise ModelError(f"{layer.label(names[-1])!r} has no base_conv of its own; give the whole layer")
    result = []
    for group, name in enumerate(names):
        kernel = layer.tensors[name]
        if tuple(base[group].shape) != (n_out, n_in, *extent) or kernel.dim() != 2 + len(extent):
            raise ModelError(
                f"{layer.label(name)!r} does not fit base_conv; check that the state_dict belongs to one model"
            )
        if kernel.shape[0] != n_out or tuple(kernel.shape[2:]) != extent or kernel.shape[1] % n_in:
            raise ModelError(
                f"{layer.label(name)!r} does not fit base_conv; check that the state_dict belongs to one model"
            )
        result.append(_image(kernel))
    facts.agree("groups", len(base), as_integer)
    facts.agree("input_dim", n_in * len(base), as_integer)
    facts.agree("output_dim", n_out * len(base), as_integer)
    facts.agree("kernel_size", (extent[0], extent[-1]), _pair)
    return result, n_in, n_out, (1, extent[0]) if len(extent) == 1 else (extent[0], extent[1])


def _image(kernel: Tensor) -> Tensor:
    return kernel.unsqueeze(2) if kernel.dim() == 3 else kernel


def _dense(kernel: Tensor, n_in: int, *, major: str) -> Tensor:
    """Return the weights (N, taps * C, F) of a kernel (N, C*F, kh, kw) whose channels are `channel`- or `basis`-major."""
    n_out, rest, height, width = kernel.shape
    n_basis = rest // n_in
    shape = (n_out, n_in, n_basis, height, width) if major == "channel" else (n_out, n_basis, n_in, height, width)
    order = (0, 3, 4, 1, 2) if major == "channel" else (0, 3, 4, 2, 1)
    return kernel.reshape(shape).permute(order).reshape(n_out, height * width * n_in, n_basis)


def _set_weights(result: ConvLayer, layer: Layer, spline: list[Tensor], n_in: int, *, major: str) -> None:
    base = [_dense(_image(kernel), n_in, major="channel") for kernel in _base(layer)]
    copy_(result.base_weight, torch.cat(base).squeeze(-1))
    copy_(result.spline_weight, torch.cat([_dense(kernel, n_in, major=major) for kernel in spline]))


# --- norms ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Affine:
    """A batch norm in evaluation: `x * scale + shift` per channel."""

    norm: nn.BatchNorm1d

    @property
    def scale(self) -> Tensor:
        """(C,), float64."""
        assert self.norm.running_var is not None
        return self.norm.weight.detach().double() / torch.sqrt(self.norm.running_var.double() + self.norm.eps)

    @property
    def shift(self) -> Tensor:
        """(C,), float64."""
        assert self.norm.running_mean is not None
        return self.norm.bias.detach().double() - self.norm.running_mean.double() * self.scale


def _norm(layer: Layer, facts: Facts, groups: int, channels: int, *, single: bool = False) -> nn.BatchNorm1d | None:
    """Return the batch norm over all groups' channels, or None if there is none.

    Raises:
        ModelError: if the norm computes its statistics at run time.
    """
    names = ["layer_norm"] if single else [f"layer_norm.{g}" for g in range(groups)]
    keys = [name for name in layer.tensors if name.startswith("layer_norm.")]
    live: Any = layer.module
    modules = [live.get_submodule(name) for name in names] if live is not None else []
    if not any(key.endswith("running_mean") for key in keys):
        told = type(modules[0]).__name__ if modules else None
        kind = facts.need("norm_layer", "which norm it has, if any", told, _norm_name)
        if kind == "Identity" and not keys:
            return None
        if kind.startswith("BatchNorm"):
            raise ModelError(f"the state_dict lacks {layer.label(f'{names[0]}.running_mean')!r}; give the whole layer")
        raise ModelError(
            f"{layer.name or 'the convolution'} has a {kind}, which normalises every image by its own mean and variance, at run "
            "time; train it with norm_layer=nn.BatchNorm2d"
        )
    facts.get("norm_layer", None, _norm_name)
    result = nn.BatchNorm1d(channels * groups)
    told_eps = {float(module.eps) for module in modules}
    if len(told_eps) > 1:
        raise ModelError(f"{layer.label('layer_norm')!r} has norms of different eps; give them one")
    eps = facts.get("eps", told_eps.pop() if told_eps else None, as_real)
    result.eps = result.eps if eps is None else eps
    parts: dict[str, list[Tensor]] = {name: [] for name in _NORM[:4]}
    for name in names:
        for field in _NORM[:4]:
            default = torch.full((channels,), 0.0 if field == "bias" else 1.0)
            tensor = layer.tensors.get(f"{name}.{field}", default if field in ("weight", "bias") else None)
            if tensor is None or tuple(tensor.shape) != (channels,):
                raise ModelError(
                    f"{layer.label(f'{name}.{field}')!r} is missing or not of shape ({channels},); give the whole layer"
                )
            parts[field].append(tensor)
    for field, tensors in parts.items():
        copy_(getattr(result, field), torch.cat(tensors))
    return result


def _norm_name(name: str, value: Any) -> str:
    text = value.rpartition(".")[2] if isinstance(value, str) else getattr(value, "__name__", "")
    known = [f"{kind}{n}d" for kind in ("BatchNorm", "InstanceNorm") for n in (1, 2, 3)]
    if text not in (*known, "Identity", "LayerNorm", "GroupNorm"):
        raise ModelError(
            f"the fact {name} must be a norm of torch such as BatchNorm2d, or Identity, not {value!r}; correct it"
        )
    return text


def _norm_keys(groups: int, *, single: bool = False) -> list[str]:
    names = ["layer_norm"] if single else [f"layer_norm.{g}" for g in range(groups)]
    return [f"{name}.{field}" for name in names for field in _NORM]


# --- the three kinds --------------------------------------------------------------------------------------------------


def _gram(layer: Layer, facts: Facts, window: _Window, before: str) -> list[ConvLayer]:
    """Return a `KAGNConv` without its last step, the SiLU, which is the next layer's first."""
    second = "poly_conv.weight" in layer.tensors  # the layer's second version
    groups = len(_base(layer))
    if second:
        names, base_names = ["poly_conv.weight"], ["base_conv.weight"]
        count = int(facts.get("groups", getattr(layer.module, "groups", None), as_integer) or 1)
        if count != 1 or layer.tensors["poly_conv.weight"].shape[1] % layer.tensors[base_names[0]].shape[1]:
            raise ModelError(
                f"{layer.label('poly_conv.weight')!r} is a KAGNConvV2 with groups, which mixes the channels of all of them; train "
                "it with groups=1, or as a KAGNConv"
            )
        layer.take(*names, *base_names, "beta_weights", optional=_norm_keys(1, single=True))
    else:
        stacked = layer.tensors["poly_weights"]
        layer.take(
            "poly_weights",
            "beta_weights",
            *(f"base_conv.{g}.weight" for g in range(groups)),
            optional=_norm_keys(groups),
        )
        if stacked.shape[0] != groups:
            raise ModelError(
                f"{layer.label('poly_weights')!r} has {stacked.shape[0]} groups, but base_conv {groups}; give the whole layer"
            )
        names = [f"poly_weights.{g}" for g in range(groups)]
        layer = Layer(layer.name, {**layer.tensors, **dict(zip(names, stacked, strict=True))}, layer.module)
    kernels, n_in, n_out, extent = _kernels(layer, names, facts)
    n_basis = kernels[0].shape[1] // n_in
    check_shape(layer, "beta_weights", (n_basis,))
    live: Any = layer.module
    activation = facts.get("base_activation", getattr(live, "base_activation", None), activation_name)
    if activation not in (None, "silu"):
        raise ModelError(f"the fact base_activation is {activation!r}, but KAGNConv always has SiLU; correct it")
    facts.agree("degree", n_basis - 1, as_integer)
    norm = _norm(layer, facts, groups, n_out, single=second)
    result = KAGNConv2d(
        n_in * groups,
        n_out * groups,
        extent,
        groups=groups,
        degree=n_basis - 1,
        before=before,
        norm="none" if norm is None else "batch",
        **window.arguments(),
    )
    _set_weights(result, layer, kernels, n_in, major="basis")
    copy_(result.beta_weights, layer.tensors["beta_weights"])
    if norm is not None:
        result.norm = norm
    return [result]


def _splines(layer: Layer, facts: Facts, window: _Window, before: str) -> list[ConvLayer]:
    """Return a `KANConv`: the convolution with its norm, and a layer that is its PReLU."""
    groups = len(_base(layer))
    names = [f"spline_conv.{g}.weight" for g in range(groups)]
    slopes = [f"prelus.{g}.weight" for g in range(groups)]
    layer.take(*names, *slopes, *(f"base_conv.{g}.weight" for g in range(groups)), optional=_norm_keys(groups))
    _check_before(layer, before)
    kernels, n_in, n_out, extent = _kernels(layer, names, facts)
    size, order, ends = spline_facts(facts, layer.module, kernels[0].shape[1] // n_in)
    activation = _activation(layer, facts)
    norm = _norm(layer, facts, groups, n_out)
    result = EfficientKANConv2d(
        n_in * groups,
        n_out * groups,
        extent,
        groups=groups,
        norm="none" if norm is None else "batch",
        grid=size,
        order=order,
        range=ends,
        activation=activation,
        **window.arguments(),
    )
    _set_weights(result, layer, kernels, n_in, major="channel")
    if norm is not None:
        result.norm = norm
    found = {float(layer.tensors[name].reshape(-1)[0]) for name in slopes}
    if len(found) > 1 or any(layer.tensors[name].numel() != 1 for name in slopes):
        raise ModelError(
            f"{layer.label(slopes[0])!r} and the other groups' slopes differ, but one for all channels was expected; train it "
            "with groups=1"
        )
    return [result, _pointwise(result, prelu_name(found.pop()))]


def _gaussians(layer: Layer, facts: Facts, window: _Window, before: str) -> list[ConvLayer]:
    """Return a `FastKANConv`; with a norm of its inputs, a layer in front gives every channel twice: as it is, and normalised."""
    groups = len(_base(layer))
    names = [f"spline_conv.{g}.weight" for g in range(groups)]
    layer.take("rbf.grid", *names, *(f"base_conv.{g}.weight" for g in range(groups)), optional=_norm_keys(groups))
    _check_before(layer, before)
    kernels, n_in, n_out, extent = _kernels(layer, names, facts)
    grid = layer.tensors["rbf.grid"]
    ends = centres(layer, grid)
    size = grid.numel()
    if kernels[0].shape[1] != n_in * size:
        raise ModelError(f"{layer.label(names[0])!r} does not have {size} basis maps per channel; give the whole layer")
    facts.agree("grid_size", size, as_integer)
    facts.agree("grid_range", ends, as_pair)
    activation = _activation(layer, facts)
    norm = _norm(layer, facts, groups, n_in)
    front = [] if norm is None else [_twice(_Affine(norm), n_in * groups, window.size)]
    factor = 1 + len(front)
    result = FastKANConv2d(
        factor * n_in * groups,
        n_out * groups,
        extent,
        groups=groups,
        grid=size,
        range=ends,
        activation=activation,
        **window.arguments(),
    )
    _set_wide(result, layer, kernels, n_in, factor)
    assert isinstance(result.bias, nn.Parameter)
    copy_(result.bias, torch.zeros(n_out * groups))
    return [*front, result]


def _set_wide(result: FastKANConv2d, layer: Layer, kernels: list[Tensor], n_in: int, factor: int) -> None:
    """Set weights whose base reads the first, and whose Gaussians read the last of each channel's `factor` copies."""
    base = torch.cat([_dense(_image(kernel), n_in, major="channel") for kernel in _base(layer)]).squeeze(-1)
    spline = torch.cat([_dense(kernel, n_in, major="channel") for kernel in kernels])
    copy_(result.base_weight, torch.zeros_like(result.base_weight))
    copy_(result.spline_weight, torch.zeros_like(result.spline_weight))
    with torch.no_grad():
        result.base_weight[:, ::factor] = base
        result.spline_weight[:, factor - 1 :: factor] = spline


def _twice(affine: _Affine, channels: int, size: _Pair) -> FastKANConv2d:
    """Return a pointwise layer with outputs `x_c` and `scale_c*x_c + shift_c` for every channel c."""
    result = FastKANConv2d(channels, 2 * channels, 1, size=size, groups=channels, grid=2, activation="identity")
    copy_(result.spline_weight, torch.zeros_like(result.spline_weight))
    scale = torch.stack((torch.ones(channels, dtype=torch.float64), affine.scale), dim=1)
    shift = torch.stack((torch.zeros(channels, dtype=torch.float64), affine.shift), dim=1)
    copy_(result.base_weight, scale.reshape(-1, 1))
    assert isinstance(result.bias, nn.Parameter)
    copy_(result.bias, shift.flatten())
    return result


def _pointwise(before: ConvLayer, activation: str) -> KAGNConv2d:
    """Return a layer that is `activation` of every output of `before`: one edge per channel, and no basis."""
    n = before.out_features
    result = KAGNConv2d(n, n, 1, size=before.out_geometry, groups=n, norm="none", degree=1, activation=activation)
    copy_(result.base_weight, torch.ones(n, 1))
    copy_(result.spline_weight, torch.zeros(n, 1, 2))
    copy_(result.beta_weights, torch.zeros(2))
    return result


def _activation(layer: Layer, facts: Facts) -> str:
    live = getattr(layer.module, "base_activation", None)
    name: str = facts.need("base_activation", "the activation of the base branch", live, activation_name)
    return name


def _check_before(layer: Layer, before: str) -> None:
    if before != "identity":
        raise ModelError(
            f"{layer.name} follows a KAGNConv, whose SiLU it cannot take over; import the layers one by one, with a prefix each"
        )
