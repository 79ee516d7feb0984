"""A dense KAN layer; the twin of `hls/kan4ml/kan_dense.h`."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from pymodel.ir import IntArray, KanLinear
from pymodel.reference._basis_unit import BasisTables, basis_unit
from pymodel.reference._kernel import kernel
from pymodel.reference._pack import BLOCK, outputs_last
from pymodel.reference.base_table import base_table
from pymodel.reference.coder import coder
from pymodel.reference.mac_array import base_mac, spline_mac
from pymodel.reference.rescale import rescale

__all__ = ["KanDenseTables", "kan_dense"]


@dataclass(frozen=True)
class KanDenseTables:
    """The constants of a layer, laid out for :func:`kan_dense`.

    Attributes:
        node: the layer.
        basis: the constants of the basis unit.
        inputs: (A,) inputs with at least one alive edge.
        spline_weights: (I, n_basis, P) weights, outputs last; P is N rounded up, with zeros.
        base_values: (C,) activation table; one 0 where there is no base branch.
        base_weights: (I, P) weights, outputs last; (0, P) where there is no base branch.
        shared_coder: the base branch reads the codes of the spline branch.
    """

    node: KanLinear
    basis: BasisTables
    inputs: IntArray
    spline_weights: IntArray
    base_values: IntArray
    base_weights: IntArray
    shared_coder: bool

    @classmethod
    def pack(cls, node: KanLinear) -> KanDenseTables:
        """Return the tables of `node`."""
        base = node.base
        no_values = np.zeros(1, dtype=np.int64)
        no_values.setflags(write=False)  # as the tables of a node are: one type, one compilation
        spline_weights = outputs_last(node.spline.weights)
        return cls(
            node=node,
            basis=BasisTables.pack(node.spline.basis),
            inputs=np.flatnonzero(node.alive.any(axis=0)).astype(np.int64),
            spline_weights=spline_weights,
            base_values=no_values if base is None else base.table,
            base_weights=np.zeros((0, spline_weights.shape[2]), dtype=np.int64)
            if base is None
            else outputs_last(base.weights),
            shared_coder=base is None or base.coder == node.spline.coder,
        )

    def run(self, X: IntArray) -> IntArray:
        """Return the outputs (rows, N) of contiguous inputs `X` (rows, I)."""
        node = self.node
        spline, rescaling = node.spline, node.rescale
        base_coder = spline.coder if node.base is None else node.base.coder
        Y = np.empty((X.shape[0], node.n_out), dtype=np.int64)
        kan_dense(
            X,
            Y,
            spline.coder.mult,
            spline.coder.offset,
            spline.coder.shift,
            spline.coder.n_codes,
            self.basis.unit,
            self.basis.table,
            self.basis.index,
            self.basis.facts,
            self.basis.window,
            self.basis.n_basis,
            self.inputs,
            self.spline_weights,
            node.base is not None,
            self.shared_coder,
            base_coder.mult,
            base_coder.offset,
            base_coder.shift,
            base_coder.n_codes,
            self.base_values,
            self.base_weights,
            rescaling.spline_mult,
            rescaling.base_mult,
            rescaling.bias,
            rescaling.half,
            rescaling.shift,
            node.out_type.min_int,
            node.out_type.max_int,
        )
        return Y


@kernel(parallel=True)
def kan_dense(
    X: IntArray,
    Y: IntArray,
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
    spline_rescale: IntArray,
    base_rescale: IntArray,
    bias: IntArray,
    half: int,
    shift: int,
    low: int,
    high: int,
) -> None:
    """Coder, basis unit, base table, MAC arrays and rescale, for every row of `X`; blocks of rows run in parallel.

    `X` is (rows, I), `Y` is (rows, N) and written; the rest as in the kernels that are called.
    """
    rows, n_in = X.shape
    n_padded = spline_weights.shape[2]
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        spline_code = np.empty(n_in, dtype=np.int64)
        base_code = np.empty(n_in, dtype=np.int64)
        value = np.empty((n_in, window), dtype=np.int64)
        start = np.empty(n_in, dtype=np.int64)
        base_value = np.empty(n_in, dtype=np.int64)
        spline_acc = np.empty(n_padded, dtype=np.int64)
        base_acc = np.zeros(n_padded, dtype=np.int64)
        for row in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            coder(X[row], spline_mult, spline_offset, spline_shift, spline_codes, spline_code)
            basis_unit(basis, spline_code, basis_values, basis_start, basis_facts, n_basis, value, start)
            spline_mac(value, start, inputs, spline_weights, spline_acc)
            if has_base:
                if shared_coder:
                    base_table(spline_code, base_values, base_value)
                else:
                    coder(X[row], base_mult, base_offset, base_shift, base_codes, base_code)
                    base_table(base_code, base_values, base_value)
                base_mac(base_value, inputs, base_weights, base_acc)
            rescale(spline_acc, base_acc, spline_rescale, base_rescale, bias, half, shift, low, high, Y[row])
