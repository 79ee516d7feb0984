"""What a checker of Verilog can fall for: every trap must end in a refusal that names it, never in a proof."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.prove import _prove, prove
from pymodel.reference import Reference
from tests.hwgen.prove.batch import Batch
from tests.hwgen.prove.hand import VERILOG, edited, network, write

pytestmark = pytest.mark.synth

V = "always @(posedge clk) v <= {u0[3], u0} + {u1[3], u1} - 5'd1;"
S0 = "always @(posedge clk) s0 <= {1'd0, t00} + {2'd0, t10} + 4'd1;"
Q1 = "always @(posedge clk) q1 <= s1[2:1];"
VALID = "always @(posedge clk) valid <= rst ? 5'd0 : {valid[3:0], in_valid};"
YB = "always @(posedge clk) y_b <= under ? 4'h8 : over ? 4'd7 : v[3:0];"
DEFAULT = "default: t00 = 3'd6;"

#: The same function, written in other ways.
EQUAL = {
    "an entry that never occurs": ("2'd0: u1 = 4'd1;", "2'd0: u1 = 4'd7;"),
    "one table of both inputs": (
        Q1,
        ("reg [1:0] q; always @(posedge clk) q1 <= q; reg [3:0] c; always @(posedge clk) c <= y_x;\n  always @*"
        " case (c) 4'h0, 4'h1, 4'h3, 4'h9: q = 2'd1; 4'h4, 4'h6, 4'h7, 4'he: q = 2'd3; default: q = 2'd2; endcase"),
    ),
    "carry-save addition": (
        V,
        ("wire [4:0] a = {u0[3], u0}; wire [4:0] b = {u1[3], u1}; wire [4:0] m = (a & b) | ((a ^ b) & 5'h1f);\n"
        "  wire [4:0] s = ~(a ^ b); always @(posedge clk) v <= s + {m[3:0], 1'd0};"),
    ),
    "a difference": (V, "always @(posedge clk) v <= {u0[3], u0} - ~{u1[3], u1} - 5'd2;"),
    "a carry input": (
        S0,
        "wire [4:0] sum = {1'd0, t00, 1'd1} + {2'd0, t10, 1'd1}; always @(posedge clk) s0 <= sum[4:1];",
    ),
    "a product": (S0, "always @(posedge clk) s0 <= t00 * 4'd1 + {2'd0, t10} + 4'd1;"),
    "signed operands": (V, "always @(posedge clk) v <= $signed(u0) + $signed(u1) - 5'sd1;"),
    "a comparison": (
        "wire over = ~v[4] & v[3];",
        "wire over = $signed(v) > 5'sd7;",
    ),
    "a clip as a chain": (YB, "always @(posedge clk) if (under) y_b <= 4'h8; else if (over) y_b <= 4'd7; else y_b <= v[3:0];"),
    "a shift": ("wire [2:0] r0 = s0[3:1];", "wire [2:0] r0 = s0 >> 1;"),
    "a table as a word that is shifted": (
        ("reg [1:0] t10;\n  always @*\n    case (c1)\n      2'd0: t10 = 2'd1; 2'd1: t10 = 2'd0; 2'd2: t10 = 2'd2; "
        "default: t10 = 2'd3;\n    endcase"),
        "wire [7:0] word = 8'b11_10_00_01; wire [1:0] t10 = word[2*c1 +: 2];",
    ),
}  # fmt: skip

#: Changes of the function or of its timing; all are legal Verilog, and the reason must say what is wrong.
WRONG = {
    "a table entry": (("2'd1: t00 = 3'd1;", "2'd1: t00 = 3'd2;"), "output 0 of a: the table of x[0] differs"),
    "a bias": (("+ {2'd0, t10} + 4'd1;", "+ {2'd0, t10} + 4'd2;"), "output 0 of a"),
    "a sum that overflows": ((V, "always @(posedge clk) v <= {u0[3], u0} + {1'd0, u1} - 5'd1;"), "output 0 of b"),
    "a sum cut short": (
        (V, "wire [3:0] w = u0 + u1 - 4'd1; always @(posedge clk) v <= {w[3], w};"),
        "output 0 of b: the table of a[1] differs",
    ),
    "no sign": ((V, "always @(posedge clk) v <= {1'd0, u0} + {u1[3], u1} - 5'd1;"), "output 0 of b"),
    "an upper clip that is missing": (("r0[2] ? 2'd3 : r0[1:0]", "r0[1:0]"), "at the sum 8"),
    "a clip in the wrong place": (("wire over = ~v[4] & v[3];", "wire over = ~v[4] & v[3] & v[0];"), "at the sum 8"),
    "a shift by too much": (("wire [2:0] r0 = s0[3:1];", "wire [2:0] r0 = s0[3:2];"), "output 0 of a"),
    "outputs exchanged": (("wire [3:0] y_a = {q1, q0};", "wire [3:0] y_a = {q0, q1};"), "output 0 of a"),
    "a carry-save sum without a carry": (
        (V, "wire [4:0] a = {u0[3], u0}; wire [4:0] b = {u1[3], u1}; always @(posedge clk) v <= (a ^ b) - 5'd1;"),
        "output 0 of b",
    ),
    "an output tied": (("assign out_data = y_b;", "assign out_data = 4'd1;"), "out_data is not b"),
    "an input that is not read": (("wire [1:0] c1 = y_x[3:2];", "wire [1:0] c1 = 2'd1;"), "output 0 of a"),
    "a term one cycle late": (
        ("+ {2'd0, t10} + 4'd1;", "+ {2'd0, late} + 4'd1;\n  reg [1:0] late; always @(posedge clk) late <= t10;"),
        "different cycles meet: delays of 1 and 2",
    ),
    "an output one cycle late": (
        (Q1, "reg [1:0] w; always @(posedge clk) w <= s1[2:1]; always @(posedge clk) q1 <= w;"),
        "output 1 of a: it is there after 4 cycles instead of 3",
    ),
    "out_data one cycle late": (
        ("assign out_data = y_b;", "reg [3:0] w; always @(posedge clk) w <= y_b; assign out_data = w;"),
        "after 5 cycles: bit 0 is there after 6",
    ),
    "a latch": ((DEFAULT, ""), "Latch inferred"),
    "an undriven bit": (("wire [1:0] c1 = y_x[3:2];", "wire [1:0] c1; assign c1[0] = y_x[2];"), "unknown"),
    "a bit out of range": (("wire [1:0] c1 = y_x[3:2];", "wire [1:0] c1 = y_x[4:3];"), "Yosys warns"),
    "two drivers": (("wire [3:0] y_a = {q1, q0};", "wire [3:0] y_a = {q1, q0}; assign y_a[0] = t00[0];"), "two drivers"),
    "two constants at once": (
        ("wire [1:0] c1 = y_x[3:2];", "wire [1:0] c1; assign c1 = 2'd1; assign c1 = 2'd0;"),
        "c1[0] has two drivers",
    ),
    "an input that is driven": (("assign out_data = y_b;", "assign out_data = y_b; assign in_data[0] = y_b[0];"), "two drivers"),
    "a clock enable": ((Q1, "always @(posedge clk) if (c0[0]) q1 <= s1[2:1];"), "in a loop"),
    "a state": ((Q1, "always @(posedge clk) q1 <= s1[2:1] ^ q1;"), "in a loop"),
    "a state of two bits": ((Q1, "always @(posedge clk) q1 <= s1[2:1] ^ {q1[0], 1'd0};"), "different cycles meet"),
    "a combinational loop": (("wire [2:0] r0 = s0[3:1];", "wire [2:0] r0 = s0[3:1] & (r0 | 3'd7);"), "in a loop"),
    "data that are reset": ((Q1, "always @(posedge clk) q1 <= rst ? 2'd0 : s1[2:1];"), "the data depend on rst"),
    "data that depend on in_valid": (
        ("always @(posedge clk) y_x <= in_data;", "always @(posedge clk) y_x <= in_data & {4{in_valid}};"),
        "the data depend on in_valid",
    ),
    "a gated clock": ((Q1, "wire g = clk & c0[0]; always @(posedge g) q1 <= s1[2:1];"), "not clocked by clk"),
    "data as a clock": ((Q1, "always @(posedge in_valid) q1 <= s1[2:1];"), "not clocked by clk"),
    "a memory that is written": (
        (Q1, "reg [1:0] m [0:1]; always @(posedge clk) m[0] <= s1[2:1]; always @(posedge clk) q1 <= m[0];"),
        "Replacing memory",
    ),
    "no reset of the valid bits": (
        (VALID, "always @(posedge clk) valid <= {valid[3:0], in_valid};"),
        "is not `~rst & the bit before`",
    ),
    "a valid bit that reset sets": ((VALID, VALID.replace("5'd0", "5'd16")), "the valid bit of cycle 5"),
    "a valid bit too early": (("assign out_valid = valid[4];", "assign out_valid = valid[3];"), "is not a register but in_valid"),
    "a valid bit too late": (
        ("assign out_valid = valid[4];", "reg w; always @(posedge clk) w <= ~rst & valid[4]; assign out_valid = w;"),
        "not in_valid",
    ),
    "a valid bit that depends on data": ((VALID, VALID.replace("in_valid}", "in_valid & in_data[0]}")), "a valid bit: the data depend on in_data[0]"),
    "a port too many": (("input wire in_valid,", "input wire in_valid,\n  input wire more,"), "the ports of kan_top"),
    "a port too narrow": (("output wire [3:0] out_data", "output wire [2:0] out_data"), "the ports of kan_top"),
}  # fmt: skip

TIMES = [
    (5, {"x": 0, "a": 3, "b": 4}),
    (6, {"x": 0, "a": 2, "b": 5}),
    (4, {"x": 0, "a": 1, "b": 3}),
]
ENTRY = ("2'd1: t00 = 3'd1;", "2'd1: t00 = 3'd3;")

#: What simulators, or other tools, might read in another way: refused by the text alone.
TEXT = {
    "negedge": (V, V.replace("posedge", "negedge")),
    "asynchronous reset": (Q1, Q1.replace("posedge clk", "posedge clk or posedge rst")),
    "initial value": ("reg [1:0] q1;", "reg [1:0] q1; initial q1 = 2'd0;"),
    "value in a declaration": ("reg [1:0] q1;", "reg [1:0] q1 = 2'd0;"),
    "a wire declared as a register": ("wire [2:0] r0 = s0[3:1];", "reg [2:0] r0 = s0[3:1];"),
    "blocking assignment": (V, V.replace("v <= ", "v = ")),
    "nonblocking assignment in always @*": (DEFAULT, DEFAULT.replace("=", "<=")),
    "sensitivity list": (
        "always @*\n    case (c0)\n      2'd0: t01",
        "always @(c1)\n    case (c0)\n      2'd0: t01",
    ),
    "directive": ("reg [1:0] q1;", "reg [1:0] q1;\n`ifdef SYNTHESIS\n`endif"),
    "pragma": ("reg [1:0] q1;", "reg [1:0] q1; // synthesis translate_off"),
    "attribute": ("    case (c1)\n      2'd0: t10", "    (* full_case *) case (c1)\n      2'd0: t10"),
    "casez": ("    case (c1)\n      2'd0: t10", "    casez (c1)\n      2'd0: t10"),
    "x": (DEFAULT, "default: t00 = 3'bx10;"),
    "delay": (V, V.replace("<= ", "<= #1 ")),
    "system task": (V, V.replace("{u0[3], u0}", "$random")),
    "wired logic": ("wire [2:0] r0", "wand [2:0] r0"),
    "escaped name": ("wire [2:0] r0", "wire \\y_a.x ; wire [2:0] r0"),
}


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    root = tmp_path_factory.mktemp("traps")
    changes = {**EQUAL, **{name: change for name, (change, _) in WRONG.items()}}
    texts = {name: edited(change) for name, change in changes.items()}
    for latency, stages in TIMES:
        write(root / f"time_{latency}_{stages['a']}", VERILOG, latency=latency, stages=stages)
    for name, text in {"collapsed": VERILOG, "collapsed_wrong": edited(ENTRY)}.items():
        write(root / name, text, stages={"x": 0, "b": 4}, collapsed=["a"])
    for name, text in {**texts, "example": edited(ENTRY)}.items():
        write(root / name.replace(" ", "_"), text)
    return root, Batch(root, sorted(path.parent for path in root.glob("*/signals.json")))


@pytest.fixture
def checked(batch, monkeypatch):
    """Return the proof of a design of the batch."""
    root, reader = batch
    reader.use(monkeypatch)
    return lambda name: prove(network(), root / name.replace(" ", "_"))


@pytest.mark.parametrize("name", EQUAL)
def test_the_same_function_is_proven(name, checked):
    proof = checked(name)
    assert proof.proven, proof.reason
    assert [layer.node for layer in proof.layers] == ["x", "a", "b"]


@pytest.mark.parametrize("name", WRONG)
def test_a_trap_is_refused(name, checked):
    proof = checked(name)
    assert not proof.proven
    assert WRONG[name][1] in proof.reason


@pytest.mark.parametrize("name", TEXT)
def test_text_that_tools_read_differently_is_refused(name, tmp_path):
    proof = prove(network(), write(tmp_path, edited(TEXT[name])))
    assert not proof.proven
    assert "kan_top.v:" in proof.reason


@pytest.mark.parametrize("name", ["negedge", "asynchronous reset", "initial value", "x"])
def test_the_netlist_alone_shows_it_too(name, tmp_path, monkeypatch):
    monkeypatch.setattr(_prove, "check_source", lambda text, file: None)
    proof = prove(network(), write(tmp_path, edited(TEXT[name])))
    assert not proof.proven
    assert any(word in proof.reason for word in ("falling edge", "Yosys rejects", "initial value", "unknown"))


@pytest.mark.parametrize(("latency", "stages"), TIMES)
def test_latency_and_stages_are_proven_not_believed(latency, stages, checked):
    assert not checked(f"time_{latency}_{stages['a']}").proven


def test_a_collapsed_layer_is_compared_through(checked):
    proof = checked("collapsed")
    assert proof.proven, proof.reason
    assert checked("collapsed_wrong").status == "refuted"


def test_a_counterexample_is_one(checked):
    proof = checked("example")
    assert proof.status == "refuted"
    example = proof.counterexample
    assert example is not None
    assert example.inputs[0] == 1  # the entry that was changed
    assert Reference(network()).run(np.array([example.inputs]))["b"][0, example.output] == example.wanted != example.got
