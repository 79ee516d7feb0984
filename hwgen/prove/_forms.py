"""Sums as exact forms: a constant plus tables over disjoint sets of variables, and how a word is read as one.

A word of `W` bits is `sum_j 2^j * bit_j` modulo `2^W`, whatever its bits are. So an adder's result is a form without any
assumption on overflow; only where bits of a form are read as an integer again (extended by zeros or by the sign, or cut off) does
its interval have to fit, and that is checked there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hwgen.prove._domain import Domain
from hwgen.prove._errors import NotProvenError
from hwgen.prove._functions import LIMIT, Fn, TooWideError, Vars, common_delay, constant, drop_unused, make, spread

__all__ = ["Form", "Table", "Term", "expanded", "grouped", "join", "read_form", "readings", "result_bits", "shifted"]

Array = npt.NDArray[Any]
#: A word that is added has at most so many bits: its integers are exact in int64.
_MAX_WIDTH = 60
_MAX_RANGE = 1 << 62
#: Combinations of the bits behind a function of sums.
_EXPANDED = 1 << 16
#: Ways to read a sum whose tables may have a sign or not.
_MAX_CANDIDATES = 64
T = TypeVar("T")
Weighted = tuple[int, Fn]


class NotLinearError(NotProvenError):
    """A word cannot be read as a sum."""


@dataclass(frozen=True, eq=False)
class Term:
    """A table: an integer at every combination of its variables; entries that cannot occur are arbitrary.

    Attributes:
        vars: its variables.
        values: the entries.
        low, high: the least and the largest entry that can occur.
        other: another table (and a constant to be added) that equals this one modulo `2^width` of the form it is in: a table that
            fills its word may be meant with or without a sign. None if there is none.
    """

    vars: Vars
    values: Array
    low: int
    high: int
    other: tuple[int, Term] | None = None


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
    def grain(self) -> int:
        """The power of two that all entries are multiples of."""
        bits = 0
        for term in self.terms:
            bits |= int(np.bitwise_or.reduce(term.values, axis=None))
        return max(1, bits & -bits)

    @property
    def high(self) -> int:
        """The largest value."""
        return self.const + sum(term.high for term in self.terms)


def _term(variables: Vars, values: Array, domain: Domain) -> tuple[int, Term | None]:
    """Return a table as a constant and a table whose least value is 0 (None if nothing is left)."""
    variables, (kept,) = drop_unused(variables, [values])
    assert kept is not None
    low, high = domain.extremes(variables, kept)
    if high - low >= _MAX_RANGE:  # its differences might wrap in int64
        raise TooWideError(f"a table ranges over {high - low + 1} integers, too many for exact arithmetic")
    if low == high:
        return low, None
    mask = domain.mask(variables)
    kept = kept - low
    if mask is not None:
        kept = np.where(mask, kept, 0)
    return low, Term(variables, kept, 0, high - low)


#: A table to be added: variables, entries, and the entries that it may have instead.
Table = tuple[Vars, Array, Array | None]


def join(const: int, tables: Iterable[Table], domain: Domain) -> tuple[int, tuple[Term, ...]]:
    """Add tables; those that share variables, or integers that do not take all values, become one.

    Raises:
        TooWideError: if one has too many combinations.
    """
    result: list[Term] = []
    tables = list(tables)
    for members in grouped(tables, [domain.ties(table[0]) for table in tables]):
        union = tuple(sorted({var for variables, _, _ in members for var in variables}))
        if len(union) > 60 or domain.variables.combinations(union) > LIMIT:
            raise TooWideError(f"a table of {len(union)} bits is too wide to be enumerated")
        sizes = domain.variables.sizes(union)

        def total(alternative: bool, members: list[Table] = members, union: Vars = union) -> Array:
            result: Array = np.zeros((1,) * len(union), dtype=np.int64)
            for variables, values, other in members:
                result = result + spread(other if alternative and other is not None else values, variables, union)
            return result

        offset, term = _term(union, np.broadcast_to(total(False), sizes), domain)
        if any(table[2] is not None for table in members):
            extra, alternative = _term(union, np.broadcast_to(total(True), sizes), domain)
            if alternative is not None and term is not None and alternative.vars == term.vars:
                if alternative.high < term.high:
                    offset, term, extra, alternative = extra, alternative, offset, term
                term = replace(term, other=(extra - offset, alternative))
        const += offset
        if term is not None:
            result.append(term)
    return const, tuple(result)


def grouped(items: Sequence[T], keys: Sequence[set[int]]) -> list[list[T]]:
    """Return items in groups, so that items of different groups share no key."""
    groups: list[tuple[set[int], list[T]]] = []
    owner: dict[int, int] = {}
    for item, own in zip(items, keys, strict=True):
        members, together = set(own), [item]
        for number in sorted({owner[key] for key in own if key in owner}):
            members |= groups[number][0]
            together = groups[number][1] + together
            groups[number] = (set(), [])
        owner.update(dict.fromkeys(members, len(groups)))
        groups.append((members, together))
    return [together for _, together in groups if together]


def _centred(value: int, width: int) -> int:
    """Return the number of least magnitude that equals `value` modulo `2^width`."""
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value


def _read_bits(form: Form, weights: dict[int, int], width: int, domain: Domain) -> tuple[int, list[Table]]:
    """Return `sum_j weights[j] * bit j of form`, modulo `2^width`, as a constant and tables.

    Raises:
        NotLinearError: unless these are the bits of one integer, `form >> k`.
    """
    first, last = min(weights), max(weights)
    if sorted(weights) != list(range(first, last + 1)):
        raise NotLinearError("bits in the middle of a sum are missing where it is added")
    unit = weights[first]
    modulus = 1 << width
    if any((weights[j] - (unit << (j - first))) % modulus for j in range(first, last)):
        raise NotLinearError("the bits of a sum have the wrong places where it is added")
    span, top = 1 << (last + 1), unit << (last - first)
    if (weights[last] - top) % modulus == 0:
        window = 0
    elif (weights[last] + top) % modulus == 0:
        window = span >> 1  # two's complement
    else:
        raise NotLinearError("the bits of a sum have the wrong places where it is added")
    # What is beyond the bits read vanishes modulo 2^width, or the form must be within what they can hold.
    vanishes = (unit << (last + 1 - first)) % modulus == 0
    if not vanishes:
        form = _in_window(form, span, window, last)
    if first:
        form = shifted(form, first, domain)
    tables: list[Table] = []
    for term in form.terms:
        other = None
        if vanishes and term.other is not None:
            extra, alternative = term.other
            other = (extra + _over(alternative, term.vars, domain)) * unit
        tables.append((term.vars, term.values * unit, other))
    return form.const * unit, tables


def _one_by_one(form: Form, weights: dict[int, int], domain: Domain) -> list[Table]:
    """Return weighted bits of a form as tables over the bits that it is a sum of."""
    result: list[Table] = []
    for bit, weight in weights.items():
        var = domain.variables.form_bit(form, bit)
        f = expanded(Fn((var,), np.array([0, 1], dtype=np.uint8)), domain)
        result.append((f.vars, f.values.astype(np.int64) * weight, None))
    return result


def _over(term: Term, variables: Vars, domain: Domain) -> Array:
    """Return a table's entries over variables that include its own."""
    return np.broadcast_to(spread(term.values, term.vars, variables), domain.variables.sizes(variables))


