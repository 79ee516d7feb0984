"""`signals.json` is input from outside: nothing in it reaches a path or Verilog unchecked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pymodel.errors import DataError, IRError
from sim._harness import harness_verilog
from sim.signals import load_signals, verilog_files
from tests.sim.cosim.engine import RTL, copy_engine


def test_the_fixture_loads() -> None:
    signals = load_signals(RTL)
    assert [(node.node, node.stage) for node in signals.nodes] == [("x", 0), ("hidden", 1), ("y", 2)]
    assert signals.collapsed == ("parity",)
    assert [path.name for path in verilog_files(RTL, signals)] == ["kan_top.v", "kan_axis.v"]


@pytest.mark.parametrize(
    "name",
    ["../kan_top.v", "/etc/passwd", "sub/kan_top.v", "..", "", "kan_top.v\nx.v", "-Wall.v", "a.cpp", 3, None],
)
def test_file_names_outside_the_folder_are_refused(tmp_path: Path, name: object) -> None:
    rtl = copy_engine(tmp_path / "rtl", edit=lambda data: data.update(files=["kan_top.v", name]))
    with pytest.raises(DataError, match="plain names of Verilog or memory files"):
        load_signals(rtl)


def test_a_link_to_a_file_outside_is_refused(tmp_path: Path) -> None:
    rtl = copy_engine(tmp_path / "rtl")
    (rtl / "kan_axis.v").unlink()
    (rtl / "kan_axis.v").symlink_to(RTL / "kan_axis.v")
    with pytest.raises(DataError, match=r"lists kan_axis\.v, which is not a file"):
        verilog_files(rtl, load_signals(rtl))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", 2, "schema must be an integer from 1 to 1"),
        ("top", "kan_top; endmodule", "top must be a Verilog identifier"),
        ("axis_top", 'x"y', "axis_top must be a Verilog identifier"),
        ("latency", 0, "latency must be an integer"),
        ("latency", True, "latency must be an integer"),
        ("input", {"count": 1 << 40, "width": 4, "signed": True}, "input.count must be an integer"),
        ("input", {"count": 3, "width": 4}, "input.signed must be true or false"),
        ("output", [], "output must be an object"),
        ("files", [], "files must be a list of file names"),
        ("files", ["a.v", "a.v"], "files must be without repeated names"),
        ("nodes", {"x": {"signal": "a.b;", "count": 1, "width": 1, "signed": False, "stage": 0}}, "Verilog identifier"),
        (
            "nodes",
            {"x": {"signal": "a", "count": 1, "width": 1, "signed": False, "stage": 99}},
            "nodes.x.stage must be",
        ),
    ],
)
def test_malformed_entries_are_named(tmp_path: Path, key: str, value: Any, message: str) -> None:
    rtl = copy_engine(tmp_path / "rtl", edit=lambda data: data.update({key: value}))
    with pytest.raises(DataError, match=message):
        load_signals(rtl)


def test_bad_node_names_and_files(tmp_path: Path) -> None:
    rtl = copy_engine(tmp_path / "rtl", edit=lambda data: data["nodes"].update({"../x": {"collapsed": True}}))
    with pytest.raises(IRError, match="name must match"):
        load_signals(rtl)
    (rtl / "signals.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        load_signals(rtl)
    (rtl / "signals.json").unlink()
    with pytest.raises(DataError, match=r"signals\.json is missing"):
        load_signals(rtl)


def test_the_harness_takes_the_wrappers_optional_ports() -> None:
    signals = load_signals(RTL)
    with_last = harness_verilog(signals, "module kan_axis(input aclk, input s_axis_tlast);")
    without = harness_verilog(signals, "module kan_axis(input clk);")
    assert ".s_axis_tlast(s_tlast)" in with_last
    assert ".aclk(aclk)" in with_last
    assert "s_axis_tlast" not in without
    assert ".clk(aclk)" in without
    assert "axis" not in harness_verilog(signals, None)


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "signals.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"cannot be read"):
        load_signals(tmp_path)
