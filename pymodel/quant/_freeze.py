"""Freezing: a trained QAT model becomes integers, its tables correctly rounded from exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from pymodel.errors import ModelError
from pymodel.ir import (
    BaseBranch,
    Basis,
    EdgeTable,
    FixedPoint,
    HostSpec,
    IntArray,
    KanLinear,
    Node,
    Rescale,
    SplineBranch,
)
from pymodel.layers import NO_BASE, FrozenKAN, FrozenLayer, Functions, frozen_layer
from pymodel.quant._conv import QuantKANConv
from pymodel.quant._functions import MULTIPLIER_BITS, dyadic
from pymodel.quant._layers import Codes, QuantKANLinear, rescale_bias
from pymodel.quant._model import QuantKAN
from pymodel.quant._norm import QuantNormLinear
from pymodel.quant._product import QuantProductLinear
from pymodel.quant._quantizers import ActivationQuantizer
from pymodel.quant._tables import base_table
from pymodel.quant._units import make_unit

__all__ = ["OUTPUT_BITS", "freeze"]

_Reals = npt.NDArray[np.float64]

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
    basis: Basis, spline: IntArray, table: IntArray, base: IntArray, factors: tuple[_Reals, _Reals]
) -> float:
    """Return a bound of the real outputs: per output, the sum of each edge's largest magnitude over the codes.

    Where the branches have different numbers of codes, each counts by itself.
    """
    bound = np.zeros(spline.shape[0])
    dense = basis.dense().reshape(basis.n_tables, basis.n_codes, basis.n_basis)
    for i in range(spline.shape[1]):
        by_spline = dense[i if basis.n_tables > 1 else 0] @ spline[:, i].T * factors[0]
        by_base = np.outer(table, base[:, i]) * factors[1]
        if by_base.shape == by_spline.shape:
            bound += np.abs(by_spline + by_base).max(axis=0)
        else:
            bound += np.abs(by_spline).max(axis=0) + np.abs(by_base).max(axis=0)
    return float(bound.max())


def _branch_node(name: str, source: str, layer: QuantKANLinear, target: _Target, bits: int) -> KanLinear:
    assert layer.base_quantizer is not None
    assert layer.spline_quantizer is not None
    coder, base_coder = layer.coders()
    functions = layer.functions
    basis = make_unit(
        functions,
        coder.low,
        coder.step,
        coder.n_codes,
        layer.basis_bits,
        layer.implementation,
        scales=layer.basis_scales,
    )
    table, base_lsb = base_table(functions, base_coder.representatives, layer.basis_bits)
    base_weight, spline_weight = layer.masked_weights()
    base = layer.base_quantizer.integers(base_weight).cpu().numpy()
    spline = layer.spline_quantizer.integers(spline_weight).cpu().numpy()
    base, spline = layer.side_by_side(base, spline)
    has_base = functions.activation != NO_BASE
    # One number, or one per output.
    by_spline = basis.lsb * layer.spline_quantizer.step.double().cpu().numpy().reshape(-1)
    by_base = (base_lsb if has_base else 0.0) * layer.base_quantizer.step.double().cpu().numpy().reshape(-1)
    if target.kind is None:
        bias = 0.0 if layer.bias is None else float(layer.bias.abs().max())
        exponent = _output_exponent(_largest_output(basis, spline, table, base, (by_spline, by_base)) + bias)
        # An LSB that is finer than the multipliers can express would only cost bits.
        finest = math.frexp(max(by_spline.max(), by_base.max()))[1] - bits
        target.fix(max(exponent, finest))
    assert target.kind is not None
    multipliers, shift = dyadic([float(unit) / target.step for unit in (*by_spline, *by_base)], bits)
    spline_mult, base_mult = (
        np.broadcast_to(np.array(part, dtype=np.int64), layer.out_features).copy()
        for part in (multipliers[: by_spline.size], multipliers[by_spline.size :])
    )
    return KanLinear(
        name=name,
        inputs=(source,),
        out_type=target.kind,
        value_lsb=target.step,
        value_offset=target.low,
        spline=SplineBranch(coder=coder, basis=basis, weights=spline),
        base=BaseBranch(coder=base_coder, activation=_base_name(functions), table=table, lsb=base_lsb, weights=base)
        if has_base
        else None,
        rescale=Rescale(spline_mult, base_mult, _bias(layer, target, shift), shift),
    )


def _base_name(functions: Functions) -> str:
    """Return what the IR calls the base activation, one that the input passes first included."""
    return functions.activation if functions.before == "identity" else f"{functions.activation}_of_{functions.before}"


def _bias(layer: QuantKANLinear, target: _Target, shift: int) -> IntArray:
    """Return the bias (N,) of a rescale: the layer's own and, where codes are emitted, their offset."""
    offset = 0 if target.codes is None else rescale_bias(target.codes, shift)
    return np.array(layer.bias_integers(target.step * 2.0**-shift), dtype=np.int64) + offset


