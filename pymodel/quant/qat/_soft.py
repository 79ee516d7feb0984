"""DSQ's soft staircase (Gong et al. 2019, "Differentiable Soft Quantization", arXiv:1908.05033)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["MAX_ALPHA", "alpha_of", "raw_alpha", "soft_staircase", "staircase_stiffness"]

#: The paper keeps alpha below this: at 1 the staircase would be a straight line.
MAX_ALPHA = 0.5
#: Where the training starts, as in the paper.
START_ALPHA = 0.2


def alpha_of(raw: Tensor) -> Tensor:
    """Return alpha, 0 … :data:`MAX_ALPHA`, of an unbounded parameter."""
    return torch.sigmoid(raw) * MAX_ALPHA


def raw_alpha() -> Tensor:
    """Return the parameter for :data:`START_ALPHA`, a scalar."""
    return torch.logit(torch.tensor(START_ALPHA / MAX_ALPHA))


def staircase_stiffness(alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return s and `k * Delta` of alpha: `s = 1 / (1 - alpha)`, `k = log(2 / alpha - 1) / Delta` (equations 8 and 9)."""
    return 1.0 / (1.0 - alpha), torch.log(2.0 / alpha - 1.0)


def soft_staircase(v: Tensor, alpha: Tensor, low: int, high: int) -> Tensor:
    """Return `Q_S(v)`, in units of levels, for `v` in the same units (equations 5 and 7).

    Between the levels i and i + 1 it is `i + (s * tanh(k * (v - i - 1/2)) + 1) / 2`; beyond `low` and `high` constant.
    Alpha is how far it stays from a staircase: `1 - tanh(k * Delta / 2)`.

    Args:
        v: any shape.
        alpha: scalar, above 0 and below 1.
        low: the lowest level.
        high: the highest.
    """
    inside = v.clamp(low, high)
    cell = torch.floor(inside.detach()).clamp(low, high - 1)
    s, stiffness = staircase_stiffness(alpha)
    return cell + 0.5 * (s * torch.tanh(stiffness * (inside - cell - 0.5)) + 1.0)
