"""Every sentence of every error that a user can cause, collected from the code."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

__all__ = ["messages_page", "sentences"]

PACKAGES = ("pymodel", "sim", "hwgen")
#: Exceptions that a user sees as one sentence; a test compares this with the subclasses of Kan4mlError.
CLASSES = (
    "ConfigError",
    "DataError",
    "ModelError",
    "IRError",
    "ToolError",
    "MismatchError",
    "NetlistError",
    "Refused",
    "Kan4mlError",
)


def _text(node: ast.expr) -> str | None:
    """Return a string literal or an f-string with `…` for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values]
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None or right is None else left + right
    return None


def sentences(root: Path) -> dict[str, list[str]]:
    """Return the sentences that are raised below `root`, sorted, by the name of the class."""
    found: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                text = _text(node.args[0]) if name in CLASSES else None
                if text and len(text.split()) > 3:
                    found[name].add(re.sub(r"\s+", " ", text).strip())
    return {name: sorted(found[name], key=lambda s: s.lstrip("…' ").lower()) for name in CLASSES if found[name]}


def messages_page(root: Path) -> str:
    """Return the page of all sentences as Markdown."""
    out = [
        "# All error sentences",
        "",
        (
            "Collected from the code when this site is built; `…` is what the sentence names. [Errors](../errors.md) has the exit status "
            "and what each class means."
        ),
        "",
    ]
    for name, texts in sentences(root).items():
        out += [f"## `{name}`", ""]
        out += [f"- {_escaped(text)}" for text in texts]
        out.append("")
    return "\n".join(out)


def _escaped(text: str) -> str:
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\*_\[\]<>#|])", r"\\\1", parts[i])
    return "`".join(parts)
