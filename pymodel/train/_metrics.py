"""How good a model is: accuracy, or RMSE and R² in the target's own unit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.ir import HostSpec, Task

__all__ = ["Score", "metrics", "outputs", "score"]

_ROWS = 1024


@dataclass(frozen=True, order=True)
class Score:
    """A validation result; the larger, the better.

    Attributes:
        value: accuracy, or R².
        negative_loss: decides between equal values.
    """

    value: float
    negative_loss: float


@torch.no_grad()
def outputs(model: nn.Module, x: Tensor) -> Tensor:
    """Return the outputs (rows, N) in eval mode, in blocks of bounded memory; the model's mode is restored."""
    was_training = model.training
    model.eval()
    try:
        return torch.cat([model(block) for block in torch.split(x, _ROWS)])
    finally:
        model.train(was_training)


def loss_of(y_model: Tensor, y: Tensor, task: Task) -> Tensor:
    """Return the mean cross-entropy, or the mean squared error of standardised targets."""
    if task is Task.CLASSIFICATION:
        return functional.cross_entropy(y_model, y)
    return functional.mse_loss(y_model, y)


def score(model: nn.Module, x: Tensor, y: Tensor, task: Task) -> Score:
    """Return the score of `model` on prepared rows; not a number counts as the worst."""
    y_model = outputs(model, x)
    loss = float(loss_of(y_model, y, task))
    if not np.isfinite(loss):
        return Score(-np.inf, -np.inf)
    if task is Task.CLASSIFICATION:
        return Score(float((y_model.argmax(1) == y).double().mean()), -loss)
    return Score(1.0 - loss / max(float(y.var(unbiased=False)), 1e-12), -loss)


def metrics(y_model: npt.NDArray[np.float64], y: npt.NDArray[Any], host: HostSpec) -> dict[str, float]:
    """Return `accuracy`, or `rmse` and `r2`; R² is not a number where all targets are equal.

    Args:
        y_model: (rows, N) outputs of the model.
        y: (rows,) class indices, or targets in their own unit.
        host: the task and the scaling of the target.
    """
    if host.task is Task.CLASSIFICATION:
        return {"accuracy": float(np.mean(np.argmax(y_model, axis=1) == y))}
    error = host.target_offset + host.target_scale * y_model[:, 0] - y
    square = float(np.mean(error**2))
    variance = float(np.var(y))
    return {"rmse": float(np.sqrt(square)), "r2": 1.0 - square / variance if variance > 0.0 else math.nan}
