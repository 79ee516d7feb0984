"""The stages of a command: seconds per stage, and a line on the console as each one ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.text import Text

__all__ = ["StageClock"]


@dataclass
class StageClock:
    """What took how long.

    Attributes:
        console: where progress goes.
        seconds: per stage key; stages of one key add up.
    """

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, key: str, title: str) -> Iterator[None]:
        """Time the body, with a spinner; a body that raises is not counted."""
        start = time.perf_counter()
        with self.console.status(Text(title)):
            yield
        self.done(key, title, time.perf_counter() - start)

    def done(self, key: str, title: str, seconds: float) -> None:
        """Count a stage that was timed elsewhere."""
        self.seconds[key] = self.seconds.get(key, 0.0) + seconds
        self.console.print(f"[green]✓[/green] {escape(title)} [dim]{seconds:.1f} s[/dim]")
