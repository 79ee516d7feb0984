"""Rows in memory to verified hardware: the whole of kan4ml in one call."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwgen.config import Config, make_config
from hwgen.start._draft import available_tools
from hwgen.start._guess import Facts, guess
from pymodel.data import load
from pymodel.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from hwgen.flow import BuildResult

__all__ = ["build_arrays"]

#: Where the rows stand in the build.
_ROWS = "rows.npz"
_MAX_CLASSES = 20


def build_arrays(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    out: Path | str,
    *,
    task: str | None = None,
    overrides: Sequence[str] = (),
    console: Console | None = None,
) -> BuildResult:
    """Train a KAN on rows, make its hardware, verify it, and write the build folder `out`.

    What the configuration holds is guessed as by `kan4ml init`; the folder's `config.yaml` has it in full, and `rows.npz`
    beside it the rows, so that `kan4ml build` repeats the build.

    Args:
        X: (rows, features), or (rows, height, width) images; finite numbers.
        y: (rows,) class labels (integers or text) or targets (numbers).
        out: the build folder; an earlier build there stays whole until this one is complete.
        task: `classification` or `regression`; None takes text and few different integers for classes.
        overrides: `section.key=value` each, over what is guessed.
        console: where progress goes; None is silent.

    Returns:
        The folder and its report; Verilog is in `rtl/tables/` of the folder.

    Raises:
        DataError: if the rows cannot be used.
        MismatchError: if two stations differ.
        Kan4mlError: for other user errors; nothing is written.
    """
    from hwgen.flow import build

    rows, labels = _checked(X, y)
    with tempfile.TemporaryDirectory(prefix="kan4ml-rows-") as folder:
        path = Path(folder) / _ROWS
        np.savez_compressed(path, x=rows, y=labels)
        config = _config(path, task or _task(labels), overrides)
        return build(config, Path(out), console=console, keep_rows=True)


def _checked(X: npt.ArrayLike, y: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    try:
        rows, labels = np.asarray(X), np.asarray(y)
    except ValueError as error:
        raise DataError(f"X and y must be arrays ({error}); give every row the same number of features") from None
    if rows.dtype.kind not in "biuf" or rows.ndim < 2:
        raise DataError(f"X must be numbers of shape (rows, features), not {rows.dtype} of {rows.shape}; convert it")
    if labels.dtype == object and all(isinstance(label, str) for label in labels.ravel()):
        labels = labels.astype(np.str_)
    if labels.dtype.kind not in "biufU" or labels.shape != rows.shape[:1]:
        raise DataError(
            f"y must be a label or target for each of the {len(rows)} rows, not {labels.dtype} of {labels.shape}; convert it"
        )
    if rows.dtype.kind == "f":
        rows = rows.astype(np.float64)
    return rows, labels.astype(np.float64) if labels.dtype.kind == "f" else labels


def _task(labels: npt.NDArray[Any]) -> str:
    if labels.dtype.kind in "bU":
        return "classification"
    if labels.size == 0 or (labels.dtype.kind == "f" and (labels != np.floor(labels)).any()):
        return "regression"
    return "classification" if np.unique(labels).size <= _MAX_CLASSES else "regression"


def _config(path: Path, task: str, overrides: Sequence[str]) -> Config:
    document: dict[str, Any] = {"data": {"source": "npz", "path": str(path), "task": task}}
    first = make_config({**document, "model": {"widths": [1, 1]}}, Path()).data
    for item in guess(Facts.of(load(first)), **available_tools()):
        section, _, key = item.key.partition(".")
        document.setdefault(section, {})[key] = item.value
    return make_config(document, Path(), overrides)
