"""Whether a changed constant changes any output of its layer: exact, over all combinations of the layer's inputs.

The sums of both programs are followed together: for each difference between them, the set of sums that some choice of the
inputs so far reaches, as the bits of one long integer. At the end the rescale of both is compared at every sum.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pymodel.ir import EdgeTable, FixedPoint, IntArray, KanIR, KanLinear, Node, to_edge_table

__all__ = ["effect", "with_cpp_tables"]

_ARRAY = re.compile(r"static const [a-z ]+ (\w+)((?:\[\d+\])+) = \{(.*?)\};", re.DOTALL)


def effect(a: KanIR, b: KanIR) -> str:
    """Return `changes`, `masked` (sums differ, no output does) or `unread` (not even sums differ) of `b` against `a`."""
    found = {_layer_effect(a, a.node(node.name), b, b.node(node.name)) for node in a.nodes[1:]}
    return next(word for word in ("changes", "masked", "unread") if word in found)


def _layer_effect(a: KanIR, old: Node, b: KanIR, new: Node) -> str:
    types = a.in_type(old), b.in_type(new)
    if types[0] != types[1] or old.out_type != new.out_type:
        return "changes"
    before, after = _table(old, types[0]), _table(new, types[1])
    words = [
        _output_effect(before, after, _entries(before, types[0]), _entries(after, types[1]), o)
        for o in range(old.n_out)
    ]
    return next(word for word in ("changes", "masked", "unread") if word in words)


def _table(node: Node, in_type: FixedPoint) -> EdgeTable:
    assert isinstance(node, KanLinear | EdgeTable)
    return node if isinstance(node, EdgeTable) else to_edge_table(node, in_type)


def _entries(table: EdgeTable, in_type: FixedPoint) -> IntArray:
    """Return the table's entries (I, X, O) at every input integer, whatever its coder is."""
    X = np.arange(in_type.min_int, in_type.max_int + 1, dtype=np.int64)
    codes = np.broadcast_to(table.coder.codes(X[:, None]), (X.size, table.n_in))
    return np.stack([table.tables[i, codes[:, i]] for i in range(table.n_in)])


def _output_effect(old: EdgeTable, new: EdgeTable, before: IntArray, after: IntArray, o: int) -> str:
    # Each input may add its lowest entry to an offset, so that all sums that are left are >= 0.
    low = before[:, :, o].min(axis=1)
    reached: dict[int, int] = {0: 1}
    for i in range(before.shape[0]):
        pairs = {(int(x - low[i]), int(y - x)) for x, y in zip(before[i, :, o], after[i, :, o], strict=True)}
        sums: dict[int, int] = {}
        for difference, bits in reached.items():
            for step, change in pairs:
                sums[difference + change] = sums.get(difference + change, 0) | (bits << step)
        reached = sums
    constant = int(low.sum())
    plain = old.shift == new.shift and old.bias[o] == new.bias[o] and set(reached) == {0}
    if plain:
        return "unread"
    for difference, bits in reached.items():
        digits = np.frombuffer(bits.to_bytes(-(-bits.bit_length() // 8), "little"), dtype=np.uint8)
        S = np.flatnonzero(np.unpackbits(digits, bitorder="little")) + constant
        if (_rescale(old, S, o) != _rescale(new, S + difference, o)).any():
            return "changes"
    return "masked"


def _rescale(table: EdgeTable, S: IntArray, o: int) -> IntArray:
    half = 1 << (table.shift - 1) if table.shift else 0
    t = table.out_type
    return np.clip((S + int(table.bias[o]) + half) >> table.shift, t.min_int, t.max_int)


def with_cpp_tables(ir: KanIR, build: Path) -> KanIR | None:
    """Return `ir` with the constants that the C++ tables of `build` hold now; None if they describe other edges.

    A basis ROM of which the C++ holds one cell only is taken from `ir`.
    """
    nodes: list[Node] = []
    parameters = (build / "hls" / "firmware" / "parameters.h").read_text(encoding="utf-8")
    for node in ir.nodes:
        if isinstance(node, KanLinear):
            text = (build / "hls" / "firmware" / "kan_tables" / f"kan_{node.name}.h").read_text(encoding="utf-8")
            arrays = {m[1]: np.array(list(map(int, re.findall(r"-?\d+", m[3])))) for m in _ARRAY.finditer(text)}
            if re.search(rf"struct kan_{node.name}_config \{{[^}}]*shared_coder = true", parameters):
                arrays["base_mult"], arrays["base_offset"] = arrays["spline_mult"], arrays["spline_offset"]  # are read
            found = _with_tables(node, arrays)
            if found is None:
                return None
            nodes.append(found)
        else:
            nodes.append(node)
    return replace(ir, nodes=tuple(nodes))


def _with_tables(node: KanLinear, arrays: dict[str, IntArray]) -> KanLinear | None:
    o, i = arrays["edge_output"], arrays["edge_input"]
    alive = sorted(zip(o.tolist(), i.tolist(), strict=True))
    dead = np.ones((node.n_out, node.n_in), dtype=bool)
    dead[o, i] = False
    base = node.base
    weights = np.zeros_like(node.spline.weights)
    weights[o, i] = arrays["spline_weights"].reshape(o.size, -1)
    real = (node.spline.weights != 0).any(axis=2)
    if base is not None:
        real |= base.weights != 0
    if len(set(alive)) != len(alive) or (real & dead).any():
        return None
    basis = node.spline.basis
    if arrays["basis_values"].size == basis.values.size:  # otherwise one cell stands for all, see hwgen.plugin._aligned
        values = arrays["basis_values"].reshape(basis.values.shape)
        basis = replace(basis, values=values, start=arrays["basis_start"])  # type: ignore[call-arg]
    spline: Any = replace(
        node.spline,
        coder=replace(node.spline.coder, mult=arrays["spline_mult"], offset=arrays["spline_offset"]),
        basis=basis,
        weights=weights,
    )
    if base is not None:
        table = np.zeros_like(base.weights)
        table[o, i] = arrays["base_weights"]
        base = replace(
            base,
            coder=replace(base.coder, mult=arrays["base_mult"], offset=arrays["base_offset"]),
            table=arrays["base_values"].reshape(base.table.shape),
            weights=table,
        )
    rescale = replace(
        node.rescale,
        spline_mult=arrays["spline_rescale"],
        base_mult=arrays.get("base_rescale", node.rescale.base_mult),
        bias=arrays["bias"],
    )
    return replace(node, spline=spline, base=base, rescale=rescale)
