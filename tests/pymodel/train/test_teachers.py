"""Teachers for KANs: who teaches what, the loss, and that a student with few bits learns from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pymodel.data import Dataset, load
from pymodel.errors import ConfigError
from pymodel.settings import DataSettings, DistillSettings, ModelSettings, QuantizeSettings, TrainSettings
from pymodel.train import TrainResult, train
from pymodel.train._run import start_of, wider

MODEL = ModelSettings((64, 8, 10))
BITS = QuantizeSettings(activations=2, base_weights=2, spline_weights=2, start="plain")
SETTINGS = TrainSettings(epochs=8, qat_epochs=6, batch_size=64, learning_rate=0.02, threads=1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(DataSettings("digits"))


@pytest.fixture(scope="module")
def plain(digits: Dataset) -> TrainResult:
    return train(digits, MODEL, BITS, SETTINGS)


def distances(result: TrainResult, data: Dataset) -> float:
    """Return the mean divergence of the integers' opinion from the float network's, on test rows."""
    x = torch.from_numpy(data.host.prepare(data.x_test)).float()
    with torch.no_grad():
        wanted = torch.log_softmax(result.float_model(x), dim=1)
        found = torch.log_softmax(result.quantized.eval()(x), dim=1)
    return float(functional.kl_div(found, wanted, reduction="batchmean", log_target=True))


def test_the_float_network_teaches_its_quantized_form(digits: Dataset, plain: TrainResult) -> None:
    taught = train(digits, MODEL, BITS, replace(SETTINGS, distill=DistillSettings(weight=0.9)))
    state = plain.float_model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in taught.float_model.state_dict().items())
    assert {entry["phase"] for entry in taught.history} == {"float", "qat"}
    assert distances(taught, digits) < distances(plain, digits)
    assert taught.metrics["accuracy"]["quantized"] >= plain.metrics["accuracy"]["quantized"] - 0.02


def test_a_teacher_alone_pulls_the_student_to_itself(digits: Dataset) -> None:
    """With the labels out of the loss, labels that are wrong in QAT do no harm; without a teacher they do."""
    wrong = replace(digits, y_train=(digits.y_train + 1) % 10)
    right = train(digits, MODEL, BITS, replace(SETTINGS, qat_epochs=0)).float_model
    found = {}
    for name, distill in (("taught", DistillSettings(weight=1.0)), ("plain", None)):
        settings = replace(SETTINGS, qat_learning_rate=0.05, distill=distill)
        found[name] = train(wrong, MODEL, BITS, settings, initial=right).metrics["accuracy"]["quantized"]  # type: ignore[arg-type]
    assert found["taught"] > 0.7 > 0.3 > found["plain"]


@pytest.mark.parametrize(
    ("family", "teacher"),
    [("kagn", "wide"), ("fast_kan", "wide"), ("pykan", "network"), ("efficient_kan", "network")],
)
def test_other_teachers_are_trained_first(digits: Dataset, family: str, teacher: str) -> None:
    distill = DistillSettings(teacher=teacher, epochs=1, hidden=4)  # type: ignore[arg-type]
    short = replace(SETTINGS, epochs=2, qat_epochs=1, batch_size=256, distill=distill)
    result = train(digits, replace(MODEL, family=family), QuantizeSettings(), short)
    assert [entry["phase"] for entry in result.history] == ["teacher", "float", "float", "qat"]


def test_a_wide_teacher_is_wider() -> None:
    assert wider(MODEL, 3).widths == (64, 24, 10)
    assert wider(ModelSettings((4, 3)), 2).widths == (4, 16, 3)
    deep = ModelSettings((4, 5, 6, 3), "pykan", multiplication=(2, 0, 0), grid_per_input=True)
    assert wider(deep, 2).widths == (4, 10, 12, 3)
    assert not any(wider(deep, 2).arities)


def test_what_has_no_teacher(digits: Dataset) -> None:
    for kind in ("float", "wide"):
        with pytest.raises(ConfigError, match="no other form of; use network"):
            train(
                digits,
                replace(MODEL, family="table"),
                QuantizeSettings(),
                replace(SETTINGS, distill=DistillSettings(teacher=kind)),  # type: ignore[arg-type]
            )
    with pytest.raises(ConfigError, match="trains no epoch"):
        train(digits, MODEL, QuantizeSettings(method="gptq"), replace(SETTINGS, distill=DistillSettings()))
    with pytest.raises(ConfigError, match="teacher"):
        DistillSettings(teacher="parrot")  # type: ignore[arg-type]


def test_where_qat_starts(digits: Dataset) -> None:
    assert start_of(QuantizeSettings(), 2) == "plain"
    assert start_of(QuantizeSettings(activations=3), 2) == "gptq"
    assert start_of(QuantizeSettings(spline_weights=2), 2) == "gptq"
    assert start_of(QuantizeSettings(first_activations=2), 2) == "plain"  # a bit slice, whatever starts
    assert start_of(QuantizeSettings(activations=2, edge=4), 2) == "plain"
    assert start_of(QuantizeSettings(activations=2, start="float"), 2) == "float"
    found: dict[str, Tensor] = {}
    for start in ("gptq", "float", "plain"):
        settings = replace(SETTINGS, epochs=2, qat_epochs=0)
        result = train(digits, MODEL, replace(BITS, start=start), settings)
        found[start] = next(result.quantized.kan_layers()).spline_weight  # type: ignore[assignment]
        assert result.metrics["accuracy"]["quantized"] > (0.6 if start == "gptq" else 0.1)
    assert torch.equal(found["float"], found["plain"])
    assert not torch.equal(found["gptq"], found["plain"])
    with pytest.raises(ConfigError, match=r"quantize\.start belongs to QAT, which gptq is not"):
        train(digits, MODEL, QuantizeSettings(method="gptq", start="gptq"), SETTINGS)
    with pytest.raises(ConfigError, match=r"quantize\.start float settles branches, but quantize\.edge has none"):
        QuantizeSettings(edge=4, start="float")
