"""The adder tree of one output: which tables head a chain, which ones an adder holds in its LUTs, and what adds the rest.

A table of at most five bits can be an adder's second operand at no cost beyond the table (*fused*), but then it shares no
LUT site with a table of the same input, which two plain tables of up to five bits do. So a tree has `h` heads; at each
level a sum takes one fused table or is added to another sum; and `h` is chosen by cost, in LUTs and LUT sites:

- a plain table of `w` bits: `w` LUTs, `w/2` sites if it reads at most five bits, doubled for each bit above six;
- a fused one: `w` LUTs and as many sites, or no more sites than if it were plain, as long as at least as many bits of
  plain tables (of other outputs) read the same four-bit code and ride along in its sites;
- a split one (:mod:`hwgen.tables._split`): the LUTs of its base and one for each carry;
- adding two sums: a LUT and half a site per bit.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hwgen.tables._edges import Edge
from hwgen.tables._grouping import ABSORBED_BITS, LUT_BITS
from hwgen.tables._passes import Passes
from hwgen.tables._split import Part, Split, selector_of, split

__all__ = ["Balance", "Branch", "Choice", "Leaf", "Tree", "arrange", "tree_depth"]

#: Sites count this many times as much as LUTs.
_SITE_WEIGHT = 8.0


@dataclass(eq=False)
class Leaf:
    """A table in a tree.

    Attributes:
        edge: what it adds, or adds together with carries.
        part: the table itself; `moved` is the constant that has been added to its entries.
        zeros: its entries count `2^zeros`.
        level: of the adder that reads it.
        fused: it is in the LUTs of that adder.
    """

    edge: Edge
    part: Part
    zeros: int
    level: int = 1
    fused: bool = False
    moved: int = 0

    @property
    def low(self) -> int:
        """Least integer that it adds."""
        return int(self.part.entries.min()) << self.zeros

    @property
    def high(self) -> int:
        """Greatest integer that it adds."""
        return int(self.part.entries.max()) << self.zeros

    def add(self, constant: int) -> None:
        """Add a constant to what it adds."""
        self.part = Part(self.part.selector, (self.part.entries << self.zeros) + constant)
        self.zeros, self.moved = 0, self.moved + constant


@dataclass(eq=False)
class Branch:
    """A sum: one operand (a delay), two, or three.

    `fused`: the second of two operands, usually a table, is in the adder's LUTs (:class:`hwgen.tables.netlist.Adder`).
    """

    operands: list[Leaf | Branch]
    level: int
    fused: bool = False
    carry: tuple[Edge, Part] | None = None

    @property
    def zeros(self) -> int:
        """Trailing zeros of the sum."""
        return min(operand.zeros for operand in self.operands)

    @property
    def low(self) -> int:
        """Least integer of the sum."""
        return sum(operand.low for operand in self.operands)

    @property
    def high(self) -> int:
        """Greatest integer of the sum."""
        return sum(operand.high for operand in self.operands) + (self.carry is not None)


@dataclass(frozen=True)
class Choice:
    """Why an output has the tree that it has; costs are estimates, before synthesis.

    Attributes:
        terms: tables after grouping.
        heads, fused, carries: plain tables, tables in adders, carry inputs used.
        levels: of adders.
        luts, sites: of the tables and adders.
        alternatives: the same two figures for other numbers of heads, as {heads: (luts, sites)}.
        reason: one sentence.
    """

    terms: int
    heads: int
    fused: int
    carries: int
    levels: int
    luts: float
    sites: float
    alternatives: dict[int, tuple[float, float]]
    reason: str


@dataclass(eq=False)
class Tree:
    """The levels of sums; a single leaf has none."""

    root: Leaf | Branch
    levels: list[list[Branch]]
    choice: Choice

    @property
    def leaves(self) -> list[Leaf]:
        """All tables but the carries."""
        if isinstance(self.root, Leaf):
            return [self.root]
        return [leaf for level in self.levels for s in level for leaf in s.operands if isinstance(leaf, Leaf)]

    @property
    def branches(self) -> list[Branch]:
        """All sums."""
        return [branch for level in self.levels for branch in level]


@dataclass
class Balance:
    """Per four-bit code, the bits of its tables so far, fused and in all; how many outputs read each code."""

    fused: dict[tuple[int, ...], int] = field(default_factory=lambda: defaultdict(int))
    seen: dict[tuple[int, ...], int] = field(default_factory=lambda: defaultdict(int))
    readers: dict[tuple[int, ...], int] = field(default_factory=lambda: defaultdict(int))

    def announce(self, edges: list[Edge]) -> None:
        """Count one output's tables as readers of their codes."""
        for edge in edges:
            self.readers[edge.features] += 1

    def shared(self, edge: Edge) -> bool:
        """Return whether plain tables of other outputs can ride along with this one, fused."""
        return edge.select_width == ABSORBED_BITS - 1 and self.readers[edge.features] > 1

    def surplus(self, edge: Edge) -> float:
        """Return by how many bits fusing this table would exceed half of the bits seen on its code."""
        key = edge.features
        return max(self.fused[key] + _width(edge), self.seen[key] / 2) - max(self.fused[key], self.seen[key] / 2)


