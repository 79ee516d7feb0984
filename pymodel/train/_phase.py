"""One phase of training: AdamW with a cosine schedule, the best epoch kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.ir import Task
from pymodel.train._batches import Batches
from pymodel.train._checkpoint import Checkpoint, Place, Stateful
from pymodel.train._engine import Engine
from pymodel.train._metrics import Score, loss_of, score
from pymodel.train._ranks import Ranks

__all__ = ["Epoch", "Phase", "run_phase"]

#: The cosine ends at this share of the learning rate, and the first steps rise to it.
_FINAL_RATE = 0.01
_WARMUP_STEPS = 20
_MAX_GRADIENT_NORM = 5.0


@dataclass(frozen=True)
class Epoch:
    """One line of the history.

    Attributes:
        phase: `float` or `qat`.
        epoch: from 1.
        loss: mean training loss of the epoch.
        validation: accuracy or R² on the validation rows; None without any.
        edges: edges that are left.
        learning_rate: at the end of the epoch.
    """

    phase: str
    epoch: int
    loss: float
    validation: float | None
    edges: int
    learning_rate: float

    def to_json(self) -> dict[str, str | int | float | None]:
        """Return the fields as JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Phase:
    """What one phase does.

    Attributes:
        name: `float` or `qat`.
        epochs, learning_rate: of AdamW.
        groups: its parameter groups.
        on_step: called before some steps with the progress 0 … 1 (pruning).
        step_interval: in steps.
        counts: whether a model at this progress may be kept as the best (not before pruning is over).
        edges: number of edges that are left.
        loss: of prepared rows, outputs and targets; None is the task's.
        keeps: what changes outside the model, for checkpoints.
    """

    name: str
    epochs: int
    learning_rate: float
    groups: list[dict[str, Any]]
    on_step: Callable[[float], None] | None = None
    step_interval: int = 1
    counts: Callable[[float], bool] = lambda _: True
    edges: Callable[[], int] = lambda: 0
    loss: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    keeps: tuple[Stateful, ...] = ()


