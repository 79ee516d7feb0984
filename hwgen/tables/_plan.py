"""The circuit of one layer in edge-table form, as a plan: which tables, which adders, in which clock cycle.

For output `o` the layer computes `Y = sat((sum_i T[i][c_i] + bias + half) >> shift)`. The plan keeps every sum exact:

1. an edge whose table is constant on the codes that can occur becomes a part of the constant;
2. of every other table its minimum is subtracted (into the constant) and its common trailing zeros are dropped (into a
   weight `2^k`), so that it is unsigned and as narrow as its range; equal tables of one input are built once;
3. inputs of one output share a table where their bits fit into one LUT (:mod:`hwgen.tables._grouping`);
4. zeros that all terms share are dropped from the constant, too: `floor((S*2^k + K) / 2^k) = S + floor(K / 2^k)`;
5. a tree of adders is chosen by cost (:mod:`hwgen.tables._choose`): tables that head it, tables that adders hold in their
   own LUTs, tables that are split for that and leave carries (:mod:`hwgen.tables._split`);
6. what is left of the constant is added to the table that it widens least, so that it costs no adder;
7. an output of one table that fits into LUTs has its shift and saturation in the table.

A layer whose sums tables saturate reads these tables in the cycle of the last adders, and may add in chains, by one level
more (:mod:`hwgen.tables._chains`). Every sum has the width of its interval. An output that is ready early and clips on both sides does so in two cycles.
:class:`hwgen.tables.Passes` switches these.

All outputs of a layer have the same latency: an output with few terms is ready early and then waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwgen.tables._choose import Choice, Tree
from hwgen.tables._coders import CoderForm, Index, plan_index
from hwgen.tables._constants import add_constant
from hwgen.tables._edges import Edge, output_edges
from hwgen.tables._forest import chainable, grow_trees
from hwgen.tables._grouping import LUT_BITS, group
from hwgen.tables._passes import Passes
from hwgen.tables._split import Part
from hwgen.tables._tree import Branch, Leaf, tree_depth
from hwgen.tables.netlist import Slice, bits
from pymodel.ir import EdgeTable, FixedPoint, IntArray, Interval

__all__ = ["LayerPlan", "OutputPlan", "Sum", "Table", "Term", "plan_layer"]


@dataclass(frozen=True, eq=False)
class Table:
    """A table in hardware: entries (2^select_width,), the value of entry `e` being `e` itself.

    Attributes:
        name: its signal.
        features: numbers of the inputs that it reads.
        selector: slices of the inputs' indices, the first one in the low bits.
        entries: integers; entries that are never read repeat others.
        delay: cycles by which the indices are delayed before it reads them.
        registered: its output is registered.
        uses: the edges it stands for, as (output, k, offset, kind): the integers that all its inputs together add to that
            output are `entry * 2^k + offset` ("whole"), or that plus carries ("base"); or it is one of these ("carry");
            or its entries are output integers ("folded").
    """

    name: str
    features: tuple[int, ...]
    selector: tuple[Slice, ...]
    entries: IntArray
    delay: int
    registered: bool
    uses: list[tuple[int, int, int, str]]

    @property
    def interval(self) -> Interval:
        """The integers among its entries."""
        return Interval(int(self.entries.min()), int(self.entries.max()))

    @property
    def width(self) -> int:
        """Bits of an entry."""
        return bits(self.interval)

    @property
    def select_width(self) -> int:
        """Bits that select an entry."""
        return sum(piece.width for piece in self.selector)


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


@dataclass(frozen=True)
class Sum:
    """The sum of one (a delay), two or three terms, and a carry.

    Attributes:
        fused: the second term is a table in the adder's LUTs;
        carry: name of a table of one bit, or None.
        registered: it is held by registers.
    """

    term: Term
    operands: tuple[Term, ...]
    fused: bool
    carry: str | None
    registered: bool


@dataclass(frozen=True, eq=False)
class OutputPlan:
    """One output: the levels of its adder tree, and what saturates the result.

    Attributes:
        levels: sums per level; empty if the output has at most one table.
        total: the term that is shifted and saturated; None if the output is constant.
        shift: the shift that is left.
        offset: added after the shift.
        looked_up: a table of what the shift leaves, at most six bits, adds the offset and saturates.
        interval: of the output integer.
        delay: registers after the adder tree, the output register included.
        choice: why the tree is as it is; None if the output is constant.
        split: negative numbers become 0 in the first of these registers and large ones are clipped before the second:
            then each test drives the set or reset of a register, and no LUT is needed per bit.
    """

    levels: tuple[tuple[Sum, ...], ...]
    total: Term | None
    shift: int
    offset: int
    looked_up: bool
    interval: Interval
    delay: int
    choice: Choice | None
    split: bool = False

    @property
    def shifted(self) -> Interval:
        """Interval of the total after the shift."""
        assert self.total is not None
        low, high = (v << self.total.zeros >> self.shift for v in (self.total.interval.low, self.total.interval.high))
        return Interval(low, high)


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
        table_register: tables at the heads of the trees are registered before the first adder.
        levels_per_stage: levels of adders between two registers.
        latency: cycles from the input integers to the output integers, both registered.
    """

    node: EdgeTable
    in_type: FixedPoint
    indices: tuple[Index, ...]
    tables: tuple[Table, ...]
    outputs: tuple[OutputPlan, ...]
    code_register: bool
    table_register: bool
    levels_per_stage: int
    latency: int

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """Interval of each output integer."""
        return tuple(output.interval for output in self.outputs)

    @property
    def sums(self) -> tuple[Sum, ...]:
        """All sums, those of one term (a delay) included."""
        return tuple(s for output in self.outputs for level in output.levels for s in level)


