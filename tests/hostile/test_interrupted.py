"""A full disk, Ctrl-C or another build at any stage: the earlier build stays whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hwgen.config import load_config
from hwgen.flow import _build
from pymodel.errors import ConfigError

pytestmark = [pytest.mark.xdist_group("hostile_build"), pytest.mark.rtl]

#: What each stage of a build calls, in order.
STAGES = ("train", "save_float", "save_frozen", "save_ir", "make_vectors", "save_vectors", "torch_border", "generate", "csim_border", "rtl_border", "metric_values", "save_report", "renew_html")  # fmt: skip


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _errors() -> dict[str, BaseException]:
    return {"a full disk": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "Ctrl-C": KeyboardInterrupt()}


@pytest.mark.parametrize("cause", ["a full disk", "Ctrl-C"])
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage(
    stage: str,
    cause: str,
    remembered_build: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hostile_build, remembered = remembered_build
    target = tmp_path / "build"
    shutil.copytree(hostile_build, target, ignore=shutil.ignore_patterns("ap_types"))
    before = _tree(target)
    reached: list[str] = []

    def fail(*_: Any, **__: Any) -> None:
        reached.append(stage)
        raise _errors()[cause]

    for name, value in remembered.items():
        monkeypatch.setattr(_build, name, lambda *_, _value=value, **__: _value)
    monkeypatch.setattr(_build, stage, fail)
    with pytest.raises(ConfigError if cause == "a full disk" else KeyboardInterrupt) as caught:
        _build.build(load_config(hostile_build / "config.yaml"), target)
    assert reached == [stage]
    if cause == "a full disk":
        assert "no space is left" in str(caught.value)
    assert _tree(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".build.lock", "build"]


def _start(config: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        "from hwgen.cli import main; main()",
        "build",
        str(config),
        "--out",
        str(out),
        *more,
    ]
    # A shell's background job ignores Ctrl-C, and so would what it starts.
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_two_builds_of_one_folder_and_ctrl_c(hostile_build: Path, tmp_path: Path) -> None:
    """The second build is refused while the first one runs; the first one, interrupted twice, leaves what was there."""
    out = tmp_path / "build"
    shutil.copytree(hostile_build, out, ignore=shutil.ignore_patterns("ap_types"))
    before = _tree(out)
    config = hostile_build / "config.yaml"
    first = _start(config, out, "--set", "train.epochs=90000")
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / ".build.building" / "config.yaml").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        second = _start(config, out)
        _, error = second.communicate(timeout=120)
        assert second.returncode == 2
        assert error.splitlines()[-1].startswith(f"kan4ml: another build is writing {out}")
        for _ in range(2):
            first.send_signal(signal.SIGINT)
            time.sleep(0.5)
        _, error = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 130
    assert error.splitlines()[-1] == "kan4ml: interrupted"
    assert _tree(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".build.lock", "build"]


def test_a_disk_that_is_really_full(hostile_build: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        (disk / "build").mkdir()
        (disk / "build" / "report.json").write_text(json.dumps({"schema": 1}))
        process = _start(hostile_build / "config.yaml", disk / "build")
        _, error = process.communicate(timeout=120)
        assert process.returncode == 2
        assert len(error.strip().splitlines()) == 1
        assert "space" in error
        assert [path.name for path in (disk / "build").iterdir()] == ["report.json"]
        assert not (disk / ".build.building").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
