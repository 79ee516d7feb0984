"""IDX files, the format of MNIST: a big-endian header (type, rank, sizes), then the values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.data._files import MAX_BYTES, read_bytes
from pymodel.errors import DataError

__all__ = ["MNIST_FILES", "mnist_file", "read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
#: The four official files: training images and labels, test images and labels.
MNIST_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def read_idx(path: Path) -> npt.NDArray[Any]:
    """Return the array in the IDX file `path` (gzip or not), in the machine's byte order.

    Nothing is allocated on the word of the header: its sizes are compared with the bytes that are really there.

    Raises:
        DataError: if the file is missing, no IDX, or longer or shorter than its header says.
    """
    content = read_bytes(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES or not 1 <= content[3] <= 8:
        raise DataError(f"{path} does not start like an IDX file; check that it is the right file")
    dtype, rank = np.dtype(_TYPES[content[2]]), content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(f"{path} ends within its IDX header; fetch it again")
    shape = tuple(int(size) for size in np.frombuffer(content, dtype=">u4", count=rank, offset=4))
    if 0 in shape:
        raise DataError(f"the header of {path} announces an empty array of shape {shape}; fetch it again")
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - start
    if expected != found:
        raise DataError(
            f"the header of {path} announces {expected} bytes of data for shape {shape}, but {found} are there "
            f"(at most {MAX_BYTES >> 20} MiB are read); fetch it again"
        )
    values = np.frombuffer(content, dtype=dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def mnist_file(folder: Path, name: str) -> Path:
    """Return the file called `name`, with or without `.gz` and under either usual spelling, in `folder`.

    Raises:
        DataError: if `folder` is no folder or the file is not in it.
    """
    if not folder.exists():
        raise DataError(f"the folder {folder} does not exist; point data.path to the folder of the four MNIST files")
    if not folder.is_dir():
        raise DataError(
            f"a folder with the four MNIST files was expected at {folder}, which is a file; name its folder"
        )
    for spelling in (name, name.replace("-idx", ".idx")):
        for suffix in (".gz", ""):
            path = folder / (spelling + suffix)
            if path.exists():
                return path
    raise DataError(f"{folder} lacks the file {name} (or {name}.gz); put the four official MNIST files there")
