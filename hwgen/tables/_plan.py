"""The circuit of one layer in edge-table form, as a plan: which tables, which adders, in which clock cycle.

For output `o` the layer computes `Y = sat((sum_i T[i][c_i] + bias + half) >> shift)`. The plan keeps every sum exact:

1. an edge whose table is constant on the codes that can occur becomes a part of the constant;
2. of every other table its minimum is subtracted (into the constant) and its common trailing zeros are dropped (into a
   weight `2^k`), so that it is unsigned and as narrow as its range; equal tables of one input are built once;
3. zeros that all terms share are dropped from the constant, too: `floor((S*2^k + K) / 2^k) = S + floor(K / 2^k)`;
4. what is left of the constant is added to the table that it widens least, so that it costs no adder;
5. tables are accumulated in chains of about :data:`CHAIN`, narrow ones first, and the chains are added in pairs, with
   a register after each level; every sum has the width of its interval. Along a chain the codes are delayed and the
   tables are *subtracted* (each holds `max - T` instead of `T - min`): one LUT per bit then computes both the table,
   of at most 5 index bits, and its share of the subtractor, because the minuend is what feeds the carry chain. With
   `+` Yosys is free to swap the operands, and does.

All outputs of a layer have the same latency: an output with few terms is ready early and then waits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwgen.tables._coders import CoderForm, Index, plan_index
from pymodel.ir import EdgeTable, FixedPoint, IntArray, Interval, signed_width, unsigned_width

__all__ = ["LayerPlan", "OutputPlan", "Sum", "Table", "Term", "plan_layer"]

#: A table of at most this many index bits is one LUT6 per bit and shares its cycle with the first adder.
FUSED_BITS = 6
#: A table of at most this many index bits fits into the LUTs of the adder that it is an operand of.
ABSORBED_BITS = 5
#: Tables per chain where they are absorbed. Longer chains need fewer LUTs, but more cycles and registers.
CHAIN = 4


def bits(interval: Interval) -> int:
    """Return the width of a vector that holds `interval`: two's complement only if it contains negative numbers."""
    low, high = interval.low, interval.high
    return signed_width(low, high) if low < 0 else unsigned_width(high)


@dataclass(frozen=True, eq=False)
class Table:
    """A table in hardware: entries (2^width of the index,), the value of entry `e` being `e` itself.

    Attributes:
        name: its signal.
        index: the input's index.
        delay: cycles by which the index is delayed.
        entries: integers; entries that are never read repeat a neighbour.
        interval: of the entries.
        uses: the edges it stands for, as (output, factor, offset): the edge's integers are `entry * factor + offset`,
            and the factor is a power of two, or minus one where the table is subtracted.
    """

    name: str
    index: Index
    delay: int
    entries: IntArray
    interval: Interval
    uses: list[tuple[int, int, int]]

    @property
    def width(self) -> int:
        """Bits of an entry."""
        return bits(self.interval)


@dataclass(frozen=True)
class Term:
    """A signal with the weight `2^zeros`."""

    name: str
    interval: Interval
    zeros: int

    @property
    def width(self) -> int:
        """Bits of the signal."""
        return bits(self.interval)

    @property
    def order(self) -> tuple[int, int]:
        """Sort key: narrow first."""
        return (self.interval.high - self.interval.low) << self.zeros, self.zeros


@dataclass(frozen=True)
class Sum:
    """A register that holds one term, or the sum or (`subtract`) the difference of two."""

    term: Term
    operands: tuple[Term, ...]
    subtract: bool = False


@dataclass(frozen=True, eq=False)
class OutputPlan:
    """One output: the levels of its adder tree, and what saturates the result.

    Attributes:
        levels: sums per level; empty if the output has at most one table.
        total: the term that is shifted and saturated; None if the output is constant.
        shift: the shift that is left.
        interval: of the output integer.
        delay: registers after the saturation, the output register included.
    """

    levels: tuple[tuple[Sum, ...], ...]
    total: Term | None
    shift: int
    interval: Interval
    delay: int


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """A layer: indices, tables and outputs.

    Attributes:
        node: the layer in edge-table form.
        in_type: type of its input integers.
        indices: one per input that any table reads.
        tables: in the order of inputs.
        outputs: one per output.
        code_register: codes are registered (some input needs a coder with logic).
        table_register: tables are registered before the first adder.
        latency: cycles from the input integers to the output integers, both registered.
    """

    node: EdgeTable
    in_type: FixedPoint
    indices: tuple[Index, ...]
    tables: tuple[Table, ...]
    outputs: tuple[OutputPlan, ...]
    code_register: bool
    table_register: bool
    latency: int

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """Interval of each output integer."""
        return tuple(output.interval for output in self.outputs)

    @property
    def sums(self) -> tuple[Sum, ...]:
        """All sums, those of one term (a delay) included."""
        return tuple(s for output in self.outputs for level in output.levels for s in level)

    def delay(self, index: Index) -> int:
        """Return the largest delay of an index."""
        return max(table.delay for table in self.tables if table.index.feature == index.feature)

    @property
    def register_bits(self) -> int:
        """Bits of all registers."""
        codes = sum(index.width for index in self.indices) if self.code_register else 0
        tables = sum(table.width for table in self.tables) if self.table_register else 0
        delays = sum(output.delay for output in self.outputs if output.total is not None)
        codes += sum(index.width * self.delay(index) for index in self.indices)
        return codes + tables + sum(s.term.width for s in self.sums) + delays * self.node.out_type.width


