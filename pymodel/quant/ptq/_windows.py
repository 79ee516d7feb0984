"""The rows of a layer's linear map: the rows of the data, or windows of its images, of which a sample is enough."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pymodel.ir import ConvGeometry

__all__ = ["MAX_WINDOWS", "Windows", "sample_windows", "window_features", "window_values"]

#: Windows that the moments of a convolution are computed from, over all images.
MAX_WINDOWS = 1 << 16


class Windows(NamedTuple):
    """Some windows of some images.

    Attributes:
        image: (R,) indices of images, ascending.
        window: (R,) indices of windows in them.
    """

    image: Tensor
    window: Tensor

    def part(self, rows: slice | Tensor) -> Windows:
        """Return some of them."""
        return Windows(self.image[rows], self.window[rows])


def sample_windows(geometry: ConvGeometry, images: int, device: torch.device, most: int = MAX_WINDOWS) -> Windows:
    """Return at most `most` windows, as many of each image as of the others; all of them if they are few enough.

    Which ones is drawn at random, the same for the same arguments on every device.

    Args:
        geometry: of the convolution.
        images: B.
        device: of the result.
        most: windows, over all images; where there are more images, one window of evenly spaced ones.
    """
    n = geometry.n_windows
    stride = max(1, -(-images // most))
    used = torch.arange(0, images, stride)
    each = min(n, max(1, most // len(used)))
    if each == n:
        window = torch.arange(n).repeat(len(used), 1)
    else:
        generator = torch.Generator().manual_seed(0)
        window = torch.rand(len(used), n, generator=generator).topk(each, dim=1).indices.sort(dim=1).values
    image = used.unsqueeze(1).expand_as(window)
    return Windows(image.flatten().to(device), window.flatten().to(device))


def window_values(values: Tensor, at: Windows, geometry: ConvGeometry) -> tuple[Tensor, Tensor]:
    """Return the inputs of windows, (R, taps, C), and which taps have a pixel, (R, taps) bool.

    Args:
        values: (B, H*W*C), of images.
        at: the windows.
        geometry: which pixels they read; a tap without one has some other pixel's values.
    """
    taps = torch.from_numpy(geometry.taps()).to(values.device)[at.window]
    image = values.view(-1, geometry.height * geometry.width, geometry.channels)
    return image[at.image.unsqueeze(1), taps.clamp_min(0)], taps >= 0


def window_features(codes: Tensor, exists: Tensor, table: Tensor, groups: int) -> Tensor:
    """Return the features of windows, (R, G, taps * C/G * F), zeros where a tap has no pixel.

    Args:
        codes: (R, taps, C) int64.
        exists: (R, taps).
        table: (n_codes, F), features by code.
        groups: G.
    """
    n_codes = len(table)
    phi = functional.embedding(torch.where(exists.unsqueeze(-1), codes, n_codes), functional.pad(table, (0, 0, 0, 1)))
    return phi.view(*exists.shape, groups, -1).transpose(1, 2).reshape(len(phi), groups, -1)
