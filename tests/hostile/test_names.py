"""Names that are attacks stay in data files; in HTML they are text, and nothing is executed."""

from __future__ import annotations

import html
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hwgen.config import load_config
from tests.hostile.conftest import CLASSES, MARK, NAMES, TARGET, kan4ml, write_hostile_csv

pytestmark = [pytest.mark.xdist_group("hostile_build"), pytest.mark.rtl]


def test_no_name_reaches_generated_code(hostile_build: Path) -> None:
    seen = 0
    for part in ("hls", "rtl"):
        for path in (hostile_build / part).rglob("*"):
            if path.is_file() and path.suffix != ".so":
                seen += 1
                assert MARK.encode() not in path.read_bytes(), path
    assert seen > 20
    assert MARK in (hostile_build / "ir" / "ir.json").read_text()  # they are kept where they belong


class _Tags(HTMLParser):
    """Collects elements, and attributes that run code."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if any(name.startswith("on") or (MARK in (value or "") and name in ("src", "href")) for name, value in attrs):
            self.bad.append(tag)
        if tag in ("script", "img") and any(MARK in (value or "") for _, value in attrs):
            self.bad.append(tag)


def test_names_in_the_report_are_text(hostile_build: Path) -> None:
    page = (hostile_build / "report.html").read_text(encoding="utf-8")
    assert html.escape(CLASSES[2])[:10] in page or MARK not in page
    assert f"<script>{MARK}" not in page
    assert f"<img src={MARK}" not in page
    tags = _Tags()
    tags.feed(page)
    assert tags.bad == []


def test_commands_print_names_without_obeying_them(hostile_build: Path, tmp_path: Path) -> None:
    rows = write_hostile_csv(tmp_path / "rows.csv")
    found = kan4ml("predict", hostile_build, rows)
    assert found.status == 0, found.err
    assert found.out.splitlines()[0].startswith('"label')
    assert kan4ml("report", hostile_build, "--quiet").status == 0


def test_init_quotes_names(tmp_path: Path) -> None:
    rows = write_hostile_csv(tmp_path / "rows.csv")
    found = kan4ml("init", rows, "--out", "config.yaml")
    assert found.status == 0, found.err
    text = (tmp_path / "config.yaml").read_text()
    assert all(line.strip() == "" or line.isprintable() for line in text.splitlines())
    config = load_config(tmp_path / "config.yaml")
    assert (config.data.label, config.model.widths[0]) == (TARGET, len(NAMES))


@pytest.mark.parametrize("name", ["[red]", "$(id)", "a b", "ü", "-x", "x\x1b[31m", "a'b\"c", "x\ny"])
def test_files_with_such_names(name: str, tmp_path: Path) -> None:
    rows = write_hostile_csv(tmp_path / f"{name}.csv")
    found = kan4ml("init", "--out", f"{name}.yaml", "--", rows)
    assert found.status == 0, found.err
    assert "\x1b" not in found.out + found.err
    assert load_config(tmp_path / f"{name}.yaml").data.path == rows
