"""The Verilog around rolled kernels: memories and their addresses in front of a proc, layers in a chain, stream ports.

A layer takes one beat (P input elements) per clock. Two register stages per level of memories lie before the proc: the
addresses, then the words. All of it moves with ready and valid, so either side may stall at any time.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.openhls._narrow import Fact
from hwgen.openhls._rolled import Rolled
from hwgen.openhls._rolled_machine import ROUND, TABLE, Table
from hwgen.openhls._rolled_xls import BEAT, SAMPLE, Key, Packed, inputs_of
from hwgen.openhls._translate import Slots, slots

__all__ = [
    "Layer",
    "Level",
    "axis_verilog",
    "chain_verilog",
    "layer_verilog",
    "levels_of",
    "memory_hex",
    "primitives",
    "stored_bits",
]


@dataclass(frozen=True)
class Level:
    """The memories whose addresses are computed together.

    Attributes:
        numbers: of the tables, in :attr:`Rolled.tables`.
        inputs: what the addresses depend on.
        widths: bits of each address.
    """

    numbers: tuple[int, ...]
    inputs: Packed
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A rolled kernel with the names of its modules.

    Attributes:
        name: of the layer's module; `NAME_proc`, `NAME_address_L` are the modules that XLS wrote.
        rolled: the kernel.
        packed: the proc's beat.
        levels: of its memories.
    """

    name: str
    rolled: Rolled
    packed: Packed
    levels: tuple[Level, ...]

    @property
    def beats(self) -> int:
        """Beats of a sample at the ports of a chain that this layer is the first of: a parallel layer's are elements."""
        return self.rolled.trip if self.rolled.trip > 1 else self.rolled.beat

    @property
    def beat(self) -> Slots:
        """One of these beats."""
        return self.source if self.rolled.trip > 1 else Slots(1, self.source.width, self.source.signed)

    @property
    def source(self) -> Slots:
        """What an iteration takes of the input."""
        port = self.rolled.source
        return Slots(self.rolled.beat, port.width, port.signed)

    @property
    def result(self) -> Slots:
        """The outputs of a sample."""
        once = slots(self.rolled.interface.outputs)
        return Slots(once.count * self.rolled.samples, once.width, once.signed)


def address_bits(table: Table) -> int:
    """Return the bits of a word's number."""
    return max(1, (table.words - 1).bit_length())


def fields_of(number: int, table: Table) -> list[tuple[Key, int, Fact]]:
    """Return (pseudo-input, first bit, fact) of the entries of a word; constant ones are not stored."""
    result, at = [], 0
    for k, entry in enumerate(table.fields.values()):
        if entry.fact.constant is None:
            result.append(((TABLE, number << 20 | k), at, entry.fact))
            at += entry.fact.width
    return result


def stored_bits(table: Table) -> int:
    """Return the width of a stored word."""
    return sum(f.fact.width for f in table.fields.values() if f.fact.constant is None)


def levels_of(rolled: Rolled) -> tuple[Level, ...]:
    """Return the levels of the memories that hold anything, lowest first."""
    result = []
    stored = [(n, t) for n, t in enumerate(rolled.tables) if stored_bits(t)]
    for level in sorted({t.level for _, t in stored}):
        chosen = [(n, t) for n, t in stored if t.level == level]
        inputs = inputs_of(rolled.builder, [t.index for _, t in chosen])
        result.append(Level(tuple(n for n, _ in chosen), inputs, tuple(address_bits(t) for _, t in chosen)))
    return tuple(result)


