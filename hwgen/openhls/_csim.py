"""The C++ simulation of a user's kernel: the unchanged file, compiled by g++, called row by row."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hwgen.openhls._clang import Source
from hwgen.openhls._jit import Call
from hwgen.openhls._job import run_csim_library
from pymodel.errors import ToolError
from pymodel.ir import IntArray
from sim.csim import find_compiler
from sim.process import run_tool, tool_environment

__all__ = ["ap_types_folder", "compile_csim", "run_csim_kernel"]

_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-fno-gnu-unique", "-w", "-shared")
_TIMEOUT = 600.0


def ap_types_folder() -> Path:
    """Return the folder of the `ap_types` headers that hls4ml ships.

    Raises:
        ToolError: if hls4ml is not installed.
    """
    spec = importlib.util.find_spec("hls4ml")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(place) / "templates" / "vivado" / "ap_types"
        if (folder / "ap_fixed.h").is_file():
            return folder
    raise ToolError("open HLS needs the ap_types headers of hls4ml 1.3, which are missing; pip install hls4ml")


def compile_csim(source: Source, top: str, folder: Path) -> Path:
    """Compile the file as it is to a shared library in `folder`, whose variable `kan4ml_top` points to the function.

    Raises:
        ToolError: if g++ is missing or rejects the file.
    """
    unit = folder / "csim.cpp"
    unit.write_text(
        f'#include "ap_int.h"\n#include "ap_fixed.h"\n#include "{source.file.resolve()}"\n'
        f'extern "C" {{ __attribute__((used)) void *kan4ml_top = (void *)static_cast<decltype(&{top})>(&{top}); }}\n',
        encoding="utf-8",
    )
    library = folder / "csim.so"
    command = [
        *(find_compiler()[0], *_FLAGS),
        *(f"-D{define}" for define in source.defines),
        *(f"-I{path.resolve()}" for path in (*source.includes, source.file.parent)),
        *(unit.name, "-o", library.name),
    ]
    try:
        run_tool(
            command,
            what="g++",
            cwd=folder,
            env=tool_environment(),
            timeout=_TIMEOUT,
            remedy=f"correct {source.file.name}",
        )
    except ToolError as error:
        line = next((text for text in str(error).splitlines() if "error:" in text), None)
        if line is None:
            raise
        raise ToolError(f"g++ cannot compile {source.file.name} ({line.strip()}); correct it") from None
    return library


def run_csim_kernel(library: Path, call: Call, X: IntArray, folder: Path) -> IntArray:
    """Run a library that :func:`compile_csim` made on every row of `X`, in a process of its own.

    Raises:
        ToolError: if the C++ crashes.
    """
    return run_csim_library(folder, library, call, X)
