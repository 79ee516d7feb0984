"""CIFAR-10 and CIFAR-100: the official binary batches, and CIFAR-10 as packed JPEG images in two npz files.

A record of a binary batch (Krizhevsky 2009) is one label byte (CIFAR-100: coarse, then fine), then 32*32 red, green and
blue values, plane by plane and row by row. The packed files hold `header`, which all JPEG files share, `scans`, the rest
of each without its two last bytes, side by side, their `lengths`, `labels` and `classes`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pymodel.data._decode import Pixels, decode
from pymodel.data._files import read_bytes
from pymodel.data._npz import read_npz_arrays
from pymodel.errors import DataError
from pymodel.ir import IntArray

__all__ = ["CIFAR_SHAPE", "JpegPack", "Labelled", "read_cifar10", "read_cifar100"]

CIFAR_SHAPE = (32, 32, 3)
_PIXELS = 32 * 32 * 3
_CLASSES_10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_TRAIN_10 = tuple(f"data_batch_{index}.bin" for index in range(1, 6))
_PACKED = ("cifar10_jpeg_train.npz", "cifar10_jpeg_test.npz")
_ARRAYS = ("header", "lengths", "scans", "labels", "classes")
#: Folders that the official archives unpack to.
_FOLDERS = {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}
_JPEG_END = b"\xff\xd9"


class Labelled:
    """Images and their classes.

    Attributes:
        x: (rows, 3072) uint8, channels last, or a :class:`JpegPack`.
        y: (rows,) class indices.
    """

    def __init__(self, x: Pixels | JpegPack, y: IntArray) -> None:
        self.x, self.y = x, y


class JpegPack:
    """The JPEG images of a packed file, decoded one by one.

    Args:
        path: the file, for messages.
        header: bytes that every image begins with.
        scans: the rest of all images.
        ends: (n,) where each one's part of `scans` ends.
    """

    def __init__(self, path: Path, header: bytes, scans: bytes, ends: IntArray) -> None:
        self._path, self._header, self._scans, self._ends = path, header, scans, ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int, /) -> Pixels:
        start = int(self._ends[index - 1]) if index else 0
        content = self._header + self._scans[start : int(self._ends[index])] + _JPEG_END
        image = decode(content, f"image {index} of {self._path}", size=CIFAR_SHAPE[:2])
        return np.asarray(image, dtype=np.uint8)


def read_cifar10(folder: Path) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """Return training part, test part and class names of CIFAR-10 in `folder`.

    Args:
        folder: of the official binary files (or the folder around it), or of the two packed npz files.

    Raises:
        DataError: if a file is missing, truncated or not what it should be.
    """
    inner = _inner(folder, 10, "data_batch_1.bin")
    if not (inner / _TRAIN_10[0]).exists() and (inner / _PACKED[0]).exists():
        (train, names), (test, others) = (_packed(inner / name) for name in _PACKED)
        if names != others:
            raise DataError(f"the two files in {inner} name different classes; fetch them again")
        return train, test, names
    train = _joined([_batch(inner / name, inner, (10,)) for name in _TRAIN_10])
    test = _joined([_batch(inner / "test_batch.bin", inner, (10,))])
    return train, test, _names(inner / "batches.meta.txt", _CLASSES_10)


def read_cifar100(folder: Path, label: str) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """Return training part, test part and class names of CIFAR-100 in `folder`.

    Args:
        folder: of the official binary files, or the folder around it.
        label: `fine` (100 classes) or `coarse` (20).

    Raises:
        DataError: if a file is missing, truncated or not what it should be.
    """
    inner = _inner(folder, 100, "train.bin")
    column = 1 if label == "fine" else 0
    train, test = (_joined([_batch(inner / name, inner, (20, 100))], column) for name in ("train.bin", "test.bin"))
    unnamed = tuple(f"{label}_{index}" for index in range((20, 100)[column]))
    return train, test, _names(inner / f"{label}_label_names.txt", unnamed)


def _inner(folder: Path, kind: int, first: str) -> Path:
    """Return the folder that holds the file `first`: `folder`, or the official one in it."""
    if not folder.exists():
        raise DataError(f"the folder {folder} does not exist; point data.path to the folder of the CIFAR-{kind} files")
    if not folder.is_dir():
        raise DataError(
            f"a folder with the CIFAR-{kind} files was expected at {folder}, which is a file; name its folder"
        )
    nested = folder / _FOLDERS[kind]
    return nested if not (folder / first).exists() and nested.is_dir() else folder


def _batch(path: Path, folder: Path, classes: tuple[int, ...]) -> tuple[npt.NDArray[np.uint8], Pixels]:
    """Return the label columns (rows, labels) and pixels (rows, 3072), channels last, of one binary batch."""
    if not path.exists():
        raise DataError(f"{folder} lacks the file {path.name}; put the official binary files there (those named .bin)")
    content = read_bytes(path)
    record = len(classes) + _PIXELS
    if len(content) % record:
        raise DataError(
            f"{path} has {len(content)} bytes, which is no multiple of {record}, the size of an image with its label; "
            "fetch it again"
        )
    rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    for column, count in enumerate(classes):
        worst = int(rows[:, column].max())
        if worst >= count:
            raise DataError(f"{path} holds the label {worst}, but labels go from 0 to {count - 1}; fetch it again")
    planes = rows[:, len(classes) :].reshape(-1, 3, 32 * 32)
    return rows[:, : len(classes)], np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(-1, _PIXELS)


def _joined(parts: list[tuple[npt.NDArray[np.uint8], Pixels]], column: int = 0) -> Labelled:
    labels = np.concatenate([labels[:, column] for labels, _ in parts]).astype(np.int64)
    return Labelled(np.concatenate([pixels for _, pixels in parts]), labels)


def _names(path: Path, default: tuple[str, ...]) -> tuple[str, ...]:
    """Return the class names in the text file `path`, one a line, or `default` where it does not exist."""
    if not path.exists():
        return default
    names = tuple(line.strip() for line in read_bytes(path, 1 << 16).decode("utf-8", "replace").splitlines())
    names = tuple(name for name in names if name)
    if len(names) != len(default) or len(set(names)) != len(names) or not all(name.isprintable() for name in names):
        raise DataError(f"{path} must name {len(default)} different classes, one a line; fetch it again or remove it")
    return names


def _packed(path: Path) -> tuple[Labelled, tuple[str, ...]]:
    arrays = read_npz_arrays(path, _ARRAYS)
    header, lengths, scans, labels, classes = (arrays[name] for name in _ARRAYS)
    good = (
        all(a.ndim == 1 for a in arrays.values())
        and header.dtype == scans.dtype == np.uint8
        and lengths.dtype.kind == labels.dtype.kind == "u"
        and classes.dtype.kind == "U"
    )
    if not good:
        raise DataError(
            f"{path} must hold the vectors header and scans of bytes, lengths and labels of unsigned integers and "
            "classes of text; fetch it again"
        )
    n, ends = len(labels), np.cumsum(lengths, dtype=np.int64)
    if len(lengths) != n or n == 0 or int(ends[-1]) != len(scans):
        raise DataError(
            f"{path} holds {n} labels, {len(lengths)} lengths and {len(scans)} bytes of images, which do not fit; "
            "fetch it again"
        )
    names = tuple(str(name) for name in classes)
    if int(labels.max()) >= len(names) or not 2 <= len(set(names)) == len(names):
        raise DataError(f"{path} has labels up to {int(labels.max())} for {len(names)} class names; fetch it again")
    pack = JpegPack(path, header.tobytes(), scans.tobytes(), ends)
    return Labelled(pack, labels.astype(np.int64)), names
