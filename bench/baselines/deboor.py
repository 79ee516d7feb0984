"""A 16-bit fixed-point KAN layer as a float KAN is put on an FPGA without low-bit codes: Cox-de Boor in every cycle.

Formats: inputs are signed 16-bit integers `x` over `[-span, span)`, basis values 16-bit unsigned `Q2.14`, SiLU
and weights signed 16 bits. For uniform knots and `t = (x - low) / step`, cell `k = floor(t)` and position `f = t - k`,
the recursion keeps the four cubic bases that are not zero (de Boor 1972; Piegl & Tiller, The NURBS Book, A2.2):

    degree 1   N0 = 1 - f                       N1 = f
    degree 2   N0 = (1-f) N0 / 2                N1 = ((1+f) N0 + (2-f) N1) / 2         N2 = f N1 / 2
    degree 3   N0 = (1-f) N0 / 3   N1 = ((2+f) N0 + (2-f) N1) / 3   N2 = ((1+f) N1 + (3-f) N2) / 3   N3 = f N2 / 3

each rounded once per degree; the thirds are folded into the weights. Then four MACs per edge with the weights that `k`
selects, and one for the base branch, whose SiLU is a table of 1,024 entries (the upper ten bits of `x`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from baselines.pipeline import Pipeline, Signal
from pymodel.ir import IntArray

__all__ = [
    "DeBoorLayer",
    "run_network",
    "tile_inputs",
    "tile_sums",
    "write_basis",
    "write_finish",
    "write_network",
    "write_tile",
]

ORDER = 3
WINDOW = ORDER + 1
FRACTION = 15  # of f and of the bases of degree 1 and 2
BASIS_FRACTION = 14
SILU_BITS = 10
_MAX = (1 << 15) - 1
#: Elements of a tile's input port, per input: the window, the activation, the cell; each in 17 bits, signed.
TILE_FIELDS = WINDOW + 2
TILE_WIDTH = 17
#: Width of a tile's output element, and of a finish unit's input elements.
SUM_WIDTH = 40


@dataclass(frozen=True)
class DeBoorLayer:
    """The integers of one layer.

    Attributes:
        spline: (N, I, cells + 3) weights; zero where a cell lies beyond the grid and its bases have run out.
        base: (N, I) weights of the SiLU.
        silu: (1024,) activations by the upper ten bits of x + 2^15.
        mult: `t = ((x + 2^15) * mult + offset) / 2^16`.
        offset: likewise.
        shift: `y = sat((sum + half) >> shift)`, 16 bits.
    """

    spline: IntArray
    base: IntArray
    silu: IntArray
    mult: int
    offset: int
    shift: int

    @property
    def n_in(self) -> int:
        """Number of inputs."""
        return self.spline.shape[1]

    @property
    def n_out(self) -> int:
        """Number of outputs."""
        return self.spline.shape[0]

    @property
    def cells(self) -> int:
        """Cells that an input can lie in."""
        return self.spline.shape[2] - ORDER

    @classmethod
    def from_float(
        cls,
        spline: npt.NDArray[np.float64],
        base: npt.NDArray[np.float64],
        grid: tuple[float, float],
        span: float,
        out_span: float,
    ) -> DeBoorLayer:
        """Round the weights of a float layer to 16 bits.

        Args:
            spline: (N, I, G + 3).
            base: (N, I).
            grid: its ends.
            span: the input integers cover `[-span, span)`.
            out_span: likewise the output integers; a power of two.
        """
        n_grid = spline.shape[2] - ORDER
        step = (Fraction(grid[1]) - Fraction(grid[0])) / n_grid
        before = -math.floor((-Fraction(span) - Fraction(grid[0])) / step)  # cells below the grid
        offset = ((-Fraction(span) - Fraction(grid[0])) / step + before) * 65536
        mult = 2 * Fraction(span) / step
        assert mult.denominator == offset.denominator == 1, (mult, offset)
        cells = (65535 * int(mult) + int(offset) >> 16) + 1
        padded = np.pad(spline, ((0, 0), (0, 0), (before, cells - before - n_grid)))
        largest = max(np.abs(spline).max() / 3, np.abs(base).max())
        bits = 15 - math.ceil(math.log2(largest * (1 << 15) / _MAX))
        codes = np.arange(1 << SILU_BITS)
        x = span * (2 * (codes + 0.5) / (1 << SILU_BITS) - 1)
        silu = np.floor(x / (1 + np.exp(-x)) * (1 << BASIS_FRACTION) + 0.5).astype(np.int64)
        return cls(
            spline=np.floor(padded / 3 * 2.0**bits + 0.5).astype(np.int64),
            base=np.floor(base * 2.0**bits + 0.5).astype(np.int64),
            silu=np.clip(silu, -_MAX - 1, _MAX),
            mult=int(mult),
            offset=int(offset),
            shift=BASIS_FRACTION + bits - (15 - math.ceil(math.log2(out_span))),
        )

    def basis(self, X: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return window (rows, I, 4), cell (rows, I) and activation (rows, I) for inputs (rows, I)."""
        raised = X + (1 << 15)
        t = raised * self.mult + self.offset
        cell, f = t >> 16, (t & 0xFFFF) >> 1
        one = 1 << FRACTION
        n0, n1 = one - f, f
        half = 1 << FRACTION
        n0, n1, n2 = (
            ((one - f) * n0 + half) >> (FRACTION + 1),
            ((one + f) * n0 + (2 * one - f) * n1 + half) >> (FRACTION + 1),
            (f * n1 + half) >> (FRACTION + 1),
        )
        cubic = (
            (one - f) * n0,
            (2 * one + f) * n0 + (2 * one - f) * n1,
            (one + f) * n1 + (3 * one - f) * n2,
            f * n2,
        )
        window = np.stack([(value + half) >> (FRACTION + 1) for value in cubic], axis=-1)
        return window, cell, self.silu[raised >> (16 - SILU_BITS)]

    def run(self, X: IntArray) -> IntArray:
        """Return the outputs (rows, N) for inputs (rows, I): the reference of the hardware."""
        window, cell, silu = self.basis(X)
        total = silu @ self.base.T
        columns = cell[:, :, None] + np.arange(WINDOW)
        inputs = np.arange(self.n_in)[None, :, None]
        for o in range(self.n_out):
            total[:, o] += (window * self.spline[o][inputs, columns]).sum(axis=(1, 2))
        half = 1 << (self.shift - 1)
        return np.clip((total + half) >> self.shift, -_MAX - 1, _MAX)


