"""Round to nearest at the places where adding one half in float64 is wrong."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch

from pymodel.ir import FixedPoint, Overflow, Rounding
from pymodel.layers import FrozenKANLinear
from tests.strategies import random_ir


def _hard_values(t: FixedPoint) -> np.ndarray:
    ties = (np.arange(t.min_int - 2, t.max_int + 3) + 0.5) * t.lsb
    return np.concatenate([ties, np.nextafter(ties, -np.inf), np.nextafter(ties, np.inf)])


def _exact(x: float, t: FixedPoint) -> int:
    scaled = Fraction(x) * Fraction(2) ** t.frac + Fraction(1, 2)
    return min(max(scaled.numerator // scaled.denominator, t.min_int), t.max_int)


def test_quantize_rounds_ties_and_their_neighbours_exactly() -> None:
    t = FixedPoint(8, 2, True)
    x = _hard_values(t)
    assert t.quantize(x).tolist() == [_exact(float(v), t) for v in x]


def test_torch_rounds_the_same_values_alike() -> None:
    ir = random_ir(0, widths=(3, 2))
    node, t = ir.layers[0], ir.in_type(ir.layers[0])
    layer = FrozenKANLinear.from_ir_node(node, t)
    x = _hard_values(t)[:, None].repeat(3, axis=1)
    X = np.array([[_exact(float(v), t)] * 3 for v in x[:, 0]])
    got = layer(torch.from_numpy(x)).numpy() / layer.out_type.lsb
    assert np.array_equal(got.astype(np.int64), layer.run(X))


def test_the_largest_floats_saturate_or_wrap_without_a_warning() -> None:
    x = np.array([1.7e308, -1.7e308, 2.0**1000, 0.0])
    assert FixedPoint(8, 2, True).quantize(x).tolist() == [127, -128, 127, 0]
    assert FixedPoint(8, 2, True, Rounding.RND, Overflow.WRAP).quantize(x).tolist() == [0, 0, 0, 0]
