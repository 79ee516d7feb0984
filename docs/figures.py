"""Renew the tables of README.md from the committed results: `python docs/figures.py`, or `--check` in tests.

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


TABLES: dict[str, Callable[[], str]] = {"builds": builds, "speed": speed}


def renewed(text: str) -> str:
    """Return `text` with every table renewed."""
    for name, make in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"README.md has no table {name!r}: add <!-- {name} --> and <!-- end -->")
        text = pattern.sub(rf"\g<1>{make()}\n\g<2>", text)
    return text


def main() -> None:
    """Renew README.md, or with `--check` exit with status 1 if it is out of date."""
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = renewed(old)
    if "--check" in sys.argv[1:]:
        sys.exit(0 if new == old else "README.md is out of date: run `make docs`")
    path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
