"""Builds side by side: the table, the Pareto front, and what cannot be compared."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.report import Compared, compare, pareto, render_comparison
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
