"""fast-kan (Li): `FastKANLayer` and `FastKAN`; torch-conv-kan's `FastKANLayer` has the same tensors.

`y = spline_linear(exp(-((z_i - g_j)/h)^2)) + base_linear(act(x))` with `z = LayerNorm(x)`, or `z = x` without one. The
LayerNorm feeds the Gaussians only. h is the distance of two centres unless `denominator` says otherwise.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.importers._chain import Chain, check_chain, copy_
from pymodel.importers._facts import Facts, activation_name, as_integer, as_real, as_switch
from pymodel.importers._grids import uniform_range
from pymodel.importers._source import Layer, Source, check_shape, split_layers
from pymodel.layers import NO_BASE, FastKANLinear

__all__ = ["RBF_MARKERS", "centres", "fast_kan_layer", "import_fast_kan"]

RBF_MARKERS: Final = frozenset({"spline_linear.weight", "rbf.grid"})
_ATTENTION: Final = ("linear_q", "linear_k", "linear_v", "linear_o")


def import_fast_kan(source: Source, facts: Facts) -> Chain:
    """Return the network or layer in `source`.

    Raises:
        ModelError: if tensors or facts are missing, wrong or contradictory.
    """
    if any(name.startswith(_ATTENTION) for name in source.tensors):
        raise ModelError(
            f"{source.where} is an AttentionWithFastKANTransform, whose products of inputs no KAN layer has; import the "
            "FastKAN layers inside it, with a prefix each"
        )
    layers = split_layers(source, RBF_MARKERS, gaps=False)
    facts.ignore("spline_weight_init_scale")
    result = [fast_kan_layer(layer, facts) for layer in layers]
    check_chain(layers, [(layer.in_features, layer.out_features) for layer in result], facts)
    return Chain(result)


def fast_kan_layer(layer: Layer, facts: Facts) -> FastKANLinear:
    """Return one layer.

    Raises:
        ModelError: if tensors or facts are missing, wrong or contradictory.
    """
    extra = ("base_linear.weight", "base_linear.bias", "layernorm.weight", "layernorm.bias")
    grid, spline = layer.take("rbf.grid", "spline_linear.weight", optional=extra)
    live: Any = layer.module
    ends = centres(layer, grid)
    size = grid.numel()
    if spline.dim() != 2 or spline.shape[1] % size:
        raise ModelError(
            f"{layer.label('spline_linear.weight')!r} has shape {tuple(spline.shape)}, but {size} centres need a multiple of "
            f"{size} columns; check that the state_dict belongs to one model"
        )
    n_out, n_in = int(spline.shape[0]), int(spline.shape[1]) // size
    based = "base_linear.weight" in layer.tensors
    normed = "layernorm.weight" in layer.tensors
    if normed and n_in < 2:
        raise ModelError(
            f"{layer.label('layernorm.weight')!r} normalises one input to a constant; leave the LayerNorm out"
        )
    spacing = (ends[1] - ends[0]) / (size - 1)
    width = facts.get("denominator", _live(live, "rbf", "denominator"), as_real) or spacing
    if abs(width - spacing) <= 1e-6 * spacing:
        width = spacing
    activation = NO_BASE
    if based:
        activation = facts.need(
            "base_activation",
            "the activation of the base branch",
            getattr(live, "base_activation", None),
            activation_name,
        )
    else:
        facts.get("base_activation")
    facts.agree("use_base_update", based, as_switch)
    facts.agree("use_layernorm", normed, as_switch)
    facts.agree("num_grids", size, as_integer)
    facts.agree("grid_min", ends[0], as_real)
    facts.agree("grid_max", ends[1], as_real)
    result = FastKANLinear(n_in, n_out, grid=size, range=ends, width=width, activation=activation, layernorm=normed)
    copy_(result.spline_weight, spline.reshape(n_out, n_in, size))
    bias = torch.zeros(n_out)
    if based:
        bias = _checked(layer, "base_linear.bias", (n_out,))
        copy_(result.base_weight, _checked(layer, "base_linear.weight", (n_out, n_in)))
    else:
        copy_(result.base_weight, torch.zeros(n_out, n_in))
    assert isinstance(result.bias, nn.Parameter)
    copy_(result.bias, bias)
    if normed:
        assert result.layernorm is not None
        copy_(result.layernorm.weight, _checked(layer, "layernorm.weight", (n_in,)))
        copy_(result.layernorm.bias, _checked(layer, "layernorm.bias", (n_in,)))
        result.layernorm.eps = float(_live(live, "layernorm", "eps") or result.layernorm.eps)
    return result


def _live(module: Any, child: str, name: str) -> Any:
    return getattr(getattr(module, child, None), name, None)


def _checked(layer: Layer, name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in layer.tensors:
        raise ModelError(f"the state_dict lacks {layer.label(name)!r}; give the whole layer")
    check_shape(layer, name, shape)
    return layer.tensors[name]


def centres(layer: Layer, grid: Tensor) -> tuple[float, float]:
    """Return the first and last of the equidistant centres `grid`.

    Raises:
        ModelError: if they are not equidistant.
    """
    label = layer.label("rbf.grid")
    if grid.dim() != 1 or grid.numel() < 2:
        raise ModelError(
            f"{label!r} has shape {tuple(grid.shape)} where at least two centres were expected; check the family"
        )
    ends = uniform_range(grid.reshape(1, -1), 0)
    if ends is None or not ends[0] < ends[1]:
        raise ModelError(
            f"{label!r} holds centres that are not equidistant; train with centres that torch.linspace makes"
        )
    return ends
