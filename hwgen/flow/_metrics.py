"""Metrics of every station on the test rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.ir import IntArray, KanIR, Task

__all__ = ["metric_values", "test_details"]

_MAX_SCATTER = 2000


def _regression(y: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> tuple[float, float | None]:
    """Return (RMSE, R²) in the target's units; R² is None where all targets are equal, such as that of a single row."""
    residual, variance = float(np.mean((y - predicted) ** 2)), float(np.var(y))
    return float(np.sqrt(residual)), 1.0 - residual / variance if variance > 0.0 else None


def metric_values(
    ir: KanIR,
    y_test: npt.NDArray[Any],
    trained: Mapping[str, Mapping[str, float]],
    outputs: Mapping[str, IntArray],
    rtl_tests: IntArray,
) -> dict[str, Any]:
    """Return `accuracy` (classification) or `rmse` and `r2` (regression) per station.

    Args:
        ir: the program.
        y_test: class indices, or targets in their own units.
        trained: metrics of the float and quantized models.
        outputs: output integers (rows, N) per station, test rows only; without `rtl`, its entry is None.
        rtl_tests: indices of the test rows that RTL simulation got.
    """
    stations: dict[str, dict[str, float | None]] = {metric: dict(values) for metric, values in trained.items()}
    if ir.host.task is Task.REGRESSION and np.ptp(y_test) == 0:
        stations["r2"] = dict.fromkeys(stations["r2"])
    for station in ("reference", "csim", "rtl"):
        y = y_test[rtl_tests] if station == "rtl" else y_test
        values: dict[str, float | None] = dict.fromkeys(stations)
        if station in outputs and len(y):
            predicted = np.asarray(ir.predict(outputs[station]))
            if ir.host.task is Task.CLASSIFICATION:
                values = {"accuracy": float(np.mean(predicted == y))}
            else:
                values = dict(zip(("rmse", "r2"), _regression(y, predicted[:, 0].astype(np.float64)), strict=True))
        for metric, value in values.items():
            stations[metric][station] = value
    return {"metric": "accuracy" if ir.host.task is Task.CLASSIFICATION else "rmse", **stations}


def test_details(ir: KanIR, y_test: npt.NDArray[Any], Y: IntArray) -> dict[str, Any]:
    """Return the confusion matrix, or at most 2,000 points of the regression scatter."""
    predicted = np.asarray(ir.predict(Y))
    if ir.host.task is Task.CLASSIFICATION:
        n = len(ir.host.classes)
        matrix = np.zeros((n, n), dtype=np.int64)
        np.add.at(matrix, (y_test, predicted.astype(np.int64)), 1)
        return {"confusion": matrix.tolist()}
    true, points = y_test[:_MAX_SCATTER], predicted[:_MAX_SCATTER, 0]
    return {"scatter": {"true": true.tolist(), "predicted": points.tolist()}}
