"""Edge tables from npz files: the layout's semantics, computed independently here, and everything that is refused."""

from __future__ import annotations

import io
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.tables import load_tables
from pymodel.errors import DataError
from pymodel.ir import IntArray
from pymodel.reference import Reference

Arrays = dict[str, Any]
DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "kanele"


def random_file(
    seed: int, widths: tuple[int, ...], bits: tuple[int, ...], clips: tuple[tuple[int, int], ...], density: float = 0.7
) -> Arrays:
    """Return the arrays of a random network in the layout; outputs without edges and repeated edges may occur."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for k, (n_in, n_out) in enumerate(pairwise(widths)):
        ends = np.argwhere(rng.random((n_out, n_in)) < density)
        ends = np.concatenate([ends, ends[:1]])
        arrays |= {
            f"layer{k}_shape": np.array([n_in, n_out], np.int32),
            f"layer{k}_input_bits": np.int32(bits[k]),
            f"layer{k}_output": ends[:, 0].astype(np.int32),
            f"layer{k}_input": ends[:, 1].astype(np.int32),
            f"layer{k}_table": rng.integers(-20, 21, (len(ends), 1 << bits[k])).astype(np.int32),
            f"layer{k}_clip": np.array(clips[k], np.int32),
        }
    return arrays


def evaluate(arrays: Arrays, codes: IntArray) -> list[IntArray]:
    """Return `y` of every layer, edge by edge, as the layout's description says."""
    results = []
    for k in range(sum(key.endswith("_shape") for key in arrays)):
        low, high = arrays[f"layer{k}_clip"]
        y = np.zeros((codes.shape[0], arrays[f"layer{k}_shape"][1]), dtype=np.int64)
        ends = zip(arrays[f"layer{k}_output"], arrays[f"layer{k}_input"], arrays[f"layer{k}_table"], strict=True)
        for output, source, table in ends:
            y[:, output] += table[codes[:, source]]
        results.append(np.clip(y, low, high))
        codes = results[-1] - low
    return results


def small() -> Arrays:
    """Return a network whose hidden clip is not the range of an integer type."""
    return random_file(1, (4, 3, 2), (2, 6), ((-20, 25), (-32, 31)))


def _write(folder: Path, arrays: Arrays, **options: Any) -> Path:
    path = folder / "small.npz"
    np.savez_compressed(path, **arrays, **options)
    return path


@pytest.mark.parametrize(
    ("widths", "bits", "clips"),
    [
        ((4, 3, 2), (2, 6), ((-20, 25), (-32, 31))),
        ((5, 4, 3, 2), (1, 5, 7), ((-16, 15), (-64, 63), (0, 127))),
        ((6, 1), (3,), ((-16, 15),)),
        ((3, 2, 2), (4, 1), ((7, 7), (-8, 7))),  # a hidden layer of constants
        ((2, 3, 1), (6, 3), ((10, 17), (0, 1))),  # 0 is not in the hidden clip
    ],
)
def test_the_ir_computes_what_the_layout_says(
    widths: tuple[int, ...], bits: tuple[int, ...], clips: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    for seed in range(5):
        arrays = random_file(seed, widths, bits, clips)
        file = load_tables(_write(tmp_path, arrays))
        X = np.random.default_rng(seed).integers(0, 1 << bits[0], (500, widths[0]))
        values = Reference(file.ir).run(X)
        expected = evaluate(arrays, X)
        assert np.array_equal(values[file.ir.output], expected[-1])
        for k, y in enumerate(expected[:-1]):
            # Beyond hi - lo, the next layer's coder clips.
            low, high = clips[k]
            assert np.array_equal(np.minimum(values[f"layer{k}"], high - low) + low, y)
        assert file.sample_codes.shape == (0, widths[0])


@pytest.mark.parametrize("name", ["jsc", "mnist"])
def test_published_networks_give_their_samples(name: str) -> None:
    path = DATA / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path.name}, the published tables, is not here")
    file = load_tables(path)
    assert file.sample_codes.shape[0] == 1000
    values = Reference(file.ir).run(file.sample_codes)
    assert np.array_equal(values[file.ir.output], file.sample_outputs)


