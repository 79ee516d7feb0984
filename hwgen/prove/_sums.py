"""Which integers a sum of independent tables takes, and at which entries it takes a given one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwgen.prove._domain import Domain
from hwgen.prove._forms import Term
from pymodel.ir import IntArray

__all__ = ["attained", "entries_at"]

#: Sums that range over more integers than this are taken to attain all of them.
_MAX_RANGE = 1 << 16


def _distinct(term: Term, domain: Domain) -> list[int]:
    mask = domain.mask(term.vars)
    return [int(v) for v in np.unique(term.values if mask is None else term.values[mask])]


def _prefixes(terms: Sequence[Term], domain: Domain) -> list[int]:
    """Return for each number of terms the set of their sums, as bits of an integer (lows subtracted)."""
    sets = [1]
    for term in terms:
        before = sets[-1]
        total = 0
        for value in _distinct(term, domain):
            total |= before << (value - term.low)
        sets.append(total)
    return sets


def attained(const: int, terms: Sequence[Term], domain: Domain) -> IntArray | None:
    """Return all values of `const + terms`, ascending; None if they are too many to be listed."""
    low = const + sum(term.low for term in terms)
    if sum(term.high - term.low for term in terms) >= _MAX_RANGE:
        return None
    bits = bin(_prefixes(terms, domain)[-1])[:1:-1]
    return np.flatnonzero(np.frombuffer(bits.encode(), dtype=np.uint8) == ord("1")).astype(np.int64) + low


def entries_at(value: int, const: int, terms: Sequence[Term], domain: Domain) -> dict[int, int] | None:
    """Return values of the variables at which `const + terms` is `value`; None if there are none, or too many sums."""
    if sum(term.high - term.low for term in terms) >= _MAX_RANGE:
        return None
    sets = _prefixes(terms, domain)
    rest = value - const - sum(term.low for term in terms)
    if rest < 0 or not sets[-1] >> rest & 1:
        return None
    found: dict[int, int] = {}
    for term, before in zip(reversed(terms), reversed(sets[:-1]), strict=True):
        step = next(
            v - term.low
            for v in _distinct(term, domain)
            if rest >= v - term.low and before >> (rest - v + term.low) & 1
        )
        mask = domain.mask(term.vars)
        hits = term.values == step + term.low
        index = np.argwhere(hits if mask is None else hits & mask)[0]
        found |= {var: int(k) for var, k in zip(term.vars, index, strict=True)}
        rest -= step
    return found
