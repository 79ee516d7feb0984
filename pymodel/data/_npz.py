"""Arrays from an `.npz` file: never pickle, and no allocation on the word of a header."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from pymodel.data._files import MAX_BYTES, check_file
from pymodel.errors import DataError
from pymodel.suggest import suggest

__all__ = ["read_npz", "read_npz_arrays"]

_SETS = (("x_train", "y_train", "x_test", "y_test"), ("x", "y"))


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays `x_train, y_train, x_test, y_test`, or `x, y`, of the `.npz` file `path`.

    Raises:
        DataError: if the file is missing or no zip file, an array is absent, holds objects, or is not as long as its
            header says, or all of them together exceed the limit.
    """
    return _read(path, _SETS, "x_train, y_train, x_test and y_test, or x and y")


def read_npz_arrays(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays `names` of the `.npz` file `path`; raises as :func:`read_npz`."""
    return _read(path, (names,), ", ".join(names))


def _read(path: Path, sets: tuple[tuple[str, ...], ...], what: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the first of `sets` that the file has; `what` says them in words."""
    check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            names = next((names for names in sets if all(name in members for name in names)), None)
            if names is None:
                missing = next(name for name in sets[0] if name not in members)
                raise DataError(
                    f"{path} must hold the arrays {what}, but {missing} is absent; {suggest(missing, members)}"
                )
            if sum(members[name].file_size for name in names) > MAX_BYTES:
                raise DataError(f"the arrays of {path} have more than {MAX_BYTES >> 20} MiB; take a part of the rows")
            arrays = {}
            for name in names:
                with archive.open(members[name]) as file:
                    arrays[name] = _read_array(path, name, file, members[name].file_size)
            return arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is no readable .npz file ({error}); save it again with numpy.savez") from None
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise DataError(f"the data file {path} cannot be read ({reason}); check its permissions") from None


def _read_array(path: Path, name: str, file: IO[bytes], size: int) -> npt.NDArray[Any]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(file)
        shape, fortran, dtype = readers[version](file)
    except (ValueError, KeyError):
        raise DataError(f"{name} in {path} is no array that numpy saved; save it again with numpy.savez") from None
    if dtype.hasobject or dtype.kind not in "biufU":
        raise DataError(f"{name} in {path} must hold numbers or labels, not {dtype}; save it as a plain array")
    expected = math.prod(shape) * dtype.itemsize
    if expected != size - file.tell():
        raise DataError(
            f"{name} in {path} announces {expected} bytes for shape {shape}, but {size - file.tell()} are there; "
            "save it again"
        )
    content = file.read(expected)
    if len(content) != expected:
        raise DataError(f"{name} in {path} is shorter than announced; save it again")
    return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran else "C")
