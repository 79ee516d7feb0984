"""Seeded splits into training, validation and test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.ir import IntArray

__all__ = ["some_rows", "split"]


def split(y: npt.NDArray[Any], fraction: float, seed: int, *, stratify: bool) -> tuple[IntArray, IntArray]:
    """Return sorted indices (kept, set aside) with about `fraction` of the rows set aside.

    With `stratify`, each class gives its share, a class of two rows or more is in both parts, and a single row is
    kept. Without it (regression), the rows are drawn from all. The same arguments give the same split.

    Args:
        y: (rows,) class indices or targets.
        fraction: 0 … 1; 0 sets nothing aside.
        seed: of the permutation.
        stratify: true for classification.
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(y == label) for label in np.unique(y)] if stratify else [np.arange(len(y))]
    aside = []
    for rows in groups:
        shuffled = rng.permutation(rows)
        count = int(np.floor(fraction * len(rows) + 0.5))
        if fraction > 0:
            count = min(max(count, 1), len(rows) - 1)
        aside.append(shuffled[:count])
    test = np.sort(np.concatenate(aside)).astype(np.int64)
    return np.setdiff1d(np.arange(len(y)), test, assume_unique=True).astype(np.int64), test


def some_rows(y: npt.NDArray[Any], count: int, seed: int, *, stratify: bool) -> IntArray:
    """Return sorted indices of `count` rows; with `stratify`, every class gives its share, to a row.

    Args:
        y: (rows,) class indices or targets, at least `count`.
        count: how many.
        seed: of the permutation.
        stratify: true for classification.
    """
    order = np.random.default_rng(seed).permutation(len(y))
    if not stratify:
        return np.sort(order[:count]).astype(np.int64)
    share = np.empty(len(y))
    for label in np.unique(y):
        rows = order[y[order] == label]
        share[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.sort(order[np.argsort(share[order], kind="stable")[:count]]).astype(np.int64)
