"""Tables and config structs of rolled KAN layers (`edge_rows.h`, `kan_dense_rolled.h`), laid out as memories.

The layout is fixed by `hls/README.md`, section "Rolled layers". It is a permutation of the numbers in the IR: nothing is
computed here but their places.
"""

from __future__ import annotations

import numpy as np

from pymodel.ir import Basis, EdgeTable, IntArray, KanLinear

__all__ = ["banked_basis", "banked_weights", "edge_rows", "rolled_tables", "rotated_basis"]


def edge_rows(tables: IntArray, reuse: int) -> IntArray:
    """Return the memories of `edge_rows`: input r*P + k lies in memory k, words r*C … r*C + C - 1.

    Args:
        tables: (I, C, N) edge integers.
        reuse: R, a divisor of I.

    Returns:
        int64, (P, R*C, N) with P = I / R.
    """
    n_in, n_codes, n_out = tables.shape
    rows = tables.reshape(reuse, n_in // reuse, n_codes, n_out).transpose(1, 0, 2, 3)
    return np.ascontiguousarray(rows.reshape(n_in // reuse, reuse * n_codes, n_out))


def banked_basis(basis: Basis) -> tuple[IntArray, IntArray]:
    """Return the basis table rotated by its starts, and the group that each bank is read at.

    Basis function j lies in bank j mod K, group j // K.

    Returns:
        values (C, K), groups (C, K), both indexed by code and bank.
    """
    return rotated_basis(basis.values, basis.start, basis.window)


def rotated_basis(values: IntArray, start: IntArray, window: int) -> tuple[IntArray, IntArray]:
    """Return the same for the values (C, K) and starts (C,) of a basis of window K."""
    functions = start[:, None] + np.arange(window)
    rotated, groups = np.empty_like(values), np.empty_like(values)
    np.put_along_axis(rotated, functions % window, values, axis=1)
    np.put_along_axis(groups, functions % window, functions // window, axis=1)
    return rotated, groups


def banked_weights(weights: IntArray, window: int, reuse: int) -> IntArray:
    """Return the memories of the spline weights: bank b of input r*P + k is memory k*K + b, words r*G … r*G + G - 1.

    Args:
        weights: (N, I, n_basis).
        window: K.
        reuse: R, a divisor of I.

    Returns:
        int64, (P*K, R*G, N) with G = ceil(n_basis / K); 0 beyond the basis.
    """
    n_out, n_in, n_basis = weights.shape
    n_groups, inputs = -(-n_basis // window), n_in // reuse
    padded = np.zeros((n_out, n_in, n_groups * window), dtype=np.int64)
    padded[:, :, :n_basis] = weights
    banks = padded.reshape(n_out, reuse, inputs, n_groups, window).transpose(2, 4, 1, 3, 0)  # (P, K, R, G, N)
    return np.ascontiguousarray(banks.reshape(inputs * window, reuse * n_groups, n_out))


def rolled_tables(node: KanLinear | EdgeTable, reuse: int) -> dict[str, IntArray]:
    """Return the arrays of a rolled layer by their names in C++, in the order of the kernel's arguments."""
    if isinstance(node, EdgeTable):
        return {
            "mult": node.coder.mult,
            "offset": node.coder.offset,
            "rows": edge_rows(node.tables, reuse),
            "bias": node.bias,
        }
    spline, rescale = node.spline, node.rescale
    values, groups = banked_basis(spline.basis)
    result = {
        "spline_mult": spline.coder.mult,
        "spline_offset": spline.coder.offset,
        "basis_values": values,
        "basis_groups": groups,
        "spline_weights": banked_weights(spline.weights, spline.basis.window, reuse),
    }
    if node.base is None:
        return result | {"spline_rescale": rescale.spline_mult, "bias": rescale.bias}
    return result | {
        "base_mult": node.base.coder.mult,
        "base_offset": node.base.coder.offset,
        "base_values": node.base.table,
        "base_weights": np.ascontiguousarray(node.base.weights.T),
        "spline_rescale": rescale.spline_mult,
        "base_rescale": rescale.base_mult,
        "bias": rescale.bias,
    }
