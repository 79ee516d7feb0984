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
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hwgen.tables._edges import Edge
from hwgen.tables._grouping import ABSORBED_BITS, LUT_BITS
from hwgen.tables._passes import Passes
from hwgen.tables._split import Part, Split, selector_of, split
from hwgen.tables._tree import Branch, Leaf, fits, grow, place_carries, strip

__all__ = [
    "SITE_WEIGHT", "Balance", "Choice", "Decision", "Option", "Tree", "alone", "build", "decide", "describe", "rebalance",
]  # fmt: skip

#: Sites count this many times as much as LUTs.
SITE_WEIGHT = 8.0
#: Three operands added at once take so many more sites than two additions, in halves of a site per bit.
_TERNARY_SITES = 2.0
#: Other ways that a choice mentions.
_ALTERNATIVES = 3
#: Outputs of more tables than this are not rebalanced.
_MAX_REBALANCED = 128


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
    """Per four-bit code, the bits of its tables so far, fused and in all; how many outputs read each code.

    `credit`: by how many bits the outputs so far have fused less than half of what they share.
    """

    fused: dict[tuple[int, ...], int] = field(default_factory=lambda: defaultdict(int))
    seen: dict[tuple[int, ...], int] = field(default_factory=lambda: defaultdict(int))
    readers: dict[tuple[int, ...], int] = field(default_factory=lambda: defaultdict(int))

    credit: float = 0.0

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


@dataclass(frozen=True, eq=False)
class Option:
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


def _options(edges: list[Edge], zeros: int, passes: Passes, balance: Balance) -> list[Option]:
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
            rank = SITE_WEIGHT * (balance.surplus(edge) if shared else sites - plain[1])
            options.append(Option(edge, None, plain, (width, sites), shared, rank))
        elif passes.residuals and edge.zeros == zeros and (found := split(edge, ABSORBED_BITS)) is not None:
            luts = int(found.base.entries.max()).bit_length() + sum(_carry_luts(part) for part in found.carries)
            rank = (1 + SITE_WEIGHT) * luts - plain[0] - SITE_WEIGHT * plain[1]
            options.append(Option(edge, found, plain, (luts, luts), shared=False, rank=rank))
    return sorted(options, key=lambda o: (o.rank, o.edge.span, o.edge.features))


@dataclass(frozen=True, eq=False)
class Decision:
    """Which tables head an output's tree, which ones adders hold, and what that costs by estimate."""

    heads: tuple[Edge, ...]
    fused: tuple[Option, ...]
    luts: float
    sites: float

    @property
    def cost(self) -> float:
        return self.luts + SITE_WEIGHT * self.sites


