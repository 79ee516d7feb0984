"""`kan4ml tables FILE.npz`: published edge tables to Verilog, co-simulated against the reference, with a report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from hwgen._clock import StageClock
from hwgen._output import check_target, keep_failed, staged
from hwgen.config import check_chip
from hwgen.report import border_entry, layer_entries, save_report, tool_versions
from hwgen.synth import SynthEstimate, netlist_border, require_yosys, synthesise, yosys_family
from hwgen.tables import TableFile, TablesDesign, generate, load_tables
from pymodel.errors import MismatchError
from pymodel.ir import IntArray, save_ir
from pymodel.reference import Reference
from sim.equivalence import Border, compare
from sim.vectors import VectorSet, make_vectors
from sim.verify import rtl_border
from sim.verilator import find_tools

__all__ = ["TABLES_SCHEMA", "TablesResult", "build_tables"]

#: `schema` of this report: it has no data set and no model, so it is not one of `kan4ml build`.
TABLES_SCHEMA = "tables/1"
_VECTOR_SEED = 0
_ENGINE = "tables"
_SYNTH_KEYS = ("lut", "lut_paired", "lut_paired_strict", "ff", "dsp", "bram", "carry", "srl", "muxf", "depth")


@dataclass(frozen=True)
class TablesResult:
    """The folder that was written, and its report."""

    folder: Path
    report: dict[str, Any]


def build_tables(
    source: Path,
    target: Path,
    *,
    part: str,
    clock_ns: float,
    vectors: int,
    synth: bool,
    console: Console | None = None,
) -> TablesResult:
    """Read a file of edge tables, write its RTL, co-simulate it, estimate it, and swap the result in as `target`.

    Args:
        source: the npz file (layout: :mod:`hwgen.tables`).
        target: the output folder; an earlier one stays whole until the new one is complete.
        part: the FPGA.
        clock_ns: the clock period.
        vectors: random vectors beside the file's samples, corners, and rows found for coverage.
        synth: estimate the resources with Yosys, and compare the mapped netlist with the reference.
        console: where progress goes; None is silent.

    Raises:
        DataError: if the file breaks the layout.
        MismatchError: if the file's samples, the RTL or its mapped netlist differ from the reference; such RTL is kept
            beside `target`.
        Kan4mlError: for other user errors; nothing is written.
    """
    check_target(target)
    check_chip(part, clock_ns)
    clock = StageClock(console or Console(quiet=True))
    find_tools()
    if synth:
        require_yosys()
        yosys_family(part)
    with clock.stage("read", f"read {source.name}"):
        file = load_tables(source)
        ir, reference = file.ir, Reference(file.ir)
        borders = _samples_border(file, reference)
    with clock.stage("reference", "numba reference and test vectors"):
        chosen = make_vectors(ir, file.sample_codes, vectors, _VECTOR_SEED, reference.run)
        expected = reference.run(chosen.X)
    with staged(target) as work:
        folder = work / "rtl" / _ENGINE
        save_ir(ir, work / "ir")
        with clock.stage("rtl", "RTL (tables)"):
            design = generate(ir, folder, part=part, clock_ns=clock_ns)
        with clock.stage("cosim", "RTL (tables) co-simulated and compared"):
            rows = np.arange(chosen.X.shape[0], dtype=np.int64)
            border, cosim = rtl_border(folder, chosen.X, rows, expected, _VECTOR_SEED)
            borders.append(border)
        found: SynthEstimate | None = None
        if synth and border.equal:
            with clock.stage("synth", "Yosys estimate (tables)"):
                synthesis = synthesise(folder, part=part)
                found = synthesis.estimate
            with clock.stage("netlist", "mapped netlist (tables) simulated and compared"):
                borders.append(netlist_border(synthesis.netlist(), synthesis.signals, chosen.X, expected[ir.output]))
        report = {
            "schema": TABLES_SCHEMA,
            "name": ir.name,
            "source": source.name,
            "part": part,
            "clock_ns": clock_ns,
            "layers": layer_entries(ir),
            "vectors": _vector_counts(chosen),
            "equivalence": {border.name: border_entry(border) for border in borders},
            "hardware": {_ENGINE: {"latency_cycles": cosim.latency, "ii": cosim.ii, **_counts(design, found)}},
            "seconds": clock.seconds,
            "versions": tool_versions(),
        }
        save_report(report, work / "report.json")
        failed = next((border for border in borders if not border.equal), None)
        if failed is not None:
            kept = keep_failed(work, target)
            raise MismatchError(f"{failed.failure}; the design is kept in {kept}")
    return TablesResult(target, report)


def _samples_border(file: TableFile, reference: Reference) -> list[Border]:
    """Compare the file's own samples with the reference on the IR that was read from it."""
    if not file.sample_codes.shape[0]:
        return []
    output = file.ir.output
    got: IntArray = reference.run(file.sample_codes)[output]
    border = compare("reference_vs_samples", {output: got}, {output: file.sample_outputs}, [output])
    if not border.equal:
        raise MismatchError(f"{border.failure}: the file's samples contradict its tables")
    return [border]


def _vector_counts(vectors: VectorSet) -> dict[str, int]:
    return {
        "total": vectors.X.shape[0],
        "samples": vectors.n_test,
        "corner": vectors.n_corner,
        "random": vectors.n_random,
        "coverage": vectors.n_coverage,
        "boundary": vectors.n_boundary,
        "codes_reached": vectors.coverage.reached,
        "codes_total": vectors.coverage.total,
        "changes_visible": vectors.visibility.visible,
        "changes_total": vectors.visibility.total,
    }


def _counts(design: TablesDesign, found: SynthEstimate | None) -> dict[str, Any]:
    counts = asdict(design)
    kept = ("edges", "tables", "table_bits", "adders", "adder_bits", "register_bits", "choices", "top")
    return {
        **{key: counts[key] for key in kept},
        **{key: None if found is None else getattr(found, key) for key in _SYNTH_KEYS},
    }
