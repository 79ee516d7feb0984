"""The phases of a training: a teacher, the float network, its quantized form."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from rich.console import Console
from torch import Tensor, nn

from pymodel.data import Dataset
from pymodel.errors import ConfigError
from pymodel.ir import Task
from pymodel.layers import KAN, ConvSpec, build_kan
from pymodel.quant import QuantKAN, quantize_model, start_from_float, start_from_gptq
from pymodel.quant.ptq import post_training
from pymodel.settings import DistillSettings, ModelSettings, QuantizeSettings, TrainSettings
from pymodel.train._batches import Batches, prepared, targets
from pymodel.train._checkpoint import Checkpoint
from pymodel.train._distill import distilled_loss, make_teacher
from pymodel.train._engine import Engine
from pymodel.train._grids import GridUpdates, both
from pymodel.train._interrupt import Interrupt
from pymodel.train._norms import reestimate, reestimate_folded
from pymodel.train._phase import Epoch, Phase, run_phase
from pymodel.train._progress import phase_bar
from pymodel.train._prune import Pruner
from pymodel.train._ranks import Ranks

__all__ = ["Run"]

#: Rows on which edges are measured and quantizers calibrated.
_SAMPLE_ROWS = 1024
#: The edges are ranked anew this often per epoch while pruning.
_PRUNINGS_PER_EPOCH = 4
_TEACHER_RATE = 0.003
#: With as few bits somewhere, QAT starts from GPTQ (docs/training.md has the figures).
_FEW_BITS = 3


class Run:
    """What the phases share.

    Args:
        dataset: the data.
        settings: the schedule.
        console: where progress goes.
        interrupt: asked after every step.
        checkpoint: where the state is kept, or None.

    Attributes:
        sample: prepared training rows on the engine's device, to calibrate on.
        loss: with a teacher's part, or None for the task's own.
        history: of all phases.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: TrainSettings,
        console: Console,
        interrupt: Interrupt,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.engine = Engine(settings.device, settings.precision, settings.compile)
        self.ranks = Ranks()
        self.checkpoint = checkpoint
        self.task = dataset.task
        self.settings = settings
        self.console = console if self.ranks.rank == 0 else Console(quiet=True)
        self.interrupt = interrupt
        self.binary = dataset.binary
        self.loss: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
        self.history: list[Epoch] = []
        self.batches = Batches(dataset, settings.batch_size, settings.augment, settings.seed)
        self.sample = self.batches.sample(_SAMPLE_ROWS).to(self.engine.place)
        self.validation: tuple[Tensor, Tensor] | None = None
        if len(dataset.validation):
            rows = prepared(dataset, dataset.validation), targets(dataset, dataset.validation)
            self.validation = rows[0].to(self.engine.place), rows[1].to(self.engine.place)

    # --- the teacher ------------------------------------------------------------------------------------------------

    def learn_from(
        self, settings: DistillSettings | None, dataset: Dataset, model: ModelSettings, network: KAN | None
    ) -> None:
        """Let a teacher join the loss from now on: `network` if the float network teaches, else one that is trained here.

        Raises:
            ConfigError: if the family has no such teacher, or the task no classes.
        """
        if settings is None or self.loss is not None:
            return
        kind = settings.kind(model.family)
        if dataset.task is not Task.CLASSIFICATION:
            raise ConfigError("train.distill softens class labels and has no use for a regression; remove it")
        if kind == "float":
            if network is not None:
                teacher: nn.Module = copy.deepcopy(network)
                teacher.requires_grad_(requires_grad=False)
                self.loss = distilled_loss(teacher, settings)
            return
        teacher = make_teacher(dataset, settings) if kind == "network" else build(wider(model, settings.factor))
        teacher = teacher.to(self.engine.place)
        groups = [{"params": list(teacher.parameters()), "weight_decay": self.settings.weight_decay}]
        rate = _TEACHER_RATE if kind == "network" else self.settings.learning_rate
        self.fit(teacher, Phase("teacher", settings.epochs, rate, groups), "teacher")
        teacher.requires_grad_(requires_grad=False)
        self.loss = distilled_loss(teacher, settings)

    # --- the phases -------------------------------------------------------------------------------------------------

    def float_phase(self, model_settings: ModelSettings, dataset: Dataset) -> KAN:
        """Return the trained and pruned float model, on the engine's device."""
        settings = self.settings
        self.learn_from(settings.distill, dataset, model_settings, None)
        model = build(model_settings).to(self.engine.place)
        parameters = [p for p in model.parameters() if p.requires_grad]
        groups = [{"params": parameters, "weight_decay": settings.weight_decay}]
        follow = GridUpdates(model, self.sample) if model_settings.grid_per_input else None
        phase = Phase(
            "float", settings.epochs, settings.learning_rate, groups, edges=lambda: _edges(model), loss=self.loss
        )
        if settings.prune is None:
            if follow is not None:
                phase = replace(phase, on_step=follow.step, keeps=(follow,))
            self.fit(model, phase, "float training")
        else:
            pruner = Pruner(model, settings.prune, self.sample)
            interval = max(1, len(self.batches) // _PRUNINGS_PER_EPOCH)
            keeps = (pruner,) if follow is None else (pruner, follow)
            step = both(follow, pruner.step)
            self.fit(
                model,
                replace(phase, on_step=step, step_interval=interval, counts=pruner.done, keeps=keeps),
                "float training",
            )
            pruner.finish()
        if settings.norms != "running":
            reestimate(model, self.sample)
        return model

    def qat_phase(
        self, model: KAN, quantize_settings: QuantizeSettings, model_settings: ModelSettings, dataset: Dataset
    ) -> QuantKAN:
        """Return the quantized model, trained on from the float model, or calibrated where the method trains no epoch."""
        settings = self.settings
        if quantize_settings.post_training:
            quantized = post_training(model, quantize_settings, self.sample)
            if settings.norms == "quantized":
                reestimate_folded(quantized, model, self.sample)
            return quantized
        self.learn_from(settings.distill, dataset, model_settings, model)
        start = start_of(quantize_settings, len(model.layers))
        if start == "plain":
            quantized = quantize_model(model, quantize_settings)
            quantized.calibrate(self.sample)
            with torch.no_grad():
                quantized(self.sample)  # norms and products settle on the first rows that come; not on a process' share
        else:
            begin = start_from_gptq if start == "gptq" else start_from_float
            quantized = begin(model, quantize_settings, self.sample)
        self.ranks.same(quantized)
        groups = quantized.parameter_groups(settings.weight_decay)
        epochs = 0 if self.interrupt.requested else settings.qat_epochs
        phase = Phase(
            "qat", epochs, settings.qat_learning_rate, groups, edges=lambda: _edges(quantized), loss=self.loss
        )
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
                engine=self.engine,
                ranks=self.ranks,
                checkpoint=self.checkpoint,
            )


