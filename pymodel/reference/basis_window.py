"""Places the values of a grid cell into a window within the basis; the twin of `hls/kan4ml/basis_window.h`."""

from __future__ import annotations

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["basis_window"]


@kernel()
def basis_window(cell: int, local: IntArray, n_basis: int, value: IntArray) -> int:
    """`start = clip(q, 0, n_basis - K)`, `value[j] = local[j + start - q]`, or 0 beyond `local`; return `start`.

    Args:
        cell: number q of the cell, any integer.
        local: (K,) values of the basis functions q … q + K - 1.
        n_basis: number of basis functions, at least K.
        value: (K,) window, written.
    """
    window = local.shape[0]
    start: int = min(max(cell, 0), n_basis - window)
    for j in range(window):
        source = j + start - cell
        value[j] = local[source] if 0 <= source < window else 0
    return start
