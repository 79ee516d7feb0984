"""A sweep as a picture: the measure against bits, one line per branch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymodel.sensitivity._sweep import Sensitivity

__all__ = ["plot"]

_COLOURS = {"activations": "C3", "basis": "C0", "base": "C1", "spline": "C2", "scaler": "C4"}
_STYLES = ("-", "--", ":", "-.")


def plot(result: Sensitivity, path: Path, *, title: str = "") -> None:
    """Write a sweep to `path`, SVG or PNG by its suffix; the same sweep gives the same bytes.

    Fonts are drawn as outlines, so that the file needs nothing else.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    percent = result.measure == "accuracy"
    factor, unit = (100.0, "accuracy in %") if percent else (1.0, "R²")
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "kan4ml", "font.size": 9}):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.axhline(factor * result.float_value, color="0.6", linewidth=0.8, label="float")
        for curve in result.curves:
            whole = curve.layer is None
            style = "-" if curve.layer is None else _STYLES[1 + curve.layer % (len(_STYLES) - 1)]
            axes.plot(
                [point.bits for point in curve.points],
                [factor * point.value for point in curve.points],
                style,
                color=_COLOURS[curve.branch],
                marker="o" if whole else None,
                markersize=4,
                linewidth=1.6 if whole else 0.9,
                label=curve.name,
            )
        axes.set_xticks(sorted(result.settings.bits))
        axes.invert_xaxis()
        axes.set_xlabel(f"bits of one branch (the others: {result.settings.others})")
        axes.set_ylabel(f"{unit} of the integers, {result.rows:,} {result.part} rows")
        axes.set_title(title or f"sensitivity, {result.settings.method}", fontsize=10)
        axes.grid(visible=True, linewidth=0.3)
        axes.legend(fontsize=8)
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, metadata=metadata, dpi=150)
