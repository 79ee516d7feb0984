"""Basis units in the IR: what they refuse, what they derive, both schemas of files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pymodel.errors import IRError
from pymodel.ir import Basis, BasisKind, BasisRom, BSplineArith, GramArith, KanIR, KanLinear, RbfArith, load_ir, save_ir
from pymodel.layers import FrozenKAN, load_frozen, save_frozen
from pymodel.reference import Reference
from tests.strategies import BASES, random_inputs, random_ir

ROM = BasisRom(BasisKind.RBF, np.ones((4, 2), int), np.array([0, 0, 1, 2]), 4, 0.5, 0, np.arange(4.0), 2, 0.7)
SPLINE = BSplineArith(
    n_codes=5,
    n_basis=4,
    lsb=0.5,
    order=1,
    knots=np.arange(6.0),
    position=np.array([[8, -4]]),
    position_shift=1,
    fraction=2,
    coefficients=np.array([[8, 0], [-8, 8]]),
    guard=1,
)
RBF = RbfArith(
    n_codes=5,
    n_basis=4,
    lsb=0.5,
    knots=np.arange(4.0),
    scale=1.0,
    width=2,
    reach=0,
    position=np.array([[4, -4]]),
    position_shift=0,
    fraction=2,
    remainder=1,
    samples=np.array([7, 3, 0]),
    guard=0,
)
GRAM = GramArith(
    n_codes=3,
    lsb=0.5,
    knots=np.zeros(3),
    tanh=np.array([-4, 0, 4]),
    fraction=2,
    factors=np.array([0, 0, 3]),
    factor_shift=1,
    silu=np.array([-1, 0, 1, 2]),
    silu_offset=8,
    silu_shift=2,
)


def test_values_of_a_linear_spline_by_hand() -> None:
    """Codes 0 … 4 at positions -2, 2, 6, 10, 14 quarters: half a cell before, in, in, in and beyond the grid."""
    assert SPLINE.values.tolist() == [[2, 0], [2, 2], [2, 2], [2, 2], [0, 2]]
    assert SPLINE.start.tolist() == [0, 0, 1, 2, 2]
    assert SPLINE.inside is False
    assert SPLINE.ranges["position"] == (-4, 32)


def test_values_of_gaussians_by_hand() -> None:
    """Codes at centres -1 … 3: distance 4 quarters is the last sample, and beyond it is 0."""
    assert RBF.values.tolist() == [[0, 0], [7, 0], [7, 0], [7, 0], [0, 7]]
    assert RBF.start.tolist() == [0, 0, 1, 2, 2]


def test_values_of_polynomials_by_hand() -> None:
    """P = (4, t, (t*t + 2 >> 2) - (3*4 + 1 >> 1)): t = -4 gives (4, -4, -2)."""
    assert GRAM.values.tolist() == [[2, 0, 0], [2, 1, -1], [2, 2, 0]]
    assert GRAM.polynomials == (-6, 4)
    assert GRAM.n_basis == GRAM.window == 3


WRONG: dict[str, tuple[Basis, dict[str, Any], str]] = {
    "tables": (ROM, {"n_tables": 3}, "is not 3 tables one after the other"),
    "no table": (ROM, {"n_tables": 0}, "is not 0 tables"),
    "scale": (ROM, {"scale": -1.0}, "lsb positive"),
    "infinite knots": (ROM, {"knots": np.array([np.inf])}, "knots must be finite"),
    "window of polynomials": (ROM, {"kind": BasisKind.GRAM}, "needs them all in its window"),
    "codes": (SPLINE, {"n_codes": 4097}, "number of codes of a basis unit must be 1 … 4096"),
    "order": (SPLINE, {"order": 2}, "needs 3 x 3 coefficients"),
    "order 8": (SPLINE, {"order": 8}, r"order of a basis unit must be 1 … 7"),
    "small basis": (SPLINE, {"n_basis": 1}, "as many basis functions"),
    "fraction": (SPLINE, {"fraction": 0}, "fraction of a basis unit must be 1 … 30"),
    "position": (SPLINE, {"position": np.array([[1, 2, 3]])}, "a multiplier and an offset"),
    "position 2^53": (SPLINE, {"position": np.array([[1 << 52, 0]])}, r"position of a basis unit reaches .* 2\^53"),
    "product 2^53": (
        SPLINE,
        {"coefficients": np.array([[0, 0], [1 << 52, 0]])},
        r"a product of a basis unit reaches .* 2\^53",
    ),
    "guard": (SPLINE, {"guard": 53}, "guard of a basis unit must be 0 … 52"),
    "lsb": (SPLINE, {"lsb": 0.0}, "lsb must be positive"),
    "float coefficients": (SPLINE, {"coefficients": np.ones((2, 2))}, "non-empty integer array"),
    "window": (RBF, {"width": 5}, "window of a basis unit must be 1 … 4"),
    "remainder": (RBF, {"remainder": 3}, "remainder of a basis unit must be 0 … 2"),
    "one sample": (RBF, {"samples": np.array([1])}, "at least two samples"),
    "negative sample": (RBF, {"samples": np.array([1, -1])}, "none below 0"),
    "distance 2^53": (RBF, {"position": np.array([[0, (1 << 53) - 1]])}, r"2\^53"),
    "interpolation 2^53": (RBF, {"samples": np.array([1 << 52, 0])}, r"a product of a basis unit reaches"),
    "tanh": (GRAM, {"tanh": np.array([1, 2])}, "needs as many tanh entries"),
    "degree": (GRAM, {"factors": np.array([0])}, "a degree of 1 at least"),
    "polynomial 2^53": (GRAM, {"factors": np.array([0, 0, 1 << 52])}, r"2\^53"),
    "negative offset": (GRAM, {"silu_offset": -1}, r"offset of a basis unit must be 0"),
    "silu shift": (GRAM, {"silu_shift": 53}, "shift of a basis unit must be 0 … 52"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_units_are_refused(what: str) -> None:
    unit, change, message = WRONG[what]
    with pytest.raises(IRError, match=message) as caught:
        dataclasses.replace(unit, **change)  # type: ignore[type-var]
    assert "\n" not in str(caught.value)


def first(ir: KanIR) -> KanLinear:
    node = ir.layers[0]
    assert isinstance(node, KanLinear)
    return node


@pytest.mark.parametrize("name", BASES)
def test_units_survive_both_kinds_of_files(name: str, tmp_path: Path) -> None:
    ir = random_ir(5, widths=(3, 2), edge_tables=0.0, bases=(name,))
    save_ir(ir, tmp_path)
    assert load_ir(tmp_path) == ir
    save_frozen(FrozenKAN.from_ir(ir), tmp_path / "m.safetensors")
    again = load_frozen(tmp_path / "m.safetensors")
    node = again.layers[0].ir_node("layers_0", "x")
    assert node.spline.basis == first(ir).spline.basis


def test_tables_for_another_number_of_inputs_are_refused() -> None:
    node = first(random_ir(5, widths=(3, 2), edge_tables=0.0, bases=("rbf_rom_per_input",)))
    with pytest.raises(IRError, match="a basis for 1 or 2 inputs was expected, not 3"):
        dataclasses.replace(node.spline, weights=node.spline.weights[:, :2])


def _to_schema_1(folder: Path) -> None:
    path = folder / "ir.json"
    document = json.loads(path.read_text())
    document["schema"] = 1
    for node in document["nodes"]:
        if "spline" in node:
            for key in ("implementation", "n_tables", "scale"):
                del node["spline"]["basis"][key]
    path.write_text(json.dumps(document))


def test_schema_1_is_read(tmp_path: Path) -> None:
    ir = random_ir(6, widths=(3, 2, 2), edge_tables=0.0)
    save_ir(ir, tmp_path)
    _to_schema_1(tmp_path)
    again = load_ir(tmp_path)
    assert again == ir
    X = random_inputs(ir, 50, np.random.default_rng(0))
    for name, Y in Reference(ir).run(X).items():
        assert np.array_equal(Reference(again).run(X)[name], Y)


EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no implementation": (lambda b: b.pop("implementation"), "does not know"),
    "unknown implementation": (lambda b: b.update(implementation="DSP"), "'DSP', which this version"),
    "facts of another unit": (lambda b: b.update(implementation="ARITH"), "lacks"),
    "a flag for a number": (lambda b: b.update(n_tables=True), "wrong type bool"),
    "zero tables": (lambda b: b.update(n_tables=0), "0 tables"),
}


@pytest.mark.parametrize("what", EDITS)
def test_edited_units_are_refused(what: str, tmp_path: Path) -> None:
    change, message = EDITS[what]
    save_ir(random_ir(6, widths=(3, 2), edge_tables=0.0), tmp_path)
    path = tmp_path / "ir.json"
    document = json.loads(path.read_text())
    change(document["nodes"][1]["spline"]["basis"])
    path.write_text(json.dumps(document))
    with pytest.raises(IRError, match=message):
        load_ir(tmp_path)
