"""Data sets: embedded ones, CSV, IDX (MNIST), npz, CIFAR and image folders, split with a seed, with the host's scaling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pymodel.data._augment import crop_flip, crop_padding
from pymodel.data._csv import Columns, Table, read_columns, read_table
from pymodel.data._dataset import Dataset
from pymodel.data._load import MIN_ROWS, load
from pymodel.data._stream import ImageStream

__all__ = [
    "MIN_ROWS",
    "Columns",
    "Dataset",
    "ImageStream",
    "Table",
    "crop_flip",
    "crop_padding",
    "load",
    "read_columns",
    "read_rows",
    "read_table",
]


def read_rows(path: Path, features: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the columns `features` of the CSV file `path` as (rows, features), in that order, for prediction.

    Other columns, such as the label, are skipped; they need not be numeric.

    Raises:
        DataError: as :func:`read_table`.
    """
    return read_table(path, select=features).values
