"""Exit statuses of `kan4ml`, in one place, and how everything that can end a command becomes one of them."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperGroup

from pymodel.errors import Kan4mlError, MismatchError

__all__ = ["EPILOG", "ExitStatus", "Group", "run", "status"]


class ExitStatus(IntEnum):
    """What a command ends with."""

    OK = 0
    MISMATCH = 1
    USER_ERROR = 2
    DEFECT = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


_MEANING: Final = {
    ExitStatus.OK: "done, and every station gave the same integers",
    ExitStatus.MISMATCH: "two stations differ, or a proof failed",
    ExitStatus.USER_ERROR: "something that you can remedy; one sentence on stderr says how",
    ExitStatus.DEFECT: "a defect of kan4ml; please report its traceback",
    ExitStatus.INTERRUPTED: "Ctrl-C; an earlier build is untouched",
    ExitStatus.BROKEN_PIPE: "the reader of the output went away",
    ExitStatus.TERMINATED: "SIGTERM; an earlier build is untouched",
}
#: The end of `kan4ml --help`.
EPILOG: Final = "\b\nExit status:\n" + "\n".join(
    f"  {int(status):>3}  {meaning}" for status, meaning in _MEANING.items()
)
#: Base class of errors of usage; typer brings its own copy of click in some versions.
_ClickError: Any = typer.BadParameter.__mro__[2]
_NO_MEMORY: Final = ("can't allocate memory", "cannot allocate memory", "not enough memory")


class _Interrupted(BaseException):
    """Ctrl-C, under a name that typer does not catch."""


class _BrokenPipe(BaseException):
    """A closed pipe, likewise."""


class Group(TyperGroup):
    """Commands whose interruption is told from other ends; typer would make some of them status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted from None
        except BrokenPipeError:
            raise _BrokenPipe from None


def run(app: typer.Typer) -> None:
    """Run the command line and exit with one of :class:`ExitStatus`."""
    # Before torch is imported: OpenMP threads that spin while they wait slow a busy machine down many times.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's encoding lacks is no reason to fail
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)  # unwinds, so that nothing half-written stays
    sys.exit(status(app))


def _terminate(*_: object) -> None:
    sys.exit(ExitStatus.TERMINATED)


def status(app: typer.Typer) -> int:
    """Run the command line and return its exit status; what went wrong is said on stderr."""
    try:
        Path.cwd()  # torch dies without a word where the working directory was deleted
        result = app(prog_name="kan4ml", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitStatus.OK
    except MismatchError as error:
        return _say(str(error), ExitStatus.MISMATCH)
    except Kan4mlError as error:
        return _say(str(error), ExitStatus.USER_ERROR)
    except _ClickError as error:
        return _usage(error)
    except (KeyboardInterrupt, _Interrupted, typer.Abort):
        return _say("interrupted", ExitStatus.INTERRUPTED)
    except (BrokenPipeError, _BrokenPipe):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
        return ExitStatus.BROKEN_PIPE
    except MemoryError:
        return _say("memory is exhausted; take a smaller model or fewer rows", ExitStatus.USER_ERROR)
    except OSError as error:  # a full disk, a working directory that was deleted, no folder for temporary files
        place = "" if error.filename is None else f" at {error.filename}"
        reason = error.strerror or error
        return _say(
            f"a file or the output cannot be used{place} ({reason}); check space and permissions", ExitStatus.USER_ERROR
        )
    except Exception as error:  # noqa: BLE001 - whatever else escapes is a defect, and not status 1
        if any(text in str(error).lower() for text in _NO_MEMORY):
            return _say("memory is exhausted; take a smaller model or fewer rows", ExitStatus.USER_ERROR)
        traceback.print_exc()
        return _say("this is a defect of kan4ml; please report the traceback above", ExitStatus.DEFECT)


def _usage(error: Any) -> int:
    """Say in one sentence what is wrong with the command line."""
    context = getattr(error, "ctx", None)
    text = error.format_message()
    if context is not None and text.strip() == context.get_help().strip():  # no command at all
        typer.echo(text, err=True)
        return ExitStatus.USER_ERROR
    where = "kan4ml" if context is None else context.command_path
    return _say(f"{text.rstrip('.')} (see {where} --help)", ExitStatus.USER_ERROR)


def _say(text: str, status: ExitStatus) -> ExitStatus:
    """Print one line on stderr in which nothing can move the cursor or colour the terminal."""
    line = " ".join(text.split())
    typer.echo(f"kan4ml: {''.join(c if c.isprintable() else ascii(c)[1:-1] for c in line)}", err=True)
    return status
