"""The contract in plain Python integers, written from docs/design.md and sharing nothing with the reference."""

from __future__ import annotations

from collections.abc import Sequence

from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, KanIR, KanLinear


def _code(coder: AffineCoder, i: int, x: int) -> int:
    k = i if len(coder.mult) > 1 else 0
    c = (x * int(coder.mult[k]) + int(coder.offset[k])) // 2**coder.shift
    if c < 0:
        return 0
    return c if c < coder.n_codes else coder.n_codes - 1


def _rounded(total: int, shift: int, out: FixedPoint) -> int:
    if shift > 0:
        total += 2 ** (shift - 1)
    y = total // 2**shift
    lowest = -(2 ** (out.width - 1)) if out.signed else 0
    highest = 2 ** (out.width - 1) - 1 if out.signed else 2**out.width - 1
    return lowest if y < lowest else highest if y > highest else y


def _kan_linear(node: KanLinear, X: Sequence[int]) -> list[int]:
    rom = node.spline.basis
    out = []
    for o in range(node.n_out):
        spline = base = 0
        for i, x in enumerate(X):
            c = _code(node.spline.coder, i, x)
            for j in range(rom.values.shape[1]):
                spline += int(rom.values[c, j]) * int(node.spline.weights[o, i, int(rom.start[c]) + j])
            if node.base is not None:
                base += int(node.base.table[_code(node.base.coder, i, x)]) * int(node.base.weights[o, i])
        r = node.rescale
        total = spline * int(r.spline_mult[o]) + base * int(r.base_mult[o]) + int(r.bias[o])
        out.append(_rounded(total, r.shift, node.out_type))
    return out


def _edge_table(node: EdgeTable, X: Sequence[int]) -> list[int]:
    out = []
    for o in range(node.n_out):
        total = int(node.bias[o]) + sum(int(node.tables[i, _code(node.coder, i, x), o]) for i, x in enumerate(X))
        out.append(_rounded(total, node.shift, node.out_type))
    return out


def evaluate(ir: KanIR, X: Sequence[int]) -> dict[str, list[int]]:
    """Return the integers of every node for one row of input integers."""
    values = {ir.input.name: [int(x) for x in X]}
    for node in ir.layers:
        layer = _kan_linear if isinstance(node, KanLinear) else _edge_table
        values[node.name] = layer(node, values[node.inputs[0]])  # type: ignore[arg-type]
    return values
