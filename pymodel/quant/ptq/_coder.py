"""The range of a hidden layer's codes: from its inputs, or from what the layer makes of them."""

from __future__ import annotations

import torch
from torch import Tensor

from pymodel.layers import KANLayer
from pymodel.quant._calibrate import best_range, covering_range
from pymodel.quant._functions import round_half_up

__all__ = ["find_range", "output_range"]

#: Share of the inputs beyond either end of the percentile coder.
_SHARE = 0.001
#: Largest number of rows times inputs of the output coder, and its grid of ends.
_MAX_VALUES = 1 << 17
_ENDS = 9
_ROUNDS = 3
#: At most this share of the range is cut at either end.
_MAX_CUT = 0.49


@torch.no_grad()
def output_range(layer: KANLayer, inputs: Tensor, wanted: Tensor, n_codes: int) -> tuple[float, float]:
    """Return (low, step) of codes with which the float `layer` is closest to its outputs on `wanted`.

    The error of an input is the wrong measure in a KAN: a basis has a finite range and its functions vary most in the
    middle. Gaussians on [-2, 2] see nothing of inputs beyond, which the least squared error of inputs would spend most
    of its codes on. So the error of the layer's outputs is minimised, but for its mean, which a bias takes; the ends
    are searched on a grid that narrows down.

    Args:
        layer: the float layer that will read the codes.
        inputs: (B, I), its inputs as the quantized layers before it give them.
        wanted: (B, I), its inputs in the float network.
        n_codes: C.
    """
    stride = max(1, -(-inputs.numel() // _MAX_VALUES))
    x, target = inputs[::stride], layer(wanted[::stride])
    first, last = float(x.min()), float(x.max())
    if first == last:
        return best_range(x, n_codes)
    best, at = (float("inf"), *best_range(x, n_codes)), (0.0, 0.0)
    spans = [(0.0, _MAX_CUT), (0.0, _MAX_CUT)]
    width = _MAX_CUT
    for _ in range(_ROUNDS):
        cuts = [torch.linspace(a, b, _ENDS, dtype=torch.float64).tolist() for a, b in spans]
        for a in cuts[0]:
            for b in cuts[1]:
                low = first + a * (last - first)
                step = (last - b * (last - first) - low) / (n_codes - 1)
                code = round_half_up((x - low) / step).clamp_(0, n_codes - 1)
                difference = layer(low + step * code) - target
                error = float((difference - difference.mean(dim=0)).square().sum())
                if error < best[0]:
                    best, at = (error, low, step), (a, b)
        width /= _ENDS // 2
        spans = [(max(0.0, c - width), min(_MAX_CUT, c + width)) for c in at]
    return best[1], best[2]


@torch.no_grad()
def find_range(kind: str, layer: KANLayer, inputs: Tensor, wanted: Tensor, n_codes: int) -> tuple[float, float]:
    """Return (low, step) by the coder called `kind`, as :func:`output_range` does."""
    if kind == "minmax":
        return covering_range(inputs, n_codes)
    if kind == "percentile":
        return covering_range(inputs, n_codes, _SHARE)
    if kind == "mse":
        return best_range(inputs, n_codes)
    return output_range(layer, inputs, wanted, n_codes)
