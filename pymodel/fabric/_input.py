"""The one-bit input: the host shifts a threshold to 1/2, and rounding to one unsigned bit compares with it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pymodel.ir import AffineCoder, FixedPoint

__all__ = ["BinaryInput"]


class BinaryInput(nn.Module):
    """Features as one bit each: `floor(x + 1/2)`, saturated to 0 … 1, so 1 from x = 1/2 on."""

    bits = 1
    n_codes = 2

    @property
    def in_type(self) -> FixedPoint:
        """Type of the input integers."""
        return FixedPoint(1, 1, signed=False)

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of real features (…, I), as floating-point numbers."""
        return (x >= 0.5).to(x.dtype)

    def coder(self) -> AffineCoder:
        """Return the identity."""
        return AffineCoder(np.array([1]), np.array([0]), 0, 2, 0.0, 1.0)
