"""Training: float with pruning, then quantization-aware, then frozen to integers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.utils.deterministic as deterministic_settings
from rich.console import Console
from torch import Tensor, nn

from pymodel.data import Dataset
from pymodel.errors import ConfigError
from pymodel.fabric import TableKAN, freeze_tables
from pymodel.ir import Task
from pymodel.layers import KAN, ConvSpec, FrozenKAN, build_kan
from pymodel.quant import QuantKAN, freeze, quantize_model
from pymodel.quant.ptq import post_training
from pymodel.settings import ModelSettings, QuantizeSettings, TrainSettings
from pymodel.train._batches import Batches, prepared, targets
from pymodel.train._fabric import float_tables, rounded_tables
from pymodel.train._grids import GridUpdates, both
from pymodel.train._interrupt import Interrupt
from pymodel.train._metrics import metrics, outputs
from pymodel.train._phase import Epoch, Phase, run_phase
from pymodel.train._progress import phase_bar
from pymodel.train._prune import Pruner

__all__ = ["TrainResult", "check_widths", "train"]

#: Rows on which edges are measured and quantizers calibrated.
_SAMPLE_ROWS = 1024
#: The edges are ranked anew this often per epoch while pruning.
_PRUNINGS_PER_EPOCH = 4


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A trained model in its three forms.

    Attributes:
        float_model: the best float model, pruned.
        quantized: the best QAT model.
        frozen: its integers.
        metrics: `{"accuracy": {"float", "quantized"}}`, or `{"rmse": {…}, "r2": {…}}`, on the test rows; `quantized`
            is what the frozen integers give.
        history: one entry per epoch, as :class:`~pymodel.train._phase.Epoch` describes.
        seconds: `train` (float phase) and `quantize` (QAT and freezing).
        interrupted: whether Ctrl-C ended the training early.
    """

    float_model: KAN | TableKAN
    quantized: QuantKAN | TableKAN
    frozen: FrozenKAN
    metrics: dict[str, dict[str, float]]
    history: list[dict[str, str | int | float | None]]
    seconds: dict[str, float]
    interrupted: bool


def check_widths(dataset: Dataset, model: ModelSettings) -> None:
    """Check that the model has one input per feature and one output per class (or one for a regression).

    Raises:
        ConfigError: otherwise.
    """
    first, last = dataset.n_features, dataset.n_outputs
    if (model.widths[0], model.widths[-1]) != (first, last):
        what = "classes" if dataset.task is Task.CLASSIFICATION else "output"
        raise ConfigError(
            f"model.widths must start with {first} (features) and end with {last} ({what}) for the data "
            f"{dataset.name!r}, not with {model.widths[0]} and {model.widths[-1]}; change it"
        )


