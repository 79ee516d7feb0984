"""The house: one version, one changelog, a workflow that runs what everybody runs, and a CONTRIBUTING that is true."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import yaml

from hwgen._exit import ExitStatus
from pymodel import __version__

ROOT = Path(__file__).parents[2]


def test_the_version_stands_in_one_place() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["cff-version"] == "1.2.0"
    assert re.search(
        rf"^## {re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"]' in project
    assert not re.search(r'^version = "', project, re.MULTILINE)


def test_the_workflow_runs_ci_run() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["lint-and-test"]["steps"]
    assert any(step.get("run") == ".ci/run" for step in steps)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make lint" in script
    assert "make test" in script
    for form in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(form.read_text(encoding="utf-8")), form.name


def test_every_target_of_make_is_phony_or_a_file() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())  # type: ignore[index]
    targets = set(re.findall(r"^([\w-]+):", text, re.MULTILINE))
    assert targets == phony


def test_every_change_that_a_user_sees_has_its_command_in_the_changelog() -> None:
    from sitegen.commands import command_names

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in command_names():
        assert f"`{name}`" in text or f"kan4ml {name}" in text, name


def test_every_exit_status_is_explained() -> None:
    table = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8").split("## Exit status")[1].split("```")[0]
    cells = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    assert {int(number) for cell in cells for number in cell.split(",")} == set(ExitStatus)


def test_the_map_of_the_folders_is_complete() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| (`[^|]+`) \|$", text, re.MULTILINE)
    named = set()
    for folders, files in rows:
        places = re.findall(r"`([^`]+)`", folders)
        named.update(places)
        for place in places:
            assert (ROOT / place).is_dir(), place
        for file in re.findall(r"`([^`]+)`", files):
            assert any((ROOT / place / file).is_file() for place in places), (folders, file)
    there = {f"{top}/{p.parent.name}" for top in ("pymodel", "hwgen") for p in (ROOT / top).glob("[!_]*/__init__.py")}
    assert there <= named, there - named


def _imports(path: Path) -> set[str]:
    """Return the names of modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def test_imports_go_one_way() -> None:
    forbidden = {
        "pymodel": ("sim", "hwgen", "tests", "bench"),
        "sim": ("hwgen", "tests", "bench"),
        "hwgen": ("tests", "bench"),
    }
    for top, others in forbidden.items():
        for path in (ROOT / top).rglob("*.py"):
            for name in _imports(path):
                assert name.split(".")[0] not in others, f"{path.relative_to(ROOT)} imports {name}"


def test_files_of_the_tree_have_no_paths_of_a_machine() -> None:
    """What is committed as text for people names no home or temporary folder of anybody."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "*.ipynb", "*.yaml", "*.yml", "*.toml"], cwd=ROOT, capture_output=True, text=True
    )
    names = listed.stdout.split() or ["README.md"]  # an unpacked sdist has no history
    for name in names:
        path = ROOT / name
        if path.is_file():
            assert not re.search(r"(?<![\w.])/(home|root|Users)/\w", path.read_text(encoding="utf-8")), name
