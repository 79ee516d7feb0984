"""Each kernel on its own, exhaustive over small integer domains, against one line of Python."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pymodel.reference.base_table import base_table
from pymodel.reference.bspline_rom import bspline_rom
from pymodel.reference.coder import coder
from pymodel.reference.mac_array import base_mac, spline_mac
from pymodel.reference.rescale import rescale, round_saturate


def empty(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """An output array, filled with what no kernel would write."""
    return np.full(shape, -(1 << 60), dtype=np.int64)


@pytest.mark.parametrize("shift", [0, 1, 3, 62])
@pytest.mark.parametrize("n_codes", [1, 5, 16])
def test_coder(shift: int, n_codes: int) -> None:
    X = np.arange(-32, 32, dtype=np.int64)
    for m, b in itertools.product(range(-5, 6), range(-20, 21)):
        code = empty(64)
        coder(X, np.array([m]), np.array([b]), shift, n_codes, code)
        assert code.tolist() == [min(max((x * m + b) // 2**shift, 0), n_codes - 1) for x in range(-32, 32)]


def test_coder_per_input() -> None:
    rng = np.random.default_rng(0)
    X, mult, offset = (rng.integers(-100, 100, 50) for _ in range(3))
    code = empty(50)
    coder(X, mult, offset, 4, 200, code)
    terms = zip(X.tolist(), mult.tolist(), offset.tolist(), strict=True)
    assert code.tolist() == [min(max((x * m + b) // 16, 0), 199) for x, m, b in terms]


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 9])
def test_bspline_rom_and_spline_mac(window: int) -> None:
    rng = np.random.default_rng(window)
    n_in, n_basis, n_out, n_codes = 6, window + 3, 8, 16
    rom = rng.integers(-8, 9, (n_codes, window))
    starts = rng.integers(0, 4, n_codes)
    weights = rng.integers(-8, 9, (n_in, n_basis, n_out))
    inputs = np.array([0, 2, 3, 5])
    for base in range(n_codes):  # every input meets every code
        code = (np.arange(n_in) * 5 + base) % n_codes
        value, start, acc = empty(n_in, window), empty(n_in), empty(n_out)
        bspline_rom(code, rom, starts, 0, value, start)
        assert (value == rom[code]).all()
        assert (start == starts[code]).all()
        spline_mac(value, start, inputs, weights, acc)
        for o in range(n_out):
            terms = [
                int(rom[code[i], j]) * int(weights[i, starts[code[i]] + j, o]) for i in inputs for j in range(window)
            ]
            assert acc[o] == sum(terms)


def test_base_table_and_base_mac() -> None:
    rng = np.random.default_rng(0)
    table, weights, inputs = rng.integers(-99, 99, 32), rng.integers(-8, 9, (4, 8)), np.array([1, 3])
    for base in range(32):
        code = (np.arange(4) * 3 + base) % 32
        value, acc = empty(4), empty(8)
        base_table(code, table, value)
        assert (value == table[code]).all()
        base_mac(value, inputs, weights, acc)
        for o in range(8):
            assert acc[o] == sum(int(table[code[i]]) * int(weights[i, o]) for i in (1, 3))


@pytest.mark.parametrize("shift", [0, 1, 4, 11])
@pytest.mark.parametrize(("low", "high"), [(0, 15), (-8, 7), (-1000, 999)])
def test_round_saturate(shift: int, low: int, high: int) -> None:
    half = 2**shift // 2
    for total in range(-2048, 2048):
        assert round_saturate(total, half, shift, low, high) == min(max((total + half) // 2**shift, low), high)


def test_ties_go_up() -> None:
    assert [round_saturate(t, 2, 2, -99, 99) for t in (-10, -6, -2, 2, 6)] == [-2, -1, 0, 1, 2]


def test_rescale() -> None:
    rng = np.random.default_rng(0)
    spline, base = rng.integers(-(2**20), 2**20, 8), rng.integers(-(2**20), 2**20, 8)  # padded beyond the 5 outputs
    ms, mb, bias = (rng.integers(-(2**10), 2**10, 5) for _ in range(3))
    y = empty(5)
    rescale(spline, base, ms, mb, bias, 2**14, 15, -512, 511, y)
    for o in range(5):
        total = int(spline[o]) * int(ms[o]) + int(base[o]) * int(mb[o]) + int(bias[o])
        assert y[o] == min(max((total + 2**14) // 2**15, -512), 511)
