"""The tables of docs/sensitivity.md from the committed sweep: accuracy lost by branch and bits, and which claims hold."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

__all__ = ["write_page"]

PAGE = Path(__file__).parents[2] / "docs" / "sensitivity.md"
TITLES = {"efficient_kan": "EfficientKAN", "fast_kan": "FastKAN", "pykan": "PyKAN", "kagn": "KAGN"}
_START, _END = "<!-- sensitivity -->", "<!-- end -->"
#: Points of accuracy that count as no loss.
_HARMLESS = 0.3

_Drops = dict[str, dict[str, dict[int, float]]]


def _drops(result: dict[str, Any]) -> _Drops:
    """Return mean points lost against all branches at 8 bits, by family, branch and bits."""
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for entry in result["networks"]:
        for curve in entry["curves"]:
            if curve["layer"] is None:
                for point in curve["points"]:
                    key = entry["family"], curve["branch"], point["bits"]
                    found[key].append(100 * (entry["reference"] - point["value"]))
    drops: _Drops = defaultdict(lambda: defaultdict(dict))
    for (family, branch, bits), values in found.items():
        drops[family][branch][bits] = statistics.mean(values)
    return drops


def _line(words: list[str]) -> str:
    return "| " + " | ".join(words) + " |"


def _order(branches: dict[str, dict[int, float]], bits: int) -> list[str]:
    return sorted(branches, key=lambda branch: -branches[branch][bits])


def _claims(drops: _Drops) -> list[tuple[str, str]]:
    """Return every claim with what the figures say."""
    rows: list[tuple[str, str]] = []

    def judge(claim: str, holds: bool, why: str) -> None:
        rows.append((claim, f"{'holds' if holds else 'does not hold'}: {why}"))

    for bits in (3, 2):
        firsts = {TITLES[f]: _order(b, bits)[0] for f, b in drops.items()}
        why = ", ".join(f"{family}: {first}" for family, first in firsts.items())
        judge(f"activations dominate at {bits} bits", set(firsts.values()) == {"activations"}, f"first are {why}")
    if "kagn" in drops:
        for bits in (3, 2):
            rest = [b for b in _order(drops["kagn"], bits) if b != "activations"]
            lost = ", ".join(f"{b} {drops['kagn'][b][bits]:.1f}" for b in rest)
            judge(f"spline weights come next in KAGN ({bits} bits)", rest[0] == "spline", f"points lost: {lost}")
    for family in ("efficient_kan", "pykan"):
        if family in drops:
            lost = drops[family]["basis"]
            for bits in (3, 2):
                judge(
                    f"basis values of {bits} bits are enough in {TITLES[family]} (drop <= {_HARMLESS})",
                    lost[bits] <= _HARMLESS,
                    f"{lost[bits]:.2f} points lost",
                )
    for family, branches in drops.items():
        if "scaler" in branches:
            worst = max(branches["scaler"].values())
            judge(
                f"the scaler alone is harmless ({TITLES[family]})",
                worst <= _HARMLESS,
                f"at most {worst:.2f} points lost",
            )
    named = {"fast_kan": ("spline", "basis"), "efficient_kan": ("base", "scaler"), "kagn": ("base", "scaler")}
    for family, branches in (named | {"pykan": ("base", "scaler")}).items():
        if family not in drops:
            continue
        for bits in (4, 3, 2):
            order = _order(drops[family], bits)
            weights = [b for b in order if b != "activations"]
            what = " or ".join(branches)
            shown = ", ".join(f"{b} {drops[family][b][bits]:.1f}" for b in order)
            judge(
                f"paper: {what} dominates in {TITLES[family]} ({bits} bits, codes aside)",
                weights[0] in branches,
                f"points lost: {shown}",
            )
    return rows


def tables(result: dict[str, Any]) -> str:
    """Return the generated part of the page."""
    drops = _drops(result)
    seeds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in result["networks"]:
        seeds[entry["family"]].append(entry)
    first = result["networks"][0]
    bits = [b for b in first["settings"]["bits"] if b != first["settings"]["others"]]
    lines = [
        (
            f"MNIST, [784, 64, 10], {first['rows']:,} test rows, codes and weights settled by {first['settings']['method']} on "
            f"{first['calibration_rows']:,} training rows, a weight step per output, all other branches at "
            f"{first['settings']['others']} bits. Points of accuracy lost, against all branches at {first['settings']['others']} bits; means over "
            "the seeds."
        ),
        "",
        _line(["", "branch", *(f"{b} bits" for b in bits)]),
        _line(["---", "---", *["---:"] * len(bits)]),
    ]
    for family, branches in drops.items():
        entries = seeds[family]
        floats = 100 * statistics.mean(e["float"] for e in entries)
        integers = 100 * statistics.mean(e["reference"] for e in entries)
        n = len(entries)
        title = f"{TITLES[family]}, {n} seed{'s' if n > 1 else ''}: float {floats:.2f}, 8 bits {integers:.2f}"
        for index, (branch, lost) in enumerate(branches.items()):
            lines.append(_line([title if index == 0 else "", branch, *(f"{lost[b]:.2f}" for b in bits)]))
    lines += ["", _line(["claim", "on this data"]), _line(["---", "---"])]
    lines += [_line(list(row)) for row in _claims(drops)]
    return "\n".join(lines)


def write_page(result: dict[str, Any], page: Path = PAGE) -> None:
    """Renew the tables in the page, which stand between two comments."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(_START)
    after = rest.split(_END)[1]
    page.write_text(f"{before}{_START}\n{tables(result)}\n{_END}{after}", encoding="utf-8")