def _width(edge: Edge) -> int:
    return max(1, int(edge.entries.max()).bit_length())


def _capacity(levels: int, ternary: int) -> int:
    """Return how many terms `levels` levels can add, the last `ternary` of them three at a time."""
    last = min(levels, ternary)
    return int(3**last * 2 ** (levels - last))


def tree_depth(terms: int, passes: Passes) -> int:
    """Return the least number of levels that adds `terms` terms."""
    depth = 0
    while _capacity(depth, passes.ternary) < terms:
        depth += 1
    return depth


def _step(sums: int, left: int, below: int, arity: int) -> int | None:
    """Return how many of `sums` sums take one of `left` fused tables at a level, or None if too many sums would remain.

    The others are added, `arity` at a time at most, so that `below` sums or fewer remain.
    """
    for taking in range(min(sums, left, below), -1, -1):
        if taking + -(-(sums - taking) // arity) <= below:
            return taking
    return None


def _fits(heads: int, fused: int, depth: int, ternary: int) -> bool:
    """Return whether `depth` levels can add that many heads and fused tables."""
    sums, left = heads, fused
    for level in range(1, depth + 1):
        below = _capacity(depth - level, ternary)
        arity = 3 if depth - level < ternary else 2
        taking = _step(sums, left, below, arity)
        if taking is None:
            return False
        left -= taking
        others = sums - taking
        sums = taking + (-(-others // 2) if taking + -(-others // 2) <= below else -(-others // arity))
    return sums == 1 and left == 0


@dataclass(frozen=True, eq=False)
class _Option:
    """What fusing a table would take: the split (None if it needs none), and LUTs and sites plain and fused."""

    edge: Edge
    split: Split | None
    plain: tuple[float, float]
    fused: tuple[float, float]
    shared: bool
    rank: float

    @property
    def carries(self) -> int:
        return 0 if self.split is None else len(self.split.carries)


def _carry_luts(part: Part) -> float:
    return 0.0 if part.select_width == 1 else float(1 << max(0, part.select_width - LUT_BITS))


def _plain(edge: Edge) -> tuple[float, float]:
    width = float(_width(edge) << max(0, edge.select_width - LUT_BITS))
    return width, width if edge.select_width > ABSORBED_BITS else width / 2


def _options(edges: list[Edge], zeros: int, passes: Passes, balance: Balance) -> list[_Option]:
    """Return what can be fused, best first."""
    options = []
    for edge in edges:
        plain, width = _plain(edge), float(_width(edge))
        if edge.select_width <= ABSORBED_BITS:
            shared = balance.shared(edge)
            if shared:
                sites = width / 2  # beyond half of the output's bits, the rest is added there
            elif edge.select_width < ABSORBED_BITS - 1:
                sites = width / 2
            else:
                sites = width
            rank = _SITE_WEIGHT * (balance.surplus(edge) if shared else sites - plain[1])
            options.append(_Option(edge, None, plain, (width, sites), shared, rank))
        elif passes.residuals and edge.zeros == zeros and (found := split(edge, ABSORBED_BITS)) is not None:
            luts = int(found.base.entries.max()).bit_length() + sum(_carry_luts(part) for part in found.carries)
            rank = (1 + _SITE_WEIGHT) * luts - plain[0] - _SITE_WEIGHT * plain[1]
            options.append(_Option(edge, found, plain, (luts, luts), shared=False, rank=rank))
    return sorted(options, key=lambda o: (o.rank, o.edge.span, o.edge.features))


@dataclass(frozen=True, eq=False)
class _Decision:
    heads: tuple[Edge, ...]
    fused: tuple[_Option, ...]
    luts: float
    sites: float

    @property
    def cost(self) -> float:
        return self.luts + _SITE_WEIGHT * self.sites


def _decisions(edges: list[Edge], depth: int, zeros: int, passes: Passes, balance: Balance) -> list[_Decision]:
    """Return one decision for each number of heads that fits into `depth` levels."""
    options = _options(edges, zeros, passes, balance) if passes.fusing else []
    shared_bits = sum(_width(edge) for edge in edges if balance.shared(edge))
    merge = sum(_width(edge) for edge in edges) / len(edges) + 1
    room = max(0, len(edges) - 1 - (2 if passes.ternary else 0))  # adders with a carry input
    chosen: list[_Option] = []
    luts, sites = (sum(_plain(edge)[k] for edge in edges) for k in (0, 1))
    fused_bits = 0
    result = []
    queue = iter([option for option in options if option.carries == 0 or option.carries <= room])
    while True:
        heads = len(edges) - len(chosen)
        if heads >= 1 and _fits(heads, len(chosen), depth, passes.ternary):
            gone = {option.edge.features for option in chosen}
            extra = max(0.0, fused_bits - shared_bits / 2)
            result.append(
                _Decision(
                    tuple(edge for edge in edges if edge.features not in gone),
                    tuple(chosen),
                    luts + (heads - 1) * merge,
                    sites + extra + (heads - 1) * merge / 2,
                )
            )
        option = next((o for o in queue if o.carries <= room), None)
        if option is None:
            return result
        chosen.append(option)
        room -= option.carries
        luts += option.fused[0] - option.plain[0]
        sites += option.fused[1] - option.plain[1]
        fused_bits += _width(option.edge) if option.shared else 0


def _order(term: Leaf | Branch) -> tuple[int, int]:
    """Sort key: narrow first."""
    return term.high - term.low, term.zeros


def _levels(heads: list[Leaf], fused: list[Leaf], depth: int, passes: Passes) -> list[list[Branch]]:
    """Return the sums, level by level; wide sums take the fused tables, narrow ones are added to each other."""
    sums: list[Leaf | Branch] = list(heads)
    left = sorted(fused, key=_order, reverse=True)
    levels: list[list[Branch]] = []
    for level in range(1, depth + 1):
        if len(sums) == 1 and not left:
            break
        below = _capacity(depth - level, passes.ternary)
        arity = 3 if depth - level < passes.ternary else 2
        taking = _step(len(sums), len(left), below, arity)
        assert taking is not None
        sums.sort(key=_order)
        others, takers = sums[: len(sums) - taking], sums[len(sums) - taking :][::-1]
        now, left = left[:taking], left[taking:]
        branches = []
        for taker, table in zip(takers, now, strict=True):
            table.level, table.fused = level, True
            branches.append(Branch([taker, table], level, fused=True))
        alone = len(others) == 3 and not now and not left
        needed = taking + -(-len(others) // 2) > below
        at_once = 3 if passes.ternary and (alone or needed or (arity == 3 and passes.ternary > 1)) else 2
        groups = [others[j : j + at_once] for j in range(0, len(others), at_once)]
        branches += [Branch(group, level) for group in groups]
        levels.append(branches)
        sums = list(branches)
    assert len(sums) == 1
    assert not left
    return levels


def _place_carries(levels: list[list[Branch]], wanted: list[tuple[Branch, Edge, Part]]) -> bool:
    """Give each carry an adder without trailing zeros, its own one if it is free."""
    rest = []
    for branch, edge, part in wanted:
        if branch.carry is None and branch.zeros == 0:
            branch.carry = edge, part
        else:
            rest.append((edge, part))
    free = [b for level in levels for b in level if len(b.operands) == 2 and b.carry is None and b.zeros == 0]
    if len(free) < len(rest):
        return False
    for branch, carry in zip(sorted(free, key=lambda b: (not b.fused, b.level)), rest, strict=False):
        branch.carry, branch.fused = carry, True
    return True


def _built(decision: _Decision, depth: int, zeros: int, passes: Passes) -> list[list[Branch]] | None:
    """Return the levels of a decision, or None if some carry finds no adder."""

    def leaf(edge: Edge, part: Part | None = None) -> Leaf:
        return Leaf(edge, part or Part(selector_of(edge), edge.entries), edge.zeros - zeros)

    heads = [leaf(edge) for edge in decision.heads]
    fused = {
        option.edge.features: leaf(option.edge, None if option.split is None else option.split.base)
        for option in decision.fused
    }
    levels = _levels(heads, list(fused.values()), depth, passes)
    owner = {id(b.operands[1]): b for level in levels for b in level if b.fused and len(b.operands) == 2}
    wanted = [
        (owner[id(fused[option.edge.features])], option.edge, part)
        for option in decision.fused
        if option.split is not None
        for part in option.split.carries
    ]
    return levels if _place_carries(levels, wanted) else None


def arrange(edges: list[Edge], depth: int, zeros: int, passes: Passes, balance: Balance) -> Tree:
    """Return the tree that adds `edges` (at least one) in at most `depth` levels.

    Args:
        edges: tables of different inputs.
        depth: levels of adders that the layer has; enough for binary adders.
        zeros: trailing zeros that all terms and the shift share.
        passes: what is allowed.
        balance: of the layer; gets to know this output.
    """
    for edge in edges:
        balance.seen[edge.features] += _width(edge)
    if len(edges) == 1:
        alone = Leaf(edges[0], Part(selector_of(edges[0]), edges[0].entries), edges[0].zeros - zeros)
        luts, sites = _plain(edges[0])
        return Tree(alone, [], Choice(1, 1, 0, 0, 0, luts, sites, {}, "a single table needs no adder"))
    decisions = sorted(_decisions(edges, depth, zeros, passes, balance), key=lambda d: d.cost)
    for decision in decisions:
        levels = _built(decision, depth, zeros, passes)
        if levels is not None:
            break
    else:
        raise AssertionError("the plain tree always fits")
    for option in decision.fused:
        balance.fused[option.edge.features] += _width(option.edge)
    others = {len(d.heads): (d.luts, d.sites) for d in decisions if d is not decision}
    choice = Choice(
        len(edges),
        len(decision.heads),
        len(decision.fused),
        sum(b.carry is not None for level in levels for b in level),
        len(levels),
        decision.luts,
        decision.sites,
        others,
        f"least estimated cost of {len(decisions)} ways to head the tree",
    )
    return Tree(levels[-1][0], levels, choice)
