"""Machine code on disk: never stale, never required."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import pytest

import pymodel
from pymodel.reference import _kernel

_PROGRAM = """
import numpy as np
from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, HostSpec, KanIR, Quantize, Task
from pymodel.reference import Reference
coder = AffineCoder(np.array([1]), np.array([0]), 0, 4, 0.0, 1.0)
signed = FixedPoint(8, 8, True)
nodes = (
    Quantize("x", (), signed, 1.0, 0.0, 1),
    EdgeTable("e", ("x",), signed, 1.0, 0.0, coder=coder, tables=np.arange(4).reshape(1, 4, 1), bias=np.zeros(1, int), shift=0),
)
ir = KanIR("m", nodes, "e", HostSpec(Task.REGRESSION, ("f",), (0.0,), (1.0,)))
print(Reference(ir).run(np.array([[-5], [0], [2], [9]]))["e"].ravel().tolist())
"""


def _run(folder: Path) -> str:
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", _PROGRAM], env=env, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_changed_unit_is_compiled_into_its_callers_again(tmp_path: Path) -> None:
    source = Path(pymodel.__file__).parent
    shutil.copytree(source, tmp_path / "pymodel", ignore=shutil.ignore_patterns("__pycache__"))
    assert _run(tmp_path) == "[0, 0, 2, 3]"
    cache = tmp_path / "pymodel" / "reference" / "__pycache__"
    compiled = sorted(p.name for p in cache.glob("edge_table*.nbi"))
    assert compiled
    unit = tmp_path / "pymodel" / "reference" / "coder.py"
    stat = unit.stat()
    text = unit.read_text()
    changed = text.replace("min(max(floored, 0), n_codes - 1)", "min(max(floored, 1), n_codes - 1)")
    assert changed != text
    unit.write_text(changed)
    os.utime(unit, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same age, other content
    assert _run(tmp_path) == "[1, 1, 2, 3]"


def test_no_folder_for_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def unwritable(*, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(_kernel, "numba", SimpleNamespace(njit=unwritable))

    @_kernel.kernel()
    def double(x: int) -> int:
        return x + x

    assert double(21) == 42
    _kernel.drop_stale_caches([double])
