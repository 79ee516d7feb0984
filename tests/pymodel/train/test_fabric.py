"""Training table models: thresholds, budgets, teachers, augmentation; the same bits twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pymodel.data import Dataset, load
from pymodel.errors import ConfigError
from pymodel.fabric import TableKAN, model_luts
from pymodel.lower import lower
from pymodel.reference import Reference
from pymodel.settings import (
    DataSettings,
    DistillSettings,
    ModelSettings,
    PruneSettings,
    QuantizeSettings,
    TrainSettings,
)
from pymodel.train import TrainResult, train
from pymodel.train._batches import Batches
from pymodel.train._distill import distilled_loss, make_teacher

BITS = QuantizeSettings(layer_activations=(1, 1), layer_edges=(8, 3), input=1)
MODEL = ModelSettings((64, 40, 10), family="table", fan_in=6)
SHORT = TrainSettings(
    epochs=8,
    qat_epochs=4,
    batch_size=64,
    learning_rate=0.03,
    qat_learning_rate=0.01,
    weight_decay=0.1,
    prune=PruneSettings(luts=150),
    distill=DistillSettings(epochs=2, hidden=4),
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(DataSettings("digits", threshold=8))


@pytest.fixture(scope="module")
def result(digits: Dataset) -> TrainResult:
    return train(digits, MODEL, BITS, SHORT)


def test_the_budget_and_the_integers(digits: Dataset, result: TrainResult) -> None:
    assert isinstance(result.quantized, TableKAN)
    first, _ = result.quantized.kan_layers()
    assert (first.mask.sum(1) <= 6).all()
    assert model_luts(result.quantized) <= 150
    assert [entry["phase"] for entry in result.history] == ["teacher"] * 2 + ["float"] * 8 + ["qat"] * 4
    X = result.frozen.in_type.quantize(digits.host.prepare(digits.x_test))
    assert set(np.unique(X)) == {0, 1}
    assert np.array_equal(X == 1, digits.x_test >= 8)
    got, expected = result.frozen.run(X), Reference(lower(result.frozen)).run(X)
    assert all(np.array_equal(got[name], expected[name]) for name in expected)
    accuracy = float((expected["layers_1"].argmax(1) == digits.y_test).mean())
    assert result.metrics["accuracy"]["quantized"] == accuracy > 0.7
    prepared = torch.from_numpy(digits.host.prepare(digits.x_test)).float()
    with torch.no_grad():
        soft = result.quantized(prepared).argmax(1).numpy()
    assert np.array_equal(soft, expected["layers_1"].argmax(1))


def test_two_runs_give_the_same_bits(digits: Dataset) -> None:
    short = replace(SHORT, epochs=2, qat_epochs=1)
    one, two = (train(digits, MODEL, BITS, short) for _ in range(2))
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.frozen.state_dict().values(), two.frozen.state_dict().values(), strict=True)
    )


def test_a_threshold_turns_over_at_its_value() -> None:
    for threshold in (1.0, 7.5, 8, 16):
        data = load(DataSettings("digits", threshold=threshold))
        raw = np.arange(17.0)[:, None].repeat(64, axis=1)
        assert np.array_equal(data.host.prepare(raw) >= 0.5, raw >= threshold)


def test_multi_bit_regression() -> None:
    rng = np.random.default_rng(0)
    base = load(DataSettings("digits"))
    x = rng.normal(size=(300, 64))
    y = np.sin(x[:, 0]) + 0.5 * x[:, 1]
    host = replace(
        base.host, task=base.host.task.REGRESSION, classes=(), feature_offset=(0.0,) * 64, feature_scale=(0.6,) * 64
    )
    data = Dataset("made", x, y, x[:50], y[:50], base.validation[:0], host)
    bits = QuantizeSettings(layer_activations=(4, 3), layer_edges=(6, 6))
    settings = TrainSettings(epochs=15, qat_epochs=8, batch_size=32, learning_rate=0.02, qat_learning_rate=0.005)
    found = train(data, ModelSettings((64, 8, 1), family="table", grid=4), bits, settings)
    assert found.metrics["r2"]["quantized"] > 0.6
    X = found.frozen.in_type.quantize(host.prepare(x))
    assert np.array_equal(found.frozen.run(X)["layers_1"], Reference(lower(found.frozen)).run(X)["layers_1"])
    with pytest.raises(ConfigError, match="no use for a regression"):
        train(data, ModelSettings((64, 8, 1), family="table"), bits, replace(settings, distill=DistillSettings()))


def test_the_loss_is_between_teacher_and_labels() -> None:
    x, y = torch.randn(20, 4), torch.randint(0, 3, (20,))
    teacher = nn.Linear(4, 3).requires_grad_(requires_grad=False)
    z = torch.randn(20, 3)
    plain = nn.functional.cross_entropy(z, y)
    loss = distilled_loss(teacher, DistillSettings(weight=0.25, temperature=2.0))
    target = torch.softmax(teacher(x) / 2, 1)
    kl = (target * (target.log() - torch.log_softmax(z / 2, 1))).sum(1).mean()
    assert float(loss(x, z, y)) == pytest.approx(float(0.75 * plain + 0.25 * 4 * kl), rel=1e-5)
    at_teacher = distilled_loss(teacher, DistillSettings(weight=1.0))
    assert float(at_teacher(x, teacher(x), y)) == pytest.approx(0.0, abs=1e-6)


def test_teachers_for_images_and_tables() -> None:
    images, table = load(DataSettings("digits")), load(DataSettings("wine"))
    for data in (images, table):
        teacher = make_teacher(data, DistillSettings(hidden=4))
        assert teacher(torch.zeros(5, data.n_features)).shape == (5, data.n_outputs)
    assert any(isinstance(m, nn.Conv2d) for m in make_teacher(images, DistillSettings()).modules())


def test_affine_augmentation_moves_images_a_little(digits: Dataset) -> None:
    plain = Batches(digits, 32, None, 0)
    moved, again = Batches(digits, 32, "affine", 0), Batches(digits, 32, "affine", 0)
    (x, y), (x2, _) = next(iter(moved)), next(iter(again))
    assert torch.equal(x, x2)
    assert x.shape == (32, 64)
    rows = torch.randperm(plain.rows, generator=torch.Generator().manual_seed(0))[:32]
    still = torch.from_numpy(digits.host.prepare(digits.x_train[digits.fit][rows])).float()
    assert 0.0 < float((x - still).abs().mean()) < 0.15
    low, high = digits.host.prepare(np.array([[0.0] * 64, [16.0] * 64]))[:, 0]
    assert low - 1e-6 <= float(x.min()) <= float(x.max()) <= high + 1e-6
    assert torch.equal(moved.sample(9), plain.sample(9))
    assert y.shape == (32,)


def test_what_does_not_combine(digits: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"train\.epochs is 0, but edges go during these epochs"):
        train(digits, MODEL, BITS, replace(SHORT, epochs=0))
    with pytest.raises(ConfigError, match="belongs to the family table"):
        ModelSettings((3, 2), fan_in=2)
    with pytest.raises(ConfigError, match="has 3 values, but the model has 2 layers"):
        ModelSettings((3, 2, 2), family="table", fan_in=(1, 2, 3))
    with pytest.raises(ConfigError, match=r"layer_edges has 1 numbers, but the model has 2 layers"):
        train(digits, MODEL, QuantizeSettings(layer_edges=(3,), layer_activations=(1, 1)), SHORT)
    with pytest.raises(ConfigError, match=r"luts needs model\.family table"):
        PruneSettings(luts=10).targets((20,))
    with pytest.raises(ConfigError, match=r"distill\.weight"):
        DistillSettings(weight=0.0)
