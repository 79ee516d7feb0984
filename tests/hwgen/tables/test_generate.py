from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hwgen.tables import Passes, TablesDesign, generate
from pymodel.errors import ConfigError, DataError, IRError
from pymodel.ir import AffineCoder, FixedPoint, KanIR, KanLinear
from pymodel.reference import Reference
from tests.hwgen.tables.designs import PART, coder, edge_table, program, tiny, unsigned
from tests.strategies import random_ir

_GOLDEN = Path(__file__).parent / "golden"


def _write(ir: KanIR, folder: Path, **options: object) -> TablesDesign:
    return generate(ir, folder, part=PART, clock_ns=5.0, **options)  # type: ignore[arg-type]


def _words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["kan_layer_1.v", "kan_layer_2.v", "kan_top.v", "kan_axis.v", "signals.json"])
def test_golden(name: str, tmp_path: Path) -> None:
    _write(tiny(), tmp_path, passes=Passes.none())
    assert _words((tmp_path / name).read_text()) == _words((_GOLDEN / name).read_text())


def test_files_and_counts(tmp_path: Path) -> None:
    design = _write(tiny(), tmp_path / "a" / "b", passes=Passes.none())
    written = {path.name for path in design.folder.iterdir()}
    assert written == {
        *design.files, "kan_tb.v", "kan_axis_tb.v", "constraints.xdc", "vivado.tcl", "signals.json",
        "vectors_in.hex", "vectors_out.hex",
    }  # fmt: skip
    assert design.files == ("kan_layer_1.v", "kan_layer_2.v", "kan_top.v", "kan_fifo.v", "kan_axis.v")
    assert (design.top, design.axis_top, design.testbenches) == ("kan_top", "kan_axis", ("kan_tb", "kan_axis_tb"))
    assert design.edges == 9
    assert design.tables == 7  # one constant edge, one that reads a constant output
    assert design.adders == 3
    assert design.latency == 1 + 3 + 2


def test_same_program_same_bytes(tmp_path: Path) -> None:
    ir = random_ir(13, widths=(6, 5, 6, 1), in_bits=12)
    first, second = (_write(ir, tmp_path / name) for name in ("first", "second"))
    for path in first.folder.iterdir():
        text = path.read_bytes()
        assert text == (second.folder / path.name).read_bytes()
        assert str(tmp_path).encode() not in text
        assert b"\r" not in text
        assert not re.search(rb"20\d\d-\d\d", text)


def test_signals_json_describes_every_node(tmp_path: Path) -> None:
    ir = random_ir(13, widths=(6, 5, 6, 1), in_bits=12)
    design = _write(ir, tmp_path)
    content = json.loads((tmp_path / "signals.json").read_text())
    assert list(content) == [
        "schema", "engine", "top", "axis_top", "latency", "input", "output", "nodes", "files",
    ]  # fmt: skip
    assert (content["schema"], content["engine"], content["latency"]) == (1, "tables", design.latency)
    assert set(content["nodes"]) == {node.name for node in ir.nodes}
    top = (tmp_path / "kan_top.v").read_text()
    for node in ir.nodes:
        signal = content["nodes"][node.name]
        assert signal["signal"] == f"y_{node.name}"
        assert (signal["count"], signal["width"], signal["signed"]) == (
            node.n_out, node.out_type.width, node.out_type.signed,
        )  # fmt: skip
        assert signal["offset"] == 0
        assert f"[{node.n_out * node.out_type.width - 1}:0] y_{node.name};" in top
    stages = [content["nodes"][node.name]["stage"] for node in ir.nodes]
    assert stages[0] == 0
    assert stages == sorted(stages)
    assert stages[-1] == content["latency"] - 1
    assert content["output"]["node"] == ir.output
    for name in content["files"]:
        assert (tmp_path / name).is_file()


def test_a_node_that_the_output_does_not_need_is_not_built(tmp_path: Path) -> None:
    tables = np.arange(8).reshape(1, 8, 1)
    kind = FixedPoint(5, 5, signed=True)
    layers = [edge_table(name, "x", tables + i, out_type=kind, coder=coder(1, 0, 0, 8)) for i, name in enumerate("abc")]
    design = _write(program(unsigned(3), *layers, output="b"), tmp_path)
    assert design.nodes["a"] is design.nodes["c"] is None
    content = json.loads((tmp_path / "signals.json").read_text())
    assert content["nodes"]["a"] == {"collapsed": True}
    assert design.tables == 1
    assert design.files[0] == "kan_layer_1.v"
    assert not (tmp_path / "kan_layer_2.v").exists()


def test_the_input_alone_may_be_the_output(tmp_path: Path) -> None:
    layer = edge_table("a", "x", np.ones((2, 8, 1), int), out_type=unsigned(3), coder=coder(1, 0, 0, 8))
    design = _write(program(unsigned(3), layer, output="x"), tmp_path)
    assert (design.latency, design.tables) == (1, 0)
    assert (tmp_path / "vectors_in.hex").read_text() == (tmp_path / "vectors_out.hex").read_text()


