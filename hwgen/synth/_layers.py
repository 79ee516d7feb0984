"""Which layer a LUT or a flip-flop of a mapped netlist serves."""

from __future__ import annotations

from typing import Any

from hwgen.synth._netlist import Netlist
from sim.signals import SignalMap

__all__ = ["layer_resources"]


def layer_resources(netlist: Netlist, signals: SignalMap) -> dict[str, dict[str, Any]]:
    """Return LUTs, flip-flops and cycles of every visible layer, in pipeline order.

    A cell belongs to the first layer whose outputs depend on it, through logic and registers, without passing through the
    outputs of an earlier one; the input registers count for the first. What belongs to none (valid bits) is called `other`.

    Args:
        netlist: the mapped netlist, with the engine's net names.
        signals: of the same engine.

    Returns:
        `{node: {"lut", "ff", "cycles"}}`; empty if the names of a layer's outputs did not survive mapping.
    """
    driver = {net: index for index, cell in enumerate(netlist.cells) for net in cell.outputs}
    seen: set[int] = set()
    result: dict[str, dict[str, Any]] = {}
    before = 0
    for position, node in enumerate(signals.nodes[1:], 1):
        # Flattening names the wire between two modules after the port of the one that drives it.
        nets = netlist.names.get(f"layer_{position}.y") or netlist.names.get(node.signal)
        if nets is None:
            return {}
        found: set[int] = set()
        stack = [driver[net] for net in nets if net in driver]
        while stack:
            index = stack.pop()
            if index not in seen and index not in found:
                found.add(index)
                stack += [driver[net] for net in netlist.cells[index].inputs if net in driver]
        result[node.node] = {**_counts(netlist, found), "cycles": node.stage - before}
        seen |= found
        before = node.stage
    rest = set(range(len(netlist.cells))) - seen
    return {**result, "other": {**_counts(netlist, rest), "cycles": signals.latency - before}}


def _counts(netlist: Netlist, cells: set[int]) -> dict[str, int]:
    types = [netlist.cells[index] for index in cells]
    return {
        "lut": sum(cell.is_lut or cell.is_shift_register for cell in types),
        "ff": sum(cell.is_flip_flop for cell in types),
    }
