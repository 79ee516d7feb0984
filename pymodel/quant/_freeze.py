"""Freezing: a trained QAT model becomes integers, its tables correctly rounded from exact arithmetic."""

from __future__ import annotations

import math

import numpy as np
import torch

from pymodel.errors import ModelError
from pymodel.ir import (
    BaseBranch,
    BasisKind,
    BasisRom,
    EdgeTable,
    FixedPoint,
    HostSpec,
    IntArray,
    KanLinear,
    Rescale,
    SplineBranch,
)
from pymodel.layers import FrozenKAN, FrozenKANLinear
from pymodel.quant._functions import MULTIPLIER_BITS, dyadic
from pymodel.quant._layers import Codes, QuantKANLinear, rescale_bias
from pymodel.quant._model import QuantKAN
from pymodel.quant._quantizers import ActivationQuantizer
from pymodel.quant._tables import exact_basis, exact_silu, round_basis

__all__ = ["OUTPUT_BITS", "freeze"]

#: Width of the last layer's output type; its LSB is the smallest power of two with which nothing saturates.
OUTPUT_BITS = 16


def _output_exponent(largest: float) -> int:
    """Return the smallest e for which reals up to `largest` fit in `OUTPUT_BITS` signed bits with an LSB of `2^e`."""
    if largest == 0.0:
        return 1 - OUTPUT_BITS
    exponent = math.frexp(largest)[1] - (OUTPUT_BITS - 1)
    # One unit of room for the rounding of the sum, the multipliers and the bias.
    return exponent + int(largest / 2.0**exponent >= (1 << (OUTPUT_BITS - 1)) - 2)


class _Target:
    """What a layer's output integers are: the next layer's codes, or (last layer) fixed-point numbers."""

    def __init__(self, following: QuantKANLinear | None) -> None:
        self.step, self.low = 1.0, 0.0
        self.codes: Codes | None = None
        self.kind: FixedPoint | None = None
        if following is not None:
            q = following.quantizer
            assert isinstance(q, ActivationQuantizer)
            self.step, self.low, self.kind = float(q.step), float(q.low), q.in_type
            self.codes = Codes(q.step.detach(), q.low.detach())

    def fix(self, exponent: int) -> None:
        """Make the output fixed-point numbers with an LSB of `2^exponent`."""
        self.step = 2.0**exponent
        self.kind = FixedPoint(OUTPUT_BITS, OUTPUT_BITS + exponent, signed=True)


def _check_finite(name: str, layer: QuantKANLinear) -> None:
    for what, parameter in layer.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ModelError(f"{name}.{what} holds NaN or infinity, so it cannot be frozen; train with a lower rate")


def _largest_output(
    values: IntArray, start: IntArray, spline: IntArray, table: IntArray, base: IntArray, factors: tuple[float, float]
) -> float:
    """Return a bound of the real outputs: per output, the sum of each edge's largest magnitude over the codes."""
    n_codes, window = values.shape
    bound = np.zeros(spline.shape[:2])
    for c in range(n_codes):
        part = spline[:, :, start[c] : start[c] + window] @ values[c]
        np.maximum(bound, np.abs(part * factors[0] + base * (int(table[c]) * factors[1])), out=bound)
    return float(bound.sum(axis=1).max())


