"""Every cell of the conformance matrix in native C++, on the size small; what is refused is refused with a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.plugin._writer import library_headers
from tests.matrix.cells import BASES, CELLS, IMPLEMENTATIONS, IOS, LAYERS, MODES, Cell, Refusal, ask, case
from tests.matrix.native import Library, build

RECORDED = Path(__file__).parents[2] / "bench" / "results" / "conformance.json"
# One worker runs this file, so that the libraries are built once.
pytestmark = pytest.mark.xdist_group("matrix")

#: Rows of a cell that are run here; `make conformance` runs all.
ROWS = 512


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[Cell, Any]:
    """By cell, the hls4ml model or the refusal."""
    folder = tmp_path_factory.mktemp("matrix_none")
    return {cell: ask(cell, "small", folder) for cell in CELLS}


@pytest.fixture(scope="module")
def libraries(answers: dict[Cell, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Library]:
    """By name of the cell, the library that holds it."""
    models = {cell.name: model for cell, model in answers.items() if not isinstance(model, Refusal)}
    return {name: lib for lib in build(models, tmp_path_factory.mktemp("matrix") / "native") for name in lib.names}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("basis", BASES)
def test_cpp_equals_the_reference(libraries: dict[str, Library], basis: str, implementation: str, layer: str) -> None:
    cells = [Cell(basis, implementation, mode, io, layer) for mode in MODES for io in IOS]
    legal = [cell for cell in cells if cell.name in libraries]
    assert legal, f"the plugin refuses every cell of {layer} with {basis}, {implementation}"
    for cell in legal:
        job = case(cell, "small")
        rows = np.unique(np.linspace(0, len(job.X) - 1, ROWS).astype(int))
        np.testing.assert_array_equal(libraries[cell.name].run(cell.name, job.X[rows]), job.expected[rows], cell.name)
        assert libraries[cell.name].run(cell.name, job.X[:0]).shape == (0, job.expected.shape[1])


def test_every_refusal_is_a_sentence_of_ours(answers: dict[Cell, Any]) -> None:
    for cell, answer in answers.items():
        if isinstance(answer, Refusal):
            assert answer.ours, (cell.name, answer.sentence)
            assert "; " in answer.sentence, (cell.name, answer.sentence)  # what was wrong; what to do


def test_what_was_legal_is_legal(answers: dict[Cell, Any]) -> None:
    units = json.loads(RECORDED.read_text(encoding="utf-8"))["units"]
    assert set(units) == {f"{basis}_{implementation}" for basis in BASES for implementation in IMPLEMENTATIONS}
    for cell, answer in answers.items():
        recorded = units[f"{cell.basis}_{cell.implementation}"][f"{cell.mode}, {cell.io}, {cell.layer}, small"]
        legal = not isinstance(answer, Refusal)
        assert legal == ("refused" not in recorded), f"{cell.name}: run make conformance ({answer})"


def test_a_wrong_header_is_seen(answers: dict[Cell, Any], tmp_path: Path) -> None:
    changed = tmp_path / "kan4ml"
    shutil.copytree(library_headers(), changed)
    text = (changed / "rescale.h").read_text(encoding="utf-8")
    assert "(sum) + in::" in text
    (changed / "rescale.h").write_text(text.replace("(sum) + in::", "(sum) - in::"), encoding="utf-8")
    cells = [Cell("bspline", "arith", mode, "io_parallel", "dense") for mode in MODES]
    (library,) = build({cell.name: answers[cell] for cell in cells}, tmp_path / "native", headers=changed)
    for cell in cells:
        job = case(cell, "small")
        assert (library.run(cell.name, job.X) != job.expected).any()