def build(settings: ModelSettings) -> KAN:
    """Return an untrained float network."""
    return build_kan(
        settings.family,
        settings.widths,
        grid=settings.grid,
        order=settings.order,
        range=settings.range,
        activation=settings.base,
        norm="layer" if settings.layernorm else settings.norm,
        arities=settings.arities if any(settings.arities) else None,
        conv=[ConvSpec(**vars(conv)) for conv in settings.conv],
        image=settings.image,
    )


def wider(settings: ModelSettings, factor: int) -> ModelSettings:
    """Return a network with `factor` times the hidden nodes and channels, none of which multiply; one without any gets a hidden layer."""
    first, *hidden, last = settings.widths
    if not hidden and not settings.conv:
        hidden = [max(last, 8)]
    widths = (first, *(min(1 << 16, factor * width) for width in hidden), last)
    conv = tuple(replace(layer, channels=min(1 << 12, factor * layer.channels)) for layer in settings.conv)
    return replace(settings, widths=widths, conv=conv, multiplication=0, grid_per_input=False)


def start_of(settings: QuantizeSettings, layers: int) -> str:
    """Return where QAT starts: as asked for, or from GPTQ with few bits."""
    if settings.start is not None:
        return settings.start
    if settings.edge is not None:
        return "plain"
    bits = [settings.activation_bits(index) for index in range(1, layers)]
    bits += [b for index in range(layers) for b in settings.weight_bits(index)]
    return "gptq" if min(bits) <= _FEW_BITS else "plain"


def _edges(model: KAN | QuantKAN) -> int:
    return sum(int(layer.mask.sum()) for layer in model.kan_layers())