class _Tables:
    """The tables of a layer, equal ones of the same slices and cycle built once."""

    def __init__(self) -> None:
        self._tables: dict[tuple[object, ...], Table] = {}
        self._count: dict[int, int] = {}

    @staticmethod
    def _key(part: Part, delay: int, *, registered: bool) -> tuple[object, ...]:
        return part.selector, part.entries.tobytes(), delay, registered

    def get(self, edge: Edge, part: Part, delay: int, *, registered: bool) -> Table:
        """Return the table, building it if it is new."""
        key = self._key(part, delay, registered=registered)
        if key not in self._tables:
            first = edge.features[0]
            number = self._count.setdefault(first, 0)
            self._count[first] += 1
            read = {piece.source for piece in part.selector}
            features = tuple(index.feature for index in edge.indices if f"c{index.feature}" in read)
            self._tables[key] = Table(
                f"t{first}_{number}", features, part.selector, part.entries, delay, registered, []
            )
        return self._tables[key]

    def sorted(self) -> tuple[Table, ...]:
        """Return all tables, by first input."""
        return tuple(sorted(self._tables.values(), key=lambda table: table.features[0]))


def _saturated(total: Interval, shift: int, offset: int, out_type: FixedPoint) -> Interval:
    low, high = (min(max((v >> shift) + offset, out_type.min_int), out_type.max_int) for v in (total.low, total.high))
    return Interval(low, high)


@dataclass(eq=False)
class _Draft:
    """An output on the way: its tree (None if it is constant), and what is added, dropped and shifted.

    `offset` is added after the shift; `folded` if the entries of the only table are output integers.
    """

    tree: Tree | None
    total: Interval
    shift: int
    dropped: int = 0
    offset: int = 0
    folded: bool = False


def _folded(draft: _Draft, out_type: FixedPoint) -> _Draft:
    """Return the output of a single table with its shift and saturation in the table."""
    tree = draft.tree
    assert tree is not None
    assert isinstance(tree.root, Leaf)
    leaf = tree.root
    values = np.clip(leaf.part.entries << leaf.zeros >> draft.shift, out_type.min_int, out_type.max_int)
    interval = Interval(int(values.min()), int(values.max()))
    if interval.low == interval.high:
        return _Draft(None, interval, 0)
    leaf.part, leaf.zeros = Part(leaf.part.selector, values), 0
    return _Draft(tree, interval, 0, draft.dropped, folded=True)