def memory_hex(table: Table) -> str:
    """Return a memory's words, one a line, for `$readmemh`."""
    digits = -(-stored_bits(table) // 4)
    words = [0] * table.words
    at = 0
    for entry in table.fields.values():
        fact = entry.fact
        if fact.constant is None:
            mask = (1 << fact.width) - 1
            for word, value in enumerate(entry.values):
                words[word] |= ((value >> fact.zeros) & mask) << at
            at += fact.width
    return "".join(f"{word:0{digits}x}\n" for word in words)


def primitives(prefix: str) -> str:
    """Return the modules between layers: the serialiser, and what gathers the inputs of a parallel first layer."""
    return f"""// {prefix}_collect: BEATS beats of WIDTH bits in, one sample out, the first beat in the lowest bits.
module {prefix}_collect #(
  parameter WIDTH = 1,
  parameter BEATS = 2,
  parameter COUNT = 2
) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [WIDTH-1:0] in_data,
  output wire out_valid,
  input wire out_ready,
  output wire [BEATS*WIDTH-1:0] out_data
);
  localparam [COUNT-1:0] ONE = {{{{COUNT-1{{1'b0}}}}, 1'b1}};
  reg [BEATS*WIDTH-1:0] data;
  reg [COUNT-1:0] have;
  assign out_valid = have == BEATS[COUNT-1:0];
  assign out_data = data;
  assign in_ready = ~out_valid | out_ready;
  always @(posedge clk) begin
    if (in_valid & in_ready) data <= {{in_data, data[BEATS*WIDTH-1:WIDTH]}};
    if (rst) have <= {{COUNT{{1'b0}}}};
    else if (in_valid & in_ready) have <= out_valid ? ONE : have + ONE;
    else if (out_valid & out_ready) have <= {{COUNT{{1'b0}}}};
  end
endmodule

// {prefix}_serialise: one sample of BEATS * WIDTH bits in, BEATS beats out, the lowest bits first; the next sample is taken
// with the last beat.
module {prefix}_serialise #(
  parameter WIDTH = 1,
  parameter BEATS = 1,
  parameter COUNT = 1
) (
  input wire clk,
  input wire rst,
  input wire in_valid,
  output wire in_ready,
  input wire [BEATS*WIDTH-1:0] in_data,
  output wire out_valid,
  input wire out_ready,
  output wire [WIDTH-1:0] out_data
);
  reg [BEATS*WIDTH-1:0] data;
  reg [COUNT-1:0] left;
  assign out_valid = left != {{COUNT{{1'b0}}}};
  assign out_data = data[WIDTH-1:0];
  assign in_ready = ~out_valid | (out_ready & (left == {{{{COUNT-1{{1'b0}}}}, 1'b1}}));
  always @(posedge clk) begin
    if (in_valid & in_ready) data <= in_data;
    else if (out_valid & out_ready) data <= data >> WIDTH;
    if (rst) left <= {{COUNT{{1'b0}}}};
    else if (in_valid & in_ready) left <= BEATS[COUNT-1:0];
    else if (out_valid & out_ready) left <= left - {{{{COUNT-1{{1'b0}}}}, 1'b1}};
  end
endmodule
"""


def memory_verilog(name: str, table: Table) -> str:
    """Return the module of one memory: synchronous read, `q <= mem[address]` where `enable` is high."""
    return (
        f"// {table.words} words of {stored_bits(table)} bits.\nmodule {name} (\n  input wire clk,\n  input wire enable,\n"
        f"  input wire [{address_bits(table) - 1}:0] address,\n  output reg [{stored_bits(table) - 1}:0] q\n);\n"
        f"  reg [{stored_bits(table) - 1}:0] mem [0:{table.words - 1}];\n"
        f'  initial $readmemh("{name}.hex", mem);\n'
        "  always @(posedge clk) if (enable) q <= mem[address];\nendmodule\n"
    )


def _concat(parts: list[str]) -> str:
    return "{" + ", ".join(reversed(parts)) + "}" if parts else "1'b0"


def _collected(prefix: str, bits: int, samples: int) -> list[str]:
    """Return the end of the proc's ports, and what makes one sample of several of its outputs."""
    count = max(2, samples.bit_length())
    return [
        f"    .{SAMPLE}_data(part), .{SAMPLE}_valid(part_valid), .{SAMPLE}_ready(part_ready)\n  );",
        f"  {prefix}_collect #(.WIDTH({bits}), .BEATS({samples}), .COUNT({count})) collect (",
        "    .clk(clk), .rst(rst), .in_valid(part_valid), .in_ready(part_ready), .in_data(part),",
        "    .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data)\n  );",
    ]


def layer_verilog(layer: Layer, prefix: str) -> str:
    """Return the modules of a layer: its memories, and their addresses and the proc around them.

    Args:
        layer: the layer.
        prefix: of the modules that all layers share.
    """
    rolled, source = layer.rolled, layer.source
    bits = max(1, (rolled.trip - 1).bit_length())
    stages = 2 * len(layer.levels)
    lines: list[str] = []
    # Stage 0 is what comes in; stage s holds what was taken into register s.
    width = source.bits + bits + 1
    available: list[tuple[list[tuple[Key, int, Fact]], str, int]] = []
    lines.append(f"  reg [{bits - 1}:0] round_0;")
    lines.append(f"  wire last_0 = round_0 == {bits}'d{rolled.trip - 1};")
    lines.append("  wire valid_0 = in_valid;")
    lines.append("  assign in_ready = take_0;")
    lines.append("  always @(posedge clk)")
    lines.append(f"    if (rst) round_0 <= {bits}'d0;")
    lines.append(f"    else if (in_valid & in_ready) round_0 <= last_0 ? {bits}'d0 : round_0 + {bits}'d1;")
    lines.append(f"  wire [{width - 1}:0] carry_0 = {{last_0, round_0, in_data}};")
    for at, level in enumerate(layer.levels):
        s, a = 2 * at, 2 * at + 1
        lines += _stage(a, width)
        lines += _stage(a + 1, width)
        sources = _names(layer, s, available, bits)
        parts = [sources[key] for key in level.inputs.keys]
        total = sum(level.widths)
        lines.append(f"  wire [{total - 1}:0] address_{s};")
        lines.append(f"  {layer.name}_address_{at} addresses_{at} (.in_data({_concat(parts)}), .out(address_{s}));")
        lines.append(f"  reg [{total - 1}:0] address_{a};")
        lines.append(f"  always @(posedge clk) if (take_{s}) address_{a} <= address_{s};")
        place = 0
        # Words read at lower levels move along with their beat.
        moved = []
        for fields, name, size in available:
            for step in (a, a + 1):
                lines.append(f"  reg [{size - 1}:0] {name}_{step};")
                lines.append(f"  always @(posedge clk) if (take_{step - 1}) {name}_{step} <= {name}_{step - 1};")
            moved.append((fields, name, size))
        for number, address in zip(level.numbers, level.widths, strict=True):
            table = rolled.tables[number]
            size = stored_bits(table)
            lines.append(f"  wire [{size - 1}:0] word{number}_{a + 1};")
            lines.append(f"  {layer.name}_rom{number} rom{number} (")
            lines.append(f"    .clk(clk), .enable(take_{a}), .address(address_{a}[{place} +: {address}]),")
            lines.append(f"    .q(word{number}_{a + 1})\n  );")
            place += address
            moved.append((fields_of(number, table), f"word{number}", size))
        available = moved
    final = _names(layer, stages, available, bits)
    beat = [f"carry_{stages}[{width - 1}]"] + [final[key] for key in layer.packed.keys]
    if not layer.packed.keys:  # nothing that comes in matters
        beat.append("1'b0")
    lines.append(f"  {layer.name}_proc proc (")
    lines.append(
        f"    .clk(clk), .rst(rst), .{BEAT}_data({_concat(beat)}), .{BEAT}_valid(valid_{stages}), "
        f".{BEAT}_ready(take_{stages}),"
    )
    if rolled.samples == 1:
        lines.append(f"    .{SAMPLE}_data(out_data), .{SAMPLE}_valid(out_valid), .{SAMPLE}_ready(out_ready)")
        lines.append("  );")
    else:
        lines += _collected(prefix, layer.result.bits // rolled.samples, rolled.samples)
    takes = [f"  wire take_{stages};"]
    if rolled.samples > 1:
        takes += ["  wire part_valid, part_ready;", f"  wire [{layer.result.bits // rolled.samples - 1}:0] part;"]
    for s in range(stages, 0, -1):  # a stage takes what comes if it is empty or hands on what it has
        takes += [f"  reg valid_{s};", f"  wire take_{s - 1} = ~valid_{s} | take_{s};"]
    body = "\n".join([*takes, *lines])
    memories = "".join(
        memory_verilog(f"{layer.name}_rom{number}", rolled.tables[number]) + "\n"
        for level in layer.levels
        for number in level.numbers
    )
    return (
        f"{memories}module {layer.name} (\n  input wire clk,\n  input wire rst,\n  input wire in_valid,\n  output wire in_ready,\n"
        f"  input wire [{source.bits - 1}:0] in_data,\n  output wire out_valid,\n  input wire out_ready,\n"
        f"  output wire [{layer.result.bits - 1}:0] out_data\n);\n{body}\nendmodule\n"
    )


def _stage(s: int, width: int) -> list[str]:
    return [
        f"  reg [{width - 1}:0] carry_{s};",
        f"  always @(posedge clk) if (rst) valid_{s} <= 1'b0; else if (take_{s - 1}) valid_{s} <= valid_{s - 1};",
        f"  always @(posedge clk) if (take_{s - 1}) carry_{s} <= carry_{s - 1};",
    ]


def _names(
    layer: Layer, s: int, available: list[tuple[list[tuple[Key, int, Fact]], str, int]], bits: int
) -> dict[Key, str]:
    """Return the Verilog of every pseudo-input as it stands in stage `s`."""
    source, port = layer.source, layer.rolled.source
    names: dict[Key, str] = {(ROUND, 0): f"carry_{s}[{source.bits} +: {bits}]"}
    for k in range(source.count):
        names[port.name, k] = f"carry_{s}[{k * source.width} +: {source.width}]"
    for fields, name, _ in available:
        for key, at, fact in fields:
            names[key] = f"{name}_{s}[{at} +: {fact.width}]"
    return names


def chain_verilog(name: str, layers: list[Layer], prefix: str) -> str:
    """Return the module `name`: the layers one after the other, a serialiser before each but the first."""
    first, last = layers[0], layers[-1]
    lines = []
    valid, ready, data = "in_valid", "in_ready", "in_data"
    if first.rolled.trip == 1:
        valid, ready, data = "all_valid", "all_ready", "all_data"
        lines.append(f"  wire {valid}, {ready};\n  wire [{first.source.bits - 1}:0] {data};")
        lines.append(
            f"  {prefix}_collect #(.WIDTH({first.beat.bits}), .BEATS({first.beats}), "
            f".COUNT({max(2, first.beats.bit_length())})) collect ("
        )
        lines.append("    .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),")
        lines.append(f"    .out_valid({valid}), .out_ready({ready}), .out_data({data})\n  );")
    for at, layer in enumerate(layers):
        source, result = layer.source, layer.result
        if at:
            beats = layer.rolled.trip
            lines.append(f"  wire beat_valid_{at}, beat_ready_{at};")
            lines.append(f"  wire [{source.bits - 1}:0] beat_data_{at};")
            lines.append(
                f"  {prefix}_serialise #(.WIDTH({source.bits}), .BEATS({beats}), .COUNT({max(2, beats.bit_length())})) "
                f"serialise_{at} ("
            )
            lines.append(f"    .clk(clk), .rst(rst), .in_valid({valid}), .in_ready({ready}), .in_data({data}),")
            lines.append(
                f"    .out_valid(beat_valid_{at}), .out_ready(beat_ready_{at}), .out_data(beat_data_{at})\n  );"
            )
            valid, ready, data = f"beat_valid_{at}", f"beat_ready_{at}", f"beat_data_{at}"
        outs = ("out_valid", "out_ready", "out_data")
        if layer is not last:
            outs = (f"sample_valid_{at}", f"sample_ready_{at}", f"sample_data_{at}")
            lines.append(f"  wire {outs[0]}, {outs[1]};")
            lines.append(f"  wire [{result.bits - 1}:0] {outs[2]};")
        lines.append(f"  {layer.name} layer_{at} (")
        lines.append(f"    .clk(clk), .rst(rst), .in_valid({valid}), .in_ready({ready}), .in_data({data}),")
        lines.append(f"    .out_valid({outs[0]}), .out_ready({outs[1]}), .out_data({outs[2]})\n  );")
        valid, ready, data = outs
    body = "\n".join(lines)
    return (
        f"module {name} (\n  input wire clk,\n  input wire rst,\n  input wire in_valid,\n  output wire in_ready,\n"
        f"  input wire [{first.beat.bits - 1}:0] in_data,\n  output wire out_valid,\n  input wire out_ready,\n"
        f"  output wire [{last.result.bits - 1}:0] out_data\n);\n{body}\nendmodule\n"
    )


def axis_verilog(name: str, source: Slots, result: Slots) -> str:
    """Return the module `NAME_axis`: elements in whole bytes; `tlast` marks the end of a sample on both sides.

    The input's `tlast` is not needed: a sample always has the same number of beats.
    """
    wide_in, wide_out = -(-source.width // 8) * 8, -(-result.width // 8) * 8
    unpack = "\n".join(
        f"  assign in_data[{k * source.width} +: {source.width}] = s_axis_tdata[{k * wide_in} +: {source.width}];"
        for k in range(source.count)
    )
    pack = []
    for k in range(result.count):
        pad, at = wide_out - result.width, k * result.width
        fill = f"{{{pad}{{out_data[{at + result.width - 1}]}}}}" if result.signed else f"{pad}'d0"
        value = f"out_data[{at} +: {result.width}]"
        value = f"{{{fill}, {value}}}" if pad else value
        pack.append(f"  assign m_axis_tdata[{k * wide_out} +: {wide_out}] = {value};")
    return (
        f"module {name}_axis (\n  input wire aclk,\n  input wire aresetn,\n"
        f"  /* verilator lint_off UNUSEDSIGNAL */ // padding bits and tlast are ignored\n"
        f"  input wire [{wide_in * source.count - 1}:0] s_axis_tdata,\n  input wire s_axis_tlast,\n"
        f"  /* verilator lint_on UNUSEDSIGNAL */\n"
        f"  input wire s_axis_tvalid,\n  output wire s_axis_tready,\n"
        f"  output wire [{wide_out * result.count - 1}:0] m_axis_tdata,\n  output wire m_axis_tvalid,\n"
        f"  output wire m_axis_tlast,\n  input wire m_axis_tready\n);\n"
        f"  wire ready;\n  wire [{source.bits - 1}:0] in_data;\n  wire [{result.bits - 1}:0] out_data;\n{unpack}\n"
        + "\n".join(pack)
        + f"\n  assign s_axis_tready = aresetn & ready;\n  assign m_axis_tlast = 1'b1;\n"
        f"  {name} engine (\n    .clk(aclk), .rst(~aresetn), .in_valid(s_axis_tvalid & aresetn), .in_ready(ready),\n"
        f"    .in_data(in_data), .out_valid(m_axis_tvalid), .out_ready(m_axis_tready), .out_data(out_data)\n  );\n"
        "endmodule\n"
    )
