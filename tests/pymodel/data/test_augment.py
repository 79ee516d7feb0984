"""Random crops and mirror images: every one a window of the padded image, all of them equally often, and by seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pymodel.data import crop_flip, crop_padding, load
from pymodel.errors import ConfigError
from pymodel.settings import DataSettings
from pymodel.train._batches import Batches, prepared
from tests.pymodel.data.images import cifar10, image_folder


def test_every_image_is_a_window_of_the_padded_image() -> None:
    height, width, channels = 16, 24, 3
    p = crop_padding(height, width)
    assert p == 2
    assert crop_padding(32, 32) == 4
    rng = np.random.default_rng(0)
    x = rng.integers(1, 256, (40, height, width, channels), dtype=np.uint8)
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    seen = np.zeros((2 * p + 1, 2 * p + 1, 2), dtype=int)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        rows = crop_flip(torch.from_numpy(x.reshape(40, -1)), (height, width, channels), generator)
        assert rows.dtype == torch.uint8
        for index, image in enumerate(rows.numpy().reshape(x.shape)):
            places = [
                (dy, dx, flip)
                for dy in range(2 * p + 1)
                for dx in range(2 * p + 1)
                for flip in (0, 1)
                if np.array_equal(image[:, :: -1 if flip else 1], padded[index, dy : dy + height, dx : dx + width])
            ]
            assert len(places) == 1
            seen[places[0]] += 1
    assert seen.min() > 5  # of 24 expected
    assert abs(seen[..., 1].sum() - 600) < 90


def test_the_seed_decides() -> None:
    x = torch.arange(4 * 64 * 3, dtype=torch.float32).view(4, -1)
    first, same, other = (crop_flip(x, (8, 8, 3), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("augment", [None, "crop_flip"])
def test_streamed_batches_are_those_from_memory(tmp_path: Path, augment: str | None) -> None:
    image_folder(tmp_path)

    def epochs(stream: bool, seed: int = 5) -> list[torch.Tensor]:
        data = load(DataSettings("imagenet", tmp_path, size=16, stream=stream, validation_fraction=0.2))
        batches = Batches(data, 4, augment, seed)
        assert torch.equal(batches.sample(5), prepared(data, data.fit[:5]))
        return [part for _ in range(2) for batch in batches for part in batch]

    streamed, whole, other = epochs(stream=True), epochs(stream=False), epochs(stream=True, seed=6)
    assert all(torch.equal(a, b) for a, b in zip(streamed, whole, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(streamed, other, strict=True))
    assert streamed[0].dtype == torch.float32


def test_large_images_stay_bytes_and_give_the_same_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar10(tmp_path)
    data = load(DataSettings("cifar10", tmp_path))
    whole = list(Batches(data, 32, None, 0))
    monkeypatch.setattr("pymodel.train._batches._MOST_FLOATS", 10)
    lazy = list(Batches(data, 32, None, 0))
    assert all(torch.equal(a, b) for one, two in zip(whole, lazy, strict=True) for a, b in zip(one, two, strict=True))
    with pytest.raises(ConfigError, match=r"train\.augment 'affine' is for images that fit"):
        Batches(data, 32, "affine", 0)


def test_colours(tmp_path: Path) -> None:
    cifar10(tmp_path)
    data = load(DataSettings("cifar10", tmp_path))
    with pytest.raises(ConfigError, match="grey images only; use crop_flip or affine"):
        Batches(data, 8, "shift", 0)
    with pytest.raises(ConfigError, match=r"train\.augment 'crop_flip' needs images"):
        Batches(load(DataSettings("wine")), 8, "crop_flip", 0)
    x, _ = next(iter(Batches(data, 90, "affine", 0)))
    assert x.shape == (90, 3072)
    assert float(x.min()) >= -2.0
    assert float(x.max()) <= 2.0
    # A grey image stays grey under the affine map: the channels move together.
    grey = np.repeat(data.x_train.reshape(-1, 1024, 3)[:, :, :1], 3, axis=2).reshape(-1, 3072)
    batches = Batches(data, 90, "affine", 0)
    batches._x = torch.from_numpy(grey[data.fit])
    x, _ = next(iter(batches))
    image = x.view(90, 1024, 3)
    assert torch.equal(image[..., 0], image[..., 1])
    assert torch.equal(image[..., 0], image[..., 2])
