"""The documentation site: it builds without a warning, and its generated references are complete."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sitegen import headers, messages, pages
from sitegen.commands import command_names

from pymodel.errors import Kan4mlError

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("docs_site")]  # the site is built once


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs-site` does."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-d", out / "doctrees"]
    done = subprocess.run([*command, ROOT / "docs", out / "html"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html"


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")).replace("&#39;", "'").replace("&quot;", '"')


def test_the_site_builds_and_every_page_is_reached(site: Path) -> None:
    contents = (site / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f'href="{page.stem}.html' in contents or page.stem == "index", page.name
    for book in (ROOT / pages.NOTEBOOKS).glob("*.ipynb"):
        assert f"generated/notebooks/{book.stem}.html" in contents
    assert not list(site.rglob("*problematic*"))


def test_links_between_pages_hold(site: Path) -> None:
    """Sphinx warns of a missing page; an anchor that no heading has is found here."""
    ids: dict[Path, set[str]] = {}
    checked = 0
    for page in site.rglob("*.html"):
        if "_static" in page.parts:
            continue
        content = re.search(r'<article role="main"[^>]*>(.*?)</article>', page.read_text(encoding="utf-8"), re.DOTALL)
        for target, anchor in re.findall(r'href="([^"#:]*\.html)?(?:#([^"]+))?"', content[1] if content else ""):
            to = (page.parent / target).resolve() if target else page
            assert to.is_file(), (page.name, target)
            if to not in ids:
                ids[to] = set(re.findall(r'id="([^"]+)"', to.read_text(encoding="utf-8")))
            assert not anchor or anchor in ids[to], (page.name, target, anchor)
            checked += 1
    assert checked > 100


def test_every_command_is_documented(site: Path) -> None:
    text = text_of(site / "generated" / "cli.html")
    for name in command_names():
        assert f"kan4ml {name}" in text


def test_every_header_declaration_is_documented(site: Path) -> None:
    text = text_of(site / "generated" / "cpp.html")
    for path in (ROOT / "hls" / "kan4ml").glob("*.h"):
        source = path.read_text(encoding="utf-8")
        _, entities = headers.parse_header(source)
        assert len(entities) >= source.count("\\brief"), path.name
        assert sum(len(e.parameters) for e in entities) == len(re.findall(r"/// \\t?param ", source)), path.name
        for entity in entities:
            assert entity.name in text, (path.name, entity.name)


def test_a_comment_without_a_declaration_is_refused() -> None:
    with pytest.raises(ValueError, match="move the comment"):
        headers.parse_header("#pragma once\n/// \\brief Lost.\n\n")


def test_every_facade_has_its_page(site: Path) -> None:
    """A public package is one whose `__init__` lists names; each must be in the reference."""
    names = pages.facades()
    for top in ("pymodel", "sim", "hwgen"):
        for module in pkgutil.iter_modules(importlib.import_module(top).__path__, f"{top}."):
            if module.ispkg and not module.name.rpartition(".")[2].startswith("_"):
                assert module.name in names or not hasattr(importlib.import_module(module.name), "__all__"), module.name
    for name in names:
        text = text_of(site / "generated" / "api" / f"{name}.html")
        for member in importlib.import_module(name).__all__:
            value = getattr(importlib.import_module(name), member)
            if inspect.isclass(value) or inspect.isfunction(value):
                assert member in text, f"{name}.{member}"


def test_the_sentences_are_those_of_all_error_classes() -> None:
    found = {Kan4mlError.__name__}
    waiting = [Kan4mlError]
    for name in ("hwgen.tables.netlist", "hwgen.openhls"):
        importlib.import_module(name)
    while waiting:
        for child in waiting.pop().__subclasses__():
            if child.__module__.split(".")[0] in messages.PACKAGES:
                found.add(child.__name__)
                waiting.append(child)
    assert found == set(messages.CLASSES)
    collected = messages.sentences(ROOT)
    assert sum(map(len, collected.values())) > 300
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for name in found:
        assert f"`{name}`" in page or f".{name}`" in page, name
