"""Verilog of one layer, from its plan."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwgen.tables._coders import CoderForm, Index
from hwgen.tables._plan import LayerPlan, OutputPlan, Sum, Table, Term
from hwgen.tables._verilog import extend, literal, vector
from pymodel.ir import FixedPoint, IntArray, coder_interval, signed_width

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


def _clip(value: str, width: int, *, signed: bool, low: int, high: int, out_width: int) -> tuple[str, list[str]]:
    """Return the expression `clip(value, low, high)` of `out_width` bits, and what it depends on, as declarations.

    `value` is a vector of `width` bits; `low` is 0 or `-2^(out_width-1)`; only the tests that can be true are made.
    """
    least = -(1 << (width - 1)) if signed else 0
    most = (1 << (width - 1 if signed else width)) - 1
    plain = f"{value}[{out_width - 1}:0]" if width > out_width else extend(value, width, out_width, signed=signed)
    power = high & (high + 1) == 0
    keep = high.bit_length()
    declarations, result = [], plain
    if most > high:
        top = width - 2 if signed else width - 1
        sign = f"~{value}[{width - 1}] & " if signed else ""
        test = f"(|{value}[{top}:{keep}])" if power else f"({value}[{top}:0] > {literal(high, top + 1)})"
        declarations.append(f"wire {value}_over = {sign}{test};")
        result = f"{value}_over ? {literal(high, out_width)} : {result}"
    if least < low:
        inner = f" & ~(&{value}[{width - 2}:{out_width - 1}])" if low < 0 else ""
        declarations.append(f"wire {value}_under = {value}[{width - 1}]{inner};")
        result = f"{value}_under ? {literal(low, out_width)} : {result}"
    return result, declarations


def _affine(plan: LayerPlan, index: Index) -> Iterator[str]:
    coder, in_type, c = plan.node.coder, plan.in_type, f"c{index.feature}"
    total = coder_interval(coder, in_type)
    width = max(total.width, signed_width(index.mult, index.mult), in_type.width + 1, coder.shift + 1)
    x = extend(f"x{index.feature}", in_type.width, width, signed=in_type.signed)
    yield f"wire {vector(in_type.width)}x{index.feature} = {_slice('x', index.feature, in_type.width)};"
    yield f"wire {vector(width)}{c}_sum = {x} * {literal(index.mult, width)} + {literal(index.offset, width)};"
    yield f"wire {vector(width - coder.shift)}{c}_code = {c}_sum[{width - 1}:{coder.shift}];"
    clipped, tests = _clip(
        f"{c}_code", width - coder.shift, signed=True, low=0, high=coder.n_codes - 1, out_width=index.width
    )
    yield from tests
    yield f"always @(posedge clk) {c} <= {clipped};"


def _slice(bus: str, element: int, width: int) -> str:
    return f"{bus}[{element * width + width - 1}:{element * width}]"


def _index(plan: LayerPlan, index: Index, roms: dict[bytes, str]) -> Iterator[str]:
    """Yield the index of one input."""
    width = plan.in_type.width
    first = index.feature * width
    source = f"x[{first + width - 1}:{first + index.low_bit}]"
    if index.form is CoderForm.SLICE and not plan.code_register:
        yield f"wire {vector(index.width)}c{index.feature} = {source};"
        return
    yield f"reg {vector(index.width)}c{index.feature};"
    if index.form is CoderForm.SLICE:
        yield f"always @(posedge clk) c{index.feature} <= {source};"
    elif index.form is CoderForm.ROM:
        yield f"always @(posedge clk) c{index.feature} <= {roms[_rom_entries(plan, index).tobytes()]}({source});"
    else:
        yield from _affine(plan, index)


def _rom_entries(plan: LayerPlan, index: Index) -> IntArray:
    """Return the code of every input, in the order of its bits."""
    in_type: FixedPoint = plan.in_type
    raw = np.arange(1 << in_type.width)
    X = np.where(raw > in_type.max_int, raw - (1 << in_type.width), raw)
    coder = plan.node.coder
    return np.asarray(np.clip((X * index.mult + index.offset) >> coder.shift, 0, coder.n_codes - 1))


def _roms(plan: LayerPlan) -> tuple[dict[bytes, str], list[str]]:
    """Return the name of every distinct coder table, and their functions."""
    names: dict[bytes, str] = {}
    lines: list[str] = []
    for index in plan.indices:
        if index.form is not CoderForm.ROM:
            continue
        entries = _rom_entries(plan, index)
        if entries.tobytes() in names:
            continue
        name = names[entries.tobytes()] = f"coder{len(names)}"
        lines += [f"function {vector(index.width)}{name};", f"  input {vector(plan.in_type.width)}value;"]
        lines += _case(name, "value", plan.in_type.width, entries.tolist(), index.width)
        lines += ["endfunction"]
    return names, lines


def _table(plan: LayerPlan, table: Table) -> Iterator[str]:
    name = plan.node.name
    width = table.width
    for output, k, offset in table.uses:
        factor = f" * {1 << k}" if k else ""
        sign = "-" if offset < 0 else "+"
        shift = f" {sign} {abs(offset)}" if offset else ""
        inputs = f"input{'s' if len(table.features) > 1 else ''} {', '.join(map(str, table.features))}"
        yield f"// {name}: {inputs} -> output {output}: {table.name}{factor}{shift}"
    comb = f"{table.name}_d" if plan.table_register else table.name
    yield f"reg {vector(width)}{comb};"
    yield "always @*"
    names = [f"c{feature}" for feature in reversed(table.features)]
    selector = names[0] if len(names) == 1 else f"{{{', '.join(names)}}}"
    yield from _case(comb, selector, table.select_width, table.entries.tolist(), width)
    if plan.table_register:
        yield f"reg {vector(width)}{table.name};"
        yield f"always @(posedge clk) {table.name} <= {comb};"


def _operand(term: Term, total: Term) -> str:
    zeros = term.zeros - total.zeros
    return extend(term.name, term.width, total.width, signed=term.interval.low < 0, zeros=zeros)


def _sums(level: tuple[Sum, ...]) -> Iterator[str]:
    for s in level:
        yield f"reg {vector(s.term.width)}{s.term.name};"
    yield "always @(posedge clk) begin"
    for s in level:
        yield f"  {s.term.name} <= {' + '.join(_operand(term, s.term) for term in s.operands)};"
    yield "end"


def _output(plan: LayerPlan, number: int, output: OutputPlan) -> Iterator[str]:
    """Yield the adder tree, saturation and output register of one output."""
    out_type, y = plan.node.out_type, _slice("y", number, plan.node.out_type.width)
    yield f"// {plan.node.name}: output {number}: {output.interval.low} ... {output.interval.high}"
    total = output.total
    if total is None:
        yield f"assign {y} = {literal(output.interval.low, out_type.width)};"
        return
    for level in output.levels:
        yield from _sums(level)
    signed, width = total.interval.low < 0, total.width + total.zeros
    r = f"r{number}"
    kept = output.kept
    if output.shift >= width:
        # Only the sign is left: 0 or -1.
        rounded = f"{total.name}[{total.width - 1}]" if signed else "1'd0"
    elif total.zeros > output.shift:
        rounded = extend(total.name, total.width, kept, signed=signed, zeros=total.zeros - output.shift)
    else:
        rounded = f"{total.name}[{total.width - 1}:{output.shift - total.zeros}]"
    yield f"wire {vector(kept)}{r} = {rounded};"
    if output.split:
        assert signed
        yield f"reg {vector(kept - 1)}{r}_positive;"
        yield f"always @(posedge clk) {r}_positive <= {r}[{kept - 1}] ? {literal(0, kept - 1)} : {r}[{kept - 2}:0];"
        r, kept, signed = f"{r}_positive", kept - 1, False
    value, tests = _clip(r, kept, signed=signed, low=out_type.min_int, high=out_type.max_int, out_width=out_type.width)
    yield from tests
    names = [f"y{number}_{j}" for j in range(output.delay - int(output.split))]
    for name, source in zip(names, [value, *names], strict=False):
        yield f"reg {vector(out_type.width)}{name};"
        yield f"always @(posedge clk) {name} <= {source};"
    yield f"assign {y} = {names[-1]};"


def emit_layer(plan: LayerPlan, module: str) -> str:
    """Return the Verilog of a layer: module `module` with ports `clk`, `x` (input integers) and `y` (output integers).

    Both buses hold element 0 in the LSBs; `y` follows `x` by `plan.latency` cycles and is registered (constant outputs
    are constants).
    """
    node, in_type = plan.node, plan.in_type
    alive = int(node.alive.sum())
    lines = [
        f"// Layer {node.name}: {alive} edges, {len(plan.tables)} tables, latency {plan.latency} cycles.",
        f"// y[o] = sat((sum of edges + bias[o] + {node.half}) >> {node.shift}); constants are part of the tables.",
        "`default_nettype none",
        f"module {module} (",
        "  /* verilator lint_off UNUSEDSIGNAL */ // pruned inputs are not read",
        "  input wire clk,",
        f"  input wire {vector(node.n_in * in_type.width)}x,",
        "  /* verilator lint_on UNUSEDSIGNAL */",
        f"  output wire {vector(node.n_out * node.out_type.width)}y",
        ");",
        "// Sums are shifted and clipped: the bits below the point are dropped on purpose.",
        "/* verilator lint_off UNUSEDSIGNAL */",
        "",
    ]
    roms, functions = _roms(plan)
    lines += functions
    for index in plan.indices:
        lines += _index(plan, index, roms)
    for table in plan.tables:
        lines += ["", *_table(plan, table)]
    for number, output in enumerate(plan.outputs):
        lines += ["", *_output(plan, number, output)]
    lines += ["", "/* verilator lint_on UNUSEDSIGNAL */", "endmodule", "`default_nettype wire", ""]
    return "\n".join(lines)
