"""The adder trees of a layer: each output's own choice first, then what they settle among each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hwgen.tables._chains import Chains, Item, adder_luts, arrange
from hwgen.tables._choose import SITE_WEIGHT, Balance, Decision, Tree, alone, build, decide, describe, rebalance
from hwgen.tables._edges import Edge
from hwgen.tables._exchange import Sites, exchange
from hwgen.tables._grouping import LUT_BITS
from hwgen.tables._passes import Passes
from hwgen.tables._split import Part
from hwgen.tables._tree import Branch, Leaf, place_carries

__all__ = ["chainable", "grow_trees"]

#: Layers of more tables than this have no chains: to place them all takes too long.
_MAX_CHAINED = 4096
#: This part of a layer's tables must read four-bit codes that other outputs read, too. Where a code has few readers, one
#: in a later cycle costs a shift register per bit.
_SHARED = 0.75


def _chained(decision: Decision, depth: int, zeros: int) -> Chains | None:
    heads = [Item.of(edge, zeros) for edge in decision.heads]
    fused = [Item.of(option.edge, zeros, option.split) for option in decision.fused]
    return arrange(heads, fused, depth)


def _free(levels: Iterable[Iterable[Branch]]) -> list[Branch]:
    """Return the adders that can take a carry of weight 1."""
    return [b for level in levels for b in level if len(b.operands) == 2 and b.carry is None and b.zeros == 0]


def _leaves(operand: Leaf | Branch) -> list[Leaf]:
    if isinstance(operand, Leaf):
        return [operand]
    return [leaf for below in operand.operands for leaf in _leaves(below)]


def _strip(levels: Sequence[Sequence[Branch]]) -> list[tuple[Edge, Part]]:
    """Take the lowest bit off sums that are added to others, as long as adders are left that take it as a carry.

    An adder saves a LUT if one of its operands lacks the lowest bit. A late table has one such bit to spare, a chain as
    many as it has tables.
    """
    found: list[tuple[Edge, Part]] = []
    adders = [b for level in levels for b in level if len(b.operands) == 2 and not isinstance(b.operands[1], Leaf)]
    for most in (1, 4):
        for branch in adders:
            if any(operand.zeros for operand in branch.operands):
                continue
            own = min((_leaves(operand) for operand in branch.operands), key=len)
            odd = [leaf for leaf in own if leaf.zeros == 0]
            if len(odd) > most or any(leaf.high <= 1 for leaf in odd):
                continue
            before = [(leaf, leaf.part, leaf.split) for leaf in odd]
            for leaf in odd:
                leaf.part, leaf.zeros, leaf.split = Part(leaf.part.selector, leaf.part.entries >> 1), 1, True
            # A carry that an adder has already weighs as much as the lowest bit of its sum.
            heavy = any(b.carry is not None and b.zeros for level in levels for b in level)
            if heavy or len(_free(levels)) < len(found) + len(odd):
                for leaf, part, split in before:
                    leaf.part, leaf.zeros, leaf.split = part, 0, split
                continue
            found += [(leaf.edge, Part(part.selector, part.entries & 1)) for leaf, part, _ in before]
    return found


def _carry(levels: Sequence[Sequence[Branch]], carries: Iterable[tuple[Edge, Part]], sites: Sites) -> None:
    """Give each carry the adder in whose cycle its table shares a site best."""
    for edge, part in carries:

        def more(branch: Branch, edge: Edge = edge) -> float:
            key = edge.features, branch.level - 1
            before = sites.of(key)
            sites.plain[key] += 1
            after = sites.of(key)
            sites.plain[key] -= 1
            return after - before

        best = min(_free(levels), key=lambda branch: (more(branch), branch.level))
        best.carry, best.fused = (edge, part), True
        sites.plain[edge.features, best.level - 1] += 1


def _finished(
    chains: Chains, decision: Decision, decisions: Sequence[Decision], sites: Sites, passes: Passes
) -> Tree | None:
    """Return the tree of an output's chains, or None if some carry finds no adder."""
    levels = chains.grown()
    splits = {place.item.edge.features: place.item.split for place in chains.places}
    wanted = []
    for branch in (b for level in levels for b in level if b.fused):
        leaf = branch.operands[1]
        if isinstance(leaf, Leaf) and leaf.split:
            split = splits[leaf.edge.features]
            assert split is not None
            wanted += [(branch, leaf.edge, part) for part in split.carries]
    if not place_carries(levels, wanted):
        return None
    if passes.residuals:
        carries = _strip(levels)
        for edge, _ in carries:
            place = next(place for place in chains.places if place.item.edge is edge)
            (sites.fused if place.fused else sites.plain)[edge.features, place.cycle] -= 1
        _carry(levels, carries, sites)
    return Tree(levels[-1][0], levels, describe(decision, decisions, levels))


def chainable(parts: Sequence[tuple[list[Edge], int]]) -> bool:
    """Return whether the outputs of a layer are worth chains: tables of shared four-bit codes, and not too many.

    Args:
        parts: the tables and the constant of each output.
    """
    balance = Balance()
    for edges, _ in parts:
        balance.announce(edges)
    everything = [edge for edges, _ in parts for edge in edges]
    shared = sum(balance.shared(edge) for edge in everything)
    return 0 < len(everything) <= _MAX_CHAINED and shared >= _SHARED * len(everything)


def grow_trees(
    parts: Sequence[tuple[list[Edge], int]], shift: int, depth: int, passes: Passes, *, chains: bool
) -> list[tuple[Tree | None, int]]:
    """Return the tree of each output (None if it has no tables), and the trailing zeros that are dropped.

    Args:
        parts: the tables and the constant of each output.
        shift: of the layer.
        depth: levels of adders, enough for every output.
        passes: what is allowed.
        chains: use chains where they take fewer LUTs; they need all levels.
    """
    balance = Balance()
    for edges, _ in parts:
        balance.announce(edges)
    zeros = [min([shift, *(edge.zeros for edge in edges)]) for edges, _ in parts]
    summed = {
        o: decide(edges, depth, zeros[o], passes, balance) for o, (edges, _) in enumerate(parts) if len(edges) > 1
    }
    best = dict(zip(summed, rebalance([found[0] for found in summed.values()], balance), strict=True))
    trees: list[Tree | None] = []
    chained: dict[int, Chains] = {}
    sites = Sites(SITE_WEIGHT)
    for output, (edges, _) in enumerate(parts):
        tree = alone(edges[0], zeros[output]) if edges else None
        if output in best:
            span = sum(edge.span for edge in edges)
            early = not (passes.folding and (span >> shift) + 1 < 1 << LUT_BITS)  # it is not clipped by a table
            tree = build([best[output], *summed[output][1:]], depth, zeros[output], passes, early=early)
            some = _chained(best[output], depth, zeros[output]) if chains else None
            if some is not None and some.luts() < adder_luts(tree.levels):
                chained[output] = some
        trees.append(tree)
        if tree is not None and output not in chained:
            for leaf in tree.leaves:
                sites.count(Item.of(leaf.edge, zeros[output]), leaf.level - 1, fused=leaf.fused)
    exchange(list(chained.values()), sites)
    for output, some in chained.items():
        tree = _finished(some, best[output], summed[output], sites, passes)
        trees[output] = tree or trees[output]
    return list(zip(trees, zeros, strict=True))