@dataclass
class _Edge:
    """A table that is not constant, in its place: its integers are `sign * (entries << zeros) + offset`.

    The output adds `sign * (entries << zeros)`; `offset` is part of its constant.
    """

    index: Index
    entries: IntArray
    sign: int
    delay: int
    zeros: int
    offset: int

    @classmethod
    def place(cls, index: Index, table: IntArray, sign: int, delay: int) -> _Edge:
        """Return the edge with its minimum (or, subtracted, its maximum) and its common zeros taken out."""
        offset = int(table.min() if sign > 0 else table.max())
        entries = (table - offset) * sign
        used = int(np.bitwise_or.reduce(entries))
        zeros = (used & -used).bit_length() - 1
        return cls(index, entries >> zeros, sign, delay, zeros, offset)


def _fill(entries: IntArray, index: Index) -> IntArray:
    """Return `entries` with those that are never read repeating the nearest read one below (or the first one)."""
    positions = np.where(index.reachable, np.arange(index.reachable.size), -1)
    nearest = np.maximum.accumulate(positions)
    nearest[nearest < 0] = int(np.argmax(index.reachable))
    return np.asarray(entries[nearest])


def _live_tables(node: EdgeTable, indices: list[Index], output: int) -> tuple[list[tuple[Index, IntArray]], int]:
    """Return the tables of one output that are not constant, narrow ones first, and the sum of all constants."""
    live, constant = [], int(node.bias[output]) + node.half
    for index in indices:
        table = _fill(node.tables[index.feature, index.codes, output], index)
        if table.min() == table.max():
            constant += int(table[0])
        else:
            live.append((index, table))
    return sorted(live, key=lambda entry: int(entry[1].max() - entry[1].min())), constant


class _Tables:
    """The tables of a layer, equal ones of one input and delay built once."""

    def __init__(self) -> None:
        self._tables: dict[tuple[int, int, bytes], Table] = {}
        self._count: dict[int, int] = {}

    def users(self, edge: _Edge) -> int:
        """Return how many outputs use this table so far."""
        table = self._tables.get((edge.index.feature, edge.delay, edge.entries.tobytes()))
        return len(table.uses) if table else 0

    def term(self, edge: _Edge, output: int, dropped: int) -> Term:
        """Return the signal of an edge, building its table if it is new; `dropped` zeros are common to the output."""
        feature = edge.index.feature
        key = (feature, edge.delay, edge.entries.tobytes())
        if key not in self._tables:
            number = self._count.setdefault(feature, 0)
            self._count[feature] += 1
            interval = Interval(int(edge.entries.min()), int(edge.entries.max()))
            self._tables[key] = Table(f"t{feature}_{number}", edge.index, edge.delay, edge.entries, interval, [])
        table = self._tables[key]
        table.uses.append((output, edge.sign << (edge.zeros + dropped), edge.offset))
        return Term(table.name, table.interval, edge.zeros)

    def sorted(self) -> tuple[Table, ...]:
        """Return all tables, by input."""
        return tuple(sorted(self._tables.values(), key=lambda table: table.index.feature))


def _fold(edges: list[_Edge], constant: int, dropped: int, tables: _Tables) -> None:
    """Add `constant` to the added table that it widens least (an unshared one where that is equal), in place."""
    if constant == 0:
        return

    def cost(edge: _Edge) -> tuple[int, int]:
        high = int(edge.entries.max())
        moved = Interval(constant, (high << edge.zeros) + constant)
        return bits(moved) - bits(Interval(0, high)), tables.users(edge)

    best = min((edge for edge in edges if edge.sign > 0), key=cost)
    best.entries = (best.entries << best.zeros) + constant
    best.zeros = 0
    best.offset -= constant << dropped


def _add(operands: tuple[Term, ...], name: str, *, subtract: bool = False) -> Sum:
    zeros = min(term.zeros for term in operands)
    low, high = 0, 0
    for position, term in enumerate(operands):
        ends = term.interval.low << (term.zeros - zeros), term.interval.high << (term.zeros - zeros)
        if subtract and position:
            low, high = low - ends[1], high - ends[0]
        else:
            low, high = low + ends[0], high + ends[1]
    return Sum(Term(name, Interval(low, high), zeros), operands, subtract)


