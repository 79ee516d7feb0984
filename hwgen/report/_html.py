"""`report.html`: one self-contained file made from `report.json`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from hwgen.report._figure import plain_text, svg
from hwgen.report._picture import codes_picture, functions_picture, network_picture
from pymodel.errors import ConfigError, IRError

__all__ = ["flatten_borders", "render_html", "renew_html", "write_page"]

_MAX_CLASSES_LABELLED = 30


def flatten_borders(equivalence: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (name, entry) of every border; those of hardware have one entry per engine."""
    borders: list[tuple[str, Mapping[str, Any]]] = []
    for name, entry in equivalence.items():
        if "vectors" in entry:
            borders.append((name, entry))
        else:
            borders += [(f"{name} ({engine})", e) for engine, e in entry.items()]
    return borders


def _confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Markup:
    def draw(axes: Any) -> None:
        axes.imshow(matrix, cmap="Blues")
        axes.set(xlabel="predicted", ylabel="true", title="Test rows, integer model")
        if len(classes) <= _MAX_CLASSES_LABELLED:
            labels = [plain_text(label, 16) for label in classes]
            axes.set_xticks(range(len(classes)), labels, rotation=90)
            axes.set_yticks(range(len(classes)), labels)
            peak = max(max(row) for row in matrix)
            for i, row in enumerate(matrix):
                for j, count in enumerate(row):
                    if count:
                        axes.text(j, i, str(count), ha="center", va="center", color="w" if count > peak / 2 else "k")

    return svg(draw)


def _scatter(true: Sequence[float], predicted: Sequence[float], target: str) -> Markup:
    def draw(axes: Any) -> None:
        axes.scatter(true, predicted, s=6)
        low, high = min(*true, *predicted), max(*true, *predicted)
        axes.plot([low, high], [low, high], linewidth=1, color="0.5")
        name = plain_text(target, 40)
        axes.set(xlabel=f"{name}, true", ylabel=f"{name}, integer model", title="Test rows")

    return svg(draw)


def _format(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "not run"


def render_html(report: Mapping[str, Any]) -> str:
    """Return the page for a report (as :func:`~hwgen.report.load_report` gives it). Every text in it is escaped.

    Raises:
        IRError: if the report lacks something.
    """
    try:
        return _render(report)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, jinja2.UndefinedError) as error:
        raise IRError(f"report.json is not complete ({error}); build the model again") from None


def _render(report: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    borders = flatten_borders(report["equivalence"])
    metrics = ["accuracy"] if "accuracy" in report else ["rmse", "r2"]
    plot = None
    if report.get("confusion"):
        plot = _confusion(report["confusion"], report["dataset"]["classes"])
    elif report.get("scatter"):
        plot = _scatter(report["scatter"]["true"], report["scatter"]["predicted"], report["dataset"]["target"])
    return environment.get_template("template.html").render(
        r=report,
        **_network(report),
        equal=all(entry["mismatches"] == 0 for _, entry in borders),
        metrics=metrics,
        metric_title="Accuracy" if metrics == ["accuracy"] else "Error",
        stations=[s for s in ("float", "quantized", "reference", "csim", "rtl") if s in report[metrics[0]]],
        borders=borders,
        part=report["config"]["hardware"]["part"],
        plot=plot,
        fmt=_format,
    )


def _network(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pictures of the network; reports of earlier versions have none."""
    layers = report.get("network") or []
    if not layers:
        return {"picture": None, "parts": []}
    features = [str(name) for name in report["dataset"].get("features", ())]
    parts = [
        (layer, functions_picture(layer, features if index == 0 else ()), codes_picture(layer))
        for index, layer in enumerate(layers)
    ]
    return {"picture": network_picture(layers, features, report["dataset"]["classes"]), "parts": parts}


def renew_html(report: Mapping[str, Any], folder: Path) -> Path:
    """Write `report.html` into `folder` (beside it first, then renamed over an earlier one) and return its path.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    path = folder / "report.html"
    write_page(render_html(report), path)
    return path


def write_page(text: str, path: Path) -> None:
    """Write a page beside `path` first, then rename it over an earlier one.

    Raises:
        ConfigError: if it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise ConfigError(f"{path} cannot be written ({error.strerror}); make its folder writable") from None
