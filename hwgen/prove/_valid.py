"""The valid bit: `out_valid` is `in_valid` delayed by the latency, and `rst` clears it on its way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwgen.prove._circuit import Circuit, order
from hwgen.prove._domain import Domain
from hwgen.prove._errors import NotProvenError
from hwgen.prove._functions import Fn, Variables, spread
from hwgen.prove._netlist import Bit, Netlist

__all__ = ["check_valid"]


def _next_state(netlist: Netlist, bit: Bit, leaves: Sequence[Bit]) -> Fn:
    """Return a bit as a function of `leaves` (variable number = position), registers not looked through."""
    domain = Domain(Variables())
    circuit = Circuit(netlist, domain, clock=-1, forms=False)
    for leaf in leaves:
        circuit.cut(leaf, Fn((domain.variables.new(),), np.array([0, 1], dtype=np.uint8)))
    try:
        (f,) = circuit.functions([bit])
    except NotProvenError as error:
        raise NotProvenError(f"a valid bit: {error}") from None
    return f


def check_valid(netlist: Netlist, latency: int, clock: Bit) -> None:
    """Prove the valid pipeline: `v[k] <= ~rst & v[k-1]` for k = 1 ... latency, `v[0] = in_valid`, `out_valid = v[latency]`.

    So `out_valid` at an edge is 1 if and only if `in_valid` was 1 `latency` edges before and `rst` was 0 at that edge and at all
    in between; a reset clears every sample under way.

    Raises:
        NotProvenError: if the circuit does something else.
    """
    (bit,) = netlist.roots(netlist.ports["out_valid"].bits)
    (reset,) = netlist.ports["rst"].bits
    (first,) = netlist.ports["in_valid"].bits
    for stage in range(latency, 0, -1):
        if bit not in netlist.drivers or netlist.drivers[bit][0].type != "$dff":
            raise NotProvenError(
                f"the valid bit of cycle {stage} is not a register but {netlist.names.get(bit, 'a constant')}: "
                f"it is not in_valid delayed by {latency} cycles"
            )
        cell, _, position = netlist.drivers[bit]
        if netlist.root(cell.port("CLK")[0]) != clock or cell.integer("CLK_POLARITY") != 1:
            raise NotProvenError(f"{cell.where} is not clocked by the rising edge of clk")
        target = cell.port("D")[position]
        before = _source(netlist, target, reset, first)
        f = _next_state(netlist, target, (reset, before))
        wanted = np.array([[0, 1], [0, 0]])  # axes: rst, the bit before
        if f.unknown is not None or (spread(f.values, f.vars, (0, 1)) != wanted).any() or f.vars != (0, 1):
            raise NotProvenError(f"the valid bit of cycle {stage} is not `~rst & the bit before` ({cell.where})")
        bit = before
    if bit != first:
        raise NotProvenError(f"out_valid is {netlist.names[bit]}, not in_valid, delayed by {latency} cycles")


def _source(netlist: Netlist, target: Bit, reset: Bit, first: Bit) -> Bit:
    """Return the only bit beside `rst` that the logic before a valid register reads: another register's, or `in_valid`."""
    registers = {bit for bit, (cell, _, _) in netlist.drivers.items() if cell.type == "$dff"}
    ends = registers | {reset, first}
    reads: set[Bit] = set()
    root = netlist.root(target)
    if root in ends:
        reads.add(root)
    for cell, position in order(netlist, [target], ends):
        for name, bits in cell.ports.items():
            if name == "Y":
                continue
            chosen = bits if position is None or name == "S" else bits[min(position, len(bits) - 1) :][:1]
            reads |= {netlist.root(bit) for bit in chosen} & ends
    sources = reads - {reset}
    if len(sources) != 1:
        names = ", ".join(sorted(netlist.names[bit] for bit in sources)) or "nothing"
        raise NotProvenError(f"a valid bit is made from {names}; exactly one bit beside rst is expected")
    return sources.pop()
