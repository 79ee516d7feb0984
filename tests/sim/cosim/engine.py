"""The hand-written engine of this folder, its reference in numpy, and ways to break it."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
RTL = Path(__file__).parent / "rtl"


def every_input() -> IntArray:
    """All 4,096 inputs of the engine, shuffled: (4096, 3)."""
    X = np.array(list(itertools.product(range(-8, 8), repeat=3)), dtype=np.int64)
    return np.random.default_rng(7).permutation(X)


def reference(X: IntArray) -> dict[str, IntArray]:
    """The engine's nodes."""
    x0, x1, x2 = X.T
    hidden = np.stack([np.maximum(x0, 0) + abs(x1), (x1 + x2 + 16) >> 1, (x0 & 15) ^ (x2 & 15)], axis=1)
    y = np.stack([hidden[:, 0] - hidden[:, 1], 3 * hidden[:, 2] - hidden[:, 0] - 7], axis=1)
    return {"x": X, "hidden": hidden, "parity": hidden[:, :1] & 1, "y": y}


def copy_engine(
    folder: Path,
    *,
    replace: dict[str, list[tuple[str, str]]] | None = None,
    edit: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Copy the engine to `folder`; replace texts (each must occur exactly once) per file, and edit `signals.json`."""
    shutil.copytree(RTL, folder)
    for name, pairs in (replace or {}).items():
        path = folder / name
        text = path.read_text()
        for old, new in pairs:
            assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {name}"
            text = text.replace(old, new)
        path.write_text(text)
    if edit is not None:
        path = folder / "signals.json"
        data = json.loads(path.read_text())
        edit(data)
        path.write_text(json.dumps(data))
    return folder
