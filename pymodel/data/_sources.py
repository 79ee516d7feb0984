"""One function per source of data: settings in, :class:`RawData` out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.data._csv import read_table
from pymodel.data._dataset import RawData, encode_labels, pixel_names
from pymodel.data._idx import MNIST_FILES, mnist_file, read_idx
from pymodel.data._image_sources import IMAGE_READERS
from pymodel.data._npz import read_npz
from pymodel.errors import DataError
from pymodel.settings import DataSettings

__all__ = ["MOONS_NOISE", "MOONS_ROWS", "read_source"]

#: The moons are drawn anew from `data.seed`.
MOONS_ROWS = 2000
MOONS_NOISE = 0.2
_Rows = npt.NDArray[Any]
_Labels = npt.NDArray[Any]


def read_source(settings: DataSettings) -> RawData:
    """Read the source that `settings` names.

    Raises:
        DataError: if it cannot be read or does not fit the task.
    """
    readers = {"csv": _csv, "idx": _idx, "mnist": _mnist, "npz": _npz, "digits": _digits, "moons": _moons}
    readers |= IMAGE_READERS
    return readers.get(settings.source, _bunch)(settings)


def _digits(_: DataSettings) -> RawData:
    from sklearn.datasets import load_digits  # takes a second: only where it is needed

    data = load_digits()
    names = tuple(str(name) for name in data.target_names)
    return RawData(
        data.data.astype(np.uint8), data.target.astype(np.int64), pixel_names((8, 8, 1)), names, "digit", (8, 8, 1)
    )


def _moons(settings: DataSettings) -> RawData:
    from sklearn.datasets import make_moons

    x, y = make_moons(n_samples=MOONS_ROWS, noise=MOONS_NOISE, random_state=settings.seed)
    return RawData(x, y.astype(np.int64), ("x", "y"), ("upper", "lower"), "moon")


def _bunch(settings: DataSettings) -> RawData:
    from sklearn import datasets

    data = {"wine": datasets.load_wine, "breast_cancer": datasets.load_breast_cancer}[settings.source]()
    features = tuple(str(name) for name in data.feature_names)
    names = tuple(str(name) for name in data.target_names)
    return RawData(np.asarray(data.data, dtype=np.float64), data.target.astype(np.int64), features, names, "class")


def _csv(settings: DataSettings) -> RawData:
    path, label = settings.path, settings.label
    assert path is not None
    assert label is not None
    if settings.task == "regression":
        table = read_table(path)
        if label not in table.columns:
            read_table(path, text=label)  # says that the column is absent
        index = table.columns.index(label)
        features = table.columns[:index] + table.columns[index + 1 :]
        if not features:
            raise DataError(f"{path} has no column besides {label!r}; features were expected, so check the delimiter")
        return RawData(np.delete(table.values, index, axis=1), table.values[:, index].copy(), features, (), label)
    table = read_table(path, text=label)
    y, classes = encode_labels(np.array(table.texts), f"column {label!r} of {path}")
    return RawData(table.values, y, table.columns, classes, label)


def _idx(settings: DataSettings) -> RawData:
    assert settings.path is not None
    assert settings.labels is not None
    x, y = read_idx(settings.path), read_idx(settings.labels)
    test = None
    if settings.test_path is not None and settings.test_labels is not None:
        test = read_idx(settings.test_path), read_idx(settings.test_labels)
    return _arrays(f"the IDX pair {settings.path}", settings, x, y, test)


def _mnist(settings: DataSettings) -> RawData:
    assert settings.path is not None
    x, y, x_test, y_test = (read_idx(mnist_file(settings.path, name)) for name in MNIST_FILES)
    return _arrays(f"MNIST in {settings.path}", settings, x, y, (x_test, y_test))


def _npz(settings: DataSettings) -> RawData:
    assert settings.path is not None
    arrays = read_npz(settings.path)
    if "x" in arrays:
        return _arrays(str(settings.path), settings, arrays["x"], arrays["y"], None)
    test = arrays["x_test"], arrays["y_test"]
    return _arrays(str(settings.path), settings, arrays["x_train"], arrays["y_train"], test)


def _arrays(what: str, settings: DataSettings, x: _Rows, y: _Labels, test: tuple[_Rows, _Labels] | None) -> RawData:
    """Check and flatten arrays of images (rows, height, width) or (…, channels), or rows (rows, features)."""
    parts = [(x, y), *([test] if test is not None else [])]
    for rows, labels in parts:
        if rows.ndim < 2 or rows.dtype.kind not in "biuf" or rows.size == 0:
            raise DataError(f"{what}: numeric rows of rank 2 or more were expected, not {rows.dtype} of {rows.shape}")
        if labels.shape != rows.shape[:1]:
            raise DataError(
                f"{what}: {len(rows)} rows need one label each, not an array of {labels.shape}; pair the files"
            )
        if rows.shape[1:] != x.shape[1:]:
            raise DataError(f"{what}: test rows of shape {rows.shape[1:]} do not fit training rows of {x.shape[1:]}")
        if rows.dtype.kind == "f" and not np.isfinite(rows).all():
            raise DataError(f"{what}: found NaN or infinity among the features; clean the data first")
    image = None
    if x.ndim in (3, 4):
        image = int(x.shape[1]), int(x.shape[2]), int(x.shape[3]) if x.ndim == 4 else 1
    features = pixel_names(image) if image else tuple(f"x{index}" for index in range(int(np.prod(x.shape[1:]))))
    flat = [rows.reshape(len(rows), -1) for rows, _ in parts]
    flat = [rows if rows.dtype == np.uint8 else rows.astype(np.float64) for rows in flat]
    if settings.task == "regression":
        if any(labels.dtype.kind not in "iuf" or not np.isfinite(labels).all() for _, labels in parts):
            raise DataError(f"{what}: finite numbers were expected as targets of a regression, not {y.dtype}")
        targets = [labels.astype(np.float64) for _, labels in parts]
        return RawData(flat[0], targets[0], features, (), "y", image, (flat[1], targets[1]) if test else None)
    whole = [labels for _, labels in parts]
    if any(labels.dtype.kind == "f" and (labels != np.floor(labels)).any() for labels in whole):
        raise DataError(f"{what}: class labels must be integers or text, not fractions; set data.task to regression")
    whole = [labels.astype(np.int64) if labels.dtype.kind in "biuf" else labels.astype(np.str_) for labels in whole]
    y_all, classes = encode_labels(np.concatenate(whole), what)
    absent = [name for index, name in enumerate(classes) if not (y_all[: len(y)] == index).any()]
    if absent:
        raise DataError(f"{what}: class {absent[0]!r} is in the test part but not in the training part; split it anew")
    return RawData(
        flat[0], y_all[: len(y)], features, classes, "label", image, (flat[1], y_all[len(y) :]) if test else None
    )
