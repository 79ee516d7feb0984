"""The sources of colour images: settings in, :class:`RawData` out, decoded at once or row by row (streamed)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pymodel.data._cifar import CIFAR_SHAPE, Labelled, read_cifar10, read_cifar100
from pymodel.data._dataset import RawData, Rows, pixel_names
from pymodel.data._folders import TINY_SIDE, LabelledFiles, read_image_folder, read_tiny_imagenet
from pymodel.data._stream import ImageStream
from pymodel.errors import DataError
from pymodel.settings import DataSettings

__all__ = ["IMAGE_READERS", "STREAM_BYTES", "keep_or_decode"]

#: Images of more bytes than this, decoded, are streamed unless `data.stream` says otherwise.
STREAM_BYTES = 1 << 30
#: What every decoder puts out, whatever the images hold.
_PIXEL_RANGE = (0.0, 255.0)


def keep_or_decode(rows: Rows, stream: bool | None) -> Rows:
    """Return a stream as it is if it is to stay one, else its rows as an array."""
    if not isinstance(rows, ImageStream):
        return rows
    large = rows.shape[0] * rows.shape[1] > STREAM_BYTES
    return rows if (large if stream is None else stream) else rows[:]


def _path(settings: DataSettings) -> Path:
    assert settings.path is not None
    return settings.path


def _cifar10(settings: DataSettings) -> RawData:
    train, test, classes = read_cifar10(_path(settings))
    return _raw(train, test, classes, CIFAR_SHAPE)


def _cifar100(settings: DataSettings) -> RawData:
    train, test, classes = read_cifar100(_path(settings), settings.label or "fine")
    return _raw(train, test, classes, CIFAR_SHAPE)


def _tiny_imagenet(settings: DataSettings) -> RawData:
    train, test, classes = read_tiny_imagenet(_path(settings), settings.size)
    side = settings.size or TINY_SIDE
    return _raw(train, test, classes, (side, side, 3))


def _imagenet(settings: DataSettings) -> RawData:
    assert settings.size is not None
    train, test, classes = read_image_folder(_path(settings), settings.size)
    return _raw(train, test, classes, (settings.size, settings.size, 3))


def _raw(
    train: Labelled | LabelledFiles,
    test: Labelled | LabelledFiles | None,
    classes: tuple[str, ...],
    image: tuple[int, int, int],
) -> RawData:
    absent = set(range(len(classes))) - set(np.unique(train.y).tolist())
    if absent:
        raise DataError(f"no training image shows the class {classes[min(absent)]!r}; fetch the training part again")
    features = int(np.prod(image))

    def rows(part: Labelled | LabelledFiles) -> Rows:
        return part.x if isinstance(part.x, np.ndarray) else ImageStream(part.x, features)

    other = None if test is None else (rows(test), test.y)
    return RawData(rows(train), train.y, pixel_names(image), classes, "label", image, other, _PIXEL_RANGE)


IMAGE_READERS: dict[str, Callable[[DataSettings], RawData]] = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "tiny_imagenet": _tiny_imagenet,
    "imagenet": _imagenet,
}
