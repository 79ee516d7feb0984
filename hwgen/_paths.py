"""Where the examples lie: inside the wheel, or beside `hwgen` in a checkout."""

from __future__ import annotations

from pathlib import Path

__all__ = ["examples_dir"]

_HERE = Path(__file__).resolve().parent


def examples_dir() -> Path:
    """Return the folder that holds the example configurations."""
    packaged = _HERE / "_examples"
    return packaged if packaged.is_dir() else _HERE.parent / "examples"
