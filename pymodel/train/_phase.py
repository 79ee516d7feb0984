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
from pymodel.train._metrics import Score, loss_of, score

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


@dataclass
class _Best:
    score: Score
    state: dict[str, Tensor]


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
) -> None:
    """Train `model` in place and leave it, in eval mode, in the state of its best epoch.

    The best epoch is the one with the highest :class:`Score` on the validation rows; without any, the last one.

    Args:
        model: any module that maps prepared rows to outputs.
        batches: the training rows.
        validation: prepared rows and targets that are not trained on.
        task: decides on loss and score.
        phase: the plan.
        stop: asked after every step; true ends the phase.
        on_epoch: told every finished epoch.
        on_batch: told the share of the phase that is done, after every step.

    Raises:
        ModelError: if the loss is not finite.
    """
    optimizer = torch.optim.AdamW(phase.groups, lr=phase.learning_rate)
    steps = phase.epochs * len(batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    best: _Best | None = None
    parameters = [p for p in model.parameters() if p.requires_grad]
    step = 0
    for epoch in range(1, phase.epochs + 1):
        model.train()
        total = torch.zeros((), dtype=torch.float64)
        rows = 0
        for x, y in batches:
            if phase.on_step is not None and step % phase.step_interval == 0:
                phase.on_step(step / steps)
            optimizer.zero_grad()
            y_model = model(x)
            loss = loss_of(y_model, y, task) if phase.loss is None else phase.loss(x, y_model, y)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, _MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            total += loss.detach().double() * len(x)
            rows += len(x)
            step += 1
            on_batch(step / steps)
            if stop():
                break
        mean = float(total) / rows
        if not math.isfinite(mean):
            raise ModelError(
                f"the {phase.name} training diverged in epoch {epoch} (its loss is {mean}); lower the learning rate"
            )
        if step == steps and phase.on_step is not None:
            phase.on_step(1.0)
        found = None if validation is None else score(model, *validation, task)
        if found is not None and phase.counts(step / steps) and (best is None or found > best.score):
            best = _Best(found, {name: tensor.clone() for name, tensor in model.state_dict().items()})
        rate = float(optimizer.param_groups[0]["lr"])
        on_epoch(Epoch(phase.name, epoch, mean, None if found is None else found.value, phase.edges(), rate))
        if stop():
            break
    if best is not None:
        model.load_state_dict(best.state)
    model.eval()


def _rate(step: int, steps: int) -> float:
    """Return the factor of the learning rate: a short rise, then half a cosine."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / max(1, steps))))
    return min(1.0, (step + 1) / _WARMUP_STEPS) * (_FINAL_RATE + (1.0 - _FINAL_RATE) * cosine)
