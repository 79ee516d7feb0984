"""The conformance matrix: every kind of KAN layer in native C++ against the numba reference, integer by integer.

    python bench/conformance.py [UNIT …]    all units, or the named ones (bspline_rom, rbf_arith, …)

Results go to `bench/results/conformance.json` and `docs/conformance.md`, after each unit. Exit status 1 if an integer
differs. What is refused, and with which sentence, is what the plugin says when it is asked.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _common import RESULTS, provenance, write_result  # noqa: E402

from tests.matrix.cells import BASES, CELLS, IMPLEMENTATIONS, IOS, LAYERS, MODES, SIZES, Refusal, ask, case  # noqa: E402
from tests.matrix.native import build  # noqa: E402

RESULT = RESULTS / "conformance.json"
DOCUMENT = ROOT / "docs" / "conformance.md"
UNITS = tuple(f"{basis}_{implementation}" for basis in BASES for implementation in IMPLEMENTATIONS)
ROWS = 100_000


def run(unit: str, folder: Path) -> dict[str, Any]:
    """Return, by cell and size, the vectors compared and the mismatches, or the refusal."""
    cells = [cell for cell in CELLS if f"{cell.basis}_{cell.implementation}" == unit]
    found: dict[str, Any] = {}
    models, jobs = {}, {}
    for cell in cells:
        for size in SIZES:
            model = ask(cell, size, folder / "none")
            key = f"{cell.mode}, {cell.io}, {cell.layer}, {size}"
            if isinstance(model, Refusal):
                found[key] = {"refused": model.sentence, "ours": model.ours}
                continue
            name = f"{cell.name}_{size}"
            models[name], jobs[name] = model, (key, case(cell, size))
    for library in build(models, folder / "native", per_file=48):
        for name in library.names:
            key, job = jobs[name]
            Y = library.run(name, job.X)
            wrong = int((job.expected != Y).any(axis=1).sum())
            if job.ir.input.size == 1 and ", latency, " in f", {key}":  # any number of rows
                again = np.resize(np.arange(len(job.X)), ROWS)
                wrong += int((library.run(name, job.X[again]) != job.expected[again]).any(axis=1).sum())
            for few in (0, 1):
                wrong += int((library.run(name, job.X[:few]) != job.expected[:few]).any(axis=1).sum())
            found[key] = {"vectors": len(job.X), "exhaustive": job.exhaustive, "mismatches": wrong}
    return {key: found[key] for key in sorted(found)}


def _entry(results: Mapping[str, Any], sentences: list[str]) -> str:
    """Return a cell of the table: the vectors of its sizes, or the numbers of the sentences that refuse it."""
    texts = []
    for result in results.values():
        if "refused" in result:
            sentence = result["refused"]
            if sentence not in sentences:
                sentences.append(sentence)
            texts.append(f"[{sentences.index(sentence) + 1}]")
        else:
            count = f"{result['vectors']:,}{' (all)' if result['exhaustive'] else ''}"
            texts.append(count if result["mismatches"] == 0 else f"**{result['mismatches']:,} of {count} differ**")
    return texts[0] if len(set(texts)) == 1 and texts[0].startswith("[") else ", ".join(texts)


def document(units: Mapping[str, Any]) -> str:
    """Return the text of `docs/conformance.md`."""
    lines = [
        "# Conformance of the C++ kernels",
        "",
        "Written by `make conformance`; do not edit. A cell is a kind of KAN layer, with constants in five sizes: "
        + ", ".join(SIZES)
        + ".",
        "Its C++ is the plugin's own text, compiled with g++ and compared with the numba reference: the numbers are the vectors on",
        "which all integers were equal, `(all)` if there are no others. `[1]` is a refusal, by the sentence with which the plugin",
        "answered. `tests/matrix/` runs the size small of every cell, and a subset in which any two choices meet through hls4ml's",
        "whole flow. `edge rows` is the rolled form of edge tables. Constants are random, but for `knots`: real functions, and inputs",
        "on and beside every knot, outside of the grid, and at the ends of the types.",
        "",
    ]
    sentences: list[str] = []
    total = {"cells": 0, "vectors": 0, "mismatches": 0, "refused": 0}
    for layer in LAYERS:
        lines += [
            f"## {layer}",
            "",
            "| basis | mode | " + " | ".join(IOS) + " |",
            "| --- | --- |" + " --- |" * len(IOS),
        ]
        for unit in (unit for unit in UNITS if unit in units):
            for mode in MODES:
                row = []
                for io in IOS:
                    keys = {size: f"{mode}, {io}, {layer}, {size}" for size in SIZES}
                    results = {size: units[unit][key] for size, key in keys.items() if key in units[unit]}
                    total["cells"] += 1
                    total["vectors"] += sum(r.get("vectors", 0) for r in results.values())
                    total["mismatches"] += sum(r.get("mismatches", 0) for r in results.values())
                    total["refused"] += all("refused" in r for r in results.values())
                    row.append(_entry(results, sentences))
                lines.append(f"| {unit.replace('_', ', ')} | {mode} | " + " | ".join(row) + " |")
        lines.append("")
    lines += ["## Refusals", ""]
    lines += [f"{number}. {sentence.replace('|', '&#124;')}" for number, sentence in enumerate(sentences, 1)]
    counts = f"{total['cells']} cells, {total['refused']} of them refused in every size; {total['vectors']:,} vectors"
    more = f"Parallel layers of one input also ran {ROWS:,} rows, and all layers none and one."
    lines += ["", f"{counts}, {total['mismatches']} mismatches. {more}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("units", nargs="*", choices=[[], *UNITS])
    arguments = parser.parse_args()
    wrong = 0
    for unit in arguments.units or UNITS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="kan4ml-conformance-") as folder:
            found = run(unit, Path(folder))
        wrong += sum(result.get("mismatches", 0) for result in found.values())
        units = json.loads(RESULT.read_text(encoding="utf-8"))["units"] if RESULT.exists() else {}
        units[unit] = found
        print(f"{unit}: {len(found)} cases in {time.monotonic() - started:.0f} s")
        write_result(RESULT, "C++ kernels == numba reference", provenance("hls4ml", "numba", "numpy"), units=units)
        DOCUMENT.write_text(document(units), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
