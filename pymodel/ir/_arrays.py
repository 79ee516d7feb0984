"""Arrays in files: an npz of int64 and float64 arrays, the same bytes for the same arrays, read with distrust."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel._regular import check_regular
from pymodel.errors import IRError

__all__ = ["load_arrays", "save_arrays"]

_MAX_BYTES = 1 << 30
_EPOCH = (1980, 1, 1, 0, 0, 0)
_Array = npt.NDArray[Any]


def save_arrays(path: Path, arrays: Mapping[str, _Array]) -> None:
    """Write int64 / float64 `arrays` to `path` (npz, deflated). No dates: the same arrays give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, buffer.getvalue())


def _read(path: Path) -> dict[str, _Array]:
    check_regular(path)
    arrays: dict[str, _Array] = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(info.file_size for info in members) > _MAX_BYTES:
            raise IRError(f"{path.name} declares more than {_MAX_BYTES} bytes; it is not a file that kan4ml wrote")
        for info in members:
            with archive.open(info) as stream:
                version = np.lib.format.read_magic(stream)
                if version != (1, 0):
                    raise IRError(f"{path.name}: {info.filename!r} has npy version {version}, expected (1, 0)")
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
                data = stream.read()
            if fortran or dtype not in (np.dtype("<i8"), np.dtype("<f8")) or len(data) != math.prod(shape) * 8:
                raise IRError(f"{path.name}: {info.filename!r} is not a complete C-ordered int64 or float64 array")
            arrays[info.filename.removesuffix(".npy")] = np.frombuffer(data, dtype=dtype).reshape(shape)
    return arrays


def load_arrays(path: Path) -> dict[str, _Array]:
    """Read what :func:`save_arrays` wrote; no declared size is believed before it is checked, nothing is unpickled.

    Raises:
        FileNotFoundError: if there is no such file.
        IRError: if it is truncated, corrupt, too large, or holds other types.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise IRError(
            f"{path.name} cannot be read ({error}); it is truncated or corrupt: build the model again"
        ) from None
