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


def _lut(inputs: int) -> float:
    """Return the cost of one bit of a function: LUTs plus LUT sites, where two LUTs of up to five inputs share a site."""
    return 2.0 * (1 << max(0, inputs - LUT_BITS)) if inputs >= LUT_BITS else 1.5


def _cost(groups: Sequence[Edge]) -> float:
    """Estimate tables in pairs under adders, and the adders that add the pairs: LUTs plus LUT sites."""
    wide = sorted((e for e in groups if e.select_width > ABSORBED_BITS), key=lambda e: e.span)
    small = sorted((e for e in groups if e.select_width <= ABSORBED_BITS), key=lambda e: e.span)

    def table(edge: Edge) -> float:
        return (edge.span >> edge.zeros).bit_length() * _lut(edge.select_width)

    cost, terms = 0.0, 0
    while wide or small:
        terms += 1
        first = wide.pop() if wide else small.pop()
        cost += table(first)
        if small:
            second = small.pop()
            cost += (first.span + second.span).bit_length() * _lut(second.select_width + 1)
        elif wide:
            second = wide.pop()
            cost += table(second) + (first.span + second.span).bit_length() * _lut(2)
    return cost + (terms - 1) * sum(edge.span for edge in groups).bit_length() * _lut(2)


def group(edges: Sequence[Edge]) -> list[Edge]:
    """Return tables that add the same as `edges`, as few and cheap ones as the estimate finds.

    Args:
        edges: tables of one output, of different inputs.
    """
    candidates = [
        [merged(members) for members in packed(edges, capacities)]
        for capacities in ((LUT_BITS,), (LUT_BITS, ABSORBED_BITS))
    ]
    return min(candidates, key=_cost)
