"""The worked example of docs/kernels.md: its commands are run, and print what the page says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")


def test_the_worked_example(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "hls", tmp_path / "hls", ignore=shutil.ignore_patterns("bin"))
    blocks = re.findall(r"```sh\n(.*?)```\n\n.*?```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == PAGE.count("```sh") == 3
    folder = tmp_path
    for commands, shown in blocks:
        script = f"set -e\nexport PYTHON={sys.executable}\n{commands}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=folder, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        for line in shown.splitlines():
            assert line.strip() in done.stdout, (line, done.stdout)
        folder = tmp_path / "edited"
    changed = (folder / "kan4ml" / "rescale.h").read_text(encoding="utf-8")
    assert changed != (ROOT / "hls" / "kan4ml" / "rescale.h").read_text(encoding="utf-8")


def test_the_page_names_files_that_exist() -> None:
    for name in re.findall(r"\]\((\w+\.md)\)", PAGE):
        assert (ROOT / "docs" / name).is_file(), name
    for path in ("tests/hls/equivalent_mutants.toml", "bench/mutants.py", "hls/README.md", "CONTRIBUTING.md"):
        assert path in PAGE
        assert (ROOT / path).is_file()
