"""The data set as the rest of kan4ml sees it: raw rows, their split, and what the host does to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.data._stream import ImageStream
from pymodel.errors import DataError
from pymodel.ir import HostSpec, IntArray, Task

__all__ = ["Dataset", "RawData", "Rows", "pixel_names"]

#: Raw features: float64, or uint8 for images, where eight times the memory would say nothing more; or a stream of images.
Rows = npt.NDArray[Any] | ImageStream
_COLOURS = ("red", "green", "blue")


def pixel_names(image: tuple[int, int, int]) -> tuple[str, ...]:
    """Return a name per number of an image (height, width, channels), channels last."""
    height, width, channels = image
    if channels == 1:
        return tuple(f"pixel_{row}_{column}" for row in range(height) for column in range(width))
    colours = _COLOURS if channels == len(_COLOURS) else tuple(map(str, range(channels)))
    return tuple(f"pixel_{r}_{c}_{colour}" for r in range(height) for c in range(width) for colour in colours)


@dataclass(frozen=True, eq=False)
class RawData:
    """What a source gives before it is split.

    Attributes:
        x: (rows, features).
        y: (rows,) class indices int64, or targets float64.
        features: one name per column.
        classes: labels in the order of the indices; empty for a regression.
        target: name of the label column.
        image: (height, width, channels) if the features are the pixels of an image, row by row, channels last.
        test: (x, y) of the source's own test part, if it has one.
        pixel_range: the smallest and the largest value that a pixel can have, where the format says it.
    """

    x: Rows
    y: npt.NDArray[Any]
    features: tuple[str, ...]
    classes: tuple[str, ...] = ()
    target: str = ""
    image: tuple[int, int, int] | None = None
    test: tuple[Rows, npt.NDArray[Any]] | None = None
    pixel_range: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows for training and test, and the host's part of the model.

    Attributes:
        name: of the source, for reports.
        x_train: (rows, features), float64, or uint8 for images, which may be a stream; raw, :meth:`HostSpec.prepare`
            scales them.
        x_test: likewise, always an array.
        y_train, y_test: (rows,) class indices int64, or targets float64 in their own unit.
        validation: sorted indices of the training rows that are not trained on but choose the best epoch.
        host: column names, scaling into the model's range, class labels, scaling of the target.
        image: (height, width, channels) if the features are pixels, channels last.
        binary: whether the host maps a threshold to 1/2, for inputs of one bit.
    """

    name: str
    x_train: Rows
    y_train: npt.NDArray[Any]
    x_test: npt.NDArray[Any]
    y_test: npt.NDArray[Any]
    validation: IntArray
    host: HostSpec
    image: tuple[int, int, int] | None = None
    binary: bool = False

    def __post_init__(self) -> None:
        for part in (self.x_train, self.y_train, self.x_test, self.y_test, self.validation):
            part.setflags(write=False)

    @property
    def task(self) -> Task:
        """Classification or regression."""
        return self.host.task

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.host.features

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels in the order of the class indices; empty for a regression."""
        return self.host.classes

    @property
    def n_features(self) -> int:
        """Columns, the first width of a model."""
        return len(self.host.features)

    @property
    def n_outputs(self) -> int:
        """Classes, or 1 for a regression: the last width of a model."""
        return len(self.host.classes) or 1

    @property
    def fit(self) -> IntArray:
        """Sorted indices of the training rows that are trained on: all but :attr:`validation`."""
        keep = np.ones(len(self.y_train), dtype=np.bool_)
        keep[self.validation] = False
        return np.flatnonzero(keep).astype(np.int64)


def encode_labels(labels: npt.NDArray[Any], what: str) -> tuple[IntArray, tuple[str, ...]]:
    """Return (indices, classes) of class labels: integers in numeric order, others as text in alphabetical order.

    Args:
        labels: (rows,) integers or text.
        what: the place to name in the message.

    Raises:
        DataError: if there is one class only, or nearly as many classes as rows.
    """
    values, indices = np.unique(labels, return_inverse=True)
    names = [str(value) for value in values]
    if all(_is_integer(name) for name in names):  # "10" comes after "9"
        order = np.array(sorted(range(len(names)), key=lambda index: (int(names[index]), names[index])))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        indices, names = rank[indices], [names[index] for index in order]
    if len(names) < 2:
        raise DataError(
            f"{what} holds the single class {names[0]!r}; at least two are needed, so check the label column"
        )
    if len(names) > 1000 or (len(names) > 20 and 2 * len(names) > len(labels)):
        raise DataError(
            f"{what} holds {len(names)} different labels in {len(labels)} rows, too many for classes; "
            "set data.task to regression or name another label"
        )
    return np.asarray(indices, dtype=np.int64).reshape(-1), tuple(names)


def _is_integer(name: str) -> bool:
    return name.removeprefix("-").isdecimal() and len(name) <= 100  # int() refuses thousands of digits
