"""Product and norm nodes: numba and torch against plain Python integers, and the norm against float LayerNorm."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from pymodel.ir import FixedPoint, Norm, Product, rsqrt_table
from pymodel.layers import FrozenKAN
from pymodel.reference import Reference
from tests.arithmetic import alone, normalised, products, random_norm, random_product, some_rows


@pytest.mark.parametrize("seed", range(30))
def test_both_stations_compute_the_formula(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    kind = FixedPoint(int(rng.integers(1, 9)), 4, bool(rng.integers(2)))
    node: Product | Norm
    node = random_product(rng) if seed % 2 else random_norm(rng, int(rng.integers(2, 40)), kind)
    ir = alone(node, kind)
    X = some_rows(rng, node.n_in, kind, 40)
    got = Reference(ir).run(X)[node.name]
    formula = products if isinstance(node, Product) else normalised
    expected = np.array([formula(node, row)[0] for row in X.tolist()])  # type: ignore[arg-type]
    assert np.array_equal(got, expected)
    assert np.array_equal(FrozenKAN.from_ir(ir).run(X)["layers_0"], expected)


@pytest.mark.parametrize("signed", [False, True])
def test_every_input_of_a_small_domain(signed: bool) -> None:
    rng = np.random.default_rng(5)
    kind = FixedPoint(4, 4, signed)
    X = np.array(list(itertools.product(range(kind.min_int, kind.max_int + 1), repeat=3)))
    for node, formula in ((random_product(rng, arity=[2, 1]), products), (random_norm(rng, 3, kind), normalised)):
        ir = alone(node, kind)
        expected = np.array([formula(node, row)[0] for row in X.tolist()])  # type: ignore[operator]
        assert np.array_equal(Reference(ir).run(X)[node.name], expected)
        assert np.array_equal(FrozenKAN.from_ir(ir).run(X)["layers_0"], expected)


@pytest.mark.parametrize(("bits", "error"), [(8, 2.0**-8), (10, 2.0**-10), (12, 2.0**-12)])
def test_the_norm_is_close_to_layer_norm(bits: int, error: float) -> None:
    """Relative error of the reciprocal root: at most half a step of u, 2^-(B-1) of u >= 2^(B-2), halved by the root."""
    n, kind, fraction = 24, FixedPoint(8, 4, signed=True), 16
    one = np.full(n, 1)
    node = Norm(
        name="n",
        inputs=("x",),
        out_type=FixedPoint(24, 8, signed=True),
        value_lsb=2.0**-16,
        value_offset=0.0,
        gamma=one,
        beta=0 * one,
        shift=0,
        epsilon=1,
        table=rsqrt_table(bits, 18),
        table_bits=bits,
        table_fraction=18,
        fraction=fraction,
        passed=None,
    )
    X = some_rows(np.random.default_rng(0), n, kind, 500)
    got = Reference(alone(node, kind)).run(X)["n"] * 2.0**-16
    wanted = torch.nn.functional.layer_norm(torch.from_numpy(X).double(), (n,), eps=1.0 / n**2).numpy()
    assert (np.abs(got - wanted) <= error * np.abs(wanted) + 2.0**-15).all()


def test_a_changed_constant_is_seen() -> None:
    rng = np.random.default_rng(1)
    kind = FixedPoint(8, 4, signed=True)
    node = random_norm(rng, 5, kind)
    X = some_rows(rng, 5, kind, 400)
    ir = alone(node, kind)
    frozen = FrozenKAN.from_ir(ir)
    layer = frozen.layers[0]
    layer.table += 40
    assert (frozen.run(X)["layers_0"] != Reference(ir).run(X)["n"]).any()
