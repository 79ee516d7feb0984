"""Files of an IR: round trips, and a loader that refuses everything else in one sentence."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pymodel.errors import IRError, Kan4mlError
from pymodel.ir import EdgeTable, KanIR, KanLinear, load_ir, save_ir
from tests.strategies import random_ir


@pytest.mark.parametrize("seed", range(40))
def test_round_trip(seed: int, tmp_path: Path) -> None:
    ir = random_ir(seed, widths=(4, 3, 2))
    save_ir(ir, tmp_path / "one")
    again = load_ir(tmp_path / "one")
    assert again == ir
    assert again.bounds == ir.bounds
    save_ir(again, tmp_path / "two")
    for name in ("ir.json", "ir.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_equality_sees_every_array() -> None:
    assert random_ir(1) == random_ir(1)
    assert random_ir(1) != random_ir(2)


@pytest.fixture
def ir() -> KanIR:
    """A program with both kinds of layer and a base branch."""
    for seed in range(1000):
        ir = random_ir(seed, widths=(4, 3, 2), edge_tables=0.5)
        first, second = ir.layers
        if isinstance(first, KanLinear) and first.base is not None and isinstance(second, EdgeTable):
            return ir
    raise AssertionError("no such random program")


@pytest.fixture
def folder(ir: KanIR, tmp_path: Path) -> Path:
    save_ir(ir, tmp_path)
    assert load_ir(tmp_path) == ir
    return tmp_path


def refused(folder: Path, match: str) -> None:
    with pytest.raises(IRError, match=match) as caught:
        load_ir(folder)
    assert "\n" not in str(caught.value)


def edit_json(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "ir.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def edit_arrays(folder: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change the raw members of the npz."""
    path = folder / "ir.npz"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def npy(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["ir.json", "ir.npz"])
def test_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, rf"no KAN IR in .*: {name} is missing; build the model first")


