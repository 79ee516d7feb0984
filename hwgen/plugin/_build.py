"""`hls_model.build(engine=…)`: the project's own C++ to checked RTL with another tool, reported as hls4ml does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pymodel.errors import ConfigError, MismatchError, ModelError
from pymodel.ir import IntArray, KanIR
from pymodel.reference import Reference

__all__ = ["ENGINES", "build_with"]

#: What `build(engine=…)` knows; the first is hls4ml's own road and the default.
ENGINES = ("vitis", "openhls", "vitis_hls", "bambu")
_COMMON: Mapping[str, Any] = {"cosim": False, "vsynth": False, "vectors": 1000, "seed": 0}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "openhls": {**_COMMON, "stages": 0},
    "vitis_hls": _COMMON,
    "bambu": {**_COMMON, "device": ""},
}
_ALWAYS = ("csim", "synth")
_ESTIMATED = ("lut", "lut_paired", "lut_paired_strict", "ff", "dsp", "bram", "carry")


def build_with(model: Any, engine: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Write `<project>/rtl/<engine>/` with an engine other than `vitis` and return the report.

    See :meth:`hwgen.plugin._backend.VitisKANBackend.build`.

    Raises:
        ConfigError: for an unknown engine or option.
        ModelError: if the model is not a chain of KAN layers alone, which only hls4ml's own road builds.
        ToolError: if a tool is missing or fails.
        MismatchError: if two stations differ.
    """
    if engine not in _OPTIONS:
        raise ConfigError(f"build() knows the engines {', '.join(ENGINES)}, not {engine!r}; choose one of them")
    options = _options(engine, given)
    ir = getattr(model, "kan_ir", None)
    if not isinstance(ir, KanIR):
        raise ModelError(
            f"build(engine={engine!r}) needs a chain of KAN layers, but this model has other layers or branches; "
            "build it with engine='vitis'"
        )
    if model.config.get_config_value("IOType") != "io_parallel":
        raise ModelError(
            f"build(engine={engine!r}) reads arrays, but this model was converted with io_stream; convert it with "
            "io_parallel, or build it with engine='vitis'"
        )
    project, part = Path(model.config.get_output_dir()), str(model.config.get_config_value("Part"))
    clock_ns = float(model.config.get_config_value("ClockPeriod"))
    _check_tools(options, part)
    X = _vectors(ir, options["vectors"], options["seed"])
    target = project / "rtl" / engine
    with tempfile.TemporaryDirectory(prefix=f".{engine}-", dir=project) as name:
        folder = Path(name) / engine
        if engine == "openhls":
            report, entry = _openhls(ir, folder, project, part, clock_ns, options["stages"], X)
        else:
            report, entry = _adapter(ir, folder, engine, project, part, clock_ns, options.get("device", ""))
        entry["folder"] = str(target)
        if options["cosim"]:
            _add_cosim(report, entry, folder, ir, X, options["seed"])
        if options["vsynth"]:
            _add_estimate(report, entry, folder, part)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(folder, target)
    return report


