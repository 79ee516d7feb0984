"""Builds that several tests look at: made once per test session and never changed in place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"

#: A table that no part of the project has seen: two informative columns of very different size, one constant, one noise.
SMALL_CONFIG = """
data: {source: csv, path: rows.csv, label: kind, test_fraction: 0.25, seed: 1}
model: {widths: [4, 5, 3], grid: 4, order: 3, range: [-2, 2]}
quantize: {activations: 4, base_weights: 4, spline_weights: 4, basis: 6}
train: {epochs: 8, qat_epochs: 5, batch_size: 32, prune: {edges: 24}, threads: 1, seed: 3}
hardware: {rtl: [tables], synth: false, vectors: 600}
"""


def sentence(stderr: str) -> str:
    """Return the one sentence of an error; only lines of progress may come before it."""
    *progress, last = stderr.strip().splitlines()
    assert all(line.startswith("… ") for line in progress), stderr
    return last


def run_cli(*arguments: str | Path, cwd: Path | None = None, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-c", "from hwgen.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


def write_small_config(folder: Path) -> Path:
    """Write the small CSV and its configuration into `folder`."""
    rng = np.random.default_rng(7)
    kind = rng.integers(0, 3, 240)
    wide = 1e6 * (kind + rng.normal(0, 0.4, 240))
    narrow = 1e-5 * (np.cos(2 * kind) + rng.normal(0, 0.3, 240))
    lines = ["wide;narrow;same;noise;kind"]
    lines += [f"{a};{b};3;{c};{'αβγ'[k]}" for a, b, c, k in zip(wide, narrow, rng.normal(size=240), kind, strict=True)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / "small.yaml"
    path.write_text(SMALL_CONFIG)
    return path


@pytest.fixture(scope="session")
def small_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of a small CSV data set, without Yosys. Read-only by convention."""
    folder = tmp_path_factory.mktemp("small")
    out = folder / "out"
    result = run_cli("build", write_small_config(folder), "--out", out)
    assert result.returncode == 0, result.stderr + result.stdout
    return out


@pytest.fixture
def copy_build(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that copies a build so that a test may damage it."""

    def copy(build: Path) -> Path:
        return Path(shutil.copytree(build, tmp_path / "build"))

    return copy
