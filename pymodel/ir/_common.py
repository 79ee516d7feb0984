"""What all parts of a node share: checked integer arrays, equality by value, names."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from pymodel.errors import IRError
from pymodel.ir._fixed import EXACT_BOUND, IntArray

__all__ = ["MAX_CODES", "MAX_SHIFT", "ByValue", "check_name", "integers"]

#: A ROM is indexed by a code of at most 12 bits.
MAX_CODES = 1 << 12
MAX_SHIFT = 62
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


def check_name(name: object, what: str = "layer") -> str:
    """Return `name` if it is a plain identifier, so that it may appear in paths and generated code.

    Raises:
        IRError: otherwise; the remedy is to rename the layer.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise IRError(
            f"a {what} name must match [A-Za-z][A-Za-z0-9_]* and have at most 63 characters, not {name!r}; rename it"
        )
    return name


def integers(value: npt.ArrayLike, what: str, ndim: int) -> IntArray:
    """Return a read-only int64 copy of `value`, refusing floats, NaN and wrong ranks.

    Raises:
        IRError: if it is not a non-empty integer array of rank `ndim`, or an entry reaches 2^53 in magnitude.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.ndim != ndim or array.size == 0:
        raise IRError(
            f"{what} must be a non-empty integer array of rank {ndim}, not {array.dtype} of shape {array.shape}; "
            "lower the model again"
        )
    if int(array.max()) >= EXACT_BOUND or int(array.min()) <= -EXACT_BOUND:
        raise IRError(f"{what} must hold integers below 2^53 in magnitude; use fewer bits")
    result = array.astype(np.int64, copy=True)
    result.setflags(write=False)
    return result


class ByValue:
    """Equality by value for dataclasses that hold arrays."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]
