"""C simulation: the generated C++, compiled natively and driven with integers, every KAN layer's integers recorded.

The library calls the very top function that is synthesized. It is made from the files of the hls4ml project alone.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pymodel.errors import DataError, ToolError
from pymodel.ir import IntArray
from sim._compile import compile_project, default_threads, find_compiler

__all__ = ["Csim", "build_csim", "default_threads", "find_compiler"]

#: Rows are run in blocks whose recorded integers take at most this much memory.
_BLOCK_BYTES = 1 << 28


def build_csim(project_dir: Path, *, cache_dir: Path | None = None, native_sums: bool = False) -> Path:
    """Return the shared library of an hls4ml project, compiled from its files as they are now unless that was done.

    Args:
        project_dir: the project folder, as :func:`hwgen.plugin.convert` or hls4ml's `write()` leaves it.
        cache_dir: where the library goes; by default into the project, or a temporary folder where that is read-only.
        native_sums: add up in native integers instead of ap_types: the same bits, several times as fast
            (`hls/kan4ml/sums.h`). What is verified is compiled without.

    Raises:
        ToolError: if the folder holds no project, or the compiler is missing or fails.
    """
    return compile_project(Path(project_dir), cache_dir, native_sums=native_sums)


@dataclass(frozen=True)
class _Tap:
    """Where the integers of a layer lie in a recorded row."""

    name: str
    offset: int
    count: int


class Csim:
    """A compiled simulation.

    Attributes:
        library: path of the shared library.
        n_in: input integers per row.
        low, high: range of an input integer.
        problems: table entries that their types would change silently, or indices out of range, one line each.
        nodes: names of the recorded layers, in order; `NAME.input` is what a KAN layer behind another kind of layer
            read, in integers of its input type.

    Raises:
        ToolError: if the project cannot be compiled, or the library was not made from a project of this backend.
    """

    def __init__(self, path: Path, *, cache_dir: Path | None = None) -> None:
        path = Path(path)
        self.library = path if path.suffix == ".so" else build_csim(path, cache_dir=cache_dir)
        try:
            self._lib = ctypes.CDLL(str(self.library.resolve()))
            describe = self._lib.kan_csim_describe
            self._run = self._lib.kan_csim_run
            # Projects of earlier versions have none.
            self._run_alone: Any = getattr(self._lib, "kan_csim_run_alone", None)
            check = self._lib.kan_csim_check
        except (OSError, AttributeError) as error:
            raise ToolError(
                f"{self.library.name} is no simulation of a KAN project ({error}); a model with one input and one output "
                "in io_parallel, converted with backend VitisKAN, is needed"
            ) from None
        describe.restype = ctypes.c_char_p
        self._run.restype = None
        if self._run_alone is not None:
            self._run_alone.restype = None
        check.restype = ctypes.c_char_p
        self.problems: tuple[str, ...] = tuple(check().decode().splitlines())
        facts: dict[str, Any] = json.loads(describe().decode())
        kind = facts["input"]
        width, signed = int(kind["width"]), bool(kind["signed"])
        self.n_in = int(kind["count"])
        self.low = -(1 << (width - 1)) if signed else 0
        self.high = (1 << (width - int(signed))) - 1
        self._taps = tuple(_Tap(t["name"], int(t["offset"]), int(t["count"])) for t in facts["taps"])
        self._row = int(facts["row"])

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the recorded layers, in order."""
        return tuple(tap.name for tap in self._taps)

    def run(self, X: IntArray, threads: int | None = None) -> dict[str, IntArray]:
        """Run the top function on every row.

        Args:
            X: integers of shape (rows, n_in), in units of the input type's LSB.
            threads: threads to use; by default one per core that the process may use.

        Returns:
            int64 (rows, n_out) per recorded layer, by name.

        Raises:
            DataError: if `X` is no integer array of that shape and range.
            ToolError: if the tables have :attr:`problems`.
        """
        return self._simulate(X, None, threads)

    def run_alone(self, X: IntArray, inject: Mapping[str, IntArray], threads: int | None = None) -> dict[str, IntArray]:
        """Run the top function on every row, but let the layers behind others read given integers.

        Args:
            X: integers of shape (rows, n_in), for the first layer.
            inject: per recorded layer, int64 (rows, n_out) that its successor reads instead of its output; a layer that
                is not named passes on zeros.
            threads: as for :meth:`run`.

        Returns:
            int64 (rows, n_out) per recorded layer: what it gave, not what was put in its place.

        Raises:
            DataError: as :meth:`run`, or if an array of `inject` has another shape or names no layer.
            ToolError: as :meth:`run`, or if the library has no such entry point.
        """
        if self._run_alone is None:
            raise ToolError(f"{self.library.name} cannot drive layers alone; build the model again")
        rows = np.zeros((np.asarray(X).shape[0], self._row), dtype=np.int64)
        taps = {tap.name: tap for tap in self._taps}
        for name, values in inject.items():
            tap = taps.get(name)
            if tap is None or values.shape != (rows.shape[0], tap.count):
                raise DataError(
                    f"integers for the successor of layer {name!r} have shape {values.shape}, which the simulation does not "
                    "take; build the model again"
                )
            rows[:, tap.offset : tap.offset + tap.count] = values
        return self._simulate(X, rows, threads)

    def _simulate(self, X: IntArray, inject: IntArray | None, threads: int | None) -> dict[str, IntArray]:
        if self.problems:
            raise ToolError(f"the project's tables are damaged ({'; '.join(self.problems)}); build the model again")
        rows = np.asarray(X)
        if rows.dtype.kind not in "iu" or rows.ndim != 2 or rows.shape[1] != self.n_in:
            raise DataError(
                f"integers of shape (rows, {self.n_in}) were expected, not {rows.dtype} of shape {rows.shape}; quantize "
                "the features first"
            )
        if rows.size and (int(rows.min()) < self.low or int(rows.max()) > self.high):
            raise DataError(
                f"input integers must lie in {self.low} … {self.high}, found {rows.min()} … {rows.max()}; quantize the "
                "features with the input type"
            )
        result = {tap.name: np.empty((rows.shape[0], tap.count), dtype=np.int64) for tap in self._taps}
        block = max(1, _BLOCK_BYTES // (8 * max(1, self._row)))
        for first in range(0, rows.shape[0], block):
            part = np.ascontiguousarray(rows[first : first + block], dtype=np.int64)
            taps = np.empty((part.shape[0], self._row), dtype=np.int64)
            arrays = [part, taps]
            if inject is not None:
                arrays.insert(1, np.ascontiguousarray(inject[first : first + block]))
            (self._run if inject is None else self._run_alone)(
                ctypes.c_longlong(part.shape[0]),
                *(array.ctypes.data_as(ctypes.c_void_p) for array in arrays),
                ctypes.c_int(threads or default_threads()),
            )
            for tap in self._taps:
                result[tap.name][first : first + block] = taps[:, tap.offset : tap.offset + tap.count]
        return result
