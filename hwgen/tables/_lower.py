"""The plan of a layer to its circuit: every register, delay and slice by name."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from hwgen.tables._plan import LayerPlan, OutputPlan, Sum, Table
from hwgen.tables.netlist import (
    Adder,
    Clip,
    Code,
    LayerNetlist,
    NetNode,
    Operand,
    Output,
    Register,
    Shift,
    Slice,
    Wire,
    bits,
)
from hwgen.tables.netlist import Table as TableNode
from pymodel.ir import Interval

__all__ = ["lower"]


def _delayed(name: str, cycles: int) -> str:
    return f"{name}_d{cycles}" if cycles else name


def _codes(plan: LayerPlan) -> list[NetNode]:
    """Return the index of every input, and its delays."""
    longest: dict[str, int] = {}
    for table in plan.tables:
        for piece in table.selector:
            longest[piece.source] = max(longest.get(piece.source, 0), table.delay)
    nodes: list[NetNode] = []
    for index in plan.indices:
        name, interval = f"c{index.feature}", Interval(0, (1 << index.width) - 1)
        nodes.append(Code(Wire(name, interval), index, plan.code_register))
        nodes += [
            Register(Wire(_delayed(name, cycle), interval), _delayed(name, cycle - 1))
            for cycle in range(1, longest[name] + 1)
        ]
    return nodes


def _notes(layer: str, table: Table) -> tuple[str, ...]:
    """Say what a table stands for."""
    inputs = f"input{'s' if len(table.features) > 1 else ''} {', '.join(map(str, table.features))}"
    notes = []
    for output, k, offset, kind in table.uses:
        factor = f" * {1 << k}" if k else ""
        sign = "-" if offset < 0 else "+"
        shift = f" {sign} {abs(offset)}" if offset else ""
        value = {
            "whole": f"{table.name}{factor}{shift}",
            "base": f"{table.name}{factor}{shift} + carries",
            "carry": f"carry {table.name}",
            "folded": f"{table.name}, shifted and saturated",
        }[kind]
        notes.append(f"{layer}: {inputs} -> output {output}: {value}")
    return tuple(notes)


def _table(plan: LayerPlan, table: Table) -> list[NetNode]:
    selector = tuple(Slice(_delayed(p.source, table.delay), p.low, p.width) for p in table.selector)
    name = f"{table.name}_d" if table.registered else table.name
    nodes: list[NetNode] = [
        TableNode(Wire(name, table.interval), selector, table.entries, _notes(plan.node.name, table))
    ]
    if table.registered:
        nodes.append(Register(Wire(table.name, table.interval), name))
    return nodes


def _sum(s: Sum) -> NetNode | None:
    """Return the adder or the delay of a sum; None if it is a wire with another name."""
    wire = Wire(s.term.name, s.term.interval)
    if len(s.operands) == 1:
        return Register(wire, s.operands[0].name) if s.registered else None
    operands = tuple(Operand(term.name, term.zeros - s.term.zeros) for term in s.operands)
    return Adder(wire, operands, s.carry, s.fused, s.registered)


def _output(plan: LayerPlan, number: int, output: OutputPlan) -> tuple[list[NetNode], Output]:
    """Return the adder tree, saturation and output registers of one output."""
    if output.total is None:
        return [], Output(None, output.interval)
    nodes: list[NetNode] = []
    renamed: dict[str, str] = {}
    for s in (s for level in output.levels for s in level):
        node = _sum(s)
        if node is None:
            renamed[s.term.name] = renamed.get(s.operands[0].name, s.operands[0].name)
        else:
            nodes.append(_renamed(node, renamed))
    out_type, r = plan.node.out_type, f"r{number}"
    shifted = output.shifted
    nodes.append(Shift(Wire(r, shifted), output.total.name, output.total.zeros, output.shift))
    low, high = out_type.min_int, out_type.max_int
    delay = output.delay
    if output.split:
        positive = Interval(0, shifted.high)
        nodes.append(Clip(Wire(f"{r}_positive", positive), r, 0, shifted.high))
        r, delay = f"{r}_positive", delay - 1
    names = [f"y{number}_{j}" for j in range(delay)]
    if output.looked_up:
        total = Interval(0, (1 << bits(shifted)) - 1)
        entries = np.clip(np.arange(total.high + 1) + output.offset, output.interval.low, output.interval.high)
        note = f"{plan.node.name}: output {number}: saturates {r}{f' {output.offset:+d}' if output.offset else ''}"
        table = TableNode(Wire(f"f{number}", output.interval), (Slice(r, 0, bits(shifted)),), entries, (note,))
        nodes += [table, Register(Wire(names[0], output.interval), f"f{number}")]
    else:
        nodes.append(Clip(Wire(names[0], output.interval), r, low, high))
    for source, name in pairwise(names):
        nodes.append(Register(Wire(name, output.interval), source))
    return nodes, Output(names[-1], output.interval)


def _renamed(node: NetNode, names: dict[str, str]) -> NetNode:
    """Return an adder or register that reads other wires."""
    if isinstance(node, Adder):
        operands = tuple(Operand(names.get(o.wire, o.wire), o.zeros) for o in node.operands)
        return Adder(node.wire, operands, node.carry, node.fused, node.registered)
    assert isinstance(node, Register)
    return Register(node.wire, names.get(node.source, node.source))


def lower(plan: LayerPlan) -> LayerNetlist:
    """Return the circuit of a planned layer."""
    node = plan.node
    nodes = _codes(plan)
    for table in plan.tables:
        nodes += _table(plan, table)
    outputs = []
    for number, output in enumerate(plan.outputs):
        more, out = _output(plan, number, output)
        nodes += more
        outputs.append(out)
    return LayerNetlist(
        name=node.name,
        n_in=node.n_in,
        in_type=plan.in_type,
        out_type=node.out_type,
        coder=node.coder,
        nodes=tuple(nodes),
        outputs=tuple(outputs),
        latency=plan.latency,
        header=(
            f"Layer {node.name}: {int(node.alive.sum())} edges, {len(plan.tables)} tables, latency {plan.latency} cycles.",
            f"y[o] = sat((sum of edges + bias[o] + {node.half}) >> {node.shift}); constants are part of the tables.",
        ),
    )
