"""Python values as C++ text."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from hwgen.plugin import _cpp
from hwgen.plugin._layer import ir_name
from pymodel.errors import ConfigError, IRError

RANGES = {
    "signed char": (-128, 127),
    "unsigned char": (0, 255),
    "short": (-(2**15), 2**15 - 1),
    "unsigned short": (0, 2**16 - 1),
    "int": (-(2**31), 2**31 - 1),
    "unsigned int": (0, 2**32 - 1),
    "long long": (-(2**63), 2**63 - 1),
}
INTS = st.integers(-(2**53) + 1, 2**53 - 1)


@settings(derandomize=True)
@given(st.lists(INTS, min_size=1, max_size=5))
def test_native_types_are_the_narrowest(values: list[int]) -> None:
    def fits(name: str) -> bool:
        return all(RANGES[name][0] <= v <= RANGES[name][1] for v in values)

    name = _cpp.native_type(np.array(values))
    assert fits(name)
    assert not any(fits(other) for other in list(RANGES)[: list(RANGES).index(name)])


@settings(derandomize=True)
@given(st.lists(INTS, min_size=1, max_size=5))
def test_ap_types_are_the_narrowest(values: list[int]) -> None:
    sign, width = re.fullmatch(r"ap_(u?)int<(\d+)>", _cpp.ap_int(np.array(values))).groups()  # type: ignore[union-attr]
    w = int(width)
    assert bool(sign) == (min(values) >= 0)

    def fits(bits: int) -> bool:
        low, high = (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return all(low <= v <= high for v in values)

    assert fits(w)
    assert w == 1 or not fits(w - 1)


@settings(derandomize=True)
@given(st.lists(st.lists(INTS, min_size=30, max_size=30), min_size=1, max_size=3))
def test_arrays_hold_their_values(values: list[list[int]]) -> None:
    for array in (np.array(values), np.array(values[0])):
        text = _cpp.array("name", array)
        head, body = text.split(" = ")
        shape = "".join(f"[{n}]" for n in array.shape)
        assert head == f"static const {_cpp.native_type(array)} name{shape}"
        assert body.endswith(";\n")
        literals = re.findall(r"-?\d+(?:LL)?", body)
        assert [int(x.removesuffix("LL")) for x in literals] == array.ravel().tolist()
        # A decimal literal beyond int says so, for every compiler.
        assert all(abs(int(x)) < 2**31 for x in literals if not x.endswith("LL"))
        assert body.count("{") == (1 if array.ndim == 1 else 1 + array.shape[0])


def test_layers_called_like_keywords_get_safe_identifiers() -> None:
    assert _cpp.layer_identifier("int") == "kan_int"
    for bad in ("../../x", 'a"b', "a b", "", "ä", "1x"):
        with pytest.raises(IRError, match="name must match"):
            _cpp.layer_identifier(bad)


@pytest.mark.parametrize("name", ["a b", "int", "main", "../x", "_x", "a__b", 'a"', "ä", "", "nnet"])
def test_project_names_are_identifiers(name: str) -> None:
    with pytest.raises(ConfigError, match="rename the project"):
        _cpp.check_project_name(name)


def test_names_of_hls4ml_become_ir_names() -> None:
    assert ir_name("layers_0") == "layers_0"
    assert ir_name("_0") == "layer_0"  # torch.nn.Sequential
    assert ir_name("_kan") == "kan"
