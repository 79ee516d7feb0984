"""A small network whose Verilog is written by hand, so that the checker is tested without the generator.

Two inputs of 2 bits; layer `a`: two outputs of 2 bits, shift 1, clipped above; layer `b`: one output of 4 signed bits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, HostSpec, KanIR, Quantize, Task

__all__ = ["VERILOG", "edited", "network", "write"]

CODES = FixedPoint(2, 2, signed=False)
OUT = FixedPoint(4, 4, signed=True)
#: (inputs, codes, outputs)
A = np.array([[[0, 1], [1, 0], [4, 2], [6, 1]], [[1, 0], [0, 3], [2, 1], [3, 2]]])
B = np.array([[[0], [-2], [5], [3]], [[1], [4], [-7], [0]]])


def network() -> KanIR:
    """Return the program."""

    def layer(
        name: str, source: str, tables: np.ndarray, bias: Sequence[int], shift: int, out: FixedPoint
    ) -> EdgeTable:
        coder = AffineCoder(np.array([1]), np.array([0]), 0, 4, 0.0, 1.0)
        return EdgeTable(
            name, (source,), out, out.lsb, 0.0, coder=coder, tables=tables, bias=np.array(bias), shift=shift
        )

    x = Quantize("x", (), CODES, CODES.lsb, 0.0, 2)
    host = HostSpec(Task.REGRESSION, ("p", "q"), (0.0,) * 2, (1.0,) * 2)
    return KanIR("hand", (x, layer("a", "x", A, (0, 1), 1, CODES), layer("b", "a", B, (-1,), 0, OUT)), "b", host)


# Layer a: sums of 0 ... 9 (+ half 1) >> 1 -> 0 ... 5, clipped to 3; 0 ... 5 (+ bias 1 + half 1) >> 1 -> 1 ... 3.
# Layer b: -2 + -7 - 1 = -10 (clipped to -8) ... 5 + 4 - 1 = 8 (clipped to 7).
VERILOG = """`default_nettype none
module kan_top (
  input wire clk,
  input wire rst,
  input wire in_valid,
  input wire [3:0] in_data,
  output wire out_valid,
  output wire [3:0] out_data
);
  reg [3:0] y_x;
  always @(posedge clk) y_x <= in_data;

  // layer a
  wire [1:0] c0 = y_x[1:0];
  wire [1:0] c1 = y_x[3:2];
  reg [2:0] t00;
  always @*
    case (c0)
      2'd0: t00 = 3'd0; 2'd1: t00 = 3'd1; 2'd2: t00 = 3'd4; default: t00 = 3'd6;
    endcase
  reg [1:0] t10;
  always @*
    case (c1)
      2'd0: t10 = 2'd1; 2'd1: t10 = 2'd0; 2'd2: t10 = 2'd2; default: t10 = 2'd3;
    endcase
  reg [1:0] t01;
  always @*
    case (c0)
      2'd0: t01 = 2'd1; 2'd1: t01 = 2'd0; 2'd2: t01 = 2'd2; default: t01 = 2'd1;
    endcase
  reg [1:0] t11;
  always @*
    case (c1)
      2'd0: t11 = 2'd0; 2'd1: t11 = 2'd3; 2'd2: t11 = 2'd1; default: t11 = 2'd2;
    endcase
  reg [3:0] s0;
  always @(posedge clk) s0 <= {1'd0, t00} + {2'd0, t10} + 4'd1;
  reg [2:0] s1;
  always @(posedge clk) s1 <= {1'd0, t01} + {1'd0, t11} + 3'd2;
  wire [2:0] r0 = s0[3:1];
  reg [1:0] q0;
  always @(posedge clk) q0 <= r0[2] ? 2'd3 : r0[1:0];
  reg [1:0] q1;
  always @(posedge clk) q1 <= s1[2:1];
  wire [3:0] y_a = {q1, q0};

  // layer b
  wire [1:0] d0 = y_a[1:0];
  wire [1:0] d1 = y_a[3:2];
  reg [3:0] u0;
  always @*
    case (d0)
      2'd0: u0 = 4'd0; 2'd1: u0 = 4'he; 2'd2: u0 = 4'd5; default: u0 = 4'd3;
    endcase
  reg [3:0] u1;
  always @*
    case (d1)
      2'd0: u1 = 4'd1; 2'd1: u1 = 4'd4; 2'd2: u1 = 4'h9; default: u1 = 4'd0;
    endcase
  reg [4:0] v;
  always @(posedge clk) v <= {u0[3], u0} + {u1[3], u1} - 5'd1;
  wire over = ~v[4] & v[3];
  wire under = v[4] & ~v[3];
  reg [3:0] y_b;
  always @(posedge clk) y_b <= under ? 4'h8 : over ? 4'd7 : v[3:0];

  reg [4:0] valid;
  always @(posedge clk) valid <= rst ? 5'd0 : {valid[3:0], in_valid};
  assign out_valid = valid[4];
  assign out_data = y_b;
endmodule
`default_nettype wire
"""


def edited(*changes: tuple[str, str]) -> str:
    """Return the Verilog with some texts replaced; each must occur exactly once."""
    text = VERILOG
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def write(
    folder: Path, verilog: str, *, latency: int = 5, stages: dict[str, int] | None = None, collapsed: Sequence[str] = ()
) -> Path:
    """Write Verilog and its `signals.json`."""
    stages = stages or {"x": 0, "a": 2, "b": 4}
    shapes = {"x": (2, 2, False), "a": (2, 2, False), "b": (1, 4, True)}

    def shape(name: str) -> dict[str, object]:
        count, width, signed = shapes[name]
        return {"count": count, "width": width, "signed": signed}

    nodes: dict[str, object] = {
        name: {"signal": f"y_{name}", **shape(name), "stage": stage, "offset": 0} for name, stage in stages.items()
    }
    nodes |= {name: {"collapsed": True} for name in collapsed}
    content = {
        "schema": 1, "engine": "tables", "top": "kan_top", "latency": latency, "input": shape("x"),
        "output": {"node": "b", **shape("b")}, "nodes": nodes, "files": ["kan_top.v"],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "signals.json").write_text(json.dumps(content))
    (folder / "kan_top.v").write_text(verilog)
    return folder
