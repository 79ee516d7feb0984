"""From the records of `mnist.py` to the committed results, and from those to the tables of the documentation.

python bench/accuracy/table.py --state FOLDER      # writes bench/results/accuracy_mnist.json
python bench/accuracy/table.py                     # writes docs/accuracy.md from it
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parents[1]))

from _common import RESULTS, provenance, write_result  # noqa: E402 - found through the path above

from pymodel.quant import METHODS  # noqa: E402

RESULT = RESULTS / "accuracy_mnist.json"
PAGE = ROOT / "docs" / "accuracy.md"
FAMILIES = {"efficient_kan": "EfficientKAN", "fast_kan": "FastKAN", "kagn": "KAGN"}
_SAME = ((4, 4), (3, 3), (2, 2))
#: What an independent script got on the same data and sizes; it is to be reached within 0.15.
TOLERANCE = 0.15
ANCHORS: dict[tuple[str, tuple[int, int]], tuple[float, float, float]] = {
    ("float", (0, 0)): (97.2, 97.7, 97.6),
    ("minmax", (4, 4)): (92.7, 90.0, 92.4),
    ("mse", (4, 4)): (95.6, 93.6, 96.9),
    ("gptq", (4, 4)): (96.9, 96.5, 97.2),
    ("gptq", (4, 8)): (97.1, 97.7, 97.6),
    ("gptq", (2, 8)): (96.5, 97.2, 93.4),
    ("lsq", (4, 4)): (97.0, 97.6, 97.3),
    ("lsq", (3, 3)): (96.8, 97.4, 96.9),
    ("lsq", (2, 2)): (96.0, 96.9, 94.7),
    ("dsq", (4, 4)): (97.0, 97.6, 97.4),
    ("dsq", (3, 3)): (96.9, 97.3, 96.8),
    ("dsq", (2, 2)): (96.1, 97.0, 94.6),
}


def _cells(records: list[dict[str, Any]]) -> dict[tuple[str, str, tuple[int, int]], list[float]]:
    found: dict[tuple[str, str, tuple[int, int]], list[float]] = {}
    for record in records:
        if "accuracy" in record:
            key = record["method"] or "float", record["family"], tuple(record["bits"])
            found.setdefault(key, []).append(100 * record["accuracy"])
    return found


def _line(words: list[str]) -> str:
    return "| " + " | ".join(words) + " |"


def _page(result: dict[str, Any]) -> str:
    cells = _cells(result["records"])
    lines = [
        "# Accuracy of the quantization methods",
        "",
        "Written by `bench/accuracy/table.py` from `bench/results/accuracy_mnist.json`; not edited by hand.",
        "",
        "MNIST, [784, 64, 10], no augmentation, 20 float epochs and 15 of QAT (none for PTQ), 10,000 training rows to calibrate on,",
        "basis values of 8 bits, codes of the first layer as many bits as the others, a weight step per output. Test accuracy in %",
        "of the last epoch, measured on the frozen integers (the float row excepted); mean and standard deviation over the seeds 0, 1, 2.",
        f"Trained on one {result['device']}; QAT starts from GPTQ's weights and codes.",
        "",
        "## Against the anchors",
        "",
        f"In brackets what an independent PyTorch script got; a cell below it by more than {TOLERANCE} is marked with `-`.",
        "",
        _line(["", *FAMILIES.values()]),
        _line(["---"] * (1 + len(FAMILIES))),
    ]
    for (method, bits), anchors in ANCHORS.items():
        title = "float" if method == "float" else "{} W{}A{}".format(METHODS[method].title, *bits)
        words = []
        for family, anchor in zip(FAMILIES, anchors, strict=True):
            mean = statistics.mean(cells[method, family, bits])
            words.append(f"{mean:.2f} ({anchor:.1f}){' -' if mean < anchor - TOLERANCE else ''}")
        lines.append(_line([title, *words]))
    lines += ["", "W8A8 without training, against float - 0.1:", "", _line(["", *FAMILIES.values()])]
    lines.append(_line(["---"] * (1 + len(FAMILIES))))
    for method in ("minmax", "mse", "gptq"):
        words = []
        for family in FAMILIES:
            mean = statistics.mean(cells[method, family, (8, 8)])
            floor = statistics.mean(cells["float", family, (0, 0)]) - 0.1
            words.append(f"{mean:.2f}{' -' if mean < floor - TOLERANCE else ''}")
        lines.append(_line([METHODS[method].title, *words]))
    lines += ["", "## All methods", "", "Bits of weights and activations: 4, 3, 2. HAWQ-V2 has that many on average."]
    lines += ["", _line(["", *(f"{name} {b[0]}" for name in FAMILIES.values() for b in _SAME)])]
    lines.append(_line(["---"] * (1 + 3 * len(FAMILIES))))
    for name, method in METHODS.items():
        words = []
        for family in FAMILIES:
            for bits in _SAME:
                values = cells.get((name, family, bits), [])
                spread = f" ± {statistics.pstdev(values):.2f}" if len(values) > 1 else ""
                words.append(f"{statistics.mean(values):.2f}{spread}" if values else "not run")
        lines.append(_line([method.title, *words]))
    lines += ["", *_remarks(cells), ""]
    return "\n".join(lines)


def _remarks(cells: dict[tuple[str, str, tuple[int, int]], list[float]]) -> list[str]:
    """Return what the table says about the goals: the best method at two bits, and who is below plain min-max."""
    lines = ["## What that says", ""]
    for family, title in FAMILIES.items():
        means = {m: statistics.mean(cells[m, family, (2, 2)]) for m in METHODS if (m, family, (2, 2)) in cells}
        best = max(means, key=means.__getitem__)
        gap = statistics.mean(cells["float", family, (0, 0)]) - means[best]
        lines.append(f"- {title}: the best at W2A2 is {METHODS[best].title}, {gap:.2f} points below float.")
    below = [
        f"{METHODS[m].title} ({FAMILIES[family]}, W{bits[0]}A{bits[1]})"
        for (m, family, bits), values in cells.items()
        if m != "float"
        and ("minmax", family, bits) in cells
        and statistics.mean(values) < statistics.mean(cells["minmax", family, bits])
        and bits in _SAME
    ]
    lines.append(f"- Below plain min-max at the same bits: {', '.join(below) if below else 'none'}.")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    if options.state is not None:
        records = json.loads((options.state / "records.json").read_text())
        rows = [{k: v for k, v in r.items() if k != "options"} for r in records.values()]
        device = rows[0]["device"]
        seconds = round(sum(r.get("seconds", 0.0) for r in rows), 1)
        write_result(
            RESULT,
            "MNIST accuracy of every quantization method; `accuracy` is that of the frozen integers",
            provenance("torch", "numpy"),
            command="python bench/accuracy/mnist.py --data FOLDER --state FOLDER",
            device=device,
            seconds_of_training_and_quantizing=seconds,
            records=rows,
        )
    PAGE.write_text(_page(json.loads(RESULT.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
