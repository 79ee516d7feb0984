"""Rows of images that are decoded when they are read: the memory is that of a few batches, whatever the data set's size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pymodel.data._decode import Pixels
from pymodel.ir import IntArray

__all__ = ["BLOCK_ROWS", "ImageStream", "Images", "blocks_of", "pixel_moments"]

#: Rows that a thread decodes at once, and that a pass over all rows holds at once.
BLOCK_ROWS = 256
#: Blocks decoded ahead of the one that is read.
_AHEAD = 2
_MAX_THREADS = 16


class Images(Protocol):
    """Where single images come from; read from several threads."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, index: int, /) -> Pixels:
        """Return image number `index`, (height, width, channels)."""
        ...


class ImageStream:
    """Looks like a uint8 array (rows, features) that can be indexed by rows; every read decodes anew, in threads.

    The order of what is returned never depends on the threads.

    Args:
        images: the source.
        features: numbers per image.
        rows: which images, in order; None takes all.
    """

    dtype = np.dtype(np.uint8)
    ndim = 2

    def __init__(self, images: Images, features: int, rows: IntArray | None = None) -> None:
        self._images = images
        self._rows = np.arange(len(images), dtype=np.int64) if rows is None else rows
        self._features = features

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, features)."""
        return len(self._rows), self._features

    def setflags(self, *, write: bool) -> None:
        """Do nothing: there is nothing to write to."""

    def take(self, rows: IntArray) -> ImageStream:
        """Return the stream of some rows; nothing is decoded."""
        return ImageStream(self._images, self._features, self._rows[rows])

    def __getitem__(self, rows: slice | IntArray) -> Pixels:
        """Return the rows, uint8 (n, features).

        Raises:
            DataError: if an image cannot be decoded.
        """
        chosen = self._rows[rows]
        result = np.empty((len(chosen), self._features), dtype=np.uint8)
        place = 0
        for block in self._decoded(_parts(chosen, max(1, BLOCK_ROWS // 8)), ahead=_MAX_THREADS):
            result[place : place + len(block)] = block
            place += len(block)
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def blocks(self, parts: Iterable[IntArray]) -> Iterator[Pixels]:
        """Yield the rows of every part, while the next ones are being decoded; as :meth:`__getitem__` otherwise."""
        return self._decoded((self._rows[part] for part in parts), ahead=_AHEAD)

    def _decoded(self, parts: Iterable[IntArray], ahead: int) -> Iterator[Pixels]:
        threads = min(_MAX_THREADS, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[Pixels]] = deque()
            try:
                for part in parts:
                    waiting.append(pool.submit(self._decode, part))
                    if len(waiting) > ahead:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _decode(self, rows: IntArray) -> Pixels:
        return np.stack([self._images[int(row)].reshape(-1) for row in rows])


def _parts(rows: IntArray, size: int) -> Iterator[IntArray]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def blocks_of(x: npt.NDArray[Any] | ImageStream) -> Iterator[npt.NDArray[Any]]:
    """Yield all rows of an array or stream in blocks, in order."""
    if isinstance(x, ImageStream):
        yield from x.blocks(_parts(np.arange(len(x), dtype=np.int64), BLOCK_ROWS))
        return
    for start in range(0, len(x), BLOCK_ROWS):
        yield x[start : start + BLOCK_ROWS]


def pixel_moments(
    x: npt.NDArray[np.uint8] | ImageStream,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and standard deviation of every column, from exact integer sums in one pass."""
    n, features = x.shape
    total, squares = np.zeros(features, dtype=np.int64), np.zeros(features, dtype=np.int64)
    for block in blocks_of(x):
        values = block.astype(np.int64)
        total += values.sum(axis=0)
        squares += (values * values).sum(axis=0)
    # n^2 times the variance, an integer below 2^63 up to 11 million rows.
    spread = (n * squares - total * total).astype(np.float64)
    return total / n, np.sqrt(spread) / n
