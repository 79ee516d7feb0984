"""Training: float with pruning, then quantization-aware, then frozen to integers."""

from __future__ import annotations

import copy
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.utils.deterministic as deterministic_settings
from rich.console import Console

from pymodel.data import Dataset
from pymodel.errors import ConfigError
from pymodel.fabric import TableKAN, freeze_tables
from pymodel.ir import Task
from pymodel.layers import KAN, FrozenKAN
from pymodel.quant import QuantKAN, freeze
from pymodel.settings import ModelSettings, QuantizeSettings, TrainSettings
from pymodel.train._batches import prepared
from pymodel.train._checkpoint import Checkpoint, fingerprint
from pymodel.train._fabric import float_tables, rounded_tables
from pymodel.train._interrupt import Interrupt
from pymodel.train._metrics import metrics, outputs
from pymodel.train._run import Run

__all__ = ["TrainResult", "check_widths", "train", "train_float"]


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
    """Check that the model has one input per feature and one output per class (or one for a regression), and its image.

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
    if model.image is not None and dataset.image not in (None, model.image):
        assert dataset.image is not None
        raise ConfigError(
            f"model.image must be {list(dataset.image)} (height, width, channels) for the data {dataset.name!r}, not "
            f"{list(model.image)}; change it"
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
    checkpoint: Checkpoint | None = None,
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
        checkpoint: where the state is kept while the training lasts, and what it may go on from; None keeps nothing. Its files
            stay when the training is over.

    Raises:
        ConfigError: if the settings do not fit the data.
        ModelError: if the training diverges.
    """
    check_widths(dataset, model_settings)
    _check(model_settings, quantize_settings, train_settings)
    console = console or Console(quiet=True)
    with _reproducible(train_settings), Interrupt(lambda: _say_stop(console)) as interrupt:
        run = Run(dataset, train_settings, console, interrupt, checkpoint)
        if checkpoint is not None:
            settings = [asdict(model_settings), asdict(quantize_settings), _facts(train_settings)]
            state = None if initial is None else fingerprint({}, _digest(initial))
            mark = fingerprint(
                {"x": dataset.x_train, "y": dataset.y_train, "v": dataset.validation},
                [*settings, asdict(dataset.host), run.ranks.size, state],
            )
            if checkpoint.begin(mark, writes=run.ranks.rank == 0):
                console.print(f"going on from the checkpoint in {checkpoint.folder}", soft_wrap=True, markup=False)
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
            float_kan = run.float_phase(model_settings, dataset) if initial is None else _placed(initial, run)
            middle = time.perf_counter()
            _tell(on_stage, "qat")
            quantized = run.qat_phase(float_kan, quantize_settings, model_settings, dataset).cpu()
            _tell(on_stage, "freeze")
            frozen = freeze(quantized, name=name, host=host)
            model = float_kan.cpu() if initial is None else initial
        end = time.perf_counter()
        measured = _measure(dataset, model, frozen)
    history = [epoch.to_json() for epoch in run.history]
    seconds = {"train": middle - start, "quantize": end - middle}
    return TrainResult(model, quantized, frozen, measured, history, seconds, interrupt.requested)


def train_float(
    dataset: Dataset, model_settings: ModelSettings, train_settings: TrainSettings, *, console: Console | None = None
) -> KAN:
    """Train the float phase alone, as :func:`train` does, and return its network.

    Raises:
        ConfigError: if the settings do not fit the data, or the family is table.
        ModelError: if the training diverges.
    """
    check_widths(dataset, model_settings)
    if model_settings.family == "table":
        raise ConfigError("the family table has no float network; use another family")
    console = console or Console(quiet=True)
    with _reproducible(train_settings), Interrupt(lambda: _say_stop(console)) as interrupt:
        return Run(dataset, train_settings, console, interrupt).float_phase(model_settings, dataset).cpu().eval()


def _check(model: ModelSettings, quantize: QuantizeSettings, settings: TrainSettings) -> None:
    """Check what only together makes no sense.

    Raises:
        ConfigError: if there is such a thing.
    """
    if model.family == "table" and settings.device != "cpu":
        raise ConfigError("the family table is trained on the CPU; set train.device to cpu")
    if quantize.start is not None and quantize.post_training:
        raise ConfigError(f"quantize.start belongs to QAT, which {quantize.method} is not; remove it")
    kind = None if settings.distill is None else settings.distill.kind(model.family)
    if kind == "float" and quantize.post_training:
        raise ConfigError(
            f"train.distill lets the float network teach QAT, but quantize.method {quantize.method} trains no epoch; remove it or "
            "choose the teacher wide"
        )


def _facts(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings that training depends on."""
    facts = asdict(settings)
    del facts["checkpoint"]
    return facts


def _digest(model: KAN) -> list[Any]:
    """Return the weights of a network in short."""
    return [
        [name, hashlib.sha256(t.detach().cpu().numpy().tobytes()).hexdigest()] for name, t in model.state_dict().items()
    ]


def _placed(initial: KAN, run: Run) -> KAN:
    """Return a network on the device of `run`; itself where it is there already."""
    place = run.engine.place
    return initial if next(initial.parameters()).device == place else copy.deepcopy(initial).to(place)


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
    gpu = settings.device == "cuda" and torch.cuda.is_available()
    if gpu:  # without it, cuBLAS is not deterministic, and torch refuses it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if gpu else []):
        torch.manual_seed(settings.seed)
        np.random.seed(settings.seed)  # noqa: NPY002
        random.seed(settings.seed)
        torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(True, warn_only=gpu)  # not every operation has such a form on a GPU
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
