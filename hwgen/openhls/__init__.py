"""Open HLS: the C++ kernels themselves become RTL, with clang, LLVM and XLS from PyPI wheels; no vendor tool.

clang compiles the unchanged C++ (`_clang`), LLVM runs its constructors and makes it straight-line code (`_optimise`),
branches and memory become values (`_ifconvert`), intervals narrow every value (`_narrow`), and XLS schedules the result
into a pipeline (`_translate`, `_xls`). At every run the optimised code and XLS's function are compared with the
reference; the Verilog is co-simulated like that of any other engine. docs/openhls.md states the subset of C++.
"""

from __future__ import annotations

from hwgen.openhls._engine import generate
from hwgen.openhls._errors import Refused
from hwgen.openhls._verilog import OpenHlsDesign

__all__ = ["OpenHlsDesign", "Refused", "generate"]
