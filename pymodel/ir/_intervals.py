"""Interval analysis: every width and the 2^53 bound follow from the actual constants.

Accumulator intervals hold every partial sum in any order of summation, so that an adder tree, a systolic chain and a
rolled loop may all use the same width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pymodel.errors import IRError
from pymodel.ir._fixed import EXACT_BOUND, FixedPoint, IntArray, signed_width
from pymodel.ir._nodes import AffineCoder, EdgeTable, KanLinear, Node
from pymodel.ir._norm import Norm
from pymodel.ir._product import Product
from pymodel.ir._spatial import KanConv, Pool, PoolKind

__all__ = ["Interval", "NodeBounds", "analyse", "coder_interval"]


@dataclass(frozen=True)
class Interval:
    """A closed integer interval."""

    low: int
    high: int

    @property
    def width(self) -> int:
        """Bits of the two's-complement integer that holds it."""
        return signed_width(self.low, self.high)

    def scaled(self, factors: IntArray) -> Interval:
        """Return the hull of `factor * x` over all `factors` and `x` in the interval."""
        low, high = int(factors.min()), int(factors.max())
        corners = [a * b for a in (low, high) for b in (self.low, self.high)]
        return Interval(min(corners), max(corners))


@dataclass(frozen=True)
class NodeBounds:
    """What the constants of one node imply.

    Attributes:
        coder: interval of `X*mult + offset`, over all coders (an identity coder included).
        spline: interval of every partial sum of `acc_spline` (edge tables: of the table sum, bias excluded; pools: of the
            sum, or of the maximum; products: of every partial product; norms: of the normalised inputs).
        base: interval of every partial sum of `acc_base`; (0, 0) where there is no base branch.
        total: interval of the rescaled sum, bias and rounding constant included, before the shift.
        out: interval of the output integers, after saturation.
        absolute: largest sum of absolute values of terms anywhere in the node; below 2^53.
    """

    coder: Interval
    spline: Interval
    base: Interval
    total: Interval
    out: Interval
    absolute: int


def coder_interval(coder: AffineCoder, in_type: FixedPoint) -> Interval:
    """Return the interval of `X*mult + offset` (and of the product alone) for inputs of `in_type`."""
    values = [
        int(m) * x + b
        for m, c in zip(coder.mult.tolist(), coder.offset.tolist(), strict=True)
        for x in (in_type.min_int, in_type.max_int)
        for b in (0, c)
    ]
    return Interval(min(values), max(values))


def _coder_absolute(coder: AffineCoder, in_type: FixedPoint) -> int:
    largest: int = max(abs(in_type.min_int), abs(in_type.max_int))
    return max(int(abs(m) * largest + abs(b)) for m, b in zip(coder.mult.tolist(), coder.offset.tolist(), strict=True))


def _spline_sums(node: KanLinear) -> tuple[IntArray, IntArray, IntArray]:
    """Return per output (N,) the smallest and largest partial sum, and the largest sum of absolute terms."""
    rom, weights = node.spline.basis, node.spline.weights
    largest = int(np.abs(rom.values).max()) * int(np.abs(weights).max()) * rom.window * node.n_in
    if largest >= EXACT_BOUND * 8:  # the int64 sums below would overflow; far beyond the bound anyway
        raise IRError(f"layer {node.name}: its spline sum may reach {largest}, beyond 2^53; use fewer bits")
    low = np.zeros((node.n_out, node.n_in), dtype=np.int64)
    high, absolute = low.copy(), low.copy()
    inputs = np.arange(node.n_in)[:, None]
    for code in range(rom.n_codes):
        if rom.n_tables == 1:
            start = int(rom.start[code])
            terms = weights[:, :, start : start + rom.window] * rom.values[code]
        else:
            rows = code + rom.n_codes * np.arange(node.n_in)
            windows = rom.start[rows][:, None] + np.arange(rom.window)
            terms = weights[:, inputs, windows] * rom.values[rows]
        np.minimum(low, np.minimum(terms, 0).sum(axis=2), out=low)
        np.maximum(high, np.maximum(terms, 0).sum(axis=2), out=high)
        np.maximum(absolute, np.abs(terms).sum(axis=2), out=absolute)
    return low.sum(axis=1), high.sum(axis=1), absolute.sum(axis=1)


