"""The integers at which the circuit was cut: which bits carry them, and which of their combinations can occur."""

from __future__ import annotations

from dataclasses import dataclass, field
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

    def matching(self, values: dict[int, int]) -> int | None:
        """Return an integer that can occur and has the given bits; None if there is none (or too many to look through)."""
        reach = self.reach
        if reach is None:
            if self.type.width >= LIMIT.bit_length():
                return None
            reach = np.arange(self.type.min_int, self.type.max_int + 1)
        fits = np.ones(reach.size, dtype=bool)
        for j, bit in enumerate(self.bits):
            if bit.vars and bit.vars[0] in values:
                fits &= (reach >> j & 1) == values[bit.vars[0]]
        found = np.flatnonzero(fits)
        return int(reach[found[0]]) if found.size else None

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
    """All cuts of a proof."""

    variables: Variables
    elements: list[Element] = field(default_factory=list)
    _of: dict[int, list[int]] = field(default_factory=dict)
    _projections: dict[tuple[int, Vars], Array] = field(default_factory=dict)
    _masks: dict[Vars, Array | None] = field(default_factory=dict)

    def add(self, element: Element) -> None:
        """Make an element known; masks of its variables may only be asked for afterwards."""
        number = len(self.elements)
        self.elements.append(element)
        for var in element.vars:
            self._of.setdefault(var, []).append(number)

    def touching(self, var: int) -> list[int]:
        """Return the numbers of the elements that have a variable."""
        return self._of.get(var, [])

    def _projection(self, number: int, part: Vars) -> Array:
        key = (number, part)
        if key not in self._projections:
            element = self.elements[number]
            assert element.reach is not None
            place = {bit.vars[0]: j for j, bit in enumerate(element.bits) if bit.vars}
            mask = np.zeros((2,) * len(part), dtype=bool)
            mask[tuple(element.reach >> place[var] & 1 for var in part)] = True
            self._projections[key] = mask
        return self._projections[key]

    def mask(self, variables: Vars) -> Array | None:
        """Return which combinations can occur (never too few), one axis per variable; None if all."""
        if variables not in self._masks:
            result: Array | None = None
            touched = {number for var in variables for number in self._of.get(var, ())}
            for number in sorted(touched):
                element = self.elements[number]
                if element.reach is None:
                    continue
                part = tuple(var for var in variables if var in element.vars)
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