def shifted(form: Form, bits: int, domain: Domain) -> Form:
    """Return `form >> bits`: tables of multiples of `2^bits` are divided, the others together become one table.

    Raises:
        TooWideError: if these have too many combinations together.
    """
    step = 1 << bits
    whole = [term for term in form.terms if not (term.values % step).any()]
    rest = [term for term in form.terms if (term.values % step).any()]
    union = tuple(sorted({var for term in rest for var in term.vars}))
    if len(union) > 60 or domain.variables.combinations(union) > LIMIT:
        raise TooWideError(f"a sum over {len(union)} bits whose low bits are dropped is too wide to be enumerated")
    if abs(form.const) + sum(term.high for term in rest) >= _MAX_RANGE:
        raise TooWideError("a sum whose low bits are dropped ranges over too many integers for exact arithmetic")
    remainder: Array = np.full((1,) * len(union), form.const, dtype=np.int64)
    for term in rest:
        remainder = remainder + spread(term.values, term.vars, union)
    const, dropped = _term(union, np.broadcast_to(remainder >> bits, domain.variables.sizes(union)), domain)
    terms = [_divided(term, bits) for term in whole]
    return Form(const, (*terms, *(() if dropped is None else (dropped,))), form.width - bits, form.delay)


def readings(form: Form) -> list[Form]:
    """Return the forms that equal a form modulo `2^width`: itself, then with tables that may have a sign or not read otherwise."""
    result = [form]
    for k, term in enumerate(form.terms):
        if term.other is not None and len(result) < _MAX_CANDIDATES:
            extra, other = term.other
            result += [
                replace(c, const=c.const + extra, terms=(*c.terms[:k], other, *c.terms[k + 1 :])) for c in result
            ]
    return result


