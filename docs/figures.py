"""Renew the tables of README.md and docs/ from the committed results: `python docs/figures.py`, or `--check` in tests.

A table stands between `<!-- NAME -->` and `<!-- end -->`; everything between is replaced.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


def _load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return content


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mismatches(equivalence: dict[str, Any]) -> int:
    borders = [b for b in equivalence.values() if "vectors" in b]
    borders += [b for engines in equivalence.values() if "vectors" not in engines for b in engines.values()]
    return sum(int(b["mismatches"]) for b in borders)


def builds() -> str:
    """One row per example that was built."""
    rows = []
    for path in sorted((RESULTS / "builds").glob("*.json")):
        r = _load(f"builds/{path.name}")
        if "accuracy" in r:
            metric = f"{100 * r['accuracy']['quantized']:.2f} % (float {100 * r['accuracy']['float']:.2f} %)"
        else:
            metric = f"R² {r['r2']['quantized']:.3f} (float {r['r2']['float']:.3f})"
        h = r["hardware"].get("tables")
        hardware = ["-"] * 3
        if h is not None:
            lut = "-" if h["lut"] is None else f"{h['lut']:,} / {h['lut_paired']:,}"
            hardware = [lut, str(h["latency_cycles"]), f"{r['vectors']['rtl']:,}"]
        rows.append(
            [
                f"`{path.stem}`",
                metric,
                f"{r['model']['edges']:,} of {r['model']['edges_total']:,}",
                f"{r['vectors']['total']:,}",
                str(_mismatches(r["equivalence"])),
                *hardware,
                f"{r['seconds']['total']:.0f}",
            ]
        )
    head = [
        "example",
        "test metric",
        "edges",
        "vectors",
        "mismatches",
        "LUT / paired",
        "cycles",
        "RTL vectors",
        "seconds",
    ]
    return _table(head, rows)


def speed() -> str:
    """Throughput and compile time of the integer models, and the training step."""
    r, t = _load("csim.json"), _load("training_step.json")
    rate, ratio = r["samples_per_second"], r["ratios"]
    seconds = {key: min(values) for key, values in r["compile_seconds"].items()}
    rows = [
        ["numba reference, all threads", f"{rate['numba_all_threads']:,} samples/s", ""],
        [
            "C++ csim, `ModelGraph.predict`",
            f"{rate['kan_predict']:,} samples/s",
            f"numba is {ratio['numba_over_kan_predict']:.1f}x faster",
        ],
        [
            "C++ csim, row by row as stock hls4ml calls it",
            f"{rate['kan_predict_row_by_row']:,} samples/s",
            f"numba is {ratio['numba_over_kan_predict_row_by_row']:.1f}x faster",
        ],
        ["stock hls4ml Dense MLP, `ModelGraph.predict`", f"{rate['dense_mlp_predict']:,} samples/s", ""],
        [
            "csim compile",
            f"{seconds['kan']:.1f} s",
            f"{ratio['compile_kan_over_dense_mlp']:.2f}x stock Dense MLP ({seconds['dense_mlp']:.1f} s)",
        ],
    ]
    for row in t["rows"]:
        if len(row["widths"]) == 2:
            s = row["speedup_over_plain"]
            shape = " to ".join(map(str, row["widths"]))
            rows.append(
                [
                    f"training step, {shape}, batch {row['batch']}",
                    f"{row['median_ms']['float']:.2f} ms float, {row['median_ms']['W4A4']:.2f} ms QAT",
                    f"plain efficient-kan formula: float {s['float']:.1f}x, QAT {s['W4A4']:.1f}x faster",
                ]
            )
    return _table(["what", "measured", "ratio"], rows)


_FAMILIES = {"efficient_kan": "EfficientKAN", "fast_kan": "FastKAN", "pykan": "PyKAN", "kagn": "KAGN"}


def _layers(device: str) -> str:
    """Times of one training step of each layer against the plain formula, and memory."""
    rows = []
    for row in _load(f"layer_speed_{device}.json")["rows"]:
        *channels, last = row["sizes"]
        dense = row["kind"] == "dense"
        shape = f"{channels[0]} to {last}" if dense else f"3x3, {channels[0]} to {channels[1]} channels, {last}x{last}"
        ms, ratio, memory = row["best_ms"], row["speedup"], row["memory_ratio"]
        rows.append(
            [
                _FAMILIES[row["family"]],
                shape,
                f"{row['batch']:,}",
                f"{ms['plain']:.2f}",
                *(f"{ms[name]:.2f} ({ratio[name]:.2f}x)" for name in ("float", "qat")),
                " / ".join(f"{memory[name]:.2f}" for name in ("float", "qat")),
            ]
        )
    head = ["family", "layer", "batch", "plain, ms", "float, ms", "QAT, ms", "memory of plain, float / QAT"]
    return _table(head, rows)


def layers_cpu() -> str:
    """The layers on the CPU."""
    return _layers("cpu")


def layers_cuda() -> str:
    """The layers on a GPU."""
    return _layers("cuda")


def _signed(value: float) -> str:
    return f"{100 * value:+.1f} %"


def basis_tax() -> str:
    """One row per architecture of one layer."""
    r = _load("basis_tax.json")
    pieces, derived = r["pieces"], r["derived"]
    names = {
        "basis_mac": "(a) basis unit + MACs",
        "dense_matrix": "(b) dense bases x constant matrix",
        "tables_plain": "(c) edge tables, plain",
        "tables_all_passes": "(d) edge tables, all passes",
    }
    rows = []
    for key, name in names.items():
        if key not in pieces:
            continue
        p = pieces[key]
        share = f"{100 * p['basis_lut_fraction']:.0f} %" if "basis_lut_fraction" in p else "none"
        if p.get("select_lut_fraction"):
            share += f" + {100 * p['select_lut_fraction']:.0f} % to select weights"
        energy = f"{derived['energy_relative'][key]:.1f}" if key in derived["energy_relative"] else "not measured"
        exact = f"{p['mismatches']} of {p['vectors']:,}"
        rows.append(
            [name, f"{p['lut']:,}", f"{p['lut_paired']:,}", f"{p['ff']:,}", str(p["cycles"]), energy, share, exact]
        )
    p = derived["layer_fixed16"]
    cells = [f"{p[key]:,}" for key in ("lut", "lut_paired", "ff")]
    energy = f"{derived['energy_relative']['fixed16_deboor']:.0f}"
    units = [unit for key, unit in pieces.items() if key.startswith("deboor_0_")]
    exact = f"{sum(unit['mismatches'] for unit in units)} of {sum(unit['vectors'] for unit in units):,}"
    share = f"{100 * p['basis_lut_fraction']:.0f} %"
    rows.append(["(e) 16-bit Cox-de Boor + MACs, added up", *cells, "-", energy, share, exact])
    head = ["layer 16 -> 8", "LUT", "paired", "FF", "cycles", "energy, (d) = 1", "LUTs of the basis", "wrong vectors"]
    return _table(head, rows)


def against_fixed16() -> str:
    """Ratios of the table road and 16-bit de Boor."""
    r = _load("basis_tax.json")["derived"]
    names = {
        "throughput_per_lut_equal_clock": "throughput per LUT, equal clocks",
        "throughput_per_paired_lut_equal_clock": "throughput per paired LUT, equal clocks",
        "throughput_per_lut_ecp5_clock": "throughput per LUT, ECP5 clocks",
        "energy": "energy per inference",
    }
    rows = [
        [name, *(f"{r[scope][key]:.0f}x" if key in r.get(scope, {}) else "-" for scope in ("layer", "network"))]
        for key, name in names.items()
        if any(key in r.get(scope, {}) for scope in ("layer", "network"))
    ]
    return _table(["(d) is better than (e) by", "layer 16 -> 8", "network 16-8-7"], rows)


def netlists() -> str:
    """The mapped netlists of published networks."""
    rows = []
    for name, n in _load("netlist.json")["networks"].items():
        rows.append(
            [
                f"KANELÉ {name}",
                f"{n['lut']:,} / {n['lut_paired']:,}",
                str(n["cycles"]),
                str(n["depth"]),
                f"{n['mismatches']} of {n['vectors']:,}",
                f"{n['faults']['found']} of {n['faults']['injected']}",
                f"{n['seconds']['netlist']:.2f}",
            ]
        )
    head = [
        "network",
        "LUT / paired",
        "cycles",
        "LUT levels",
        "wrong vectors",
        "injected faults found",
        "seconds",
    ]
    return _table(head, rows)


def kanele() -> str:
    """Circuits of KANELÉ's published tables: its own RTL, other generators, and the table road, in one flow."""
    ours, others = _load("netlist.json")["networks"], _load("tables.json")["networks"]
    rows = []
    for name in ours:
        peers = [*others[name]["peers"].items(), ("kan4ml, table road", ours[name])]
        for peer, p in peers:
            paired = f"{p['lut_paired']:,}" if "lut_paired" in p else "-"
            ff = f"{p['ff']:,}" if "ff" in p else "-"
            label = peer.replace("KANELE", "KANELÉ")
            rows.append([f"{name}: {label}", f"{p['lut']:,}", paired, ff, str(p.get("cycles", "-"))])
    return _table(["tables of KANELÉ, circuit", "LUT", "LUT6_2 pairs", "FF", "cycles"], rows)


