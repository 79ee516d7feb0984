"""A build whose names are attacks, and a way to run the command line under limits."""

from __future__ import annotations

import contextlib
import io
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from hwgen import _exit
from hwgen.cli import app
from hwgen.config import make_config
from hwgen.flow import _build

#: What must never be seen outside of data files, and be escaped in HTML.
MARK = "kan4mlPWNED"
NAMES = (
    f'a*/ {MARK}(); /*"',
    f"b`touch {MARK}`",
    f"c$(touch {MARK})",
    f'd\n`include "{MARK}"\nendmodule',
    f"<script>{MARK}</script>",
    f"ε'; rm -rf {MARK} #",
)
CLASSES = (f"]] {MARK} [exec touch {MARK}]", f"x*/{MARK}\n//", f"<img src={MARK} onerror=alert(1)>")
TARGET = f'label\\";$(touch {MARK})`{MARK}`*/'
SECONDS = 10
_GIGABYTES = 2 << 30


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str
    seconds: float


def kan4ml(*arguments: str | Path) -> Outcome:
    """Run the command line in this process: at most 10 seconds, and 2 GB more than it has."""
    out, err = io.StringIO(), io.StringIO()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    argv, sys.argv = sys.argv, ["kan4ml", *map(str, arguments)]
    previous = signal.signal(signal.SIGALRM, _too_long)
    start = time.monotonic()
    resource.setrlimit(resource.RLIMIT_AS, (size + _GIGABYTES, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = _exit.status(app)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        sys.argv = argv
    return Outcome(int(status), out.getvalue(), err.getvalue(), time.monotonic() - start)


def _too_long(_number: int, _frame: FrameType | None) -> None:
    pytest.fail(f"the command ran for more than {SECONDS} seconds")


def write_hostile_csv(path: Path) -> Path:
    """Write rows whose column names and classes are attacks."""
    rng = np.random.default_rng(3)
    k = rng.integers(0, len(CLASSES), 150)
    X = rng.normal(size=(150, len(NAMES))) + k[:, None]
    quoted = ['"' + name.replace('"', '""') + '"' for name in (*NAMES, TARGET)]
    labels = ['"' + name.replace('"', '""') + '"' for name in CLASSES]
    lines = [
        ",".join(quoted),
        *(",".join([*(f"{v:.4f}" for v in row), labels[c]]) for row, c in zip(X, k, strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def remembered_build(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The build below, and what its slow stages returned."""
    folder = tmp_path_factory.mktemp("hostile")
    document = {
        "data": {"source": "csv", "path": str(write_hostile_csv(folder / "rows.csv")), "label": TARGET},
        "model": {"widths": [len(NAMES), 3, len(CLASSES)], "grid": 3, "order": 2},
        "train": {"epochs": 2, "qat_epochs": 1, "prune": 0.4},
        "hardware": {"rtl": ["tables"], "synth": False, "vectors": 50, "rtl_vectors": 100},
    }
    found: dict[str, Any] = {}

    def remember(name: str) -> Callable[..., Any]:
        original = getattr(_build, name)

        def call(*arguments: Any, **options: Any) -> Any:
            found[name] = original(*arguments, **options)
            return found[name]

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("train", "make_vectors", "csim_border", "rtl_border"):
            patch.setattr(_build, name, remember(name))
        _build.build(make_config(document, folder), folder / "build")
    return folder / "build", found


@pytest.fixture(scope="session")
def hostile_build(remembered_build: tuple[Path, dict[str, Any]]) -> Path:
    """A build, with RTL, of rows whose names are attacks. Read-only by convention."""
    return remembered_build[0]


@pytest.fixture
def damaged(hostile_build: Path, tmp_path: Path) -> Callable[[], Path]:
    """Return a function that copies the build without its C++ and RTL, to be damaged."""

    def copy() -> Path:
        target = tmp_path / "build"
        shutil.copytree(hostile_build, target, ignore=shutil.ignore_patterns("ap_types", "nnet_utils", "csim"))
        return target

    return copy


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a folder of its own; attacks that work would leave a file there."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.glob(f"*{MARK}*")), "a name was executed"