@pytest.mark.parametrize("name", ["ir.json", "ir.npz"])
def test_truncated_anywhere(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    for size in sorted({*range(0, len(data) - 1, max(1, len(data) // 60)), len(data) - 2}):
        (folder / name).write_bytes(data[:size])
        with pytest.raises(IRError):
            load_ir(folder)


def test_flipped_bytes_never_escape_as_another_error(folder: Path) -> None:
    """Whatever is in the files: the same IR, another valid IR, or one sentence."""
    rng = np.random.default_rng(0)
    for name in ("ir.json", "ir.npz"):
        good = (folder / name).read_bytes()
        for _ in range(150):
            bad = bytearray(good)
            for position in rng.integers(0, len(bad), size=rng.integers(1, 4)):
                bad[position] = rng.integers(0, 256)
            (folder / name).write_bytes(bytes(bad))
            with contextlib.suppress(Kan4mlError):
                load_ir(folder)
        (folder / name).write_bytes(good)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"x"', "[" * 100_000])
def test_json_that_is_no_ir(folder: Path, text: str) -> None:
    (folder / "ir.json").write_text(text)
    with pytest.raises(IRError):
        load_ir(folder)


def test_not_utf8(folder: Path) -> None:
    (folder / "ir.json").write_bytes(b'{"name": "\xff"}')
    refused(folder, "cannot be read")


JSON_EDITS: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("other schema", lambda d: d.update(schema=3), "ir.json: it has schema 3, this version of kan4ml reads 1 and 2"),
    ("bool as schema", lambda d: d.update(schema=True), "schema has the wrong type bool"),
    ("unknown key", lambda d: d.update(colour="red"), r"the document has the unknown keys \['colour'\]"),
    ("missing key", lambda d: d.pop("output"), r"the document lacks \['output'\]"),
    ("unknown key in a node", lambda d: d["nodes"][1].update(x=1), r"nodes\[1\] has the unknown keys \['x'\]"),
    ("unknown key in a coder", lambda d: d["nodes"][1]["spline"]["coder"].update(x=1), r"has the unknown keys \['x'\]"),
    ("missing key in a basis", lambda d: d["nodes"][1]["spline"]["basis"].pop("order"), r"lacks \['order'\]"),
    ("node is no object", lambda d: d["nodes"].__setitem__(1, 3), r"nodes\[1\] must be an object, not int"),
    ("unknown kind", lambda d: d["nodes"][0].update(kind="conv"), r"nodes\[0\]"),
    ("shift as string", lambda d: d["nodes"][1]["rescale"].update(shift="3"), "shift has the wrong type str"),
    ("shift as float", lambda d: d["nodes"][1]["rescale"].update(shift=3.0), "shift has the wrong type float"),
    ("shift out of range", lambda d: d["nodes"][1]["rescale"].update(shift=63), "shift must be 0 … 62, not 63"),
    ("negative shift", lambda d: d["nodes"][2].update(shift=-1), "shift must be 0 … 62, not -1"),
    ("too many codes", lambda d: d["nodes"][1]["spline"]["coder"].update(n_codes=5000), "1 … 4096 codes, not 5000"),
    ("other number of codes", lambda d: d["nodes"][1]["spline"]["coder"].update(n_codes=4096), "rows|edge-table"),
    ("codes of an edge table", lambda d: d["nodes"][2]["coder"].update(n_codes=4096), "and a coder with [0-9]+ codes"),
    ("basis larger", lambda d: d["nodes"][1]["spline"]["basis"].update(n_basis=99), "99 basis functions were expected"),
    ("absent array", lambda d: d["nodes"][1]["spline"].update(weights="nope"), "needs an array 'nope'"),
    ("reals for integers", lambda d: d["nodes"][1]["spline"].update(weights="layers_0.spline.basis.knots"), "kind 'i'"),
    ("wrong rank", lambda d: d["nodes"][1]["spline"].update(weights="layers_0.rescale.bias"), "rank 3"),
    ("width 0", lambda d: d["nodes"][0]["out_type"].update(width=0), "1 … 53 bits, not 0"),
    ("unknown rounding", lambda d: d["nodes"][0]["out_type"].update(rounding="RND_INF"), "RND_INF"),
    ("truncating output", lambda d: d["nodes"][1]["out_type"].update(rounding="TRN"), "RND, SAT"),
    ("wrapping output", lambda d: d["nodes"][1]["out_type"].update(overflow="WRAP"), "RND, SAT"),
    ("path as a name", lambda d: d["nodes"][1].update(name="../../x"), r"must match \[A-Za-z\]"),
    ("quotes in a name", lambda d: d.update(name='a"b'), r"must match \[A-Za-z\]"),
    ("newline after a name", lambda d: d.update(name="a\n"), r"must match \[A-Za-z\]"),
    ("two of one name", lambda d: d["nodes"][2].update(name="layers_0"), "two layers are called 'layers_0'"),
    ("unknown source", lambda d: d["nodes"][1].update(inputs=["y"]), "reads 'y', which no earlier layer produces"),
    ("a cycle", lambda d: d["nodes"][1].update(inputs=["layers_1"]), "which no earlier layer produces"),
    ("no source", lambda d: d["nodes"][1].update(inputs=[]), "needs exactly one input, not 0"),
    ("no nodes", lambda d: d.update(nodes=[]), "first node must quantize"),
    ("no input node", lambda d: d["nodes"].pop(0), "first node must quantize"),
    ("input of another size", lambda d: d["nodes"][0].update(size=5), "expects 4 inputs, but x gives 5"),
    ("input of no size", lambda d: d["nodes"][0].update(size=0), "at least one feature"),
    ("unknown output", lambda d: d.update(output="z"), "the output layer 'z' does not exist"),
    ("a class too few", lambda d: d["host"]["classes"].pop(), "1 class labels for 2 outputs"),
    ("a feature too few", lambda d: d["host"]["features"].pop(), "one offset and one scale per feature"),
    ("a number as feature", lambda d: d["host"]["features"].__setitem__(0, 3), "list of strings"),
    ("a string as offset", lambda d: d["host"]["feature_offset"].__setitem__(0, "3"), "list of numbers"),
    ("unknown task", lambda d: d["host"].update(task="guess"), "GUESS"),
    ("negative LSB", lambda d: d["nodes"][1].update(value_lsb=-1.0), "value of an LSB must be positive"),
    ("huge integer", lambda d: d["nodes"][1].update(value_lsb=10**400), "finite numbers"),
]


@pytest.mark.parametrize(("change", "match"), [e[1:] for e in JSON_EDITS], ids=[e[0] for e in JSON_EDITS])
def test_edited_json(folder: Path, change: Callable[[dict[str, Any]], None], match: str) -> None:
    edit_json(folder, change)
    refused(folder, match)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(folder: Path, number: str) -> None:
    path = folder / "ir.json"
    document = json.loads(path.read_text())
    document["nodes"][1]["value_lsb"] = "HERE"
    path.write_text(json.dumps(document).replace('"HERE"', number))
    refused(folder, "not a JSON number|finite numbers")


def test_an_array_of_floats(folder: Path) -> None:
    edit_arrays(folder, lambda m: m.update({"layers_0.rescale.bias.npy": npy(np.zeros(3))}))
    refused(folder, "needs an array 'layers_0.rescale.bias' of kind 'i'")


@pytest.mark.parametrize("dtype", ["<i4", ">i8", "<u8", "?", "<c16", "O"])
def test_an_array_of_another_type(folder: Path, dtype: str) -> None:
    bad = npy(np.zeros(3, dtype=dtype))
    edit_arrays(folder, lambda m: m.update({"layers_0.rescale.bias.npy": bad}))
    with pytest.raises(IRError):
        load_ir(folder)


def test_a_fortran_array(folder: Path) -> None:
    edit_arrays(folder, lambda m: m.update({"layers_0.base.weights.npy": npy(np.zeros((3, 4), np.int64, order="F"))}))
    refused(folder, "not a complete C-ordered")


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(-3,)", "(3, 0)", "(4,)", "(2,)"])
def test_a_lying_header(folder: Path, shape: str) -> None:
    """A declared shape is believed only if the bytes are there."""

    def lie(members: dict[str, bytes]) -> None:
        name = "layers_0.rescale.bias.npy"
        data = members[name]
        assert data.count(b"(3,)") == 1
        spaces = len(shape) - len("(3,)")
        old, new = b"(3,)" + b", }" + b" " * spaces, shape.encode() + b", }"
        assert data.count(old) == 1
        members[name] = data.replace(old, new)

    edit_arrays(folder, lie)
    with pytest.raises(IRError):
        load_ir(folder)


def test_a_zip_that_declares_too_much_is_not_unpacked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pymodel.ir._arrays._MAX_BYTES", 100)
    refused(folder, "declares more than 100 bytes")


@pytest.mark.parametrize("delta", [1, -1])
def test_a_start_beyond_the_basis(folder: Path, ir: KanIR, delta: int) -> None:
    node = ir.layers[0]
    assert isinstance(node, KanLinear)
    basis = node.spline.basis
    start = basis.start.copy()
    start[0] = basis.n_basis - basis.window + 1 if delta > 0 else -1
    edit_arrays(folder, lambda m: m.update({"layers_0.spline.basis.start.npy": npy(start)}))
    refused(folder, "does not lie within")


def test_constants_beyond_the_bound(folder: Path) -> None:
    edit_arrays(folder, lambda m: m.update({"layers_0.rescale.bias.npy": npy(np.array([1 << 53, 0, 0]))}))
    refused(folder, r"below 2\^53 in magnitude")
    edit_arrays(folder, lambda m: m.update({"layers_0.rescale.bias.npy": npy(np.array([-(1 << 63), 0, 0]))}))
    refused(folder, r"below 2\^53 in magnitude")
