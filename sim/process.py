"""Running external tools: no shell, a time limit for the whole process group, and the log's tail in the error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pymodel.errors import ToolError

__all__ = ["log_tail", "python_path", "run_tool", "tool_environment"]

_TAIL_LINES = 12
# Set by an outer `make` (jobserver, silent mode) or for a system-wide Verilator: they would change what our tools do.
_FOREIGN_VARIABLES = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "GNUMAKEFLAGS", "VERILATOR_ROOT")
# Settings of somebody else's cocotb test bench.
_FOREIGN_PREFIXES = ("COCOTB_", "GPI_", "PYGPI_")


def tool_environment(**extra: str) -> dict[str, str]:
    """Return this process's environment without the variables that would misdirect the tools, plus `extra`."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in _FOREIGN_VARIABLES and not key.startswith(_FOREIGN_PREFIXES)
    }
    return environment | extra


def python_path() -> str:
    """Return PYTHONPATH for another Python: this process's path, so that the same `sim` package is found."""
    places = [str(Path(place).resolve()) for place in sys.path]
    root = str(Path(__file__).resolve().parents[1])
    if root not in places:
        places.append(root)
    return os.pathsep.join(dict.fromkeys(places))


def log_tail(text: str) -> str:
    """Return the last lines of a log, for an error message."""
    return "\n".join(text.strip().splitlines()[-_TAIL_LINES:])


def run_tool(
    command: Sequence[str], *, what: str, cwd: Path, env: Mapping[str, str], timeout: float | None, remedy: str
) -> str:
    """Run `command` and return its output (stdout and stderr together).

    Args:
        command: program and arguments.
        what: subject of the error sentence, e.g. `Verilator`.
        cwd: working directory.
        env: the whole environment.
        timeout: seconds, after which the process and its children are killed; None waits for ever.
        remedy: last part of the error sentence.

    Raises:
        ToolError: if the program is missing, fails, or runs out of time.
    """
    try:
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{what} cannot be started ({error.strerror}: {command[0]}); {remedy}") from None
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        output, _ = process.communicate()
        raise ToolError(
            f"{what} did not finish within {timeout} s; {remedy}; its log ends with:\n{log_tail(output)}"
        ) from None
    except BaseException:
        _kill_group(process)
        process.communicate()
        raise
    if process.returncode != 0:
        raise ToolError(
            f"{what} failed with status {process.returncode}; {remedy}; its log ends with:\n{log_tail(output)}"
        )
    return output


def _kill_group(process: subprocess.Popen[str]) -> None:
    # The process is not reaped yet, so its group cannot be another one's.
    os.killpg(process.pid, signal.SIGKILL)
