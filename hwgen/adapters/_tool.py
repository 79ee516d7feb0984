"""Where the tools are: on PATH, or one sentence that says what to do."""

from __future__ import annotations

import shutil

from pymodel.errors import ToolError

__all__ = ["find_bambu", "find_vitis"]


def find_vitis() -> str:
    """Return `vitis-run` (2024.1 and later), or `vitis_hls` (before), whichever is on PATH.

    Raises:
        ToolError: if neither is.
    """
    for name in ("vitis-run", "vitis_hls"):
        if shutil.which(name) is not None:
            return name
    raise ToolError(
        "Vitis HLS was not found: neither vitis-run nor vitis_hls is on PATH; install Vitis and source its settings64.sh, "
        "or use build(engine='openhls')"
    )


def find_bambu() -> str:
    """Return `bambu`.

    Raises:
        ToolError: if it is not on PATH.
    """
    if shutil.which("bambu") is None:
        raise ToolError(
            "Bambu was not found: the program bambu is not on PATH; install PandA-bambu (its AppImage, renamed to bambu) "
            "and put it there, or use build(engine='openhls')"
        )
    return "bambu"
