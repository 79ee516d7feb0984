"""The comparison itself: it must see every difference and name the first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.equivalence import compare


def _values() -> dict[str, np.ndarray]:
    return {
        "x": np.arange(12).reshape(4, 3),
        "layers_0": np.arange(8).reshape(4, 2),
        "layers_1": np.arange(4).reshape(4, 1),
    }


ORDER = ["x", "layers_0", "layers_1"]


def test_equal_stations() -> None:
    border = compare("b", _values(), _values(), ORDER)
    assert border.equal
    assert (border.vectors, border.mismatches, border.first) == (4, 0, None)
    assert border.nodes == {"x": 0, "layers_0": 0, "layers_1": 0}


@given(st.sampled_from(ORDER), st.integers(0, 3), st.integers(0, 2), st.sampled_from([-1, 1, 1 << 40]))
def test_any_single_difference_is_found_and_named(node: str, vector: int, element: int, delta: int) -> None:
    got = _values()
    element %= got[node].shape[1]
    got[node][vector, element] += delta
    border = compare("b", got, _values(), ORDER)
    assert not border.equal
    assert border.mismatches == 1
    assert border.first is not None
    assert (border.first.node, border.first.vector, border.first.element) == (node, vector, element)
    assert border.first.got - border.first.expected == delta


def test_the_first_node_in_program_order_is_named_even_if_a_later_node_fails_on_an_earlier_vector() -> None:
    got = _values()
    got["layers_0"][3, 1] += 1
    got["layers_1"][0, 0] += 1
    first = compare("b", got, _values(), ORDER).first
    assert first is not None
    assert (first.node, first.vector) == ("layers_0", 3)


@pytest.mark.parametrize("node", ORDER)
def test_a_missing_node_is_an_error_not_a_pass(node: str) -> None:
    got = _values()
    del got[node]
    with pytest.raises(ValueError, match=node):
        compare("b", got, _values(), ORDER)
    with pytest.raises(ValueError, match=node):
        compare("b", _values(), got, ORDER)


def test_no_vectors_prove_nothing() -> None:
    empty = {"y": np.zeros((0, 1), dtype=np.int64)}
    assert not compare("b", empty, empty, ["y"]).equal


def test_missing_rows_are_an_error() -> None:
    got = _values()
    got["layers_1"] = got["layers_1"][:3]
    with pytest.raises(ValueError, match="shape"):
        compare("b", got, _values(), ORDER)
