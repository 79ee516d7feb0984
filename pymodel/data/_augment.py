"""The usual augmentation of small photographs: a random crop of the padded image, and a mirror image half of the time.

He et al. 2016 (arXiv:1512.03385, section 4.2) on CIFAR-10: four pixels of padding, 0 as here, on every side.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["crop_flip", "crop_padding"]


def crop_padding(height: int, width: int) -> int:
    """Return the pixels of padding on every side: an eighth of the shorter side, 4 for CIFAR, at least 1."""
    return max(1, min(height, width) // 8)


def crop_flip(rows: Tensor, image: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Return every image under its own shift and, with probability 1/2, mirrored left to right.

    The shift is uniform over `-p … p` in both directions, p = :func:`crop_padding`; pixels from outside are raw 0, which
    is black. The same generator state gives the same images.

    Args:
        rows: (n, H*W*C), raw pixels of any dtype, channels last.
        image: (H, W, C).
        generator: on the CPU; where the draws come from.
    """
    n, (height, width, channels) = rows.shape[0], image
    p = crop_padding(height, width)
    shift = torch.randint(-p, p + 1, (2, n, 1), generator=generator)
    mirror = torch.randint(0, 2, (n, 1), generator=generator).bool()
    down, right = torch.arange(height) + shift[0], torch.arange(width)
    right = torch.where(mirror, width - 1 - right, right) + shift[1]
    inside = ((down >= 0) & (down < height)).unsqueeze(2) & ((right >= 0) & (right < width)).unsqueeze(1)
    place = down.clamp(0, height - 1).unsqueeze(2) * width + right.clamp(0, width - 1).unsqueeze(1)
    place, inside = place.view(n, -1, 1).to(rows.device), inside.view(n, -1, 1).to(rows.device)
    pixels = rows.view(n, height * width, channels).gather(1, place.expand(-1, -1, channels))
    return (pixels * inside).view(n, -1)
