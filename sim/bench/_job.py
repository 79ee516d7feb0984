"""What the bench is asked to do, and what it answers: files in one folder, JSON and `.npz`, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pymodel.ir import IntArray
from sim.signals import SIGNALS_FILE, SignalMap, load_signals

__all__ = ["Job", "read_job", "write_job"]

_JOB_FILE = "job.json"
_VECTOR_FILE = "vectors.npz"
_NODE_PREFIX = "node_"


@dataclass(frozen=True)
class Options:
    """Choices of the caller: random seed, whether internal nodes are compared, rows for AXI4-Stream (0: none)."""

    seed: int
    node_checks: bool
    axis_rows: int


@dataclass(frozen=True)
class Job:
    """One co-simulation.

    Attributes:
        folder: where the answer goes.
        signals: the engine's signal map.
        options: the caller's choices.
        X: input integers (rows, n_in).
        expected: integers (rows, n_out) of every node by name.
    """

    folder: Path
    signals: SignalMap
    options: Options
    X: IntArray
    expected: Mapping[str, IntArray]

    def answer(self, part: str, result: Mapping[str, Any]) -> None:
        """Write the answer of one part of the bench (`core` or `axis`)."""
        (self.folder / f"{part}.json").write_text(json.dumps(result), encoding="utf-8")

    def answer_outputs(self, outputs: IntArray) -> None:
        """Write the integers (rows, n_out) that were seen at `out_data`."""
        np.save(self.folder / "outputs.npy", outputs, allow_pickle=False)


def write_job(
    folder: Path, signals_json: bytes, options: Options, X: IntArray, expected: Mapping[str, IntArray]
) -> None:
    """Write the question into `folder`."""
    (folder / SIGNALS_FILE).write_bytes(signals_json)
    (folder / _JOB_FILE).write_text(json.dumps(asdict(options)), encoding="utf-8")
    arrays = {_NODE_PREFIX + name: values for name, values in expected.items()}
    with (folder / _VECTOR_FILE).open("wb") as file:
        np.savez(file, X=X, **arrays)  # type: ignore[arg-type]


def read_job(folder: Path) -> Job:
    """Read the question from `folder`."""
    options = Options(**json.loads((folder / _JOB_FILE).read_text(encoding="utf-8")))
    with np.load(folder / _VECTOR_FILE, allow_pickle=False) as arrays:
        expected = {
            name.removeprefix(_NODE_PREFIX): arrays[name] for name in arrays.files if name.startswith(_NODE_PREFIX)
        }
        return Job(folder, load_signals(folder), options, arrays["X"], expected)