def _draft(
    edges: list[Edge],
    constant: int,
    tree: Tree | None,
    zeros: int,
    node: EdgeTable,
    passes: Passes,
) -> _Draft:
    """Return one output with its constant in the tree, after the shift, or in an output table."""
    if tree is None:
        return _Draft(None, Interval(constant, constant), node.shift)
    rest, shift, span = constant >> zeros, node.shift - zeros, sum(edge.span >> zeros for edge in edges)
    clips = rest + span >> shift > node.out_type.max_int or rest >> shift < node.out_type.min_int
    offset, low = 0, rest
    fits = (span >> shift) + 1 < 1 << LUT_BITS
    if passes.folding and tree.levels and fits and (rest >> shift or clips):
        # A table of the shifted sum saturates it, and adds the upper part of the constant at no cost.
        offset, low = rest >> shift, rest & ((1 << shift) - 1)
    add_constant(tree, low)
    draft = _Draft(tree, Interval(low, low + span), shift, zeros, offset)
    return _folded(draft, node.out_type) if passes.folding and isinstance(tree.root, Leaf) else draft


def _clips(draft: _Draft, out_type: FixedPoint) -> bool:
    low, high = draft.total.low >> draft.shift, draft.total.high >> draft.shift
    return low < out_type.min_int or high > out_type.max_int


def _looked_up(draft: _Draft, out_type: FixedPoint, passes: Passes) -> bool:
    """Return whether a table of what the shift leaves saturates a sum."""
    low, high = draft.total.low >> draft.shift, draft.total.high >> draft.shift
    needed = bool(draft.offset) or _clips(draft, out_type)
    return passes.folding and needed and low >= 0 and high < 1 << LUT_BITS


def _settles(edges: list[Edge], constant: int, node: EdgeTable) -> bool:
    """Return whether the sum of an output needs a table or nothing to saturate it, and so no cycle of its own."""
    if len(edges) < 2:
        return True
    span, shift = sum(edge.span for edge in edges), node.shift
    low, high = constant >> shift, (constant + span) >> shift
    fits = (span >> shift) + 1 < 1 << LUT_BITS
    return fits or (low >= node.out_type.min_int and high <= node.out_type.max_int)


