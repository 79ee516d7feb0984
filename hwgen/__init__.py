"""kan4ml's hardware generators: the hls4ml backend, the table RTL generator, estimates, reports and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwgen.start import build_arrays

__all__ = ["build_arrays"]


def __getattr__(name: str) -> Any:
    """Import what is public here when it is first asked for: `kan4ml --help` and hls4ml's plugin loader stay quick."""
    if name == "build_arrays":
        from hwgen.start import build_arrays

        return build_arrays
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
