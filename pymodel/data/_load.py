"""From settings to a :class:`Dataset`: read, cut to the rows asked for, split, and measured for the host's scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.data._dataset import Dataset, RawData, Rows
from pymodel.data._image_sources import keep_or_decode
from pymodel.data._scale import minmax_map, pixel_map, sigma_map, standard_map, target_map, threshold_map
from pymodel.data._sources import read_source
from pymodel.data._split import some_rows, split
from pymodel.data._stream import ImageStream, pixel_moments
from pymodel.errors import DataError
from pymodel.ir import HostSpec, IntArray, Task
from pymodel.settings import DataSettings

__all__ = ["MAX_HELD", "MIN_ROWS", "load"]

#: With fewer rows a split says nothing.
MIN_ROWS = 10
#: Numbers of test or validation rows that may be held at once: 1 GiB as 64-bit integers.
MAX_HELD = 1 << 27


def load(settings: DataSettings, input_range: tuple[float, float] = (-2.0, 2.0)) -> Dataset:
    """Read, split and measure the data set that `settings` describes.

    Args:
        settings: the source and the split.
        input_range: `[low, high]` onto which the host maps the features: the range of the model's grid.

    Returns:
        the data set; its scaling is computed from the training rows only (validation rows included).

    Raises:
        DataError: if the source cannot be read, has fewer than :data:`MIN_ROWS` rows, or does not fit the task.
    """
    raw = read_source(settings)
    classification = settings.task == "classification"
    rows = len(raw.y) + (len(raw.test[1]) if raw.test else 0)
    if rows < MIN_ROWS:
        raise DataError(
            f"data source {settings.source!r} has {rows} rows, but at least {MIN_ROWS} are needed; add data"
        )
    x_train, y_train, x_test, y_test = _parts(raw, settings)
    _, validation = split(y_train, settings.validation_fraction, settings.seed + 1, stratify=classification)
    _check_memory("validation_fraction", len(validation), raw, len(y_train))
    offset, scale = _host_map(raw, settings, x_train, input_range)
    if not scale.any():
        raise DataError(f"every feature of data source {settings.source!r} is constant; check the columns")
    as_it_is = classification or settings.scale == "none"
    target_offset, target_scale = (0.0, 1.0) if as_it_is else target_map(y_train)
    if target_scale == 0.0:
        raise DataError(f"the target {raw.target!r} is constant in the training rows; check the label column")
    host = HostSpec(
        task=Task.CLASSIFICATION if classification else Task.REGRESSION,
        features=raw.features,
        feature_offset=tuple(offset.tolist()),
        feature_scale=tuple(scale.tolist()),
        classes=raw.classes,
        target=raw.target,
        target_offset=target_offset,
        target_scale=target_scale,
    )
    return Dataset(
        settings.source, x_train, y_train, x_test, y_test, validation, host, raw.image, settings.threshold is not None
    )


def _parts(raw: RawData, settings: DataSettings) -> tuple[Rows, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return x_train, y_train, x_test and y_test: split if the source is in one piece, cut to the rows asked for."""
    stratify = settings.task == "classification"
    if raw.test is not None:
        kept, aside = np.arange(len(raw.y), dtype=np.int64), np.arange(len(raw.test[1]), dtype=np.int64)
        x_rest, y_rest = raw.test
    else:
        kept, aside = split(raw.y, settings.test_fraction, settings.seed, stratify=stratify)
        x_rest, y_rest = raw.x, raw.y
    if settings.train_rows is not None and settings.train_rows < len(kept):
        kept = kept[some_rows(raw.y[kept], settings.train_rows, settings.seed, stratify=stratify)]
    if settings.test_rows is not None and settings.test_rows < len(aside):
        aside = aside[some_rows(y_rest[aside], settings.test_rows, settings.seed, stratify=stratify)]
    _check_memory("test_rows", len(aside), raw, len(y_rest))
    x_train = _taken(raw.x, kept)
    x_train = keep_or_decode(x_train, settings.stream)
    return x_train, raw.y[kept], np.asarray(_taken(x_rest, aside)), y_rest[aside]


def _taken(x: Rows, rows: IntArray) -> Rows:
    if isinstance(x, ImageStream):
        return x.take(rows)
    return x if len(rows) == len(x) else x[rows]


def _check_memory(key: str, rows: int, raw: RawData, total: int) -> None:
    """Refuse parts that are held in memory as numbers, not as bytes, and do not fit."""
    most = MAX_HELD // len(raw.features)
    if rows > most:
        value = f"{most}" if key == "test_rows" else f"{0.99 * most / total:.2g}"
        raise DataError(
            f"{rows} rows of {len(raw.features)} features are to be held in memory as numbers, but at most {most} can be; "
            f"set data.{key} to {value} or less"
        )


def _host_map(
    raw: RawData, settings: DataSettings, x: Rows, input_range: tuple[float, float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return offset and scale, each (features,), of the host's scaling, from the training rows `x`."""
    low, high = input_range
    n = x.shape[1]
    image, limits = raw.image is not None, raw.pixel_range
    if settings.threshold is not None:
        # Where the format gives the span, two rows that have it stand for all.
        return threshold_map(np.asarray(x) if limits is None else np.outer(limits, np.ones(n)), settings.threshold)
    if settings.scale == "none":
        return np.zeros(n), np.ones(n)
    minmax = settings.scale == "minmax" or (settings.scale == "auto" and image)
    if limits is not None:
        return pixel_map(n, limits, low, high) if minmax else sigma_map(*pixel_moments(x), low, high)
    assert isinstance(x, np.ndarray)
    return minmax_map(x, low, high, image=image) if minmax else standard_map(x, low, high)
