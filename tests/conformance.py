"""What every KAN layer must satisfy: a layer's test inherits :class:`LayerConformance` and supplies frozen models.

A subclass defines one fixture, `frozen`, of class scope, parametrised over models::

    class TestMyLayer(LayerConformance):
        @pytest.fixture(scope="class", params=["small", "deep"])
        @classmethod
        def frozen(cls, request):
            return build(request.param)

Further stations join by one more method here: compare :meth:`assert_same` of `expected` and the station's integers.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from pymodel.errors import DataError, IRError
from pymodel.ir import IntArray, KanIR, KanLinear, load_ir, save_ir, to_edge_table, to_edge_tables
from pymodel.layers import FrozenKAN, load_frozen, save_frozen
from pymodel.lower import lower
from pymodel.reference import Reference
from tests.strategies import corner_inputs, random_inputs

__all__ = ["LayerConformance", "assert_same"]

Nodes = dict[str, IntArray]
#: The whole input domain is tried if it has at most this many rows.
MAX_EXHAUSTIVE = 1 << 12
N_RANDOM = 600


def assert_same(expected: Nodes, got: Nodes) -> None:
    """Assert that two stations agree on every integer of every node, and show the first one on which they do not."""
    assert list(got) == list(expected)
    for name, want in expected.items():
        have = got[name]
        assert have.dtype == want.dtype == np.int64
        assert have.shape == want.shape
        wrong = np.argwhere(have != want)
        if wrong.size:
            at = tuple(wrong[0])
            pytest.fail(f"{name}{at}: expected {want[at]}, got {have[at]} ({len(wrong)} of {want.size} differ)")


def all_inputs(ir: KanIR) -> IntArray:
    """Return every possible input if there are few; otherwise corners and seeded random ones."""
    t, n_in = ir.input.out_type, ir.input.size
    if t.width * n_in <= MAX_EXHAUSTIVE.bit_length() - 1:
        axis = np.arange(t.min_int, t.max_int + 1, dtype=np.int64)
        return np.stack(np.meshgrid(*[axis] * n_in, indexing="ij"), axis=-1).reshape(-1, n_in)
    return np.concatenate((corner_inputs(ir), random_inputs(ir, N_RANDOM, np.random.default_rng(0))))


class LayerConformance:
    """torch == numba on integers, in both forms of a layer, through files, and not for wrong or sabotaged input."""

    @pytest.fixture(scope="class")
    @classmethod
    def frozen(cls) -> FrozenKAN:
        raise NotImplementedError("a conformance test supplies its models in a fixture `frozen`")

    @pytest.fixture(scope="class")
    @classmethod
    def ir(cls, frozen: FrozenKAN) -> KanIR:
        return lower(frozen)

    @pytest.fixture(scope="class")
    @classmethod
    def X(cls, ir: KanIR) -> IntArray:  # noqa: N802 - the contract's name of the input integers
        return all_inputs(ir)

    @pytest.fixture(scope="class")
    @classmethod
    def expected(cls, ir: KanIR, X: IntArray) -> Nodes:
        return Reference(ir).run(X)

    # --- stations -----------------------------------------------------------------------------------------------------

    def test_torch_equals_reference(self, frozen: FrozenKAN, X: IntArray, expected: Nodes) -> None:
        assert_same(expected, frozen.run(X))

    def test_real_numbers_in_and_out_are_the_integers(
        self, frozen: FrozenKAN, ir: KanIR, X: IntArray, expected: Nodes
    ) -> None:
        y = frozen(torch.from_numpy(ir.input.out_type.to_real(X)))
        assert y.dtype is torch.float64
        assert np.array_equal(y.numpy(), ir.node(ir.output).out_type.to_real(expected[ir.output]))

    def test_edge_table_form_is_the_same_function(
        self, frozen: FrozenKAN, ir: KanIR, X: IntArray, expected: Nodes
    ) -> None:
        try:
            tables = to_edge_tables(ir)
        except IRError as error:
            pytest.skip(f"no edge-table form: {error}")
        assert not any(isinstance(node, KanLinear) for node in tables.layers)
        assert_same(expected, FrozenKAN.from_ir(tables).run(X))
        assert_same(expected, Reference(tables).run(X))

    def test_single_rows_equal_the_batch(self, frozen: FrozenKAN, X: IntArray, expected: Nodes) -> None:
        for row in (0, len(X) // 2, len(X) - 1):
            assert_same({name: Y[row : row + 1] for name, Y in expected.items()}, frozen.run(X[row : row + 1]))

    def test_no_rows(self, frozen: FrozenKAN, X: IntArray, expected: Nodes) -> None:
        assert_same({name: Y[:0] for name, Y in expected.items()}, frozen.run(X[:0]))

    # --- files --------------------------------------------------------------------------------------------------------

    def test_safetensors_round_trip(self, frozen: FrozenKAN, ir: KanIR, tmp_path) -> None:
        save_frozen(frozen, tmp_path / "a.safetensors")
        again = load_frozen(tmp_path / "a.safetensors")
        assert lower(again) == ir
        save_frozen(again, tmp_path / "b.safetensors")
        assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()

    def test_ir_round_trip(self, ir: KanIR, X: IntArray, expected: Nodes, tmp_path) -> None:
        save_ir(ir, tmp_path)
        again = load_ir(tmp_path)
        assert again == ir
        assert_same(expected, FrozenKAN.from_ir(again).run(X))

    # --- the checks themselves can fail -------------------------------------------------------------------------------

    def test_a_changed_constant_is_seen(self, frozen: FrozenKAN, ir: KanIR, X: IntArray, expected: Nodes) -> None:
        for index, (name, layer) in enumerate(frozen.named_layers()):
            if np.ptp(expected[name], axis=0).max() == 0:
                continue  # a dead layer may saturate at any bias
            sabotaged = copy.deepcopy(frozen)
            sabotaged.layers[index].bias += 1 << layer.shift
            got = sabotaged.run(X)
            assert (got[name] != expected[name]).any()
            with pytest.raises(pytest.fail.Exception, match=name):
                assert_same(expected, got)

    # --- bad input ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_refuses_non_finite_input(self, frozen: FrozenKAN, ir: KanIR, bad: float) -> None:
        x = torch.zeros(2, ir.input.size)
        x[1, -1] = bad
        with pytest.raises(DataError, match="NaN or infinity"):
            frozen(x)

    def test_refuses_wrong_shapes_and_types(self, frozen: FrozenKAN, ir: KanIR, X: IntArray) -> None:
        with pytest.raises(DataError, match="features were expected"):
            frozen(torch.zeros(2, ir.input.size + 1))
        for bad in (X[0], X[:, :0], X.astype(np.float64)):
            with pytest.raises(DataError, match=r"integers of shape \(rows, "):
                frozen.run(bad)

    def test_refuses_integers_out_of_range(self, frozen: FrozenKAN, ir: KanIR, X: IntArray) -> None:
        for value in (ir.input.out_type.min_int - 1, ir.input.out_type.max_int + 1):
            bad = X[:1].copy()
            bad[0, 0] = value
            with pytest.raises(DataError, match="must lie in"):
                frozen.run(bad)

    def test_real_input_beyond_the_range_saturates(self, frozen: FrozenKAN, ir: KanIR) -> None:
        t = ir.input.out_type
        rows = [[t.min_int] * ir.input.size, [t.max_int] * ir.input.size]
        Y = frozen.run(np.array(rows))[ir.output]
        y = frozen(torch.tensor([[-1e300] * ir.input.size, [1e300] * ir.input.size], dtype=torch.float64))
        assert np.array_equal(y.numpy(), ir.node(ir.output).out_type.to_real(Y))

    def test_layers_convert_one_by_one(self, ir: KanIR, X: IntArray, expected: Nodes) -> None:
        for node in ir.layers:
            in_type = ir.in_type(node)
            if isinstance(node, KanLinear):
                try:
                    table = to_edge_table(node, in_type)
                except IRError:
                    continue
                assert table.n_in == node.n_in
                assert table.n_out == node.n_out
                assert not (table.alive & ~node.alive).any()
