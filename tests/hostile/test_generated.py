"""Thousands of generated inputs: each is read, or refused with one of our errors in one sentence."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwgen.config import load_config
from hwgen.fit import load_program
from hwgen.start import draft
from hwgen.tables import load_tables
from pymodel.data import read_table
from pymodel.errors import Kan4mlError
from pymodel.importers import load as load_network
from pymodel.ir import load_ir
from pymodel.layers import load_frozen
from sim.verify import load_vectors

pytestmark = [pytest.mark.xdist_group("hostile_build"), pytest.mark.rtl]
_SETTINGS = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 80), 1 << 80),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["*/", "$(id)", "`id`", "\x00", "a\nb", "../x", "1e400", "ünï", "<b>"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)
KEYS = (
    "data.source", "data.path", "data.label", "data.task", "data.scale", "data.seed", "data.test_fraction", "model.widths",
    "model.family", "model.grid", "model.order", "model.range", "model.base", "model.name", "model.image", "model.conv",
    "quantize.method", "quantize.activations", "quantize.layer_activations", "quantize.edge", "quantize.input", "train.epochs",
    "train.prune", "train.distill", "train.learning_rate", "train.augment", "hardware.part", "hardware.clock_ns",
    "hardware.rtl", "hardware.reuse_factor", "hardware.vectors", "hardware.strategy", "imported", "nothing.at_all", "data", "model",
)  # fmt: skip
YAML = "data: {source: csv, path: rows.csv, label: kind}\nmodel: {widths: [2, 3, 2]}\n"
YAML_PARTS = st.sampled_from([*"{}[]:,-#&*!|>'\"%@`\n\t \x00", "data", "model:", "widths", "? ", "<<", "!!python/name:os", "---\n", "é", "\ufeff", "1e9", "0x10"])  # fmt: skip
CSV_PARTS = st.sampled_from([",", ";", "\t", "\n", "\r\n", '"', '""', "a", "kind", "1", "-2.5", "nan", "1e999", "x", "", " ", "\x00", "\ufeff", "é", "0x1", "1_0"])  # fmt: skip


@contextlib.contextmanager
def promised() -> Iterator[None]:
    """Let through only what the user is told in one sentence."""
    try:
        yield
    except Kan4mlError as error:
        text = str(error)
        assert text.strip()
        assert "Traceback" not in text


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@settings(max_examples=450, **_SETTINGS)
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_overrides(place: Path, key: str, value: Any) -> None:
    (place / "config.yaml").write_text(YAML)
    with promised():
        load_config(place / "config.yaml", [f"{key}={json.dumps(value)}"])


@settings(max_examples=250, **_SETTINGS)
@given(parts=st.lists(YAML_PARTS, max_size=25), at=st.integers(0, len(YAML)))
def test_yaml_files(place: Path, parts: list[str], at: int) -> None:
    path = place / "config.yaml"
    path.write_text(YAML[:at] + "".join(parts) + YAML[at:])
    with promised():
        load_config(path)


@settings(max_examples=350, **_SETTINGS)
@given(parts=st.lists(CSV_PARTS, max_size=60), rows=st.integers(0, 30))
def test_csv_files(place: Path, parts: list[str], rows: int) -> None:
    path = place / "rows.csv"
    good = "".join(f"{i},{i * i % 7},{'xy'[i % 2]}\n" for i in range(rows))
    path.write_bytes(f"a,b,kind\n{good}{''.join(parts)}".encode())
    with promised():
        read_table(path, text="kind", select=["b", "a"])
    with promised():
        draft(path, place / "config.yaml")


@settings(max_examples=100, **_SETTINGS)
@given(content=st.binary(max_size=200))
def test_bytes_as_every_kind_of_file(place: Path, content: bytes) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        "x.csv": lambda path: draft(path, place / "c.yaml"),
        "x.npz": load_tables,
        "y.npz": lambda path: draft(path, place / "c.yaml"),
        "x.yaml": load_config,
        "x.safetensors": lambda path: load_network(path, family="efficient_kan"),
        "y.safetensors": load_frozen,
    }
    for name, read in readers.items():
        (place / name).write_bytes(content)
        with promised():
            read(place / name)


def _mutated(document: Any, value: Any, rng: random.Random) -> Any:
    """Put `value` somewhere into a JSON document, or take something out of it."""
    part = document
    while True:
        keys: list[Any] = list(part) if isinstance(part, dict) else list(range(len(part)))
        if not keys:
            return document
        key = rng.choice(keys)
        if isinstance(part[key], dict | list) and part[key] and rng.random() < 0.8:
            part = part[key]
            continue
        if rng.random() < 0.2:
            del part[key]
        else:
            part[key] = value
        return document


@settings(max_examples=450, **_SETTINGS)
@given(value=VALUES, seed=st.integers(0, 1 << 30))
def test_ir_json(hostile_build: Path, place: Path, value: Any, seed: int) -> None:
    folder = place / "ir"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(hostile_build / "ir" / "ir.npz", folder / "ir.npz")
    document = json.loads((hostile_build / "ir" / "ir.json").read_text())
    (folder / "ir.json").write_text(json.dumps(_mutated(document, value, random.Random(seed))))
    with promised():
        load_program(folder)


@settings(max_examples=200, **_SETTINGS)
@given(seed=st.integers(0, 1 << 30))
def test_bytes_of_ir_npz(hostile_build: Path, place: Path, seed: int) -> None:
    rng = random.Random(seed)
    folder = place / "ir"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(hostile_build / "ir" / "ir.json", folder / "ir.json")
    content = bytearray((hostile_build / "ir" / "ir.npz").read_bytes())
    for _ in range(rng.randint(1, 4)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    (folder / "ir.npz").write_bytes(bytes(content[: rng.choice((len(content), rng.randrange(len(content))))]))
    with promised():
        load_ir(folder)


@settings(max_examples=150, **_SETTINGS)
@given(
    name=st.sampled_from(["X", "y", "rtl_rows"]),
    value=st.integers(-(1 << 63), (1 << 63) - 1),
    shape=st.lists(st.integers(0, 3), max_size=3),
)
def test_vectors(hostile_build: Path, place: Path, name: str, value: int, shape: list[int]) -> None:
    ir = load_ir(hostile_build / "ir")
    with np.load(hostile_build / "vectors.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays[name] = np.full(shape, value)
    np.savez(place / "vectors.npz", **arrays)
    with promised():
        load_vectors(place / "vectors.npz", ir)


@settings(max_examples=200, **_SETTINGS)
@given(seed=st.integers(0, 1 << 30))
def test_safetensors(hostile_build: Path, place: Path, seed: int) -> None:
    rng = random.Random(seed)
    content = bytearray((hostile_build / "model" / "quantized.safetensors").read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(rng.randint(1, 3)):
        content[rng.randrange(header if rng.random() < 0.7 else len(content))] = rng.randrange(256)
    path = place / "quantized.safetensors"
    path.write_bytes(bytes(content))
    with promised():
        load_frozen(path)


@settings(max_examples=150, **_SETTINGS)
@given(
    members=st.dictionaries(
        st.sampled_from(["x.npy", "y.npy", "x_train.npy", "layer0_shape.npy", "layer0_table.npy", "layer0_clip.npy", "../up.npy"]),
        st.tuples(st.sampled_from(["<i8", "<f8", "|O", "<U4", "|b1"]), st.lists(st.integers(-2, 1 << 40), max_size=3), st.binary(max_size=40)),
        max_size=5,
    )
)  # fmt: skip
def test_npz_archives(place: Path, members: dict[str, tuple[str, list[int], bytes]]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, (dtype, shape, content) in members.items():
            text = repr({"descr": dtype, "fortran_order": False, "shape": tuple(shape)}).encode() + b"\n"
            archive.writestr(name, b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content)
    (place / "x.npz").write_bytes(buffer.getvalue())
    with promised():
        draft(place / "x.npz", place / "config.yaml")
    with promised():
        load_tables(place / "x.npz")
