"""Open HLS: the C++ kernels themselves become RTL, with clang, LLVM and XLS from PyPI wheels; no vendor tool.

clang compiles the unchanged C++ (`_clang`), LLVM runs its constructors and makes it straight-line code (`_optimise`),
branches and memory become values (`_ifconvert`), intervals narrow every value (`_narrow`), and XLS schedules the result
into a pipeline (`_translate`, `_xls`). At every run the optimised code and XLS's function are compared with the
reference; the Verilog is co-simulated like that of any other engine. docs/openhls.md states the subset of C++.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwgen.openhls._errors import Refused

if TYPE_CHECKING:
    from hwgen.openhls._clang import require_clang
    from hwgen.openhls._command import KernelResult, build_kernel
    from hwgen.openhls._engine import generate
    from hwgen.openhls._verilog import OpenHlsDesign

__all__ = ["KernelResult", "OpenHlsDesign", "Refused", "build_kernel", "generate", "require_clang"]

_PLACES = {
    "KernelResult": "_command",
    "build_kernel": "_command",
    "generate": "_engine",
    "OpenHlsDesign": "_verilog",
    "require_clang": "_clang",
}


def __getattr__(name: str) -> Any:
    """Import the rest when it is asked for: the worker processes need but a part."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
