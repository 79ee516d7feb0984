"""Small, mirrored ROMs are found where the codes are aligned with the grid, and give every value of the large ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hwgen.plugin._aligned import find_aligned
from hwgen.plugin._basis import basis_unit
from pymodel.ir import BasisRom, Implementation
from pymodel.layers import BSplineFunctions
from pymodel.quant._units import make_unit
from pymodel.reference.bspline_rom import bspline_rom_aligned


def rom(order: int, low: float, step: float, n_codes: int, grid: int = 4, bits: int = 7) -> BasisRom:
    unit = make_unit(BSplineFunctions(-2.0, 2.0, grid, order), low, step, n_codes, bits, Implementation.ROM)
    assert isinstance(unit, BasisRom)
    return unit


#: Codes (low, step, number): on the knots and between, at half phases, beyond both ends, one phase per cell.
ALIGNED = [(-2.0, 0.125, 32, 1, 5), (-1.9375, 0.125, 32, 2, 4), (-4.0, 0.25, 33, 1, 3), (-3.0, 1.0, 7, 0, 1)]
ALIGNED += [(-1.96875, 0.125, 32, 0, 8)]


@pytest.mark.parametrize("order", range(1, 6))
@pytest.mark.parametrize("codes", ALIGNED, ids=str)
def test_an_aligned_rom_gives_the_same_values(order: int, codes: tuple[float, float, int, int, int]) -> None:
    low, step, n_codes, mirror, n_rows = codes
    basis = rom(order, low, step, n_codes)
    small = find_aligned(basis)
    assert small is not None
    assert (small.mirror, small.rows.shape[0]) == (mirror, n_rows)
    code = np.arange(n_codes)
    value, start = np.zeros((n_codes, order + 1), dtype=np.int64), np.zeros(n_codes, dtype=np.int64)
    facts = (small.offset, small.phase_bits, small.mirror, basis.n_basis)
    bspline_rom_aligned(code, small.rows, *facts, value, start)
    dense = np.zeros_like(basis.dense())
    for j in range(order + 1):
        dense[code, start + j] = value[:, j]
    assert np.array_equal(dense, basis.dense())
    assert small.inside == (low >= -2.0 and low + step * (n_codes - 1) < 2.0)
    unit = basis_unit(basis)
    assert unit.members["unit"] == "kan4ml::bspline_rom_aligned_unit"
    assert unit.table.size < basis.values.size


def test_other_roms_stay_as_they_are() -> None:
    spline = rom(3, -2.0, 0.125, 32)
    changed = spline.values.copy()
    changed[9, 1] += 1
    others = {
        "one value differs": dataclasses.replace(spline, values=changed),
        "a free step": rom(3, -2.0, 0.13, 30),
        "three codes per cell": rom(3, -2.0, 0.25, 16, grid=3),
        "one cell only": rom(3, -2.0, 0.25, 16, grid=1),
        "a table per input": dataclasses.replace(
            spline, values=np.tile(spline.values, (2, 1)), start=np.tile(spline.start, 2), n_tables=2
        ),
    }
    for what, basis in others.items():
        assert find_aligned(basis) is None, what
        assert basis_unit(basis).members["unit"] == "kan4ml::bspline_rom_unit"
