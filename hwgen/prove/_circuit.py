"""The circuit read from its cut upwards: every bit as a function of the integers at which it was cut before.

Cells are taken in topological order, registers among them: each moves its function to the next cycle. A bit that
cannot be expressed keeps the reason; it only matters if something needs that bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hwgen.prove._cells import ARITHMETIC, BITWISE, arithmetic, evaluate, extended, is_signed, read_memory
from hwgen.prove._compressor import local_function, rewritten
from hwgen.prove._domain import Domain
from hwgen.prove._errors import NotProvenError
from hwgen.prove._forms import Form, read_form, result_bits
from hwgen.prove._functions import Fn, TooWideError, constant
from hwgen.prove._netlist import Bit, Cell, Netlist, output_port

__all__ = ["Circuit", "Step", "order"]

#: Cells whose bits are independent of each other.
_PER_BIT = frozenset((*BITWISE, "$mux", "$dff"))
#: A cell that reads more bits than this (behind any logic) gets them as variables of their own, if each is of one input.
_PLENTY = 12
#: A cell, and the bit of it if its bits are independent.
Step = tuple[Cell, int | None]


def _reads(step: Step) -> list[Bit]:
    """Return the bits that a step reads."""
    cell, position = step
    if cell.type == "$dff":
        assert position is not None
        return [cell.port("D")[position]]
    names = [name for name in cell.ports if name not in (output_port(cell), "CLK")]
    if position is None:
        return [bit for name in names for bit in cell.ports[name]]
    words = {name: cell.ports[name] for name in names if name != "S"}
    return [*(bits[min(position, len(bits) - 1)] for bits in words.values()), *cell.ports.get("S", ())]


def order(netlist: Netlist, targets: Iterable[Bit], stop: Iterable[Bit]) -> list[Step]:
    """Return the steps that compute `targets`, sources first, not going beyond the bits `stop`.

    Raises:
        NotProvenError: if they form a loop, with or without registers: a pipeline has none.
    """
    ends = set(stop)
    state: dict[tuple[str, int | None], int] = {}
    result: list[Step] = []

    def steps(bits: Iterable[Bit]) -> Iterator[Step]:
        for bit in dict.fromkeys(netlist.root(bit) for bit in bits):
            if bit in netlist.drivers and bit not in ends:
                cell, _, position = netlist.drivers[bit]
                yield cell, position if cell.type in _PER_BIT else None

    stack = [(step, False) for step in steps(targets)]
    while stack:
        step, done = stack.pop()
        cell, position = step
        key = (cell.name, position)
        if done:
            state[key] = 2
            result.append(step)
            continue
        if key in state:
            continue
        state[key] = 1
        stack.append((step, True))
        for source in steps(_reads(step)):
            before = state.get((source[0].name, source[1]))
            if before == 1:
                raise NotProvenError(f"{source[0].where} is in a loop: its output comes back to its input")
            if before is None:
                stack.append((source, False))
    return result


@dataclass
class Circuit:
    """Functions of bits.

    Attributes:
        netlist: the circuit.
        domain: the cuts.
        clock: the bit that clocks every register.
        forms: whether sums become forms; if not, everything is enumerated (to run the circuit on samples).
    """

    netlist: Netlist
    domain: Domain
    clock: Bit
    forms: bool = True
    known: dict[Bit, Fn] = field(default_factory=dict)
    cuts: set[Bit] = field(default_factory=set)
    reasons: dict[Bit, NotProvenError] = field(default_factory=dict)

    def cut(self, bit: Bit, f: Fn) -> None:
        """Make the function of a bit known."""
        self.known[self.netlist.root(bit)] = f
        self.cuts.add(self.netlist.root(bit))

    def functions(self, bits: Sequence[Bit]) -> list[Fn]:
        """Return the functions of bits.

        Raises:
            NotProvenError: if one of them cannot be expressed; the message names the cell that is the reason.
        """
        for cell in order(self.netlist, bits, self.cuts):
            self._evaluate(cell)
        return [self.function(bit) for bit in bits]

    def function(self, bit: Bit) -> Fn:
        """Return the function of a bit whose cone was evaluated."""
        bit = self.netlist.root(bit)
        if bit <= 2:
            return constant(bit)
        if bit in self.reasons:
            raise self.reasons[bit]
        if bit not in self.known:
            if bit in self.netlist.inputs or bit in self.netlist.drivers:
                raise NotProvenError(f"the data depend on {self.netlist.names[bit]}, which is not a value of a sample")
            return constant(2)  # nothing drives it
        return self.known[bit]

    def _evaluate(self, step: Step) -> None:
        cell, position = step
        outputs = cell.port(output_port(cell))
        if position is not None:
            outputs = (outputs[position],)
        if all(bit in self.known or bit in self.reasons for bit in outputs):
            return
        try:
            results = self._outputs(cell) if position is None else [self._bit(cell, position)]
        except NotProvenError as error:
            named = error if "cell $" in str(error) else type(error)(f"{error} ({cell.where})")
            self.reasons.update((bit, named) for bit in outputs if bit not in self.known)
            return
        for bit, result in zip(outputs, results, strict=True):
            self.known.setdefault(bit, result)

    def _outputs(self, cell: Cell) -> Sequence[Fn]:
        if self.forms and cell.type in ARITHMETIC:
            return self._sum(cell)
        inputs = {name: bits for name, bits in cell.ports.items() if name not in (output_port(cell), "CLK")}
        ports = {name: [self.function(bit) for bit in bits] for name, bits in inputs.items()}
        if self.forms:
            ports = self._narrowed(ports)
        if cell.type == "$memrd_v2":
            return read_memory(cell, ports, self.netlist, self.domain.variables)
        if cell.type in ARITHMETIC:
            return arithmetic(cell, ports, self.domain.variables)
        try:
            return evaluate(cell, ports, self.domain.variables)
        except TooWideError:
            if cell.type in ("$lt", "$le", "$gt", "$ge") and self.forms:
                return self._comparison(cell, ports)
            raise

    def _narrowed(self, ports: dict[str, list[Fn]]) -> dict[str, list[Fn]]:
        """Let bits of codes stand for themselves where the bits behind them are too many to be enumerated at no cost."""
        known = self.domain.variables.known
        union = {var for word in ports.values() for f in word for var in f.vars}
        if len(union) <= _PLENTY or any(known[var].form for var in union):
            return ports
        return {name: [self.domain.derive(f) for f in word] for name, word in ports.items()}

    def _bit(self, cell: Cell, position: int) -> Fn:
        """Evaluate one bit of a cell whose bits are independent."""
        if cell.type == "$dff":
            if self.netlist.root(cell.port("CLK")[0]) != self.clock:
                raise NotProvenError(f"{cell.where} is not clocked by clk")
            if not self._delays(cell):
                raise NotProvenError(f"{cell.where} is clocked by the falling edge")
            f = self.function(cell.port("D")[position])
            return f if f.delay is None else replace(f, delay=f.delay + 1)
        words = {name: cell.ports[name] for name in "AB" if name in cell.ports}
        if cell.type == "$mux":
            ports = {name: [self.function(bits[position])] for name, bits in words.items()}
            ports["S"] = [self.function(cell.port("S")[0])]
        else:
            fill = is_signed(cell)
            ports = {
                name: [self.function(bits[position] if position < len(bits) else bits[-1] if fill else 0)]
                for name, bits in words.items()
            }
        one = replace(cell, parameters={**cell.parameters, "Y_WIDTH": 1})
        return evaluate(one, ports, self.domain.variables)[0]

    def _comparison(self, cell: Cell, ports: dict[str, list[Fn]]) -> list[Fn]:
        """Compare long sums by the sign of their difference."""
        signed = is_signed(cell)
        width = max(len(ports["A"]), len(ports["B"])) + 1
        a, b = (extended(ports[name], width, signed=signed) for name in "AB")
        if cell.type in ("$gt", "$le"):
            a, b = b, a
        weighted = [(1 << j, f) for j, f in enumerate(a)] + [(-(1 << j), f) for j, f in enumerate(b)]
        sign = result_bits(read_form(weighted, width, self.domain), self.domain)[-1]
        if cell.type in ("$ge", "$le"):
            sign = self.domain.variables.combine([sign], BITWISE["$not"])
        return extended([sign], cell.integer("Y_WIDTH"), signed=False)

    def _sum(self, cell: Cell) -> list[Fn]:
        """Evaluate an arithmetic cell: as a form, or by enumeration where its operands are no sums."""
        width = cell.integer("Y_WIDTH")
        try:
            return result_bits(self._form(cell, width), self.domain)
        except NotProvenError as error:
            ports = {name: [self.function(bit) for bit in cell.port(name)] for name in "AB" if name in cell.ports}
            if any(self.domain.variables.known[var].form for word in ports.values() for f in word for var in f.vars):
                raise
            try:
                return arithmetic(cell, ports, self.domain.variables)
            except TooWideError:
                raise error from None

    def _form(self, cell: Cell, width: int) -> Form:
        signed = is_signed(cell)
        operands = {}
        for name in "AB":
            if name in cell.ports:
                bits = list(self.netlist.roots(cell.port(name)))
                fill = bits[-1] if signed else 0
                operands[name] = [*bits[:width], *[fill] * (width - len(bits))]
        factors = {"A": -1 if cell.type == "$neg" else 1, "B": -1 if cell.type == "$sub" else 1}
        if cell.type == "$mul":
            for one, other in (("A", "B"), ("B", "A")):
                if all(bit <= 1 for bit in operands[one]):
                    factors = {other: sum(bit << j for j, bit in enumerate(operands.pop(one)))}
                    break
            else:
                raise NotProvenError(f"{cell.where} multiplies two variables")
        locals_ = [
            (factors[name] << j, local_function(self.netlist, bit, self.cuts, self._delays))
            for name, bits in operands.items()
            for j, bit in enumerate(bits)
        ]
        offset, terms = rewritten(locals_, width)
        functions = [(weight, self._delayed(bit, delay)) for weight, (bit, delay) in terms]
        return read_form(functions, width, self.domain, offset)

    def _delays(self, register: Cell) -> bool:
        """Return whether a register delays by one cycle of the clock."""
        return self.netlist.root(register.port("CLK")[0]) == self.clock and register.integer("CLK_POLARITY") == 1

    def _delayed(self, bit: Bit, delay: int) -> Fn:
        f = self.function(bit)
        return f if f.delay is None or not delay else replace(f, delay=f.delay + delay)
