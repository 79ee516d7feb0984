"""Rolled layers from C++ to Verilog: flat program == numba, RTL == numba with stalls, and one wrong bit is seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hwgen.openhls._errors import Refused
from hwgen.openhls._rolled_design import RolledDesign, generate_rolled
from hwgen.openhls._rolled_project import layer_calls
from hwgen.openhls._rolled_run import run_rolled
from hwgen.openhls._rolled_verilog import stored_bits
from pymodel.ir import EdgeTable, IntArray, KanIR, KanLinear
from pymodel.reference import Reference
from sim.cosim import CosimResult, cosim
from sim.signals import load_signals
from tests.sim.csim.projects import convert_ir
from tests.strategies import corner_inputs, random_inputs, random_ir

# The module's design is built and compiled once.
pytestmark = pytest.mark.xdist_group("openhls_rolled")

#: Rows of an edge table with two inputs per beat; then banks with two coders, the base branch, and several levels of
#: memories (a coder per input), one input per beat.
SEED, WIDTHS, REUSE = 18, (6, 4, 3), (3, 4)
N_ROWS = 80


@dataclass(frozen=True)
class Built:
    ir: KanIR
    project: Path
    rtl: Path
    work: Path
    design: RolledDesign
    X: IntArray
    expected: dict[str, IntArray]
    result: CosimResult


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("rolled")
    ir = random_ir(SEED, widths=WIDTHS, in_bits=8, edge_tables=0.3)
    convert_ir(ir, folder / "hls", "latency", REUSE)
    design = generate_rolled(folder / "hls", ir, folder / "rtl")
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, N_ROWS, np.random.default_rng(1))])[-N_ROWS:]
    expected = Reference(ir).run(X)
    result = cosim(folder / "rtl", X, expected, seed=3, work_dir=folder / "work")
    return Built(ir, folder / "hls", folder / "rtl", folder / "work", design, X, expected, result)


def test_the_program_covers_what_it_should(built: Built) -> None:
    rows, banks = built.ir.layers
    assert isinstance(rows, EdgeTable)
    assert isinstance(banks, KanLinear)
    assert banks.base is not None
    assert banks.base.coder != banks.spline.coder
    assert banks.spline.coder.mult.size > 1
    first, second = built.design.layers.values()
    assert (first.trip, first.beat, second.trip, second.beat) == (3, 2, 4, 1)
    assert {table.level for table in second.tables} == {0, 1, 2}  # coder, basis, weights
    assert np.unique(built.expected[built.ir.output]).size > 1


def test_the_flat_programs_equal_the_reference(built: Built) -> None:
    X = random_inputs(built.ir, 300, np.random.default_rng(2))
    values = Reference(built.ir).run(X)
    for node in built.ir.layers:
        source = values[node.inputs[0]]
        np.testing.assert_array_equal(run_rolled(built.design.layers[node.name], source), values[node.name])


def test_rtl_equals_the_reference_whatever_stalls(built: Built) -> None:
    result = built.result
    assert result.equal, (result.first, result.problems)
    assert result.vectors == N_ROWS
    np.testing.assert_array_equal(result.outputs, built.expected[built.ir.output])
    assert result.ii == max(REUSE)
    assert result.latency is not None


def test_no_word_is_allocated_in_vain(built: Built) -> None:
    assert {use.layer for use in built.design.memories} == {"layers_0", "layers_1"}
    for use in built.design.memories:
        assert 1 <= use.used <= use.words
    rows = [use for use in built.design.memories if use.layer == "layers_0" and use.array.endswith("rowsE")]
    assert isinstance(built.ir.layers[0], EdgeTable)
    assert len(rows) == 2  # one memory for each input of a beat
    assert all(use.words <= 3 * built.ir.layers[0].coder.n_codes for use in rows)


def test_one_flipped_bit_of_a_memory_is_seen(built: Built) -> None:
    """One bit of one word; the simulator reads its memories when it starts, so the compiled one is run again."""
    kernel = built.design.layers["layers_1"]
    # Words that every vector reads: one per iteration. Not every bit matters (a rounding may hide it), so the highest.
    small = [n for n, table in enumerate(kernel.tables) if table.words == kernel.trip and stored_bits(table) > 1]
    assert small
    seen = []
    for number in small:
        (path,) = built.work.glob(f"verilator/*/src/kan_rolled_layers_1_rom{number}.hex")
        text = path.read_text()
        first, rest = text.split("\n", 1)
        flipped = int(first, 16) ^ 1 << (stored_bits(kernel.tables[number]) - 1)
        path.write_text(f"{flipped:0{len(first)}x}\n{rest}")
        try:
            result = cosim(built.rtl, built.X, built.expected, seed=3, work_dir=built.work)
        finally:
            path.write_text(text)
        assert result.reused
        assert (result.first is None) == (not result.bad_vectors)
        seen.append(bool(result.bad_vectors))
        if seen[-1]:
            break
    assert any(seen)


def test_the_ports_are_described(built: Built) -> None:
    signals = load_signals(built.rtl)
    assert (signals.engine, signals.beats, signals.beat.count, signals.input.count) == ("openhls", 3, 2, 6)
    assert signals.axis_top == "kan_rolled_axis"
    files = {path.name for path in built.rtl.iterdir()}
    assert files == {*signals.files, "signals.json"}
    text = (built.rtl / "signals.json").read_text() + (built.rtl / "kan_rolled.v").read_text()
    assert str(built.project) not in text


def test_the_same_project_gives_the_same_bytes(built: Built, tmp_path: Path) -> None:
    generate_rolled(built.project, built.ir, tmp_path)
    for path in built.rtl.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_what_is_no_chain_is_refused(built: Built, tmp_path: Path) -> None:
    top = (built.project / "firmware" / "kan_top.cpp").read_text()
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "kan_top.cpp").write_text(top.replace("(layer2_out, ", "(other, "))
    with pytest.raises(Refused, match="not one chain of KAN layers"):
        layer_calls(tmp_path)
    assert [call.layer for call in layer_calls(built.project)] == ["layers_0", "layers_1"]
    assert json.loads((built.rtl / "signals.json").read_text())["beats"] == 3
