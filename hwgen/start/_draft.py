"""`kan4ml init DATA`: a commented configuration for a file of rows, and what was guessed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from hwgen._yaml import parse_yaml
from hwgen.config import make_config
from hwgen.start._guess import Facts, Guess, guess
from pymodel.data import Columns, Dataset, load, read_columns
from pymodel.errors import ConfigError, DataError, ToolError
from pymodel.settings import DataSettings
from pymodel.suggest import suggest

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Draft", "available_tools", "check_draft", "draft", "print_guesses", "write_draft"]

#: Names, in lower case, that say that a column is what is to be predicted; the first one that is there counts.
_LABELS: Final = (
    "label",
    "target",
    "class",
    "y",
    "species",
    "category",
    "kind",
    "type",
    "outcome",
    "diagnosis",
    "quality",
)
_SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
#: A numeric label with at most so many different integers is taken for classes.
_MAX_CLASSES: Final = 20
#: Where comments start, if there is room.
_WIDTH: Final = 40
#: Text that YAML takes for text without quotes, whatever follows (`yes` and the like are quoted by the dumper).
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Draft:
    """A configuration that was guessed.

    Attributes:
        text: of the YAML file, commented.
        guesses: in its order.
        notes: what else the user should know, a sentence each.
    """

    text: str
    guesses: tuple[Guess, ...]
    notes: tuple[str, ...] = ()


def draft(data: Path, out: Path, *, label: str | None = None, task: str | None = None) -> Draft:
    """Guess a configuration for the rows in `data`.

    Args:
        data: a CSV file (gzip or not) with a header, or an `.npz` file with arrays x and y (docs of the section `data`).
        out: where the configuration will stand: the path in it is relative to that.
        label: the CSV's column to predict; None guesses.
        task: `classification` or `regression`; None guesses.

    Raises:
        ConfigError: if `task` or `label` are not usable.
        DataError: if the rows cannot be read, or nothing can be built from them.
    """
    if task not in (None, "classification", "regression"):
        raise ConfigError(f"--task must be classification or regression, not {task!r}; change it")
    source, notes = _npz(data, label, task) if data.suffix == ".npz" else _csv(data, label, task)
    settings = {item.key.removeprefix("data."): item.value for item in source}
    dataset = load(DataSettings(**{**settings, "path": data}))
    facts = Facts.of(dataset)
    path = os.path.relpath(os.path.realpath(data), os.path.realpath(out.parent))
    source = [Guess("data.path", path, "relative to this file") if item.key == "data.path" else item for item in source]
    guesses = (*source, *guess(facts, **available_tools()))
    text = _text(data.name, out.name, dataset, facts, guesses, notes)
    make_config(parse_yaml(text, str(out)), out.parent)  # what is written can be built
    return Draft(text, guesses, notes)


def check_draft(out: Path, *, force: bool = False) -> None:
    """Check, before any work, that a configuration may be written.

    Raises:
        ConfigError: if `out` exists and `force` is not given, or it is no regular file.
    """
    if out.is_dir():
        raise ConfigError(f"the configuration {out} is a folder, a file was expected; name a file with --out")
    if os.path.lexists(out) and not force:
        raise ConfigError(f"the configuration {out} exists already; give --force to replace it, or another --out")
    if out.exists() and not out.is_file():
        raise ConfigError(f"the configuration {out} is no regular file; choose another --out")


def write_draft(text: str, out: Path, *, force: bool = False) -> None:
    """Write a drafted configuration whole, or not at all.

    Raises:
        ConfigError: as :func:`check_draft`, or if it cannot be written.
    """
    check_draft(out, force=force)
    fresh = out.with_name(f".{out.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(out)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigError(
            f"the configuration {out} cannot be written ({error.strerror}); choose another --out"
        ) from None


def print_guesses(console: Console, guesses: Sequence[Guess]) -> None:
    """Print a row for every guess that has a reason."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Guessed", title_justify="left", title_style="bold")
    table.add_column("key", no_wrap=True)
    table.add_column("guess")
    table.add_column("because")
    for item in guesses:
        if item.why:
            table.add_row(Text(item.key), Text(_comment(_scalar(item.value))), Text(_comment(item.why)))
    console.print(table)


def available_tools() -> dict[str, bool]:
    """Return whether RTL can be simulated (`simulator`) and estimated (`synthesis`) here."""
    from hwgen.synth import require_yosys
    from sim.verilator import find_tools

    found = {"simulator": True, "synthesis": True}
    for key, look in (("simulator", find_tools), ("synthesis", require_yosys)):
        try:
            look()
        except ToolError:
            found[key] = False
    return found


def _npz(data: Path, label: str | None, task: str | None) -> tuple[list[Guess], tuple[str, ...]]:
    if label is not None:
        raise ConfigError(
            f"--label names a CSV column, but {data.name} is an npz file, whose array y it is; leave it out"
        )
    source = [Guess("data.source", "npz", ""), Guess("data.path", data, "")]
    if task is not None:
        return [*source, Guess("data.task", task, "as asked for")], ()
    try:
        load(DataSettings("npz", data, task="classification"))
    except DataError:
        load(DataSettings("npz", data, task="regression"))
        return [*source, Guess("data.task", "regression", "the array y cannot be classes")], ()
    return [*source, Guess("data.task", "classification", "the array y holds whole numbers or text")], ()


