"""The stream around a core that is started and waited for: one element in per beat, one sample at a time, one beat out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hwgen.adapters._bambu import TOP as BAMBU_TOP
from hwgen.adapters._bambu import WORD, words
from hwgen.adapters._vitis import VitisPort
from hwgen.openhls._translate import Slots
from pymodel.errors import ToolError

__all__ = ["bambu_core", "bambu_ports", "vitis_core", "wrapper_verilog"]

_CONTROL = {"ap_start": "start", "ap_done": "done", "ap_ready": "ready"}


def wrapper_verilog(name: str, core: str, source: Slots, result: Slots) -> str:
    """Return the module `name`: ports of a stream (docs/openhls_rolled.md) around the text of a core.

    Args:
        name: of the module.
        core: Verilog that reads `clk`, `rst`, `start` (high until `ready`) and `sample`, which holds still until `done`,
            and drives `ready`, `done`, `value` and, bit by bit, `written`: where `value` is valid in this cycle.
        source: the inputs; element 0 comes first.
        result: the outputs.
    """
    width, bits = source.width, source.bits
    count = max(1, (source.count - 1).bit_length())
    shifted = f"{{in_data, sample[{bits - 1}:{width}]}}" if source.count > 1 else "in_data"
    return f"""// {name}: {source.count} beats of {width} bits fill a sample; then the core is started, and its outputs wait until they are taken.
