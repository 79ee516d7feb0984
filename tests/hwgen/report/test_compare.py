"""Builds side by side: the table, the Pareto front, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.report import REPORT_SCHEMA, Compared, compare, pareto, render_comparison
from pymodel.errors import ConfigError, IRError


def _report(quality: float, paired: int | None, metric: str = "accuracy", dataset: str = "d") -> dict[str, Any]:
    hardware = (
        {} if paired is None else {"tables": {"lut": paired + 9, "lut_paired": paired, "ff": 1, "latency_cycles": 3}}
    )
    return {
        "dataset": {"name": dataset},
        "metric": metric,
        metric: {"reference": quality},
        "model": {"edges": 5},
        "hardware": hardware,
        "equivalence": {"torch_vs_reference": {"vectors": 7, "mismatches": 0}},
    }


def _builds(*pairs: tuple[float, int | None], metric: str = "accuracy") -> list[Compared]:
    return compare([(f"b{k}", _report(q, cost, metric)) for k, (q, cost) in enumerate(pairs)])


def test_the_front_is_what_no_other_build_beats() -> None:
    builds = _builds((0.9, 100), (0.8, 200), (0.95, 300), (0.95, 400), (0.99, None))
    assert [b.name for b in pareto(builds)] == ["b0", "b2"]
    assert [b.name for b in pareto(_builds((3.0, 100), (2.0, 200), (2.5, 300), metric="rmse"))] == ["b0", "b1"]


def test_the_page_says_what_was_not_run_and_escapes_names() -> None:
    page = render_comparison(compare([("<b>", _report(0.9, 10)), ("c", _report(0.8, None))]))
    assert "not run" in page
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "<svg" not in render_comparison(_builds((0.9, None), (0.8, None)))


@pytest.mark.parametrize(
    ("reports", "error", "match"),
    [
        ([("a", _report(0.9, 1))], ConfigError, "at least two"),
        ([("a", _report(0.9, 1)), ("b", _report(0.9, 1, "rmse"))], ConfigError, "leave one"),
        ([("a", _report(0.9, 1)), ("b", _report(0.9, 1, dataset="e"))], ConfigError, "leave one"),
        ([("a", _report(0.9, 1)), ("b", {})], IRError, "build the model again"),
    ],
)
def test_refusals(reports: list[tuple[str, dict[str, Any]]], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        compare(reports)


def test_the_command_writes_the_page_and_json(tmp_path: Path) -> None:
    for name, quality, paired in (("a", 0.9, 10), ("b", 0.8, 20)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps({"schema": REPORT_SCHEMA, **_report(quality, paired)}))
    page = tmp_path / "page.html"
    arguments = ["report", str(tmp_path / "a"), str(tmp_path / "b"), "--compare", "--out", str(page)]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert [build["pareto"] for build in json.loads(result.stdout)["builds"]] == [True, False]
    assert "<svg" in page.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "page.html"]
    for refused in (arguments[:3], [*arguments[:-1], str(tmp_path / "none" / "page.html")]):
        assert isinstance(CliRunner().invoke(app, refused).exception, ConfigError)
