"""The element-wise passes of an LSQ layer on the CPU, one loop each, compiled by numba.

torch takes some twenty passes over weights and features for them, each a call that reads and writes everything. Going
forward the loops give the same bits: the same operations on float32 numbers in the same order. They are the training's own:
the numba reference of the integer program shares nothing with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["input_gradients", "quantized", "table_rows", "weight_gradients"]

_F = TypeVar("_F", bound=Callable[..., Any])
_Floats = npt.NDArray[np.float32]
_HALF = np.float32(0.5)


def _loop(fastmath: set[str] | bool = False) -> Callable[[_F], _F]:
    """Compile on the first call; keep the machine code on disk if a folder can be written."""

    def compiled(function: _F) -> _F:
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
        try:
            dispatcher: _F = numba.njit(cache=True, **options)(function)
        except RuntimeError:
            dispatcher = numba.njit(**options)(function)
        return dispatcher

    return compiled


#: Sums of gradients may be added up in vectors; what goes forward may not change.
_SUMS = {"reassoc", "nsz"}


@_loop()
def table_rows(u: _Floats, table: _Floats, codes: npt.NDArray[np.int32], rows: _Floats) -> None:
    """Write the codes (n,) of `u` (n,) and the rows (n, F) that `table` (C, F) has for them."""
    last = np.float32(table.shape[0] - 1)
    for i in range(u.shape[0]):
        place = np.floor(u[i] + _HALF)
        code = 0
        if place >= last:
            code = table.shape[0] - 1
        elif place > 0:  # false for NaN
            code = int(place)
        codes[i] = code
        for f in range(table.shape[1]):
            rows[i, f] = table[code, f]


@_loop()
def quantized(
    base: _Floats, spline: _Floats, mask: npt.NDArray[np.bool_], columns: _Floats, factor: _Floats, weight: _Floats
) -> None:
    """Write the quantized weights (E, F) of base (E,) and spline weights (E, F - 1).

    Args:
        base: base weights.
        spline: spline weights.
        mask: (E,), or (0,) where all edges stay.
        columns: (3, F) as `LsqFacts` has them.
        factor: (F,), what a level is worth.
        weight: the result.
    """
    last = columns.shape[1] - 1
    step, high, worth = columns[0, last], columns[1, last], factor[last]
    for e in range(base.shape[0]):
        if mask.shape[0] > 0 and not mask[e]:
            for f in range(last + 1):
                weight[e, f] = 0.0
            continue
        level = np.floor(base[e] / columns[0, 0] + _HALF)
        weight[e, 0] = min(max(level, -columns[1, 0]), columns[1, 0]) * factor[0]
        for f in range(last):
            level = np.floor(spline[e, f] / step + _HALF)
            weight[e, f + 1] = min(max(level, -high), high) * worth


@_loop(_SUMS)
def weight_gradients(
    by: _Floats,
    base: _Floats,
    spline: _Floats,
    mask: npt.NDArray[np.bool_],
    columns: _Floats,
    by_base: _Floats,
    by_spline: _Floats,
) -> tuple[float, float]:
    """Write the LSQ gradients by base (E,) and spline weights (E, F - 1), and return those by the two steps.

    Args:
        by: (E, F), gradients by what the weights are multiplied as.
        base: as for :func:`quantized`.
        spline: likewise.
        mask: likewise.
        columns: likewise.
        by_base: the result.
        by_spline: the result.
    """
    base_step = spline_step = 0.0
    last = columns.shape[1] - 1
    step, high, ratio = columns[0, last], columns[1, last], columns[2, last]
    for e in range(base.shape[0]):
        if mask.shape[0] > 0 and not mask[e]:
            by_base[e] = 0.0
            for f in range(last):
                by_spline[e, f] = 0.0
            continue
        slope = by[e, 0] * columns[2, 0]
        scaled = base[e] / columns[0, 0]
        inside = abs(scaled) < columns[1, 0] + _HALF
        level = min(max(np.floor(scaled + _HALF), -columns[1, 0]), columns[1, 0])
        base_step += (level - scaled if inside else level) * slope
        by_base[e] = slope if inside else np.float32(0.0)
        total: Any = np.float32(0.0)
        for f in range(last):
            slope = by[e, f + 1] * ratio
            scaled = spline[e, f] / step
            inside = abs(scaled) < high + _HALF
            level = min(max(np.floor(scaled + _HALF), -high), high)
            total += (level - scaled if inside else level) * slope
            by_spline[e, f] = slope if inside else np.float32(0.0)
        spline_step += total
    return base_step, spline_step


@_loop(_SUMS)
def input_gradients(
    u: _Floats, codes: npt.NDArray[np.int32], by: _Floats, slopes: _Floats, step: float, by_u: _Floats
) -> tuple[float, float]:
    """Write the gradients (n,) by `u`, and return those by the codes' step and offset.

    Args:
        u: (n,), inputs in units of codes.
        codes: (n,).
        by: (n, F), gradients by the table's rows.
        slopes: (C, F), derivatives of the table by the real input.
        step: of the codes.
        by_u: the result.
    """
    by_step = by_low = 0.0
    high = np.float32(slopes.shape[0] - 0.5)
    factor: Any = np.float32(step)
    for i in range(u.shape[0]):
        code = codes[i]
        total: Any = np.float32(0.0)
        for f in range(slopes.shape[1]):
            total += by[i, f] * slopes[code, f]
        by_step += total * code
        by_low += total
        by_u[i] = total * factor if -_HALF <= u[i] < high else np.float32(0.0)
    return by_step, by_low
