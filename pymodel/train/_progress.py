"""What the user sees while a model trains: one bar per phase, with loss, validation score and edges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pymodel.train._phase import Epoch

__all__ = ["PhaseBar", "phase_bar"]


class PhaseBar:
    """The bar of one phase; its methods are the callbacks of :func:`~pymodel.train._phase.run_phase`."""

    def __init__(self, progress: Progress, title: str, epochs: int, measure: str) -> None:
        self._progress = progress
        self._epochs = epochs
        self._measure = measure
        self._task = progress.add_task(title, total=1.0, figures="")

    def on_batch(self, share: float) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=share)

    def on_epoch(self, epoch: Epoch) -> None:
        """Show the figures of a finished epoch."""
        figures = f"epoch {epoch.epoch}/{self._epochs}  loss {epoch.loss:.3f}"
        if epoch.validation is not None:
            figures += f"  {self._measure} {epoch.validation:.3f}"
        self._progress.update(self._task, figures=f"{figures}  {epoch.edges} edges")


@contextmanager
def phase_bar(console: Console, title: str, epochs: int, measure: str) -> Iterator[PhaseBar]:
    """Show a bar on `console` while the context lasts; nothing on a quiet console."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=console.quiet, refresh_per_second=4) as progress:
        yield PhaseBar(progress, title, epochs, measure)
