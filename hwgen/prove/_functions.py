"""Bits as explicit functions of finite variables, and how several of them are laid over one another.

A variable is a bit of a layer's input at which the circuit was cut, a bit of a long sum, the value of a long sum, or
(when the circuit is run, not proven) the number of a sample. A function holds its value at every combination of its
variables: an array with one axis per variable, in the order of their numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwgen.prove._errors import NotProvenError

if TYPE_CHECKING:
    from hwgen.prove._forms import Form

__all__ = ["LIMIT", "Fn", "TooWideError", "Variable", "Variables", "common_delay", "constant", "drop_unused", "spread"]

#: Combinations that a function is computed for, at most.
LIMIT = 1 << 20
#: Values of a sum, at most.
_SUM_LIMIT = 1 << 22

Array = npt.NDArray[Any]
Vars = tuple[int, ...]


class TooWideError(NotProvenError):
    """A function has more combinations than can be enumerated."""


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable: `size` values.

    Attributes:
        size: number of values.
        form: the sum that it belongs to, or None.
        bit: number of the bit of that sum, or None for the sum's value `(low + position) * 2^shift` (rounded down).
        low: least value, for the value of a sum.
        shift: bits dropped, for the value of a sum.
    """

    size: int
    form: Form | None = None
    bit: int | None = None
    low: int = 0
    shift: int = 0


@dataclass(frozen=True, eq=False)
class Fn:
    """A bit: values 0 and 1 over its variables, where it is unknown, and how many cycles after the sample it is there.

    Attributes:
        vars: numbers of the variables, ascending.
        values: uint8, one axis per variable.
        unknown: where the bit has no defined value (same shape), or None.
        delay: rising edges since `in_data` held the sample; None for a constant, which is the same at all times.
    """

    vars: Vars
    values: Array
    unknown: Array | None = None
    delay: int | None = None

    @property
    def const(self) -> int | None:
        """The value of a constant bit, or None."""
        return int(self.values) if not self.vars and self.unknown is None else None


_CONSTANTS = {value: Fn((), np.array(value, dtype=np.uint8)) for value in (0, 1)}
_UNKNOWN = Fn((), np.array(0, dtype=np.uint8), np.array(True))


def constant(value: int) -> Fn:
    """Return the constant 0, 1, or (any other number) an unknown bit."""
    return _CONSTANTS.get(value, _UNKNOWN)


def common_delay(functions: Iterable[Fn]) -> int | None:
    """Return the delay of functions that meet in one cell.

    Raises:
        NotProvenError: if they belong to samples of different cycles.
    """
    delays = {f.delay for f in functions if f.delay is not None}
    if len(delays) > 1:
        raise NotProvenError(
            f"signals of different cycles meet: delays of {' and '.join(map(str, sorted(delays)))} cycles"
        )
    return next(iter(delays), None)


def drop_unused(variables: Vars, arrays: Sequence[Array | None]) -> tuple[Vars, list[Array | None]]:
    """Drop the variables that no array depends on."""
    kept = list(variables)
    result = list(arrays)
    for axis in range(len(kept) - 1, -1, -1):
        needed = False
        for array in result:
            if array is None or array.shape[axis] == 1:
                continue
            first = array[(slice(None),) * axis + (slice(0, 1),)]
            if not (array == first).all():
                needed = True
                break
        if not needed:
            del kept[axis]
            result = [None if a is None else a[(slice(None),) * axis + (0,)] for a in result]
    return tuple(kept), result


def spread(array: Array, have: Vars, want: Vars) -> Array:
    """Return `array` over the variables `have` with an axis of length 1 for each other variable of `want`."""
    if have == want:
        return array
    shape = []
    axis = 0
    for var in want:
        if axis < len(have) and have[axis] == var:
            shape.append(array.shape[axis])
            axis += 1
        else:
            shape.append(1)
    assert axis == len(have), (have, want)
    return array.reshape(shape)


