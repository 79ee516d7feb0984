"""Layouts that the layer kernels share."""

from __future__ import annotations

import numpy as np

from pymodel.ir import IntArray

__all__ = ["BLOCK", "outputs_last"]

#: Rows that one parallel task computes.
BLOCK = 64
_LANES = 8


def outputs_last(array: IntArray) -> IntArray:
    """Return `array` (N, …) as a contiguous (…, P), P = N rounded up to whole vectors of 8, with zeros."""
    n_out = array.shape[0]
    packed = np.zeros((*array.shape[1:], -(-n_out // _LANES) * _LANES), dtype=np.int64)
    packed[..., :n_out] = np.moveaxis(array, 0, -1)
    return packed
