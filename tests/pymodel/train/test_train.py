"""Training as a whole: it learns, two runs give the same bits, and Ctrl-C keeps what there is."""

from __future__ import annotations

import io
import random
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from pymodel.data import Dataset, load
from pymodel.errors import ConfigError
from pymodel.ir import KanLinear
from pymodel.lower import lower
from pymodel.settings import DataSettings, ModelSettings, PruneSettings, QuantizeSettings, TrainSettings
from pymodel.train import TrainResult, check_widths, train

AIRFOIL = Path(__file__).parents[4] / "shared" / "data" / "airfoil_self_noise.csv.gz"
DIGITS = ModelSettings((64, 16, 10))
SHORT = TrainSettings(
    epochs=6, qat_epochs=3, batch_size=64, learning_rate=0.02, prune=PruneSettings(edges=300), threads=1
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(DataSettings("digits"))


@pytest.fixture(scope="module")
def result(digits: Dataset) -> TrainResult:
    return train(digits, DIGITS, QuantizeSettings(), SHORT)


def same_bits(one: TrainResult, two: TrainResult) -> bool:
    pairs = [(one.float_model, two.float_model), (one.quantized, two.quantized), (one.frozen, two.frozen)]
    return all(
        set(a.state_dict()) == set(b.state_dict())
        and all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())
        for a, b in pairs
    )


def test_digits_are_learned_in_seconds(digits: Dataset, result: TrainResult) -> None:
    assert set(result.metrics) == {"accuracy"}
    assert result.metrics["accuracy"]["float"] > 0.9
    assert result.metrics["accuracy"]["quantized"] > 0.85
    assert 290 <= sum(int(layer.mask.sum()) for layer in result.quantized.kan_layers()) <= 300
    assert [entry["phase"] for entry in result.history] == ["float"] * 6 + ["qat"] * 3
    assert set(result.seconds) == {"train", "quantize"}
    assert not result.interrupted


def test_the_quantized_figure_is_that_of_the_integers(digits: Dataset, result: TrainResult) -> None:
    ir = lower(result.frozen)
    assert ir.n_edges <= 300
    assert isinstance(ir.layers[0], KanLinear)
    assert ir.host == digits.host
    Y = result.frozen.run(ir.input.out_type.quantize(digits.host.prepare(digits.x_test)))[ir.output]
    assert result.metrics["accuracy"]["quantized"] == np.mean(ir.predict(Y) == digits.y_test)


def test_two_runs_give_the_same_bits(digits: Dataset, result: TrainResult) -> None:
    torch.manual_seed(99)  # whatever happened before
    random.seed(99)
    before = torch.random.get_rng_state(), random.getstate(), torch.get_num_threads()
    again = train(digits, DIGITS, QuantizeSettings(), SHORT)
    assert same_bits(again, result)
    assert again.history == result.history
    assert torch.equal(before[0], torch.random.get_rng_state())  # the caller's generators are untouched
    assert before[1:] == (random.getstate(), torch.get_num_threads())
    assert not torch.are_deterministic_algorithms_enabled()
    assert not same_bits(train(digits, DIGITS, QuantizeSettings(), replace(SHORT, seed=1)), result)


def test_test_rows_have_no_say(digits: Dataset, result: TrainResult) -> None:
    blind = replace(digits, x_test=np.zeros_like(digits.x_test), y_test=np.zeros_like(digits.y_test))
    assert same_bits(train(blind, DIGITS, QuantizeSettings(), SHORT), result)


def test_edge_tables_and_two_threads(digits: Dataset) -> None:
    settings = replace(SHORT, threads=2, augment="shift", epochs=3, qat_epochs=2)
    bits = QuantizeSettings(edge=5, activations=3, first_activations=2)
    one, two = (train(digits, DIGITS, bits, settings) for _ in range(2))
    assert same_bits(one, two)
    assert one.metrics["accuracy"]["quantized"] > 0.6
    assert not isinstance(lower(one.frozen).layers[0], KanLinear)


