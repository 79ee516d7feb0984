"""The reference of the command line, written from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import typer

from hwgen.cli import app

__all__ = ["check_command", "command_names", "commands_page"]


def _root() -> Any:
    """Return the command tree as typer builds it for its parser (its own copy of click, or click itself)."""
    return typer.main.get_command(app)


def command_names() -> list[str]:
    """Return the names of all commands, in the order of `kan4ml --help`."""
    return [name for name, command in _root().commands.items() if not command.hidden]


def check_command(words: Sequence[str]) -> None:
    """Parse `words`, what follows `kan4ml` on a command line, without running anything.

    Raises:
        ValueError: if the command line would be refused: an unknown command or option, a missing argument, or a value of the wrong type.
    """
    root = _root()
    if list(words) in (["--help"], ["--version"]):
        return
    name, *rest = words
    if name not in root.commands:
        raise ValueError(f"kan4ml has no command {name!r}; it has {', '.join(command_names())}")
    command = root.commands[name]
    if "--help" in rest:
        return
    try:
        command.make_context(f"kan4ml {name}", list(rest), resilient_parsing=False)
    except Exception as error:  # noqa: BLE001 - click's errors, of whichever copy of click typer brings
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        raise ValueError(f"kan4ml {' '.join(words)}: {message}") from None


def _rows(command: Any) -> Iterator[tuple[str, str, str]]:
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            name = f"`{parameter.metavar or parameter.name.upper()}`"
        else:
            names = ", ".join(f"`{one}`" for one in [*parameter.opts, *parameter.secondary_opts])
            name = f"{names} `{parameter.metavar}`" if parameter.metavar else names
        default = parameter.default
        shown = "" if default in (None, "") or isinstance(default, bool) or callable(default) else f"`{default}`"
        if isinstance(default, bool) and parameter.secondary_opts:
            shown = f"`{(parameter.opts if default else parameter.secondary_opts)[0]}`"
        if parameter.required:
            shown = "required"
        yield name, _cell(getattr(parameter, "help", "") or ""), shown


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("*", "\\*").replace("<", "\\<")


def commands_page() -> str:
    """Return the page of all commands and options as Markdown."""
    root = _root()
    out = [
        "# Command line",
        "",
        (
            "Written from the commands when this site is built; `kan4ml COMMAND --help` prints the same. "
            "Exit status: [errors](../errors.md)."
        ),
        "",
    ]
    for name in command_names():
        command = root.commands[name]
        arguments = [
            (p.metavar or p.name.upper()) if p.required else f"[{p.metavar or p.name.upper()}]"
            for p in command.params
            if p.param_type_name == "argument"
        ]
        usage = " ".join(["kan4ml", name, *arguments, "[OPTIONS]"])
        text = (command.help or "").strip()
        if not text:
            raise ValueError(f"kan4ml {name} has no help text; give its function a docstring")
        out += [f"## `kan4ml {name}`", "", text, "", "```none", usage, "```", ""]
        rows = list(_rows(command))
        if rows:
            out += ["| argument or option | what it is | default |", "| --- | --- | --- |"]
            out += [f"| {' | '.join(row)} |" for row in rows]
            out.append("")
    return "\n".join(out)