def run_phase(
    model: nn.Module,
    batches: Batches,
    validation: tuple[Tensor, Tensor] | None,
    task: Task,
    phase: Phase,
    *,
    stop: Callable[[], bool],
    on_epoch: Callable[[Epoch], None],
    on_batch: Callable[[float], None],
    engine: Engine | None = None,
    ranks: Ranks | None = None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train `model` in place and leave it, in eval mode, in the state of its best epoch.

    The best epoch is the one with the highest :class:`Score` on the validation rows; without any, the last one.

    Args:
        model: any module that maps prepared rows to outputs, on the engine's device.
        batches: the training rows.
        validation: prepared rows and targets that are not trained on.
        task: decides on loss and score.
        phase: the plan.
        stop: asked after every step; true ends the phase.
        on_epoch: told every finished epoch, also those that a checkpoint tells of.
        on_batch: told the share of the phase that is done, after every step.
        engine: device and number format; None is the CPU in float32.
        ranks: the processes that train together; None looks for them.
        checkpoint: where the phase is kept and may go on from; None keeps nothing.

    Raises:
        ModelError: if the loss is not finite.
    """
    _Trainer(
        model,
        batches,
        validation,
        task,
        phase,
        engine or Engine(),
        ranks or Ranks(),
        checkpoint,
        stop,
        on_epoch,
        on_batch,
    ).run()


@dataclass
class _Trainer:
    """One phase in progress; see :func:`run_phase`."""

    model: nn.Module
    batches: Batches
    validation: tuple[Tensor, Tensor] | None
    task: Task
    phase: Phase
    engine: Engine
    ranks: Ranks
    checkpoint: Checkpoint | None
    stop: Callable[[], bool]
    on_epoch: Callable[[Epoch], None]
    on_batch: Callable[[float], None]

    def __post_init__(self) -> None:
        self.steps = self.phase.epochs * len(self.batches)
        self.history: list[Epoch] = []
        self.place = Place()

    def run(self) -> None:
        """Train, or take over what a checkpoint says."""
        if self.checkpoint is not None:
            self.checkpoint.enter()
            known = self.checkpoint.finished(self.model, self.batches.restore)
            if known is not None:
                self._tell(known)
                self.model.eval()
                return
        with self.ranks.joint_norms(self.model):
            stopped = self._train()
        if self.place.best is not None:
            self.model.load_state_dict(self.place.best[1])
        self.model.eval()
        if self.checkpoint is not None and not stopped:
            self.checkpoint.finish(self.model, self.batches.state(), [epoch.to_json() for epoch in self.history])

    def _tell(self, epochs: list[dict[str, Any]]) -> None:
        for entry in epochs:
            self.history.append(Epoch(**entry))
            self.on_epoch(self.history[-1])

    def _train(self) -> bool:
        """Train to the end of the phase; return whether it was stopped."""
        phase, model = self.phase, self.model
        optimizer = torch.optim.AdamW(phase.groups, lr=phase.learning_rate)
        if self.checkpoint is not None:
            known = self.checkpoint.continued(model, optimizer, phase.keeps)
            if known is not None:
                self.place, epochs = known
                assert self.place.order is not None
                self.batches.restore(self.place.order)
                self._tell(epochs)
        forward = self.engine.forward(model, self.ranks.parallel)
        parameters = [p for p in model.parameters() if p.requires_grad]
        for epoch in range(self.place.epoch, phase.epochs + 1):
            if self._epoch(epoch, forward, optimizer, parameters):
                return True
        return False

    def _epoch(
        self,
        epoch: int,
        forward: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        parameters: list[nn.Parameter],
    ) -> bool:
        """Train one epoch, or what is left of it; return whether to stop."""
        phase, place, device = self.phase, self.place, self.engine.place
        skip = place.done
        if not skip:
            place.epoch, place.order, place.total, place.rows = epoch, self.batches.state(), 0.0, 0
        total = torch.tensor(place.total, dtype=torch.float64, device=device)
        first = (epoch - 1) * len(self.batches)
        stopped = False
        self.model.train()
        for index, (x, y) in enumerate(self.batches):
            if index < skip:  # drawn once more, so that the generator is where it was
                continue
            step = first + index
            if phase.on_step is not None and step % phase.step_interval == 0:
                phase.on_step(step / self.steps)
            total += self._step(x.to(device), y.to(device), step, forward, optimizer, parameters)
            place.done, place.rows = index + 1, place.rows + len(x)
            self.on_batch((step + 1) / self.steps)
            stopped = self.ranks.any(self.stop(), device)
            if stopped:
                break
            if self.checkpoint is not None and self.checkpoint.due() and place.done < len(self.batches):
                place.total = float(total)
                self._save(optimizer)
        self._finish_epoch(epoch, float(total) / place.rows, first + place.done, optimizer)
        place.epoch, place.done, place.order = epoch + 1, 0, self.batches.state()
        if self.checkpoint is not None and not stopped and self.checkpoint.due() and epoch < phase.epochs:
            self._save(optimizer)
        return stopped

    def _step(
        self,
        x: Tensor,
        y: Tensor,
        step: int,
        forward: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        parameters: list[nn.Parameter],
    ) -> Tensor:
        """Take one step; return the sum of the losses of the whole batch's rows, float64."""
        rows = len(x)
        x, y, weight = self.ranks.share(x, y)
        for group in optimizer.param_groups:
            group["lr"] = self.phase.learning_rate * _rate(step, self.steps)
        optimizer.zero_grad()
        y_model = forward(x)
        loss = loss_of(y_model, y, self.task) if self.phase.loss is None else self.phase.loss(x, y_model, y)
        loss = loss if weight == 1.0 else loss * weight
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, _MAX_GRADIENT_NORM)
        optimizer.step()
        return self.ranks.sum(loss.detach().double()) * (rows / self.ranks.size)

    def _finish_epoch(self, epoch: int, mean: float, step: int, optimizer: torch.optim.Optimizer) -> None:
        phase, place = self.phase, self.place
        if not math.isfinite(mean):
            raise ModelError(
                f"the {phase.name} training diverged in epoch {epoch} (its loss is {mean}); lower the learning rate"
            )
        if step == self.steps and phase.on_step is not None:
            phase.on_step(1.0)
        rate = phase.learning_rate * _rate(step, self.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        found = None
        if self.validation is not None:
            own = score(self.model, *self.validation, self.task)
            found = Score(*self.ranks.agree([own.value, own.negative_loss], self.engine.place))
            if phase.counts(step / self.steps) and (place.best is None or found > Score(*place.best[0])):
                state = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
                place.best = (found.value, found.negative_loss), state
        entry = Epoch(phase.name, epoch, mean, None if found is None else found.value, phase.edges(), rate)
        self.history.append(entry)
        self.on_epoch(entry)

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        assert self.checkpoint is not None
        epochs = [epoch.to_json() for epoch in self.history]
        self.checkpoint.save(self.place, self.model, optimizer, self.phase.keeps, epochs)


def _rate(step: int, steps: int) -> float:
    """Return the factor of the learning rate: a short rise, then half a cosine."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / max(1, steps))))
    return min(1.0, (step + 1) / _WARMUP_STEPS) * (_FINAL_RATE + (1.0 - _FINAL_RATE) * cosine)
