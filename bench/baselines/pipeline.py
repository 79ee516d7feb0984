"""A small writer of pipelined Verilog with the ports of every engine: signals carry their interval and their stage.

Every register is signed and as wide as its interval needs, operands are delayed to equal stages by themselves, and the
folder that is written is an engine as `hwgen.synth` and `sim.cosim` know it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pymodel.ir import IntArray, signed_width

__all__ = ["Pipeline", "Signal"]


@dataclass(frozen=True)
class Signal:
    """A signed value in `[low, high]` that belongs to the sample captured `stage` edges ago."""

    name: str
    low: int
    high: int
    stage: int

    @property
    def width(self) -> int:
        """Bits in two's complement."""
        return signed_width(self.low, self.high)


def _literal(value: int, width: int) -> str:
    """Return a signed literal; one bit more, so that the magnitude of the most negative value fits, too."""
    return f"-{width + 1}'sd{-value}" if value < 0 else f"{width}'sd{value}"


class Pipeline:
    """One module under construction.

    Args:
        engine: its name; the top module is `ENGINE_top`.
        count, width, signed: the input port.
        registered: put a register behind the input port, as every engine has one; a unit inside a layer has none.
        digit: bits of the digits into which :meth:`wide_product` cuts a factor; 32 leaves it whole, for DSP slices.
    """

    def __init__(
        self, engine: str, count: int, width: int, *, signed: bool, registered: bool = True, digit: int = 4
    ) -> None:
        self.engine = engine
        self._digit = digit
        self._port = {"count": count, "width": width, "signed": signed}
        self._registered = registered
        self._lines: list[str] = []
        self._clocked: list[str] = []
        self._delayed: dict[tuple[str, int], Signal] = {}
        self._products: dict[tuple[str, int, int], Signal] = {}
        low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
        self.inputs = []
        for i in range(count):
            bits = f"in_data[{(i + 1) * width - 1}:{i * width}]"
            value = f"$signed({bits})" if signed else f"$signed({{1'b0, {bits}}})"
            self.inputs.append(
                self.register(f"x{i}", value, low, high, 0) if registered else self._wire(f"x{i}", value, low, high, 0)
            )

    def _declare(self, kind: str, name: str, low: int, high: int, stage: int) -> Signal:
        signal = Signal(name, low, high, stage)
        self._lines.append(f"  {kind} signed [{signal.width - 1}:0] {name};")
        return signal

    def _wire(self, name: str, expression: str, low: int, high: int, stage: int) -> Signal:
        signal = self._declare("wire", name, low, high, stage)
        self._lines.append(f"  assign {name} = {expression};")
        return signal

    def register(self, name: str, expression: str, low: int, high: int, stage: int) -> Signal:
        """Return a register that takes `expression`, whose operands are at `stage - 1`."""
        signal = self._declare("reg", name, low, high, stage)
        self._clocked.append(f"    {name} <= {expression};")
        return signal

    def wire(self, name: str, expression: str, low: int, high: int, stage: int) -> Signal:
        """Return a signal that follows `expression` at once."""
        return self._wire(name, expression, low, high, stage)

    def at(self, signal: Signal, stage: int) -> Signal:
        """Return `signal`, delayed to `stage`."""
        assert stage >= signal.stage, (signal, stage)
        if stage == signal.stage:
            return signal
        key = (signal.name, stage)
        if key not in self._delayed:
            before = self.at(signal, stage - 1)
            self._delayed[key] = self.register(f"{signal.name}_d{stage}", before.name, signal.low, signal.high, stage)
        return self._delayed[key]

    def aligned(self, *signals: Signal) -> tuple[Signal, ...]:
        """Return the signals, all at the stage of the latest."""
        stage = max(signal.stage for signal in signals)
        return tuple(self.at(signal, stage) for signal in signals)

    def table(self, name: str, index: Signal, entries: IntArray) -> Signal:
        """Return a registered table: entry `index - index.low`."""
        assert len(entries) == index.high - index.low + 1, (name, len(entries))
        low, high = int(entries.min()), int(entries.max())
        width = signed_width(low, high)
        self._lines.append(f"  reg signed [{width - 1}:0] {name}_rom;")
        self._lines.append(f"  always @* case ({index.name})")
        for k, entry in enumerate(entries.tolist()):
            self._lines.append(f"    {_literal(index.low + k, index.width)}: {name}_rom = {_literal(entry, width)};")
        self._lines.append(f"    default: {name}_rom = {width}'sdx;\n  endcase")
        return self.register(name, f"{name}_rom", low, high, index.stage + 1)

    def scaled(self, name: str, signal: Signal, factor: int) -> Signal | None:
        """Return the registered product with a constant, built once per pair; None for zero."""
        if factor == 0 or (signal.low == signal.high == 0):
            return None
        key = (signal.name, factor, 0)
        if key not in self._products:
            ends = (signal.low * factor, signal.high * factor)
            expression = f"{signal.name} * {_literal(factor, signed_width(factor, factor))}"
            self._products[key] = self.register(name, expression, min(ends), max(ends), signal.stage + 1)
        return self._products[key]

    def product(self, name: str, a: Signal, b: Signal) -> Signal:
        """Return the registered product of two signals, in one stage."""
        a, b = self.aligned(a, b)
        ends = [p * q for p in (a.low, a.high) for q in (b.low, b.high)]
        return self.register(name, f"{a.name} * {b.name}", min(ends), max(ends), a.stage + 1)

    def wide_product(self, name: str, a: Signal, b: Signal) -> Signal:
        """Return the product of `a` and an unsigned `b`: one stage for the digits' partial products, one per adder level."""
        assert b.low >= 0, b
        a, b = self.aligned(a, b)
        terms = []
        for shift in range(0, b.width - 1, self._digit):
            part = (1 << min(self._digit, b.width - 1 - shift)) - 1
            bits = f"$signed({{1'b0, {b.name}[{shift + part.bit_length() - 1}:{shift}]}})"
            low, high = min(a.low * part, 0), max(a.high * part, 0)
            terms.append((self.register(f"{name}_p{shift}", f"{a.name} * {bits}", low, high, a.stage + 1), shift))
        return self._shifted(name, terms)

    def wide_scaled(self, name: str, signal: Signal, factor: int) -> Signal | None:
        """Return the product with a constant like :meth:`wide_product`; None for zero."""
        if factor == 0 or (signal.low == signal.high == 0):
            return None
        terms = []
        for shift in range(0, abs(factor).bit_length(), self._digit):
            part = (abs(factor) >> shift & ((1 << self._digit) - 1)) * (1 if factor > 0 else -1)
            if part:
                ends = (signal.low * part, signal.high * part)
                expression = f"{signal.name} * {_literal(part, signed_width(part, part))}"
                register = self.register(f"{name}_p{shift}", expression, min(ends), max(ends), signal.stage + 1)
                terms.append((register, shift))
        return self._shifted(name, terms)

    def _shifted(self, name: str, terms: list[tuple[Signal, int]]) -> Signal:
        """Return the sum of `signal * 2^shift`, smallest shift first, in pairs with a register after each level."""
        level = 0
        while len(terms) > 1:
            level += 1
            merged = []
            for j in range(0, len(terms) - 1, 2):
                (a, a_shift), (b, b_shift) = terms[j], terms[j + 1]
                gap = b_shift - a_shift
                low, high = a.low + (b.low << gap), a.high + (b.high << gap)
                expression = f"{a.name} + $signed({{{b.name}, {gap}'d0}})"
                merged.append((self.register(f"{name}_s{level}_{j}", expression, low, high, a.stage + 1), a_shift))
            if len(terms) % 2:
                merged.append((self.at(terms[-1][0], terms[-1][0].stage + 1), terms[-1][1]))
            terms = merged
        signal, shift = terms[0]
        if shift == 0:
            return signal
        expression = f"$signed({{{signal.name}, {shift}'d0}})"
        return self.wire(f"{name}_up", expression, signal.low << shift, signal.high << shift, signal.stage)

    def add(self, name: str, *terms: Signal, constant: int = 0) -> Signal:
        """Return the registered sum of two or three signals and a constant."""
        aligned = self.aligned(*terms)
        low, high = sum(t.low for t in aligned) + constant, sum(t.high for t in aligned) + constant
        expression = " + ".join(t.name for t in aligned)
        if constant:
            expression += f" + {_literal(constant, signed_width(constant, constant))}"
        return self.register(name, expression, low, high, aligned[0].stage + 1)

    def tree(self, name: str, terms: Sequence[Signal | None]) -> Signal:
        """Return the sum of signals, added in pairs with a register after each level; None counts 0."""
        level, left = 0, list(self.aligned(*(term for term in terms if term is not None)))
        while len(left) > 1:
            level += 1
            pairs = [left[j : j + 2] for j in range(0, len(left), 2)]
            left = [
                self.add(f"{name}_{level}_{j}", *pair) if len(pair) == 2 else self.at(pair[0], pair[0].stage + 1)
                for j, pair in enumerate(pairs)
            ]
        return left[0]

    def saturated(self, name: str, value: Signal, shift: int, low: int, high: int) -> Signal:
        """Return `clip(value >> shift, low, high)`, registered."""
        kept = self.wire(
            f"{name}_kept", f"{value.name} >>> {shift}", value.low >> shift, value.high >> shift, value.stage
        )
        width = kept.width
        expression = kept.name
        if kept.high > high:
            expression = f"{kept.name} > {_literal(high, width)} ? {_literal(high, width)} : {expression}"
        if kept.low < low:
            expression = f"{kept.name} < {_literal(low, width)} ? {_literal(low, width)} : ({expression})"
        return self.register(name, expression, max(low, kept.low), min(high, kept.high), value.stage + 1)

    def write(self, folder: Path, outputs: Sequence[Signal], *, width: int, signed: bool, node: str = "y") -> Path:
        """Write the module and its `signals.json` into `folder`; outputs are packed, element 0 in the LSBs."""
        outputs = self.aligned(*outputs)
        latency = outputs[0].stage + int(self._registered)
        assert latency >= 1
        packed = []
        for j, signal in enumerate(reversed(outputs)):
            self._lines.append(f"  wire signed [{width - 1}:0] y{j} = {signal.name};")
            packed.append(f"y{j}")
        bits, n_out = int(self._port["count"]) * int(self._port["width"]), len(outputs)
        top = f"{self.engine}_top"
        text = "\n".join(
            [
                f"module {top} (input wire clk, input wire rst, input wire in_valid, input wire [{bits - 1}:0] in_data,",
                f"  output wire out_valid, output wire [{n_out * width - 1}:0] out_data);",
                *self._lines,
                "  always @(posedge clk) begin",
                *self._clocked,
                "  end",
                f"  reg [{latency - 1}:0] valid;",
                f"  always @(posedge clk) valid <= rst ? {latency}'d0 : {'in_valid' if latency == 1 else f'{{valid[{latency - 2}:0], in_valid}}'};",
                f"  assign out_valid = valid[{latency - 1}];",
                f"  assign out_data = {{{', '.join(packed)}}};",
                "endmodule",
                "",
            ]
        )
        folder.mkdir(parents=True)
        (folder / f"{top}.v").write_text(text, encoding="ascii")
        signals = {
            "schema": 1,
            "engine": self.engine,
            "top": top,
            "latency": latency,
            "input": self._port,
            "output": {"node": node, "count": n_out, "width": width, "signed": signed},
            "nodes": {},
            "files": [f"{top}.v"],
        }
        (folder / "signals.json").write_text(json.dumps(signals, indent=1) + "\n", encoding="utf-8")
        return folder


def entries(values: Sequence[int] | IntArray) -> IntArray:
    """Return table entries as int64."""
    return np.asarray(values, dtype=np.int64)
