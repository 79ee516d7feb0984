"""The model: when, and for which vector, an engine of a given latency must answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pymodel.ir import IntArray

__all__ = ["Prediction", "predict"]


@dataclass(frozen=True)
class Prediction:
    """Expected answers: the cycle of each (ascending) and the vector it belongs to, both (n,)."""

    cycles: IntArray
    rows: IntArray


def predict(accepted: IntArray, rows: IntArray, resets: IntArray, delay: int) -> Prediction:
    """Return what can be seen `delay` cycles after each sample was offered.

    A cycle is the sampling point just before a rising edge. A sample offered in cycle n is visible in cycle n + delay
    unless a reset was active in any of the cycles n ... n + delay - 1 (it would have cleared the sample's valid bit).

    Args:
        accepted: cycles with `in_valid`, ascending, (n,).
        rows: vector offered in each of them, (n,).
        resets: cycles with an active reset, ascending.
        delay: in cycles, >= 1.
    """
    alive = np.searchsorted(resets, accepted + delay) == np.searchsorted(resets, accepted)
    return Prediction(accepted[alive] + delay, rows[alive])
