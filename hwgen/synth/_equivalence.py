"""Post-synthesis equivalence: the mapped netlist's integers against the reference's, with `==`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwgen.synth._mapped import MappedNetlist
from pymodel.ir import IntArray
from sim.equivalence import Border, compare
from sim.signals import SignalMap

__all__ = ["netlist_border"]


def netlist_border(
    netlist: MappedNetlist,
    signals: SignalMap,
    X: IntArray,
    expected: IntArray,
    *,
    rows: IntArray | None = None,
    seed: int = 0,
) -> Border:
    """Stream vectors through a mapped netlist and compare its outputs, and the cycles of its valid bits.

    Args:
        netlist: as synthesised.
        signals: of the RTL that it was synthesised from.
        X: (rows, inputs) input integers.
        expected: (rows, outputs) integers of the output node.
        rows: indices of the vectors to simulate; all if None.
        seed: of bubbles, and of registers that reset does not reach.

    Returns:
        The border `netlist_vs_reference.ENGINE`; late, early, lost or invented valid bits make every vector a mismatch.

    Raises:
        DataError: if the vectors do not fit to the input.
        ToolError: if the netlist's ports do not fit to `signals`.
    """
    chosen = np.arange(X.shape[0]) if rows is None else rows
    run = netlist.simulate(X[chosen], signals, seed=seed)
    node = signals.output_node
    border = compare(f"netlist_vs_reference.{signals.engine}", {node: run.outputs}, {node: expected[chosen]}, [node])
    if border.first is not None:  # name the vector by its place among all
        border = replace(border, first=replace(border.first, vector=int(chosen[border.first.vector])))
    if run.problems:
        border = replace(border, mismatches=border.vectors, problems=run.problems)
    return border