def _decisions(edges: list[Edge], depth: int, zeros: int, passes: Passes, balance: Balance) -> list[Decision]:
    """Return one decision for each number of heads that fits into `depth` levels."""
    options = _options(edges, zeros, passes, balance) if passes.fusing else []
    shared_bits = sum(_width(edge) for edge in edges if balance.shared(edge))
    merge = sum(_width(edge) for edge in edges) / len(edges) + 1
    room = max(0, len(edges) - 1 - (2 if passes.ternary else 0))  # adders with a carry input
    chosen: list[Option] = []
    luts, sites = (sum(_plain(edge)[k] for edge in edges) for k in (0, 1))
    fused_bits = 0
    result = []
    queue = iter([option for option in options if option.carries == 0 or option.carries <= room])
    while True:
        heads = len(edges) - len(chosen)
        if heads >= 1 and fits(heads, len(chosen), depth, passes.ternary):
            gone = {option.edge.features for option in chosen}
            extra = max(0.0, fused_bits - shared_bits / 2 - balance.credit)
            # Three at once: the LUTs of a carry-save adder share sites badly.
            three = 0.0 if fits(heads, len(chosen), depth, 0) else _TERNARY_SITES
            result.append(
                Decision(
                    tuple(edge for edge in edges if edge.features not in gone),
                    tuple(chosen),
                    luts + (heads - 1) * merge,
                    sites + extra + (heads - 1 + three) * merge / 2,
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


def _built(decision: Decision, depth: int, zeros: int, passes: Passes, *, early: bool) -> list[list[Branch]] | None:
    """Return the levels of a decision, or None if some carry finds no adder."""

    def leaf(edge: Edge, part: Part | None = None) -> Leaf:
        whole = Part(selector_of(edge), edge.entries)
        return Leaf(edge, part or whole, edge.zeros - zeros, split=part is not None)

    heads = [leaf(edge) for edge in decision.heads]
    fused = {
        option.edge.features: leaf(option.edge, None if option.split is None else option.split.base)
        for option in decision.fused
    }
    levels = grow(heads, list(fused.values()), depth, passes, early=early)
    owner = {id(b.operands[1]): b for level in levels for b in level if b.fused and len(b.operands) == 2}
    wanted = [
        (owner[id(fused[option.edge.features])], option.edge, part)
        for option in decision.fused
        if option.split is not None
        for part in option.split.carries
    ]
    if not place_carries(levels, wanted):
        return None
    if passes.residuals and depth > 1:
        placed = place_carries(levels, [(levels[0][0], *carry) for carry in strip(levels)])
        assert placed, "there were adders for all carries"
    return levels


def decide(edges: list[Edge], depth: int, zeros: int, passes: Passes, balance: Balance) -> list[Decision]:
    """Return the ways to add `edges` (two or more) in at most `depth` levels, cheapest first.

    Args:
        edges: tables of different inputs.
        depth: levels of adders that the layer has; enough for binary adders.
        zeros: trailing zeros that all terms and the shift share.
        passes: what is allowed.
        balance: of the layer; gets to know the first one.
    """
    for edge in edges:
        balance.seen[edge.features] += _width(edge)
    decisions = sorted(_decisions(edges, depth, zeros, passes, balance), key=lambda d: d.cost)
    for option in decisions[0].fused:
        balance.fused[option.edge.features] += _width(option.edge)
        balance.credit -= _width(option.edge) if option.shared else 0
    balance.credit += sum(_width(edge) for edge in edges if balance.shared(edge)) / 2
    return decisions


def rebalance(decisions: Sequence[Decision], balance: Balance) -> list[Decision]:
    """Return decisions in which plain and fused tables changed places, until no exchange makes a code more even.

    Per four-bit code, sites go by the larger of the fused bits and half of all bits.
    """

    def over(key: tuple[int, ...], more: int) -> float:
        return max(balance.fused[key] + more, balance.seen[key] / 2)

    found = list(decisions)
    for _ in range(4):
        changed = False
        for number, decision in enumerate(found):
            heads, fused = list(decision.heads), list(decision.fused)
            if len(heads) + len(fused) > _MAX_REBALANCED:
                continue
            for h, head in enumerate(heads):
                for f, option in enumerate(fused):
                    head, edge = heads[h], fused[f].edge
                    if not (balance.shared(head) and balance.shared(edge)):
                        continue
                    a, b, wa, wb = head.features, edge.features, _width(head), _width(edge)
                    gain = over(a, 0) + over(b, 0) - over(a, wa) - over(b, -wb)
                    if gain > 0 or (gain == 0 and wa < wb and over(a, wa) == over(a, 0)):
                        balance.fused[a] += wa
                        balance.fused[b] -= wb
                        heads[h], fused[f] = edge, replace(option, edge=head)
                        changed = True
            found[number] = replace(decision, heads=tuple(heads), fused=tuple(fused))
        if not changed:
            break
    return found


def alone(edge: Edge, zeros: int) -> Tree:
    """Return the tree of a single table."""
    luts, sites = _plain(edge)
    leaf = Leaf(edge, Part(selector_of(edge), edge.entries), edge.zeros - zeros)
    return Tree(leaf, [], Choice(1, 1, 0, 0, 0, luts, sites, {}, "a single table needs no adder"))


def describe(decision: Decision, decisions: Sequence[Decision], levels: Sequence[Sequence[Branch]]) -> Choice:
    """Return what an output's tree is, for the report."""
    branches = [branch for level in levels for branch in level]
    fused = sum(isinstance(leaf, Leaf) and leaf.fused for branch in branches for leaf in branch.operands)
    terms = len(decision.heads) + len(decision.fused)
    return Choice(
        terms=terms,
        heads=terms - fused,
        fused=fused,
        carries=sum(branch.carry is not None for branch in branches),
        levels=len(levels),
        luts=decision.luts,
        sites=decision.sites,
        alternatives={
            len(d.heads): (d.luts, d.sites)
            for d in decisions[: _ALTERNATIVES + 1]
            if len(d.heads) != len(decision.heads)
        },
        reason=f"least estimated cost of {len(decisions)} ways to head the tree",
    )


def build(decisions: Sequence[Decision], depth: int, zeros: int, passes: Passes, *, early: bool) -> Tree:
    """Return the tree of the first decision whose carries all find an adder; `early` as in :func:`grow`."""
    for decision in decisions:
        levels = _built(decision, depth, zeros, passes, early=early)
        if levels is not None:
            break
    else:
        raise AssertionError("the plain tree always fits")
    return Tree(levels[-1][0], levels, describe(decision, decisions, levels))