def _depth(terms: int, chain: int) -> int:
    """Return the levels that `terms` tables in chains of at most `chain` need."""
    if terms <= 1:
        return 0
    groups = -(-terms // chain)
    return -(-terms // groups) - 1 + (groups - 1).bit_length()


def _chains(terms: int, levels: int, chain: int) -> list[int]:
    """Return the lengths of the chains of one output: at most `levels` deep, the longest chains that this allows."""
    longest = max((g for g in range(1, terms + 1) if _depth(terms, g) <= levels), default=1) if chain > 2 else chain
    groups = max(1, -(-terms // longest))
    size, extra = divmod(terms, groups)
    return [size + (g < extra) for g in range(groups)]


def _place(live: list[tuple[Index, IntArray]], chains: list[int]) -> list[list[_Edge]]:
    """Return the edges of each chain: the first is added, the others are subtracted; all chains end together."""
    longest, remaining = max(chains), iter(live)
    placed = []
    for length in chains:
        start = longest - max(length, 2) if longest > 1 else 0
        placed.append(
            [
                _Edge.place(*next(remaining), sign=-1 if position else 1, delay=start + max(0, position - 1))
                for position in range(length)
            ]
        )
    return placed


def _levels(chains: list[list[Term]], output: int) -> tuple[tuple[Sum, ...], ...]:
    """Return the levels of sums over the chains, whose first terms are added and whose others are subtracted."""
    longest = max(len(chain) for chain in chains)
    accumulators = [chain[0] for chain in chains]
    levels: list[tuple[Sum, ...]] = []
    for level in range(1, longest):
        sums = []
        for number, chain in enumerate(chains):
            # A chain of `length` terms starts at level `longest - length + 1`; a single term is registered at the end.
            position = level - longest + len(chain)
            name = f"s{output}_{level}_{number}"
            if position >= 1:
                sums.append(_add((accumulators[number], chain[position]), name, subtract=True))
            elif level == longest - 1:
                sums.append(_add((chain[0],), name))
            else:
                continue
            accumulators[number] = sums[-1].term
        levels.append(tuple(sums))
    while len(accumulators) > 1:
        accumulators = sorted(accumulators, key=lambda term: term.order)
        pairs = [tuple(accumulators[j : j + 2]) for j in range(0, len(accumulators), 2)]
        levels.append(tuple(_add(pair, f"s{output}_{len(levels) + 1}_{j}") for j, pair in enumerate(pairs)))
        accumulators = [s.term for s in levels[-1]]
    return tuple(levels)


def _saturated(total: Interval, shift: int, out_type: FixedPoint) -> Interval:
    low, high = (min(max(v >> shift, out_type.min_int), out_type.max_int) for v in (total.low, total.high))
    return Interval(low, high)


def plan_layer(node: EdgeTable, in_type: FixedPoint, domain: tuple[Interval, ...]) -> LayerPlan:
    """Return the circuit of `node`.

    Args:
        node: the layer.
        in_type: type of its input integers.
        domain: per input, the integers that can occur.
    """
    alive = np.flatnonzero(node.alive.any(axis=0)).tolist()
    indices = [plan_index(node.coder, i, in_type, domain[i]) for i in alive]
    live = [_live_tables(node, indices, output) for output in range(node.n_out)]
    chain = CHAIN if all(index.width <= ABSORBED_BITS for index in indices) else 2
    depth = max(_depth(len(edges), chain) for edges, _ in live)
    tables = _Tables()
    drafts: list[tuple[tuple[tuple[Sum, ...], ...], Term | None, int, Interval]] = []
    for output, (edges, constant) in enumerate(live):
        if not edges:
            drafts.append(((), None, 0, _saturated(Interval(constant, constant), node.shift, node.out_type)))
            continue
        chains = _place(edges, _chains(len(edges), depth, chain))
        placed = [edge for group in chains for edge in group]
        zeros = min(node.shift, *(edge.zeros for edge in placed))
        for edge in placed:
            edge.zeros -= zeros
        _fold(placed, (constant + sum(edge.offset for edge in placed)) >> zeros, zeros, tables)
        terms = [[tables.term(edge, output, zeros) for edge in group] for group in chains]
        levels = _levels(terms, output)
        total = levels[-1][0].term if levels else terms[0][0]
        value = Interval(total.interval.low << total.zeros, total.interval.high << total.zeros)
        drafts.append((levels, total, node.shift - zeros, _saturated(value, node.shift - zeros, node.out_type)))
    used = {table.index.feature for table in tables.sorted()}
    indices = [index for index in indices if index.feature in used]
    assert depth == max(len(levels) for levels, *_ in drafts)
    code_register = any(index.form is not CoderForm.SLICE for index in indices)
    table_register = any(index.width > FUSED_BITS for index in indices)
    outputs = tuple(OutputPlan(*draft, delay=depth - len(draft[0]) + 1) for draft in drafts)
    latency = int(code_register) + int(table_register) + depth + 1
    return LayerPlan(node, in_type, tuple(indices), tables.sorted(), outputs, code_register, table_register, latency)
