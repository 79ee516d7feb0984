"""The tables of README and documentation come from committed results (their code blocks: tests/docs/test_blocks.py)."""

from __future__ import annotations

import subprocess
import sys

from tests.equivalence.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_tables_are_those_of_the_committed_results() -> None:
    result = subprocess.run([sys.executable, "docs/figures.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_it_shows_real_output() -> None:
    assert "<!-- demo output -->" not in README
    assert "<!-- test output -->" not in README
    assert "mismatches" in README
