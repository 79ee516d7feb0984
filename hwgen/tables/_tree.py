"""Adder trees, level by level: what is added to what, given the tables that head it and those that adders hold.

At each level a sum takes one fused table, or is added to another sum, or two; wide sums take tables, and sums of similar
width are added to each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.tables._edges import Edge
from hwgen.tables._passes import Passes
from hwgen.tables._split import Part

__all__ = ["Branch", "Leaf", "capacity", "fits", "grow", "place_carries", "strip", "tree_depth"]


@dataclass(eq=False)
class Leaf:
    """A table in a tree.

    Attributes:
        edge: what it adds, or adds together with carries.
        part: the table itself; `moved` is the constant that has been added to its entries.
        zeros: its entries count `2^zeros`.
        level: of the adder that reads it.
        fused: it is in the LUTs of that adder.
        split: carries add the rest of `edge`.
    """

    edge: Edge
    part: Part
    zeros: int
    level: int = 1
    fused: bool = False
    split: bool = False
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


def capacity(levels: int, ternary: int) -> int:
    """Return how many terms `levels` levels can add, the last `ternary` of them three at a time."""
    last = min(levels, ternary)
    return int(3**last * 2 ** (levels - last))


def tree_depth(terms: int, passes: Passes) -> int:
    """Return the least number of levels that adds `terms` terms."""
    depth = 0
    while capacity(depth, passes.ternary) < terms:
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


def fits(heads: int, fused: int, depth: int, ternary: int) -> bool:
    """Return whether `depth` levels can add that many heads and fused tables."""
    sums, left = heads, fused
    for level in range(1, depth + 1):
        below = capacity(depth - level, ternary)
        arity = 3 if depth - level < ternary else 2
        taking = _step(sums, left, below, arity)
        if taking is None:
            return False
        left -= taking
        others = sums - taking
        sums = taking + (-(-others // 2) if taking + -(-others // 2) <= below else -(-others // arity))
    return sums == 1 and left == 0


def _order(term: Leaf | Branch) -> tuple[int, int]:
    """Sort key: narrow first."""
    return term.high - term.low, term.zeros


def grow(heads: list[Leaf], fused: list[Leaf], depth: int, passes: Passes, *, early: bool = True) -> list[list[Branch]]:
    """Return the sums, level by level; wide sums take the fused tables, narrow ones are added to each other.

    `early`: the last three are added at once, even if there are levels left.
    """
    sums: list[Leaf | Branch] = list(heads)
    left = sorted(fused, key=_order, reverse=True)
    levels: list[list[Branch]] = []
    for level in range(1, depth + 1):
        if len(sums) == 1 and not left:
            break
        below = capacity(depth - level, passes.ternary)
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
        last = early and len(others) == 3 and not now and not left
        needed = taking + -(-len(others) // 2) > below
        at_once = 3 if passes.ternary and (last or needed or (arity == 3 and passes.ternary > 1)) else 2
        groups = [others[j : j + at_once] for j in range(0, len(others), at_once)]
        branches += [Branch(group, level) for group in groups]
        levels.append(branches)
        sums = list(branches)
    assert len(sums) == 1
    assert not left
    return levels


def strip(levels: list[list[Branch]]) -> list[tuple[Edge, Part]]:
    """Take the lowest bit off both tables of some fused adders, and return these bits, to be carries elsewhere.

    A sum without that bit saves a LUT in the adder that takes it, if the other operand has the bit; so of two such sums
    that are added, one is stripped, as long as there are adders for the carries.
    """

    def strippable(branch: Branch) -> bool:
        leaves = [leaf for leaf in branch.operands if isinstance(leaf, Leaf) and leaf.zeros == 0 and leaf.high > 1]
        return branch.fused and branch.carry is None and len(leaves) == 2

    first = {id(branch) for branch in levels[0] if strippable(branch)}
    free = sum(len(b.operands) == 2 and b.carry is None and b.zeros == 0 for level in levels for b in level)
    carries: list[tuple[Edge, Part]] = []
    for branch in (b for level in levels[1:2] for b in level):
        pair = [operand for operand in branch.operands if isinstance(operand, Branch) and id(operand) in first]
        if len(branch.operands) != 2 or len(pair) != 2 or free < 3:
            continue
        for leaf in pair[0].operands:
            assert isinstance(leaf, Leaf)
            carries.append((leaf.edge, Part(leaf.part.selector, leaf.part.entries & 1)))
            leaf.part, leaf.zeros, leaf.split = Part(leaf.part.selector, leaf.part.entries >> 1), 1, True
        free -= 3  # two carries, and the adder of the sum itself
    return carries


def place_carries(levels: list[list[Branch]], wanted: list[tuple[Branch, Edge, Part]]) -> bool:
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
