"""Chains of layers: each a pipeline of its own, parallel ones beside rolled ones, and tops that are more than a chain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen.openhls import Refused, generate
from hwgen.openhls._rolled_project import is_plain_chain
from pymodel.ir import KanIR
from pymodel.reference import Reference
from sim.cosim import cosim
from tests.sim.csim.projects import PART, convert_ir
from tests.strategies import corner_inputs, random_inputs, random_ir


def chain(widths: tuple[int, ...] = (6, 4, 3)) -> KanIR:
    return random_ir(18, widths=widths, in_bits=6, edge_tables=0.3)


def make(ir: KanIR, folder: Path, name: str = "rtl") -> Path:
    X = random_inputs(ir, 60, np.random.default_rng(1))
    generate(ir, folder / name, project=folder / "hls", part=PART, clock_ns=5.0, vectors=X)
    return folder / name


def edit_top(folder: Path, new: str) -> None:
    top = folder / "hls" / "firmware" / "kan_top.cpp"
    text = top.read_text()
    at = text.index("    // layers_1")
    top.write_text(text[:at] + new + text[at:])


@pytest.mark.rtl
def test_a_parallel_layer_before_a_rolled_one(tmp_path: Path) -> None:
    ir = chain()
    convert_ir(ir, tmp_path / "hls", "latency", (1, 4))
    rtl = make(ir, tmp_path)
    signals = json.loads((rtl / "signals.json").read_text())
    assert (signals["beats"], signals["input"]["count"]) == (6, 6)  # one element a beat
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 60, np.random.default_rng(2))])
    want = Reference(ir).run(X)
    assert np.unique(want[ir.output]).size > 1
    result = cosim(rtl, X, want, seed=3)
    assert result.equal, (result.first, result.problems)
    assert result.ii == 6
    assert result.stream


def test_layers_are_signals_unless_the_top_is_more_than_a_chain(tmp_path: Path) -> None:
    ir = random_ir(5, widths=(4, 3, 2), edge_tables=1.0, in_bits=6)
    convert_ir(ir, tmp_path / "hls")
    assert is_plain_chain(tmp_path / "hls")
    nodes = json.loads((make(ir, tmp_path) / "signals.json").read_text())["nodes"]
    assert list(nodes) == ["x", "layers_0", "layers_1"]
    assert all("signal" in node for node in nodes.values())
    edit_top(tmp_path, "    layer2_out[0] = layer2_out[0];\n")
    assert not is_plain_chain(tmp_path / "hls")
    nodes = json.loads((make(ir, tmp_path, "one") / "signals.json").read_text())["nodes"]
    assert [name for name, node in nodes.items() if "collapsed" in node] == ["layers_0"]


@pytest.mark.parametrize(
    "statement",
    ["layer2_out[0] = 0;", "for (int i = 0; i < 3; i++) layer2_out[i] += 1;", "static int calls; calls++;", "return;"],
)
def test_what_a_plain_chain_is_not(statement: str, tmp_path: Path) -> None:
    ir = random_ir(5, widths=(4, 3, 2), edge_tables=1.0, in_bits=6)
    convert_ir(ir, tmp_path / "hls", "latency", (1, 3))
    assert is_plain_chain(tmp_path / "hls")
    edit_top(tmp_path, f"    {statement}\n")
    assert not is_plain_chain(tmp_path / "hls")
    with pytest.raises(Refused, match="a top function with rolled layers that does more than call KAN layers"):
        make(ir, tmp_path)


def test_a_rolled_chain_takes_beats(tmp_path: Path) -> None:
    ir = random_ir(5, widths=(1, 4, 2), edge_tables=1.0, in_bits=6)
    convert_ir(ir, tmp_path / "hls", "latency", (1, 4))
    with pytest.raises(Refused, match="whose first layer is parallel and has one input"):
        make(ir, tmp_path)
