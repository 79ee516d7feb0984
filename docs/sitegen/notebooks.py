"""Notebooks as pages: the cells of `examples/notebooks/*.ipynb` as Markdown, without a Jupyter extension."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["notebook_page"]


def notebook_page(path: Path) -> str:
    """Return the notebook at `path` as Markdown: text as it is, code as blocks, committed outputs below them."""
    book = json.loads(path.read_text(encoding="utf-8"))
    out: list[str] = []
    for cell in book["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            out += [source, ""]
        elif source:
            out += ["```python" if not source.startswith("%%") else "```none", source, "```", ""]
            shown = "".join("".join(output.get("text", "")) for output in cell["outputs"]).strip()
            if shown:
                out += ["```none", shown, "```", ""]
    note = f"This page is the notebook `examples/notebooks/{path.name}`, which the test suite executes."
    first, *rest = "\n".join(out).split("\n", 1)
    return "\n".join([first, "", note, *rest])
