"""Any basis unit by number: what `CONFIG::basis::unit` chooses in `hls/kan4ml/kan_dense.h`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pymodel.ir import Basis, BasisKind, BasisRom, BSplineArith, GramArith, IntArray, RbfArith
from pymodel.reference._kernel import kernel
from pymodel.reference.bspline_arith import bspline_arith
from pymodel.reference.bspline_rom import bspline_rom
from pymodel.reference.gram_arith import gram_arith
from pymodel.reference.gram_rom import gram_rom
from pymodel.reference.rbf_arith import rbf_arith
from pymodel.reference.rbf_rom import rbf_rom

__all__ = ["BasisTables", "basis_unit"]

_BSPLINE_ROM, _RBF_ROM, _GRAM_ROM, _BSPLINE_ARITH, _RBF_ARITH, _GRAM_ARITH = range(6)
_ROMS = {BasisKind.BSPLINE: _BSPLINE_ROM, BasisKind.RBF: _RBF_ROM, BasisKind.GRAM: _GRAM_ROM}


@dataclass(frozen=True)
class BasisTables:
    """The constants of a basis unit, laid out for :func:`basis_unit`; the two tables are those of the header.

    Attributes:
        unit: which unit.
        table: 2-D table of the unit.
        index: 1-D table of the unit.
        facts: its scalars, in the order in which :func:`basis_unit` reads them.
        window, n_basis: K and the basis functions per input.
    """

    unit: int
    table: IntArray
    index: IntArray
    facts: IntArray
    window: int
    n_basis: int

    @classmethod
    def pack(cls, basis: Basis) -> BasisTables:
        """Return the tables of `basis`."""
        match basis:
            case BSplineArith():
                facts = [basis.position_shift, basis.fraction, basis.guard]
                parts = (_BSPLINE_ARITH, basis.coefficients, basis.position.reshape(-1), facts)
            case RbfArith():
                facts = [basis.position_shift, basis.fraction, basis.remainder, basis.guard, basis.reach]
                parts = (_RBF_ARITH, basis.samples[:, None], basis.position.reshape(-1), facts)
            case GramArith():
                facts = [basis.n_codes, basis.fraction, basis.factor_shift, basis.silu_offset, basis.silu_shift]
                functions = np.concatenate((basis.tanh, basis.silu))[:, None]
                parts = (_GRAM_ARITH, functions, basis.factors, facts)
            case BasisRom():
                facts = [basis.n_codes if basis.n_tables > 1 else 0]
                parts = (_ROMS[basis.kind], basis.values, basis.start, facts)
            case _:  # pragma: no cover - a new unit must be added above
                raise AssertionError(basis)
        unit, table, index, scalars = parts
        return cls(unit, _copy(table), _copy(index), _copy(np.array(scalars)), basis.window, basis.n_basis)


def _copy(array: IntArray) -> IntArray:
    """Return a contiguous, writable copy: one type for every unit, so one compilation."""
    return np.array(array, dtype=np.int64, order="C", copy=True)


@kernel()
def basis_unit(
    unit: int,
    code: IntArray,
    table: IntArray,
    index: IntArray,
    facts: IntArray,
    n_basis: int,
    value: IntArray,
    start: IntArray,
) -> None:
    """Evaluate the unit number `unit`; arguments as in the kernel that is called."""
    if unit == _BSPLINE_ROM:
        bspline_rom(code, table, index, facts[0], value, start)
    elif unit == _RBF_ROM:
        rbf_rom(code, table, index, facts[0], value, start)
    elif unit == _BSPLINE_ARITH:
        bspline_arith(code, table, index, facts[0], facts[1], facts[2], n_basis, value, start)
    elif unit == _RBF_ARITH:
        rbf_arith(code, table, index, facts[0], facts[1], facts[2], facts[3], facts[4], n_basis, value, start)
    else:
        start[:] = 0
        if unit == _GRAM_ROM:
            gram_rom(code, table, facts[0], value)
        else:
            gram_arith(code, table, index, facts[0], facts[1], facts[2], facts[3], facts[4], value)
