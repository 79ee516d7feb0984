"""Batches: every row once per epoch, shifted windows that are what they should be, and nothing left to chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pymodel.data import Dataset, load
from pymodel.errors import ConfigError
from pymodel.settings import DataSettings
from pymodel.train._batches import Batches, prepared, targets


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(DataSettings("digits"))


def test_an_epoch_has_every_training_row_once(digits: Dataset) -> None:
    batches = Batches(digits, 100, None, 0)
    sizes = [len(y) for _, y in batches]
    assert len(batches) == len(sizes) == 13
    assert sizes == [100] * 12 + [len(digits.fit) - 1200]
    rows = torch.cat([x for x, _ in batches])
    expected = prepared(digits, digits.fit)
    assert rows.dtype == torch.float32
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, expected.tolist()))
    validation = {tuple(row) for row in prepared(digits, digits.validation).tolist()}
    assert not validation & {tuple(row) for row in rows.tolist()}


def test_epochs_differ_and_seeds_decide(digits: Dataset) -> None:
    def epoch(batches: Batches) -> torch.Tensor:
        return torch.cat([y for _, y in batches])

    first, same, other = (Batches(digits, 64, None, seed) for seed in (0, 0, 1))
    one, two = epoch(first), epoch(first)
    assert torch.equal(one, epoch(same))
    assert torch.equal(two, epoch(same))
    assert not torch.equal(one, two)
    assert not torch.equal(one, epoch(other))


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_shifted_images_are_windows_of_the_padded_image(digits: Dataset, scale: str) -> None:
    data = load(DataSettings("digits", scale=scale))  # type: ignore[arg-type]
    batches = Batches(data, 7, "shift", 3)
    padded = np.pad(data.x_train[data.fit].reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    offset, factor = (np.array(v, dtype=np.float32) for v in (data.host.feature_offset, data.host.feature_scale))
    raw = np.stack([padded[:, dy : dy + 8, dx : dx + 8].reshape(-1, 64) for dy in range(3) for dx in range(3)], axis=1)
    windows = (raw.astype(np.float32) - offset) * factor  # (rows, shift, 64)
    where = {row.tobytes(): divmod(index, 9) for index, row in enumerate(windows.reshape(-1, 64))}
    seen = np.zeros(9, dtype=int)
    for x, y in batches:
        for row, label in zip(x.numpy(), y.numpy(), strict=True):
            image, shift = where[row.tobytes()]  # KeyError: no window of any image
            assert data.y_train[data.fit][image] == label
            seen[shift] += 1
    assert seen.min() > 60  # all nine of them, about equally often
    centre = batches.sample(50).numpy()
    np.testing.assert_allclose(centre, prepared(data, data.fit[:50]).numpy(), rtol=0, atol=1e-6)


def test_shift_needs_images() -> None:
    with pytest.raises(ConfigError, match=r"train\.augment 'shift' needs images, and 'wine' has none"):
        Batches(load(DataSettings("wine")), 8, "shift", 0)


def test_targets_of_a_regression_are_standardised(digits: Dataset) -> None:
    wine = load(DataSettings("wine"))
    host = replace(wine.host, task=type(wine.host.task).REGRESSION, classes=(), target_offset=1.0, target_scale=2.0)
    regression = replace(wine, host=host)
    y = targets(regression)
    assert y.shape == (len(wine.y_train), 1)
    assert torch.equal(y[:, 0], torch.from_numpy(((wine.y_train - 1.0) / 2.0).astype(np.float32)))
    assert targets(digits, test=True).dtype == torch.int64
