"""efficient-kan (Blealtan): `KANLinear` and `KAN`.

`y_o = sum_i base_weight[o,i]*act(x_i) + sum_(i,b) spline_weight[o,i,b]*spline_scaler[o,i]*B_b(x_i)`. The scaler is folded
into the spline weights. Grid, G and k follow from the tensors, the activation does not. Grids that update_grid moved keep
their knots, one row per input.
"""

from __future__ import annotations

from typing import Any, Final

import torch

from pymodel.errors import ModelError
from pymodel.importers._chain import Chain, check_chain, copy_
from pymodel.importers._facts import Facts, activation_name, as_integer, as_pair, as_switch
from pymodel.importers._grids import check_increasing, is_even, knot_layer, uniform_range
from pymodel.importers._source import Layer, Source, check_shape, split_layers
from pymodel.layers import MAX_ORDER, EfficientKANLinear, KANLayer

__all__ = ["import_efficient_kan"]

_MARKERS: Final = frozenset({"spline_weight", "base_weight"})


def import_efficient_kan(source: Source, facts: Facts) -> Chain:
    """Return the network or layer in `source`.

    Raises:
        ModelError: if tensors or facts are missing, wrong or contradictory.
    """
    layers = split_layers(source, _MARKERS, gaps=False)
    facts.ignore("scale_noise", "scale_base", "scale_spline", "grid_eps")
    result = [_layer(layer, facts) for layer in layers]
    check_chain(layers, [(layer.in_features, layer.out_features) for layer in result], facts)
    orders = {_order(layer) for layer in layers}
    if len(orders) > 1:
        raise ModelError(
            f"the layers have splines of different orders {sorted(orders)}, which efficient-kan never builds; check that "
            "the state_dict belongs to one model"
        )
    return Chain(result)


def _order(layer: Layer) -> int:
    return int(layer.tensors["grid"].shape[1]) - 1 - int(layer.tensors["spline_weight"].shape[2])


def _layer(layer: Layer, facts: Facts) -> KANLayer:
    grid, base, spline = layer.take("grid", "base_weight", "spline_weight", optional=("spline_scaler",))
    for name, tensor, rank in (("grid", grid, 2), ("base_weight", base, 2), ("spline_weight", spline, 3)):
        if tensor.dim() != rank:
            raise ModelError(
                f"{layer.label(name)!r} has shape {tuple(tensor.shape)} where {rank} dimensions were expected; check the family"
            )
    n_out, n_in, n_basis = (int(n) for n in spline.shape)
    check_shape(layer, "base_weight", (n_out, n_in))
    order = _order(layer)
    size = n_basis - order
    check_shape(layer, "grid", (n_in, int(grid.shape[1])))
    if not 1 <= order <= MAX_ORDER or size < 1:
        raise ModelError(
            f"{layer.label('grid')!r} has {grid.shape[1]} knots for {n_basis} basis functions, which gives no spline order "
            f"of 1 … {MAX_ORDER}; check that the state_dict belongs to one model"
        )
    scaler = layer.tensors.get("spline_scaler")
    if scaler is not None:
        check_shape(layer, "spline_scaler", (n_out, n_in))
        spline = (spline.double() * scaler.double().unsqueeze(-1)).float()
    live: Any = layer.module
    activation = facts.need(
        "base_activation", "the activation of the base branch", getattr(live, "base_activation", None), activation_name
    )
    facts.agree("enable_standalone_scale_spline", scaler is not None, as_switch)
    facts.agree("grid_size", size, as_integer)
    facts.agree("spline_order", order, as_integer)
    check_increasing(layer.label("grid"), grid)
    ends = uniform_range(grid, order)
    facts.get("grid_range", None, as_pair)
    if ends is not None:
        facts.agree("grid_range", ends, as_pair)
    if ends is None or not is_even(grid, order, ends):  # moved by update_grid, or cells as small as rounding
        moved = knot_layer(layer, grid, n_basis, n_out, (), activation)
        copy_(moved.base_weight, base)
        copy_(moved.spline_weight, layer.tensors["spline_weight"])
        copy_(moved.scale_sp, torch.ones(n_out, n_in) if scaler is None else scaler)
        return moved
    result = EfficientKANLinear(n_in, n_out, grid=size, order=order, range=ends, activation=activation)
    copy_(result.base_weight, base)
    copy_(result.spline_weight, spline)
    return result
