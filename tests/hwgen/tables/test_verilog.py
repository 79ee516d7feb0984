from __future__ import annotations

import pytest

from hwgen.tables._verilog import extend, identifier, literal, vector
from pymodel.errors import IRError


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (0, 1, "1'd0"),
        (1, 1, "1'd1"),
        (19, 5, "5'd19"),
        (255, 8, "8'd255"),
        (-1, 1, "1'h1"),
        (-3, 5, "5'h1d"),
        (-128, 8, "8'h80"),
        (2**52, 53, "53'd4503599627370496"),
        (-(2**62), 64, "64'hc000000000000000"),
    ],
)
def test_literal(value: int, width: int, text: str) -> None:
    assert literal(value, width) == text


@pytest.mark.parametrize("width", range(1, 8))
def test_every_literal_has_the_bits_of_its_value(width: int) -> None:
    for value in range(-(1 << (width - 1)), 1 << width):
        size, digits = literal(value, width).split("'")
        number = int(digits[1:], {"d": 10, "h": 16}[digits[0]])
        assert int(size) == width
        assert number < 1 << width
        assert (number - value) % (1 << width) == 0


@pytest.mark.parametrize(("value", "width"), [(2, 1), (256, 8), (-129, 8), (-2, 1), (0, 0)])
def test_a_literal_that_does_not_fit_is_an_internal_error(value: int, width: int) -> None:
    with pytest.raises(AssertionError):
        literal(value, width)


@pytest.mark.parametrize("name", ["case", "module", "always", "endmodule", "reg", "layers_0", "Z" * 63])
def test_a_keyword_becomes_an_identifier(name: str) -> None:
    assert identifier(name, "y_") == f"y_{name}"


@pytest.mark.parametrize("name", ["", "a b", "a;b", "../x", "a\n", "é", "1a", "_a", 'a"', "a$b"])
def test_a_name_that_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(IRError, match=r"must match .* rename the layer"):
        identifier(name, "y_")


def test_a_prefix_that_may_give_a_keyword_is_an_internal_error() -> None:
    with pytest.raises(AssertionError):
        identifier("always", "s_")


def test_vector() -> None:
    assert vector(4) == "[3:0] "
    assert vector(1) == "[0:0] "


@pytest.mark.parametrize(
    ("width", "to", "signed", "zeros", "text"),
    [
        (4, 4, False, 0, "a"),
        (4, 4, True, 0, "a"),
        (4, 6, False, 0, "{2'd0, a}"),
        (4, 6, True, 0, "{{2{a[3]}}, a}"),
        (1, 3, True, 0, "{{2{a}}, a}"),
        (4, 6, False, 2, "{a, 2'd0}"),
        (4, 7, True, 2, "{{1{a[3]}}, a, 2'd0}"),
    ],
)
def test_extend(width: int, to: int, signed: bool, zeros: int, text: str) -> None:
    assert extend("a", width, to, signed=signed, zeros=zeros) == text


def test_extend_never_truncates() -> None:
    with pytest.raises(AssertionError):
        extend("a", 4, 3, signed=False)