def _in_window(form: Form, span: int, window: int, last: int) -> Form:
    """Return the integer that `last + 1` bits of a form hold, if read in `[-window, span - window)`.

    Raises:
        NotLinearError: if that is not the form plus a multiple of `span`.
    """
    candidates = readings(form) if last + 1 == form.width else [form]
    for candidate in candidates:
        turns = (candidate.low + window) // span
        if turns == (candidate.high + window) // span:
            return replace(candidate, const=candidate.const - turns * span)
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
        TooWideError: if it has too many bits, or a bit is a function of too many.
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
    tables: list[Table] = []
    known = domain.variables.known
    modulus = 1 << width
    for weight, f in weights.values():
        weight = _centred(weight, width)
        info = known[f.vars[0]]
        if not any(known[var].form for var in f.vars):
            values = f.values.astype(np.int64)
            # The top bit of the word may be a sign or not: both are the same modulo 2^width.
            top = weight % modulus == modulus >> 1
            tables.append((f.vars, values * (abs(weight) if top else weight), -values * abs(weight) if top else None))
            continue
        if len(f.vars) > 1 or info.bit is None or info.form is None:
            f = expanded(f, domain)
            if f.vars:
                tables.append((f.vars, f.values.astype(np.int64) * weight, None))
            else:
                const += weight * int(f.values)
            continue
        if f.values[0]:  # the bit's complement
            const += weight
            weight = -weight
        places = forms.setdefault(id(info.form), (info.form, {}))[1]
        places[info.bit] = _centred(places.get(info.bit, 0) + weight, width)
    for form, places in forms.values():
        present = {bit: weight for bit, weight in places.items() if weight % modulus}
        if not present:
            continue
        try:
            shift, parts = _read_bits(form, present, width, domain)
        except NotLinearError as error:
            try:
                shift, parts = 0, _one_by_one(form, present, domain)
            except TooWideError:
                raise error from None
        const += shift
        tables += parts
    extra, terms = join(0, tables, domain)
    return Form(_centred(const + extra, width), terms, width, delay)


def expanded(f: Fn, domain: Domain) -> Fn:
    """Return a function of sums as one of the bits that these are sums of.

    Raises:
        TooWideError: if there are too many.
    """
    known = domain.variables.known
    forms = {var: form for var in f.vars if (form := known[var].form) is not None}
    union = set(f.vars) - forms.keys()
    union |= {var for form in forms.values() for term in form.terms for var in term.vars}
    over = tuple(sorted(union))
    if len(over) > 60 or domain.variables.combinations(over) > _EXPANDED:
        raise TooWideError(f"a function of sums over {len(over)} bits is too wide to be enumerated")
    index = []
    for var in f.vars:
        if var not in forms:
            index.append(spread(np.arange(known[var].size), (var,), over))
            continue
        form, bit = forms[var], known[var].bit
        total: Array = np.full((1,) * len(over), form.const, dtype=np.int64)
        for term in form.terms:
            total = total + spread(term.values, term.vars, over)
        index.append(total >> bit & 1 if bit is not None else (total >> known[var].shift) - known[var].low)
    unknown = None if f.unknown is None else f.unknown[tuple(index)]
    return make(over, f.values[tuple(index)], unknown, f.delay)


def _divided(term: Term, bits: int) -> Term:
    """Return a table whose entries are multiples of `2^bits`, divided; what equals them modulo the word's size is one, too."""
    other = None if term.other is None else (term.other[0] >> bits, _divided(term.other[1], bits))
    return Term(term.vars, term.values >> bits, term.low >> bits, term.high >> bits, other)


def _halved(form: Form, bits: int) -> Form:
    """Return `form >> bits`, all of whose entries are multiples of `2^bits`."""
    if not bits:
        return form

    return Form(form.const >> bits, tuple(_divided(term, bits) for term in form.terms), form.width - bits, form.delay)


def result_bits(form: Form, domain: Domain) -> list[Fn]:
    """Return the bits of the word that holds a form: explicit where it is one table, else bits of the sum."""
    if len(form.terms) <= 1:
        variables = form.terms[0].vars if form.terms else ()
        values = form.const + (form.terms[0].values if form.terms else np.array(0, dtype=np.int64))
        return [make(variables, values >> j & 1, None, form.delay) for j in range(form.width)]
    zeros = min(form.width, form.grain.bit_length() - 1)
    result = [constant(form.const >> j & 1) for j in range(zeros)]
    if zeros == form.width:
        return result
    rest = _halved(form, zeros)
    for j in range(rest.width):
        var = domain.variables.form_bit(rest, j)
        result.append(Fn((var,), np.array([0, 1], dtype=np.uint8), None, form.delay))
    return result
