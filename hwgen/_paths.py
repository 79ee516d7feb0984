"""Where the C++ headers and the examples lie: inside the wheel, or beside `hwgen` in a checkout.

They are found relative to this file, never through a namespace package: any folder called `hls` in the working directory
would join it and hide them.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["examples_dir", "headers_dir"]

_HERE = Path(__file__).resolve().parent


def _either(packaged: Path, checkout: Path) -> Path:
    return packaged if packaged.is_dir() else checkout


def headers_dir() -> Path:
    """Return the folder that holds `kan4ml/*.h`."""
    return _either(_HERE / "_hls", _HERE.parent / "hls")


def examples_dir() -> Path:
    """Return the folder that holds the example configurations."""
    return _either(_HERE / "_examples", _HERE.parent / "examples")
