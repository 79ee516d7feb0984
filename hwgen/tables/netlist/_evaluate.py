"""Run a layer's circuit on integers, and check that every path into a node has the same number of registers."""

from __future__ import annotations

import numpy as np

from hwgen.tables._coders import CoderForm
from hwgen.tables.netlist._nodes import (
    Adder,
    Clip,
    Code,
    LayerNetlist,
    NetlistError,
    NetNode,
    Register,
    Shift,
    Slice,
    Table,
)
from pymodel.ir import IntArray

__all__ = ["evaluate", "stages"]


def _sources(node: NetNode) -> tuple[str, ...]:
    """Return the wires that a node reads."""
    match node:
        case Code():
            return ()
        case Table():
            return tuple(piece.source for piece in node.selector)
        case Adder():
            return (*(operand.wire for operand in node.operands), *([node.carry] if node.carry else []))
        case _:
            return (node.source,)


def stages(netlist: LayerNetlist) -> dict[str, int]:
    """Return, per wire, the clock cycles from the layer's input integers to it.

    Raises:
        NetlistError: if a node reads a wire that nothing drives, or wires of different cycles, or an output is not
            `netlist.latency` cycles behind the input.
    """
    found: dict[str, int] = {}
    for node in netlist.nodes:
        read = _sources(node)
        missing = [name for name in read if name not in found]
        if missing:
            raise NetlistError(f"{netlist.name}: {node.wire.name} reads {missing[0]}, which nothing drives")
        times = {found[name] for name in read} or {0}
        if len(times) > 1:
            late = {name: found[name] for name in read}
            raise NetlistError(f"{netlist.name}: {node.wire.name} reads wires of different cycles: {late}")
        registered = isinstance(node, Register | Clip) or (isinstance(node, Adder | Code) and node.registered)
        if node.wire.name in found:
            raise NetlistError(f"{netlist.name}: {node.wire.name} is driven twice")
        found[node.wire.name] = times.pop() + int(registered)
    for number, output in enumerate(netlist.outputs):
        if output.wire is not None and found.get(output.wire) != netlist.latency:
            raise NetlistError(
                f"{netlist.name}: output {number} is {found.get(output.wire)} cycles late, not {netlist.latency}"
            )
    return found


def _slice(values: IntArray, piece: Slice) -> IntArray:
    return np.asarray((values >> piece.low) & ((1 << piece.width) - 1))


def _code(netlist: LayerNetlist, node: Code, X: IntArray) -> IntArray:
    index, coder, x = node.index, netlist.coder, X[:, node.index.feature]
    if index.form is CoderForm.SLICE:
        return np.asarray((x >> index.low_bit) & ((1 << index.width) - 1))
    return np.asarray(np.clip((x * index.mult + index.offset) >> coder.shift, 0, coder.n_codes - 1))


def _value(netlist: LayerNetlist, node: NetNode, X: IntArray, wires: dict[str, IntArray]) -> IntArray:
    match node:
        case Code():
            return _code(netlist, node, X)
        case Table():
            selector, position = np.zeros(X.shape[0], dtype=np.int64), 0
            for piece in node.selector:
                selector |= _slice(wires[piece.source], piece) << position
                position += piece.width
            return np.asarray(node.entries[selector])
        case Adder():
            total = np.zeros(X.shape[0], dtype=np.int64)
            for operand in node.operands:
                total += wires[operand.wire] << operand.zeros
            return total if node.carry is None else total + wires[node.carry]
        case Shift():
            return np.asarray((wires[node.source] << node.zeros) >> node.shift)
        case Clip():
            return np.clip(wires[node.source], node.low, node.high)
        case Register():
            return wires[node.source]


def evaluate(netlist: LayerNetlist, X: IntArray) -> IntArray:
    """Return the output integers (rows, outputs) for input integers (rows, inputs); registers hold one sample each.

    Raises:
        NetlistError: if an integer is outside its wire's interval.
    """
    wires: dict[str, IntArray] = {}
    for node in netlist.nodes:
        values = _value(netlist, node, X, wires)
        low, high = node.wire.interval.low, node.wire.interval.high
        if values.size and not (low <= values.min() and values.max() <= high):
            raise NetlistError(
                f"{netlist.name}: {node.wire.name} holds {values.min()} ... {values.max()}, outside {low} ... {high}"
            )
        wires[node.wire.name] = values
    columns = [
        np.full(X.shape[0], output.interval.low) if output.wire is None else wires[output.wire]
        for output in netlist.outputs
    ]
    return np.stack(columns, axis=1).astype(np.int64)
