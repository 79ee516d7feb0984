"""Sums as exact forms: a constant plus tables over disjoint sets of variables, and how a word is read as one.

A word of `W` bits is `sum_j 2^j * bit_j` modulo `2^W`, whatever its bits are. So an adder's result is a form without any
assumption on overflow; only where bits of a form are read as an integer again (extended by zeros or by the sign, or cut off) does
its interval have to fit, and that is checked there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.prove._domain import Domain
from hwgen.prove._errors import NotProvenError
from hwgen.prove._functions import LIMIT, Fn, TooWideError, Vars, common_delay, constant, drop_unused, make, spread

__all__ = ["Form", "Term", "join", "read_form", "result_bits"]

Array = npt.NDArray[Any]
#: A word that is added has at most so many bits: its integers are exact in int64.
_MAX_WIDTH = 60
Weighted = tuple[int, Fn]


class NotLinearError(NotProvenError):
    """A word cannot be read as a sum."""


@dataclass(frozen=True, eq=False)
class Term:
    """A table: an integer at every combination of its variables; entries that cannot occur are arbitrary."""

    vars: Vars
    values: Array
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Form:
    """`const + sum of terms`, exact; the terms' variables are disjoint.

    Attributes:
        const: the constant.
        terms: the tables, each of which takes at least two values.
        width: bits of the word that holds it, modulo `2^width`.
        delay: rising edges since `in_data` held the sample.
    """

    const: int
    terms: tuple[Term, ...]
    width: int
    delay: int | None

    @property
    def low(self) -> int:
        """The least value (if the terms are independent; never more than the true one)."""
        return self.const + sum(term.low for term in self.terms)

    @property
    def high(self) -> int:
        """The largest value."""
        return self.const + sum(term.high for term in self.terms)


def _term(variables: Vars, values: Array, domain: Domain) -> tuple[int, Term | None]:
    """Return a table as a constant and a table whose least value is 0 (None if nothing is left)."""
    variables, (kept,) = drop_unused(variables, [values])
    assert kept is not None
    low, high = domain.extremes(variables, kept)
    if low == high:
        return low, None
    mask = domain.mask(variables)
    kept = kept - low
    if mask is not None:
        kept = np.where(mask, kept, 0)
    return low, Term(variables, kept, 0, high - low)


def join(const: int, terms: Iterable[tuple[Vars, Array]], domain: Domain) -> tuple[int, tuple[Term, ...]]:
    """Add tables; those that share variables become one.

    Raises:
        TooWideError: if one has too many combinations.
    """
    groups: list[tuple[set[int], list[tuple[Vars, Array]]]] = []
    owner: dict[int, int] = {}
    for variables, values in terms:
        touched = sorted({owner[var] for var in variables if var in owner})
        members, tables = set(variables), [(variables, values)]
        for number in touched:
            members |= groups[number][0]
            tables = groups[number][1] + tables
            groups[number] = (set(), [])
        for var in members:
            owner[var] = len(groups)
        groups.append((members, tables))
    result: list[Term] = []
    for members, tables in groups:
        if not tables:
            continue
        union = tuple(sorted(members))
        if len(union) > 60 or domain.variables.combinations(union) > LIMIT:
            raise TooWideError(f"a table of {len(union)} bits is too wide to be enumerated")
        total: Array = np.zeros((1,) * len(union), dtype=np.int64)
        for variables, values in tables:
            total = total + spread(values, variables, union)
        offset, term = _term(union, np.broadcast_to(total, domain.variables.sizes(union)), domain)
        const += offset
        if term is not None:
            result.append(term)
    return const, tuple(result)


def _centred(value: int, width: int) -> int:
    """Return the number of least magnitude that equals `value` modulo `2^width`."""
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value


def _read_bits(form: Form, weights: dict[int, int], width: int) -> tuple[int, list[tuple[Vars, Array]]]:
    """Return `sum_j weights[j] * bit j of form`, modulo `2^width`, as a constant and tables.

    Raises:
        NotLinearError: unless these are the bits of one integer that is the form (or the form without bits that are constant).
    """
    first, last = min(weights), max(weights)
    if sorted(weights) != list(range(first, last + 1)):
        raise NotLinearError("bits in the middle of a sum are missing where it is added")
    unit = weights[first]
    if any((weights[j] - (unit << (j - first))) % (1 << width) for j in range(first, last)):
        raise NotLinearError("the bits of a sum have the wrong places where it is added")
    span = 1 << (last + 1)
    top = unit << (last - first)
    if (weights[last] - top) % (1 << width) == 0:
        window = 0
    elif (weights[last] + top) % (1 << width) == 0:
        window = span >> 1  # two's complement
    else:
        raise NotLinearError("the bits of a sum have the wrong places where it is added")
    if (unit << (last + 1 - first)) % (1 << width) == 0 and not window:
        values = form  # what is beyond the bits read vanishes modulo 2^width
        moved = 0
    else:
        values, moved = _in_window(form, span, window, last)
    const = values.const - moved
    if first:
        if any((term.values % (1 << first)).any() for term in values.terms):
            raise NotLinearError("the low bits of a sum are missing where it is added")
        const = const >> first
    tables = [(term.vars, (term.values >> first) * unit) for term in values.terms]
    return const * unit, tables


def _in_window(form: Form, span: int, window: int, last: int) -> tuple[Form, int]:
    """Return a form of the same bits, and a multiple of `span` by which it is above `[-window, span - window)`."""
    candidates = [form]
    if last + 1 == form.width:
        # Its entries are known modulo 2^width only: try them without and with sign.
        for half in (0, span >> 1):
            terms = []
            for term in form.terms:
                values = ((term.values + half) & (span - 1)) - half
                low, high = int(values.min()), int(values.max())
                terms.append(Term(term.vars, values, low, high))
            candidates.append(Form(form.const, tuple(terms), form.width, form.delay))
    for candidate in candidates:
        turns = (candidate.low + window) // span
        if turns == (candidate.high + window) // span:
            return candidate, turns * span
    raise NotLinearError(
        f"a sum of {form.low} ... {form.high} does not fit into the {last + 1} bits that are read as an integer"
    )


def read_form(bits: Sequence[Weighted], width: int, domain: Domain, offset: int = 0) -> Form:
    """Return `offset + sum of weight * bit`, modulo `2^width`, as a form.

    Args:
        bits: weights and bits.
        width: bits of the result.
        domain: what can occur.
        offset: a constant.

    Raises:
        NotProvenError: if the bits may be unknown, belong to different cycles, or are no sum.
        TooWideError: if it has too many bits.
    """
    if width > _MAX_WIDTH:
        raise TooWideError(f"a sum of {width} bits is too wide")
    delay = common_delay(f for _, f in bits)
    weights: dict[int, tuple[int, Fn]] = {}
    const = offset
    for weight, f in bits:
        if f.unknown is not None and domain.occurs(f.vars, f.unknown):
            raise NotProvenError("a bit that is added may be unknown")
        if f.const is not None:
            const += weight * f.const
        else:
            weights[id(f)] = (weights.get(id(f), (0, f))[0] + weight, f)
    forms: dict[int, tuple[Form, dict[int, int]]] = {}
    tables: list[tuple[Vars, Array]] = []
    known = domain.variables.known
    for weight, f in weights.values():
        weight = _centred(weight, width)
        info = known[f.vars[0]]
        if not any(known[var].form for var in f.vars):
            tables.append((f.vars, f.values.astype(np.int64) * weight))
            continue
        if len(f.vars) > 1 or info.bit is None or info.form is None:
            raise NotLinearError("a function of a sum is added")
        if f.values[0]:  # the bit's complement
            const += weight
            weight = -weight
        places = forms.setdefault(id(info.form), (info.form, {}))[1]
        places[info.bit] = _centred(places.get(info.bit, 0) + weight, width)
    for form, places in forms.values():
        present = {bit: weight for bit, weight in places.items() if weight % (1 << width)}
        if present:
            shift, parts = _read_bits(form, present, width)
            const += shift
            tables += parts
    extra, terms = join(0, tables, domain)
    const = _centred(const + extra, width)
    reduced = []
    for term in terms:
        shift, smaller = _reduced(term, width, domain)
        const += shift
        if smaller is not None:
            reduced.append(smaller)
    return Form(const, tuple(reduced), width, delay)


def _reduced(term: Term, width: int, domain: Domain) -> tuple[int, Term | None]:
    """Return a table modulo `2^width`, as a constant and a table from 0 with the smallest range that was found."""
    span = 1 << width
    if term.high < span // 2:
        return 0, term
    choices = [_term(term.vars, (term.values + half & (span - 1)) - half, domain) for half in (0, span >> 1)]
    choices.append((0, term))
    return min(choices, key=lambda choice: 0 if choice[1] is None else choice[1].high)


def result_bits(form: Form, domain: Domain) -> list[Fn]:
    """Return the bits of the word that holds a form: explicit where it is one table, else bits of the sum."""
    if len(form.terms) <= 1:
        variables = form.terms[0].vars if form.terms else ()
        values = form.const + (form.terms[0].values if form.terms else np.array(0, dtype=np.int64))
        return [make(variables, values >> j & 1, None, form.delay) for j in range(form.width)]
    zeros = form.width
    for term in form.terms:
        bits = int(np.bitwise_or.reduce(term.values, axis=None))
        zeros = min(zeros, (bits & -bits).bit_length() - 1)
    result = [constant(form.const >> j & 1) for j in range(zeros)]
    for j in range(zeros, form.width):
        var = domain.variables.form_bit(form, j)
        result.append(Fn((var,), np.array([0, 1], dtype=np.uint8), None, form.delay))
    return result