// rst is synchronous and drops the sample at hand.
module {name} (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [{width - 1}:0] in_data,
  output wire out_valid,
  input wire out_ready,
  output wire [{result.bits - 1}:0] out_data
);
  localparam [1:0] FILL = 2'd0, RUN = 2'd1, GIVE = 2'd2;
  reg [1:0] state;
  reg start;
  reg [{count - 1}:0] filled;
  reg [{bits - 1}:0] sample;
  reg [{result.bits - 1}:0] held;
  wire ready, done;
  wire [{result.bits - 1}:0] value, written;

  assign in_ready = state == FILL;
  assign out_valid = state == GIVE;
  assign out_data = held;

  always @(posedge clk) begin
    if (rst) begin
      state <= FILL;
      start <= 1'b0;
      filled <= {count}'d0;
    end else case (state)
      FILL: if (in_valid) begin
        sample <= {shifted};
        if (filled == {count}'d{source.count - 1}) begin
          filled <= {count}'d0;
          start <= 1'b1;
          state <= RUN;
        end else filled <= filled + {count}'d1;
      end
      RUN: begin
        if (start & ready) start <= 1'b0;
        held <= (held & ~written) | (value & written);
        if (done) state <= GIVE;
      end
      default: if (out_ready) state <= FILL;
    endcase
  end

{core}endmodule
"""


def _parts(ports: Sequence[VitisPort], shape: Slots, what: str) -> list[tuple[str, int, int]]:
    """Return name, first bit and width of the data ports that make up one side.

    Raises:
        ToolError: if they are neither one packed vector nor one port per element.
    """
    if len(ports) == 1 and ports[0].bits == shape.bits:
        return [(ports[0].name, 0, shape.bits)]

    def element(port: VitisPort) -> int:
        match = re.search(r"_(\d+)(?:_V)?$", port.name)
        return int(match.group(1)) if match else -1

    ordered = sorted(ports, key=element)
    if [element(p) for p in ordered] != list(range(shape.count)) or any(p.bits != shape.width for p in ordered):
        raise ToolError(
            f"the RTL of Vitis HLS was expected to have {shape.count} {what}s of {shape.width} bits, but it has the ports "
            f"{', '.join(f'{p.name} ({p.bits})' for p in ports) or 'none'}; build it with io_parallel"
        )
    return [(p.name, k * shape.width, shape.width) for k, p in enumerate(ordered)]


def vitis_core(top: str, ports: Sequence[VitisPort], source: Slots, result: Slots) -> str:
    """Return the instance of Vitis' module (block protocol `ap_ctrl_hs`, arguments `ap_vld` or `ap_none`) in the wrapper.

    Raises:
        ToolError: if the ports are others.
    """
    names = {port.name for port in ports}
    missing = [name for name in ("ap_clk", "ap_rst", *_CONTROL) if name not in names]
    if missing:
        raise ToolError(
            f"the RTL of Vitis HLS was expected to have the port {missing[0]}, which it lacks; "
            "keep the block protocol ap_ctrl_hs and an active-high reset"
        )
    pins = [".ap_clk(clk)", ".ap_rst(rst)", *(f".{pin}({signal})" for pin, signal in _CONTROL.items())]
    data = {"in": [], "out": []}  # type: dict[str, list[VitisPort]]
    for port in ports:
        if port.protocol == "ap_ctrl_hs" or port.name in ("ap_clk", "ap_rst"):
            continue
        if port.protocol not in ("ap_vld", "ap_none"):
            raise ToolError(
                f"the port {port.name} of Vitis' RTL has the protocol {port.protocol}, but ap_vld or ap_none was expected; "
                "build it with io_parallel"
            )
        if port.name.endswith("_ap_vld") and port.name.removesuffix("_ap_vld") in names:
            if port.direction == "in":
                pins.append(f".{port.name}(start)")
            continue
        data[port.direction].append(port)
    pins += [f".{n}(sample[{at} +: {w}])" for n, at, w in _parts(data["in"], source, "input")]
    body = []
    for name, at, width in _parts(data["out"], result, "output"):
        pins.append(f".{name}(value[{at} +: {width}])")
        valid = f"{name}_ap_vld"
        if valid in names:
            body.append(f"  wire {valid};\n  assign written[{at} +: {width}] = {{{width}{{{valid}}}}};\n")
            pins.append(f".{valid}({valid})")
        else:
            body.append(f"  assign written[{at} +: {width}] = {{{width}{{done}}}};\n")
    return "".join(body) + f"  {top} core (\n    " + ",\n    ".join(pins) + "\n  );\n"


def bambu_ports(verilog: str) -> set[str]:
    """Return the names of the ports of Bambu's top module.

    Raises:
        ToolError: if the module is not there.
    """
    header = re.search(rf"^\s*module\s+{BAMBU_TOP}\s*\(([^)]*)\)\s*;", verilog, re.MULTILINE)
    if header is None:
        raise ToolError(
            f"Bambu's Verilog was expected to have the module {BAMBU_TOP}, which it lacks; look at bambu.log"
        )
    return {
        word for word in re.findall(r"[A-Za-z_]\w*", header.group(1)) if word not in ("input", "output", "wire", "reg")
    }


def bambu_core(verilog: str, source: Slots, result: Slots) -> str:
    """Return the instance of Bambu's module in the wrapper.

    Raises:
        ToolError: if its ports are not those of the minimal interface.
    """
    groups = words(source)
    expected = {"clock", "reset", "start_port", "done_port", "return_port", *(f"x{k}" for k in range(len(groups)))}
    found = bambu_ports(verilog)
    if found != expected:
        raise ToolError(
            f"Bambu's module was expected to have the ports {', '.join(sorted(expected))}, but it has "
            f"{', '.join(sorted(found))}; use a version of Bambu with --generate-interface=MINIMAL"
        )
    pins = [".clock(clk)", ".reset(rst)", ".start_port(start)", ".done_port(done)", ".return_port(answer)"]
    for k, group in enumerate(groups):
        bits = len(group) * source.width
        word = f"sample[{group.start * source.width} +: {bits}]"
        pins.append(f".x{k}({word})" if bits == WORD else f".x{k}({{{WORD - bits}'d0, {word}}})")
    return (
        f"  /* verilator lint_off UNUSEDSIGNAL */\n  wire [{WORD - 1}:0] answer;\n  /* verilator lint_on UNUSEDSIGNAL */\n"
        f"  assign ready = 1'b1; // start_port is a pulse\n  assign value = answer[{result.bits - 1}:0];\n"
        f"  assign written = {{{result.bits}{{done}}}};\n"
        f"  {BAMBU_TOP} core (\n    " + ",\n    ".join(pins) + "\n  );\n"
    )
