"""Tables and config members of basis units (`hls/kan4ml/{bspline,rbf,gram}_{rom,arith}.h`).

The layout is fixed by `hls/README.md`, section "Basis units". Every number stands in the IR; every width follows from the
unit's intervals over all codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwgen.plugin._aligned import find_aligned
from hwgen.plugin._cpp import ap_int
from pymodel.ir import (
    Basis,
    BasisKind,
    BasisRom,
    BSplineArith,
    GramArith,
    IntArray,
    RbfArith,
    signed_width,
    unsigned_width,
)

__all__ = ["BasisUnit", "basis_unit"]

_Members = dict[str, str | int | bool]
_ROM_UNITS = {BasisKind.BSPLINE: "bspline_rom", BasisKind.RBF: "rbf_rom", BasisKind.GRAM: "gram_rom"}
_NO_INDEX = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True)
class BasisUnit:
    """What the generator writes about a basis unit.

    Attributes:
        table: (n_rows, n_columns), the kernel's argument `basis_values`.
        index: (n_index,), the kernel's argument `basis_start`.
        members: of the config struct, but for what all units share.
        table_type: member of the config that every entry of the table fits in.
        index_type: likewise of the index; None if it is not read.
        starts: whether the index holds starts of windows.
    """

    table: IntArray
    index: IntArray
    members: _Members
    table_type: str
    index_type: str | None
    starts: bool = False


def _signed(interval: tuple[int, int]) -> str:
    return f"ap_int<{signed_width(*interval)}>"


def _narrowest(interval: tuple[int, int]) -> str:
    return _signed(interval) if interval[0] < 0 else f"ap_uint<{unsigned_width(interval[1])}>"


def _bspline_arith(basis: BSplineArith) -> BasisUnit:
    members: _Members = {
        "unit": "kan4ml::bspline_arith_unit",
        "position_shift": basis.position_shift,
        "fraction": basis.fraction,
        "guard": basis.guard,
        "inside": basis.inside,
        "coefficient_t": f"ap_int<{signed_width(int(basis.coefficients.min()), int(basis.coefficients.max()))}>",
        "constant_t": ap_int(basis.position),
        "position_t": _signed(basis.ranges["position"]),
        "product_t": _signed(basis.ranges["product"]),
        "sum_t": _signed(basis.ranges["sum"]),
        "value_t": _narrowest(basis.ranges["value"]),
    }
    return BasisUnit(basis.coefficients, basis.position.reshape(-1), members, "coefficient_t", "constant_t")


def _rbf_arith(basis: RbfArith) -> BasisUnit:
    members: _Members = {
        "unit": "kan4ml::rbf_arith_unit",
        "position_shift": basis.position_shift,
        "fraction": basis.fraction,
        "remainder": basis.remainder,
        "guard": basis.guard,
        "reach": basis.reach,
        "sample_t": ap_int(basis.samples),
        "constant_t": ap_int(basis.position),
        "position_t": _signed(basis.ranges["position"]),
        "product_t": _signed(basis.ranges["product"]),
        "value_t": _narrowest(basis.ranges["value"]),
    }
    return BasisUnit(basis.samples[:, None], basis.position.reshape(-1), members, "sample_t", "constant_t")


def _gram_arith(basis: GramArith) -> BasisUnit:
    functions = np.concatenate((basis.tanh, basis.silu))
    members: _Members = {
        "unit": "kan4ml::gram_arith_unit",
        "n_silu": int(basis.silu.size),
        "fraction": basis.fraction,
        "factor_shift": basis.factor_shift,
        "silu_offset": basis.silu_offset,
        "silu_shift": basis.silu_shift,
        "function_t": ap_int(functions),
        "factor_t": ap_int(basis.factors),
        "product_t": _signed(basis.ranges["product"]),
        "sum_t": _signed(basis.ranges["sum"]),
        "value_t": _narrowest(basis.ranges["value"]),
    }
    return BasisUnit(functions[:, None], basis.factors, members, "function_t", "factor_t")


def _rom(basis: BasisRom) -> BasisUnit:
    value_t = ap_int(basis.values)
    aligned = find_aligned(basis)
    if aligned is not None:
        members: _Members = {
            "unit": "kan4ml::bspline_rom_aligned_unit",
            "phase_bits": aligned.phase_bits,
            "mirror": aligned.mirror,
            "inside": aligned.inside,
            "cell_t": _signed((min(0, aligned.place_range[0]), aligned.place_range[1])),
            "value_t": value_t,
        }
        return BasisUnit(aligned.rows, np.array([aligned.offset], dtype=np.int64), members, "value_t", "cell_t")
    unit = _ROM_UNITS[basis.kind]
    members = {"unit": f"kan4ml::{unit}_unit", "value_t": value_t}
    if basis.kind is BasisKind.GRAM:
        return BasisUnit(basis.values, _NO_INDEX, members, "value_t", None)
    return BasisUnit(basis.values, basis.start, members, "value_t", "start_t", starts=True)


def basis_unit(basis: Basis) -> BasisUnit:
    """Return the tables of `basis`, and the members of its config struct.

    A B-spline ROM whose codes are aligned with the grid becomes the small, mirrored one that gives the same values.
    """
    match basis:
        case BSplineArith():
            unit = _bspline_arith(basis)
        case RbfArith():
            unit = _rbf_arith(basis)
        case GramArith():
            unit = _gram_arith(basis)
        case BasisRom():
            unit = _rom(basis)
        case _:  # pragma: no cover - a new unit must be added above
            raise AssertionError(basis)
    shared: _Members = {
        "n_codes": basis.n_codes,
        "n_tables": basis.n_tables,
        "n_rows": int(unit.table.shape[0]),
        "n_columns": int(unit.table.shape[1]),
        "n_index": int(unit.index.size),
        "window": basis.window,
        "n_basis": basis.n_basis,
        "start_t": f"ap_uint<{unsigned_width(basis.n_basis - basis.window)}>",
    }
    members = {"unit": unit.members["unit"], **shared, **unit.members}
    return BasisUnit(unit.table, unit.index, members, unit.table_type, unit.index_type, unit.starts)
