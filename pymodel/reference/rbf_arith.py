"""Gaussian radial basis functions as arithmetic; the twin of `hls/kan4ml/rbf_arith.h`."""

from __future__ import annotations

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["rbf_arith"]


@kernel()
def rbf_arith(
    code: IntArray,
    samples: IntArray,
    position: IntArray,
    position_shift: int,
    fraction: int,
    remainder: int,
    guard: int,
    reach: int,
    n_basis: int,
    value: IntArray,
    start: IntArray,
) -> None:
    """Distance to each centre of the window, then linear interpolation of one half of a Gaussian.

    `T = (c_i*m + b) >> s`, `start = clip((T >> F) - L, 0, n_basis - K)`, `d = |T - (start + j)*2^F|`, `n = d >> R`,
    `r = d mod 2^R`, `value[j] = (G[n]*2^R + (G[n+1] - G[n])*r + half) >> (R + g)` if n < S, else 0.

    Args:
        code: (I,) codes, each in 0 … C - 1.
        samples: (S + 1, 1) samples G.
        position: (2*T,) m, b of each set of centres; T = 1 or I.
        position_shift: s.
        fraction: F.
        remainder: R.
        guard: g; `half = 2^(R+g-1)`, or 0 where R + g = 0.
        reach: L.
        n_basis: number of centres.
        value: (I, K) window of every input, written.
        start: (I,) start of every window, written.
    """
    window, n_segments = value.shape[1], samples.shape[0] - 1
    per_input = position.shape[0] > 2
    down = remainder + guard
    half = (1 << down) >> 1
    for i in range(code.shape[0]):
        t = 2 * i if per_input else 0
        place = (position[t] * code[i] + position[t + 1]) >> position_shift
        start[i] = min(max((place >> fraction) - reach, 0), n_basis - window)
        for j in range(window):
            distance = abs(place - ((start[i] + j) << fraction))
            n = distance >> remainder
            if n < n_segments:
                r = distance - (n << remainder)
                here, after = samples[n, 0], samples[n + 1, 0]
                value[i, j] = ((here << remainder) + (after - here) * r + half) >> down
            else:
                value[i, j] = 0
