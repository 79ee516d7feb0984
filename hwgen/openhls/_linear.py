"""Sums as linear forms: LLVM reorders them, so that intervals of partial sums say less than those of the terms.

A form `constant + sum(factor * leaf)` equals an operation modulo 2^width whatever the order; if its bounds, from the
intervals of the leaves, fit into the width, it equals the operation exactly, and its bounds are the operation's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hwgen.openhls._narrow import Fact
from hwgen.openhls._ops import Op

__all__ = ["Form", "form_of", "limited"]

#: Longer sums are treated as one leaf.
_MAX_TERMS = 400


@dataclass(frozen=True)
class Form:
    """A linear form; `exact` if it equals the operation and not only its residue; bounds of the form."""

    constant: int
    terms: dict[int, int]
    low: int
    high: int
    exact: bool


def _made(constant: int, terms: dict[int, int], width: int, facts: Sequence[Fact]) -> Form | None:
    if len(terms) > _MAX_TERMS:
        return None
    low = high = constant
    for leaf, factor in terms.items():
        ends = (factor * facts[leaf].low, factor * facts[leaf].high)
        low, high = low + min(ends), high + max(ends)
    limit = 1 << (width - 1)
    return Form(constant, terms, low, high, -limit <= low and high < limit)


def form_of(op: Op, form: Callable[[int], Form], facts: Sequence[Fact]) -> Form | None:
    """Return the form of an operation, or None if it is a leaf.

    Args:
        op: the operation.
        form: gives the forms of its operands.
        facts: of all operations before it.
    """
    w = op.width
    if op.kind in ("add", "sub"):
        a, b = form(op.args[0]), form(op.args[1])
        sign = 1 if op.kind == "add" else -1
        terms = dict(a.terms)
        for leaf, factor in b.terms.items():
            total = terms.get(leaf, 0) + sign * factor
            if total:
                terms[leaf] = total
            else:
                terms.pop(leaf, None)
        return _made(a.constant + sign * b.constant, terms, w, facts)
    if op.kind in ("mul", "shl"):
        constants = [facts[a].constant for a in op.args]
        scale: int | None
        if op.kind == "shl":
            scale = None if constants[1] is None or not 0 <= constants[1] < w else 1 << constants[1]
            source = op.args[0]
        else:
            scale = constants[1] if constants[1] is not None else constants[0]
            source = op.args[0] if constants[1] is not None else op.args[1]
        if scale is None:
            return None
        a = form(source)
        return _made(a.constant * scale, {leaf: f * scale for leaf, f in a.terms.items()}, w, facts)
    if op.kind in ("sext", "zext", "trunc", "ashr"):
        a = form(op.args[0])
        if op.kind == "trunc" or (a.exact and (op.kind == "sext" or (op.kind == "zext" and a.low >= 0))):
            return _made(a.constant, a.terms, w, facts)
        if op.kind == "ashr" and a.exact:
            n = facts[op.args[1]].constant
            if n is not None and 0 <= n < w and not any(f & ((1 << n) - 1) for f in (a.constant, *a.terms.values())):
                return _made(a.constant >> n, {leaf: f >> n for leaf, f in a.terms.items()}, w, facts)
    return None


def limited(fact: Fact, form: Form) -> Fact:
    """Return `fact` with the bounds of an exact form."""
    if not form.exact or (form.low <= fact.low and form.high >= fact.high):
        return fact
    step = 1 << fact.zeros
    low = -(-max(form.low, fact.low) // step) * step
    high = min(form.high, fact.high) // step * step
    return fact if low > high else Fact(low, high, fact.zeros)
