"""How the kernels are compiled, and a cache that never serves stale code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numba

__all__ = ["drop_stale_caches", "kernel"]

_F = TypeVar("_F", bound=Callable[..., Any])
_STAMP = "kan4ml_reference.sha256"


def kernel(*, parallel: bool = False) -> Callable[[_F], _F]:
    """Return a decorator that compiles a kernel on its first call and keeps the machine code on disk if it can.

    Integers only: no fastmath, nothing to round. Where no folder for the cache can be written, each process compiles.
    """

    def compiled(function: _F) -> _F:
        try:
            dispatcher: _F = numba.njit(cache=True, nogil=True, parallel=parallel)(function)
        except RuntimeError:  # numba found no folder that it can write its cache to
            dispatcher = numba.njit(nogil=True, parallel=parallel)(function)
        return dispatcher

    return compiled


def drop_stale_caches(kernels: Iterable[Callable[..., Any]]) -> None:
    """Remove cached machine code that was compiled from other sources than the present ones.

    Numba looks at the age and size of the file of the kernel that is called, not at the files of the kernels that it
    calls in turn: after a change to `coder.py` alone, `kan_dense` would go on with the old coder. So all caches of this
    folder go when any source of it changes, by content.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(here.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    paths = {str(getattr(getattr(k, "stats", None), "cache_path", None) or "") for k in kernels} - {""}
    for folder in map(Path, sorted(paths)):
        stamp = folder / _STAMP
        try:
            if stamp.is_file() and stamp.read_text() == digest.hexdigest():
                continue
            for index in folder.glob("*.nbi"):
                index.unlink(missing_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            stamp.write_text(digest.hexdigest())
        except OSError:  # a read-only installation: its sources do not change either
            continue
