"""What `within float32 rounding` means here: both float32 results, measured from the formula in float64."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

EPS = 2.0**-23


@torch.no_grad()
def assert_float32(ours: nn.Module, peer: nn.Module, inputs: dict[str, Tensor], exact: nn.Module | None = None) -> None:
    """Assert, for each kind of input, that our float32 output is as near to the formula in float64 as the peer's own.

    `.double()` keeps the float32 knots and weights, so the float64 model is the library's function without its rounding.
    The bound: 8 times the peer's own largest error, or 64 roundings of the largest output, whichever is more.
    """
    exact = (copy.deepcopy(peer) if exact is None else exact).double().eval()
    peer = peer.eval()
    for kind, x in inputs.items():
        want, theirs, got = exact(x.double()), peer(x), ours(x)
        assert got.dtype is torch.float32
        assert got.shape == theirs.shape
        assert bool(torch.isfinite(got).all()), kind
        scale = max(0.1, float(want.abs().max()))
        bound = max(8.0 * float((theirs.double() - want).abs().max()), 64.0 * EPS * scale)
        error = float((got.double() - want).abs().max())
        assert error <= bound, f"{kind}: {error:.3g} > {bound:.3g} (outputs up to {scale:.3g})"
        if kind == "inside":
            assert float(want.std()) > 200 * bound, f"the comparison could not fail ({float(want.std()):.3g})"