def fit() -> str:
    """The designs that the capacity model was fitted to."""
    r = _load("fit.json")
    rows = []
    for name, d in r["designs"].items():
        cells = [
            f"{d['predicted'][key]:,} / {d[key]:,} ({_signed(d['predicted'][key] / d[key] - 1)})"
            for key in ("lut", "ff")
        ]
        rows.append([f"`{name}`", f"{d['edges']:,}", *cells])
    errors = r["model"]["quantities"]
    for what in ("median", "worst"):
        cells = [f"{100 * errors[key][f'{what}_error']:.1f} %" for key in ("lut", "ff")]
        rows.append([f"{what} error, each design left out", "", *cells])
    return _table(["design", "edges", "LUT, model / Yosys", "FF, model / Yosys"], rows)


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"builds": builds},
    "docs/speed.md": {"speed": speed, "layers_cpu": layers_cpu, "layers_cuda": layers_cuda},
    "docs/comparison.md": {"kanele": kanele},
    "docs/synthesis.md": {"netlists": netlists, "basis_tax": basis_tax, "against_fixed16": against_fixed16, "fit": fit},
}


def renewed(file: str, text: str) -> str:
    """Return the `text` of a file with every table renewed."""
    for name, make in TABLES[file].items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{file} has no table {name!r}: add <!-- {name} --> and <!-- end -->")
        text = pattern.sub(rf"\g<1>{make()}\n\g<2>", text)
    return text


def main() -> None:
    """Renew the files, or with `--check` exit with status 1 if one is out of date."""
    for file in TABLES:
        path = ROOT / file
        old = path.read_text(encoding="utf-8")
        new = renewed(file, old)
        if "--check" not in sys.argv[1:]:
            path.write_text(new, encoding="utf-8")
        elif new != old:
            sys.exit(f"{file} is out of date: run `make docs`")


if __name__ == "__main__":
    main()