def _base_sums(node: KanLinear) -> tuple[IntArray, IntArray, IntArray]:
    zero = np.zeros(node.n_out, dtype=np.int64)
    if node.base is None:
        return zero, zero, zero
    largest = int(np.abs(node.base.table).max()) * int(np.abs(node.base.weights).max()) * node.n_in
    if largest >= EXACT_BOUND * 8:
        raise IRError(f"layer {node.name}: its base sum may reach {largest}, beyond 2^53; use fewer bits")
    table = np.append(node.base.table, 0)
    at_min, at_max = node.base.weights * table.min(), node.base.weights * table.max()
    low, high = np.minimum(at_min, at_max), np.maximum(at_min, at_max)
    return low.sum(axis=1), high.sum(axis=1), np.maximum(-low, high).sum(axis=1)


def _hull(lows: IntArray, highs: IntArray) -> Interval:
    return Interval(int(lows.min()), int(highs.max()))


def _out_interval(total: Interval, shift: int, out_type: FixedPoint) -> Interval:
    low = min(max(total.low >> shift, out_type.min_int), out_type.max_int)
    high = min(max(total.high >> shift, out_type.min_int), out_type.max_int)
    return Interval(low, high)


def _check(name: str, what: str, absolute: int) -> None:
    if absolute >= EXACT_BOUND:
        raise IRError(
            f"layer {name}: the absolute values of its {what} add up to {absolute}, and the contract's bound is 2^53 = "
            f"{EXACT_BOUND}; use fewer bits or narrower multipliers"
        )


def _analyse_kan(node: KanLinear, in_type: FixedPoint) -> NodeBounds:
    coders = [coder_interval(coder, in_type) for coder in node.coders]
    coder = Interval(min(c.low for c in coders), max(c.high for c in coders))
    coder_absolute = max(_coder_absolute(c, in_type) for c in node.coders)
    _check(node.name, "coder's terms", coder_absolute)
    (s_low, s_high, s_abs), (b_low, b_high, b_abs) = _spline_sums(node), _base_sums(node)
    rescale = node.rescale
    lows, highs, absolutes = [], [], []
    for o in range(node.n_out):
        ms, mb, bias = int(rescale.spline_mult[o]), int(rescale.base_mult[o]), int(rescale.bias[o])
        spline = sorted((int(s_low[o]) * ms, int(s_high[o]) * ms))
        base = sorted((int(b_low[o]) * mb, int(b_high[o]) * mb))
        extra = bias + rescale.half
        # 0 belongs to the hull of partial sums; bias and half are added in any order, too.
        lows.append(spline[0] + base[0] + min(0, bias, extra))
        highs.append(spline[1] + base[1] + max(0, rescale.half, bias, extra))
        absolutes.append(int(s_abs[o]) * abs(ms) + int(b_abs[o]) * abs(mb) + abs(bias) + rescale.half)
    absolute = max(*absolutes, int(s_abs.max()), int(b_abs.max()), coder_absolute)
    _check(node.name, "rescaled sum's terms", absolute)
    total = Interval(min(lows), max(highs))
    out = _out_interval(total, rescale.shift, node.out_type)
    return NodeBounds(coder, _hull(s_low, s_high), _hull(b_low, b_high), total, out, absolute)


