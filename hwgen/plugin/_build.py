"""`hls_model.build(engine="openhls")`: the project's own C++ to checked RTL without a vendor tool, reported as hls4ml does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymodel.errors import ConfigError, MismatchError, ModelError
from pymodel.ir import IntArray, KanIR
from pymodel.reference import Reference

__all__ = ["ENGINES", "build_openhls", "check_engine", "check_options", "program", "swap_in"]

#: What `build(engine=…)` knows; the first is hls4ml's own road and the default.
ENGINES = ("vitis", "openhls")
_OPENHLS_OPTIONS: Mapping[str, Any] = {
    "csim": True,
    "synth": True,
    "cosim": False,
    "vsynth": False,
    "vectors": 1000,
    "stages": 0,
    "seed": 0,
}


def check_engine(engine: object) -> None:
    """Check that `engine` is one that :meth:`VitisKANBackend.build` knows.

    Raises:
        ConfigError: if not.
    """
    if engine not in ENGINES:
        raise ConfigError(f"build() knows the engines {', '.join(ENGINES)}, not {engine!r}; choose one of them")


def check_options(engine: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an engine: its defaults, overridden by what was given.

    Raises:
        ConfigError: for an option that the engine lacks, a value of another type, or a negative number.
    """
    for name, value in given.items():
        if name not in defaults:
            raise ConfigError(
                f"build(engine={engine!r}) has the options {', '.join(defaults)}, not {name!r}; leave it out"
            )
        expected = type(defaults[name])
        if type(value) is not expected or (expected is int and value < 0):
            raise ConfigError(
                f"the option {name} of build(engine={engine!r}) must be of type {expected.__name__}"
                f"{' of at least 0' if expected is int else ''}, not {value!r}; correct it"
            )
    return {**defaults, **given}


def program(model: Any, engine: str) -> KanIR:
    """Return the integer program that the project of `model` implements.

    Raises:
        ModelError: if the model is not a chain of KAN layers alone, which only hls4ml's own road builds.
    """
    ir = getattr(model, "kan_ir", None)
    if not isinstance(ir, KanIR):
        raise ModelError(
            f"build(engine={engine!r}) needs a chain of KAN layers, but this model has other layers or branches; "
            "build it with engine='vitis'"
        )
    return ir


def swap_in(finished: Path, target: Path) -> None:
    """Put a finished folder in the place of `target`, whose earlier contents go."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(finished, target)


def _vectors(ir: KanIR, count: int, seed: int) -> IntArray:
    import numpy as np

    from hwgen.tables._vectors import default_vectors

    t = ir.input.out_type
    random = np.random.default_rng(seed).integers(t.min_int, t.max_int, (count, ir.input.n_out), endpoint=True)
    return np.concatenate([default_vectors(t, ir.input.n_out), random.astype(np.int64)])


def build_openhls(model: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Write `<project>/rtl/openhls/` and return the report; see :meth:`VitisKANBackend.build`.

    Raises:
        ConfigError, ModelError, ToolError, MismatchError, Refused: as :func:`hwgen.openhls.generate`, and if the
            co-simulation differs.
    """
    options = check_options("openhls", given, _OPENHLS_OPTIONS)
    for name in ("csim", "synth"):
        if not options[name]:
            raise ConfigError(
                f"build(engine='openhls') always checks the C++ and makes RTL, but {name}=False was given; leave it out"
            )
    ir = program(model, "openhls")
    from hwgen.openhls import generate, require_clang
    from hwgen.synth import estimate, require_yosys, yosys_family
    from sim.cosim import cosim
    from sim.signals import load_signals
    from sim.verilator import find_tools

    project, part = Path(model.config.get_output_dir()), str(model.config.get_config_value("Part"))
    clock_ns = float(model.config.get_config_value("ClockPeriod"))
    require_clang()
    if options["cosim"]:
        find_tools()
    if options["vsynth"]:
        require_yosys()
        yosys_family(part)
    X = _vectors(ir, options["vectors"], options["seed"])
    target = project / "rtl" / "openhls"
    with tempfile.TemporaryDirectory(prefix=".openhls-", dir=project) as name:
        folder = Path(name) / "openhls"
        design = generate(
            ir, folder, project=project, part=part, clock_ns=clock_ns, stages=options["stages"], vectors=X
        )
        signals = load_signals(folder)
        entry: dict[str, Any] = {
            "engine": signals.engine,
            "top": design.top,
            "stages": design.stages,
            "operations": design.operations,
            "multiplications": design.multiplications,
            "roms": design.roms,
            "rom_bits": design.rom_bits,
            "self_check_vectors": int(X.shape[0]),
            "seconds": dict(design.seconds),
            "folder": str(target),
        }
        # Text, as in hls4ml's other reports, which are cut out of the tools' files.
        report: dict[str, Any] = {
            "CSynthesisReport": {
                "TargetClockPeriod": f"{clock_ns:g}",
                "BestLatency": str(signals.latency),
                "WorstLatency": str(signals.latency),
                "IntervalMin": str(signals.beats),
                "IntervalMax": str(signals.beats),
            },
            "OpenHls": entry,
        }
        if options["cosim"]:
            result = cosim(folder, X, Reference(ir).run(X), seed=options["seed"])
            border = result.border("rtl_vs_reference.openhls")
            if not border.equal:
                raise MismatchError(f"{border.failure}; build the model again, or report the kernel")
            entry |= {"latency_cycles": result.latency, "ii": result.ii, "cosim_vectors": result.vectors}
            report["CosimReport"] = {
                "RTL": "Verilog",
                "Status": "Pass",
                "LatencyMin": str(result.latency),
                "LatencyMax": str(result.latency),
                "IntervalMin": str(result.ii),
                "IntervalMax": str(result.ii),
            }
        if options["vsynth"]:
            found = estimate(folder, part=part)
            report["YosysEstimate"] = {
                "LUT": str(found.lut),
                "FF": str(found.ff),
                "DSP": str(found.dsp),
                "BRAM_18K": str(found.bram),
            }
            entry |= {
                key: getattr(found, key)
                for key in ("lut", "lut_paired", "lut_paired_strict", "ff", "dsp", "bram", "carry")
            }
        swap_in(folder, target)
    return report
