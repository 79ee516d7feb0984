"""Where the constant of an output goes: into the entries of its tables, so that it costs no adder."""

from __future__ import annotations

from hwgen.tables._choose import Tree
from hwgen.tables._tree import Branch, Leaf
from hwgen.tables.netlist import bits
from pymodel.ir import Interval

__all__ = ["add_constant"]


def add_constant(tree: Tree, constant: int) -> None:
    """Add `constant` to tables.

    As far as it is positive, tables take it that have entries to spare; the rest goes to the table where it widens fewest
    bits of itself and of the sums above it.
    """
    if constant == 0:
        return
    above: dict[int, Branch] = {id(operand): branch for branch in tree.branches for operand in branch.operands}
    ranges = {id(branch): Interval(branch.low, branch.high) for branch in tree.branches}

    def cost(leaf: Leaf) -> int:
        widened, at = bits(Interval(leaf.low + constant, leaf.high + constant)), above.get(id(leaf))
        widened -= bits(Interval(0, int(leaf.part.entries.max())))
        while at is not None:
            interval = ranges[id(at)]
            widened += bits(Interval(interval.low + constant, interval.high + constant)) - bits(interval)
            at = above.get(id(at))
        return widened

    best = min(tree.leaves, key=cost)
    rest = constant
    for leaf in sorted(tree.leaves, key=lambda leaf: leaf.level, reverse=True):
        spare = (1 << bits(Interval(0, leaf.high))) - 1 - leaf.high
        if rest > 0 and leaf.zeros == 0 and leaf is not best:
            leaf.add(min(spare, rest))
            rest -= min(spare, rest)
    best.add(rest)
