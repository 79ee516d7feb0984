"""pykan 0.2.8 (Liu): `KAN` (`MultKAN`) and its `KANLayer`.

Edge i to subnode j: `mask[i,j]*(scale_base[i,j]*base_fun(x_i) + scale_sp[i,j]*sum_b coef[i,j,b]*B_b(x_i))`; then the
subnodes' scales and biases, products, and the nodes' scales and biases. Every input has a grid of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.importers._chain import Chain, copy_
from pymodel.importers._facts import Facts, activation_name, as_integer, as_switch
from pymodel.importers._grids import knot_layer
from pymodel.importers._source import Layer, Source, check_shape
from pymodel.layers import NO_BASE, PyKANLinear

__all__ = ["import_pykan"]

_EDGE: Final = ("grid", "coef", "mask", "scale_base", "scale_sp")
_NAME: Final = re.compile(r"(?:(act_fun|symbolic_fun)\.(\d+)\.(\w+))|(?:((?:sub)?node_(?:scale|bias))_(\d+))", re.ASCII)
#: Arguments of the constructor that do not change what a trained network computes, or that the tensors tell.
_IGNORED: Final = (
    "noise_scale", "scale_base_mu", "scale_base_sigma", "affine_trainable", "grid_eps", "grid_range", "sp_trainable",
    "sb_trainable", "seed", "save_act", "sparse_init", "auto_save", "first_init", "ckpt_path", "state_id", "round", "device",
)  # fmt: skip


def import_pykan(source: Source, facts: Facts) -> Chain:
    """Return the network or `KANLayer` in `source`.

    Raises:
        ModelError: if tensors or facts are missing, wrong or contradictory, or an edge is symbolic.
    """
    facts.ignore(*_IGNORED)
    activation = facts.need("base_fun", "the activation of the base branch", _live_base(source.module), _base_name)
    if "coef" in source.tensors:
        layer = Layer("", source.tensors, source.module)
        return Chain([_edges(layer, facts, activation, 0, ())])
    edges, nodes = _split(source)
    arities = _arities(source, facts, edges, nodes)
    layers: list[PyKANLinear] = []
    for index, layer in enumerate(edges):
        result = _edges(layer, facts, activation, index, arities[index])
        for name in ("subnode_scale", "subnode_bias", "node_scale", "node_bias"):
            parameter = getattr(result, name)
            check_shape(nodes[index], f"{name}_{index}", tuple(parameter.shape))
            copy_(parameter, nodes[index].tensors[f"{name}_{index}"])
        if layers and result.in_features != layers[-1].n_nodes:
            raise ModelError(
                f"{layer.name} has {result.in_features} inputs, but the layer before it has {layers[-1].n_nodes} nodes; check "
                "the facts width and mult_arity"
            )
        layers.append(result)
    layers[0] = _select(layers[0], source, facts)
    return Chain(layers)


def _split(source: Source) -> tuple[list[Layer], list[Layer]]:
    """Return each layer's edges and nodes, refusing symbolic edges that count."""
    live: Any = source.module
    edges: dict[int, Layer] = {}
    nodes: dict[int, Layer] = {}
    for name, tensor in source.tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise ModelError(
                f"{source.where} has {name!r}, which no pykan 0.2.8 network has; check the family, or give the prefix of the "
                "network"
            )
        part, first, inner, node, second = match.groups()
        index = int(first or second)
        if node is not None:
            nodes.setdefault(index, Layer("", {}, None)).tensors[name] = tensor
        elif part == "act_fun":
            module = None if live is None else live.get_submodule(f"act_fun.{index}")
            edges.setdefault(index, Layer(f"act_fun.{index}", {}, module)).tensors[inner] = tensor
    if sorted(edges) != list(range(len(edges))) or not edges:
        missing = next(i for i in range(len(edges) + 1) if i not in edges)
        raise ModelError(f"the state_dict lacks 'act_fun.{missing}.coef'; give the whole network")
    for index in edges:
        wanted = [f"{name}_{index}" for name in ("subnode_scale", "subnode_bias", "node_scale", "node_bias")]
        nodes.setdefault(index, Layer("", {}, None)).take(*wanted)
    if len(nodes) > len(edges):
        raise ModelError(f"the state_dict lacks 'act_fun.{max(nodes)}.coef'; give the whole network")
    return [edges[i] for i in range(len(edges))], [nodes[i] for i in range(len(edges))]


