"""The Verilog module that the bench drives: an engine and its AXI4-Stream wrapper, side by side, with their own clocks.

Only this module's ports are visible to cocotb. IR nodes inside the engine are brought out by hierarchical references,
so nothing else needs to be public and Verilator's optimisations stay on.
"""

from __future__ import annotations

import re

from sim.signals import PortShape, SignalMap

__all__ = ["HARNESS_TOP", "axis_data_bits", "harness_verilog"]

HARNESS_TOP = "kan4ml_bench"
_PUBLIC_IN = "/*verilator public_flat_rw*/"
_PUBLIC_OUT = "/*verilator public_flat_rd*/"


def axis_data_bits(shape: PortShape) -> int:
    """Width of `tdata` for `shape`: every element extended to whole bytes."""
    return shape.count * shape.padded_width


def _input(name: str, bits: int) -> str:
    return f"input wire [{bits - 1}:0] {name} {_PUBLIC_IN}"


def _output(name: str, bits: int) -> str:
    return f"output wire [{bits - 1}:0] {name} {_PUBLIC_OUT}"


def harness_verilog(signals: SignalMap, axis_source: str | None) -> str:
    """Return the text of the harness.

    Args:
        signals: the engine's signal map.
        axis_source: Verilog text of the files, in which the wrapper's optional ports are looked up; None leaves the
            wrapper out. An engine that takes several beats per sample is its wrapper only.
    """
    ports: list[str] = []
    body: list[str] = []
    if signals.beats == 1:
        ports, body = _core(signals)
    if axis_source is not None and signals.axis_top is not None:
        ports += _axis_ports(signals)
        body += _axis_instance(signals.axis_top, axis_source)
    return "\n".join(
        [f"module {HARNESS_TOP} (", ",\n".join(f"  {port}" for port in ports), ");", *body, "endmodule", ""]
    )


def _core(signals: SignalMap) -> tuple[list[str], list[str]]:
    ports = [
        _input("clk", 1),
        _input("rst", 1),
        _input("in_valid", 1),
        _input("in_data", signals.input.bits),
        _output("out_valid", 1),
        _output("out_data", signals.output.bits),
    ]
    body = [
        f"  {signals.top} core (",
        "    .clk(clk), .rst(rst), .in_valid(in_valid), .in_data(in_data), .out_valid(out_valid), .out_data(out_data)",
        "  );",
    ]
    for index, node in enumerate(signals.nodes):
        ports.append(_output(f"node_{index}", node.shape.bits))
        ports.append(_output(f"bits_{index}", 32))
        body.append(f"  assign node_{index} = core.{node.signal};")
        body.append(f"  assign bits_{index} = $bits(core.{node.signal});")
    return ports, body


def _axis_ports(signals: SignalMap) -> list[str]:
    return [
        _input("aclk", 1),
        _input("aresetn", 1),
        _input("s_tdata", axis_data_bits(signals.beat)),
        _input("s_tvalid", 1),
        _input("s_tlast", 1),
        _output("s_tready", 1),
        _output("m_tdata", axis_data_bits(signals.output)),
        _output("m_tvalid", 1),
        _output("m_tlast", 1),
        _input("m_tready", 1),
    ]


def _axis_instance(module: str, source: str) -> list[str]:
    clock = "aclk" if re.search(r"\baclk\b", source) else "clk"
    tlast = ".s_axis_tlast(s_tlast), " if re.search(r"\bs_axis_tlast\b", source) else ""
    return [
        f"  {module} axis (",
        f"    .{clock}(aclk), .aresetn(aresetn),",
        f"    .s_axis_tdata(s_tdata), .s_axis_tvalid(s_tvalid), {tlast}.s_axis_tready(s_tready),",
        "    .m_axis_tdata(m_tdata), .m_axis_tvalid(m_tvalid), .m_axis_tlast(m_tlast), .m_axis_tready(m_tready)",
        "  );",
    ]
