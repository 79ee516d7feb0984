"""Grouping: inputs of one output whose index bits fit into one LUT become one table.

Six 1-bit, three 2-bit or two 3-bit inputs cost one LUT6 per bit of their sum, and the adders between them vanish. A
group of at most five bits can be absorbed in the LUTs of the adder that takes it (the sixth input is the other operand),
so every second group may be held to five bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwgen.tables._edges import Edge, merged

__all__ = ["ABSORBED_BITS", "LUT_BITS", "group", "packed"]

#: Inputs of a LUT.
LUT_BITS = 6
#: Inputs of a LUT that also takes one bit of an accumulator.
ABSORBED_BITS = 5


def packed(edges: Sequence[Edge], capacities: Sequence[int]) -> list[list[Edge]]:
    """Return `edges` in groups: the j-th group has at most `capacities[j % len]` bits, or it is one edge.

    First fit: wide selectors first; among equal ones, those of narrow range first, so that a group's members have
    similar ranges and narrow groups arise.
    """
    order = sorted(edges, key=lambda edge: (-edge.select_width, edge.span, edge.features))
    groups: list[list[Edge]] = []
    free: list[int] = []
    for edge in order:
        width = edge.select_width
        place = next((g for g, left in enumerate(free) if left >= width), None)
        if place is None:
            capacity = capacities[len(groups) % len(capacities)]
            groups.append([edge])
            free.append(capacity - width)
        else:
            groups[place].append(edge)
            free[place] -= width
    return groups


def _sites(groups: Sequence[Edge]) -> float:
    """Estimate the LUT sites of tables in pairs under adders, and of the adders that add the pairs.

    Two LUTs of at most five inputs share a site.
    """
    wide = sorted((e for e in groups if e.select_width > ABSORBED_BITS), key=lambda e: e.span)
    small = sorted((e for e in groups if e.select_width <= ABSORBED_BITS), key=lambda e: e.span)

    def bits(span: int) -> int:
        return span.bit_length()

    sites, terms = 0.0, 0
    while wide or small:
        terms += 1
        first = wide.pop() if wide else small.pop()
        copies = 1 << max(0, first.select_width - LUT_BITS)
        sites += copies * bits(first.span >> first.zeros) * (1.0 if first.select_width > ABSORBED_BITS else 0.5)
        if not (wide or small):
            break
        if small:
            second = small.pop()
            sites += bits(first.span + second.span) * (1.0 if second.select_width >= ABSORBED_BITS - 1 else 0.5)
        else:
            second = wide.pop()
            copies = 1 << max(0, second.select_width - LUT_BITS)
            sites += copies * bits(second.span >> second.zeros) + bits(first.span + second.span) * 0.5
    total = sum(edge.span for edge in groups)
    return sites + max(0, terms - 1) * bits(total) * 0.5


def group(edges: Sequence[Edge]) -> list[Edge]:
    """Return tables that add the same as `edges`, as few and cheap ones as the estimate finds.

    Args:
        edges: tables of one output, of different inputs.
    """
    candidates = [
        [merged(members) for members in packed(edges, capacities)]
        for capacities in ((LUT_BITS,), (LUT_BITS, ABSORBED_BITS))
    ]
    return min(candidates, key=_sites)
