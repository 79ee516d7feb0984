"""One layer of a KAN IR as a basis unit with MACs, and as dense bases times a constant matrix; exact, like the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from baselines.pipeline import Pipeline, Signal
from pymodel.ir import IntArray, KanIR, KanLinear

__all__ = ["basis_mac", "dense_matrix"]


def _start(ir: KanIR, engine: str) -> tuple[KanLinear, Pipeline]:
    """Return the only layer of `ir`, whose input integers must be its codes, and a pipeline that begins with them."""
    node = ir.layers[0]
    in_type = ir.input.out_type
    assert isinstance(node, KanLinear)
    assert node.base is not None
    return node, Pipeline(engine, node.n_in, in_type.width, signed=in_type.signed)


def _codes(node: KanLinear, pipe: Pipeline) -> IntArray:
    """Return the code of every input integer, in the order of a table's entries."""
    first = pipe.inputs[0]
    X = np.arange(first.low, first.high + 1)
    assert node.base is not None
    codes = node.spline.coder.codes(X[:, None])[:, 0]
    assert (codes == node.base.coder.codes(X[:, None])[:, 0]).all()
    return codes


def _finish(node: KanLinear, pipe: Pipeline, sums: list[tuple[Signal, Signal]], folder: Path) -> Path:
    """Rescale, round and saturate the sums of both branches, and write the module."""
    outputs = []
    t = node.out_type
    r = node.rescale
    for o, (spline, base) in enumerate(sums):
        scaled = [
            pipe.wide_scaled(f"scaled_{o}_{branch}", acc, int(factor[o]))
            for branch, (acc, factor) in enumerate(((spline, r.spline_mult), (base, r.base_mult)))
        ]
        half = (1 << (r.shift - 1)) if r.shift else 0
        total = pipe.add(f"total_{o}", *(s for s in scaled if s is not None), constant=int(r.bias[o]) + half)
        outputs.append(pipe.saturated(f"out_{o}", total, r.shift, t.min_int, t.max_int))
    return pipe.write(folder, outputs, width=t.width, signed=t.signed)


def basis_mac(ir: KanIR, folder: Path) -> Path:
    """Write the architecture of the HLS kernels: a ROM of basis windows per input, and MACs with weights that it selects.

    Registers whose names begin with `basis_` belong to the basis unit (window, its start, activation), `select_` holds
    the weights that the window's start selects.
    """
    node, pipe = _start(ir, "basis_mac")
    assert node.base is not None
    codes, basis, weights = _codes(node, pipe), node.spline.basis, node.spline.weights
    windows, starts, activations = [], [], []
    for i, x in enumerate(pipe.inputs):
        windows.append([pipe.table(f"basis_{i}_{j}", x, basis.values[codes, j]) for j in range(basis.window)])
        starts.append(pipe.table(f"basis_{i}_start", x, basis.start[codes]))
        activations.append(pipe.table(f"basis_{i}_act", x, node.base.table[codes]))
    sums = []
    for o in range(node.n_out):
        terms = []
        for i, start in enumerate(starts):
            places = np.arange(start.low, start.high + 1)
            for j in range(basis.window):
                weight = pipe.table(f"select_{o}_{i}_{j}", start, weights[o, i, places + j])
                if weight.low or weight.high:
                    terms.append(pipe.product(f"mac_{o}_{i}_{j}", windows[i][j], weight))
        base = [pipe.scaled(f"base_{o}_{i}", a, int(node.base.weights[o, i])) for i, a in enumerate(activations)]
        sums.append((pipe.tree(f"acc_{o}", terms), pipe.tree(f"bacc_{o}", base)))
    return _finish(node, pipe, sums, folder)


def dense_matrix(ir: KanIR, folder: Path) -> Path:
    """Write all basis functions of every input as tables, times a matrix of constants; equal products are built once.

    Registers whose names begin with `basis_` hold the basis values and activations.
    """
    node, pipe = _start(ir, "dense_matrix")
    assert node.base is not None
    codes, basis, weights = _codes(node, pipe), node.spline.basis, node.spline.weights
    dense = np.zeros((basis.values.shape[0], basis.n_basis), dtype=np.int64)
    for c, start in enumerate(basis.start.tolist()):
        dense[c, start : start + basis.window] = basis.values[c]
    used = (weights != 0).any(axis=0)  # (I, n_basis)
    values: dict[tuple[int, int], Signal] = {}
    for i, x in enumerate(pipe.inputs):
        for m in range(basis.n_basis):
            if used[i, m] and dense[codes, m].any():
                values[i, m] = pipe.table(f"basis_{i}_{m}", x, dense[codes, m])
        values[i, -1] = pipe.table(f"basis_{i}_act", x, node.base.table[codes])
    sums = []
    for o in range(node.n_out):
        terms = [
            pipe.scaled(f"mac_{o}_{i}_{m}", value, int(weights[o, i, m])) for (i, m), value in values.items() if m >= 0
        ]
        base = [pipe.scaled(f"base_{o}_{i}", values[i, -1], int(node.base.weights[o, i])) for i in range(node.n_in)]
        sums.append((pipe.tree(f"acc_{o}", terms), pipe.tree(f"bacc_{o}", base)))
    return _finish(node, pipe, sums, folder)