def _edge_node(name: str, source: str, layer: QuantKANLinear, target: _Target) -> EdgeTable:
    assert layer.edge_quantizer is not None
    coder = layer.quantizer.coder()
    step, shift = layer.edge_step(target.codes)
    tables = layer.edge_quantizer.integers_at(layer.edge_functions(), step).cpu().numpy()
    bias = _bias(layer, target, shift) if target.codes is not None else layer.bias_integers(float(step))
    if target.kind is None:
        # The sums themselves leave the chip, unless they need more bits than the output has.
        largest = int(np.abs(tables).max(axis=1).sum(axis=0).max()) + max(map(abs, bias))
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
        bias=np.array(bias, dtype=np.int64),
        shift=shift,
    )


@torch.no_grad()
def freeze(model: QuantKAN, *, name: str, host: HostSpec, multiplier_bits: int = MULTIPLIER_BITS) -> FrozenKAN:
    """Return `model` as integers.

    ROMs come from exact rational arithmetic or 50 digits, and so do base tables, so every entry is correctly
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
    frozen: list[FrozenLayer] = []
    for index, layer in enumerate(layers):
        _check_finite(f"layers_{index}", layer)
        target = _Target(layers[index + 1] if index + 1 < len(layers) else None)
        in_type = layer.quantizer.in_type
        for node in _nodes(layer, len(frozen), target, multiplier_bits):
            module = frozen_layer(node, in_type)
            assert module is not None
            frozen.append(module)
            in_type = node.out_type
    return FrozenKAN(name, host, frozen)


def _nodes(layer: QuantKANLinear, first: int, target: _Target, bits: int) -> Iterator[Node]:
    """Yield the nodes of a layer: a norm where it has one, the sums, then their products or a pool.

    Args:
        layer: the layer.
        first: number of the first node in the chain.
        target: of the last node.
        bits: of multipliers.
    """
    names = [f"layers_{first + k}" for k in range(3)]
    source = f"layers_{first - 1}" if first else "x"
    if isinstance(layer, QuantNormLinear):
        yield layer.norm_node(names[0], source)
        source = names.pop(0)
    inner = target
    if isinstance(layer, QuantProductLinear):
        inner = _Target(None)
        inner.step, inner.kind, inner.codes = layer.subnodes.lsb, layer.subnodes.kind, layer.factor_codes()
    sums: KanLinear | EdgeTable
    if layer.edge_quantizer is None:
        sums = _branch_node(names[0], source, layer, inner, bits)
    else:
        sums = _edge_node(names[0], source, layer, inner)
    if isinstance(layer, QuantKANConv):
        conv = layer.conv_node(sums)
        yield conv
        if layer.pool is not None:
            yield layer.pool_node(names[1], conv)
        return
    yield sums
    if isinstance(layer, QuantProductLinear):
        if target.kind is None:
            target.fix(_output_exponent(layer.largest_output()))
        assert target.kind is not None
        yield layer.product_node(names[1], names[0], target.kind, target.step, target.low)
