"""Layers with real basis functions, and the inputs at which mistakes show: knots, beside them, outside, and the ends.

The input type spans -8 … 8, the codes -3 … 3, grids and centres -2 … 2; the coder saturates on both sides, the functions
end within the codes, and the output type is too small for the sums.
"""

from __future__ import annotations

import itertools

import numpy as np

from pymodel.ir import (
    AffineCoder,
    BaseBranch,
    ConvGeometry,
    FixedPoint,
    HostSpec,
    Implementation,
    IntArray,
    KanConv,
    KanIR,
    KanLinear,
    Node,
    Quantize,
    Rescale,
    SplineBranch,
    Task,
)
from pymodel.layers import BSplineFunctions, GramFunctions, RbfFunctions
from pymodel.quant._units import make_unit

__all__ = ["EDGES", "knots_program", "pairs_of_edges"]

_FUNCTIONS = {
    "bspline": BSplineFunctions(-2.0, 2.0, 4, 3),
    "rbf": RbfFunctions(-2.0, 2.0, 5, 0.7),
    "gram": GramFunctions((0.0, 0.0, 0.2, 0.1)),
}
_INPUT = FixedPoint(8, 4, signed=True)
_OUTPUT = FixedPoint(5, 3, signed=True)
_LOW, _STEP, _CODES = -3.0, 0.125, 49
#: Code 0 stands for -3, code 48 for 3: `(X + 49) >> 1`, X in sixteenths.
_CODER = AffineCoder(np.array([1]), np.array([49]), 1, _CODES, _LOW, _STEP)
_KNOTS = (-2, -1, 0, 1, 2)
#: Inputs on the knots and centres and up to two LSBs beside them, where codes begin to saturate, and the type's ends.
EDGES = sorted(
    {16 * knot + beside for knot in _KNOTS for beside in range(-2, 3)}
    | {-50, -49, -48, -47, 46, 47, 48, 49, -128, -127, 126, 127}
)
_GEOMETRIES = {"conv1d": ConvGeometry(1, 2, 1, 1, 2), "conv2d": ConvGeometry(2, 1, 1, 2, 1)}


def knots_program(basis: str, implementation: str, layer: str) -> KanIR:
    """Return a layer of two inputs (or two pixels) and two outputs.

    Args:
        basis: `bspline` (order 3), `rbf` or `gram` (degree 3).
        implementation: `rom` or `arith`.
        layer: `dense`, `conv1d` or `conv2d`.
    """
    unit = make_unit(_FUNCTIONS[basis], _LOW, _STEP, _CODES, 6, Implementation[implementation.upper()])
    rng = np.random.default_rng(7)
    points = _LOW + _STEP * np.arange(_CODES)
    silu = np.floor(points / (1 + np.exp(-points)) * 16 + 0.5).astype(np.int64)
    ones = np.ones(2, dtype=np.int64)
    weights, base_weights = rng.integers(-8, 8, (2, 2, unit.n_basis)), rng.integers(-8, 8, (2, 2))
    # Edges of every output by code, to put the sums into the middle of the output type and beyond both of its ends.
    edges = 3 * weights @ unit.dense().T + base_weights[:, :, None] * silu
    low, high = edges.min(axis=2).sum(axis=1), edges.max(axis=2).sum(axis=1)
    shift = int((high - low).min()).bit_length() - 6
    dense = KanLinear(
        "layers_0",
        ("x",),
        _OUTPUT,
        _OUTPUT.lsb,
        0.0,
        spline=SplineBranch(_CODER, unit, weights),
        base=BaseBranch(_CODER, "silu", silu, 1 / 16, base_weights),
        rescale=Rescale(3 * ones, ones, -(low + high) // 2, shift),
    )
    node: Node = dense
    if layer != "dense":
        geometry = _GEOMETRIES[layer]
        node = KanConv("layers_0", ("x",), _OUTPUT, _OUTPUT.lsb, 0.0, geometry=geometry, layers=(dense,))
    source = Quantize("x", (), _INPUT, _INPUT.lsb, 0.0, size=2)
    host = HostSpec(Task.REGRESSION, ("f0", "f1"), (0.0,) * 2, (1.0,) * 2)
    return KanIR("knots", (source, node), node.name, host)


def pairs_of_edges() -> IntArray:
    """Return every pair of :data:`EDGES`, and every value of the input type on each input beside one of them; (rows, 2)."""
    every = range(_INPUT.min_int, _INPUT.max_int + 1)
    beside = [(value, EDGES[value % len(EDGES)]) for value in every]
    pairs = [*itertools.product(EDGES, repeat=2), *beside, *((b, a) for a, b in beside)]
    return np.array(pairs, dtype=np.int64)