def test_progress_is_shown_and_stages_are_told(digits: Dataset) -> None:
    stages: list[str] = []
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    train(
        digits,
        DIGITS,
        QuantizeSettings(),
        replace(SHORT, epochs=1, qat_epochs=1),
        console=console,
        on_stage=stages.append,
    )
    assert stages == ["float", "qat", "freeze"]
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "float training" in shown
    assert "quantized training" in shown
    assert "accuracy 0." in shown


def test_the_first_interrupt_keeps_the_best_model(digits: Dataset) -> None:
    def interrupt(stage: str) -> None:
        if stage == "qat":
            signal.raise_signal(signal.SIGINT)

    previous = signal.getsignal(signal.SIGINT)
    out = io.StringIO()
    stopped = train(digits, DIGITS, QuantizeSettings(), SHORT, console=Console(file=out, width=200), on_stage=interrupt)
    assert stopped.interrupted
    assert "press Ctrl-C again to abort" in out.getvalue()
    assert [entry["phase"] for entry in stopped.history] == ["float"] * 6  # no epoch of QAT
    assert stopped.metrics["accuracy"]["float"] > 0.9
    assert signal.getsignal(signal.SIGINT) is previous


def test_an_interrupt_before_pruning_still_prunes(digits: Dataset) -> None:
    def interrupt(stage: str) -> None:
        if stage == "float":
            signal.raise_signal(signal.SIGINT)

    stopped = train(digits, DIGITS, QuantizeSettings(), SHORT, on_stage=interrupt)
    assert stopped.interrupted
    assert sum(int(layer.mask.sum()) for layer in stopped.float_model.kan_layers()) <= 300
    assert lower(stopped.frozen).n_edges <= 300
    assert len(stopped.history) == 1


def test_the_second_interrupt_aborts(digits: Dataset) -> None:
    previous = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(digits, DIGITS, QuantizeSettings(), SHORT, on_stage=lambda _: signal.raise_signal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is previous
    assert not torch.are_deterministic_algorithms_enabled()


def test_training_works_outside_the_main_thread(digits: Dataset) -> None:
    found: list[TrainResult] = []
    settings = replace(SHORT, epochs=1, qat_epochs=0)
    worker = threading.Thread(target=lambda: found.append(train(digits, DIGITS, QuantizeSettings(), settings)))
    worker.start()
    worker.join()
    assert len(found) == 1


def test_widths_must_fit_the_data(digits: Dataset) -> None:
    with pytest.raises(
        ConfigError, match=r"start with 64 \(features\) and end with 10 \(classes\).*not with 63 and 10"
    ):
        train(digits, ModelSettings((63, 10)), QuantizeSettings(), SHORT)
    with pytest.raises(ConfigError, match=r"not with 64 and 9"):
        check_widths(digits, ModelSettings((64, 9)))


@pytest.mark.skipif(not AIRFOIL.is_file(), reason="the shared data sets are not beside the project")
def test_regression() -> None:
    data = load(DataSettings("csv", AIRFOIL, "scaled_sound_pressure_db", "regression"))
    settings = TrainSettings(epochs=25, qat_epochs=10, batch_size=32, learning_rate=0.02, threads=1)
    bits = QuantizeSettings(activations=6, base_weights=8, spline_weights=8, basis=8, first_activations=8)
    found = train(data, ModelSettings((5, 6, 1)), bits, settings)
    assert set(found.metrics) == {"rmse", "r2"}
    assert found.metrics["r2"]["float"] > 0.75  # a linear model reaches 0.51
    assert found.metrics["r2"]["quantized"] > 0.7
    rmse = found.metrics["rmse"]["quantized"]
    assert found.metrics["r2"]["quantized"] == pytest.approx(1 - rmse**2 / np.var(data.y_test))


@pytest.mark.slow
def test_the_digits_recipe_reaches_94_percent() -> None:
    digits = load(DataSettings("digits", validation_fraction=0.0))
    settings = TrainSettings(
        batch_size=64, learning_rate=0.01, weight_decay=0.3, prune=PruneSettings(edges=300), threads=1
    )
    accuracies = [
        train(digits, DIGITS, QuantizeSettings(), replace(settings, seed=seed)).metrics["accuracy"]["quantized"]
        for seed in range(2)
    ]
    assert min(accuracies) >= 0.94
