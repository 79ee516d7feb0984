"""Reports: content, hostile text, and damaged files."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hwgen.report import (
    REPORT_SCHEMA,
    flatten_borders,
    load_report,
    print_summary,
    render_html,
    renew_html,
    save_report,
)
from pymodel.errors import ConfigError, IRError

HOSTILE = '</script><script>alert(1)</script>"$(rm)`x`\n*/ $\\frac'


def _border(mismatches: int = 0) -> dict[str, Any]:
    first = {"node": "layers_0", "vector": 3, "element": 1, "got": 5, "expected": 6} if mismatches else None
    return {"vectors": 100, "mismatches": mismatches, "layers": {"layers_0": mismatches}, "first": first}


@pytest.fixture
def report() -> dict[str, Any]:
    stations = {"float": 0.9, "quantized": 0.8, "reference": 0.8, "csim": 0.8, "rtl": None}
    vectors = dict.fromkeys(
        ("total", "test", "corner", "random", "coverage", "boundary", "rtl", "rtl_test", "codes_reached", "codes_total",
         "changes_visible", "changes_total"), 7
    )  # fmt: skip
    layer = dict.fromkeys(
        ("inputs", "outputs", "edges", "edges_total", "codes", "accumulator_bits", "total_bits", "output_bits"), 2
    )
    engine = dict.fromkeys(
        ("latency_cycles", "ii", "lut", "lut_paired", "lut_paired_strict", "ff", "dsp", "bram", "carry"), 3
    )
    return {
        "schema": REPORT_SCHEMA,
        "name": "kan",
        "config": {"hardware": {"part": "xcvu9p"}},
        "dataset": {"name": "d", "n_train": 10, "n_test": 5, "classes": ["a", "b"], "target": "t"},
        "metric": "accuracy",
        "accuracy": stations,
        "equivalence": {"torch_vs_reference": _border(), "rtl_vs_reference": {"tables": _border()}},
        "vectors": vectors,
        "model": {"edges": 3, "edges_total": 4},
        "layers": [{"name": "layers_0", "form": "kan_linear", **layer}],
        "hardware": {"tables": engine},
        "seconds": {"total": 1.5},
        "versions": {"kan4ml": "0"},
        "confusion": [[3, 0], [1, 1]],
    }


def test_round_trip_and_page(report: dict[str, Any], tmp_path: Path) -> None:
    save_report(report, tmp_path / "report.json")
    loaded = load_report(tmp_path)
    assert loaded == report
    path = renew_html(loaded, tmp_path)
    page = path.read_text(encoding="utf-8")
    assert "Bit-exact" in page
    assert "not run" in page  # RTL has no accuracy here
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_a_mismatch_is_shown_on_page_and_terminal(report: dict[str, Any]) -> None:
    report["equivalence"]["csim_vs_reference"] = _border(4)
    page = render_html(report)
    assert "Not equal" in page
    assert "Bit-exact" not in page
    assert "got 5, expected 6" in page
    stream = io.StringIO()
    print_summary(Console(file=stream, width=150), report)
    assert "layer layers_0, vector 3, output 1: got 5, expected 6" in stream.getvalue()


@pytest.mark.parametrize("regression", [False, True])
def test_hostile_names_never_reach_the_page_unescaped(report: dict[str, Any], regression: bool) -> None:
    report["name"] = report["dataset"]["name"] = report["dataset"]["target"] = HOSTILE
    report["dataset"]["classes"] = [HOSTILE, "b"]
    if regression:
        values = report.pop("accuracy")
        del report["confusion"]
        report |= {"metric": "rmse", "rmse": values, "r2": values}
        report["scatter"] = {"true": [1.0, 2.0], "predicted": [1.5, 1.5]}
    page = render_html(report)
    assert "<script" not in page


@pytest.mark.parametrize("key", ["dataset", "equivalence", "layers", "vectors", "hardware", "accuracy", "versions"])
def test_a_report_that_lacks_something_is_refused(report: dict[str, Any], key: str) -> None:
    damaged = copy.deepcopy(report)
    del damaged[key]
    with pytest.raises(IRError, match="build the model again"):
        render_html(damaged)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 999}', "[" * 100_000])
def test_damaged_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(IRError):
        load_report(tmp_path)


def test_no_build_and_no_permission(report: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(IRError, match="kan4ml build"):
        load_report(tmp_path)
    (tmp_path / ".report.html.new").mkdir()
    with pytest.raises(ConfigError, match="writable"):
        renew_html(report, tmp_path)


def test_nan_has_no_place_in_a_report(report: dict[str, Any], tmp_path: Path) -> None:
    report["accuracy"]["float"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        save_report(report, tmp_path / "report.json")


def test_flatten_borders_names_engines(report: dict[str, Any]) -> None:
    assert [name for name, _ in flatten_borders(report["equivalence"])] == [
        "torch_vs_reference",
        "rtl_vs_reference (tables)",
    ]
    json.dumps(report)


@pytest.mark.parametrize("value", [None, "", "x", [1], {}, -1])
@pytest.mark.parametrize(
    "key", ["accuracy", "equivalence", "model", "hardware", "seconds", "dataset", "confusion", "config"]
)
def test_values_of_other_types_are_shown_or_refused(report: dict[str, Any], key: str, value: object) -> None:
    report[key] = value
    for show in (render_html, lambda r: print_summary(Console(file=io.StringIO()), r)):
        with contextlib.suppress(IRError):
            show(report)
