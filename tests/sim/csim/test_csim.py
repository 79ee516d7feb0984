"""The simulation is made from the project's files as they are now, and refuses what it cannot run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pymodel.errors import DataError, ToolError
from pymodel.ir import KanIR
from pymodel.reference import Reference
from sim.csim import Csim, build_csim
from sim.equivalence import compare
from tests.sim.csim.projects import convert_ir
from tests.strategies import random_inputs, random_ir

ROWS = 1000

pytestmark = pytest.mark.xdist_group("csim_project")  # the module's project is compiled once


@pytest.fixture(scope="module")
def ir() -> KanIR:
    return random_ir(0, widths=(3, 3, 2), in_bits=6, edge_tables=0.0)


@pytest.fixture(scope="module")
def project(ir: KanIR, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled project; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("csim") / "project"
    convert_ir(ir, folder)
    build_csim(folder)
    return folder


def libraries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.so"))


def test_an_unchanged_project_is_not_compiled_again(project: Path) -> None:
    before = libraries(project)
    assert len(before) == 1
    stamp = before[0].stat().st_mtime_ns
    assert build_csim(project) == before[0].resolve()
    assert before[0].stat().st_mtime_ns == stamp


def test_one_changed_table_entry_is_found(ir: KanIR, project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "edited"
    shutil.copytree(project, copy)
    before = libraries(copy)
    header = copy / "firmware" / "kan_tables" / "kan_layers_0.h"
    text = header.read_text()
    edited = re.sub(
        r"(spline_weights\[\d+\]\[\d+\] = \{\n    \{)(-?\d+)",
        lambda m: f"{m[1]}{int(m[2]) - 1 if int(m[2]) > 0 else int(m[2]) + 1}",  # a neighbour still fits its type
        text,
        count=1,
    )
    assert edited != text
    header.write_text(edited)
    X = random_inputs(ir, ROWS, np.random.default_rng(0))
    border = compare("csim", Csim(copy).run(X), Reference(ir).run(X), [n.name for n in ir.layers])
    assert border.nodes["layers_0"] > 0
    assert border.first is not None
    assert border.first.node == "layers_0"
    assert len(libraries(copy)) == 1  # the stale library is gone
    assert libraries(copy)[0].name != before[0].name
    border = compare("csim", Csim(project).run(X), Reference(ir).run(X), [n.name for n in ir.layers])
    assert border.equal  # the comparison finds the edit, not something else


def test_threads_do_not_change_the_integers(ir: KanIR, project: Path) -> None:
    csim = Csim(project)
    X = random_inputs(ir, ROWS, np.random.default_rng(3))
    one, many = csim.run(X, threads=1), csim.run(X, threads=7)
    assert one.keys() == many.keys() == {"layers_0", "layers_1"}
    for name, values in one.items():
        assert values.dtype == np.int64
        np.testing.assert_array_equal(values, many[name])


def test_blocks_do_not_change_the_integers(ir: KanIR, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csim = Csim(project)
    X = random_inputs(ir, ROWS, np.random.default_rng(3))
    whole = csim.run(X)
    monkeypatch.setattr("sim.csim._BLOCK_BYTES", 1 << 12)
    for name, values in csim.run(X).items():
        np.testing.assert_array_equal(values, whole[name])
    assert all(values.shape[0] == 0 for values in csim.run(X[:0]).values())


def test_the_library_goes_where_it_can_be_written(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "locked"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("csim"))
    elsewhere = build_csim(copy, cache_dir=tmp_path / "cache")
    assert elsewhere.parent == tmp_path / "cache"
    assert libraries(copy) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="cannot be written; give another"):
        build_csim(copy, cache_dir=tmp_path / "file")


def test_the_project_folder_is_enough(project: Path, tmp_path: Path) -> None:
    """Another process, elsewhere, without hwgen: the folder was moved since it was written, and cannot be written."""
    moved = tmp_path / "moved"
    shutil.copytree(project, moved, ignore=shutil.ignore_patterns("csim"))
    (moved / "csim").write_text("a file, so that no folder of this name can be made, by nobody")
    code = (
        "import sys, numpy as np\nfrom sim.csim import Csim\n"
        "csim = Csim(sys.argv[1])\nprint(csim.nodes, csim.run(np.zeros((2, 3), dtype=np.int64))['layers_1'].shape)\n"
        "print(csim.library.is_file())\n"
        "assert not any(name.split('.')[0] in ('hwgen', 'hls4ml', 'torch') for name in sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code, str(moved)], cwd=tmp_path, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines() == ["('layers_0', 'layers_1') (2, 2)", "True"]
    assert libraries(tmp_path) == []  # it went to a temporary folder, which is gone


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((4, 2), dtype=np.int64), r"shape \(rows, 3\) were expected, not int64 of shape \(4, 2\)"),
        (np.zeros((4, 3)), "not float64"),
        (np.full((1, 3), 1 << 20), "must lie in"),
        (np.full((1, 3), -(1 << 20)), "must lie in"),
    ],
)
def test_wrong_rows_are_refused(project: Path, rows: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Csim(project).run(rows)


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="is no hls4ml project"):
        build_csim(tmp_path)


def test_a_compile_error_names_file_and_message(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "broken"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("csim"))
    header = copy / "firmware" / "kan_tables" / "kan_layers_1.h"
    header.write_text(header.read_text().replace("edge_input", "edge_inputs"))
    with pytest.raises(ToolError, match=r"failed on firmware/kan_top\.cpp: .*edge_input"):
        build_csim(copy)
    assert libraries(copy) == []
    assert not list((copy / "csim").iterdir())


def test_a_missing_compiler_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sim import _compile

    monkeypatch.setenv("CXX", "no-such-compiler")
    _compile.find_compiler.cache_clear()
    try:
        with pytest.raises(ToolError, match="'no-such-compiler' was not found; install g"):
            build_csim(project)
    finally:
        monkeypatch.undo()
        _compile.find_compiler.cache_clear()


def test_a_foreign_library_is_refused(tmp_path: Path) -> None:
    source, library = tmp_path / "other.cpp", tmp_path / "other.so"
    source.write_text('extern "C" int f() { return 1; }\n')
    subprocess.run(["g++", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    with pytest.raises(ToolError, match="is no simulation of a KAN project"):
        Csim(library)
