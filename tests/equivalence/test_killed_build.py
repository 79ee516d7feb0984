"""A build killed at random moments over an earlier good one leaves that one whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.equivalence.conftest import run_cli, write_small_config

pytestmark = [pytest.mark.slow, pytest.mark.rtl, pytest.mark.xdist_group("small_build")]


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_sigkill_leaves_the_earlier_build_whole(small_build: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(small_build, out)
    config = write_small_config(tmp_path)
    before = _tree(out)
    command = [sys.executable, "-c", "from hwgen.cli import main; main()", "build", str(config), "--out", str(out)]
    moments = random.Random(11)
    finished = 0
    for _ in range(10):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(moments.uniform(1.0, 14.0))
        finished += process.poll() is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        after = _tree(out)
        assert set(after) == set(before)
        for name in ("ir/ir.npz", "ir/ir.json", "rtl/tables/kan_top.v", "config.yaml"):
            assert after[name] == before[name], name
    assert finished < 10, "every build was finished before it could be killed"
    result = run_cli("verify", out)
    assert result.returncode == 0, result.stderr


def test_sigterm_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from hwgen.cli import main; main()", "build"]
    command += [str(write_small_config(tmp_path)), "--out", str(tmp_path / "out"), "--set", "train.epochs=5000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / ".out.building" / "config.yaml").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.terminate()
    assert process.wait(60) == 143
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.lock", "rows.csv", "small.yaml"]
