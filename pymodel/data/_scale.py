"""How the host maps raw features into the range that the model's grid covers, and targets to mean 0, deviation 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SIGMAS", "minmax_map", "pixel_map", "sigma_map", "standard_map", "target_map", "threshold_map"]

_Rows = npt.NDArray[Any]
_Floats = npt.NDArray[np.float64]
#: `standard` maps mean +- this many standard deviations onto the range; what lies beyond saturates.
SIGMAS = 3.0
#: A column that varies less than this, relative to its size, is constant but for rounding.
_CONSTANT = 1e-12


def standard_map(x: _Rows, low: float, high: float) -> tuple[_Floats, _Floats]:
    """Return (offset, scale), each (features,), with `(mean + 3*std - offset)*scale = high`, `(mean - 3*std …) = low`.

    A constant column gets scale 0: the model sees 0 whatever comes.
    """
    values = x.astype(np.float64)
    return sigma_map(values.mean(axis=0), values.std(axis=0), low, high)


def sigma_map(mean: _Floats, std: _Floats, low: float, high: float) -> tuple[_Floats, _Floats]:
    """Return :func:`standard_map` from mean and standard deviation of the columns."""
    return _affine(mean - SIGMAS * std, mean + SIGMAS * std, low, high)


def minmax_map(x: _Rows, low: float, high: float, *, image: bool) -> tuple[_Floats, _Floats]:
    """Return (offset, scale), each (features,), that map the smallest value to `low` and the largest to `high`.

    Pixels share one mapping, from 0 (or the smallest value, if negative) to the largest value of any pixel; the
    columns of a table each have their own.
    """
    smallest, largest = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    if image:
        smallest = np.full_like(smallest, min(0.0, smallest.min()))
        largest = np.full_like(largest, largest.max())
    return _affine(smallest, largest, low, high)


def pixel_map(features: int, limits: tuple[float, float], low: float, high: float) -> tuple[_Floats, _Floats]:
    """Return (offset, scale), each (features,), that map the ends of what a pixel can be, `limits`, to `low` and `high`."""
    return _affine(np.full(features, limits[0]), np.full(features, limits[1]), low, high)


def threshold_map(x: _Rows, threshold: float) -> tuple[_Floats, _Floats]:
    """Return (offset, scale), each (features,), that map `threshold` to exactly 1/2, where one unsigned bit turns over.

    The scale is a power of two of at most one over the data's span, the same for all columns, so that no rounding moves a
    raw value across the threshold.
    """
    values = x.astype(np.float64)
    span = max(float(values.max()), threshold) - min(float(values.min()), threshold)
    scale = 2.0 ** -math.ceil(math.log2(span)) if span > 0.0 else 1.0
    return np.full(x.shape[1], threshold - 0.5 / scale), np.full(x.shape[1], scale)


def _affine(bottom: _Floats, top: _Floats, low: float, high: float) -> tuple[_Floats, _Floats]:
    """Map `bottom … top` onto `low … high`: `(raw - offset)*scale`."""
    span = top - bottom
    constant = ~(span > _CONSTANT * np.maximum(np.abs(top), np.abs(bottom)))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scale = (high - low) / span
        offset = bottom - low * span / (high - low)
    constant |= ~(np.isfinite(scale) & np.isfinite(offset))
    return np.where(constant, bottom, offset), np.where(constant, 0.0, scale)


def target_map(y: npt.NDArray[Any]) -> tuple[float, float]:
    """Return (mean, standard deviation) of the targets; the deviation is 0 if they are constant."""
    mean, std = float(y.mean()), float(y.std())
    return mean, std if std > _CONSTANT * abs(mean) else 0.0
