"""Figures as inline SVG, the same bytes for the same content."""

from __future__ import annotations

import io
from typing import Any

from markupsafe import Markup

__all__ = ["plain_text", "svg"]


def plain_text(text: str, longest: int) -> str:
    """Return a label that matplotlib will not take for a formula, cut to `longest` characters, without control characters."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    return shown.replace("$", r"\$")


def svg(draw: Any, size: tuple[float, float] = (5.2, 4.2)) -> Markup:
    """Run `draw(axes)` on a new figure of `size` inches and return it as inline SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "kan4ml", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - matplotlib escapes every label itself