def _analyse_edge_table(node: EdgeTable, in_type: FixedPoint) -> NodeBounds:
    coder = coder_interval(node.coder, in_type)
    coder_absolute = _coder_absolute(node.coder, in_type)
    _check(node.name, "coder's terms", coder_absolute)
    largest = int(np.abs(node.tables).max()) * node.n_in
    if largest >= EXACT_BOUND * 8:
        raise IRError(f"layer {node.name}: its table sum may reach {largest}, beyond 2^53; use fewer bits")
    low = np.minimum(node.tables.min(axis=1), 0).sum(axis=0)
    high = np.maximum(node.tables.max(axis=1), 0).sum(axis=0)
    absolutes = np.abs(node.tables).max(axis=1).sum(axis=0) + np.abs(node.bias) + node.half
    absolute = max(int(absolutes.max()), coder_absolute)
    _check(node.name, "rescaled sum's terms", absolute)
    extra = node.bias + node.half
    lows = low + np.minimum(0, np.minimum(node.bias, extra))
    highs = high + np.maximum(node.half, np.maximum(node.bias, extra))
    total = _hull(lows, highs)
    return NodeBounds(
        coder, _hull(low, high), Interval(0, 0), total, _out_interval(total, node.shift, node.out_type), absolute
    )


def _union(intervals: Iterable[Interval]) -> Interval:
    every = list(intervals)
    return Interval(min(i.low for i in every), max(i.high for i in every))


def _analyse_conv(node: KanConv, in_type: FixedPoint) -> NodeBounds:
    """Every interval is that of any window: a tap that is missing adds 0, which all partial sums allow for."""
    groups = [analyse(layer, in_type) for layer in node.layers]
    parts = {name: _union(getattr(b, name) for b in groups) for name in ("coder", "spline", "base", "total", "out")}
    return NodeBounds(**parts, absolute=max(b.absolute for b in groups))


def _analyse_pool(node: Pool, in_type: FixedPoint) -> NodeBounds:
    values = Interval(in_type.min_int, in_type.max_int)
    zero = Interval(0, 0)
    if node.op is PoolKind.MAX:
        if node.out_type != in_type:
            raise IRError(f"layer {node.name}: a maximum keeps the type of its input; lower the model again")
        return NodeBounds(zero, values, zero, values, values, max(-values.low, values.high))
    taps = node.geometry.n_taps
    sums = Interval(min(0, taps * values.low), max(0, taps * values.high))
    total = Interval(min(0, sums.low * node.mult), max(0, sums.high * node.mult) + node.half)
    absolute = taps * max(-values.low, values.high) * node.mult + node.half
    _check(node.name, "sum's terms", absolute)
    return NodeBounds(zero, sums, zero, total, _out_interval(total, node.shift, node.out_type), absolute)


def _analyse_arithmetic(node: Product | Norm, in_type: FixedPoint) -> NodeBounds:
    ranges = node.ranges(in_type)
    absolute = node.absolute(in_type)
    _check(node.name, "products' or sums' terms", absolute)
    zero = (0, 0)
    inner = ranges["product"] if isinstance(node, Product) else ranges["normal"]
    total = Interval(*ranges["total"])
    out = _out_interval(total, node.shift, node.out_type)
    if isinstance(node, Norm) and node.passed is not None:
        out = Interval(min(out.low, 0), max(out.high, node.passed.n_codes - 1))
    coder = Interval(*ranges.get("coder", zero))
    return NodeBounds(coder, Interval(*inner), Interval(*zero), total, out, absolute)


def analyse(node: Node, in_type: FixedPoint | None) -> NodeBounds:
    """Return the bounds of `node` for inputs of `in_type` (None for an input node).

    Raises:
        IRError: if a sum of absolute values reaches 2^53; the message names node and bound.
    """
    if isinstance(node, KanLinear) and in_type is not None:
        return _analyse_kan(node, in_type)
    if isinstance(node, EdgeTable) and in_type is not None:
        return _analyse_edge_table(node, in_type)
    if isinstance(node, KanConv) and in_type is not None:
        return _analyse_conv(node, in_type)
    if isinstance(node, Pool) and in_type is not None:
        return _analyse_pool(node, in_type)
    if isinstance(node, Product | Norm) and in_type is not None:
        return _analyse_arithmetic(node, in_type)
    full = Interval(node.out_type.min_int, node.out_type.max_int)
    zero = Interval(0, 0)
    return NodeBounds(zero, zero, zero, full, full, max(-full.low, full.high))
