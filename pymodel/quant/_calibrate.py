"""Initial steps and ranges: the ones of least (weighted) squared error on data, or those that cover it."""

from __future__ import annotations

import torch
from torch import Tensor

from pymodel.errors import ModelError
from pymodel.quant._functions import round_half_up

__all__ = ["best_range", "best_step", "best_steps", "covering_range"]

_MAX_SAMPLES = 1 << 15
#: More values are drawn at random: those of images, whose sizes and channels share factors with a stride, which would see one
#: channel of 48 and the border's pixels.
_MAX_STRIDED = 1 << 20
_STEPS = 64
_ENDS = 20
#: At most this share of the data's extent is clipped at either end.
_MAX_CLIP = 0.475


def _sample(values: Tensor) -> Tensor:
    flat = values.detach().flatten().double()
    if not bool(torch.isfinite(flat).all()):
        raise ModelError("expected finite weights and activations, found NaN or infinity; train with a lower rate")
    count = flat.numel()
    if count > _MAX_STRIDED:
        generator = torch.Generator().manual_seed(0)
        return flat[torch.randint(count, (_MAX_SAMPLES,), generator=generator).to(flat.device)]
    return flat[:: -(-count // _MAX_SAMPLES)] if count else flat


def best_step(values: Tensor, high: int) -> float:
    """Return the step for which `step * clip(round(v / step), -high, high)` is closest to `values` (mean square).

    Args:
        values: any shape; may be empty.
        high: the largest level.

    Raises:
        ModelError: if a value is not finite.
    """
    v = _sample(values)
    extent = float(v.abs().max()) if v.numel() else 0.0
    if extent == 0.0:
        return 1.0 / high
    shrink = torch.linspace(1.0 / _STEPS, 1.0, _STEPS, dtype=torch.float64)
    steps = extent / (high if high > 0 else 1) * shrink
    errors = [float((v - s * round_half_up(v / s).clamp_(-high, high)).square().sum()) for s in steps]
    return float(steps[min(range(_STEPS), key=errors.__getitem__)])


@torch.no_grad()
def best_steps(values: Tensor, high: int, weight: Tensor | None = None) -> Tensor:
    """Return, per row, the step for which `step * clip(round(v / step), -high, high)` is closest to the row.

    Args:
        values: (N, K).
        high: the largest level.
        weight: (K,), of the squared errors; None weighs all alike.

    Returns:
        (N,) float64; rows of zeros get `1 / high`.

    Raises:
        ModelError: if a value is not finite.
    """
    v = values.detach().double()
    if not bool(torch.isfinite(v).all()):
        raise ModelError("expected finite weights, found NaN or infinity; train with a lower rate")
    extent = v.abs().amax(dim=1, keepdim=True)
    extent = torch.where(extent > 0, extent, 1.0)
    best = torch.full_like(extent, float("inf"))
    step = extent / high
    for shrink in torch.linspace(1.0, 1.0 / _STEPS, _STEPS, dtype=torch.float64).tolist():
        s = extent * (shrink / high)
        error = (v - s * round_half_up(v / s).clamp_(-high, high)).square_()
        total = error.sum(dim=1, keepdim=True) if weight is None else (error @ weight.double()).unsqueeze(1)
        better = total < best
        best, step = torch.where(better, total, best), torch.where(better, s, step)
    return step.squeeze(1)


def covering_range(values: Tensor, n_codes: int, share: float = 0.0) -> tuple[float, float]:
    """Return (low, step) of codes from the `share` quantile of `values` to the `1 - share` quantile (0: the extremes).

    Raises:
        ModelError: if a value is not finite.
    """
    v = _sample(values)
    if not v.numel():
        return -0.5, 1.0 / (n_codes - 1)
    if share == 0.0:
        full = values.detach().double()
        first, last = float(full.min()), float(full.max())
    else:
        first, last = torch.quantile(v, torch.tensor([share, 1.0 - share], dtype=v.dtype, device=v.device)).tolist()
    if first == last:
        return first - 0.5, 1.0 / (n_codes - 1)
    return first, (last - first) / (n_codes - 1)


def best_range(values: Tensor, n_codes: int) -> tuple[float, float]:
    """Return (low, step) for which `low + step * code` is closest to `values` (mean square).

    The ends are searched from the data's extremes inwards, so that outliers are clipped where that pays.

    Args:
        values: any shape.
        n_codes: C, at least 2.

    Raises:
        ModelError: if a value is not finite.
    """
    v = _sample(values)
    if not v.numel() or float(v.max() - v.min()) == 0.0:
        middle = float(v[0]) if v.numel() else 0.0
        return middle - 0.5, 1.0 / (n_codes - 1)
    first, last = float(v.min()), float(v.max())
    best, at = (float("inf"), 0.0, 1.0), (0.0, 0.0)
    # Coarse, then fine around the best pair of ends.
    spans = [(0.0, _MAX_CLIP), (0.0, _MAX_CLIP)]
    for _ in range(2):
        cuts = [torch.linspace(a, b, _ENDS // 2, dtype=torch.float64).tolist() for a, b in spans]
        for a in cuts[0]:
            for b in cuts[1]:
                low = first + a * (last - first)
                step = (last - b * (last - first) - low) / (n_codes - 1)
                code = round_half_up((v - low) / step).clamp_(0, n_codes - 1)
                error = float((v - (low + step * code)).square().sum())
                if error < best[0]:
                    best, at = (error, low, step), (a, b)
        width = _MAX_CLIP / (_ENDS // 2 - 1)
        spans = [(max(0.0, c - width), min(_MAX_CLIP, c + width)) for c in at]
    return best[1], best[2]
