"""Nodes and programs that break a rule cannot be constructed; what may be constructed means what it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pymodel.errors import DataError, IRError
from pymodel.ir import (
    AffineCoder,
    BaseBranch,
    BasisKind,
    BasisRom,
    EdgeTable,
    FixedPoint,
    HostSpec,
    KanIR,
    KanLinear,
    Overflow,
    Quantize,
    Rescale,
    Rounding,
    SplineBranch,
    Task,
    check_name,
)

TYPE = FixedPoint(8, 8, True)
CODER = AffineCoder(np.array([1]), np.array([0]), 0, 4, 0.0, 1.0)
ROM = BasisRom(BasisKind.BSPLINE, np.ones((4, 2), int), np.array([0, 0, 1, 2]), 4, 0.5, 1, np.arange(6.0))
SPLINE = SplineBranch(CODER, ROM, np.ones((3, 2, 4), int))
BASE = BaseBranch(CODER, "silu", np.arange(4), 0.5, np.ones((3, 2), int))
RESCALE = Rescale(np.ones(3, int), np.ones(3, int), np.zeros(3, int), 2)
INPUT = Quantize("x", (), TYPE, 1.0, 0.0, 2)
KAN = KanLinear("k", ("x",), TYPE, 1.0, 0.0, spline=SPLINE, base=BASE, rescale=RESCALE)
TABLE = EdgeTable(
    "t", ("x",), TYPE, 1.0, 0.0, coder=CODER, tables=np.ones((2, 4, 3), int), bias=np.zeros(3, int), shift=2
)
HOST = HostSpec(Task.CLASSIFICATION, ("a", "b"), (0.0, 1.0), (1.0, 2.0), ("p", "q", "r"))
IR = KanIR("m", (INPUT, KAN), "k", HOST)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a-b", "../../x", 'a"', "a\n", "é", "_a", "a" * 64, None, 3, b"a"])
def test_names(name: object) -> None:
    with pytest.raises(IRError, match=r"a layer name must match \[A-Za-z\]\[A-Za-z0-9_\]\* .* rename it"):
        check_name(name)


def test_good_names() -> None:
    for name in ("a", "layers_0", "A" * 63):
        assert check_name(name) == name


def changed(thing: Any, **fields: Any) -> Any:
    return dataclasses.replace(thing, **fields)


BAD: list[tuple[str, Any, dict[str, Any], str]] = [
    ("float mult", CODER, {"mult": np.array([1.0])}, "a coder's mult must be a non-empty integer array of rank 1"),
    ("bool mult", CODER, {"mult": np.array([True])}, "must be a non-empty integer array"),
    ("empty mult", CODER, {"mult": np.array([], int), "offset": np.array([], int)}, "non-empty"),
    ("mult of rank 2", CODER, {"mult": np.ones((1, 1), int)}, "rank 1"),
    ("huge offset", CODER, {"offset": np.array([1 << 53])}, r"below 2\^53"),
    ("offsets", CODER, {"offset": np.array([0, 0])}, "as many offsets as multipliers"),
    ("shift", CODER, {"shift": -1}, "0 … 62, not -1"),
    ("shift 63", CODER, {"shift": 63}, "0 … 62, not 63"),
    ("no codes", CODER, {"n_codes": 0}, "1 … 4096 codes, not 0"),
    ("many codes", CODER, {"n_codes": 4097}, "1 … 4096 codes, not 4097"),
    ("step 0", CODER, {"step": 0.0}, "step must be positive"),
    ("step nan", CODER, {"step": float("nan")}, "step must be positive"),
    ("low inf", CODER, {"low": float("inf")}, "finite"),
    ("starts", ROM, {"start": np.array([0])}, "one start per code, not 1 for 4"),
    ("start beyond", ROM, {"start": np.array([0, 0, 0, 3])}, "does not lie within 4 basis functions"),
    ("negative start", ROM, {"start": np.array([0, 0, 0, -1])}, "does not lie within"),
    ("small basis", ROM, {"n_basis": 1}, "does not lie within"),
    ("knots", ROM, {"knots": np.array([np.nan])}, "knots must be finite"),
    ("basis lsb", ROM, {"lsb": 0.0}, "lsb positive"),
    ("weights", SPLINE, {"weights": np.ones((3, 2, 5), int)}, "for 4 basis functions were expected"),
    ("coder of the basis", SPLINE, {"coder": changed(CODER, n_codes=5)}, "4 rows but its coder 5 codes"),
    ("base table", BASE, {"table": np.arange(3)}, "3 entries but its coder 4 codes"),
    ("activation", BASE, {"activation": "si lu"}, "a base activation name must match"),
    ("bias shape", RESCALE, {"bias": np.zeros(2, int)}, "one spline_mult, base_mult and bias per output"),
    ("rescale shift", RESCALE, {"shift": 63}, "0 … 62, not 63"),
    ("truncation", KAN, {"out_type": changed(TYPE, rounding=Rounding.TRN)}, "must be RND, SAT"),
    ("wrapping", TABLE, {"out_type": changed(TYPE, overflow=Overflow.WRAP)}, "must be RND, SAT"),
    ("wrapping input", INPUT, {"out_type": changed(TYPE, overflow=Overflow.WRAP)}, "must be RND, SAT"),
    ("two inputs", KAN, {"inputs": ("x", "x")}, "layer k needs exactly one input, not 2"),
    ("base shape", KAN, {"base": changed(BASE, weights=np.ones((2, 3), int))}, r"base weights of shape \(3, 2\)"),
    (
        "rescale size",
        KAN,
        {"rescale": Rescale(np.ones(2, int), np.ones(2, int), np.ones(2, int), 0)},
        "a rescale for 3 outputs expected",
    ),
    (
        "coder size",
        KAN,
        {"spline": changed(SPLINE, coder=changed(CODER, mult=np.ones(3, int), offset=np.zeros(3, int)))},
        "a coder for 1 or 2 inputs expected, not 3",
    ),
    ("name", KAN, {"name": "../../x"}, "rename it"),
    ("value lsb", KAN, {"value_lsb": 0.0}, "the value of an LSB must be positive"),
    ("value offset", KAN, {"value_offset": float("inf")}, "must be positive and finite"),
    ("table bias", TABLE, {"bias": np.zeros(2, int)}, r"layer t: tables of shape \(2, 4, 3\)"),
    ("table codes", TABLE, {"coder": changed(CODER, n_codes=5)}, r"layer t: tables of shape \(2, 4, 3\)"),
    ("table shift", TABLE, {"shift": 63}, "layer t: the shift must be 0 … 62, not 63"),
    ("float tables", TABLE, {"tables": np.ones((2, 4, 3))}, "layer t: edge tables must be a non-empty integer array"),
    ("no features", INPUT, {"size": 0}, "at least one feature"),
    ("offsets of the host", HOST, {"feature_offset": (0.0,)}, "one offset and one scale per feature"),
    ("scale of the host", HOST, {"feature_scale": (1.0, float("nan"))}, "must be finite"),
    ("model name", IR, {"name": "a b"}, "a model name must match"),
    ("no nodes", IR, {"nodes": ()}, "the first node must quantize the input"),
    ("two inputs of a model", IR, {"nodes": (INPUT, changed(INPUT, name="y"), KAN)}, "only one input is supported"),
    ("same name", IR, {"nodes": (INPUT, changed(KAN, name="x"))}, "two layers are called 'x'"),
    ("wrong order", IR, {"nodes": (INPUT, changed(KAN, inputs=("t",)), TABLE)}, "layer k reads 't', which no earlier"),
    ("sizes", IR, {"nodes": (INPUT, KAN, changed(TABLE, inputs=("k",)))}, "layer t expects 2 inputs, but k gives 3"),
    ("output", IR, {"output": "z"}, "the output layer 'z' does not exist"),
    ("features", IR, {"host": HostSpec(Task.REGRESSION, ("a",), (0.0,), (1.0,))}, "1 feature names for 2 inputs"),
    ("classes", IR, {"host": changed(HOST, classes=("p",))}, "1 class labels for 3 outputs"),
]


def replaced(thing: Any, fields: dict[str, Any]) -> Any:
    if isinstance(thing, KanIR):  # `bounds` is derived
        kept = {name: getattr(thing, name) for name in ("name", "nodes", "output", "host")}
        return KanIR(**(kept | fields))
    return dataclasses.replace(thing, **fields)


@pytest.mark.parametrize(("thing", "fields", "match"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_refused(thing: Any, fields: dict[str, Any], match: str) -> None:
    replaced(thing, {})
    with pytest.raises(IRError, match=match) as caught:
        replaced(thing, fields)
    assert "\n" not in str(caught.value)


def test_arrays_are_private_and_read_only() -> None:
    mult = np.array([3])
    coder = changed(CODER, mult=mult)
    mult[0] = 4
    assert coder.mult[0] == 3
    with pytest.raises(ValueError, match="read-only"):
        coder.mult[0] = 5
    for array in (KAN.spline.weights, KAN.spline.basis.knots, TABLE.tables, KAN.rescale.bias):
        assert not array.flags.writeable


def test_coder_codes_floor_and_clip() -> None:
    coder = AffineCoder(np.array([3, -2]), np.array([1, 5]), 2, 6, -1.0, 0.5)
    for x in range(-20, 20):
        expected = [min(max((x * 3 + 1) // 4, 0), 5), min(max((x * -2 + 5) // 4, 0), 5)]
        assert coder.codes(np.array([x, x])).tolist() == expected
    assert coder.representatives.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]
    assert CODER.is_identity
    assert not coder.is_identity


def test_alive_edges() -> None:
    weights = np.zeros((3, 2, 4), int)
    weights[0, 1, 3] = 1
    base_weights = np.zeros((3, 2), int)
    base_weights[2, 0] = -1
    node = changed(KAN, spline=changed(SPLINE, weights=weights), base=changed(BASE, weights=base_weights))
    assert np.argwhere(node.alive).tolist() == [[0, 1], [2, 0]]
    assert np.argwhere(changed(node, base=None).alive).tolist() == [[0, 1]]
    tables = np.zeros((2, 4, 3), int)
    tables[1, 2, 0] = 5
    assert np.argwhere(changed(TABLE, tables=tables).alive).tolist() == [[0, 1]]
    assert replaced(IR, {"nodes": (INPUT, node)}).n_edges == 2


def test_half() -> None:
    assert [changed(RESCALE, shift=s).half for s in (0, 1, 2, 62)] == [0, 1, 2, 1 << 61]
    assert [changed(TABLE, shift=s).half for s in (0, 1, 2)] == [0, 1, 2]


def test_program_accessors() -> None:
    assert IR.input is INPUT
    assert IR.layers == (KAN,)
    assert IR.node("k") is KAN
    assert IR.in_type(KAN) == TYPE
    with pytest.raises(TypeError):
        IR.bounds["k"] = IR.bounds["x"]  # type: ignore[index]


def test_host_prepares_rows() -> None:
    assert HOST.prepare([[3, 4], [0, 1]]).tolist() == [[3.0, 6.0], [0.0, 0.0]]
    with pytest.raises(DataError, match=r"rows of 2 features were expected, not an array of shape \(1, 3\)"):
        HOST.prepare([[1, 2, 3]])
    with pytest.raises(DataError, match="finite feature values"):
        HOST.prepare([[1, np.nan]])


def test_predict() -> None:
    assert IR.predict(np.array([[1, 5, 2], [3, 3, 0], [0, 0, 0]])).tolist() == [1, 0, 0]  # ties: the lowest index
    host = HostSpec(Task.REGRESSION, ("a", "b"), (0.0, 0.0), (1.0, 1.0), target_offset=10.0, target_scale=2.0)
    ir = KanIR("m", (INPUT, changed(KAN, value_lsb=0.25)), "k", host)
    assert ir.predict(np.array([[4, -4, 0]])).tolist() == [[12.0, 8.0, 10.0]]
