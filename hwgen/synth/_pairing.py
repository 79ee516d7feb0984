"""How many LUT sites are left after two small LUTs share one: an estimate of what a vendor's packer does."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from itertools import islice

__all__ = ["paired_sites"]

_SITE_INPUTS = 5
_MAX_CANDIDATES = 256


def paired_sites(luts: Iterable[frozenset[Hashable]], pinned: Iterable[frozenset[Hashable]] = ()) -> int:
    """Return the number of LUT6 sites for LUTs with the given input nets, two to a site where that is possible.

    A LUT6 site has two outputs (LUT6_2) if its functions read at most five nets together. The merge is greedy and
    deterministic: larger LUTs first, each with the partner that shares most inputs; then unrelated small ones.

    Args:
        luts: the input nets of each LUT, at most six; constants left out.
        pinned: likewise of LUTs that each need a site's first output, so that no two of them share one: those that
            drive the select inputs of carry chains.
    """
    everything = [(lut, False) for lut in luts] + [(lut, True) for lut in pinned]
    small = sorted(
        (entry for entry in everything if len(entry[0]) <= _SITE_INPUTS), key=lambda e: len(e[0]), reverse=True
    )
    readers: dict[Hashable, list[int]] = defaultdict(list)
    for index, (lut, _) in enumerate(small):
        for net in lut:
            readers[net].append(index)
    free = [True] * len(small)
    pairs = 0
    for index in range(len(small)):
        if not free[index]:
            continue
        partner = _partner(index, small, readers, free)
        if partner is not None:
            free[index] = free[partner] = False
            pairs += 1
    left = [entry for entry, unused in zip(small, free, strict=True) if unused]
    movable = Counter(len(lut) for lut, is_pinned in left if not is_pinned)
    hosts = Counter(len(lut) for lut, is_pinned in left if is_pinned)
    return len(everything) - pairs - _unrelated_pairs(movable, hosts) - _unrelated_pairs(movable, movable)


def _partner(
    index: int, small: list[tuple[frozenset[Hashable], bool]], readers: dict[Hashable, list[int]], free: list[bool]
) -> int | None:
    """Return the free LUT that shares most inputs with one and fits into its site; ties go to the larger, earlier."""
    lut, is_pinned = small[index]
    shared: set[int] = set()
    for net in sorted(lut, key=str):
        fitting = (
            other for other in readers[net] if other != index and free[other] and not (is_pinned and small[other][1])
        )
        shared.update(islice(fitting, _MAX_CANDIDATES))
    best: tuple[int, int, int] | None = None
    for other in shared:
        common = len(lut & small[other][0])
        if len(lut) + len(small[other][0]) - common <= _SITE_INPUTS:
            candidate = (common, len(small[other][0]), -other)
            best = candidate if best is None else max(best, candidate)
    return None if best is None else -best[2]


def _unrelated_pairs(movable: Counter[int], hosts: Counter[int]) -> int:
    """Pair LUTs that share no input, given how many there are of each size, and take them out of both counters."""
    pairs = 0
    for size in range(_SITE_INPUTS, -1, -1):
        for _ in range(movable[size]):
            if movable[size] == 0:
                break
            movable[size] -= 1
            fitting = [other for other in range(_SITE_INPUTS - size, -1, -1) if hosts[other] > 0]
            if not fitting:
                movable[size] += 1
                break
            hosts[fitting[0]] -= 1
            pairs += 1
    return pairs
