"""Files that are read must be regular ones: a pipe would wait for ever, a device would never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["check_regular"]


def check_regular(path: Path | str) -> int:
    """Return the size of the regular file `path` in bytes.

    Raises:
        FileNotFoundError: if there is none.
        IsADirectoryError: if it is a folder.
        OSError: if it is a pipe, a device or a socket, or cannot be looked at.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - also takes text
    except ValueError:  # a NUL byte in the name
        raise OSError(errno.EINVAL, "its name holds a NUL byte", str(path)) from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return status.st_size
