"""Model files: every way in which one can be malformed ends in one sentence."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from pymodel.errors import ModelError
from pymodel.ir import KanLinear
from pymodel.layers import EfficientKAN, FrozenKAN, load_float, load_frozen, save_float, save_frozen
from tests.strategies import random_ir

Document = dict[str, Any]
Tensors = dict[str, torch.Tensor]


def parts(path: Path) -> tuple[Document, Tensors]:
    with safe_open(str(path), framework="pt") as archive:
        return json.loads(archive.metadata()["kan4ml"]), {k: archive.get_tensor(k) for k in archive.keys()}  # noqa: SIM118


def rewrite(path: Path, change: Callable[[Document, Tensors], object]) -> None:
    document, tensors = parts(path)
    change(document, tensors)
    save_file(tensors, str(path), metadata={"kan4ml": json.dumps(document)})


@pytest.fixture
def frozen_path(tmp_path: Path) -> Path:
    programs = (random_ir(seed, widths=(3, 4, 2), edge_tables=0.0) for seed in range(100))
    ir = next(ir for ir in programs if all(isinstance(node, KanLinear) and node.base is not None for node in ir.layers))
    save_frozen(FrozenKAN.from_ir(ir), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


@pytest.fixture
def edge_path(tmp_path: Path) -> Path:
    save_frozen(FrozenKAN.from_ir(random_ir(11, widths=(3, 2), edge_tables=1.0)), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


@pytest.fixture
def float_path(tmp_path: Path) -> Path:
    save_float(EfficientKAN([3, 4, 2], grid=4, order=2, range=(-2, 2)), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def layer(document: Document) -> Document:
    return document["layers"][0]


FROZEN_DAMAGE: dict[str, tuple[Callable[[Document, Tensors], object], str]] = {
    "missing tensor": (lambda _, t: t.pop("layers.0.bias"), "'layers.0.bias' is missing"),
    "unknown tensor": (lambda _, t: t.update(extra=torch.zeros(1)), "unknown tensor 'extra'"),
    "float tensor": (lambda _, t: t.update({"layers.0.bias": t["layers.0.bias"].double()}), "must be int64"),
    "infinite tensor": (
        lambda _, t: t.update({"layers.0.bias": torch.tensor([float("inf")] * 4)}),
        "NaN or infinity",
    ),
    "wrong shape": (lambda _, t: t.update({"layers.0.bias": t["layers.0.bias"][:1].clone()}), "rescale"),
    "wrong rank": (lambda _, t: t.update({"layers.0.spline_weights": torch.tensor(3)}), "array of rank 3"),
    "empty tensor": (lambda _, t: t.update({"layers.0.base_table": torch.zeros(0, dtype=torch.int64)}), "non-empty"),
    "beyond 2^53": (lambda _, t: t["layers.0.bias"].fill_(1 << 60), r"2\^53"),
    "wrong window": (lambda _, t: t["layers.0.basis_start"].fill_(99), "window"),
    "unknown key": (lambda d, _: d.update(extra=1), "unknown keys"),
    "missing key": (lambda d, _: d.pop("host"), "lacks"),
    "other kind": (lambda d, _: d.update(kind="efficient_kan"), "'frozen_kan' was expected"),
    "other schema": (lambda d, _: d.update(schema=3), "schema 3"),
    "no layers": (lambda d, t: (d.update(layers=[]), t.clear()), "at least one layer"),
    "layer not an object": (lambda d, _: d.update(layers=[3]), "cannot|not a layer"),
    "unknown form": (lambda d, _: layer(d).update(form="conv"), "does not know"),
    "form that is no layer": (lambda d, _: layer(d).update(form="quantize"), "not a layer"),
    "bool for a number": (lambda d, _: layer(d).update(shift=True), "wrong type bool"),
    "shift out of range": (lambda d, _: layer(d).update(shift=63), "shift"),
    "infinite lsb": (lambda d, _: layer(d)["basis"].update(lsb=10**400), "finite"),
    "knots of text": (lambda d, _: layer(d)["basis"].update(knots=["a"]), "list of numbers"),
    "unknown basis": (lambda d, _: layer(d)["basis"].update(kind="fourier"), "does not know"),
    "bad activation name": (lambda d, _: layer(d)["base"].update(activation="a b"), "activation name"),
    "bad type": (lambda d, _: layer(d)["in_type"].update(width=99), "width"),
    "bad rounding": (lambda d, _: layer(d)["out_type"].update(rounding="UP"), "does not know"),
    "negative codes": (lambda d, _: layer(d)["coder"].update(n_codes=-1), "codes"),
    "bad name": (lambda d, _: d.update(name="rm -rf"), "name must match"),
    "bad task": (lambda d, _: d["host"].update(task="guess"), "does not know"),
    "bad classes": (lambda d, _: d["host"].update(classes=[1, 2]), "list of strings"),
    "bad offsets": (lambda d, _: d["host"].update(feature_offset=[0.0]), "one offset"),
    "types do not meet": (lambda d, _: layer(d)["out_type"].update(width=11, integer=11), "layers_1 reads"),
}


@pytest.mark.parametrize("what", FROZEN_DAMAGE)
def test_damaged_frozen_files_are_refused(frozen_path: Path, what: str) -> None:
    change, message = FROZEN_DAMAGE[what]
    rewrite(frozen_path, change)
    with pytest.raises(ModelError, match=message) as caught:
        load_frozen(frozen_path)
    assert "\n" not in str(caught.value)


EDGE_DAMAGE: dict[str, tuple[Callable[[Document, Tensors], object], str]] = {
    "missing tables": (lambda _, t: t.pop("layers.0.tables"), "'layers.0.tables' is missing"),
    "transposed tables": (
        lambda _, t: t.update({"layers.0.tables": t["layers.0.tables"].transpose(0, 2).contiguous()}),
        "tables of shape",
    ),
    "basis of another form": (lambda d, _: layer(d).update(basis={}), "unknown keys"),
}


@pytest.mark.parametrize("what", EDGE_DAMAGE)
def test_damaged_edge_tables_are_refused(edge_path: Path, what: str) -> None:
    change, message = EDGE_DAMAGE[what]
    rewrite(edge_path, change)
    with pytest.raises(ModelError, match=message):
        load_frozen(edge_path)


FLOAT_DAMAGE: dict[str, tuple[Callable[[Document, Tensors], object], str]] = {
    "missing tensor": (lambda _, t: t.pop("layers.0.base_weight"), "lacks 'layers.0.base_weight'"),
    "unknown tensor": (lambda _, t: t.update(z=torch.zeros(1)), "unknown tensor 'z'"),
    "nan": (lambda _, t: t["layers.0.base_weight"].fill_(float("nan")), "NaN or infinity"),
    "wrong dtype": (lambda _, t: t.update({"layers.0.mask": t["layers.0.mask"].long()}), "should be torch.bool"),
    "moved grid": (lambda _, t: t["layers.0.grid"].add_(0.5), "uniform grid"),
    "huge widths": (lambda d, _: d.update(widths=[100000, 100000]), "declares"),
    "negative width": (lambda d, _: d.update(widths=[3, -4, 2]), "positive integers"),
    "one width": (lambda d, _: d.update(widths=[3]), "two widths"),
    "empty range": (lambda d, _: d.update(range=[2, 2]), "low < high"),
    "range of three": (lambda d, _: d.update(range=[0, 1, 2]), "pair"),
    "order 0": (lambda d, _: d.update(order=0), "order"),
    "other widths": (lambda d, _: d.update(widths=[3, 2, 2]), "shape"),
    "other schema": (lambda d, _: d.update(schema=0), "schema 0"),
}


@pytest.mark.parametrize("what", FLOAT_DAMAGE)
def test_damaged_float_files_are_refused(float_path: Path, what: str) -> None:
    change, message = FLOAT_DAMAGE[what]
    rewrite(float_path, change)
    with pytest.raises(ModelError, match=message):
        load_float(float_path)


def test_float_round_trip(float_path: Path) -> None:
    model = load_float(float_path)
    mask = torch.rand(4, 3) < 0.5
    next(model.kan_layers()).apply_mask(mask)
    again_path = float_path.with_name("again.safetensors")
    save_float(model, again_path)
    again = load_float(again_path)
    x = torch.randn(9, 3)
    assert torch.equal(model(x), again(x))
    assert torch.equal(next(again.kan_layers()).mask, mask)
    save_float(again, float_path)
    assert float_path.read_bytes() == again_path.read_bytes()


@pytest.mark.parametrize("load", [load_frozen, load_float])
def test_files_that_are_no_models(tmp_path: Path, load: Callable[[Path], object]) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelError, match="does not exist"):
        load(path)
    path.mkdir()
    with pytest.raises(ModelError, match=r"m\.safetensors"):
        load(path)
    path.rmdir()
    for content in (b"", b"PK\x03\x04", b"\xff" * 100, b"\x80\x04\x95" + bytes(64)):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="truncated or corrupt"):
            load(path)
    save_file({"a": torch.zeros(2)}, str(path))
    with pytest.raises(ModelError, match="no kan4ml metadata"):
        load(path)
    for text in ("[]", "NaN", "{", "[" * 100_000, '{"kind": Infinity}'):
        save_file({"a": torch.zeros(2)}, str(path), metadata={"kan4ml": text})
        with pytest.raises(ModelError):
            load(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with path.open("wb") as stream:
        stream.truncate((1 << 30) + 1)
    with pytest.raises(ModelError, match="larger than"):
        load_frozen(path)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_truncation_or_flipped_byte_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("flip") / "m.safetensors"
    save_frozen(FrozenKAN.from_ir(random_ir(11, widths=(2, 2), edge_tables=0.5)), path)
    content = bytearray(path.read_bytes())
    cut = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(content[:cut])
        with pytest.raises(ModelError):
            load_frozen(path)
        return
    content[cut] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with contextlib.suppress(ModelError):  # a changed weight is another valid model
        load_frozen(path)
