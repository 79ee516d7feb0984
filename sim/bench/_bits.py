"""Packed Verilog vectors as binary strings, the form in which the simulator's interface reads and writes wide signals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pymodel.ir import IntArray

__all__ = ["pack", "unpack"]

_CHUNK_BITS = 1 << 22


def _chunk_rows(bits: int) -> int:
    return max(1, _CHUNK_BITS // bits)


def pack(X: IntArray, width: int) -> list[str]:
    """Return one binary string per row of `X` (rows, n): element 0 in the last `width` characters.

    Elements are in two's complement of `width` bits; the caller has checked that they fit.
    """
    rows, n = X.shape
    bits = n * width
    shifts = np.arange(width - 1, -1, -1, dtype=np.int64)
    words: list[str] = []
    step = _chunk_rows(bits)
    for start in range(0, rows, step):
        chunk = X[start : start + step, ::-1, None]
        text = (((chunk >> shifts) & 1) + ord("0")).astype(np.uint8).tobytes().decode("ascii")
        words += [text[at : at + bits] for at in range(0, len(text), bits)]
    return words


def unpack(words: Sequence[str], n: int, width: int, signed: bool) -> IntArray:
    """Return the integers (len(words), n) of packed binary strings: the inverse of :func:`pack`."""
    weights = np.int64(1) << np.arange(width - 1, -1, -1, dtype=np.int64)
    if signed:
        weights[0] = -weights[0]
    out = np.empty((len(words), n), dtype=np.int64)
    step = _chunk_rows(n * width)
    for start in range(0, len(words), step):
        chunk = words[start : start + step]
        bits = np.frombuffer("".join(chunk).encode("ascii"), dtype=np.uint8).reshape(len(chunk), n, width)
        out[start : start + step] = ((bits - np.uint8(ord("0"))).astype(np.int64) @ weights)[:, ::-1]
    return out
