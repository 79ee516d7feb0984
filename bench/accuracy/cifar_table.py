"""From the records of `cifar.py` to the committed results, and from those to the page of the documentation.

python bench/accuracy/cifar_table.py --state FOLDER      # writes bench/results/accuracy_cifar.json
python bench/accuracy/cifar_table.py                     # writes docs/accuracy_cifar.md from it

`commit` of a record is that of the code it was measured with. Records of recipes that were given up (`earlier.json` in the state
folder; `changed` says what came instead) are kept beside.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parents[1]))

from _common import RESULTS, provenance, write_result  # noqa: E402 - found through the path above

from pymodel.quant import METHODS  # noqa: E402

RESULT = RESULTS / "accuracy_cifar.json"
PAGE = ROOT / "docs" / "accuracy_cifar.md"
FAMILIES = {"kagn": "KAGN", "fast_kan": "FastKAN", "efficient_kan": "EfficientKAN"}
#: What an independent script got with one seed on the same data and sizes; it is to be reached within 0.4.
TOLERANCE = 0.4
_Cell = tuple[str, tuple[int, int]]
ANCHORS: dict[_Cell, tuple[float, float, float]] = {
    ("float", (0, 0)): (87.3, 84.7, 85.7),
    ("gptq", (4, 8)): (87.3, 84.7, 85.4),
    ("gptq", (4, 4)): (86.8, 84.5, 84.9),
    ("lsq", (4, 4)): (87.3, 84.8, 85.4),
    ("lsq", (3, 3)): (86.6, 83.9, 84.9),
    ("lsq", (2, 2)): (84.6, 81.5, 82.0),
    ("mse", (4, 4)): (84.1, 82.8, 84.7),
    ("mse", (3, 3)): (54.1, 62.2, 64.3),
}


def _line(words: list[str]) -> str:
    return "| " + " | ".join(words) + " |"


def _title(cell: _Cell) -> str:
    method, bits = cell
    return "float" if method == "float" else "{} W{}A{}".format(METHODS[method].title, *bits)


def _page(result: dict[str, Any]) -> str:
    records = [r for r in result["records"] if r["kind"] not in ("trial", "try")]
    cells = {(r["family"], r["method"] or "float", tuple(r["bits"])): r for r in records}
    floats = {family: cells[family, "float", (0, 0)] for family in FAMILIES if (family, "float", (0, 0)) in cells}
    head = [_line(["", *FAMILIES.values()]), _line(["---"] * (1 + len(FAMILIES)))]
    lines = [
        "# Accuracy of convolutional networks",
        "",
        "Written by `bench/accuracy/cifar_table.py` from `bench/results/accuracy_cifar.json`; not edited by hand.",
        "",
        "CIFAR-10 (JPEG): the images were compressed again, so figures are not those of the lossless files to the last tenths.",
        "Six convolutional KAN layers (w, w, 2w, 2w, 4w, 4w channels, kernels 3x3, padding 1) with batch normalisation, a maximum",
        "pool after each pair (2, 2, 4), and a dense KAN layer over the last 2x2 pixels; KAGN w=48, the others w=32. Crops of",
        "images with a mirrored border of 4 pixels, flips, label smoothing of 0.1; 25 epochs of float training, 10 of QAT. Codes of",
        "the input and basis values have 8 bits; a weight step per output. QAT keeps the batch normalisation",
        "(`pymodel.quant.LiveNorms`) and folds it at the end; PTQ calibrates on 2,048 images. Figures but the float ones are those of integers. One seed; test accuracy in % of",
        "the last epoch. Learning rates were chosen without test images: of float training by 3 epochs and the accuracy on 5,000",
        "training images set aside, of QAT by the training loss of KAGN W2A2 after 3 epochs; what else was changed on the way is below.",
        f"Trained on one {result['device']}.",
        "",
        f"In brackets what an independent PyTorch script got; a cell below it by more than {TOLERANCE} is marked with `-`.",
        "",
        *head,
        _line(
            ["parameters", *(f"{floats[f]['parameters'] / 1e6:.2f} M" if f in floats else "not run" for f in FAMILIES)]
        ),
    ]
    for cell, anchors in ANCHORS.items():
        words = []
        for family, anchor in zip(FAMILIES, anchors, strict=True):
            record = cells.get((family, *cell))
            if record is None:
                words.append(f"not run ({anchor:.1f})")
                continue
            found = 100 * record["accuracy"]
            words.append(f"{found:.2f} ({anchor:.1f}){' -' if found < anchor - TOLERANCE else ''}")
        lines.append(_line([_title(cell), *words]))
    more = sorted({(r["method"], tuple(r["bits"])) for r in records if r["method"]} - set(ANCHORS))
    if more:
        lines += ["", "Not among the anchors:", "", *head]
        for cell in more:
            words = [f"{100 * cells[f, *cell]['accuracy']:.2f}" if (f, *cell) in cells else "not run" for f in FAMILIES]
            lines.append(_line([_title(cell), *words]))
    lines += ["", "## Exactness", "", *_exactness(records), "", "## Time", "", *_time(records), ""]
    again = [f"{FAMILIES[r['family']]} {_title((r['method'], tuple(r['bits'])))}" for r in records if r.get("again")]
    if again:
        lines += [
            "## Still of an earlier start",
            "",
            f"These networks of QAT began with ranges of codes found from a strided sample (see below): {', '.join(again)}.",
            "",
        ]
    if result["earlier"]:
        lines += ["## What was changed on the way", "", *_earlier(result["earlier"], cells), ""]
    return "\n".join(lines)


def _exactness(records: list[dict[str, Any]]) -> list[str]:
    exact = [r["exact"] for r in records if "exact" in r]
    compared, different = (sum(e[k] for e in exact) for k in ("compared", "different"))
    images = {e["images"] for e in exact}
    most = max((round(abs(e["accuracy"] - e["torch_accuracy"]) * e["images"]) for e in exact), default=0)
    agree = sum(e["accuracy"] == e["torch_accuracy"] for e in exact)
    return [
        f"The figures of the {len(exact)} quantized networks are those of their frozen integers on {_and(images)} test images. Their",
        "codes at the input of the dense layer were compared with those of the QAT module's own evaluation by `==`:",
        f"{compared:,} codes, {different:,} different. The evaluation's class scores are real numbers, the integers' have 16 bits:",
        f"{agree} of {len(exact)} networks have the same accuracy in both, the others differ by at most {most} images.",
    ]


def _earlier(earlier: list[dict[str, Any]], cells: dict[tuple[str, str, tuple[int, int]], Any]) -> list[str]:
    lines = [
        "These figures of earlier runs were known, test accuracy included, when a recipe was changed; one run each, no search.",
        "",
        _line(["network", "first", "now", "what was changed"]),
        _line(["---"] * 4),
    ]
    for record in earlier:
        cell = record["method"] or "float", tuple(record["bits"])
        now = cells.get((record["family"], *cell))
        words = [f"{FAMILIES[record['family']]} {_title(cell)}", f"{100 * record['accuracy']:.2f}"]
        lines.append(_line([*words, "not run" if now is None else f"{100 * now['accuracy']:.2f}", record["changed"]]))
    return lines


def _and(numbers: set[int]) -> str:
    return " and ".join(f"{n:,}" for n in sorted(numbers))


def _time(records: list[dict[str, Any]]) -> list[str]:
    lines = [
        "Seconds of training or quantizing, three or four processes side by side on the GPU.",
        "",
        _line(["", *FAMILIES.values()]),
        _line(["---"] * (1 + len(FAMILIES))),
    ]
    for kind, title in (("float", "float, an epoch"), ("qat", "QAT, an epoch"), ("ptq", "GPTQ, a network")):
        words = []
        for family in FAMILIES:
            found = [
                r["seconds"] / (r["recipe"]["epochs"] if "recipe" in r else 1)
                for r in records
                if r["kind"] == kind and r["family"] == family
            ]
            words.append(f"{sum(found) / len(found):.1f}" if found else "not run")
        lines.append(_line([title, *words]))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    if options.state is not None:
        records = list(json.loads((options.state / "cifar.json").read_text()).values())
        before = options.state / "earlier.json"
        write_result(
            RESULT,
            "CIFAR-10 (JPEG) accuracy of convolutional KANs; `accuracy` of a quantized network is that of its frozen integers",
            provenance("torch", "numpy"),
            command="python bench/accuracy/cifar.py --data FOLDER --state FOLDER",
            device=records[0]["device"],
            seed=0,
            seconds_of_training_and_quantizing=round(sum(r["seconds"] for r in records), 1),
            records=records,
            earlier=json.loads(before.read_text()) if before.exists() else [],
        )
    PAGE.write_text(_page(json.loads(RESULT.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
