"""The notebooks run from the first cell to the last, and are committed without outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def test_there_is_one_for_each_way_in() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"own_data", "pykan", "hls4ml", "edit_kernel"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_clean(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        assert not cell.get("outputs"), "outputs are not committed: they differ from machine to machine"
        assert cell.get("execution_count") is None
        assert not re.search(r"/(home|root|tmp|work|Users)/", cell.source)
    assert book.cells[0].source.startswith("# ")


@pytest.mark.slow
@pytest.mark.rtl
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")  # Jupyter's own; those of the cells are the kernel's
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.stem == "pykan":
        pytest.importorskip("kan", reason="pykan is not installed")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    book = nbformat.read(path, as_version=4)
    work = tmp_path / "work"
    work.mkdir()
    NotebookClient(book, timeout=400, kernel_name="python3", resources={"metadata": {"path": str(work)}}).execute()
    printed = "".join(
        o.text for c in book.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "stream"
    )
    assert ", 0 differ" in printed, printed