def _csv(data: Path, label: str | None, task: str | None) -> tuple[list[Guess], tuple[str, ...]]:
    columns = read_columns(data)
    names = list(columns.distinct)
    label, why = _label(data, columns, label)
    values = columns.distinct[label]
    task, task_why = _task(columns, label, task)
    text = [name for name in names if name != label and name not in columns.numeric]
    if text:
        raise DataError(
            f"column {text[0]!r} of {data} holds more than numbers ({_example(columns, text[0])!r}), but features must be numbers; "
            "encode or remove it, or name it with --label if it is what to predict"
        )
    separator = _SEPARATORS[columns.delimiter]
    source = [
        Guess("data.source", "csv", f"{columns.rows} rows, {len(names)} columns, separated by {separator}"),
        Guess("data.path", data, ""),
        Guess("data.label", label, why),
        Guess("data.task", task, task_why),
    ]
    notes = []
    counts = [name for name in names if name != label and _counts_rows(columns, name)]
    if counts:
        notes.append(
            f"the feature {counts[0]!r} counts the rows; remove the column, since new rows will not have its values"
        )
    if task == "classification" and len(values) > 50:
        notes.append(
            f"{len(values)} classes are many for a small circuit; give --task regression if they are quantities"
        )
    return source, tuple(notes)


def _label(data: Path, columns: Columns, label: str | None) -> tuple[str, str]:
    names = list(columns.distinct)
    if label is not None:
        if label not in names:
            raise ConfigError(f"{data} has no column {label!r}; {suggest(label, names)}")
        return label, "as asked for"
    if len(names) < 2:
        raise DataError(
            f"{data} has the one column {names[0]!r}, but features and a label were expected; check the separator"
        )
    lowered = [name.lower() for name in names]
    for known in _LABELS:
        if lowered.count(known) == 1:
            return names[lowered.index(known)], "the column's name says so"
    text = [name for name in names if name not in columns.numeric]
    if len(text) == 1:
        return text[0], "the only column that holds text"
    return names[-1], "the last column"


def _task(columns: Columns, label: str, task: str | None) -> tuple[str, str]:
    if task is not None:
        return task, "as asked for"
    values = columns.distinct[label]
    if label not in columns.numeric:
        return "classification", f"the label holds text, {len(values)} different"
    whole = all(float(value).is_integer() for value in values)
    if len(values) <= _MAX_CLASSES and 2 * len(values) <= columns.rows and (whole or len(values) == 2):
        return "classification", f"the label has {len(values)} different values"
    return "regression", "the label is a number with many values" if whole else "the label is a fractional number"


def _example(columns: Columns, name: str) -> str:
    """Return a cell of a column that is no number."""
    for value in columns.distinct[name]:
        try:
            float(value)
        except ValueError:
            return value[:40]
    return ""


def _counts_rows(columns: Columns, name: str) -> bool:
    """Whether a column holds 0, 1, 2 … or 1, 2, 3 … in the order of the rows."""
    values = columns.distinct[name]
    if columns.rows < 10 or len(values) < min(columns.rows, 1000) or values[0] not in ("0", "1"):
        return False
    first = int(values[0])
    return all(value == str(first + index) for index, value in enumerate(values))


# --- writing ---------------------------------------------------------------------------------------------------------


def _text(name: str, out: str, dataset: Dataset, facts: Facts, guesses: Sequence[Guess], notes: Sequence[str]) -> str:
    what = f"{facts.outputs} classes" if facts.task == "classification" else f"a number, {dataset.host.target!r}"
    lines = [
        f"# Guessed by kan4ml init from {name!r}: {facts.rows} rows, {facts.features} features, to predict {what}.",
        f"# Change what you know better, then run: kan4ml build {shlex.quote(_comment(out))}",
        *(_comment(f"# Note: {note}.") for note in notes),
    ]
    section = ""
    for item in guesses:
        head, _, key = item.key.partition(".")
        if head != section:
            lines += ["", f"{head}:"]
            section = head
        lines.append(_line(key, item))
    return "\n".join(lines) + "\n"


def _line(key: str, item: Guess) -> str:
    setting = f"  {key}: {_scalar(item.value)}"
    return f"{setting:<{_WIDTH}} # {_comment(item.why)}" if item.why else setting


def _scalar(value: Any) -> str:
    """Return `value` as YAML on one line; text that is not a plain word is quoted."""
    text = isinstance(value, str)
    dumped = yaml.safe_dump(
        value,
        default_flow_style=True,
        default_style='"' if text and not _is_word(value) else None,
        width=1 << 20,
        allow_unicode=text and value.isprintable(),
        sort_keys=False,
    )
    return dumped.removesuffix("...\n").strip()


def _is_word(value: str) -> bool:
    return bool(_WORD.fullmatch(value))


def _comment(text: str) -> str:
    """Return text that stays in its line."""
    return "".join(character if character.isprintable() else "?" for character in text)
