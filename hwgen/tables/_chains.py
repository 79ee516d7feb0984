"""Chains: sums that take one table per level, where an output has more levels of adders than a full tree needs.

Adding two sums costs a LUT per bit that both have, so a sum is added cheapest while one of the two is a single, narrow
table. A tree of chains has a few sums (*chains*) that take one table at each level, and only then are these added to each
other. A table is

- *first*: the head of its chain, next to the adder that reads it;
- *late*: plain, too, but read and registered one cycle before an adder of a later level takes it;
- *fused*: in the LUTs of the adder.

A fused table of a four-bit code shares LUT sites with plain ones that read this code in the same cycle: which table gets
which place is settled for all outputs together (:mod:`hwgen.tables._exchange`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwgen.tables._edges import Edge
from hwgen.tables._grouping import ABSORBED_BITS
from hwgen.tables._split import Part, Split, selector_of
from hwgen.tables._tree import Branch, Leaf

#: A sum of nonnegative integers: the largest one, and the trailing zeros of all.
_Sum = tuple[int, int]

__all__ = ["Chains", "Item", "Place", "adder_luts", "arrange"]


@dataclass(frozen=True, eq=False)
class Item:
    """A table to be placed.

    Attributes:
        edge: the table.
        split: how it is split if an adder is to hold it, or None.
        fusible: an adder can hold it as it is.
        width: bits of an entry.
        sum: what it adds.
    """

    edge: Edge
    split: Split | None
    fusible: bool
    width: int
    sum: _Sum

    @classmethod
    def of(cls, edge: Edge, zeros: int, split: Split | None = None) -> Item:
        """Return the item of a table, `zeros` trailing zeros being dropped from its output."""
        width = int(edge.entries.max()).bit_length()
        fusible = split is None and edge.select_width <= ABSORBED_BITS
        return cls(edge, split, fusible, width, (edge.span >> zeros, edge.zeros - zeros))


@dataclass(eq=False)
class Place:
    """Where a table is: its adder's level, and whether that holds it; the first one of a chain is not `late`."""

    item: Item
    level: int
    fused: bool
    late: bool = False

    @property
    def cycle(self) -> int:
        """The cycle in which its code is read, from 0."""
        return self.level - (2 if self.late else 1)


def _add(a: _Sum, b: _Sum) -> _Sum:
    return a[0] + b[0], min(a[1], b[1])


def _overlap(a: _Sum, b: _Sum) -> int:
    """Return the bits that both have: LUTs of their adder."""
    return max(0, min(a[0], b[0]).bit_length() - max(a[1], b[1]))


@dataclass(eq=False)
class Chains:
    """The chains of one output: each is its first place, then one place per later table, by level.

    `levels`: of the chains.
    """

    chains: list[list[Place]]
    levels: int

    def __post_init__(self) -> None:
        for chain in self.chains:
            self.begin(chain)

    def begin(self, chain: list[Place]) -> None:
        """Let a chain's first table be read in time for the second one, and be registered if that one is."""
        if len(chain) == 1:
            chain[0].level = self.levels
        else:
            chain[0].level = chain[1].level - int(chain[1].late)

    @property
    def places(self) -> list[Place]:
        """All places."""
        return [place for chain in self.chains for place in chain]

    def _sums(self) -> tuple[list[_Sum], int]:
        """Return the sums of the chains, and the LUTs that late tables take in adders."""
        sums, luts = [], 0
        for chain in self.chains:
            total = chain[0].item.sum
            for place in chain[1:]:
                if place.late:
                    own = place.item.sum
                    luts += _overlap(total, own) - (own[1] == 0)
                total = _add(total, place.item.sum)
            sums.append(total)
        return sums, luts

    def luts(self) -> int:
        """Return the LUTs of the adders, fused tables left out; the lowest bit of a late table is another's carry."""
        sums, luts = self._sums()
        return luts + min(_merged(sums, outer=outer)[0] for outer in (False, True))

    def grown(self) -> list[list[Branch]]:
        """Return the sums, level by level."""
        levels: list[list[Branch]] = [[] for _ in range(self.levels)]
        sums: list[Leaf | Branch] = [self._chain(chain, levels) for chain in self.chains]
        totals, _ = self._sums()
        outer = _merged(totals, outer=True)[0] < _merged(totals, outer=False)[0]
        level, pairs = self.levels, _merged(totals, outer=outer)[1]
        for step in pairs:
            level += 1
            sums = list(_level([[sums[k] for k in group] for group in step], level))
            levels.append([s for s in sums if isinstance(s, Branch)])
        return levels

    def _leaf(self, place: Place) -> Leaf:
        item = place.item
        whole = Part(selector_of(item.edge), item.edge.entries)
        split = item.split if place.fused and not item.fusible else None
        part = whole if split is None else split.base
        level = place.level - int(place.late)
        return Leaf(item.edge, part, item.sum[1], level, place.fused, split is not None)

    def _chain(self, chain: list[Place], levels: list[list[Branch]]) -> Leaf | Branch:
        first = chain[0]
        total: Leaf | Branch = self._leaf(first)
        start = first.level
        if len(chain) == 1 or chain[1].late:
            total = Branch([total], start)
            levels[start - 1].append(total)
            start += 1
        at = {place.level: place for place in chain[1:]}
        for level in range(start, self.levels + 1):
            place = at.get(level)
            if place is None:
                total = Branch([total], level)
            elif place.fused:
                total = Branch([total, self._leaf(place)], level, fused=True)
            else:
                waiting = Branch([self._leaf(place)], level - 1)
                levels[level - 2].append(waiting)
                total = Branch([total, waiting], level)
            levels[level - 1].append(total)
        return total


