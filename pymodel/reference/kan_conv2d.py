"""A convolutional KAN layer; the twin of `hls/kan4ml/kan_conv2d.h`. One dimension is an image of height 1."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from pymodel.errors import IRError
from pymodel.ir import IntArray, KanConv, KanLinear
from pymodel.reference._basis_unit import BasisTables, basis_unit
from pymodel.reference._kernel import kernel
from pymodel.reference._pack import BLOCK, outputs_last
from pymodel.reference.base_table import base_table
from pymodel.reference.coder import coder
from pymodel.reference.mac_array import base_mac, spline_mac
from pymodel.reference.rescale import rescale
from pymodel.reference.window2d import facts_of, window2d

__all__ = ["KanConv2dTables", "kan_conv2d"]


@dataclass(frozen=True)
class KanConv2dTables:
    """The constants of a layer, laid out for :func:`kan_conv2d`.

    Attributes:
        node: the layer.
        facts: of its geometry.
        basis: the constants of the basis unit, for the channels of a pixel.
        inputs: (A,) patch inputs with at least one alive edge in any group.
        spline_weights: (groups, I, n_basis, P) weights, outputs last; P is N/groups rounded up, with zeros.
        base_values: (C,) activation table; one 0 where there is no base branch.
        base_weights: (groups, I, P) weights, outputs last; (groups, 0, P) where there is no base branch.
        rescales: (3, groups, N/groups) spline multipliers, base multipliers, bias.
        halves, shifts: (groups,) of the rescales.
        has_base: whether there is a base branch.
        shared_coder: the base branch reads the codes of the spline branch.
    """

    node: KanConv
    facts: IntArray
    basis: BasisTables
    inputs: IntArray
    spline_weights: IntArray
    base_values: IntArray
    base_weights: IntArray
    rescales: IntArray
    halves: IntArray
    shifts: IntArray
    has_base: bool
    shared_coder: bool

    @classmethod
    def pack(cls, node: KanConv) -> KanConv2dTables:
        """Return the tables of `node`, whose layers are `KanLinear`."""
        layers = [layer for layer in node.layers if isinstance(layer, KanLinear)]
        if node.basis is None or not layers:
            raise IRError(f"layer {node.name} is in edge-table form and has no basis unit")
        bases = [layer.base for layer in layers if layer.base is not None]
        weights = np.stack([outputs_last(layer.spline.weights) for layer in layers])
        rescales = [layer.rescale for layer in layers]
        return cls(
            node=node,
            facts=facts_of(node.geometry),
            basis=BasisTables.pack(node.basis),
            inputs=np.flatnonzero(np.any([layer.alive_inputs for layer in layers], axis=0)).astype(np.int64),
            spline_weights=weights,
            base_values=np.array(bases[0].table) if bases else np.zeros(1, dtype=np.int64),
            base_weights=np.stack([outputs_last(base.weights) for base in bases])
            if bases
            else np.zeros((len(layers), 0, weights.shape[3]), dtype=np.int64),
            rescales=np.array(
                [[r.spline_mult for r in rescales], [r.base_mult for r in rescales], [r.bias for r in rescales]],
                dtype=np.int64,
            ),
            halves=np.array([r.half for r in rescales], dtype=np.int64),
            shifts=np.array([r.shift for r in rescales], dtype=np.int64),
            has_base=bool(bases),
            shared_coder=node.coders[0] == node.coders[-1],
        )

    def run(self, X: IntArray) -> IntArray:
        """Return the outputs (rows, OH*OW*N) of contiguous inputs `X` (rows, H*W*C)."""
        node = self.node
        spline, base = node.coders[0], node.coders[-1]
        Y = np.empty((X.shape[0], node.n_out), dtype=np.int64)
        kan_conv2d(
            X,
            Y,
            self.facts,
            spline.mult,
            spline.offset,
            spline.shift,
            spline.n_codes,
            self.basis.unit,
            self.basis.table,
            self.basis.index,
            self.basis.facts,
            self.basis.window,
            self.basis.n_basis,
            self.inputs,
            self.spline_weights,
            self.has_base,
            self.shared_coder,
            base.mult,
            base.offset,
            base.shift,
            base.n_codes,
            self.base_values,
            self.base_weights,
            self.rescales,
            self.halves,
            self.shifts,
            node.out_type.min_int,
            node.out_type.max_int,
        )
        return Y


@kernel(parallel=True)
def kan_conv2d(
    X: IntArray,
    Y: IntArray,
    facts: IntArray,
    spline_mult: IntArray,
    spline_offset: IntArray,
    spline_shift: int,
    spline_codes: int,
    basis: int,
    basis_values: IntArray,
    basis_start: IntArray,
    basis_facts: IntArray,
    window: int,
    n_basis: int,
    inputs: IntArray,
    spline_weights: IntArray,
    has_base: bool,
    shared_coder: bool,
    base_mult: IntArray,
    base_offset: IntArray,
    base_shift: int,
    base_codes: int,
    base_values: IntArray,
    base_weights: IntArray,
    rescales: IntArray,
    halves: IntArray,
    shifts: IntArray,
    low: int,
    high: int,
) -> None:
    """Coder, basis unit and base table once per pixel; MAC arrays and rescale once per window and group.

    `X` is (rows, H*W*C), `Y` is (rows, OH*OW*N) and written; a tap outside of the image reads basis and base values of 0.
    The rest as in :class:`KanConv2dTables` and the kernels that are called. Blocks of rows run in parallel.
    """
    rows, channels, groups = X.shape[0], facts[2], facts[13]
    pixels, taps, windows = facts[0] * facts[1], facts[3] * facts[4], facts[11] * facts[12]
    per_group, n_padded, n_out = channels // groups, spline_weights.shape[3], rescales.shape[2]
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        spline_code = np.empty(channels, dtype=np.int64)
        base_code = np.empty(channels, dtype=np.int64)
        value = np.empty((pixels, channels, window), dtype=np.int64)
        start = np.empty((pixels, channels), dtype=np.int64)
        base_value = np.empty((pixels, channels), dtype=np.int64)
        pixel = np.empty(taps, dtype=np.int64)
        patch_value = np.empty((taps * per_group, window), dtype=np.int64)
        patch_start = np.empty(taps * per_group, dtype=np.int64)
        patch_base = np.empty(taps * per_group, dtype=np.int64)
        spline_acc = np.empty(n_padded, dtype=np.int64)
        base_acc = np.zeros(n_padded, dtype=np.int64)
        for row in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            for p in range(pixels):
                x = X[row, p * channels : (p + 1) * channels]
                coder(x, spline_mult, spline_offset, spline_shift, spline_codes, spline_code)
                basis_unit(basis, spline_code, basis_values, basis_start, basis_facts, n_basis, value[p], start[p])
                if has_base and shared_coder:
                    base_table(spline_code, base_values, base_value[p])
                elif has_base:
                    coder(x, base_mult, base_offset, base_shift, base_codes, base_code)
                    base_table(base_code, base_values, base_value[p])
            for w in range(windows):
                window2d(facts, w, pixel)
                for g in range(groups):
                    for t in range(taps):
                        for c in range(per_group):
                            i, channel = t * per_group + c, g * per_group + c
                            if pixel[t] < 0:
                                patch_value[i, :] = 0
                                patch_start[i] = 0
                                patch_base[i] = 0
                            else:
                                patch_value[i, :] = value[pixel[t], channel]
                                patch_start[i] = start[pixel[t], channel]
                                patch_base[i] = base_value[pixel[t], channel]
                    spline_mac(patch_value, patch_start, inputs, spline_weights[g], spline_acc)
                    if has_base:
                        base_mac(patch_base, inputs, base_weights[g], base_acc)
                    first = (w * groups + g) * n_out
                    y = Y[row, first : first + n_out]
                    rescale(
                        spline_acc,
                        base_acc,
                        rescales[0, g],
                        rescales[1, g],
                        rescales[2, g],
                        halves[g],
                        shifts[g],
                        low,
                        high,
                        y,
                    )
