"""Gradual pruning: the number of edges falls during training, so that the rest can adapt.

The schedule is that of Zhu and Gupta 2017, `n(t) = target + (all - target) * (1 - t)^3`; which edges go is decided by
:func:`pymodel.quant.prune_to`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pymodel.layers import KAN
from pymodel.quant import edge_scores, prune_to
from pymodel.settings import PruneSettings

__all__ = ["Pruner"]

#: An edge that causes a smaller share of its output's deviation is constant but for rounding.
_NEGLIGIBLE = 1e-6


@dataclass
class Pruner:
    """Takes a float model from all its edges to the target during a part of its training.

    Args:
        model: the model.
        settings: target and schedule.
        x: (rows, features), prepared rows on which edges are judged.

    Raises:
        ConfigError: if the target does not fit the model.
    """

    model: KAN
    settings: PruneSettings
    x: Tensor

    def __post_init__(self) -> None:
        self._sizes = tuple(layer.mask.numel() for layer in self.model.kan_layers())
        self._target = self.settings.targets(self._sizes)
        self._finished = False

    def state(self) -> list[float]:
        """Return whether pruning is over."""
        return [float(self._finished)]

    def restore(self, state: Sequence[float]) -> None:
        """Continue from what :meth:`state` returned; the masks are the model's."""
        self._finished = bool(state[0])

    def done(self, progress: float) -> bool:
        """Return whether the target is reached at `progress`, 0 … 1 of the float phase."""
        return progress > self.settings.end or progress == 1.0

    def step(self, progress: float) -> None:
        """Prune as far as the schedule wants at `progress`, 0 … 1 of the float phase."""
        start, end = self.settings.start, self.settings.end
        if progress < start or self._finished:
            return
        rest = 0.0 if progress >= end else (1.0 - (progress - start) / (end - start)) ** 3
        if rest:
            prune_to(self.model, self._between(rest), self.x)
        else:
            self.finish()

    def finish(self) -> None:
        """Prune to the target at once, and drop edges that change no output (of constant inputs, or leading nowhere)."""
        prune_to(self.model, self._target, self.x)
        for layer, score in zip(self.model.kan_layers(), edge_scores(self.model, self.x), strict=True):
            layer.apply_mask(layer.mask & (score > _NEGLIGIBLE))
        self._finished = True

    def _between(self, rest: float) -> int | tuple[int, ...]:
        """Return the edges to keep while the share `rest` of those to remove is still there."""
        if isinstance(self._target, tuple):
            return tuple(round(t + (n - t) * rest) for t, n in zip(self._target, self._sizes, strict=True))
        return round(self._target + (sum(self._sizes) - self._target) * rest)
