"""Test vectors of a design: integers, and their hexadecimal files for `$readmemh`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pymodel.ir import FixedPoint, IntArray

__all__ = ["default_vectors", "pack", "to_hex"]

_RANDOM = 256


def default_vectors(in_type: FixedPoint, count: int) -> IntArray:
    """Return the vectors of a design that was given none, shape (rows, `count`).

    All features at their minimum, at their maximum, at 0 (or 1 where 0 is the minimum), alternating, each feature
    alone at its other extreme (the first 64 features), and 256 random rows; always the same.
    """
    low, high = in_type.min_int, in_type.max_int
    alternating = np.where(np.arange(count) % 2 == 0, low, high)
    middle = 0 if low else min(1, high)
    corners = [np.full(count, v) for v in (low, high, middle)] + [alternating, low + high - alternating]
    for i in range(min(count, 64)):
        for rest, one in ((low, high), (high, low)):
            row = np.full(count, rest)
            row[i] = one
            corners.append(row)
    random = np.random.default_rng(0).integers(low, high, size=(_RANDOM, count), endpoint=True)
    return np.concatenate([np.array(corners, dtype=np.int64), random])


def pack(values: Iterable[int], width: int) -> int:
    """Return integers (two's complement) packed into one, the first in the LSBs."""
    word, mask = 0, (1 << width) - 1
    for position, value in enumerate(values):
        word |= (value & mask) << (position * width)
    return word


def to_hex(values: IntArray, width: int) -> str:
    """Return the `$readmemh` text of `values` (rows, elements), one row per line, element 0 in the LSBs."""
    digits = (values.shape[1] * width + 3) // 4
    return "".join(f"{pack(row, width):0{digits}x}\n" for row in values.tolist())
