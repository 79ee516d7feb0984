"""How a table finds its entry: the index that each input of a layer is turned into.

A coder `c = clip((X*mult + offset) >> shift, 0, C-1)` costs nothing where the code depends only on the upper bits of
the input and these are no more than the code has: then the tables are indexed by those bits as they are, and offset,
sign and clipping disappear in the order of the entries. Otherwise the code itself is computed and registered: by a
table where the input is narrow, by multiply, add, shift and clip where it is wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pymodel.ir import AffineCoder, FixedPoint, IntArray, Interval, unsigned_width

__all__ = ["CoderForm", "Index", "plan_index"]

#: Inputs of at most this many bits are enumerated, and get their codes from a table: at 8 bits that takes 4 ... 35 LUTs
#: per input less than the arithmetic (16 codes, multipliers 3 ... 201), at 12 bits -2 ... 44.
ROM_BITS = 12


class CoderForm(Enum):
    """How the index of a table is made from the input integer."""

    SLICE = "slice"
    """The upper bits of the input: no logic."""
    ROM = "rom"
    """The code, from a table."""
    AFFINE = "affine"
    """The code, from multiply, add, shift and clip."""


@dataclass(frozen=True, eq=False)
class Index:
    """The index of all tables of one input.

    Attributes:
        feature: number of the input.
        form: how the index is made.
        low_bit: lowest bit of the slice (0 for the other forms).
        width: bits of the index.
        codes: (2^width,) the code that each index stands for.
        reachable: (2^width,) whether any input in the domain gives this index.
        mult, offset: the coder's constants for this input.
    """

    feature: int
    form: CoderForm
    low_bit: int
    width: int
    codes: IntArray
    reachable: npt.NDArray[np.bool_]
    mult: int
    offset: int

    @cached_property
    def read_codes(self) -> IntArray:
        """The code of each index; an index that never occurs repeats the nearest one below that does (or the first)."""
        positions = np.where(self.reachable, np.arange(self.reachable.size), -1)
        nearest = np.maximum.accumulate(positions)
        nearest[nearest < 0] = int(np.argmax(self.reachable))
        return np.asarray(self.codes[nearest])


def _unused_bits(coder: AffineCoder, in_type: FixedPoint) -> int:
    """Return how many low bits of the input never change the code (first column of `coder`)."""
    if in_type.width <= ROM_BITS:
        codes = coder.codes(np.arange(in_type.min_int, in_type.max_int + 1)[:, None])[:, 0]
        bits = 0
        while bits < in_type.width - 1 and (codes[:: 2 << bits] == codes.reshape(-1, 2 << bits).T).all():
            bits += 1
        return bits
    mult, offset = int(coder.mult[0]), int(coder.offset[0])
    if mult <= 0 or mult & (mult - 1):
        return 0
    # (X*2^k + b) >> s == (X + (b >> k)) >> (s - k), which ignores s - k bits if (b >> k) has that many low zeros.
    power = mult.bit_length() - 1
    bits = coder.shift - power
    return bits if 0 < bits < in_type.width and (offset >> power) % (1 << bits) == 0 else 0


def plan_index(coder: AffineCoder, feature: int, in_type: FixedPoint, domain: Interval) -> Index:
    """Return the index of input number `feature`.

    Args:
        coder: the layer's coder.
        feature: number of the input.
        in_type: type of the input integers.
        domain: the input integers that can occur.
    """
    column = feature if coder.mult.size > 1 else 0
    one = AffineCoder(
        coder.mult[column : column + 1],
        coder.offset[column : column + 1],
        coder.shift,
        coder.n_codes,
        coder.low,
        coder.step,
    )
    mult, offset = int(one.mult[0]), int(one.offset[0])
    code_width = unsigned_width(coder.n_codes - 1)
    low_bit = _unused_bits(one, in_type)
    width = in_type.width - low_bit
    if width <= code_width:
        raw = np.arange(1 << width)
        signed = np.where(raw >= 1 << (width - 1), raw - (1 << width), raw) if in_type.signed else raw
        reachable = np.zeros(1 << width, dtype=bool)
        reachable[np.arange(domain.low >> low_bit, (domain.high >> low_bit) + 1) & ((1 << width) - 1)] = True
        codes = one.codes((signed << low_bit)[:, None])[:, 0]
        return Index(feature, CoderForm.SLICE, low_bit, width, codes, reachable, mult, offset)
    reachable = np.zeros(1 << code_width, dtype=bool)
    if in_type.width <= ROM_BITS:
        reachable[one.codes(np.arange(domain.low, domain.high + 1)[:, None])[:, 0]] = True
    else:
        ends = one.codes(np.array([[domain.low], [domain.high]]))
        reachable[int(ends.min()) : int(ends.max()) + 1] = True
    codes = np.minimum(np.arange(1 << code_width), coder.n_codes - 1)
    form = CoderForm.ROM if in_type.width <= ROM_BITS else CoderForm.AFFINE
    return Index(feature, form, 0, code_width, codes, reachable, mult, offset)