@dataclass
class Variables:
    """All variables of a proof, by number."""

    known: list[Variable] = field(default_factory=list)
    _bits: dict[tuple[int, int], int] = field(default_factory=dict)
    _values: dict[tuple[int, int], int] = field(default_factory=dict)

    def new(self, size: int = 2) -> int:
        """Return a new variable."""
        self.known.append(Variable(size))
        return len(self.known) - 1

    def form_bit(self, form: Form, bit: int) -> int:
        """Return the variable of a bit of a sum."""
        key = (id(form), bit)  # the variable holds the form, so its id stays its own
        if key not in self._bits:
            self._bits[key] = len(self.known)
            self.known.append(Variable(2, form, bit))
        return self._bits[key]

    def form_value(self, form: Form, shift: int) -> int:
        """Return the variable of the value of a sum, `shift` bits dropped.

        Raises:
            TooWideError: if it has too many values.
        """
        key = (id(form), shift)
        if key not in self._values:
            low, high = form.low >> shift, form.high >> shift
            if high - low >= _SUM_LIMIT:
                raise TooWideError(f"a sum has {high - low + 1} values, more than can be enumerated")
            self._values[key] = len(self.known)
            self.known.append(Variable(high - low + 1, form, None, low, shift))
        return self._values[key]

    def values_of(self, var: int) -> npt.NDArray[np.int64]:
        """Return the values of a sum's value variable: of `sum >> shift`."""
        v = self.known[var]
        return np.arange(v.low, v.low + v.size, dtype=np.int64)

    def sizes(self, variables: Vars) -> tuple[int, ...]:
        """Return the sizes of variables."""
        return tuple(self.known[var].size for var in variables)

    def combinations(self, variables: Vars) -> int:
        """Return the number of combinations."""
        return math.prod(self.sizes(variables))

    def substitute(self, f: Fn, mapping: dict[int, tuple[int, Array]]) -> Fn:
        """Replace variables: `mapping` gives for an old one the new one and the old one's value at each of its values."""
        if not any(var in mapping for var in f.vars):
            return f
        new = tuple(sorted({mapping[var][0] if var in mapping else var for var in f.vars}))
        index = []
        for var in f.vars:
            target, values = mapping.get(var, (var, None))
            values = np.arange(self.known[var].size) if values is None else values
            index.append(spread(values, (target,), new))
        unknown = None if f.unknown is None else f.unknown[tuple(index)]
        return Fn(new, f.values[tuple(index)], unknown, f.delay)

    def _value_mapping(self, old: Iterable[int], new: int) -> dict[int, tuple[int, Array]]:
        values, shift = self.values_of(new), self.known[new].shift
        mapping: dict[int, tuple[int, Array]] = {}
        for var in old:
            v = self.known[var]
            if v.bit is not None:
                mapping[var] = (new, values >> (v.bit - shift) & 1)
            elif var != new:
                mapping[var] = (new, (values >> (v.shift - shift)) - v.low)
        return mapping

    def aligned(self, functions: Sequence[Fn], limit: int = LIMIT, *, whole: bool = False) -> tuple[list[Fn], Vars]:
        """Express functions over common variables that can be enumerated.

        Many bits of one sum become that sum's value (always if `whole`): it has fewer values than its bits have
        combinations, and says which combinations occur.

        Raises:
            TooWideError: if there are more than `limit` combinations.
        """
        union = tuple(sorted({var for f in functions for var in f.vars}))
        forms: dict[int, list[int]] = {}
        for var in union:
            if self.known[var].form is not None:
                forms.setdefault(id(self.known[var].form), []).append(var)
        mapping: dict[int, tuple[int, Array]] = {}
        for members in forms.values():
            bits = [var for var in members if self.known[var].bit is not None]
            if not whole and len(bits) == len(members) <= 3:
                continue
            form = self.known[members[0]].form
            assert form is not None
            shift = min(v.shift if v.bit is None else v.bit for v in (self.known[var] for var in members))
            mapping |= self._value_mapping(members, self.form_value(form, shift))
        result = [self.substitute(f, mapping) for f in functions] if mapping else list(functions)
        if mapping:
            union = tuple(sorted({var for f in result for var in f.vars}))
        if len(union) > 1 and (len(union) > 60 or self.combinations(union) > limit):
            raise TooWideError(f"a function of {len(union)} bits or sums is too wide to be enumerated")
        return result, union

    def combine(self, functions: Sequence[Fn], operation: Callable[..., Array], limit: int = LIMIT) -> Fn:
        """Return the bit `operation(values of the functions)`; unknown where any of them is."""
        delay = common_delay(functions)
        functions, union = self.aligned(functions, limit)
        values = operation(*(spread(f.values, f.vars, union) for f in functions))
        unknown = None
        for f in functions:
            if f.unknown is not None:
                here = spread(f.unknown, f.vars, union)
                unknown = here if unknown is None else unknown | here
        return make(union, values, unknown, delay)


def make(union: Vars, values: Array, unknown: Array | None, delay: int | None) -> Fn:
    """Return a function without the variables that it does not depend on."""
    values = np.asarray(values, dtype=np.uint8)
    if unknown is not None and not unknown.any():
        unknown = None
    kept, (values_, unknown_) = drop_unused(union, [values, unknown])
    assert values_ is not None
    if unknown_ is not None:
        values_, unknown_ = np.broadcast_arrays(values_, unknown_)
    return Fn(kept, values_, unknown_, delay if kept else None)
