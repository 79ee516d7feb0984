"""Rounding and dyadic approximation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pymodel.quant import dyadic, round_exact, round_half_up


def test_ties_go_up() -> None:
    ties = torch.arange(-5, 5) + 0.5
    assert torch.equal(round_half_up(ties), torch.arange(-4, 6).float())
    assert [round_exact(Fraction(n, 2)) for n in (-3, -1, 1, 3)] == [-1, 0, 1, 2]


@given(st.integers(-(2**40), 2**40), st.integers(0, 40))
def test_exact_rounding_is_the_contract_s_shift(value: int, shift: int) -> None:
    half = 1 << (shift - 1) if shift else 0
    assert round_exact(Fraction(value, 1 << shift)) == (value + half) >> shift


factors = st.floats(1e-9, 1e9).map(lambda v: v * (1 if hash(v) % 2 else -1)) | st.just(0.0)


@given(st.lists(factors, min_size=1, max_size=4), st.integers(1, 16))
def test_dyadic_is_correctly_rounded_and_as_fine_as_the_bits_allow(values: list[float], bits: int) -> None:
    multipliers, shift = dyadic(values, bits)
    assert 0 <= shift <= 62
    for value, m in zip(values, multipliers, strict=True):
        assert abs(m - Fraction(value) * 2**shift) <= Fraction(1, 2)
        assert abs(m) < 1 << bits or (shift == 0 and abs(value) >= (1 << bits) - 0.5)
    if any(values) and shift < 62:
        finer = max(abs(round_exact(Fraction(abs(v)) * 2 ** (shift + 1))) for v in values)
        assert finer >= 1 << bits


def test_powers_of_two_are_exact() -> None:
    for exponent in range(-40, 8):
        (m,), shift = dyadic([2.0**exponent])
        assert m == 2.0**exponent * 2**shift


def test_nothing_but_zeros() -> None:
    assert dyadic([0.0, 0.0]) == ([0, 0], 0)


def test_close_to_the_limit() -> None:
    for value in (np.nextafter(255.5, 0), 255.5, np.nextafter(255.5, 300)):
        (m,), shift = dyadic([float(value)])
        assert (m, shift) == ((255, 0) if value < 255.5 else (256, 0))