def run_network(layers: list[DeBoorLayer], X: IntArray) -> IntArray:
    """Return the outputs of a chain of layers."""
    for layer in layers:
        X = layer.run(X)
    return X


def _basis(pipe: Pipeline, name: str, x: Signal, layer: DeBoorLayer) -> list[Signal]:
    """Return window, activation and cell of one input, all at one stage: the basis unit."""
    raised = pipe.wire(f"{name}_raised", f"{x.name} + 18'sd32768", 0, 65535, x.stage)
    index = pipe.wire(f"{name}_index", f"{raised.name} >>> {16 - SILU_BITS}", 0, (1 << SILU_BITS) - 1, x.stage)
    act = pipe.table(f"{name}_act", index, layer.silu)
    last = 65535 * layer.mult + layer.offset
    t = pipe.register(
        f"{name}_t", f"{raised.name} * 8'sd{layer.mult} + 32'sd{layer.offset}", layer.offset, last, x.stage + 1
    )
    cell = pipe.wire(f"{name}_cell", f"{t.name} >>> 16", 0, layer.cells - 1, t.stage)
    f = pipe.wire(f"{name}_f", f"$signed({{1'b0, {t.name}[15:1]}})", 0, (1 << FRACTION) - 1, t.stage)
    one = 1 << FRACTION
    rest = pipe.register(f"{name}_rest", f"17'sd{one} - {f.name}", 1, one, t.stage + 1)
    f = pipe.at(f, rest.stage)

    def wire(suffix: str, expression: str, low: int, high: int) -> Signal:
        return pipe.wire(f"{name}_{suffix}", expression, low, high, rest.stage)

    one_f = wire("one_f", f"18'sd{one} + {f.name}", one, 2 * one - 1)  # a bit in front: no adder
    two_f = wire("two_f", f"19'sd{2 * one} + {f.name}", 2 * one, 3 * one - 1)
    two_rest = wire("two_rest", f"18'sd{one} + {rest.name}", one + 1, 2 * one)
    three_rest = wire("three_rest", f"19'sd{2 * one} + {rest.name}", 2 * one + 1, 3 * one)

    def rounded(suffix: str, products: list[Signal], high: int) -> Signal:
        total = pipe.add(f"{name}_{suffix}_sum", *products, constant=1 << FRACTION)
        return pipe.wire(f"{name}_{suffix}", f"{total.name} >>> {FRACTION + 1}", 0, high, total.stage)

    def product(suffix: str, a: Signal, b: Signal) -> Signal:
        return pipe.wide_product(f"{name}_{suffix}", a, b)

    quadratic = [
        rounded("q0", [product("q0a", rest, rest)], one >> 1),
        rounded("q1", [product("q1a", one_f, rest), product("q1b", two_rest, f)], one),
        rounded("q2", [product("q2a", f, f)], one >> 1),
    ]
    q0, q1, q2 = quadratic
    full = 1 << (BASIS_FRACTION + 1)
    window = [
        rounded("c0", [product("c0a", rest, q0)], full >> 1),
        rounded("c1", [product("c1a", two_f, q0), product("c1b", two_rest, q1)], full),
        rounded("c2", [product("c2a", one_f, q1), product("c2b", three_rest, q2)], full),
        rounded("c3", [product("c3a", f, q2)], full >> 1),
    ]
    return list(pipe.aligned(*window, act, cell))


