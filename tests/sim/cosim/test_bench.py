"""The bench's parts without a simulator: packing, the model's predictions, the driver's schedule, order of beats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.bench._axis import _order_error, paces
from sim.bench._bits import pack, unpack
from sim.bench._checker import Comparison
from sim.bench._driver import bursts, stream_schedule
from sim.bench._model import predict


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 62), st.booleans(), st.integers(1, 5), st.integers(0, 7), st.integers(0, 2**32 - 1))
def test_unpack_inverts_pack(width: int, signed: bool, n: int, rows: int, seed: int) -> None:
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    X = np.random.default_rng(seed).integers(low, high, (rows, n), endpoint=True)
    words = pack(X, width)
    assert all(len(word) == n * width for word in words)
    assert np.array_equal(unpack(words, n, width, signed), X)


def test_element_0_is_in_the_least_significant_bits() -> None:
    assert pack(np.array([[1, -2]]), 3) == ["110" + "001"]
    assert unpack(["110001"], 2, 3, signed=False).tolist() == [[1, 6]]


def test_packing_crosses_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.bench._bits._CHUNK_BITS", 64)
    X = np.arange(-50, 50).reshape(25, 4)
    assert np.array_equal(unpack(pack(X, 9), 4, 9, signed=True), X)


def pipeline(valid: np.ndarray, reset: np.ndarray, rows: np.ndarray, delay: int) -> list[tuple[int, int]]:
    """Step a chain of `delay` valid bits: (cycle, row) of every output."""
    stages: list[int | None] = [None] * delay
    seen = []
    for cycle in range(valid.size):
        if stages[-1] is not None:
            seen.append((cycle, stages[-1]))
        stages = [int(rows[cycle]) if valid[cycle] else None, *stages[:-1]]
        if reset[cycle]:
            stages = [None] * delay
    return seen


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_the_model_is_a_chain_of_valid_bits(delay: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    valid, reset = rng.random(80) < 0.6, rng.random(80) < 0.05
    rows = rng.integers(0, 100, 80)
    cycles = np.flatnonzero(valid)
    prediction = predict(cycles, rows[cycles], np.flatnonzero(reset), delay)
    kept = prediction.cycles < 80
    assert list(zip(prediction.cycles[kept], prediction.rows[kept], strict=True)) == pipeline(valid, reset, rows, delay)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 50, 1000])
@pytest.mark.parametrize("latency", [1, 7, 30])
def test_the_schedule_shows_every_vector_and_fills_the_pipeline_before_the_reset(n_rows: int, latency: int) -> None:
    schedule = stream_schedule(n_rows, latency, np.random.default_rng(n_rows))
    offered = np.flatnonzero(schedule.valid)
    resets = np.flatnonzero(schedule.reset)
    prediction = predict(offered, schedule.row[offered], resets, latency)
    assert set(prediction.rows.tolist()) == set(range(n_rows))
    assert prediction.cycles.max() < schedule.valid.size
    assert schedule.valid[resets[0] - latency : resets[-1] + 1].all()
    assert (np.diff(resets) == 1).all()
    assert offered.size - prediction.cycles.size == latency - 1 + resets.size


def test_bursts_are_random_and_exact() -> None:
    pattern = bursts(500, 4.0, 2.0, np.random.default_rng(0))
    assert pattern.sum() == 500
    assert 100 < (~pattern).sum() < 500
    assert bursts(0, 4.0, 2.0, np.random.default_rng(0)).size == 0


def test_paces_begin_at_full_speed_and_then_stall_on_both_sides() -> None:
    source = paces(50, 30, np.random.default_rng(0))
    taken = [next(source) for _ in range(3000)]
    assert all(pace.offer and pace.ready for pace in taken[:50])
    kinds = {(pace.offer, pace.ready) for pace in taken[50:]}
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ([0, 1, 2, 3], None),
        ([0, 1, 1, 2, 3], "beat 2 repeats the one before"),
        ([0, 2, 3], "beat 1 is missing; the next one came in its place"),
        ([0, 9, 2, 3], "beat 1 differs"),
        ([0, 1], "2 beats are lost: 4 went in, 2 came out"),
        ([0, 1, 2, 3, 3, 3], "2 beats came out that never went in"),
    ],
)
def test_order_of_beats(got: list[int], message: str | None) -> None:
    assert _order_error(np.array(got)[:, None], np.arange(4)[:, None]) == message


def test_a_comparison_keeps_the_wrong_occurrence_and_counts_missing_vectors() -> None:
    comparison = Comparison("n", "s", 0, np.array([[1, 2], [3, 4], [5, 6]]))
    comparison.add(np.array([0, 1]), np.array([[1, 2], [3, 9]]))
    comparison.add(np.array([1, 0]), np.array([[3, 4], [1, 2]]))
    answer = comparison.answer()
    assert (answer["vectors"], answer["missing"], answer["mismatches"]) == (2, 1, 2)
    assert answer["bad_vectors"] == [1, 2]
    assert answer["first"] == [1, 1, 9, 4]
