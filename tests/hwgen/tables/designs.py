"""Small programs for the tests of the table RTL generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, HostSpec, IntArray, KanIR, Node, Quantize, Task

PART = "xcvu9p-flga2104-2L-e"


def coder(mult: int | Sequence[int], offset: int | Sequence[int], shift: int, n_codes: int) -> AffineCoder:
    """Return an affine coder, per layer or (sequences) per input."""
    return AffineCoder(np.atleast_1d(mult), np.atleast_1d(offset), shift, n_codes, 0.0, 1.0)


def edge_table(
    name: str,
    source: str,
    tables: IntArray,
    *,
    out_type: FixedPoint,
    coder: AffineCoder,
    bias: Sequence[int] | None = None,
    shift: int = 0,
) -> EdgeTable:
    """Return a layer of tables (inputs, codes, outputs)."""
    zero = [0] * tables.shape[2]
    return EdgeTable(
        name=name,
        inputs=(source,),
        out_type=out_type,
        value_lsb=out_type.lsb,
        value_offset=0.0,
        coder=coder,
        tables=tables,
        bias=np.array(zero if bias is None else bias),
        shift=shift,
    )


def program(in_type: FixedPoint, *layers: Node, output: str | None = None) -> KanIR:
    """Return a program whose input is called `x`."""
    first = layers[0]
    assert isinstance(first, EdgeTable)
    nodes = (Quantize("x", (), in_type, in_type.lsb, 0.0, first.n_in), *layers)
    return KanIR(
        name="small",
        nodes=nodes,
        output=output or nodes[-1].name,
        host=HostSpec(
            task=Task.REGRESSION,
            features=tuple(f"f{i}" for i in range(first.n_in)),
            feature_offset=(0.0,) * first.n_in,
            feature_scale=(1.0,) * first.n_in,
        ),
    )


def unsigned(width: int) -> FixedPoint:
    """Return the type of codes."""
    return FixedPoint(width, width, signed=False)


def tiny() -> KanIR:
    """Return a program of 2 + 2 features of 3 bits; every output has another form.

    Layer `case` (a Verilog keyword): output 0 adds three tables, of which one is shared with output 1 and one has
    trailing zeros; output 1 has one table; output 2 is constant. Layer `y` saturates on both sides.
    """
    first = np.zeros((4, 4, 3), dtype=np.int64)
    first[0, :, 0] = [5, 1, 2, 7]
    first[0, :, 1] = [6, 2, 3, 8]  # the same table, plus 1
    first[1, :, 0] = [-8, 0, 8, 16]
    first[2, :, 0] = [-3, -3, -3, -3]  # constant
    first[3, :, 0] = [0, 1, -1, 0]
    hidden = edge_table("case", "x", first, out_type=unsigned(3), coder=coder(1, 4, 1, 4), bias=[3, -1, 9], shift=1)
    second = np.zeros((3, 8, 2), dtype=np.int64)
    second[0, :, 0] = [-9, -6, -3, 0, 1, 4, 9, 16]
    second[1, :, 0] = [0, 1, 2, 3, 4, 5, 6, 7]
    second[0, :, 1] = [0, 0, 0, 0, 1, 1, 1, 1]
    second[2, :, 1] = [0, 2, 1, 3, 0, 2, 1, 3]  # output 2 of the first layer is constant
    last = edge_table(
        "y", "case", second, out_type=FixedPoint(4, 4, signed=True), coder=coder(1, 0, 0, 8), bias=[-3, 0]
    )
    return program(FixedPoint(3, 1, signed=True), hidden, last)
