"""The summary of a build on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hwgen.report._compare import Compared, pareto
from hwgen.report._html import flatten_borders
from pymodel.errors import IRError

__all__ = ["print_borders", "print_comparison", "print_fit", "print_summary"]

_VERDICTS = {"yes": "green", "tight": "yellow", "unsure": "yellow", "no": "bold red"}


def _table(title: str, *columns: str) -> Table:
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def print_borders(console: Console, borders: list[tuple[str, Mapping[str, Any]]]) -> None:
    """Print one row per border, and below it the first difference, if any."""
    for part in _borders(borders):
        console.print(part)


def _borders(borders: list[tuple[str, Mapping[str, Any]]]) -> Iterator[Table | Text]:
    table = _table("Equivalence (integers, ==)", "border", "vectors", "mismatches")
    for name, entry in borders:
        count = entry["mismatches"]
        table.add_row(
            Text(name), f"{entry['vectors']:,}", Text(f"{count:,}", style="green" if count == 0 else "bold red")
        )
    yield table
    for name, entry in borders:
        if entry["first"]:
            f = entry["first"]
            where = f"layer {f['node']}, vector {f['vector']}, output {f['element']}"
            yield Text(f"{name}: {where}: got {f['got']}, expected {f['expected']}", style="red")


def print_comparison(console: Console, builds: Sequence[Compared]) -> None:
    """Print one row per build; a star marks the Pareto front."""
    front = pareto(builds)
    metric = builds[0].metric
    table = _table(
        "LUT, FF: Yosys estimates; * Pareto front",
        "build",
        metric,
        "edges",
        "LUT",
        "pairs",
        "FF",
        "cycles",
        "mismatches",
    )
    for build in builds:
        costs = ("not run" if v is None else f"{v:,}" for v in (build.lut, build.lut_paired, build.ff, build.latency))
        name = Text(f"{build.name} *" if build in front else build.name)
        wrong = Text(f"{build.mismatches:,}", style="green" if build.mismatches == 0 else "bold red")
        table.add_row(name, f"{build.quality:.4f}", f"{build.edges:,}", *costs, wrong)
    console.print(table)


def print_summary(console: Console, report: Mapping[str, Any]) -> None:
    """Print metrics, equivalence, and hardware of a report.

    Raises:
        IRError: if the report lacks something.
    """
    try:
        parts = list(_summary(report))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise IRError(f"report.json is not complete ({error}); build the model again") from None
    for part in parts:
        console.print(part)


def _summary(report: Mapping[str, Any]) -> Iterator[Table | Text]:
    metrics = ["accuracy"] if "accuracy" in report else ["rmse", "r2"]
    stations = list(report[metrics[0]])
    table = _table(f"{report['name']} on {report['dataset']['name']}", "metric", *stations)
    for metric in metrics:
        values = report[metric]
        table.add_row(metric, *(f"{values[s]:.4f}" if isinstance(values[s], float) else "-" for s in stations))
    yield table
    yield from _borders(flatten_borders(report["equivalence"]))
    if report["hardware"]:
        table = _table(
            "Hardware (latency measured; LUT, FF, carry: Yosys estimates)",
            "engine",
            "edges",
            "latency",
            "II",
            "LUT",
            "LUT6_2 pairs",
            "FF",
            "CARRY4",
        )
        for engine, h in report["hardware"].items():
            counts = (f"{h[key]:,}" if h[key] is not None else "-" for key in ("lut", "lut_paired", "ff", "carry"))
            table.add_row(engine, f"{report['model']['edges']:,}", str(h["latency_cycles"]), str(h["ii"]), *counts)
        yield table
    total = report["seconds"].get("total")
    if total is not None:
        yield Text(f"{total:.0f} s in all", style="dim")


def print_fit(console: Console, answer: Mapping[str, Any], error: str) -> None:
    """Print what a program needs (estimates), how much of each part that is, and how far off the model was."""
    need = answer["predicted"]
    title = (
        f"{answer['name']}, {answer['edges']:,} edges: about {need['lut']:,} LUTs "
        f"({need['lut_paired']:,} sites if small ones share), {need['ff']:,} flip-flops (estimates)"
    )
    table = _table(title, "part", "LUTs", "used", "used if shared", "FFs used", "fits")
    for part in answer["parts"]:
        shares = (f"{100 * part[key]:.1f} %" for key in ("lut_share", "lut_paired_share", "ff_share"))
        verdict = part["verdict"]
        table.add_row(part["part"], f"{part['lut']:,}", *shares, Text(verdict, style=_VERDICTS[verdict]))
    console.print(table)
    console.print(Text(f"{error}.", style="dim"), soft_wrap=True)
    console.print(
        Text(
            "yes: at most 80 % even at the worst error; tight: at most 100 %; no: more than there is even then.",
            style="dim",
        ),
        soft_wrap=True,
    )
