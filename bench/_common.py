"""What every benchmark records about the machine and the run, and how results are written."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "provenance", "write_result"]

RESULTS = Path(__file__).parent / "results"


def _git(*words: str) -> str:
    return subprocess.run(
        ("git", *words), capture_output=True, text=True, check=True, cwd=RESULTS.parent
    ).stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((li.split(":", 1)[1].strip() for li in lines if li.startswith("model name")), platform.processor())


def provenance(*packages: str) -> dict[str, Any]:
    """Return date, commit, machine, load and the versions of `packages`."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def write_result(path: Path, what: str, origin: Mapping[str, Any], **content: Any) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"what": what, **origin, **content}, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")
