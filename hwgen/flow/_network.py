"""What the report draws of a network: the function of every edge, its codes, and how often inputs and outputs saturate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from pymodel.errors import IRError
from pymodel.ir import (
    EdgeTable,
    FixedPoint,
    IntArray,
    KanConv,
    KanIR,
    KanLinear,
    Node,
    Task,
    signed_width,
    to_edge_table,
)
from pymodel.layers import KAN, KANLayer
from pymodel.reference import Reference

__all__ = ["NETWORK_ROWS", "network_details"]

#: Test rows that are looked at.
NETWORK_ROWS: Final = 2000
#: Edges of a layer that are drawn, the most important ones first.
MAX_EDGES: Final = 600
#: Points of a drawn function, and bars of a histogram.
_MAX_POINTS: Final = 64
#: Entries of edge tables beyond which a layer is described by its counts alone.
_MAX_ENTRIES: Final = 1 << 25
_Reals = npt.NDArray[np.float64]


def network_details(ir: KanIR, model: KAN | None, values: Mapping[str, IntArray]) -> list[dict[str, Any]]:
    """Return one entry per KAN layer: functions of its edges, histogram of its codes, shares that saturate.

    A function is drawn without its mean over the codes: constants belong to the layer's bias.

    Args:
        ir: the program.
        model: the float network that it was made from, where its layers are those of the program; None draws steps only.
        values: integers of every node on the test rows, (rows, n).

    Returns:
        Per layer `name`, `inputs`, `outputs`, `codes`, `low`, `step` (of the drawn codes), `histogram` (counts per code or
        range of codes), `ends` (shares of inputs at the lowest and the highest code), `saturated` (share of output
        integers that the rescale clips), and `edges`: `[input, output, importance, steps, curve]`, the most important
        ones first, importance being the standard deviation of the edge's contribution over the test rows in units of the
        layer's output. `shown` of `alive` edges are there; `pruned` lists the others as `[input, output]` if they are few.
    """
    floats = [] if model is None else list(model.kan_layers())
    aligned = len(floats) == len(ir.layers)
    return [
        _layer(ir, node, values, floats[index] if aligned else None, values[ir.input.name].shape[0])
        for index, node in enumerate(ir.layers)
    ]


def _layer(
    ir: KanIR, node: KanLinear | EdgeTable | KanConv, values: Mapping[str, IntArray], source: KANLayer | None, rows: int
) -> dict[str, Any]:
    X = values[node.inputs[0]]
    coder = node.coders[0]
    columns = X.reshape(rows, -1, coder.mult.shape[0])
    codes = coder.codes(columns)
    counts = np.bincount(codes.ravel(), minlength=coder.n_codes)
    groups = -(-coder.n_codes // _MAX_POINTS)
    histogram = np.add.reduceat(counts, np.arange(0, coder.n_codes, groups))
    total = max(1, int(counts.sum()))
    entry: dict[str, Any] = {
        "name": node.name,
        "inputs": _inputs(node),
        "outputs": node.layers[0].n_out if isinstance(node, KanConv) else node.n_out,
        "codes": coder.n_codes,
        "low": _short(coder.low),
        "step": _short(coder.step * groups),
        "histogram": histogram.tolist(),
        "ends": [_short(counts[0] / total), _short(counts[-1] / total)],
        "saturated": _saturated(ir, node, X, values[node.name]),
        "alive": node.n_edges,
    }
    return entry | _edges(ir, node, codes, source)


def _inputs(node: KanLinear | EdgeTable | KanConv) -> int:
    return node.layers[0].n_in if isinstance(node, KanConv) else node.n_in


def _saturated(ir: KanIR, node: KanLinear | EdgeTable | KanConv, X: IntArray, Y: IntArray) -> float:
    """Return the share of outputs that differ from those of the same layer with an output type that cannot saturate."""
    total, shift = ir.bounds[node.name].total, _shift(node)
    wide = _fitting(node.out_type, total.low >> shift, total.high >> shift)
    free: Node
    if isinstance(node, KanConv):
        layers: Any = tuple(replace(layer, out_type=wide) for layer in node.layers)  # all of one form, as before
        free = replace(node, out_type=wide, layers=layers)
    else:
        free = replace(node, out_type=wide)
    source = replace(ir.input, size=X.shape[1], out_type=ir.in_type(node), name=node.inputs[0])
    host = replace(
        ir.host,
        task=Task.REGRESSION,
        features=("x",) * X.shape[1],
        feature_offset=(0.0,) * X.shape[1],
        feature_scale=(1.0,) * X.shape[1],
        classes=(),
    )
    alone = KanIR(name="alone", nodes=(source, free), output=node.name, host=host)
    return _short(float(np.mean(Reference(alone).run(X)[node.name] != Y)) if Y.size else 0.0)


def _shift(node: KanLinear | EdgeTable | KanConv) -> int:
    first = node.layers[0] if isinstance(node, KanConv) else node
    return first.rescale.shift if isinstance(first, KanLinear) else first.shift


def _fitting(out_type: FixedPoint, low: int, high: int) -> FixedPoint:
    """Return a type of the same LSB that holds `low` … `high` and whatever `out_type` holds."""
    low, high = min(low, out_type.min_int), max(high, out_type.max_int)
    width = signed_width(low, high)
    return replace(out_type, signed=True, width=width, integer=width - out_type.frac)


def _edges(
    ir: KanIR, node: KanLinear | EdgeTable | KanConv, codes: IntArray, source: KANLayer | None
) -> dict[str, Any]:
    """Return the drawn edges of a dense layer, or of the first group of a convolution."""
    nothing: dict[str, Any] = {"edges": [], "pruned": []}
    if _inputs(node) * node.coders[0].n_codes * node.n_out > _MAX_ENTRIES:
        return nothing
    try:
        table = to_edge_table(node, ir.in_type(node)) if not isinstance(node, EdgeTable) else node
    except IRError:
        return nothing  # branches that read different codes of a wide input: there is no one step function
    group: KanLinear | EdgeTable
    if isinstance(table, KanConv):
        group = table.layers[0]
        assert isinstance(group, EdgeTable)
        channels = table.geometry.group_channels
        seen = codes.reshape(codes.shape[0], -1, table.geometry.channels)[:, :, :channels]
        frequency = np.tile(_frequency(seen.reshape(-1, channels), group.coder.n_codes), (table.geometry.n_taps, 1))
    else:
        group = table
        flat = codes.reshape(codes.shape[0], -1)
        if group.coder != node.coders[0]:  # a table over the input's integers, not over codes
            return nothing
        frequency = _frequency(flat, group.coder.n_codes)
    lsb = group.value_lsb * 2.0**-group.shift
    real = group.tables.transpose(0, 2, 1) * lsb  # (I, N, C)
    real = real - real.mean(axis=2, keepdims=True)
    mean = np.einsum("ic,inc->in", frequency, real)
    importance = np.sqrt(np.maximum(np.einsum("ic,inc->in", frequency, real**2) - mean**2, 0.0))
    alive = group.alive.T
    order = [(int(i), int(o)) for i, o in zip(*np.nonzero(alive), strict=True)]
    order.sort(key=lambda edge: (-importance[edge], edge))
    order = order[:MAX_EDGES]
    every = -(-group.coder.n_codes // _MAX_POINTS)
    curves = None if source is None else _curves(source, group)
    edges = []
    for i, o in order:
        steps = real[i, o, ::every]
        curve = [] if curves is None else [_short(v) for v in curves[i, o, ::every]]
        edges.append([i, o, _short(importance[i, o]), [_short(v) for v in steps], curve])
    gone = [[int(i), int(o)] for i, o in zip(*np.nonzero(~alive), strict=True)]
    return {"edges": edges, "pruned": gone if len(gone) <= 4 * MAX_EDGES else []}


def _frequency(codes: IntArray, n_codes: int) -> _Reals:
    """Return how often each input (column) has each code, (I, C)."""
    counts = np.zeros((codes.shape[1], n_codes))
    np.add.at(counts, (np.arange(codes.shape[1])[None, :], codes), 1.0)
    return np.asarray(counts / max(1, codes.shape[0]))


@torch.no_grad()
def _curves(source: KANLayer, group: EdgeTable) -> _Reals | None:
    """Return the float functions (I, N, C) at the real inputs that the codes stand for; None if the layer has others."""
    n_in, _, n_out = group.tables.shape
    base, spline, _ = source.folded()
    if getattr(source, "layernorm", None) is not None or (source.in_features, source.out_features) != (n_in, n_out):
        return None
    points = torch.from_numpy(group.coder.representatives.copy()).to(base)
    inputs = n_in if source.functions.n_tables > 1 else 1
    features = source.functions.features(points.unsqueeze(1).expand(-1, inputs))
    weight = torch.cat((base.unsqueeze(-1), spline), dim=-1) * source.mask.unsqueeze(-1)
    features = features.to(weight).expand(-1, n_in, -1)
    y = torch.einsum("cif,oif->ioc", features, weight).double().numpy()
    return np.asarray(y - y.mean(axis=2, keepdims=True))


def _short(value: float) -> float:
    """Return four significant digits: a drawing needs no more, and the report stays small."""
    return float(f"{float(value):.4g}")
