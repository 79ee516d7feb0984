"""Embedded sources, splits, and the host's scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymodel.data import load
from pymodel.data._dataset import encode_labels
from pymodel.data._scale import minmax_map, standard_map, target_map
from pymodel.data._split import split
from pymodel.ir import Task
from pymodel.settings import DataSettings

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.parametrize(
    ("source", "rows", "features", "classes"),
    [("digits", 1797, 64, 10), ("wine", 178, 13, 3), ("breast_cancer", 569, 30, 2), ("moons", 2000, 2, 2)],
)
def test_embedded_sources(source: Any, rows: int, features: int, classes: int) -> None:
    data = load(DataSettings(source))
    assert len(data.y_train) + len(data.y_test) == rows
    assert len(data.y_test) == pytest.approx(0.2 * rows, abs=classes)
    assert (data.n_features, data.n_outputs) == (features, classes)
    assert data.task is Task.CLASSIFICATION
    assert set(data.y_train) == set(data.y_test) == set(range(classes))
    assert not np.intersect1d(data.fit, data.validation).size
    assert sorted([*data.fit, *data.validation]) == list(range(len(data.y_train)))
    again, other = load(DataSettings(source)), load(DataSettings(source, seed=1))
    assert np.array_equal(data.x_train, again.x_train)
    assert np.array_equal(data.validation, again.validation)
    assert data.host == again.host
    assert not np.array_equal(data.x_train, other.x_train)
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0, 0] = 1


def test_digits_are_images() -> None:
    data = load(DataSettings("digits"), (-1.0, 3.0))
    assert data.image == (8, 8, 1)
    prepared = data.host.prepare(data.x_train)
    assert prepared.min() == -1.0
    assert prepared.max() == 3.0
    assert len(set(data.host.feature_scale)) == 1  # one mapping for all pixels
    standard = load(DataSettings("digits", scale="standard"))
    assert len(set(standard.host.feature_scale)) > 1


def test_scaling_looks_at_training_rows_only() -> None:
    data = load(DataSettings("wine"))
    mean, std = data.x_train.mean(axis=0), data.x_train.std(axis=0)
    np.testing.assert_allclose(data.host.prepare([mean]), np.zeros((1, 13)), atol=1e-12)
    np.testing.assert_allclose(data.host.prepare([mean + 3 * std, mean - 3 * std]), [[2.0] * 13, [-2.0] * 13])
    full = load(DataSettings("wine", validation_fraction=0.0))
    assert full.validation.size == 0
    assert full.host == data.host


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    fraction=st.floats(0.0, 0.9),
    seed=st.integers(0, 2**32 - 1),
)
def test_stratified_split(sizes: list[int], fraction: float, seed: int) -> None:
    y = np.repeat(np.arange(len(sizes)), sizes)
    kept, aside = split(y, fraction, seed, stratify=True)
    assert sorted([*kept, *aside]) == list(range(len(y)))
    for label, size in enumerate(sizes):
        count = int((y[aside] == label).sum())
        assert size - count >= 1
        assert abs(count - fraction * size) <= 1
        assert size < 2 or fraction == 0 or count >= 1
    assert all(
        np.array_equal(a, b) for a, b in zip(split(y, fraction, seed, stratify=True), (kept, aside), strict=True)
    )


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    magnitudes=st.lists(st.floats(-90, 90), min_size=1, max_size=5),
    offset=st.floats(-10, 10),
    bounds=st.sampled_from([(-2.0, 2.0), (-1.0, 1.0), (0.0, 4.0), (-3.0, 1.5)]),
)
def test_columns_of_any_magnitude_meet_the_range(
    magnitudes: list[float], offset: float, bounds: tuple[float, float]
) -> None:
    low, high = bounds
    unit = np.linspace(-1, 1, 101)[:, None] + offset
    x = unit * 10.0 ** np.array(magnitudes)
    shift, scale = minmax_map(x, low, high, image=False)
    y = (x - shift) * scale
    np.testing.assert_allclose(y.min(axis=0), low, atol=1e-9)
    np.testing.assert_allclose(y.max(axis=0), high, atol=1e-9)
    shift, scale = standard_map(x, low, high)
    y = (x - shift) * scale
    np.testing.assert_allclose(y.mean(axis=0), (low + high) / 2, atol=1e-9)
    np.testing.assert_allclose(y.std(axis=0), (high - low) / 6, rtol=1e-9)


def test_constant_columns_are_silent() -> None:
    x = np.stack([np.full(50, 0.1), np.full(50, 1e9), np.zeros(50), np.arange(50.0)], axis=1)
    for offset, scale in (standard_map(x, -2, 2), minmax_map(x, -2, 2, image=False)):
        assert scale[:3].tolist() == [0.0] * 3
        assert scale[3] > 0
        assert np.isfinite(offset).all()


def test_targets() -> None:
    assert target_map(np.array([1.0, 3.0])) == (2.0, 1.0)
    assert target_map(np.full(9, 0.1)) == (pytest.approx(0.1), 0.0)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not beside the project")
@pytest.mark.parametrize(
    ("settings_", "shape", "outputs"),
    [
        (DataSettings("csv", SHARED / "dry_bean.csv.gz", "Class"), (13611, 16), 7),
        (
            DataSettings("csv", SHARED / "airfoil_self_noise.csv.gz", "scaled_sound_pressure_db", "regression"),
            (1503, 5),
            1,
        ),
        (DataSettings("mnist", SHARED / "mnist"), (70000, 784), 10),
    ],
    ids=["dry_bean", "airfoil", "mnist"],
)
def test_shared_data(settings_: DataSettings, shape: tuple[int, int], outputs: int) -> None:
    data = load(settings_)
    assert (len(data.y_train) + len(data.y_test), data.n_features) == shape
    assert data.n_outputs == outputs
    prepared = data.host.prepare(data.x_test[:2000])
    assert np.abs(prepared).max() < 20
    assert prepared.std() > 0.3


def test_labels_of_thousands_of_digits_are_text() -> None:
    indices, classes = encode_labels(np.array(["9" * 5000, "1", "1"]), "the labels")
    assert classes == ("1", "9" * 5000)
    assert indices.tolist() == [1, 0, 0]