def _branch_node(name: str, source: str, layer: QuantKANLinear, target: _Target, bits: int) -> KanLinear:
    assert layer.base_quantizer is not None
    assert layer.spline_quantizer is not None
    coder = layer.quantizer.coder()
    order, n_basis = layer.geometry.order, layer.n_basis
    dense, basis_lsb = round_basis(exact_basis(layer.geometry.knots, order, coder.representatives), layer.basis_bits)
    table, base_lsb = exact_silu(coder.representatives, layer.basis_bits)
    cells = np.floor((coder.representatives - layer.geometry.low) / layer.geometry.step)
    start = _window_starts(dense, np.clip(cells, 0, layer.geometry.grid - 1).astype(np.int64), order + 1)
    values = np.take_along_axis(dense, start[:, None] + np.arange(order + 1), axis=1)
    assert int(values.sum()) == int(dense.sum())
    base_weight, spline_weight = layer.masked_weights()
    base = layer.base_quantizer.integers(base_weight).cpu().numpy()
    spline = layer.spline_quantizer.integers(spline_weight).cpu().numpy()
    units = (basis_lsb * float(layer.spline_quantizer.step), base_lsb * float(layer.base_quantizer.step))
    if target.kind is None:
        exponent = _output_exponent(_largest_output(values, start, spline, table, base, units))
        # An LSB that is finer than the multipliers can express would only cost bits.
        finest = math.frexp(max(units))[1] - bits
        target.fix(max(exponent, finest))
    assert target.kind is not None
    (spline_mult, base_mult), shift = dyadic([unit / target.step for unit in units], bits)
    bias = 0 if target.codes is None else rescale_bias(target.codes, shift)
    ones = np.ones(layer.out_features, dtype=np.int64)
    return KanLinear(
        name=name,
        inputs=(source,),
        out_type=target.kind,
        value_lsb=target.step,
        value_offset=target.low,
        spline=SplineBranch(
            coder=coder,
            basis=BasisRom(
                kind=BasisKind.BSPLINE,
                values=values,
                start=start,
                n_basis=n_basis,
                lsb=basis_lsb,
                order=order,
                knots=layer.geometry.knots,
            ),
            weights=spline,
        ),
        base=BaseBranch(coder=coder, activation="silu", table=table, lsb=base_lsb, weights=base),
        rescale=Rescale(ones * spline_mult, ones * base_mult, ones * bias, shift),
    )


def _window_starts(dense: IntArray, guess: IntArray, window: int) -> IntArray:
    """Return the first basis index of each code's window, corrected where float rounding of the cell was off by one."""
    n_basis = dense.shape[1]
    start = np.clip(guess, 0, n_basis - window)
    for c, row in enumerate(dense):
        used = np.flatnonzero(row)
        if used.size:
            start[c] = min(max(start[c], used[-1] - window + 1), used[0])
    return start


def _edge_node(name: str, source: str, layer: QuantKANLinear, target: _Target) -> EdgeTable:
    assert layer.edge_quantizer is not None
    coder = layer.quantizer.coder()
    step, shift = layer.edge_step(target.codes)
    tables = layer.edge_quantizer.integers_at(layer.edge_functions(), step).cpu().numpy()
    bias = 0 if target.codes is None else rescale_bias(target.codes, shift)
    if target.kind is None:
        # The sums themselves leave the chip, unless they need more bits than the output has.
        largest = int(np.abs(tables).max(axis=1).sum(axis=0).max())
        exponent, shift = -shift, max(0, largest.bit_length() + 1 - OUTPUT_BITS)
        shift += (largest + (1 << shift >> 1)) >> shift > (1 << (OUTPUT_BITS - 1)) - 1
        target.fix(exponent + shift)
    assert target.kind is not None
    return EdgeTable(
        name=name,
        inputs=(source,),
        out_type=target.kind,
        value_lsb=target.step,
        value_offset=target.low,
        coder=coder,
        tables=tables,
        bias=np.full(layer.out_features, bias, dtype=np.int64),
        shift=shift,
    )


@torch.no_grad()
def freeze(model: QuantKAN, *, name: str, host: HostSpec, multiplier_bits: int = MULTIPLIER_BITS) -> FrozenKAN:
    """Return `model` as integers.

    B-spline ROMs come from exact rational arithmetic and base tables from 50 digits, so every entry is correctly
    rounded; the rescale's factors become dyadic with `multiplier_bits` bits and one shift per layer.

    Args:
        model: a calibrated, trained QAT model.
        name: of the model, a plain identifier.
        host: what the host does before and after.
        multiplier_bits: of the rescale's multipliers.

    Raises:
        ModelError: if a weight is NaN or infinite, or the model was never calibrated.
        IRError: if the integers would break the contract.
    """
    if not model.calibrated:
        raise ModelError("a model must be calibrated before it can be frozen; call calibrate(x) with training features")
    layers = list(model.kan_layers())
    frozen = []
    source = "x"
    for index, layer in enumerate(layers):
        label = f"layers_{index}"
        _check_finite(label, layer)
        target = _Target(layers[index + 1] if index + 1 < len(layers) else None)
        node: KanLinear | EdgeTable
        if layer.edge_quantizer is None:
            node = _branch_node(label, source, layer, target, multiplier_bits)
        else:
            node = _edge_node(label, source, layer, target)
        frozen.append(FrozenKANLinear(node, layer.quantizer.in_type))
        source = label
    return FrozenKAN(name, host, frozen)
