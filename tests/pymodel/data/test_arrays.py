"""IDX, MNIST and npz: what is read, and headers that lie."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pymodel.data import _npz, load
from pymodel.data._idx import MNIST_FILES, mnist_file, read_idx
from pymodel.data._npz import read_npz
from pymodel.errors import DataError
from pymodel.settings import DataSettings

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    code = CODES[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_of_every_type(tmp_path: Path, kind: str, packed: bool) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    content = idx_bytes(array)
    read = read_idx(write(tmp_path / "a", gzip.compress(content) if packed else content))
    assert read.dtype == array.dtype
    assert np.array_equal(read, array)


LIES = {
    "other file": (b"hello world", "does not start like an IDX file"),
    "bad type": (b"\0\0\x07\x01\0\0\0\x01x", "does not start like an IDX file"),
    "rank 0": (b"\0\0\x08\x00x", "does not start like an IDX file"),
    "cut in the header": (b"\0\0\x08\x03\0\0\0\x01", "ends within its IDX header"),
    "short": (b"\0\0\x08\x01\0\0\0\x05abc", "announces 5 bytes of data for shape \\(5,\\), but 3 are there"),
    "long": (b"\0\0\x08\x01\0\0\0\x02abc", "announces 2 bytes .* but 3 are there"),
    "empty": (b"\0\0\x08\x01\0\0\0\0", "empty array"),
    "petabytes": (b"\0\0\x0e\x03" + b"\xff" * 12 + b"abc", r"announces 63382529967\d{19} bytes"),
}


@pytest.mark.parametrize("case", LIES)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_headers_that_lie(tmp_path: Path, case: str, packed: bool) -> None:
    content, message = LIES[case]
    path = write(tmp_path / "a", gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=message) as info:
        read_idx(path)
    assert str(path) in str(info.value)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(4, dtype="u1"), 10)
    return (rng.integers(0, 200, size=(40, 5, 6)) + 13 * y[:, None, None]).astype("u1"), y


def test_idx_pair(tmp_path: Path, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> None:
    x, y = digits
    images, labels = write(tmp_path / "x.idx", idx_bytes(x)), write(tmp_path / "y.idx", idx_bytes(y))
    data = load(DataSettings("idx", images, labels=labels))
    assert data.image == (5, 6, 1)
    assert data.x_train.dtype == np.uint8
    assert data.x_train.shape == (32, 30)
    assert data.features[:2] == ("pixel_0_0", "pixel_0_1")
    prepared = data.host.prepare(data.x_train)
    assert prepared.min() >= -2.0
    assert prepared.max() == 2.0
    both = load(DataSettings("idx", images, labels=labels, test_path=images, test_labels=labels))
    assert np.array_equal(both.x_train, both.x_test)
    short = write(tmp_path / "short.idx", idx_bytes(y[:-1]))
    with pytest.raises(DataError, match="40 rows need one label each"):
        load(DataSettings("idx", images, labels=short))
    other = write(tmp_path / "other.idx", idx_bytes(x[:, 1:]))
    with pytest.raises(DataError, match=r"test rows of shape \(4, 6\) do not fit"):
        load(DataSettings("idx", images, labels=labels, test_path=other, test_labels=labels))
    with pytest.raises(DataError, match="rank 2 or more"):
        load(DataSettings("idx", labels, labels=labels))


def test_mnist_folder(tmp_path: Path, digits: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> None:
    x, y = digits
    for name, array in zip(MNIST_FILES, (x, y, x[::2], y[::2]), strict=True):
        write(tmp_path / f"{name}.gz", gzip.compress(idx_bytes(array)))
    data = load(DataSettings("mnist", tmp_path))
    assert len(data.y_train) == 40
    assert len(data.y_test) == 20
    (tmp_path / f"{MNIST_FILES[1]}.gz").rename(tmp_path / "train-labels.idx1-ubyte.gz")
    assert mnist_file(tmp_path, MNIST_FILES[1]).name == "train-labels.idx1-ubyte.gz"
    (tmp_path / f"{MNIST_FILES[3]}.gz").unlink()
    with pytest.raises(DataError, match="lacks the file t10k-labels-idx1-ubyte"):
        load(DataSettings("mnist", tmp_path))
    with pytest.raises(DataError, match=r"does not exist; point data\.path to the folder"):
        load(DataSettings("mnist", tmp_path / "absent"))
    with pytest.raises(DataError, match="which is a file; name its folder"):
        load(DataSettings("mnist", mnist_file(tmp_path, MNIST_FILES[0])))


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("compress", [False, True])
def test_npz_both_forms(tmp_path: Path, compress: bool) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), np.arange(50) % 3
    save = np.savez_compressed if compress else np.savez
    save(tmp_path / "a.npz", x=np.asfortranarray(x), y=y)
    data = load(DataSettings("npz", tmp_path / "a.npz"))
    assert len(data.y_train) + len(data.y_test) == 50
    assert {tuple(row) for row in (*data.x_train.tolist(), *data.x_test.tolist())} == {tuple(row) for row in x.tolist()}
    save(
        tmp_path / "b.npz",
        x_train=x,
        y_train=np.array(["no", "yes"])[y % 2],
        x_test=x[:9],
        y_test=np.array(["yes"] * 9),
    )
    data = load(DataSettings("npz", tmp_path / "b.npz"))
    assert data.classes == ("no", "yes")
    assert data.y_test.tolist() == [1] * 9
    save(tmp_path / "c.npz", x=x, y=x[:, 0] * 7)
    data = load(DataSettings("npz", tmp_path / "c.npz", task="regression"))
    assert data.host.target_scale == pytest.approx(np.std(data.y_train))


def test_npz_errors(tmp_path: Path) -> None:
    x, y = np.ones((50, 3)), np.arange(50) % 3

    def fails(path: Path, message: str, **more: Any) -> None:
        with pytest.raises(DataError, match=message):
            load(DataSettings("npz", path, **more))

    fails(npz(tmp_path / "a.npz", x=x, z=y), "must hold the arrays x_train, y_train, x_test and y_test, or x and y")
    fails(npz(tmp_path / "b.npz", x=np.array([{}] * 3, dtype=object), y=y), "must hold numbers or labels, not object")
    fails(npz(tmp_path / "c.npz", x=x.astype(complex), y=y), "must hold numbers or labels, not complex128")
    fails(npz(tmp_path / "d.npz", x=np.full((50, 3), np.nan), y=y), "NaN or infinity among the features")
    fails(npz(tmp_path / "e.npz", x=x, y=y + 0.5), "must be integers or text, not fractions")
    fails(npz(tmp_path / "f.npz", x=x, y=y[:-1]), "50 rows need one label each")
    fails(npz(tmp_path / "g.npz", x=x, y=y.astype(str)), "finite numbers were expected as targets", task="regression")
    fails(
        npz(tmp_path / "h.npz", x_train=x, y_train=y, x_test=x, y_test=y + 1), "class '3' is in the test part but not"
    )
    fails(write(tmp_path / "i.npz", b"hello"), "no readable .npz file")
    whole = (tmp_path / "a.npz").read_bytes()
    fails(write(tmp_path / "j.npz", whole[: len(whole) // 2]), "no readable .npz file")
    broken = bytearray((tmp_path / "f.npz").read_bytes())
    broken[300] ^= 1
    fails(write(tmp_path / "k.npz", bytes(broken)), "no readable .npz file")
    fails(tmp_path / "absent.npz", "does not exist")


def member(path: Path, header: bytes, body: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header + body)
        archive.writestr("y.npy", b"")
    return path


def test_npz_headers_that_lie(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**6)})
    with pytest.raises(DataError, match=r"announces 8000000000000000 bytes .* but 16 are there"):
        read_npz(member(tmp_path / "a.npz", buffer.getvalue(), b"\0" * 16))
    with pytest.raises(DataError, match="no array that numpy saved"):
        read_npz(member(tmp_path / "b.npz", b"\x93NUMPY\x09\0", b""))
    with pytest.raises(DataError, match="no array that numpy saved"):
        read_npz(member(tmp_path / "c.npz", b"hello", b""))


def test_npz_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_npz, "MAX_BYTES", 1 << 20)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((1 << 18, 2)), y=np.zeros(1 << 18))
    with pytest.raises(DataError, match="more than 1 MiB"):
        read_npz(path)
