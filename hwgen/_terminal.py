"""What commands print: progress and tables for people, JSON on stdout for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Json", "Quiet", "Terminal"]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only (and what --json asks for).")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")]


class Terminal:
    """The output of a command.

    Attributes:
        console: where progress and tables go: stdout, or stderr if stdout is for JSON. Colours follow NO_COLOR.
        as_json: the result is printed as JSON.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        from rich.console import Console

        self.console: Console = Console(quiet=quiet, stderr=as_json, highlight=False)
        self._progress = Console(quiet=quiet, stderr=True, highlight=False)
        self.as_json = as_json

    def say(self, text: str, style: str = "") -> None:
        """Print a line; nothing in it is markup."""
        _say(self.console, text, style)

    def result(self, document: Any) -> None:
        """Print `document` as JSON on stdout."""
        typer.echo(json.dumps(document, indent=1, allow_nan=False))

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[str], None]]:
        """Say on stderr what is going on: a spinner on a terminal, or else a line for each later step.

        Yields:
            A function that names the next step.
        """
        if not self._progress.is_terminal:
            yield lambda step: _say(self._progress, f"… {step}")
            return
        from rich.text import Text

        with self._progress.status(Text(_printable(title))) as status:
            yield lambda step: status.update(Text(_printable(step)))


def _say(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(_printable(text), style=style), soft_wrap=True)


def _printable(text: str) -> str:
    """Return text in which nothing moves the cursor or colours the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