def train(
    dataset: Dataset,
    model_settings: ModelSettings,
    quantize_settings: QuantizeSettings,
    train_settings: TrainSettings,
    *,
    initial: KAN | None = None,
    console: Console | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> TrainResult:
    """Train a model on `dataset`; the same arguments give the same bits on the same machine.

    The first Ctrl-C ends the training early: what is left of it is skipped (pruning is completed at once), and the
    best model so far is quantized and frozen. The second one aborts.

    Args:
        dataset: the data; validation rows choose the best epoch, test rows are only measured at the end.
        model_settings: the network.
        quantize_settings: the bits.
        train_settings: the schedule.
        initial: a trained float model, which takes the place of the float phase and is not changed.
        console: where progress goes; None is silent.
        on_stage: told `float`, `qat` and `freeze` as they begin.

    Raises:
        ConfigError: if the settings do not fit the data.
        ModelError: if the training diverges.
    """
    check_widths(dataset, model_settings)
    console = console or Console(quiet=True)
    with _reproducible(train_settings), Interrupt(lambda: _say_stop(console)) as interrupt:
        run = _Run(dataset, train_settings, console, interrupt)
        start = time.perf_counter()
        _tell(on_stage, "float")
        model: KAN | TableKAN
        quantized: QuantKAN | TableKAN
        name, host = model_settings.name, dataset.host
        if model_settings.family == "table":
            model = float_tables(run, dataset, model_settings, quantize_settings, train_settings)
            middle = time.perf_counter()
            _tell(on_stage, "qat")
            quantized = rounded_tables(run, model, train_settings)
            _tell(on_stage, "freeze")
            frozen = freeze_tables(quantized, name=name, host=host)
        else:
            model = run.float_phase(model_settings) if initial is None else initial
            middle = time.perf_counter()
            _tell(on_stage, "qat")
            quantized = run.qat_phase(model, quantize_settings)
            _tell(on_stage, "freeze")
            frozen = freeze(quantized, name=name, host=host)
        end = time.perf_counter()
        measured = _measure(dataset, model, frozen)
    history = [epoch.to_json() for epoch in run.history]
    seconds = {"train": middle - start, "quantize": end - middle}
    return TrainResult(model, quantized, frozen, measured, history, seconds, interrupt.requested)


class _Run:
    """What the two phases share."""

    def __init__(self, dataset: Dataset, settings: TrainSettings, console: Console, interrupt: Interrupt) -> None:
        self.task = dataset.task
        self.settings = settings
        self.console = console
        self.interrupt = interrupt
        self.binary = dataset.binary
        self.loss: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
        self.history: list[Epoch] = []
        self.batches = Batches(dataset, settings.batch_size, settings.augment, settings.seed)
        self.sample = self.batches.sample(_SAMPLE_ROWS)
        self.validation: tuple[Tensor, Tensor] | None = None
        if len(dataset.validation):
            self.validation = prepared(dataset, dataset.validation), targets(dataset, dataset.validation)

    def float_phase(self, model_settings: ModelSettings) -> KAN:
        """Return the trained and pruned float model."""
        settings = self.settings
        model = build_kan(
            model_settings.family,
            model_settings.widths,
            grid=model_settings.grid,
            order=model_settings.order,
            range=model_settings.range,
            activation=model_settings.base,
            norm="layer" if model_settings.layernorm else model_settings.norm,
            arities=model_settings.arities if any(model_settings.arities) else None,
            conv=[ConvSpec(**vars(conv)) for conv in model_settings.conv],
            image=model_settings.image,
        )
        parameters = [p for p in model.parameters() if p.requires_grad]
        groups = [{"params": parameters, "weight_decay": settings.weight_decay}]
        follow = GridUpdates(model, self.sample) if model_settings.grid_per_input else None
        phase = Phase("float", settings.epochs, settings.learning_rate, groups, edges=lambda: _edges(model))
        if settings.prune is None:
            self.fit(model, phase if follow is None else replace(phase, on_step=follow.step), "float training")
            return model
        pruner = Pruner(model, settings.prune, self.sample)
        interval = max(1, len(self.batches) // _PRUNINGS_PER_EPOCH)
        self.fit(
            model,
            replace(phase, on_step=both(follow, pruner.step), step_interval=interval, counts=pruner.done),
            "float training",
        )
        pruner.finish()
        return model

    def qat_phase(self, model: KAN, quantize_settings: QuantizeSettings) -> QuantKAN:
        """Return the quantized model, trained on from the float model, or calibrated where the method trains no epoch."""
        if quantize_settings.post_training:
            return post_training(model, quantize_settings, self.sample)
        settings = self.settings
        quantized = quantize_model(model, quantize_settings)
        quantized.calibrate(self.sample)
        groups = quantized.parameter_groups(settings.weight_decay)
        epochs = 0 if self.interrupt.requested else settings.qat_epochs
        phase = Phase("qat", epochs, settings.qat_learning_rate, groups, edges=lambda: _edges(quantized))
        self.fit(quantized, phase, "quantized training")
        return quantized

    def fit(self, model: nn.Module, phase: Phase, title: str) -> None:
        """Train `model` for one phase; its epochs join the history."""
        measure = "accuracy" if self.task is Task.CLASSIFICATION else "R²"
        with phase_bar(self.console, title, phase.epochs, measure) as bar:

            def on_epoch(epoch: Epoch) -> None:
                self.history.append(epoch)
                bar.on_epoch(epoch)

            run_phase(
                model,
                self.batches,
                self.validation,
                self.task,
                phase,
                stop=lambda: self.interrupt.requested,
                on_epoch=on_epoch,
                on_batch=bar.on_batch,
            )


def _edges(model: KAN | QuantKAN) -> int:
    return sum(int(layer.mask.sum()) for layer in model.kan_layers())


def _measure(dataset: Dataset, model: KAN | TableKAN, frozen: FrozenKAN) -> dict[str, dict[str, float]]:
    """Return the metrics of the float and the frozen model on the test rows."""
    X = frozen.in_type.quantize(dataset.host.prepare(dataset.x_test))
    name, last = list(frozen.named_layers())[-1]
    found = {
        "float": outputs(model, prepared(dataset, test=True)).double().numpy(),
        "quantized": last.value_offset + last.value_lsb * frozen.run(X)[name].astype(np.float64),
    }
    by_station = {station: metrics(y, dataset.y_test, dataset.host) for station, y in found.items()}
    return {key: {s: values[key] for s, values in by_station.items()} for key in by_station["float"]}


@contextmanager
def _reproducible(settings: TrainSettings) -> Iterator[None]:
    """Seed every generator, fix torch's threads and algorithms, and restore all of it afterwards."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - libraries may draw from it
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    # A module with a property, which type checkers cannot see. Filling guards against reading such memory, at a price.
    memory: Any = deterministic_settings
    fill = memory.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        np.random.seed(settings.seed)  # noqa: NPY002
        random.seed(settings.seed)
        torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False
        try:
            yield
        finally:
            memory.fill_uninitialized_memory = fill
            torch.use_deterministic_algorithms(deterministic)
            torch.set_num_threads(threads)
            np.random.set_state(legacy)  # noqa: NPY002
            random.setstate(python)


def _tell(on_stage: Callable[[str], None] | None, stage: str) -> None:
    if on_stage is not None:
        on_stage(stage)


def _say_stop(console: Console) -> None:
    console.print("ending the training with the best model so far; press Ctrl-C again to abort")