def test_names_of_files_become_names_of_models(tmp_path: Path) -> None:
    for stem, name in (("a-b c", "a_b_c"), ("1st", "n1st"), ("x" * 99, "x" * 63)):
        _write(tmp_path, small()).rename(tmp_path / f"{stem}.npz")
        assert load_tables(tmp_path / f"{stem}.npz").ir.name == name


BROKEN: dict[str, tuple[Arrays, str]] = {
    "float tables": ({"layer0_table": np.zeros((3, 4))}, "float64"),
    "missing array": ({"layer1_clip": None}, "lacks layer1_clip"),
    "missing layer": ({"layer2_shape": np.array([2, 2])}, "lacks layer2_input_bits"),
    "unknown member": ({"comment": np.array([1])}, "unexpected or repeated member 'comment.npy'"),
    "too many bits": ({"layer0_input_bits": np.int64(11)}, "1 ... 10, not 11"),
    "bits do not fit the tables": ({"layer0_input_bits": np.int64(3)}, "tables of 8 entries"),
    "edge from nowhere": ({"layer0_input": np.full(10, 4, np.int32)}, "as many inputs|from 0 to 3"),
    "clip upside down": ({"layer0_clip": np.array([3, 2])}, "lo <= hi"),
    "clip of three": ({"layer0_clip": np.array([3, 2, 1])}, "two integers"),
    "last clip is no type": ({"layer1_clip": np.array([-32, 30])}, "range of an integer type"),
    "too many hidden codes": ({"layer0_clip": np.array([-32, 32])}, "65 codes"),
    "layers do not meet": ({"layer1_shape": np.array([7, 2])}, "3 outputs, but layer1 7 inputs"),
    "no inputs": ({"layer0_shape": np.array([0, 3])}, "layer0_shape"),
    "huge": ({"layer0_shape": np.array([65536, 65536])}, "more than"),
    "samples do not fit": ({"sample_codes": np.zeros((2, 4), np.uint8)}, "samples have shapes"),
    "sample is no code": (
        {"sample_codes": np.full((1, 4), 4), "sample_outputs": np.zeros((1, 2), np.int64)},
        "codes from 0 to 3",
    ),
    "too large": ({"layer0_table": np.full((10, 4), 1 << 41)}, "2\\^40"),
    "rank": ({"layer0_clip": np.zeros((1, 2), np.int32)}, "rank 1"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_breaks_the_layout_is_refused(case: str, tmp_path: Path) -> None:
    changes, message = BROKEN[case]
    arrays = {key: value for key, value in (small() | changes).items() if value is not None}
    with pytest.raises(DataError, match=message) as error:
        load_tables(_write(tmp_path, arrays))
    assert "small.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    path = _write(tmp_path, small() | {"layer0_clip": np.array([object(), object()])})
    with pytest.raises(DataError, match="integer array"):
        load_tables(path)


def test_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    data = _write(tmp_path, small()).read_bytes()
    path = tmp_path / "cut.npz"
    for content in (b"", b"PK", data[: len(data) // 2], data[:-30], b"x" * 400):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cut\.npz is not a file of edge tables"):
            load_tables(path)
    with pytest.raises(DataError, match="does not exist"):
        load_tables(tmp_path / "absent.npz")
    with pytest.raises(DataError, match="is not a file of edge tables"):
        load_tables(tmp_path)


@pytest.mark.parametrize("shape", ["(1000000000, 4)", "(3, 4)"])
def test_a_header_that_lies_about_the_size_is_refused_before_the_data_are_read(shape: str, tmp_path: Path) -> None:
    path = _write(tmp_path, small())
    buffer = io.BytesIO()
    header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    buffer.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(8))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["layer0_table.npy"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match="declares"):
        load_tables(path)