def _level(groups: list[list[Leaf | Branch]], level: int) -> list[Branch]:
    return [Branch(group, level) for group in groups]


def _merged(sums: Sequence[_Sum], *, outer: bool) -> tuple[int, list[list[list[int]]]]:
    """Return the LUTs that add sums in pairs, and the groups of each level; narrow with narrow, or with wide (`outer`)."""
    luts, steps, now = 0, [], list(sums)
    while len(now) > 1:
        order = sorted(range(len(now)), key=lambda k: (now[k], k))
        groups = []
        if len(order) % 2:
            groups.append([order.pop()])
        while order:
            groups.append([order.pop(0), order.pop(-1 if outer else 0)])
        luts += sum(_overlap(now[g[0]], now[g[1]]) for g in groups if len(g) == 2)
        now = [now[g[0]] if len(g) == 1 else _add(now[g[0]], now[g[1]]) for g in groups]
        steps.append(groups)
    return luts, steps


def adder_luts(levels: Sequence[Sequence[Branch]]) -> int:
    """Return the LUTs of the adders of a tree, fused tables left out."""
    luts = 0
    for branch in (b for level in levels for b in level):
        sums = sorted((operand.high - operand.low, operand.zeros) for operand in branch.operands)
        fused = any(isinstance(operand, Leaf) and operand.fused for operand in branch.operands)
        if len(sums) == 2 and not fused:
            luts += _overlap(*sums)
        elif len(sums) == 3:
            luts += 2 * (sums[1][0].bit_length() - min(zeros for _, zeros in sums))
    return luts


def _slots(tables: int, chains: int, depth: int) -> int | None:
    """Return the levels of that many chains, or None if they cannot hold the tables."""
    levels = depth - (chains - 1).bit_length()
    return levels if levels >= 1 and chains * (levels + 1) >= tables else None


def arrange(heads: Sequence[Item], fused: Sequence[Item], depth: int) -> Chains | None:
    """Return chains of these tables, as few as `depth` levels allow, or None if there is no room for a late table.

    Args:
        heads: plain tables.
        fused: tables in adders.
        depth: levels of adders.
    """
    tables = len(heads) + len(fused)
    for count in range(1, len(heads) + 1):
        levels = _slots(tables, count, depth)
        late = len(heads) - count
        if levels is not None and late <= count * (levels - 1):
            break
    else:
        return None
    if levels < 2:
        return None
    plain = sorted(heads, key=lambda item: (-item.edge.span, item.edge.features))
    chains = [[Place(item, 1, fused=False)] for item in plain[:count]]
    waiting = plain[count:]
    held = sorted(fused, key=lambda item: (-item.edge.span, item.edge.features))
    for level in range(1, levels + 1):
        for number, chain in enumerate(chains):
            slots = count * (levels - level + 1) - number
            turn = level % 2 == 1 or not held or len(waiting) >= slots
            if level > 1 and waiting and turn:
                chain.append(Place(waiting.pop(0), level, fused=False, late=True))
            elif held:
                chain.append(Place(held.pop(0), level, fused=True))
    assert not held, "there was room"
    assert not waiting, "there was room"
    return Chains(chains, max(place.level for chain in chains for place in chain))
