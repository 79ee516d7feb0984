"""The Sphinx extension that writes `docs/generated/` from the code when the site is built.

Command line, configuration, C++ and Python references, the notebooks, and the pages that live elsewhere in the tree
(README of the library, CONTRIBUTING, CHANGELOG) become pages of the site. Links of a page to a file outside of `docs/`
lead to its page, or become the file's name where there is none.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitegen.commands import commands_page
from sitegen.headers import headers_page
from sitegen.messages import messages_page
from sitegen.notebooks import notebook_page
from sitegen.settings import settings_page

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["NOTEBOOKS", "OUTSIDE", "facades", "generate_pages", "setup"]

ROOT = Path(__file__).resolve().parents[2]

#: Public Python modules, in the order of the pipeline; packages that are not among them come behind.
_ORDER = (
    "pymodel.ir",
    "pymodel.layers",
    "pymodel.fabric",
    "pymodel.importers",
    "pymodel.quant",
    "pymodel.train",
    "pymodel.lower",
    "pymodel.reference",
    "pymodel.data",
    "pymodel.settings",
    "pymodel.errors",
    "sim.csim",
    "sim.cosim",
    "sim.equivalence",
    "sim.vectors",
    "sim.verify",
    "hwgen.config",
    "hwgen.flow",
    "hwgen.plugin",
    "hwgen.tables",
    "hwgen.openhls",
    "hwgen.adapters",
    "hwgen.synth",
    "hwgen.fit",
    "hwgen.prove",
    "hwgen.report",
)

#: Pages that are written elsewhere, by their page of the site.
OUTSIDE = {
    "hls": "hls/README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
NOTEBOOKS = "examples/notebooks"


def _relinked(text: str, folder: Path, page: Path) -> str:
    """Return `text`, a page that lies in `folder`, with links that hold from the page of the site `page`."""
    pages = {ROOT / source: ROOT / "docs" / "generated" / f"{name}.md" for name, source in OUTSIDE.items()}

    def replace(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target or not target:
            return match[0]
        file = (folder / target).resolve()
        to = pages.get(file, file)
        if to.suffix == ".md" and to.is_relative_to(ROOT / "docs"):
            return f"[{label}]({_relative(to, page.parent)}{anchor})"
        if match[0].startswith("!"):
            return match[0]
        return label if label.startswith("`") else f"{label} (`{file.relative_to(ROOT)}`)"

    return re.sub(r"!?\[((?:[^\]\\]|\\.)*)\]\(([^)#\s]*)(#[^)\s]*)?\)", replace, text)


def _relative(target: Path, start: Path) -> str:
    import os

    return Path(os.path.relpath(target, start)).as_posix()


def _api_page(name: str) -> str:
    """Return the page of a facade: what its `__all__` lists, from the docstrings."""
    module = importlib.import_module(name)
    if not (inspect.getdoc(module) or "").strip():
        raise ValueError(f"{name} has no docstring; say what it is for")
    for public in module.__all__:  # a facade may import what it lists when it is asked for
        module.__dict__.setdefault(public, getattr(module, public))
    title = f"``{name}``"
    return f"{title}\n{'=' * len(title)}\n\n.. automodule:: {name}\n   :members:\n   :member-order: groupwise\n"


def facades() -> list[str]:
    """Return the public modules: packages whose `__init__` lists names in `__all__`, and the single modules of `_ORDER`."""
    found = list(_ORDER)
    for top in ("pymodel", "sim", "hwgen"):
        for init in sorted((ROOT / top).glob("[!_]*/__init__.py")):
            name = f"{top}.{init.parent.name}"
            if name not in found and re.search(r"^__all__ = ", init.read_text(encoding="utf-8"), re.MULTILINE):
                found.append(name)
    return found


def generate_pages(folder: Path) -> dict[str, str]:
    """Return the content of every generated page by its path below `folder`, which is `docs/generated`."""
    pages: dict[str, str] = {
        "cli.md": commands_page(),
        "configuration.md": settings_page(),
        "messages.md": messages_page(ROOT),
        "cpp.md": headers_page(ROOT / "hls" / "kan4ml"),
    }
    public = facades()
    for name in public:
        pages[f"api/{name}.rst"] = _api_page(name)
    listing = "\n".join(f"   {name}" for name in public)
    pages["api/index.rst"] = (
        "Python API\n==========\n\nThe public modules, in the order of the pipeline: what each facade lists in ``__all__``. "
        f"Modules that start with an underscore are private.\n\n.. toctree::\n   :maxdepth: 1\n\n{listing}\n"
    )
    for name, source in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        pages[f"{name}.md"] = _relinked(text, (ROOT / source).parent, folder / f"{name}.md")
    for book in sorted((ROOT / NOTEBOOKS).glob("*.ipynb")):
        page = folder / "notebooks" / f"{book.stem}.md"
        pages[f"notebooks/{book.stem}.md"] = _relinked(notebook_page(book), book.parent, page)
    return pages


def _write_pages(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "generated"
    pages = generate_pages(folder)
    for path, text in pages.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
    for old in folder.rglob("*"):
        if old.is_file() and old.relative_to(folder).as_posix() not in pages:
            old.unlink()


def _relink_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Let the links of a page of `docs/` to files outside of it lead to pages of the site."""
    page = Path(app.srcdir) / f"{name}.md"
    if not name.startswith("generated/") and page.is_file():
        source[0] = _relinked(source[0], page.parent, page)


def _one_name_each(lines: list[str]) -> list[str]:
    """Return a docstring in which an entry of several names, `a, b: text`, is an entry for each of them."""
    out: list[str] = []
    at = 0
    while at < len(lines):
        match = re.match(r"^(\s{4,})([A-Za-z]\w*(?:, \w+)+):\s(.*)$", lines[at])
        end = at + 1
        if match is None:
            out.append(lines[at])
        else:
            while end < len(lines) and lines[end].startswith(match[1] + " "):
                end += 1
            for name in match[2].split(", "):
                out += [f"{match[1]}{name}: {match[3]}", *lines[at + 1 : end]]
        at = end
    return out


def _plain_docstring(_app: Sphinx, what: str, *rest: Any) -> None:
    """Make docstrings safe as reStructuredText: formulas hold `*`, `|` and `_`, which are not meant as markup there."""
    lines: list[str] = rest[-1]
    lines[:] = _one_name_each(lines)
    if what in ("attribute", "data") and lines:  # napoleon would take what stands before a colon for a type
        lines[0] = re.sub(r"(?<=\w|\)): ", " -- ", lines[0])
    for i, line in enumerate(lines):
        parts = re.split(r"(:\w+:`[^`]*`|``[^`]+``|`[^`]+`)", line)
        for j in range(0, len(parts), 2):
            parts[j] = re.sub(r"(?<!\\)([*|])", r"\\\1", parts[j])
            parts[j] = re.sub(r"(\w)_(?=\W|$)", r"\1\\_", parts[j])
        lines[i] = "".join(parts)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    handlers: list[tuple[str, Callable[..., Any], int]] = [
        ("builder-inited", _write_pages, 500),
        ("source-read", _relink_page, 500),
        ("autodoc-process-docstring", _plain_docstring, 400),  # before napoleon
    ]
    for event, handler, priority in handlers:
        app.connect(event, handler, priority=priority)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
