"""The circuit of one layer in edge-table form, as a plan: which tables, which adders, in which clock cycle.

For output `o` the layer computes `Y = sat((sum_i T[i][c_i] + bias + half) >> shift)`. The plan keeps every sum exact:

1. an edge whose table is constant on the codes that can occur becomes a part of the constant;
2. of every other table its minimum is subtracted (into the constant) and its common trailing zeros are dropped (into a
   weight `2^k`), so that it is unsigned and as narrow as its range; equal tables of one input are built once;
3. zeros that all terms share are dropped from the constant, too: `floor((S*2^k + K) / 2^k) = S + floor(K / 2^k)`;
4. what is left of the constant is added to the table that it widens least, so that it costs no adder;
5. the terms are added in pairs, narrow ones first, with a register after each level, the last three at once; every sum
   has the width of its interval.

Before step 3, inputs of one output share a table where their bits fit into one LUT (:mod:`hwgen.tables._grouping`).
Adders take a table of at most five bits as their second operand, where there is one: their own LUTs absorb it. An
output that is ready early and clips on both sides does so in two cycles. :class:`hwgen.tables.Passes` switches these.

Measured, and not done: chains that subtract one table after the other from an accumulator, each absorbed in the LUTs of
its subtractor. On 300 edges of 4-bit codes, chains of 4 took 11 % fewer LUT cells, but as many LUT sites (1 % more) and
two cycles more: absorbed tables no longer share a site.

All outputs of a layer have the same latency: an output with few terms is ready early and then waits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwgen.tables._coders import CoderForm, Index, plan_index
from hwgen.tables._edges import Edge, output_edges
from hwgen.tables._grouping import ABSORBED_BITS, LUT_BITS, group
from hwgen.tables._passes import Passes
from pymodel.ir import EdgeTable, FixedPoint, IntArray, Interval, signed_width, unsigned_width

__all__ = ["LayerPlan", "OutputPlan", "Sum", "Table", "Term", "plan_layer"]


def bits(interval: Interval) -> int:
    """Return the width of a vector that holds `interval`: two's complement only if it contains negative numbers."""
    low, high = interval.low, interval.high
    return signed_width(low, high) if low < 0 else unsigned_width(high)


@dataclass(frozen=True, eq=False)
class Table:
    """A table in hardware: entries (2^select_width,), the value of entry `e` being `e` itself.

    Attributes:
        name: its signal.
        indices: the inputs' indices, the first one in the low bits of the selector.
        entries: integers; entries that are never read repeat others.
        interval: of the entries.
        uses: the edges it stands for, as (output, k, offset): the integers that all its inputs together add to that
            output are `entry * 2^k + offset`.
    """

    name: str
    indices: tuple[Index, ...]
    entries: IntArray
    interval: Interval
    uses: list[tuple[int, int, int]]

    @property
    def width(self) -> int:
        """Bits of an entry."""
        return bits(self.interval)

    @property
    def select_width(self) -> int:
        """Bits that select an entry."""
        return sum(index.width for index in self.indices)

    @property
    def features(self) -> tuple[int, ...]:
        """Numbers of the inputs."""
        return tuple(index.feature for index in self.indices)


@dataclass(frozen=True)
class Term:
    """A signal with the weight `2^zeros`; `select_width` bits select it if it is a table, not a sum."""

    name: str
    interval: Interval
    zeros: int
    select_width: int = 0

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
    """A register that holds the sum of one, two or three terms."""

    term: Term
    operands: tuple[Term, ...]