def _options(engine: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an engine: its defaults, overridden by what was given.

    Raises:
        ConfigError: for an option that the engine lacks, a value of another type, a negative number, or a step of every
            run that shall be left out.
    """
    defaults = _OPTIONS[engine]
    for name, value in given.items():
        if name in _ALWAYS:
            if value is not True:
                raise ConfigError(
                    f"build(engine={engine!r}) always reads the C++ and makes RTL, but {name}={value!r} was given; "
                    "leave it out"
                )
            continue
        if name not in defaults:
            raise ConfigError(
                f"build(engine={engine!r}) has the options {', '.join(defaults)}, not {name!r}; leave it out"
            )
        expected = type(defaults[name])
        if type(value) is not expected or (expected is int and value < 0):
            raise ConfigError(
                f"the option {name} of build(engine={engine!r}) must be of type {expected.__name__}"
                f"{' and at least 0' if expected is int else ''}, not {value!r}; correct it"
            )
    return {**defaults, **{name: value for name, value in given.items() if name in defaults}}


def _check_tools(options: Mapping[str, Any], part: str) -> None:
    """Check, before minutes of synthesis, that what the later steps need is there."""
    from hwgen.synth import require_yosys, yosys_family
    from sim.verilator import find_tools

    if options["cosim"]:
        find_tools()
    if options["vsynth"]:
        require_yosys()
        yosys_family(part)


def _vectors(ir: KanIR, count: int, seed: int) -> IntArray:
    from hwgen.tables._vectors import default_vectors

    t = ir.input.out_type
    random = np.random.default_rng(seed).integers(t.min_int, t.max_int, (count, ir.input.n_out), endpoint=True)
    return np.concatenate([default_vectors(t, ir.input.n_out), random.astype(np.int64)])


_Reports = tuple[dict[str, Any], dict[str, Any]]


def _openhls(ir: KanIR, folder: Path, project: Path, part: str, clock_ns: float, stages: int, X: IntArray) -> _Reports:
    from hwgen.openhls import generate, require_clang
    from sim.signals import load_signals

    require_clang()
    design = generate(ir, folder, project=project, part=part, clock_ns=clock_ns, stages=stages, vectors=X)
    signals = load_signals(folder)
    keys = ("top", "stages", "operations", "multiplications", "roms", "rom_bits")
    entry: dict[str, Any] = {
        "engine": signals.engine,
        **{key: getattr(design, key) for key in keys},
        "self_check_vectors": int(X.shape[0]),
        "seconds": dict(design.seconds),
    }
    # Text, as in hls4ml's other reports, which are cut out of the tools' files.
    synthesis = {"TargetClockPeriod": f"{clock_ns:g}"}
    if signals.beats == 1:  # what a stream needs for a sample is only known when it was simulated
        synthesis |= {"BestLatency": str(signals.latency), "WorstLatency": str(signals.latency)}
        synthesis |= {"IntervalMin": "1", "IntervalMax": "1"}
    return {"CSynthesisReport": synthesis, "OpenHls": entry}, entry


def _adapter(ir: KanIR, folder: Path, engine: str, project: Path, part: str, clock_ns: float, device: str) -> _Reports:
    from hwgen.adapters import generate

    tool = engine.removesuffix("_hls")
    design = generate(ir, folder, tool=tool, project=project, part=part, clock_ns=clock_ns, device=device)
    entry: dict[str, Any] = {
        "engine": tool,
        "top": design.top,
        "command": list(design.command),
        "estimates": design.report.entry(),
    }
    return {"CSynthesisReport": design.report.csynthesis(), tool.capitalize(): entry}, entry


def _add_cosim(report: dict[str, Any], entry: dict[str, Any], folder: Path, ir: KanIR, X: IntArray, seed: int) -> None:
    from sim.cosim import cosim

    result = cosim(folder, X, Reference(ir).run(X), seed=seed)
    border = result.border(f"rtl_vs_reference.{entry['engine']}")
    if not border.equal:
        raise MismatchError(f"{border.failure}; the RTL of an earlier build, if any, is unchanged")
    entry |= {"latency_cycles": result.latency, "ii": result.ii, "cosim_vectors": result.vectors}
    report["CosimReport"] = {
        "RTL": "Verilog",
        "Status": "Pass",
        "LatencyMin": str(result.latency),
        "LatencyMax": str(result.latency),
        "IntervalMin": str(result.ii),
        "IntervalMax": str(result.ii),
    }


def _add_estimate(report: dict[str, Any], entry: dict[str, Any], folder: Path, part: str) -> None:
    from hwgen.synth import estimate

    found = estimate(folder, part=part)
    report["YosysEstimate"] = {
        "LUT": str(found.lut),
        "FF": str(found.ff),
        "DSP": str(found.dsp),
        "BRAM_18K": str(found.bram),
    }
    entry |= {key: getattr(found, key) for key in _ESTIMATED}
