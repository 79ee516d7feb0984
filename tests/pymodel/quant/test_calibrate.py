"""Ranges of large tensors are found from samples that see every channel and pixel of images."""

from __future__ import annotations

import pytest
import torch

from pymodel.quant import best_range, covering_range


@pytest.mark.parametrize("channels", [32, 48])
def test_samples_of_images_see_every_channel(channels):
    """A stride of `values / samples` is a multiple of the channels here, and would see channel 0 only, which is narrow."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(64, 32, 32, channels, generator=generator) * 8 - 4
    images[..., 0] *= 0.01
    values = images.flatten(1)
    assert values.numel() > 1 << 20
    for low, step in (best_range(values, 8), covering_range(values, 8, 0.01)):
        assert low < -3
        assert low + 7 * step > 3
    assert best_range(values, 8) == best_range(values, 8)
