"""The driver of an engine: valid bubbles, bursts, and a reset while samples are in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.ir import IntArray

__all__ = ["CoreDriver", "Schedule", "bursts", "stream_schedule"]

_MEAN_BURST = 12
_MEAN_BUBBLE = 3
_FIRST_BURST = 32


@dataclass(frozen=True)
class Schedule:
    """What is driven in each cycle, all (cycles,): `in_valid`, `rst`, and the vector on `in_data`."""

    valid: npt.NDArray[np.bool_]
    reset: npt.NDArray[np.bool_]
    row: IntArray


def bursts(n: int, mean_on: float, mean_off: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return a random on/off pattern with exactly `n` cycles on, in geometric run lengths."""
    pieces: list[npt.NDArray[np.bool_]] = []
    left = n
    while left > 0:
        on = min(left, int(rng.geometric(1.0 / mean_on)))
        pieces += [np.ones(on, dtype=bool), np.zeros(int(rng.geometric(1.0 / mean_off)), dtype=bool)]
        left -= on
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=bool)


def _block(rows: IntArray, n_rows: int, rng: np.random.Generator) -> Schedule:
    """Offer `rows` in order: first a burst without bubbles, then bursts with bubbles (random vectors, not valid)."""
    first = min(rows.size, _FIRST_BURST)
    valid = np.concatenate([np.ones(first, dtype=bool), bursts(rows.size - first, _MEAN_BURST, _MEAN_BUBBLE, rng)])
    row = rng.integers(0, n_rows, valid.size, dtype=np.int64)
    row[valid] = rows
    return Schedule(valid, np.zeros(valid.size, dtype=bool), row)


def stream_schedule(n_rows: int, latency: int, rng: np.random.Generator) -> Schedule:
    """Offer every vector at least once to an engine of `latency` cycles, with a reset in the middle.

    Just before the reset comes a burst of `2 latency + 4` extra samples, so that every pipeline stage is occupied;
    `in_valid` stays high during the reset, and those samples must be dropped as well. The vectors of the first half
    are all out by then, so nothing has to be offered again.
    """
    half = n_rows // 2
    n_extra, n_reset, n_idle = 2 * latency + 4, int(rng.integers(1, 4)), latency + 8

    def uniform(n: int, valid: bool, reset: bool) -> Schedule:
        return Schedule(np.full(n, valid), np.full(n, reset), rng.integers(0, n_rows, n, dtype=np.int64))

    everything = np.arange(n_rows, dtype=np.int64)
    parts = [
        uniform(4, valid=False, reset=False),
        _block(everything[:half], n_rows, rng),
        uniform(n_extra, valid=True, reset=False),
        uniform(n_reset, valid=True, reset=True),
        _block(everything[half:], n_rows, rng),
        uniform(n_idle, valid=False, reset=False),
    ]
    return Schedule(
        np.concatenate([part.valid for part in parts]),
        np.concatenate([part.reset for part in parts]),
        np.concatenate([part.row for part in parts]),
    )


class CoreDriver:
    """Drives `rst`, `in_valid` and `in_data`; keeps what it offered."""

    def __init__(self, dut: Any, words: Sequence[str]) -> None:
        self._dut = dut
        self._words = words
        self._state: tuple[bool, bool, int] | None = None
        #: The vector of every sample that was offered with `in_valid`, in order.
        self.offered: list[int] = []

    def drive(self, valid: bool, reset: bool, row: int) -> None:
        """Set the inputs for the coming rising edge."""
        old, self._state = self._state, (valid, reset, row)
        if old is None or old[0] != valid:
            self._dut.in_valid.value = int(valid)
        if old is None or old[1] != reset:
            self._dut.rst.value = int(reset)
        if old is None or old[2] != row:
            self._dut.in_data.value = self._words[row]
        if valid:
            self.offered.append(row)