def _check_symbolic(source: Source, facts: Facts, n_layers: int) -> None:
    enabled = facts.get("symbolic_enabled", getattr(source.module, "symbolic_enabled", None), as_switch)
    if enabled is False:
        return
    for index in range(n_layers):
        mask = source.tensors.get(f"symbolic_fun.{index}.mask")
        if mask is None:
            if enabled:
                raise ModelError(
                    f"the state_dict lacks 'symbolic_fun.{index}.mask', which tells whether edges are symbolic; give the whole "
                    "network"
                )
            continue
        active = (mask != 0).nonzero()
        if len(active):
            j, i = (int(n) for n in active[0])
            raise ModelError(
                f"{len(active)} edges of layer {index} are symbolic (the first leads from node {i} to {j}), and symbolic "
                "functions have no exact form here; undo them with unfix_symbolic, or supply symbolic_enabled=False if the "
                "network was run without them"
            )


def _arities(source: Source, facts: Facts, edges: list[Layer], nodes: list[Layer]) -> list[tuple[int, ...]]:
    """Return, per layer, the factors of each node that multiplies."""
    live: Any = source.module
    _check_symbolic(source, facts, len(edges))
    counts = [
        (nodes[i].tensors[f"node_scale_{i}"].numel(), nodes[i].tensors[f"subnode_scale_{i}"].numel())
        for i in range(len(edges))
    ]
    told_width, told_arity = (getattr(live, name, None) for name in ("width", "mult_arity"))
    if all(n == s for n, s in counts):
        inputs = int(edges[0].tensors["grid"].shape[0]) if "grid" in edges[0].tensors else 0
        width = facts.get("width", told_width, _width)
        facts.get("mult_arity", told_arity)
        want = [(n, 0) for n in (inputs, *(n for n, _ in counts))]
        if width is not None and width != want:
            raise ModelError(
                f"the fact width is given as {_short(width)}, but the tensors have {_short(want)}; correct it"
            )
        return [()] * len(edges)
    why = f"which of its {sum(s for _, s in counts)} subnodes are multiplied"
    width = facts.need("width", why, told_width, _width)
    arity = facts.need("mult_arity", why, told_arity, _arity)
    result = []
    for index, (n_nodes, n_sub) in enumerate(counts):
        entry = width[index + 1] if index + 1 < len(width) else (0, 0)
        given = (arity,) * entry[1] if isinstance(arity, int) else (arity[index + 1] if index + 1 < len(arity) else ())
        if (sum(entry), len(given), entry[0] + sum(given)) != (n_nodes, entry[1], n_sub) or len(width) != len(
            edges
        ) + 1:
            raise ModelError(
                f"the facts width {_short(width)} and mult_arity {arity} do not make the {n_nodes} nodes of {n_sub} subnodes that "
                f"layer {index} has; correct them"
            )
        result.append(tuple(given))
    return result


def _edges(layer: Layer, facts: Facts, activation: str, index: int, arities: tuple[int, ...]) -> PyKANLinear:
    grid, coef, mask, base, scale = layer.take(*_EDGE)
    if coef.dim() != 3 or grid.dim() != 2:
        raise ModelError(
            f"{layer.label('coef')!r} has shape {tuple(coef.shape)} where (inputs, subnodes, G + k) was expected; check the family"
        )
    n_in, n_out, n_basis = (int(n) for n in coef.shape)
    check_shape(layer, "grid", (n_in, int(grid.shape[1])))
    for name in _EDGE[2:]:
        check_shape(layer, name, (n_in, n_out))
    order = int(grid.shape[1]) - 1 - n_basis
    for name, told in (("grid", n_basis - order), ("k", order)):
        given = facts.get(name, None, _each)
        if given is not None and given[min(index, len(given) - 1)] != told:
            raise ModelError(
                f"the fact {name} is given as {given}, but the tensors of layer {index} have {told}; correct it"
            )
    # A mask of other numbers than 0 and 1 is a factor like the scales.
    result = knot_layer(layer, grid, n_basis, n_out - sum(arities), arities, activation)
    factor = mask.double()
    copy_(result.base_weight, (base.double() * factor).T)
    copy_(result.scale_sp, (scale.double() * factor).T)
    copy_(result.spline_weight, coef.permute(1, 0, 2))
    result.apply_mask(mask.T != 0)
    return result