def test_names_are_prefixed(tmp_path: Path) -> None:
    for path in _write(tiny(), tmp_path, prefix="n7").folder.iterdir():
        assert path.suffix != ".v" or path.name.startswith("n7_")
        text = path.read_text()
        assert "kan_" not in text
        # The layer called `case` appears as y_case and in comments only.
        assert not re.search(r"\bcase\b(?! \()", re.sub(r"//.*", "", text)) or path.suffix != ".v"


def test_vectors_are_the_reference_s(tmp_path: Path) -> None:
    ir = tiny()
    X = np.stack(np.meshgrid(*[np.arange(-4, 4)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)[::17]
    _write(ir, tmp_path, vectors=X)

    def read(name: str, count: int, width: int, *, signed: bool) -> list[list[int]]:
        mask = (1 << width) - 1
        rows = [int(line, 16) for line in (tmp_path / name).read_text().splitlines()]
        values = [[(row >> (i * width)) & mask for i in range(count)] for row in rows]
        return [[v - (1 << width) if signed and v > mask >> 1 else v for v in row] for row in values]

    assert read("vectors_in.hex", 4, 3, signed=True) == X.tolist()
    assert read("vectors_out.hex", 2, 4, signed=True) == Reference(ir).run(X)["y"].tolist()
    assert f"VECTORS = {X.shape[0]};" in (tmp_path / "kan_tb.v").read_text()


def test_default_vectors_have_the_corners(tmp_path: Path) -> None:
    _write(tiny(), tmp_path)
    rows = (tmp_path / "vectors_in.hex").read_text().split()
    assert len(rows) == 5 + 2 * 4 + 256
    for corner in (0b100_100_100_100, 0b011_011_011_011, 0, 0b011_100_011_100, 0b100_011_100_011, 0b100_100_100_011):
        assert f"{corner:03x}" in rows


def test_scripts_name_part_clock_and_files(tmp_path: Path) -> None:
    design = _write(tiny(), tmp_path)
    script = (tmp_path / "vivado.tcl").read_text()
    assert PART in script
    assert all(name in script for name in design.files)
    assert script.count("{") == script.count("}")
    assert "-period 5 " in (tmp_path / "constraints.xdc").read_text()


def test_no_real_number_reaches_verilog(tmp_path: Path) -> None:
    for name in _write(random_ir(13, widths=(6, 5, 6, 1), in_bits=12), tmp_path).files:
        code = re.sub(r"//.*|\d+'[dh][0-9a-f]+", "", (tmp_path / name).read_text())
        assert not re.search(r"\d\.\d|\breal\b|\d[eE][+-]?\d", code), name


@pytest.mark.parametrize("part", ["", "a b", "x;exit", "x[exec ls]", "$x", 'x"', "x\n"])
def test_a_part_that_is_not_a_name_is_refused(part: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device name"):
        generate(tiny(), tmp_path / "rtl", part=part, clock_ns=5.0)
    assert not (tmp_path / "rtl").exists()


@pytest.mark.parametrize("clock_ns", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clock_that_is_not_positive_is_refused(clock_ns: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="clock_ns"):
        generate(tiny(), tmp_path / "rtl", part=PART, clock_ns=clock_ns)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((0, 4), np.int64), "at least one test vector"),
        (np.zeros((3, 5), np.int64), "shape"),
        (np.zeros((3, 4)), "float64"),
        (np.full((3, 4), 4), "-4 … 3"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(vectors: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        _write(tiny(), tmp_path / "rtl", vectors=vectors)
    assert not (tmp_path / "rtl").exists()


def test_a_layer_without_edge_table_form_is_refused(tmp_path: Path) -> None:
    ir = next(
        ir
        for ir in (random_ir(seed, widths=(3, 2), edge_tables=0.0, in_bits=12) for seed in range(100))
        if isinstance(layer := ir.layers[0], KanLinear)
        and layer.base is not None
        and layer.base.coder != layer.spline.coder
    )
    with pytest.raises(IRError, match="layer layers_0 has no edge-table form"):
        _write(ir, tmp_path / "rtl")
    assert not (tmp_path / "rtl").exists()


def test_only_inputs_that_a_table_reads_get_a_coder(tmp_path: Path) -> None:
    tables = np.zeros((3, 16, 1), dtype=np.int64)
    tables[1, :, 0] = np.arange(16)
    layer = edge_table(
        "a", "x", tables, out_type=unsigned(4), coder=AffineCoder(np.array([13]), np.array([7]), 8, 16, 0.0, 1.0)
    )
    _write(program(unsigned(8), layer), tmp_path)
    text = (tmp_path / "kan_layer_1.v").read_text()
    assert re.findall(r"reg \[3:0\] (c\d+);", text) == ["c1"]
    assert text.count("function") == 2