@dataclass(frozen=True, eq=False)
class OutputPlan:
    """One output: the levels of its adder tree, and what saturates the result.

    Attributes:
        levels: sums per level; empty if the output has at most one table.
        total: the term that is shifted and saturated; None if the output is constant.
        shift: the shift that is left.
        interval: of the output integer.
        delay: registers after the adder tree, the output register included.
        split: negative numbers become 0 in the first of these registers and large ones are clipped before the second:
            then each test drives the set or reset of a register, and no LUT is needed per bit.
    """

    levels: tuple[tuple[Sum, ...], ...]
    total: Term | None
    shift: int
    interval: Interval
    delay: int
    split: bool = False

    @property
    def kept(self) -> int:
        """Bits of the total that are left by the shift, at least 1."""
        return 0 if self.total is None else max(1, self.total.width + self.total.zeros - self.shift)


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

    @property
    def register_bits(self) -> int:
        """Bits of all registers."""
        codes = sum(index.width for index in self.indices) if self.code_register else 0
        tables = sum(table.width for table in self.tables) if self.table_register else 0
        width = self.node.out_type.width
        built = [output for output in self.outputs if output.total is not None]
        delays = sum(output.delay * width + (output.kept - 1 - width if output.split else 0) for output in built)
        return codes + tables + sum(s.term.width for s in self.sums) + delays


class _Tables:
    """The tables of a layer, equal ones of the same inputs built once."""

    def __init__(self) -> None:
        self._tables: dict[tuple[tuple[int, ...], bytes], Table] = {}
        self._count: dict[int, int] = {}

    def users(self, edge: Edge) -> int:
        """Return how many outputs use this table so far."""
        table = self._tables.get((edge.features, edge.entries.tobytes()))
        return len(table.uses) if table else 0

    def term(self, edge: Edge, output: int, dropped: int) -> Term:
        """Return the signal of an edge, building its table if it is new; `dropped` zeros are common to the output."""
        first = edge.features[0]
        key = (edge.features, edge.entries.tobytes())
        if key not in self._tables:
            number = self._count.setdefault(first, 0)
            self._count[first] += 1
            interval = Interval(int(edge.entries.min()), int(edge.entries.max()))
            self._tables[key] = Table(f"t{first}_{number}", edge.indices, edge.entries, interval, [])
        table = self._tables[key]
        table.uses.append((output, edge.zeros, edge.low))
        return Term(table.name, table.interval, edge.zeros - dropped, edge.select_width)

    def sorted(self) -> tuple[Table, ...]:
        """Return all tables, by first input."""
        return tuple(sorted(self._tables.values(), key=lambda table: table.features[0]))


def _folded(edges: list[Edge], constant: int, dropped: int, tables: _Tables) -> list[Edge]:
    """Return `edges` with `constant * 2^dropped` added to the one that it widens least (an unshared one if equal)."""
    if constant == 0:
        return edges

    def values(edge: Edge) -> IntArray:
        return (edge.entries << (edge.zeros - dropped)) + constant

    def cost(edge: Edge) -> tuple[int, int]:
        high = int(edge.entries.max())
        moved = Interval(constant, (high << (edge.zeros - dropped)) + constant)
        return bits(moved) - bits(Interval(0, high)), tables.users(edge)

    best = min(range(len(edges)), key=lambda e: cost(edges[e]))
    edge = edges[best]
    folded = Edge(edge.indices, values(edge), dropped, edge.low - (constant << dropped))
    return [*edges[:best], folded, *edges[best + 1 :]]


def _add(operands: tuple[Term, ...], name: str) -> Sum:
    zeros = min(term.zeros for term in operands)
    low = sum(term.interval.low << (term.zeros - zeros) for term in operands)
    high = sum(term.interval.high << (term.zeros - zeros) for term in operands)
    return Sum(Term(name, Interval(low, high), zeros), operands)


def _pairs(terms: list[Term], *, absorb: bool) -> list[tuple[Term, ...]]:
    """Return `terms` in pairs of similar range, the last one alone if their number is odd.

    A table of at most five bits costs nothing as the second operand of an adder: the adder's LUT, which has one input
    for the first operand, holds it. So each is paired with a table that is too wide for that, as long as there are any, if `absorb` is set.
    """
    terms = sorted(terms, key=lambda term: term.order)
    small = [term for term in terms if absorb and 0 < term.select_width <= ABSORBED_BITS]
    wide = [term for term in terms if term not in small]
    mixed = min(len(small), len(wide))
    rest = sorted(small[mixed:] + wide[mixed:], key=lambda term: term.order)
    pairs: list[tuple[Term, ...]] = list(zip(wide, small, strict=False))
    return pairs + [tuple(rest[j : j + 2]) for j in range(0, len(rest), 2)]


