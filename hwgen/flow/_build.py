"""The stages of a build, in order; each reads what the one before it wrote to disk."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from hwgen._clock import StageClock
from hwgen._output import check_target, checkpoint_folder, keep_failed, staged
from hwgen.config import Config, dump_config
from hwgen.flow._imported import keep_data, keep_imported, load_imported
from hwgen.flow._metrics import metric_values, test_details
from hwgen.flow._network import NETWORK_ROWS, network_details
from hwgen.openhls import OpenHlsDesign, require_clang
from hwgen.report import REPORT_SCHEMA, border_entry, layer_entries, renew_html, save_report, tool_versions
from hwgen.synth import (
    Synthesis,
    SynthEstimate,
    layer_resources,
    netlist_border,
    require_yosys,
    synthesise,
    yosys_family,
)
from hwgen.tables import Passes, TablesDesign, generate
from pymodel.data import Dataset, load
from pymodel.errors import MismatchError
from pymodel.fabric import TableKAN, save_tables_model
from pymodel.ir import IntArray, KanIR, load_ir, save_ir
from pymodel.layers import KAN, FrozenKAN, load_frozen, save_float, save_frozen
from pymodel.lower import lower
from pymodel.reference import Reference
from pymodel.train import Checkpoint, TrainResult, check_widths, train
from sim.cosim import CosimResult
from sim.csim import find_compiler
from sim.equivalence import Border
from sim.vectors import make_vectors
from sim.verify import csim_border, layers_alone_border, rtl_border, save_vectors, torch_border
from sim.verilator import find_tools

__all__ = ["BuildResult", "build", "train_along"]

#: Seed of the random vectors, bubbles and stalls; the configuration's seeds are for data and training.
_VECTOR_SEED = 0
#: Vectors of the self-check of open HLS and of its Verilog bench; co-simulation gets all of them.
_OPENHLS_ROWS = 1024


@dataclass(frozen=True)
class BuildResult:
    """A finished build: the folder that was swapped in, and its report."""

    folder: Path
    report: dict[str, Any]


def build(
    config: Config, target: Path, *, console: Console | None = None, keep_rows: bool = False, resume: bool = False
) -> BuildResult:
    """Train, quantize, lower, convert, simulate, estimate and verify, then swap the result in as `target`.

    Args:
        config: the resolved configuration.
        target: the output folder; an earlier build there stays whole until the new one is complete.
        console: where progress goes; None is silent.
        keep_rows: copy the file of the rows into the build, whose configuration then names the copy.
        resume: go on from the checkpoint that an earlier build of `target` left when it was killed, if there is one.

    Raises:
        MismatchError: if two stations differ; the build is kept beside `target` for inspection, `target` is untouched.
        Kan4mlError: for user errors; nothing is written.
    """
    check_target(target)
    clock = StageClock(console or Console(quiet=True))
    start = time.perf_counter()
    _check_tools(config)
    dataset = load(config.data, config.model.range)
    check_widths(dataset, config.model)
    with staged(target) as work:
        if keep_rows:
            config = keep_data(config, work)
        checkpoint = Checkpoint(checkpoint_folder(target), config.train.checkpoint, resume)
        report, borders = _stages(config, dataset, work, clock, checkpoint)
        report["seconds"]["total"] = time.perf_counter() - start
        save_report(report, work / "report.json")
        renew_html(report, work)
        failed = next((border for border in borders if not border.equal), None)
        if failed is not None:
            kept = keep_failed(work, target)
            raise MismatchError(f"{failed.failure}; the build is kept in {kept}")
    checkpoint.remove()
    return BuildResult(target, report)


def _check_tools(config: Config) -> None:
    """Check, before minutes of training, that everything which the later stages need is there.

    Raises:
        ConfigError: for a part that cannot be estimated.
        ToolError: for a missing tool.
    """
    find_compiler()
    if "openhls" in config.hardware.rtl:
        require_clang()
    if config.hardware.rtl:
        find_tools()
        if config.hardware.synth:
            require_yosys()
            yosys_family(config.hardware.part)


def train_along(config: Config, target: Path, *, resume: bool = False) -> None:
    """Take part in the training of a build of `target` that another process of `torchrun` does, and in nothing else."""
    dataset = load(config.data, config.model.range)
    initial = None if config.imported is None else load_imported(config.imported, config)
    checkpoint = Checkpoint(checkpoint_folder(target), config.train.checkpoint, resume)
    train(dataset, config.model, config.quantize, config.train, initial=initial, checkpoint=checkpoint)


def _stages(
    config: Config, dataset: Dataset, work: Path, clock: StageClock, checkpoint: Checkpoint
) -> tuple[dict[str, Any], list[Border]]:
    (work / "model").mkdir()
    initial = None
    if config.imported is not None:
        initial = load_imported(config.imported, config)
        config = keep_imported(config, config.imported, work / "model" / "float.safetensors")
    (work / "config.yaml").write_text(dump_config(config, work), encoding="utf-8")
    result = train(
        dataset,
        config.model,
        config.quantize,
        config.train,
        initial=initial,
        console=clock.console,
        checkpoint=checkpoint,
    )
    clock.done("train", "trained (float)", result.seconds["train"])
    clock.done("quantize", "trained (quantized) and frozen", result.seconds["quantize"])
    frozen, ir = _write_model(config, result, work)
    with clock.stage("reference", "numba reference and test vectors"):
        reference = Reference(ir)
        X_test = ir.input.out_type.quantize(dataset.host.prepare(dataset.x_test))
        run = partial(reference.run, threads=config.hardware.threads)
        vectors = make_vectors(ir, X_test, config.hardware.vectors, _VECTOR_SEED, run)
        expected = run(vectors.X)
        y_test = dataset.y_test
        rtl_rows = vectors.subset(config.hardware.rtl_vectors)
        save_vectors(work / "vectors.npz", vectors, y_test, rtl_rows)
        drawn = {name: Y[: min(vectors.n_test, NETWORK_ROWS)] for name, Y in expected.items()}
        network = network_details(ir, result.float_model if isinstance(result.float_model, KAN) else None, drawn)
    with clock.stage("torch", "torch compared with the reference"):
        borders = [torch_border(ir, frozen, vectors.X, expected), layers_alone_border(ir, frozen, _VECTOR_SEED)]
    hardware = _Hardware(config, frozen, ir, vectors.X, rtl_rows, expected, work, clock)
    with ThreadPoolExecutor(max_workers=1) as pool:
        synth = hardware.generate_rtl(pool)
        csim, Y_csim = hardware.csim()
        if csim.equal:  # otherwise the difference of the C++ is what there is to report
            synth |= hardware.generate_from_cpp(pool)
        borders.append(csim)
        cosims = hardware.cosim()
        borders += [border for border, _ in cosims.values()]
        estimates, by_layer, netlists = hardware.finish_synth(synth)
        borders += netlists
    n = vectors.n_test
    Y = {"reference": expected[ir.output][:n], "csim": Y_csim[:n]}
    rtl_tests = rtl_rows[rtl_rows < n]  # test rows come first, and so do their indices
    for _, cosim in cosims.values():
        Y["rtl"] = cosim.outputs[: rtl_tests.size]
    report = {
        "schema": REPORT_SCHEMA,
        "name": ir.name,
        "config": config.to_dict(work),
        "dataset": {
            "name": dataset.name,
            "n_train": len(dataset.y_train),
            "n_test": len(dataset.y_test),
            "classes": list(dataset.host.classes),
            "target": dataset.host.target,
            "features": list(dataset.host.features),
        },
        **metric_values(ir, y_test, result.metrics, Y, rtl_tests),
        "equivalence": _equivalence(borders),
        "vectors": {
            "total": vectors.X.shape[0],
            "test": n,
            "corner": vectors.n_corner,
            "random": vectors.n_random,
            "coverage": vectors.n_coverage,
            "rtl": int(rtl_rows.size),
            "rtl_test": int(rtl_tests.size),
            "boundary": vectors.n_boundary,
            "codes_reached": vectors.coverage.reached,
            "codes_total": vectors.coverage.total,
            "changes_visible": vectors.visibility.visible,
            "changes_total": vectors.visibility.total,
        },
        "model": {"edges": ir.n_edges, "edges_total": sum(layer.n_edges_total for layer in ir.layers)},
        "layers": layer_entries(ir),
        "hardware": {
            name: {
                **_hardware_entry(cosims[name][1], hardware.designs[name], estimates.get(name)),
                "layers": by_layer.get(name, {}),
            }
            for name in cosims
        },
        "network": network,
        "network_rows": min(n, NETWORK_ROWS),
        "seconds": clock.seconds,
        "versions": tool_versions(),
        "history": result.history,
        **test_details(ir, y_test, Y["reference"]),
    }
    return report, borders


def _write_model(config: Config, result: TrainResult, work: Path) -> tuple[FrozenKAN, KanIR]:
    """Write the weights and the IR, and read them back: what is checked is what is on disk."""
    if isinstance(result.float_model, TableKAN):
        save_tables_model(result.float_model, config.model, config.quantize, work / "model" / "float.safetensors")
    elif config.imported is None:  # otherwise its own file is there already
        save_float(result.float_model, work / "model" / "float.safetensors")
    save_frozen(result.frozen, work / "model" / "quantized.safetensors")
    save_ir(lower(result.frozen), work / "ir")
    return load_frozen(work / "model" / "quantized.safetensors"), load_ir(work / "ir")


@dataclass
class _Hardware:
    """The hardware stages: conversion and csim, RTL and co-simulation, and Yosys beside them."""

    config: Config
    frozen: FrozenKAN
    ir: KanIR
    X: IntArray
    rtl_rows: IntArray
    expected: dict[str, IntArray]
    work: Path
    clock: StageClock
    designs: dict[str, TablesDesign | OpenHlsDesign] = field(default_factory=dict)

    def generate_rtl(self, pool: ThreadPoolExecutor) -> dict[str, Future[Synthesis]]:
        """Write the RTL of the tables and start its synthesis, which runs beside everything that follows."""
        settings = self.config.hardware
        if "tables" not in settings.rtl:
            return {}
        folder = self.work / "rtl" / "tables"
        with self.clock.stage("rtl", "RTL (tables)"):
            folder.mkdir(parents=True)
            passes = Passes(levels_per_stage=settings.levels_per_stage)
            self.designs["tables"] = generate(
                self.ir, folder, part=settings.part, clock_ns=settings.clock_ns, passes=passes
            )
        return {"tables": pool.submit(synthesise, folder, part=settings.part)} if settings.synth else {}

    def generate_from_cpp(self, pool: ThreadPoolExecutor) -> dict[str, Future[Synthesis]]:
        """Make RTL of the C++ project, which was converted before, and start its synthesis."""
        settings = self.config.hardware
        if "openhls" not in settings.rtl:
            return {}
        from hwgen.openhls import generate as generate_openhls

        folder = self.work / "rtl" / "openhls"
        with self.clock.stage("rtl", "RTL (openhls)"):
            self.designs["openhls"] = generate_openhls(
                self.ir,
                folder,
                project=self.work / "hls",
                part=settings.part,
                clock_ns=settings.clock_ns,
                vectors=self.X[self.rtl_rows[:_OPENHLS_ROWS]],
            )
        return {"openhls": pool.submit(synthesise, folder, part=settings.part)} if settings.synth else {}

    def csim(self) -> tuple[Border, IntArray]:
        """Convert with hls4ml, compile, run and compare."""
        from hwgen.plugin import convert

        settings, project = self.config.hardware, self.work / "hls"
        with self.clock.stage("convert", "hls4ml conversion"):
            convert(
                self.frozen,
                project,
                part=settings.part,
                clock_ns=settings.clock_ns,
                strategy=settings.strategy,
                reuse_factor=settings.reuse_factor,
                io=settings.io,
            )
        with self.clock.stage("csim", "csim compiled, run and compared"):
            return csim_border(self.ir, project, self.X, self.expected, settings.threads)

    def cosim(self) -> dict[str, tuple[Border, CosimResult]]:
        """Co-simulate every engine and compare."""
        results = {}
        for engine in self.designs:
            with self.clock.stage("cosim", f"RTL ({engine}) co-simulated and compared"):
                folder = self.work / "rtl" / engine
                results[engine] = rtl_border(folder, self.X, self.rtl_rows, self.expected, _VECTOR_SEED)
        return results

    def finish_synth(
        self, futures: dict[str, Future[Synthesis]]
    ) -> tuple[dict[str, SynthEstimate], dict[str, dict[str, Any]], list[Border]]:
        """Wait for the mapped netlists, and compare each with the reference on the vectors that its RTL got.

        Returns:
            Estimates by engine, the same by engine and layer, and the borders.
        """
        estimates, by_layer, borders = {}, {}, []
        expected = self.expected[self.ir.output]
        for engine, future in futures.items():
            with self.clock.console.status(f"Yosys estimate ({engine})"):
                synthesis = future.result()
            estimates[engine] = synthesis.estimate
            by_layer[engine] = layer_resources(synthesis.cells, synthesis.signals)
            self.clock.done("synth", f"Yosys estimate ({engine}), beside the above", synthesis.estimate.seconds)
            if synthesis.signals.beats > 1:
                continue  # its mapped memories are block RAM, which the netlist simulator does not have
            with self.clock.stage("netlist", f"mapped netlist ({engine}) simulated and compared"):
                border = netlist_border(synthesis.netlist(), synthesis.signals, self.X, expected, rows=self.rtl_rows)
            borders.append(border)
        return estimates, by_layer, borders


def _equivalence(borders: list[Border]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for border in borders:
        name, _, engine = border.name.partition(".")
        if engine:
            entries.setdefault(name, {})[engine] = border_entry(border)
        else:
            entries[name] = border_entry(border)
    return entries


def _hardware_entry(
    cosim: CosimResult, design: TablesDesign | OpenHlsDesign, synth: SynthEstimate | None
) -> dict[str, Any]:
    keys = ("lut", "lut_paired", "lut_paired_strict", "ff", "dsp", "bram", "carry")
    counts: dict[str, Any] = {key: None if synth is None else getattr(synth, key) for key in keys}
    if not isinstance(design, TablesDesign):
        return {
            "latency_cycles": cosim.latency,
            "ii": cosim.ii,
            **counts,
            "basis_lut_fraction": None,  # basis units are not told from other logic
            "stages": design.stages,
            "operations": design.operations,
            "multiplications": design.multiplications,
            "roms": design.roms,
            "top": design.top,
        }
    return {
        "latency_cycles": cosim.latency,
        "ii": cosim.ii,
        **counts,
        "basis_lut_fraction": 0.0,  # tables hold whole edges: there is no basis unit
        "tables": design.tables,
        "adders": design.adders,
        "choices": design.choices,
        "top": design.top,
    }
