"""The command `kan4ml report`: one build's report again, or several builds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from hwgen._output import recover
from hwgen._terminal import Terminal
from hwgen.report import (
    compare,
    load_report,
    pareto,
    print_comparison,
    print_summary,
    render_comparison,
    renew_html,
    write_page,
)
from pymodel.errors import ConfigError

__all__ = ["compare_builds", "show_build"]


def show_build(folders: Sequence[Path], terminal: Terminal) -> None:
    """Print the report of one build and renew its `report.html`.

    Raises:
        ConfigError: if there are several folders, or the page cannot be written.
        IRError: if the folder holds no report, or a damaged one.
    """
    if len(folders) != 1:
        raise ConfigError(f"one folder was expected, not {len(folders)}; add --compare to compare builds")
    (folder,) = folders
    recover(folder)
    content = load_report(folder)
    with terminal.progress("drawing"):
        path = renew_html(content, folder)
    if terminal.as_json:
        terminal.result({"folder": str(folder), **content})
        return
    print_summary(terminal.console, content)
    terminal.say(f"Written to {path}")


def compare_builds(folders: Sequence[Path], out: Path, terminal: Terminal) -> None:
    """Print a table of several builds and write the page `out` with their Pareto front.

    Raises:
        ConfigError: if they cannot be compared, or the page cannot be written.
        IRError: if a folder holds no report, or a damaged one.
    """
    for folder in folders:
        recover(folder)
    builds = compare([(folder.resolve().name, load_report(folder)) for folder in folders])
    with terminal.progress("drawing"):
        page = render_comparison(builds)
    write_page(page, out)
    if terminal.as_json:
        front = pareto(builds)
        terminal.result({"builds": [{**asdict(b), "pareto": b in front} for b in builds], "page": str(out)})
        return
    print_comparison(terminal.console, builds)
    terminal.say(f"Written to {out}")
