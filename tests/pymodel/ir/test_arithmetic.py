"""Product and norm nodes: their intervals hold everything, their tables are right, and nonsense is refused."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest

from pymodel.errors import IRError
from pymodel.ir import AffineCoder, FixedPoint, load_ir, rsqrt_table, save_ir
from tests.arithmetic import alone, normalised, products, random_norm, random_product, some_rows

TYPE = FixedPoint(6, 3, signed=True)


@pytest.mark.parametrize("seed", range(25))
def test_every_inner_integer_lies_in_its_interval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = FixedPoint(int(rng.integers(1, 9)), 4, bool(rng.integers(2)))
    n = int(rng.integers(2, 9))
    for node, formula in ((random_product(rng), products), (random_norm(rng, n, kind), normalised)):
        ir = alone(node, kind)
        ranges = node.ranges(kind)
        for row in some_rows(rng, node.n_in, kind, 30).tolist():
            Y, seen = formula(node, row)  # type: ignore[operator] # the node fits its formula
            for name, values in seen.items():
                low, high = ranges[name]
                assert low <= min(values) <= max(values) <= high, (name, values, ranges[name])
            bounds = ir.bounds[node.name].out
            assert bounds.low <= min(Y) <= max(Y) <= bounds.high


@pytest.mark.parametrize("bits", [4, 8, 12])
@pytest.mark.parametrize("fraction", [1, 9, 20])
def test_reciprocal_square_roots_are_correctly_rounded(bits: int, fraction: int) -> None:
    table = rsqrt_table(bits, fraction)
    with mpmath.workdps(40):
        for k, entry in enumerate(table.tolist()):
            u = k + 2 ** (bits - 2)
            exact = mpmath.mpf(2) ** (fraction + bits // 2) / mpmath.sqrt(u + mpmath.mpf(1) / 2)
            assert entry == int(mpmath.floor(exact + mpmath.mpf(1) / 2))


@pytest.mark.parametrize("seed", range(6))
def test_file_round_trip(seed: int, tmp_path) -> None:
    rng = np.random.default_rng(seed)
    for node in (random_product(rng), random_norm(rng, 4, TYPE)):
        ir = alone(node, TYPE)
        save_ir(ir, tmp_path)
        assert load_ir(tmp_path) == ir


def test_the_bound_is_checked() -> None:
    node = random_product(np.random.default_rng(0), arity=[4])
    wide = FixedPoint(16, 8, signed=True)
    with pytest.raises(IRError, match=r"layer p: the absolute values of its products' or sums' terms add up to \d+"):
        alone(node, wide)
    alone(node, FixedPoint(10, 8, signed=True))
    norm = random_norm(np.random.default_rng(0), 4, FixedPoint(26, 8, signed=True))
    with pytest.raises(IRError, match="layer n: the absolute values"):
        alone(norm, FixedPoint(26, 8, signed=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arity": np.array([1, 0])}, "has 1 … 16 factors, not 0"),
        ({"arity": np.array([1, 17])}, "has 1 … 16 factors"),
        ({"mult": np.array([1])}, "one arity, multiplier and bias per output"),
        ({"shift": 63}, "the shift must be 0 … 62, not 63"),
        ({"inputs": ("x", "y")}, "needs exactly one input"),
    ],
)
def test_impossible_products_are_refused(change: dict, message: str) -> None:
    node = random_product(np.random.default_rng(1), arity=[1, 2])
    with pytest.raises(IRError, match=message):
        replace(node, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": np.array([1])}, "a gamma and a beta for each of at least 2 inputs"),
        ({"table": np.ones(7, dtype=np.int64)}, "a table of 7 entries is not one of an even number of 4 … 12 bits"),
        ({"epsilon": 0}, "epsilon and table must be positive"),
        ({"fraction": 23, "table_fraction": 22}, "1 <= fraction <= table_fraction <= 24"),
        ({"shift": -1}, "a norm's shift must be 0 … 62"),
        ({"passed": AffineCoder(np.ones(3, int), np.ones(3, int), 0, 4, 0.0, 1.0)}, "a coder for 1 or 4 inputs"),
        ({"passed": AffineCoder(np.ones(1, int), np.ones(1, int), 0, 4096, 0.0, 1.0)}, "4096 codes pass, more than"),
    ],
)
def test_impossible_norms_are_refused(change: dict, message: str) -> None:
    node = random_norm(np.random.default_rng(3), 4, TYPE)
    with pytest.raises(IRError, match=message):
        replace(node, **change)
