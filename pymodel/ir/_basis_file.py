"""Basis units as JSON objects and arrays, whatever the file that holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from pymodel.ir._arith import BSplineArith, GramArith, RbfArith
from pymodel.ir._basis import Basis, BasisKind, BasisRom, Implementation
from pymodel.ir.strict import NUMBER, MalformedError, check_fields, enum_from

__all__ = ["basis_class", "basis_from", "basis_to_json", "fact_types", "make_basis"]

_Array = npt.NDArray[Any]
_ARITH: dict[BasisKind, type[BSplineArith] | type[RbfArith] | type[GramArith]] = {
    BasisKind.BSPLINE: BSplineArith,
    BasisKind.RBF: RbfArith,
    BasisKind.GRAM: GramArith,
}


def basis_to_json(basis: Basis) -> tuple[dict[str, Any], dict[str, _Array]]:
    """Return the scalars of `basis` and its arrays (int64, and `knots` in float64) by name."""
    head = {"kind": basis.kind.name, "implementation": basis.implementation.name}
    return head | basis.facts(), basis.arrays() | {"knots": basis.knots}


def basis_from(value: object, where: str, array: Callable[[str, str], _Array], *, schema: int) -> Basis:
    """Return the basis unit that :func:`basis_to_json` described, the names of its arrays in their places.

    Args:
        value: the JSON object.
        where: what messages call it.
        array: returns the array of a name and a numpy kind (`i` or `f`), or raises.
        schema: 1 for files in which every basis is a ROM with one table.

    Raises:
        MalformedError: if a field or an array is missing, unknown or of the wrong type.
        IRError: if the unit breaks the contract.
    """
    if schema == 1 and isinstance(value, dict):
        if "implementation" in value or "n_tables" in value:
            raise MalformedError(f"{where} has fields that schema 1 does not know; build the model again")
        value = value | {"implementation": Implementation.ROM.name, "n_tables": 1, "scale": 1.0}
    head = value if isinstance(value, dict) else {}
    cls = basis_class(head.get("kind"), head.get("implementation"), where)
    arrays = (*cls.ARRAYS, "knots")
    f = check_fields(value, where, kind=str, implementation=str, **fact_types(cls), **dict.fromkeys(arrays, str))
    parts: dict[str, Any] = {name: expected(f[name]) for name, expected in cls.FACTS.items()}
    parts |= {name: array(f[name], "f" if name == "knots" else "i") for name in arrays}
    return make_basis(BasisKind[f["kind"]], Implementation[f["implementation"]], parts)


def basis_class(kind: object, implementation: object, where: str) -> type[Basis]:
    """Return the class of the unit with the names `kind` and `implementation`; MalformedError if there is none."""
    member = enum_from(BasisKind, str(kind), f"{where}.kind")
    rom = enum_from(Implementation, str(implementation), f"{where}.implementation") is Implementation.ROM
    return BasisRom if rom else _ARITH[member]


def fact_types(cls: type[Basis]) -> dict[str, type | tuple[type, ...]]:
    """Return the JSON types of the scalars of a unit of class `cls`, for :func:`check_fields`."""
    return {name: NUMBER if expected is float else expected for name, expected in cls.FACTS.items()}


def make_basis(kind: BasisKind, implementation: Implementation, parts: Mapping[str, Any]) -> Basis:
    """Return the unit of a kind and implementation with `parts`: its facts, its arrays and `knots`.

    Raises:
        IRError: if the unit breaks the contract.
    """
    return BasisRom(kind=kind, **parts) if implementation is Implementation.ROM else _ARITH[kind](**parts)
