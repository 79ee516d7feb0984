"""Data sets: embedded ones, CSV, IDX (MNIST) and npz, split with a seed, with the host's scaling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pymodel.data._csv import Columns, Table, read_columns, read_table
from pymodel.data._dataset import Dataset
from pymodel.data._scale import minmax_map, standard_map, target_map, threshold_map
from pymodel.data._sources import read_source
from pymodel.data._split import split
from pymodel.errors import DataError
from pymodel.ir import HostSpec, Task
from pymodel.settings import DataSettings

__all__ = ["MIN_ROWS", "Columns", "Dataset", "Table", "load", "read_columns", "read_rows", "read_table"]

#: With fewer rows a split says nothing.
MIN_ROWS = 10


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
    if raw.test is not None:
        x_train, y_train = raw.x, raw.y
        x_test, y_test = raw.test
    else:
        kept, aside = split(raw.y, settings.test_fraction, settings.seed, stratify=classification)
        x_train, y_train, x_test, y_test = raw.x[kept], raw.y[kept], raw.x[aside], raw.y[aside]
    _, validation = split(y_train, settings.validation_fraction, settings.seed + 1, stratify=classification)
    low, high = input_range
    if settings.threshold is not None:
        offset, scale = threshold_map(x_train, settings.threshold)
    elif settings.scale == "none":
        offset, scale = np.zeros(x_train.shape[1]), np.ones(x_train.shape[1])
    elif settings.scale == "minmax" or (settings.scale == "auto" and raw.image is not None):
        offset, scale = minmax_map(x_train, low, high, image=raw.image is not None)
    else:
        offset, scale = standard_map(x_train, low, high)
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


def read_rows(path: Path, features: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the columns `features` of the CSV file `path` as (rows, features), in that order, for prediction.

    Other columns, such as the label, are skipped; they need not be numeric.

    Raises:
        DataError: as :func:`read_table`.
    """
    return read_table(path, select=features).values