def _tree(terms: list[Term], output: int, passes: Passes) -> tuple[tuple[Sum, ...], ...]:
    """Return the levels of the adder tree over at least one term; three terms that are left are added at once."""
    levels: list[tuple[Sum, ...]] = []
    while len(terms) > 1:
        at_once = passes.ternary and len(terms) == 3
        groups = (
            [tuple(sorted(terms, key=lambda term: term.order))] if at_once else _pairs(terms, absorb=passes.pairing)
        )
        level = tuple(_add(operands, f"s{output}_{len(levels) + 1}_{j}") for j, operands in enumerate(groups))
        levels.append(level)
        terms = [s.term for s in level]
    return tuple(levels)


def _saturated(total: Interval, shift: int, out_type: FixedPoint) -> Interval:
    low, high = (min(max(v >> shift, out_type.min_int), out_type.max_int) for v in (total.low, total.high))
    return Interval(low, high)


def _splits(
    levels: tuple[tuple[Sum, ...], ...],
    total: Term | None,
    shift: int,
    _interval: Interval,
    depth: int,
    out_type: FixedPoint,
) -> bool:
    """Return whether an output is clipped on both sides, to an unsigned type, and is ready a cycle early."""
    if total is None or out_type.signed or not levels or len(levels) == depth:
        return False
    low, high = (value << total.zeros >> shift for value in (total.interval.low, total.interval.high))
    return low < 0 and high > out_type.max_int


def plan_layer(node: EdgeTable, in_type: FixedPoint, domain: tuple[Interval, ...], passes: Passes) -> LayerPlan:
    """Return the circuit of `node`.

    Args:
        node: the layer.
        in_type: type of its input integers.
        domain: per input, the integers that can occur.
        passes: what may change the plain circuit.
    """
    alive = np.flatnonzero(node.alive.any(axis=0)).tolist()
    indices = [plan_index(node.coder, i, in_type, domain[i]) for i in alive]
    tables = _Tables()
    drafts: list[tuple[tuple[tuple[Sum, ...], ...], Term | None, int, Interval]] = []
    for output in range(node.n_out):
        single, constant = output_edges(node, indices, output)
        edges = group(single) if passes.grouping and single else single
        if not edges:
            drafts.append(((), None, 0, _saturated(Interval(constant, constant), node.shift, node.out_type)))
            continue
        zeros = min(node.shift, *(edge.zeros for edge in edges))
        edges = _folded(edges, constant >> zeros, zeros, tables)
        terms = [tables.term(edge, output, zeros) for edge in edges]
        levels = _tree(terms, output, passes)
        total = levels[-1][0].term if levels else terms[0]
        value = Interval(total.interval.low << total.zeros, total.interval.high << total.zeros)
        drafts.append((levels, total, node.shift - zeros, _saturated(value, node.shift - zeros, node.out_type)))
    used = {feature for table in tables.sorted() for feature in table.features}
    indices = [index for index in indices if index.feature in used]
    depth = max(len(levels) for levels, *_ in drafts)
    code_register = any(index.form is not CoderForm.SLICE for index in indices)
    table_register = any(table.select_width > LUT_BITS for table in tables.sorted())
    outputs = tuple(
        OutputPlan(*draft, depth - len(draft[0]) + 1, passes.split_clip and _splits(*draft, depth, node.out_type))
        for draft in drafts
    )
    latency = int(code_register) + int(table_register) + depth + 1
    return LayerPlan(node, in_type, tuple(indices), tables.sorted(), outputs, code_register, table_register, latency)
