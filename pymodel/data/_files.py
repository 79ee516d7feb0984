"""Reading a data file whole, within a limit, whether gzip or not."""

from __future__ import annotations

import gzip
import stat
import zlib
from pathlib import Path

from pymodel.errors import DataError

__all__ = ["MAX_BYTES", "check_file", "read_bytes"]

#: A data file, unpacked, may have at most this many bytes: everything is held in memory several times over.
MAX_BYTES = 1 << 30
_GZIP_MAGIC = b"\x1f\x8b"


def check_file(path: Path) -> int:
    """Return the size of the regular, readable, non-empty file `path` in bytes.

    Raises:
        DataError: if it is missing, no regular file, or empty.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise DataError(f"the data file {path} does not exist; check data.path") from None
    except (OSError, ValueError) as error:
        raise DataError(f"the data file {path} cannot be read ({_reason(error)}); check data.path") from None
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"a data file was expected at {path}, which is a folder; name the file in it")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"a data file was expected at {path}, which is no regular file; copy the data into one")
    if status.st_size == 0:
        raise DataError(f"the data file {path} is empty; put the data there again")
    return status.st_size


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of `path`, unpacked if it starts like gzip, reading at most `limit` bytes.

    Raises:
        DataError: if the file is missing, unreadable, empty, larger than `limit`, or broken gzip.
    """
    size = check_file(path)
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            file.seek(0)
            if not packed and size > limit:
                raise DataError(_too_big(path, limit))
            if packed:
                with gzip.GzipFile(fileobj=file) as unpacked:
                    content = unpacked.read(limit + 1)
            else:
                content = file.read(limit + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"the data file {path} is truncated or corrupt gzip ({_reason(error)}); fetch it again"
        ) from None
    except OSError as error:
        raise DataError(f"the data file {path} cannot be read ({_reason(error)}); check its permissions") from None
    if len(content) > limit:
        raise DataError(_too_big(path, limit))
    if not content:
        raise DataError(f"the data file {path} is empty; put the data there again")
    return content


def _too_big(path: Path, limit: int) -> str:
    return f"the data file {path} has more than {limit >> 20} MiB unpacked, the most that is read; take a part of it"


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
