"""Features to LUTs and flip-flops: non-negative coefficients, fitted to designs that Yosys mapped (`bench/fit.py`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from scipy.optimize import nnls

from hwgen.fit._features import Features
from pymodel.ir import IntArray

__all__ = ["QUANTITIES", "FitModel", "Quantity", "fit_model", "fitted"]

#: What is predicted: estimates of the same flow as `hwgen.synth`, so themselves not a vendor's report.
QUANTITIES = ("lut", "lut_paired", "ff")


@dataclass(frozen=True)
class Quantity:
    """How one quantity follows from the features, and how far off that was.

    Attributes:
        coefficients: per feature.
        median_error: median of the relative errors, each design predicted by a fit without it.
        worst_error: the largest of them.
    """

    coefficients: Mapping[str, float]
    median_error: float
    worst_error: float

    def predict(self, features: Features) -> int:
        """Return the quantity, rounded."""
        weights = [self.coefficients[name] for name in Features.names()]
        return round(sum(w * value for w, value in zip(weights, features.values(), strict=True)))


@dataclass(frozen=True)
class FitModel:
    """The model, and on how many designs it was fitted."""

    designs: int
    quantities: Mapping[str, Quantity]

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON types."""
        return {
            "designs": self.designs,
            "quantities": {
                name: {
                    "coefficients": {key: round(value, 5) for key, value in quantity.coefficients.items()},
                    "median_error": round(quantity.median_error, 4),
                    "worst_error": round(quantity.worst_error, 4),
                }
                for name, quantity in self.quantities.items()
            },
        }


def _solve(
    X: np.ndarray[tuple[int, int], np.dtype[np.float64]], y: IntArray
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return non-negative coefficients that minimise the sum of squared relative errors."""
    coefficients, _ = nnls(X / y[:, None], np.ones(len(y)))
    return np.asarray(coefficients, dtype=np.float64)


def fit_model(features: Sequence[Features], measured: Mapping[str, Sequence[int]]) -> FitModel:
    """Fit the model, and find its error by leaving out one design after the other.

    Args:
        features: of each design.
        measured: per quantity, the count of each design, at least 1.
    """
    X = np.array([f.values() for f in features], dtype=np.float64)
    quantities = {}
    for name in QUANTITIES:
        y = np.asarray(measured[name], dtype=np.int64)
        errors = []
        for left_out in range(len(y)):
            others = np.arange(len(y)) != left_out
            guess = float(X[left_out] @ _solve(X[others], y[others]))
            errors.append(abs(guess / y[left_out] - 1))
        solution = _solve(X, y)
        quantities[name] = Quantity(
            dict(zip(Features.names(), solution.tolist(), strict=True)), float(np.median(errors)), float(np.max(errors))
        )
    return FitModel(len(features), quantities)


@cache
def fitted() -> FitModel:
    """Return the model that comes with the package (`hwgen/fit/model.json`, written by `bench/fit.py`)."""
    data = json.loads(files("hwgen.fit").joinpath("model.json").read_text(encoding="utf-8"))
    return FitModel(data["designs"], {name: Quantity(**entry) for name, entry in data["quantities"].items()})
