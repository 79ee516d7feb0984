"""Metrics of every station on the test rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pymodel.train import TrainResult

from pymodel.ir import IntArray, KanIR, Task

__all__ = ["metric_values", "test_details"]

_MAX_SCATTER = 2000


def _regression(y: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return (RMSE, R²) in the target's units."""
    residual = float(np.mean((y - predicted) ** 2))
    return float(np.sqrt(residual)), 1.0 - residual / float(np.var(y))


def metric_values(
    ir: KanIR, y_test: npt.NDArray[Any], result: TrainResult, outputs: Mapping[str, IntArray], *, rtl: bool
) -> dict[str, Any]:
    """Return `accuracy` (classification) or `rmse` and `r2` (regression) per station.

    Args:
        ir: the program.
        y_test: class indices, or targets in their own units.
        result: with the float and quantized models' metrics.
        outputs: output integers (rows, N) per station, test rows only.
        rtl: whether RTL was asked for; without it the entry is None.
    """
    if ir.host.task is Task.CLASSIFICATION:
        accuracy: dict[str, float | None] = dict(result.metrics["accuracy"])
        for station, Y in outputs.items():
            accuracy[station] = float(np.mean(ir.predict(Y) == y_test))
        if not rtl:
            accuracy["rtl"] = None
        return {"metric": "accuracy", "accuracy": accuracy}
    rmse: dict[str, float | None] = dict(result.metrics["rmse"])
    r2: dict[str, float | None] = dict(result.metrics["r2"])
    for station, Y in outputs.items():
        rmse[station], r2[station] = _regression(y_test, np.asarray(ir.predict(Y))[:, 0])
    if not rtl:
        rmse["rtl"] = r2["rtl"] = None
    return {"metric": "rmse", "rmse": rmse, "r2": r2}


def test_details(ir: KanIR, y_test: npt.NDArray[Any], Y: IntArray) -> dict[str, Any]:
    """Return the confusion matrix, or at most 2,000 points of the regression scatter."""
    predicted = np.asarray(ir.predict(Y))
    if ir.host.task is Task.CLASSIFICATION:
        n = len(ir.host.classes)
        matrix = np.zeros((n, n), dtype=np.int64)
        np.add.at(matrix, (y_test, predicted), 1)
        return {"confusion": matrix.tolist()}
    true, points = y_test[:_MAX_SCATTER], predicted[:_MAX_SCATTER, 0]
    return {"scatter": {"true": true.tolist(), "predicted": points.tolist()}}