def _edge_terms(pipe: Pipeline, name: str, fields: list[Signal], spline: IntArray, base: int) -> list[Signal | None]:
    """Return the products of one edge: four selected weights times the window, and the base branch."""
    *window, act, cell = fields
    terms: list[Signal | None] = []
    places = np.arange(cell.low, cell.high + 1)
    for j, value in enumerate(window):
        weight = pipe.table(f"select_{name}_{j}", cell, spline[places + j])
        if weight.low or weight.high:
            terms.append(pipe.wide_product(f"mac_{name}_{j}", weight, value))
    terms.append(pipe.wide_scaled(f"base_{name}", act, base))
    return terms


def _output(pipe: Pipeline, name: str, total: Signal, shift: int) -> Signal:
    rounded = pipe.add(f"{name}_rounded", total, constant=1 << (shift - 1))
    return pipe.saturated(f"{name}_out", rounded, shift, -_MAX - 1, _MAX)


def _layer(pipe: Pipeline, layer: DeBoorLayer, inputs: list[Signal], number: int) -> list[Signal]:
    units = [_basis(pipe, f"basis_{number}_{i}", x, layer) for i, x in enumerate(inputs)]
    outputs = []
    for o in range(layer.n_out):
        terms = [
            term
            for i, fields in enumerate(units)
            for term in _edge_terms(pipe, f"{number}_{o}_{i}", fields, layer.spline[o, i], int(layer.base[o, i]))
        ]
        outputs.append(_output(pipe, f"y_{number}_{o}", pipe.tree(f"acc_{number}_{o}", terms), layer.shift))
    return outputs


def write_network(layers: list[DeBoorLayer], folder: Path, digit: int = 4) -> Path:
    """Write a chain of layers whole."""
    pipe = Pipeline("deboor", layers[0].n_in, 16, signed=True, digit=digit)
    signals = pipe.inputs
    for number, layer in enumerate(layers):
        signals = _layer(pipe, layer, signals, number)
    return pipe.write(folder, signals, width=16, signed=True)


def write_basis(layer: DeBoorLayer, folder: Path, digit: int = 4) -> Path:
    """Write the repeating unit of an input: its register, and everything up to window, activation and cell."""
    pipe = Pipeline("deboor_basis", 1, 16, signed=True, digit=digit)
    fields = _basis(pipe, "basis", pipe.inputs[0], layer)
    return pipe.write(folder, fields, width=TILE_WIDTH, signed=True)


def write_tile(layer: DeBoorLayer, output: int, inputs: range, folder: Path, digit: int = 4) -> tuple[int, int]:
    """Write the repeating unit of an output: the MACs and adders of some of its edges; return its sum's interval."""
    pipe = Pipeline("deboor_tile", len(inputs) * TILE_FIELDS, TILE_WIDTH, signed=True, registered=False, digit=digit)
    full = 1 << (BASIS_FRACTION + 1)
    highs = [full >> 1, full, full, full >> 1]
    terms: list[Signal | None] = []
    for place, i in enumerate(inputs):
        ports = pipe.inputs[place * TILE_FIELDS : (place + 1) * TILE_FIELDS]
        fields = [pipe.wire(f"w{place}_{j}", port.name, 0, highs[j], 0) for j, port in enumerate(ports[:WINDOW])]
        fields.append(pipe.wire(f"act{place}", ports[WINDOW].name, int(layer.silu.min()), int(layer.silu.max()), 0))
        fields.append(pipe.wire(f"cell{place}", ports[WINDOW + 1].name, 0, layer.cells - 1, 0))
        terms += _edge_terms(pipe, f"{i}", fields, layer.spline[output, i], int(layer.base[output, i]))
    total = pipe.tree("acc", terms)
    pipe.write(folder, [total], width=SUM_WIDTH, signed=True)
    return total.low, total.high


def tile_inputs(layer: DeBoorLayer, inputs: range, X: IntArray) -> IntArray:
    """Return what the basis units give a tile, (rows, inputs * 6), for layer inputs (rows, I)."""
    window, cell, silu = layer.basis(X)
    fields = np.concatenate([window, silu[..., None], cell[..., None]], axis=-1)
    return fields[:, list(inputs)].reshape(X.shape[0], -1)


def tile_sums(layer: DeBoorLayer, output: int, inputs: range, X: IntArray) -> IntArray:
    """Return a tile's sum (rows, 1)."""
    window, cell, silu = layer.basis(X)
    total = np.zeros(X.shape[0], dtype=np.int64)
    for i in inputs:
        columns = cell[:, i, None] + np.arange(WINDOW)
        total += (window[:, i] * layer.spline[output, i][columns]).sum(axis=1) + silu[:, i] * layer.base[output, i]
    return total[:, None]


def write_finish(layer: DeBoorLayer, sums: list[tuple[int, int]], folder: Path) -> Path:
    """Write what adds the tiles' sums (of these intervals) of one output, rounds and saturates."""
    pipe = Pipeline("deboor_finish", len(sums), SUM_WIDTH, signed=True, registered=False)
    terms = [pipe.wire(f"s{j}", pipe.inputs[j].name, low, high, 0) for j, (low, high) in enumerate(sums)]
    return pipe.write(folder, [_output(pipe, "y", pipe.tree("acc", terms), layer.shift)], width=16, signed=True)
