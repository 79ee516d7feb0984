"""`kan4ml synth-cpp FILE --top NAME`: a C++ kernel of the user's own to Verilog, checked at every station, with a report."""

from __future__ import annotations

import re
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from hwgen._clock import StageClock
from hwgen._output import check_target, keep_failed, staged
from hwgen.config import check_chip
from hwgen.openhls._check import kernel_vectors, self_check
from hwgen.openhls._clang import Source, require_clang
from hwgen.openhls._csim import ap_types_folder, compile_csim, run_csim_kernel
from hwgen.openhls._kernel import Kernel, lower_kernel
from hwgen.openhls._pipeline import counted, make_pipeline
from hwgen.openhls._ports_file import load_ports
from hwgen.openhls._verilog import ENGINE, Shown, write_rtl
from hwgen.report import border_entry, save_report, tool_versions
from hwgen.synth import SynthEstimate, estimate, require_yosys, yosys_family
from pymodel._regular import check_regular
from pymodel.errors import ConfigError, MismatchError
from sim.cosim import cosim
from sim.csim import find_compiler
from sim.verilator import find_tools

__all__ = ["KERNEL_SCHEMA", "KernelResult", "build_kernel"]

#: `schema` of this report: there is no model, so it is not one of `kan4ml build`.
KERNEL_SCHEMA = "openhls/1"
_NODE = "kernel"
_SYNTH_KEYS = ("lut", "lut_paired", "lut_paired_strict", "ff", "dsp", "bram", "carry", "srl", "muxf", "depth")
_MAX_SOURCE_BYTES = 16 << 20
_DEFINE = re.compile(r"[A-Za-z_]\w*(=[\w.+-]*)?")


@dataclass(frozen=True)
class KernelResult:
    """The folder that was written, and its report."""

    folder: Path
    report: dict[str, Any]


def build_kernel(
    file: Path,
    top: str,
    target: Path,
    *,
    interface: Path | None = None,
    includes: tuple[Path, ...] = (),
    defines: tuple[str, ...] = (),
    part: str = "xcvu9p-flga2104-2L-e",
    clock_ns: float = 5.0,
    stages: int = 0,
    vectors: int = 10_000,
    synth: bool = True,
    console: Console | None = None,
) -> KernelResult:
    """Make RTL of a C++ function, compare it with g++'s simulation of the same file, and swap the result in as `target`.

    Args:
        file: the C++ file; it is compiled as it is.
        top: the function, as C++ names it (`top`, `ns::top<4>`).
        target: the output folder; an earlier one stays whole until the new one is complete.
        interface: a file that names, measures and directs the parameters where the signature does not.
        includes: folders for `#include`; hls4ml's `ap_types` come last.
        defines: `NAME` or `NAME=VALUE`.
        part: the FPGA, for the scripts and the estimate.
        clock_ns: the clock period, for the constraints.
        stages: pipeline stages; 0 chooses them by the depth of the logic.
        vectors: random vectors beside the corners.
        synth: estimate the resources with Yosys.
        console: where progress goes; None is silent.

    Raises:
        Refused: for C++ outside the subset.
        MismatchError: if two stations differ; RTL that does is kept beside `target`.
        Kan4mlError: for other user errors; nothing is written.
    """
    check_target(target)
    check_chip(part, clock_ns)
    clock = StageClock(console or Console(quiet=True))
    for define in defines:
        if not _DEFINE.fullmatch(define):
            raise ConfigError(f"a definition must be NAME or NAME=VALUE, not {define!r}; correct it")
    if not 0 <= stages <= 256:
        raise ConfigError(f"the number of pipeline stages must be 1 to 256 (or 0: automatic), not {stages}; change it")
    try:
        if check_regular(file) > _MAX_SOURCE_BYTES:
            raise ConfigError(f"{file} has more than {_MAX_SOURCE_BYTES >> 20} MiB; is it the right file?")
    except OSError as error:
        raise ConfigError(f"the C++ file {file} cannot be read ({error.strerror}); check its name") from None
    specs = None if interface is None else load_ports(interface)
    _check_tools(part, synth=synth)
    source = Source(file, (*includes, ap_types_folder()), defines)
    prefix = "k_" + re.sub(r"\W+", "_", top.rpartition("::")[2]).strip("_")
    with tempfile.TemporaryDirectory(prefix="kan4ml-openhls-") as name, staged(target) as work:
        scratch = Path(name)
        with clock.stage("lower", f"{top} compiled, optimised and flattened"):
            kernel = lower_kernel(source, top, scratch, specs)
        with clock.stage("xls", "pipeline scheduled (XLS)"):
            pipeline = make_pipeline(kernel, scratch, f"{prefix}_core", stages)
        X = kernel_vectors(kernel, vectors)
        with clock.stage("csim", "csim compiled and run (g++)"):
            Y = run_csim_kernel(compile_csim(source, top, scratch), kernel.call, X, scratch)
        with clock.stage("self_check", "optimised LLVM and XLS compared with csim"):
            checked = self_check(kernel, pipeline.package, scratch, X, {"csim": Y})
        folder = work / "rtl" / ENGINE
        latency, files = write_rtl(
            folder,
            kernel.interface,
            [pipeline],
            prefix=prefix,
            model=kernel.interface.top,
            shown=Shown("", (_NODE,)),
            part=part,
            clock_ns=clock_ns,
            X=X[:256],
            Y=Y[:256],
        )
        with clock.stage("cosim", "RTL co-simulated and compared"):
            result = cosim(folder, X, {_NODE: Y})
            border = result.border(f"rtl_vs_csim.{ENGINE}")
        found: SynthEstimate | None = None
        if synth and border.equal:
            with clock.stage("synth", "Yosys estimate"):
                found = estimate(folder, part=part)
        report = {
            "schema": KERNEL_SCHEMA,
            "name": top,
            "source": file.name,
            "part": part,
            "clock_ns": clock_ns,
            "interface": [asdict(replace(port)) for port in kernel.interface.ports],
            "stations": [*checked.stations, "RTL"],
            "vectors": {"total": X.shape[0], "random": vectors},
            "equivalence": {border.name: border_entry(border)},
            "hardware": {
                ENGINE: {
                    "latency_cycles": result.latency,
                    "ii": result.ii,
                    "stages": pipeline.stages,
                    **_counts(kernel, found),
                    "top": f"{prefix}_top",
                }
            },
            "seconds": clock.seconds,
            "versions": tool_versions(),
        }
        del latency, files
        save_report(report, work / "report.json")
        if not border.equal:
            kept = keep_failed(work, target)
            raise MismatchError(f"{border.failure}; the design is kept in {kept}")
    return KernelResult(target, report)


def _check_tools(part: str, *, synth: bool) -> None:
    require_clang()
    find_compiler()
    find_tools()
    if synth:
        require_yosys()
        yosys_family(part)


def _counts(kernel: Kernel, found: SynthEstimate | None) -> dict[str, Any]:
    return {
        **counted(kernel),
        **{key: None if found is None else getattr(found, key) for key in _SYNTH_KEYS},
    }
