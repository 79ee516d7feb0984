"""A layer's circuit to Verilog, node by node; nothing but the circuit is read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from hwgen.tables._coders import CoderForm, Index
from hwgen.tables._verilog import extend, literal, vector
from hwgen.tables.netlist._nodes import (
    Adder,
    Clip,
    Code,
    LayerNetlist,
    NetNode,
    Operand,
    Register,
    Shift,
    Slice,
    Table,
    Wire,
)
from pymodel.ir import IntArray, Interval, coder_interval, signed_width

__all__ = ["emit_layer"]

_ENTRIES_PER_LINE = 4


def _case(target: str, selector: str, select_width: int, entries: list[int], width: int) -> Iterator[str]:
    """Yield a full case statement: the last entry is the default."""
    yield f"  case ({selector})"
    rows = [f"{literal(e, select_width)}: {target} = {literal(v, width)};" for e, v in enumerate(entries[:-1])]
    rows.append(f"default: {target} = {literal(entries[-1], width)};")
    for j in range(0, len(rows), _ENTRIES_PER_LINE):
        yield "    " + " ".join(rows[j : j + _ENTRIES_PER_LINE])
    yield "  endcase"


def _bus(bus: str, element: int, width: int) -> str:
    return f"{bus}[{element * width + width - 1}:{element * width}]"


class _Emitter:
    """The Verilog of one circuit."""

    def __init__(self, netlist: LayerNetlist) -> None:
        self.netlist = netlist
        self.wires: dict[str, Wire] = {node.wire.name: node.wire for node in netlist.nodes}
        self.roms: dict[bytes, str] = {}

    def _declare(self, kind: str, wire: Wire) -> str:
        return f"{kind} {vector(wire.width)}{wire.name}"

    # Codes

    def _rom_entries(self, index: Index) -> IntArray:
        """Return the code of every input, in the order of its bits."""
        in_type, coder = self.netlist.in_type, self.netlist.coder
        raw = np.arange(1 << in_type.width)
        X = np.where(raw > in_type.max_int, raw - (1 << in_type.width), raw)
        return np.asarray(np.clip((X * index.mult + index.offset) >> coder.shift, 0, coder.n_codes - 1))

    def functions(self) -> Iterator[str]:
        """Yield a function for every distinct coder table."""
        in_width = self.netlist.in_type.width
        for node in self.netlist.nodes:
            if not (isinstance(node, Code) and node.index.form is CoderForm.ROM):
                continue
            entries = self._rom_entries(node.index)
            if entries.tobytes() in self.roms:
                continue
            name = self.roms[entries.tobytes()] = f"coder{len(self.roms)}"
            yield f"function {vector(node.wire.width)}{name};"
            yield f"  input {vector(in_width)}value;"
            yield from _case(name, "value", in_width, entries.tolist(), node.wire.width)
            yield "endfunction"

    def _code(self, node: Code) -> Iterator[str]:
        index, width = node.index, self.netlist.in_type.width
        first = index.feature * width
        source = f"x[{first + width - 1}:{first + index.low_bit}]"
        if not node.registered:
            yield f"{self._declare('wire', node.wire)} = {source};"
            return
        yield f"{self._declare('reg', node.wire)};"
        if index.form is CoderForm.SLICE:
            yield f"always @(posedge clk) {node.wire.name} <= {source};"
        elif index.form is CoderForm.ROM:
            rom = self.roms[self._rom_entries(index).tobytes()]
            yield f"always @(posedge clk) {node.wire.name} <= {rom}({source});"
        else:
            yield from self._affine(index, node.wire)

    def _affine(self, index: Index, wire: Wire) -> Iterator[str]:
        coder, in_type, c = self.netlist.coder, self.netlist.in_type, wire.name
        total = coder_interval(coder, in_type)
        width = max(total.width, signed_width(index.mult, index.mult), in_type.width + 1, coder.shift + 1)
        x = extend(f"x{index.feature}", in_type.width, width, signed=in_type.signed)
        yield f"wire {vector(in_type.width)}x{index.feature} = {_bus('x', index.feature, in_type.width)};"
        yield f"wire {vector(width)}{c}_sum = {x} * {literal(index.mult, width)} + {literal(index.offset, width)};"
        yield f"wire {vector(width - coder.shift)}{c}_code = {c}_sum[{width - 1}:{coder.shift}];"
        code = Wire(f"{c}_code", Interval(-(1 << (width - coder.shift - 1)), (1 << (width - coder.shift - 1)) - 1))
        clipped, tests = self._clip(code, low=0, high=coder.n_codes - 1, out_width=index.width)
        yield from tests
        yield f"always @(posedge clk) {c} <= {clipped};"

    # Tables and sums

    def _piece(self, piece: Slice) -> str:
        width = self.wires[piece.source].width
        if piece.width == width:
            return piece.source
        return f"{piece.source}[{piece.low + piece.width - 1}:{piece.low}]"

    def _table(self, node: Table) -> Iterator[str]:
        yield ""
        yield from (f"// {note}" for note in node.notes)
        yield f"{self._declare('reg', node.wire)};"
        yield "always @*"
        pieces = [self._piece(piece) for piece in reversed(node.selector)]
        selector = pieces[0] if len(pieces) == 1 else f"{{{', '.join(pieces)}}}"
        yield from _case(node.wire.name, selector, node.select_width, node.entries.tolist(), node.wire.width)

    def _operand(self, operand: Operand, width: int) -> str:
        wire = self.wires[operand.wire]
        return extend(wire.name, wire.width, width, signed=wire.signed, zeros=operand.zeros)

    def _adder(self, node: Adder) -> Iterator[str]:
        width, name = node.wire.width, node.wire.name
        operands = [self._operand(operand, width) for operand in node.operands]
        kind, assign = ("reg", "always @(posedge clk) {} <= {};") if node.registered else ("wire", "assign {} = {};")
        yield f"{self._declare(kind, node.wire)};"
        if node.fused:
            first, second = operands
            carry = node.carry or literal(0, 1)
            yield f"wire {vector(width + 1)}{name}_c = {{{first}, 1'd0}} - ~{{{second}, {carry}}};"
            yield assign.format(name, f"{name}_c[{width}:1]")
        else:
            yield assign.format(name, " + ".join(operands))

    # Outputs

    def _shift(self, node: Shift) -> Iterator[str]:
        source, kept = self.wires[node.source], node.wire.width
        if node.shift >= source.width + node.zeros:
            # Only the sign is left: 0 or -1.
            value = f"{source.name}[{source.width - 1}]" if source.signed else "1'd0"
        elif node.zeros > node.shift:
            value = extend(source.name, source.width, kept, signed=source.signed, zeros=node.zeros - node.shift)
        else:
            value = f"{source.name}[{source.width - 1}:{node.shift - node.zeros}]"
        yield f"{self._declare('wire', node.wire)} = {value};"

    def _clip(self, source: Wire, *, low: int, high: int, out_width: int) -> tuple[str, list[str]]:
        """Return the expression `clip(source, low, high)` of `out_width` bits, and what it depends on, as declarations.

        `low` is 0 or `-2^k`; only the tests that can be true are made.
        """
        value, width, signed = source.name, source.width, source.signed
        result, declarations = extend(value, width, max(width, out_width), signed=signed), []
        if width > out_width:
            result = f"{value}[{out_width - 1}:0]"
        if source.interval.high > high:
            top = width - 2 if signed else width - 1
            sign = f"~{value}[{width - 1}] & " if signed else ""
            power, keep = high & (high + 1) == 0, high.bit_length()
            test = f"(|{value}[{top}:{keep}])" if power else f"({value}[{top}:0] > {literal(high, top + 1)})"
            declarations.append(f"wire {value}_over = {sign}{test};")
            result = f"{value}_over ? {literal(high, out_width)} : {result}"
        if source.interval.low < low:
            inner = f" & ~(&{value}[{width - 2}:{(-low).bit_length() - 1}])" if low < 0 else ""
            declarations.append(f"wire {value}_under = {value}[{width - 1}]{inner};")
            result = f"{value}_under ? {literal(low, out_width)} : {result}"
        return result, declarations

    def _clip_node(self, node: Clip) -> Iterator[str]:
        value, tests = self._clip(self.wires[node.source], low=node.low, high=node.high, out_width=node.wire.width)
        yield from tests
        yield f"{self._declare('reg', node.wire)};"
        yield f"always @(posedge clk) {node.wire.name} <= {value};"

    def node(self, node: NetNode) -> Iterator[str]:
        """Yield the lines of one node."""
        match node:
            case Code():
                yield from self._code(node)
            case Table():
                yield from self._table(node)
            case Adder():
                yield from self._adder(node)
            case Shift():
                yield from self._shift(node)
            case Clip():
                yield from self._clip_node(node)
            case Register():
                yield f"{self._declare('reg', node.wire)};"
                yield f"always @(posedge clk) {node.wire.name} <= {node.source};"


def emit_layer(netlist: LayerNetlist, module: str) -> str:
    """Return the Verilog of a layer: module `module` with ports `clk`, `x` (input integers) and `y` (output integers).

    Both buses hold element 0 in the LSBs; `y` follows `x` by `netlist.latency` cycles and is registered (constant
    outputs are constants).
    """
    emitter = _Emitter(netlist)
    out_width = netlist.out_type.width
    lines = [
        *(f"// {line}" for line in netlist.header),
        "`default_nettype none",
        f"module {module} (",
        "  /* verilator lint_off UNUSEDSIGNAL */ // pruned inputs are not read",
        "  input wire clk,",
        f"  input wire {vector(netlist.n_in * netlist.in_type.width)}x,",
        "  /* verilator lint_on UNUSEDSIGNAL */",
        f"  output wire {vector(len(netlist.outputs) * out_width)}y",
        ");",
        "// Sums are shifted and clipped: the bits below the point are dropped on purpose.",
        "/* verilator lint_off UNUSEDSIGNAL */",
        "",
        *emitter.functions(),
    ]
    for is_table, nodes in groupby(netlist.nodes, key=lambda node: isinstance(node, Table)):
        if not is_table and lines[-1]:
            lines.append("")
        for node in nodes:
            lines += emitter.node(node)
    lines.append("")
    for number, output in enumerate(netlist.outputs):
        interval = output.interval
        if output.wire is None:
            value = literal(interval.low, out_width)
        else:
            wire = emitter.wires[output.wire]
            value = extend(wire.name, wire.width, out_width, signed=wire.signed)
        lines.append(f"// output {number}: {interval.low} ... {interval.high}")
        lines.append(f"assign {_bus('y', number, out_width)} = {value};")
    lines += ["", "/* verilator lint_on UNUSEDSIGNAL */", "endmodule", "`default_nettype wire", ""]
    return "\n".join(lines)
