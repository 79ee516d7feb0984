"""The pixels that a sliding window reads; what `hls/kan4ml/window2d.h` does with a line buffer."""

from __future__ import annotations

import numpy as np

from pymodel.ir import ConvGeometry, IntArray
from pymodel.reference._kernel import kernel

__all__ = ["facts_of", "window2d"]


def facts_of(geometry: ConvGeometry) -> IntArray:
    """Return the numbers of `geometry` in the order in which the kernels read them."""
    g = geometry
    numbers = [g.height, g.width, g.channels, g.kernel_height, g.kernel_width, g.stride_h, g.stride_w]
    numbers += [g.padding_top, g.padding_left, g.dilation_h, g.dilation_w, g.out_height, g.out_width, g.groups]
    return np.array(numbers, dtype=np.int64)


@kernel()
def window2d(facts: IntArray, window: int, pixel: IntArray) -> None:
    """Tap (ky, kx) of window (oy, ox) reads pixel (oy*sh + ky*dh - pt, ox*sw + kx*dw - pl), if there is one.

    Args:
        facts: from :func:`facts_of`.
        window: `oy * out_width + ox`.
        pixel: (kh * kw,) `y * width + x` of every tap, or -1 where the tap is outside of the image, written.
    """
    height, width, kernel_height, kernel_width = facts[0], facts[1], facts[3], facts[4]
    oy, ox = window // facts[12], window % facts[12]
    tap = 0
    for ky in range(kernel_height):
        y = oy * facts[5] + ky * facts[9] - facts[7]
        for kx in range(kernel_width):
            x = ox * facts[6] + kx * facts[10] - facts[8]
            pixel[tap] = y * width + x if 0 <= y < height and 0 <= x < width else -1
            tap += 1
