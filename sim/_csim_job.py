"""A csim run in a process of its own: damaged C++ may write where it must not, and that must not end the caller.

As a program, `python -m sim._csim_job LIBRARY FOLDER THREADS`, it runs `FOLDER/X.npy` and writes `FOLDER/answer.npz`; if
there is `FOLDER/alone.npz`, it also drives the layers alone with it and writes `FOLDER/answer_alone.npz`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pymodel.errors import Kan4mlError, ToolError
from pymodel.ir import IntArray
from sim.csim import Csim, build_csim
from sim.process import python_path, run_tool, tool_environment

__all__ = ["CsimAnswer", "run_csim"]

_ERROR = "error.txt"
_PROBLEMS = "problems.txt"
_ALONE = "alone.npz"
#: Key of the first layer's integers there; no layer is called so, since a name has no space.
_FIRST = "first layer"
_CRASH = "the C++ simulation crashed or did not end"


@dataclass(frozen=True)
class CsimAnswer:
    """What a run gave.

    Attributes:
        values: int64 (rows, n_out) per recorded layer; empty if there are problems.
        problems: tables that their types would change, or the crash.
        alone: likewise, of the layers driven alone; empty if that was not asked for.
    """

    values: dict[str, IntArray]
    problems: tuple[str, ...] = ()
    alone: dict[str, IntArray] = field(default_factory=dict)


def run_csim(
    project: Path,
    X: IntArray,
    *,
    alone: tuple[IntArray, Mapping[str, IntArray]] | None = None,
    threads: int | None = None,
    timeout: float = 3600.0,
) -> CsimAnswer:
    """Compile the hls4ml project as it is now and run its top function on every row of `X` (rows, n_in).

    Args:
        project: the project folder.
        X: input integers.
        alone: arguments of :meth:`Csim.run_alone`, which is run as well if they are given.
        threads: as for :meth:`Csim.run`.
        timeout: seconds; a loop that a damaged constant made endless ends with it.

    Raises:
        ToolError: if the project cannot be compiled or is no KAN project, or takes other rows.
    """
    library = build_csim(project)
    with tempfile.TemporaryDirectory(prefix="kan4ml-csim-") as name:
        folder = Path(name)
        np.save(folder / "X.npy", X)
        if alone is not None:
            np.savez(folder / _ALONE, **{_FIRST: alone[0], **alone[1]})  # type: ignore[arg-type]
        command = [sys.executable, "-m", "sim._csim_job", str(library), str(folder), str(threads or 0)]
        environment = tool_environment(PYTHONPATH=python_path())
        try:
            run_tool(command, what="csim", cwd=folder, env=environment, timeout=timeout, remedy="build the model again")
        except ToolError:
            return CsimAnswer({}, (_CRASH,))
        if (folder / _ERROR).is_file():
            raise ToolError((folder / _ERROR).read_text(encoding="utf-8"))
        if (folder / _PROBLEMS).is_file():
            return CsimAnswer({}, tuple((folder / _PROBLEMS).read_text(encoding="utf-8").splitlines()))
        return CsimAnswer(_load(folder / "answer.npz"), (), {} if alone is None else _load(folder / "answer_alone.npz"))


def _load(path: Path) -> dict[str, IntArray]:
    with np.load(path, allow_pickle=False) as answer:
        return {key: answer[key] for key in answer.files}


def main() -> None:
    """Answer one job."""
    library, folder, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    try:
        csim = Csim(library)
        if csim.problems:
            (folder / _PROBLEMS).write_text("\n".join(csim.problems), encoding="utf-8")
            return
        values = csim.run(np.load(folder / "X.npy", allow_pickle=False), threads or None)
        if (folder / _ALONE).is_file():
            inject = _load(folder / _ALONE)
            alone = csim.run_alone(inject.pop(_FIRST), inject, threads or None)
            np.savez(folder / "answer_alone.npz", **alone)  # type: ignore[arg-type]
    except Kan4mlError as error:
        (folder / _ERROR).write_text(str(error), encoding="utf-8")
        return
    np.savez(folder / "answer.npz", **values)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