def _select(layer: PyKANLinear, source: Source, facts: Facts) -> PyKANLinear:
    """Return the first layer, reading columns `input_id` of the input."""
    n_in = layer.in_features
    chosen = facts.need(
        "input_id",
        f"which columns its {n_in} inputs are (list(range({n_in})) unless prune_input was used)",
        _listed(getattr(source.module, "input_id", None)),
        _indices,
    )
    if len(chosen) != n_in or len(set(chosen)) != n_in:
        raise ModelError(
            f"the fact input_id has {len(set(chosen))} different columns, but the network has {n_in} inputs; correct it"
        )
    if chosen == list(range(n_in)):
        facts.get("in_dim")
        return layer
    columns = facts.need("in_dim", "how many columns the rows had from which prune_input chose", None, as_integer)
    if columns <= max(chosen):
        raise ModelError(f"the fact in_dim is {columns}, but input_id has column {max(chosen)}; correct it")
    wide = PyKANLinear(
        columns,
        sum(1 for a in layer.arity if a == 1),
        [a for a in layer.arity if a > 1],
        grid=layer.grid_size,
        order=layer.order,
        range=(layer.low, layer.high),
        activation=layer.activation,
    )
    state = layer.state_dict()
    for name, tensor in wide.state_dict().items():
        if name == "grid":
            copy_(tensor, state["grid"][:1].expand_as(tensor))
            tensor[chosen] = state["grid"]
        elif tensor.shape != state[name].shape:  # (N, I, …)
            tensor.zero_()
            tensor[:, chosen] = state[name]
        else:
            tensor.copy_(state[name])
    wide.apply_mask(wide.mask)
    return wide


def _live_base(module: Any) -> Any:
    """Return pykan's base function: its name, or (after pruning) the function itself."""
    name = getattr(module, "base_fun_name", None)
    if name is not None:
        return name
    function = getattr(module, "base_fun", None)
    if callable(function) and not isinstance(function, nn.Module):  # of a layer alone: pykan's "zero" is a lambda
        values = function(torch.tensor([-1.5, 2.0]))
        return "zero" if isinstance(values, Tensor) and not bool(values.any()) else function
    return function


def _base_name(name: str, value: Any) -> str:
    return NO_BASE if value == "zero" else activation_name(name, value)


def _width(name: str, value: Any) -> list[tuple[int, int]]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) < 2:
        raise ModelError(f"the fact {name} must be a list with one entry per layer of nodes, not {value!r}; correct it")
    result = []
    for entry in value:
        pair = list(entry) if isinstance(entry, Sequence) and not isinstance(entry, str) else [entry, 0]
        if not 1 <= len(pair) <= 2:
            raise ModelError(
                f"the fact {name} has the entry {entry!r}, but n or [n_sum, n_mult] was expected; correct it"
            )
        counts = [as_integer(name, int(n) if hasattr(n, "item") else n) for n in pair]
        result.append((counts[0], counts[1] if len(counts) > 1 else 0))
    return result


def _arity(name: str, value: Any) -> int | list[tuple[int, ...]]:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(v, Sequence) for v in value):
        raise ModelError(
            f"the fact {name} must be an integer or a list of lists, one per entry of width, not {value!r}; correct it"
        )
    return [tuple(as_integer(name, a) for a in arities) for arities in value]


def _each(name: str, value: Any) -> list[int]:
    return [as_integer(name, v) for v in (value if isinstance(value, list | tuple) else [value])]


def _listed(value: Any) -> Any:
    return [int(v) for v in value.flatten().tolist()] if isinstance(value, Tensor) else value


def _indices(name: str, value: Any) -> list[int]:
    value = _listed(value)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ModelError(f"the fact {name} must be a list of column numbers, not {value!r}; correct it")
    result = [as_integer(name, v) for v in value]
    if min(result, default=0) < 0:
        raise ModelError(f"the fact {name} must hold column numbers from 0, not {min(result)}; correct it")
    return result


def _short(width: list[tuple[int, int]]) -> list[Any]:
    return [n if m == 0 else [n, m] for n, m in width]
