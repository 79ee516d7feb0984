"""The integers at which the circuit was cut: which bits carry them, and which of their combinations can occur."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.prove._functions import LIMIT, Fn, TooWideError, Variables, Vars, spread
from pymodel.ir import FixedPoint, IntArray

__all__ = ["Domain", "Element"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Element:
    """One integer of a node that was proven to be on certain bits.

    Attributes:
        label: name of the node, and number of the integer.
        bits: a constant or a variable per bit, LSB first.
        type: width and sign.
        reach: the integers that can occur, ascending; None for all of the type.
    """

    label: tuple[str, int]
    bits: tuple[Fn, ...]
    type: FixedPoint
    reach: IntArray | None

    @property
    def vars(self) -> Vars:
        """The variables of its bits, ascending."""
        return tuple(sorted({var for bit in self.bits for var in bit.vars}))

    def integers(self) -> tuple[Vars, IntArray]:
        """Return the integer at every combination of its variables.

        Raises:
            TooWideError: if there are too many.
        """
        variables = self.vars
        if len(variables) > LIMIT.bit_length() - 1:
            raise TooWideError(f"an input of {len(variables)} bits is too wide to be enumerated")
        total: Array = np.zeros((1,) * len(variables), dtype=np.int64)
        for j, bit in enumerate(self.bits):
            weight = -(1 << j) if self.type.signed and j == self.type.width - 1 else 1 << j
            total = total + spread(bit.values, bit.vars, variables).astype(np.int64) * weight
        return variables, np.broadcast_to(total, (2,) * len(variables))


@dataclass
class Domain:
    """All cuts of a proof.

    Attributes:
        variables: all variables.
        elements: the integers at which the circuit was cut.
        definitions: variables that stand for a function of one element's bits (a bit of its code, say).
    """

    variables: Variables
    elements: list[Element] = field(default_factory=list)
    _of: dict[int, list[int]] = field(default_factory=dict)
    _projections: dict[tuple[int, Vars], Array] = field(default_factory=dict)
    _masks: dict[Vars, Array | None] = field(default_factory=dict)
    _derived: dict[tuple[Vars, bytes], Fn] = field(default_factory=dict)
    definitions: dict[int, Fn] = field(default_factory=dict)

    def add(self, element: Element) -> None:
        """Make an element known; masks of its variables may only be asked for afterwards."""
        number = len(self.elements)
        self.elements.append(element)
        for var in element.vars:
            self._of.setdefault(var, []).append(number)

    def touching(self, var: int) -> list[int]:
        """Return the numbers of the elements that have a variable."""
        return self._of.get(var, [])

    def ties(self, variables: Vars) -> set[int]:
        """Return keys that variables share if not all of their combinations occur: themselves, and negative ones."""
        owners = {
            ~n
            for var in variables
            for n in self.touching(var)
            if self.elements[n].reach is not None or var in self.definitions
        }
        return owners | set(variables)

    def derive(self, f: Fn) -> Fn:
        """Return a variable that stands for a function of the bits of one element; the function itself if that cannot be."""
        owners = set.intersection(*(set(self._of.get(var, ())) for var in f.vars)) if len(f.vars) > 1 else set()
        if not owners or f.unknown is not None or any(var in self.definitions for var in f.vars):
            return f
        number = min(owners)
        if self.elements[number].type.width >= LIMIT.bit_length():
            return f
        key = (f.vars, f.values.tobytes())
        if key not in self._derived:
            var = self.variables.new()
            self.definitions[var] = f
            self._of[var] = [number]
            self._derived[key] = Fn((var,), np.array([0, 1], dtype=np.uint8))
        return replace(self._derived[key], delay=f.delay)

    def integers(self, number: int) -> IntArray:
        """Return the integers that an element can be.

        Raises:
            TooWideError: if they are too many.
        """
        element = self.elements[number]
        if element.reach is not None:
            return element.reach
        if element.type.width >= LIMIT.bit_length():
            raise TooWideError(f"an input of {element.type.width} bits is too wide to be enumerated")
        return np.arange(element.type.min_int, element.type.max_int + 1)

    def bit_of(self, number: int, var: int) -> IntArray:
        """Return a variable at each of the integers that its element can be."""
        integers = self.integers(number)
        if var in self.definitions:
            f = self.definitions[var]
            return f.values[tuple(self.bit_of(number, base) for base in f.vars)].astype(np.int64)
        place = next(j for j, bit in enumerate(self.elements[number].bits) if bit.vars == (var,))
        return integers >> place & 1

    def matching(self, number: int, values: dict[int, int]) -> int | None:
        """Return an integer that an element can be and that has the given bits; None if none is found."""
        try:
            integers = self.integers(number)
        except TooWideError:
            return None
        fits = np.ones(integers.size, dtype=bool)
        for var, value in values.items():
            if number in self._of.get(var, ()):
                fits &= self.bit_of(number, var) == value
        found = np.flatnonzero(fits)
        return int(integers[found[0]]) if found.size else None

    def pushed(self, number: int, variables: Vars, values: Array, onto: Vars) -> Array | None:
        """Express a table over an element's bits by other variables of that element; None if they do not determine it."""
        bits = tuple(self.bit_of(number, var) for var in onto)
        entries = values[tuple(self.bit_of(number, var) for var in variables)]
        table = np.zeros(self.variables.sizes(onto), dtype=np.int64)
        table[bits] = entries
        return table if (table[bits] == entries).all() else None

    def _projection(self, number: int, part: Vars) -> Array:
        key = (number, part)
        if key not in self._projections:
            mask = np.zeros((2,) * len(part), dtype=bool)
            mask[tuple(self.bit_of(number, var) for var in part)] = True
            self._projections[key] = mask
        return self._projections[key]

    def mask(self, variables: Vars) -> Array | None:
        """Return which combinations can occur (never too few), one axis per variable; None if all."""
        if variables not in self._masks:
            result: Array | None = None
            touched = {number for var in variables for number in self._of.get(var, ())}
            for number in sorted(touched):
                part = tuple(var for var in variables if number in self._of.get(var, ()))
                if self.elements[number].reach is None and self.definitions.keys().isdisjoint(part):
                    continue
                here = self._projection(number, part)
                if not here.all():
                    here = spread(here, part, variables)
                    result = here if result is None else result & here
            if result is not None:
                result = np.broadcast_to(result, self.variables.sizes(variables))
            self._masks[variables] = result
        return self._masks[variables]

    def extremes(self, variables: Vars, values: Array) -> tuple[int, int]:
        """Return the least and the largest value that can occur."""
        mask = self.mask(variables)
        if mask is not None:
            values = values[mask]
        return int(values.min()), int(values.max())

    def occurs(self, variables: Vars, condition: Array) -> bool:
        """Return whether a condition can be true."""
        mask = self.mask(variables)
        return bool((condition if mask is None else condition & mask).any())
