"""The reference interpreter of a KAN IR."""

from __future__ import annotations

from typing import Protocol

import numba
import numpy as np
import numpy.typing as npt

from pymodel.errors import DataError
from pymodel.ir import EdgeTable, IntArray, KanConv, KanIR, KanLinear, Node, Norm, Pool, Product
from pymodel.reference._basis_unit import basis_unit
from pymodel.reference._kernel import drop_stale_caches
from pymodel.reference._pack import BLOCK
from pymodel.reference.base_table import base_table
from pymodel.reference.basis_window import basis_window
from pymodel.reference.bspline_arith import bspline_arith
from pymodel.reference.bspline_rom import bspline_rom, bspline_rom_aligned
from pymodel.reference.coder import coder
from pymodel.reference.edge_table import EdgeTableTables, edge_table
from pymodel.reference.edge_table_conv2d import EdgeTableConv2dTables, edge_table_conv2d
from pymodel.reference.gram_arith import gram_arith
from pymodel.reference.gram_rom import gram_rom
from pymodel.reference.kan_conv2d import KanConv2dTables, kan_conv2d
from pymodel.reference.kan_dense import KanDenseTables, kan_dense
from pymodel.reference.layer_norm import LayerNormTables, layer_norm, normalise
from pymodel.reference.mac_array import base_mac, spline_mac
from pymodel.reference.pool2d import Pool2dTables, average_pool2d, max_pool2d
from pymodel.reference.product import ProductTables, product
from pymodel.reference.rbf_arith import rbf_arith
from pymodel.reference.rbf_rom import rbf_rom
from pymodel.reference.rescale import rescale, round_saturate
from pymodel.reference.window2d import window2d

__all__ = ["Reference"]

drop_stale_caches(
    (
        average_pool2d,
        base_mac,
        base_table,
        basis_unit,
        basis_window,
        bspline_arith,
        bspline_rom,
        bspline_rom_aligned,
        coder,
        edge_table,
        edge_table_conv2d,
        gram_arith,
        gram_rom,
        kan_conv2d,
        kan_dense,
        layer_norm,
        max_pool2d,
        normalise,
        product,
        rbf_arith,
        rbf_rom,
        rescale,
        round_saturate,
        spline_mac,
        window2d,
    )
)


class _Tables(Protocol):
    """The constants of a node, laid out for its kernel."""

    @property
    def node(self) -> Node:
        """The node."""

    def run(self, X: IntArray) -> IntArray:
        """Return the outputs (rows, n_out) of contiguous inputs (rows, n_in)."""


def _pack(node: Node) -> _Tables:
    match node:
        case KanLinear():
            return KanDenseTables.pack(node)
        case EdgeTable():
            return EdgeTableTables.pack(node)
        case KanConv():
            return EdgeTableConv2dTables.pack(node) if node.basis is None else KanConv2dTables.pack(node)
        case Pool():
            return Pool2dTables.pack(node)
        case Product():
            return ProductTables.pack(node)
        case Norm():
            return LayerNormTables.pack(node)
        case _:  # pragma: no cover - a new kind must be added above
            raise AssertionError(node)


class Reference:
    """Runs a KAN IR, node by node, in exact int64 arithmetic (the IR's 2^53 bound rules overflow out).

    The constructor lays the constants out once; `run` may then be called any number of times.

    Attributes:
        ir: the program.
    """

    def __init__(self, ir: KanIR) -> None:
        self.ir = ir
        self._layers = [_pack(node) for node in ir.nodes[1:]]

    def _check(self, X: npt.ArrayLike) -> IntArray:
        """Return a copy of `X` as contiguous int64 (rows, n_in), or refuse it."""
        source = self.ir.input
        array = np.asarray(X)
        if array.ndim != 2 or array.shape[1] != source.size:
            raise DataError(
                f"input integers of shape (rows, {source.size}) were expected, not {array.shape}; pass one row per sample"
            )
        if array.dtype.kind not in "iu":
            raise DataError(
                f"input integers were expected, not {array.dtype}; quantize the real values with the input type first"
            )
        t = source.out_type
        if array.size and (int(array.min()) < t.min_int or int(array.max()) > t.max_int):
            raise DataError(
                f"input integers in {t.min_int} … {t.max_int} were expected, found {array.min()} … {array.max()}; "
                "quantize the real values with the input type first"
            )
        # Always a copy: the result must not alias the caller's array, and a read-only one would be another type to numba.
        return np.array(array, dtype=np.int64, order="C", copy=True)

    def run(self, X: npt.ArrayLike, threads: int | None = None) -> dict[str, IntArray]:
        """Return the integers of every node.

        Args:
            X: (rows, n_in) input integers within the input type; any integer dtype; zero rows are fine.
            threads: how many to use; all that numba has by default, and never more than that.

        Returns:
            (rows, n_out) int64 integers by node name, the input node (a copy of `X`) included.

        Raises:
            DataError: if `X` has another shape, is not integer, or leaves the range of the input type, or if `threads`
                is not positive.
        """
        if threads is not None and threads < 1:
            raise DataError(f"at least one thread was expected, not {threads}; leave threads out to use all cores")
        inputs = self._check(X)
        values: dict[str, IntArray] = {self.ir.input.name: inputs}
        before: int = numba.get_num_threads()
        available: int = numba.config.NUMBA_NUM_THREADS
        blocks = max(1, -(-inputs.shape[0] // BLOCK))  # a thread without a block would only wait
        numba.set_num_threads(min(threads or before, available, blocks))
        try:
            for layer in self._layers:
                values[layer.node.name] = layer.run(values[layer.node.inputs[0]])
        finally:
            numba.set_num_threads(before)
        return values
