"""Every dense kernel of hls/ as hardware: the project's own C++ through clang, LLVM, XLS and Verilator == numba."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen.openhls import generate
from pymodel.errors import MismatchError, ModelError
from pymodel.ir import IntArray, KanIR
from pymodel.reference import Reference
from sim.cosim import cosim
from tests.sim.csim.projects import PART, convert_ir
from tests.sim.csim.test_bases import inputs, program
from tests.strategies import random_ir

ROWS = 1500


def edge_tables() -> KanIR:
    return random_ir(5, widths=(4, 3, 2), edge_tables=1.0, in_bits=6)


def make(ir: KanIR, folder: Path, vectors: IntArray) -> Path:
    convert_ir(ir, folder / "hls")
    generate(ir, folder / "rtl", project=folder / "hls", part=PART, clock_ns=5.0, vectors=vectors)
    return folder / "rtl"


@pytest.mark.rtl
def test_polynomial_kernels_in_verilog(tmp_path: Path) -> None:
    ir = program("polynomials")
    X = inputs(ir)[:ROWS]
    rtl = make(ir, tmp_path, X[:500])
    result = cosim(rtl, X, Reference(ir).run(X))
    assert result.equal, (result.first, result.problems)
    assert (result.engine, result.ii, result.vectors) == ("openhls", 1, ROWS)
    assert result.latency == json.loads((rtl / "signals.json").read_text())["latency"]
    assert [check.node for check in result.checks] == [*(node.name for node in ir.nodes), ir.output]  # the port last
    assert result.axis is not None


@pytest.mark.parametrize("name", ["gaussians"])
def test_kernels_agree_before_they_are_verilog(name: str, tmp_path: Path) -> None:
    ir = program(name)
    make(ir, tmp_path, inputs(ir)[:ROWS])  # compares the JIT and XLS with numba


def test_edge_table_kernel_and_what_is_noticed(tmp_path: Path) -> None:
    ir = edge_tables()
    X = inputs(ir)[:ROWS]
    rtl = make(ir, tmp_path, X)
    first = {path.name: path.read_bytes() for path in rtl.iterdir()}
    generate(ir, tmp_path / "again", project=tmp_path / "hls", part=PART, clock_ns=5.0, vectors=X)
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == first
    assert not any(str(tmp_path).encode() in content for content in first.values())

    header = tmp_path / "hls" / "firmware" / "kan_tables" / "kan_layers_0.h"
    text = header.read_text()
    at = text.index("{", text.index(" bias[")) + 1
    while not text[at].isdigit() and text[at] != "-":
        at += 1
    end = next(k for k in range(at + 1, len(text)) if not text[k].isdigit())
    header.write_text(text[:at] + str(100 if int(text[at:end]) < 50 else 0) + text[end:])
    with pytest.raises(MismatchError, match=r"layer layers_0: optimised LLVM \(JIT\) differs from numba reference"):
        generate(ir, tmp_path / "bad", project=tmp_path / "hls", part=PART, clock_ns=5.0, vectors=X)
    assert not (tmp_path / "bad").exists()

    other = random_ir(5, widths=(4, 3, 2), edge_tables=1.0, in_bits=7)
    with pytest.raises(ModelError, match="input of the C\\+\\+ has 6 bits"):
        generate(
            other, tmp_path / "bad", project=tmp_path / "hls", part=PART, clock_ns=5.0, vectors=np.zeros((1, 4), int)
        )
