"""Features to LUTs and flip-flops: non-negative coefficients, fitted to designs that Yosys mapped (`bench/fit.py`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
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


#: What the generator's structure suggests per bit of each feature, in the order of :class:`Features`: where few designs
#: tell features apart, the fit stays near these.
_PRIOR: dict[str, tuple[float, ...]] = {
    "lut": (0.0, 0.6, 1.0, 1.0, 0.0, 0.7, 0.0, 0.0, 1.0),
    "lut_paired": (0.0, 0.4, 0.8, 1.0, 0.0, 0.35, 0.0, 0.0, 0.8),
    "ff": (1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.5),
}
#: Weight of the distance from the prior, relative to the weight of the designs.
_PRIOR_WEIGHT = 0.3

_Floats = npt.NDArray[np.float64]


def _solve(X: _Floats, y: IntArray, prior: tuple[float, ...]) -> _Floats:
    """Return non-negative coefficients: least squares of relative errors, drawn towards `prior` (ridge)."""
    scaled = X / y[:, None]
    ridge = np.sqrt(_PRIOR_WEIGHT * len(y)) * np.diag(scaled.mean(axis=0) + 1e-9)
    coefficients, _ = nnls(np.concatenate([scaled, ridge]), np.concatenate([np.ones(len(y)), ridge @ np.array(prior)]))
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
            guess = float(X[left_out] @ _solve(X[others], y[others], _PRIOR[name]))
            errors.append(abs(guess / y[left_out] - 1))
        solution = _solve(X, y, _PRIOR[name])
        quantities[name] = Quantity(
            dict(zip(Features.names(), solution.tolist(), strict=True)), float(np.median(errors)), float(np.max(errors))
        )
    return FitModel(len(features), quantities)


@cache
def fitted() -> FitModel:
    """Return the model that comes with the package (`hwgen/fit/model.json`, written by `bench/fit.py`)."""
    data = json.loads(files("hwgen.fit").joinpath("model.json").read_text(encoding="utf-8"))
    return FitModel(data["designs"], {name: Quantity(**entry) for name, entry in data["quantities"].items()})
