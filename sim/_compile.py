"""Compiles the C++ of an hls4ml project to a shared library, one compiler process per translation unit.

The library's name holds a hash of everything that it is made from, so that an edited file gives another library, an
unchanged project is not compiled twice, and a stale library cannot be picked up.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from pymodel.errors import ToolError

__all__ = ["compile_project", "default_threads", "find_compiler"]

#: The C++ that is simulated is the C++ that Vitis is given, in the standard that hls4ml's Tcl asks for.
FLAGS = ("-std=c++11", "-O2", "-fPIC", "-fno-gnu-unique", "-pthread", "-w")
#: What a library for speed adds: the same bits from native sums, see `hls/kan4ml/sums.h`.
NATIVE_FLAGS = ("-O3", "-DKAN4ML_NATIVE_SUMS")
#: Below the project folder; hls4ml's own `build_lib.sh` uses `firmware/`, which holds sources only here.
LIBRARY_DIR = "csim"


def default_threads() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def find_compiler() -> tuple[str, str]:
    """Return path and version of the C++ compiler: the environment variable CXX, or g++.

    Raises:
        ToolError: if it is not installed.
    """
    name = os.environ.get("CXX") or "g++"
    path = shutil.which(name)
    if path is None:
        raise ToolError(f"the C++ compiler {name!r} was not found; install g++, or name a compiler in CXX")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return path, version


def _project_name(project: Path) -> str:
    bridges = sorted(project.glob("*_bridge.cpp"))
    if len(bridges) != 1 or not (project / "firmware").is_dir():
        raise ToolError(
            f"{project} is no hls4ml project: one file *_bridge.cpp and a folder firmware were expected; build the "
            "model again"
        )
    return bridges[0].name.removesuffix("_bridge.cpp")


def _sources(project: Path, name: str) -> list[Path]:
    """Return every file that the library is made from, sorted by path."""
    suffixes = {".c", ".cpp", ".h", ".hpp", ".txt"}
    inner = [path for path in (project / "firmware").rglob("*") if path.suffix in suffixes and path.is_file()]
    return sorted([*inner, project / f"{name}_bridge.cpp"])


def _flags(project: Path, *, native_sums: bool) -> list[str]:
    flags = [*FLAGS, *(NATIVE_FLAGS if native_sums else ()), "-Ifirmware/ap_types"]
    if any((project / "firmware" / "weights").glob("*.txt")):
        # hls4ml's own layers read their weights at run time, from an absolute path.
        flags.append(f'-DWEIGHTS_DIR="{project.resolve() / "firmware" / "weights"}"')
    else:
        flags.append('-DWEIGHTS_DIR=""')
    if "<stdfloat>" in (project / "firmware" / "defines.h").read_text(encoding="utf-8"):
        flags[0] = "-std=c++23"
    return flags


def _digest(project: Path, sources: Sequence[Path], flags: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for text in (*find_compiler(), *flags):
        digest.update(text.encode() + b"\0")
    for path in sources:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(project).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _run(project: Path, arguments: Sequence[str], what: str) -> None:
    result = subprocess.run([find_compiler()[0], *arguments], cwd=project, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = result.stderr.splitlines()
        first = next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
        raise ToolError(
            f"the C++ compiler failed on {what}: {first.strip()}; correct the file or build the model again"
        )


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@cache
def _temporary() -> Path:
    """Return a folder that is removed when the process ends, for projects in places that cannot be written."""
    folder = Path(tempfile.mkdtemp(prefix="kan4ml-csim-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def compile_project(project: Path, cache_dir: Path | None = None, *, native_sums: bool = False) -> Path:
    """Return the shared library of the hls4ml project in `project`, compiled from its files as they are now.

    Args:
        project: the project folder.
        cache_dir: where the library goes; by default `csim/` in the project, or a temporary folder if that cannot be
            written. Older libraries of the project in that folder are removed.
        native_sums: see :func:`sim.csim.build_csim`; both libraries of a project may lie side by side.

    Raises:
        ToolError: if the folder holds no project, or the compiler is missing or fails.
    """
    project = Path(project)
    name = _project_name(project)
    sources, flags = _sources(project, name), _flags(project, native_sums=native_sums)
    stem = f"native-{name}" if native_sums else name
    folder = cache_dir or project / LIBRARY_DIR
    if not _writable(folder):
        if cache_dir is not None:
            raise ToolError(f"the folder {cache_dir} cannot be written; give another one for compiled simulations")
        folder = _temporary()
    library = folder.resolve() / f"{stem}-{_digest(project, sources, flags)}.so"
    if library.is_file():
        return library
    units = [f"firmware/{path.name}" for path in sorted((project / "firmware").glob("*.cpp"))] + [f"{name}_bridge.cpp"]
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as scratch:
        objects = [str(Path(scratch).resolve() / f"{index}.o") for index in range(len(units))]
        with ThreadPoolExecutor(max_workers=default_threads()) as pool:
            jobs = [
                pool.submit(_run, project, [*flags, "-c", unit, "-o", output], unit)
                for unit, output in zip(units, objects, strict=True)
            ]
            for job in jobs:
                job.result()
        linked = Path(scratch).resolve() / "library.so"
        _run(project, ["-shared", "-pthread", *objects, "-o", str(linked)], "the shared library")
        linked.replace(library)
    for old in folder.resolve().glob(f"{stem}-*.so"):
        if old != library:
            old.unlink(missing_ok=True)
    return library