class _Outputs:
    """Trees to plans: names, tables in their cycles, intervals."""

    def __init__(self, tables: _Tables, out_type: FixedPoint, cycles: int, passes: Passes, *, registered: bool) -> None:
        self.tables = tables
        self.out_type = out_type
        self.cycles = cycles
        self.passes = passes
        self.registered = registered

    def _cycle(self, level: int) -> int:
        """Return the cycle, counted from the indices, in which an adder of this level reads delayed indices."""
        return (level - 1) // self.passes.levels_per_stage + int(self.registered)

    def _leaf(self, leaf: Leaf, output: int, draft: _Draft) -> Term:
        head = self.registered and not leaf.fused
        delay = self._cycle(leaf.level) - int(head)
        if isinstance(draft.tree and draft.tree.root, Leaf):
            delay = 0
        table = self.tables.get(leaf.edge, leaf.part, delay, registered=head)
        offset = leaf.edge.low - (leaf.moved << draft.dropped)
        kind = "folded" if draft.folded else "base" if leaf.split else "whole"
        table.uses.append((output, leaf.zeros + draft.dropped, offset, kind))
        return Term(table.name, table.interval, leaf.zeros)

    def _sum(self, branch: Branch, name: str, terms: dict[int, Term], output: int, total: Interval | None) -> Sum:
        zeros = branch.zeros
        interval = total or Interval(branch.low, branch.high)
        operands = tuple(terms[id(operand)] for operand in branch.operands)
        # No operand is wider than the sum, whose exact interval may need fewer bits than one of them.
        widest = max(term.width + term.zeros for term in operands)
        if widest > bits(interval):
            interval = Interval(branch.low, branch.high)
        if widest > bits(interval):
            ends = [interval, *(Interval(t.interval.low << t.zeros, t.interval.high << t.zeros) for t in operands)]
            interval = Interval(min(e.low for e in ends), max(e.high for e in ends))
        carry = None
        if branch.carry is not None:
            edge, part = branch.carry
            table = self.tables.get(edge, part, self._cycle(branch.level), registered=False)
            table.uses.append((output, 0, 0, "carry"))
            carry = table.name
        term = Term(name, Interval(interval.low >> zeros, interval.high >> zeros), zeros)
        return Sum(term, operands, branch.fused, carry, branch.level % self.passes.levels_per_stage == 0)

    def plan(self, draft: _Draft, output: int) -> OutputPlan:
        """Return the plan of one output."""
        interval = _saturated(draft.total, draft.shift, draft.offset, self.out_type)
        if draft.tree is None:
            return OutputPlan((), None, 0, 0, False, interval, 0, None)
        tree = draft.tree
        terms = {id(leaf): self._leaf(leaf, output, draft) for leaf in tree.leaves}
        levels = []
        for number, branches in enumerate(tree.levels, start=1):
            level = []
            for position, branch in enumerate(branches):
                total = draft.total if branch is tree.root else None
                s = self._sum(branch, f"s{output}_{number}_{position}", terms, output, total)
                terms[id(branch)] = s.term
                level.append(s)
            levels.append(tuple(level))
        delay = self.cycles - len(levels) // self.passes.levels_per_stage
        if levels and not delay:  # saturated by a table in the cycle of its last adder
            levels[-1] = tuple(replace(s, registered=False) for s in levels[-1])
            delay = 1
        # Clipped on both sides, to an unsigned type, and ready a cycle early?
        shifted = Interval(draft.total.low >> draft.shift, draft.total.high >> draft.shift)
        both = shifted.low < 0 and shifted.high > self.out_type.max_int and not self.out_type.signed
        looked_up = bool(levels) and _looked_up(draft, self.out_type, self.passes)
        split = not looked_up and self.passes.split_clip and both and bool(levels) and delay > 1
        return OutputPlan(
            tuple(levels),
            terms[id(tree.root)],
            draft.shift,
            draft.offset,
            looked_up,
            interval,
            delay,
            tree.choice,
            split,
        )


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
    parts: list[tuple[list[Edge], int]] = []
    for output in range(node.n_out):
        single, constant = output_edges(node, indices, output)
        edges = group(single) if passes.grouping and single else single
        parts.append((edges, constant))
    depth = max(tree_depth(max(1, len(edges)), passes) for edges, _ in parts)
    spare = passes.chains and passes.folding and passes.levels_per_stage == 1
    settled = spare and chainable(parts) and all(_settles(edges, constant, node) for edges, constant in parts)
    tables = _Tables()
    trees = grow_trees(parts, node.shift, depth + int(settled), passes, chains=settled)
    drafts = [
        _draft(edges, constant, tree, zeros, node, passes)
        for (edges, constant), (tree, zeros) in zip(parts, trees, strict=True)
    ]
    table_register = passes.register_tables or any(
        not leaf.fused and leaf.part.select_width > LUT_BITS
        for draft in drafts
        if draft.tree is not None
        for leaf in draft.tree.leaves
    )
    depth = max((len(draft.tree.levels) for draft in drafts if draft.tree is not None), default=0)
    # A sum that a table saturates, or nothing, needs no register before that.
    settled = settled and all(
        _looked_up(draft, node.out_type, passes) or not _clips(draft, node.out_type)
        for draft in drafts
        if draft.tree is not None and len(draft.tree.levels) == depth > 0
    )
    cycles = depth // passes.levels_per_stage + int(not settled or depth == 0)
    maker = _Outputs(tables, node.out_type, cycles, passes, registered=table_register)
    outputs = tuple(maker.plan(draft, output) for output, draft in enumerate(drafts))
    used = {feature for table in tables.sorted() for feature in table.features}
    indices = [index for index in indices if index.feature in used]
    code_register = any(index.form is not CoderForm.SLICE for index in indices)
    latency = int(code_register) + int(table_register) + cycles
    return LayerPlan(
        node, in_type, tuple(indices), tables.sorted(), outputs, code_register, table_register,
        passes.levels_per_stage, latency,
    )  # fmt: skip
