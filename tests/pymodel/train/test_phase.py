"""One phase of training on a stand-in module: the best epoch, the stop, the schedule, and the scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score, root_mean_squared_error
from torch import Tensor, nn

from pymodel.data import Dataset, load
from pymodel.errors import ModelError
from pymodel.ir import HostSpec, Task
from pymodel.settings import DataSettings
from pymodel.train._batches import Batches, prepared, targets
from pymodel.train._metrics import Score, metrics, outputs, score
from pymodel.train._phase import Epoch, Phase, run_phase


class Linear(nn.Module):
    """A stand-in for a KAN: one matrix."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_out, n_in))
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


@pytest.fixture(scope="module")
def wine() -> Dataset:
    return load(DataSettings("wine"))


def run(dataset: Dataset, model: nn.Module, epochs: int = 5, **more: Any) -> list[Epoch]:
    history: list[Epoch] = []
    validation = prepared(dataset, dataset.validation), targets(dataset, dataset.validation)
    phase_keys = {key: more.pop(key) for key in list(more) if key in ("on_step", "step_interval", "counts")}
    rate = more.pop("rate", 0.05)
    phase = Phase("float", epochs, rate, [{"params": list(model.parameters()), "weight_decay": 0.0}], **phase_keys)
    arguments: dict[str, Any] = {"stop": lambda: False, "on_epoch": history.append, "on_batch": lambda _: None} | more
    run_phase(
        model, Batches(dataset, 16, None, 0), arguments.pop("validation", validation), dataset.task, phase, **arguments
    )
    return history


def test_it_learns_and_keeps_the_best_epoch(wine: Dataset) -> None:
    model = Linear(13, 3)
    history = run(wine, model, 8)
    assert [epoch.epoch for epoch in history] == list(range(1, 9))
    assert history[-1].loss < 0.3 * history[0].loss
    assert not model.training
    best = max(epoch.validation for epoch in history if epoch.validation is not None)
    assert score(model, prepared(wine, wine.validation), targets(wine, wine.validation), wine.task).value == best


def test_a_model_that_gets_worse_is_taken_back(wine: Dataset) -> None:
    model = Linear(13, 3)
    states: list[Tensor] = []

    def sabotage(epoch: Epoch) -> None:
        states.append(model.weight.detach().clone())
        if epoch.epoch == 3:
            with torch.no_grad():
                model.weight.neg_()  # every prediction turns around

    run(wine, model, 4, rate=0.02, on_epoch=sabotage)
    assert any(torch.equal(model.weight, state) for state in states[:3])


def test_only_counted_progress_is_kept(wine: Dataset) -> None:
    model = Linear(13, 3)
    states: list[Tensor] = []
    run(wine, model, 4, on_epoch=lambda _: states.append(model.weight.detach().clone()), counts=lambda p: p == 1.0)
    assert torch.equal(model.weight, states[-1])


def test_without_validation_the_last_epoch_stays(wine: Dataset) -> None:
    model = Linear(13, 3)
    states: list[Tensor] = []
    run(wine, model, 3, validation=None, on_epoch=lambda _: states.append(model.weight.detach().clone()))
    assert torch.equal(model.weight, states[-1])


def test_stop_ends_the_phase_after_a_step(wine: Dataset) -> None:
    model = Linear(13, 3)
    shares: list[float] = []
    history = run(wine, model, 8, stop=lambda: len(shares) >= 11, on_batch=shares.append)
    per_epoch = math.ceil(len(wine.fit) / 16)
    assert len(shares) == 11
    assert shares[-1] == pytest.approx(11 / (8 * per_epoch))
    assert [epoch.epoch for epoch in history] == [1, 2]


def test_hooks_see_the_progress(wine: Dataset) -> None:
    seen: list[float] = []
    run(wine, Linear(13, 3), 2, on_step=seen.append, step_interval=3)
    steps = 2 * math.ceil(len(wine.fit) / 16)
    assert seen == [step / steps for step in range(0, steps, 3)] + [1.0]


def test_the_rate_rises_and_falls(wine: Dataset) -> None:
    rates = [epoch.learning_rate for epoch in run(wine, Linear(13, 3), 20, rate=0.1)]
    peak = int(np.argmax(rates))
    assert 0 < peak < 6
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0.001, rel=0.2)


def test_divergence_is_said(wine: Dataset) -> None:
    model = Linear(13, 3)
    with torch.no_grad():
        model.weight.fill_(math.inf)
    with pytest.raises(ModelError, match=r"the float training diverged in epoch 1 .*lower the learning rate"):
        run(wine, model)


def test_no_epochs_change_nothing(wine: Dataset) -> None:
    model = Linear(13, 3)
    assert run(wine, model, 0) == []
    assert not model.weight.any()


def host(task: Task, **more: Any) -> HostSpec:
    return HostSpec(task, ("a",), (0.0,), (1.0,), **more)


def test_metrics_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y_model, y = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    found = metrics(y_model, y, host(Task.CLASSIFICATION, classes=("a", "b", "c")))
    assert found == {"accuracy": accuracy_score(y, y_model.argmax(axis=1))}
    target = 100 + 5 * rng.normal(size=200)
    guess = (target - 100) / 5 + 0.3 * rng.normal(size=200)
    found = metrics(guess[:, None], target, host(Task.REGRESSION, target_offset=100.0, target_scale=5.0))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(target, 100 + 5 * guess))
    assert found["r2"] == pytest.approx(r2_score(target, 100 + 5 * guess))


def test_scores_order_by_value_then_loss() -> None:
    assert Score(0.9, -1.0) > Score(0.8, -0.1)
    assert Score(0.9, -0.1) > Score(0.9, -1.0)
    model = Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(math.nan)
    x, y = torch.ones(4, 1), torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    assert score(model, x, y, Task.REGRESSION) == Score(-math.inf, -math.inf)
    with torch.no_grad():
        model.weight.fill_(1.5)
    assert score(model, x, y, Task.REGRESSION).value == pytest.approx(0.0)  # the mean explains nothing


def test_outputs_come_in_blocks_and_leave_the_mode_alone() -> None:
    model = Linear(2, 3)
    model.train()
    x = torch.randn(2500, 2)
    assert torch.equal(outputs(model, x), torch.zeros(2500, 3))
    assert model.training
