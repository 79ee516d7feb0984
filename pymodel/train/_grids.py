"""Grids that follow the data while a PyKAN trains, as pykan's `fit` moves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from pymodel.errors import ModelError
from pymodel.layers import KAN, PyKAN

__all__ = ["GridUpdates", "both"]

#: Shares of the training at which the grids move; afterwards they stay, so that the weights can settle.
_UPDATES = (0.0, 0.05, 0.1, 0.2, 0.35)


class GridUpdates:
    """Moves the grids of a network a few times in the first part of its training.

    Args:
        model: a PyKAN.
        rows: prepared features (rows, I) that the grids follow.

    Raises:
        ModelError: if the model has no grids that move.
    """

    def __init__(self, model: KAN, rows: Tensor) -> None:
        if not isinstance(model, PyKAN):
            raise ModelError(f"only the grids of a PyKAN follow the data, not those of a {type(model).__name__}")
        self.model = model
        self.rows = rows
        self.left = list(_UPDATES)

    def state(self) -> list[float]:
        """Return the shares of the training at which the grids still have to move."""
        return list(self.left)

    def restore(self, state: Sequence[float]) -> None:
        """Continue from what :meth:`state` returned."""
        self.left = list(state)

    def step(self, progress: float) -> None:
        """Move the grids if it is time.

        Args:
            progress: of the training, 0 … 1.
        """
        due = False
        while self.left and progress >= self.left[0]:
            del self.left[0]
            due = True
        if due:
            self.model.update_grid_from_samples(self.rows)


def both(follow: GridUpdates | None, step: Callable[[float], None]) -> Callable[[float], None]:
    """Return a step that moves the grids, if any, and then does `step`."""

    def combined(progress: float) -> None:
        if follow is not None:
            follow.step(progress)
        step(progress)

    return combined
