"""Training rows as tensors in memory, shuffled by index: no worker processes, no copies but the batch itself.

Images that do not fit are decoded batch by batch, in threads, while the model trains on the batches before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pymodel.data import Dataset, ImageStream, crop_flip
from pymodel.errors import ConfigError
from pymodel.ir import IntArray, Task

__all__ = ["Batches", "prepared", "targets"]

#: Half-widths of the uniform affine maps: radians, and shares (of the image's sides for the shift).
_ANGLE, _SCALE, _SHEAR, _SHIFT = 0.08, 0.05, 0.05, 0.045
#: Images of more numbers than this stay bytes until a batch is taken: as float32 they would take 256 MiB.
_MOST_FLOATS = 1 << 26


def prepared(dataset: Dataset, indices: IntArray | None = None, *, test: bool = False) -> Tensor:
    """Return rows as the model sees them, float32 (rows, features).

    Args:
        dataset: the data.
        indices: which rows; None takes all.
        test: of the test part instead of the training part.
    """
    rows = dataset.x_test if test else dataset.x_train
    return torch.from_numpy(dataset.host.prepare(rows if indices is None else rows[indices]).astype(np.float32))


def targets(dataset: Dataset, indices: IntArray | None = None, *, test: bool = False) -> Tensor:
    """Return class indices int64 (rows,), or standardised targets float32 (rows, 1)."""
    y = dataset.y_test if test else dataset.y_train
    if indices is not None:
        y = y[indices]
    if dataset.task is Task.CLASSIFICATION:
        return torch.from_numpy(y.astype(np.int64))
    standard = (y - dataset.host.target_offset) / dataset.host.target_scale
    return torch.from_numpy(standard.astype(np.float32)).unsqueeze(1)


class Batches:
    """The training rows (without the validation rows), one epoch of shuffled batches at a time.

    Args:
        dataset: the data.
        batch_size: rows per batch; the last batch of an epoch may be smaller.
        augment: `shift` moves every image by -1, 0 or 1 pixel in each direction, at random in every epoch; the pixels
            that come in from outside are 0; `affine` draws a rotation, a scale, a shear and a shift per image;
            `crop_flip` is :func:`pymodel.data.crop_flip`.
        seed: of shuffling and augmentation.

    Raises:
        ConfigError: if `augment` is asked for rows that are no images.
    """

    def __init__(self, dataset: Dataset, batch_size: int, augment: str | None, seed: int) -> None:
        if augment is not None and dataset.image is None:
            raise ConfigError(f"train.augment {augment!r} needs images, and {dataset.name!r} has none; set it to null")
        self.batch_size = batch_size
        self._random = torch.Generator().manual_seed(seed)
        self._y = targets(dataset, dataset.fit)
        self._rows = len(self._y)
        self._stride = 0
        self._affine: tuple[int, int, int] | None = None
        self._lazy: _Lazy | None = None
        large = dataset.image is not None and self._rows * dataset.n_features > _MOST_FLOATS
        if large or isinstance(dataset.x_train, ImageStream) or augment == "crop_flip":
            if augment not in (None, "crop_flip"):
                raise ConfigError(
                    f"train.augment {augment!r} is for images that fit in memory many times over, not for {self._rows} "
                    f"rows of {dataset.name!r}; use crop_flip"
                )
            self._lazy = _Lazy(dataset, self._random if augment else None)
            return
        if augment is None or dataset.image is None:
            self._x = prepared(dataset, dataset.fit)
            return
        self._offset = torch.tensor(dataset.host.feature_offset, dtype=torch.float32)
        self._scale = torch.tensor(dataset.host.feature_scale, dtype=torch.float32)
        if augment == "affine":
            self._affine = dataset.image
            self._x = torch.from_numpy(np.ascontiguousarray(dataset.x_train[dataset.fit]))
            return
        # Raw pixels with a border of one, from which a batch takes shifted windows; scaled per batch.
        height, width, channels = dataset.image
        if channels != 1:
            raise ConfigError("train.augment 'shift' moves grey images only; use crop_flip or affine for colours")
        self._stride = width + 2
        images = dataset.x_train[dataset.fit].reshape(-1, height, width)
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
        self._x = torch.from_numpy(padded.reshape(len(images), -1))
        window = np.arange(height)[:, None] * self._stride + np.arange(width)
        self._window = torch.from_numpy(window.reshape(-1))

    @property
    def rows(self) -> int:
        """Rows per epoch."""
        return self._rows

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self._rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) batches of one epoch, in a new order each time."""
        order = torch.split(torch.randperm(self._rows, generator=self._random), self.batch_size)
        if self._lazy is not None:
            yield from ((x, self._y[rows]) for x, rows in zip(self._lazy.batches(order), order, strict=True))
            return
        for rows in order:
            yield self._take(rows), self._y[rows]

    def sample(self, rows: int) -> Tensor:
        """Return the first `rows` training rows, not augmented, for calibration: float32 (<= rows, features)."""
        if self._lazy is not None:
            return self._lazy.first(rows)
        if self._affine is not None:
            return self._scaled(self._x[:rows])
        if not self._stride:
            return self._x[:rows]
        return self._scaled(self._x[:rows][:, self._window + self._stride + 1])

    def state(self) -> Tensor:
        """Return the state of the generator that shuffles and augments."""
        return self._random.get_state()

    def restore(self, state: Tensor) -> None:
        """Go on from what :meth:`state` returned."""
        self._random.set_state(state)

    def _take(self, rows: Tensor) -> Tensor:
        if self._affine is not None:
            return self._scaled(self._moved(self._x[rows].to(torch.float32), self._affine))
        if not self._stride:
            return self._x[rows]
        corner = torch.randint(0, 3, (len(rows), 2), generator=self._random)
        start = corner[:, 0] * self._stride + corner[:, 1]
        return self._scaled(self._x[rows].gather(1, self._window + start[:, None]))

    def _moved(self, x: Tensor, image: tuple[int, int, int]) -> Tensor:
        """Return raw images (rows, pixels), each under its own affine map: bicubic, 0 outside."""
        n, (height, width, channels) = len(x), image

        def uniform(bound: float) -> Tensor:
            return (torch.rand(n, generator=self._random) * 2 - 1) * bound

        angle, shear = uniform(_ANGLE), uniform(_SHEAR)
        wide, high = 1 + uniform(_SCALE), 1 + uniform(_SCALE)
        right, down = uniform(2 * _SHIFT), uniform(2 * _SHIFT)
        cos, sin = torch.cos(angle), torch.sin(angle)
        rows = (torch.stack((cos * wide, shear - sin * high, right), 1), torch.stack((sin * wide, cos * high, down), 1))
        grid = functional.affine_grid(torch.stack(rows, 1), [n, channels, height, width], align_corners=False)
        planes = x.view(n, height, width, channels).permute(0, 3, 1, 2)
        moved = functional.grid_sample(planes, grid, mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
        return moved.reshape(n, -1).clamp_(min(0.0, float(x.min())), float(x.max()))

    def _scaled(self, raw: Tensor) -> Tensor:
        return (raw.to(torch.float32) - self._offset) * self._scale


class _Lazy:
    """Rows that stay bytes, or files, until a batch is taken.

    Args:
        dataset: the data.
        random: where the augmentation draws from; None leaves rows alone.
    """

    def __init__(self, dataset: Dataset, random: torch.Generator | None) -> None:
        self._dataset, self._random = dataset, random
        self._fit = dataset.fit

    def batches(self, order: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield prepared batches, float32 (rows, features); `order` holds the indices of each among the fitted rows."""
        x, parts = self._dataset.x_train, (self._fit[rows.numpy()] for rows in order)
        for raw in x.blocks(parts) if isinstance(x, ImageStream) else (x[part] for part in parts):
            yield self._finished(raw)

    def first(self, rows: int) -> Tensor:
        """Return the first prepared rows, not augmented."""
        return prepared(self._dataset, self._fit[:rows])

    def _finished(self, raw: npt.NDArray[Any]) -> Tensor:
        image = self._dataset.image
        if self._random is not None:
            assert image is not None
            raw = crop_flip(torch.from_numpy(raw), image, self._random).numpy()
        return torch.from_numpy(self._dataset.host.prepare(raw).astype(np.float32))
