"""Output folders that are either the old build or the new one, never a mixture, whatever kills the process.

A build is written into a hidden folder beside the target and then exchanged with it in one system call
(`renameat2(RENAME_EXCHANGE)`). Where the file system does not offer that, the old build is moved aside first and a
later command moves it back if the process died in between (:func:`recover`).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pymodel.errors import ConfigError

__all__ = ["BUILD_MARK", "check_target", "checkpoint_folder", "keep_failed", "recover", "staged"]

#: A folder that holds this file is a build of kan4ml and may be replaced by the next one.
BUILD_MARK = "report.json"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _real(target: Path) -> Path:
    """Return `target` without links, `.` and `..`: a link to a folder stays, what it points to is replaced."""
    return Path(os.path.realpath(target))


def _no_space(error: OSError) -> bool:
    if isinstance(error, shutil.Error):  # of copytree: a list of what failed
        return os.strerror(errno.ENOSPC) in str(error) or os.strerror(errno.EDQUOT) in str(error)
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{suffix}")


def _exchange(a: Path, b: Path) -> bool:
    """Atomically exchange two paths; False where the kernel or file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(b))


def checkpoint_folder(target: Path) -> Path:
    """Return where the training of a build of `target` is kept while it lasts."""
    return _beside(_real(target), "checkpoint")


def recover(target: Path) -> None:
    """Move an earlier build back that a killed process had moved aside; no-op otherwise, or while a build is running."""
    target = _real(target)
    if not _aside(target):
        return
    lock = os.open(_beside(target, "lock"), os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _recover(target)
    except BlockingIOError:  # the build that moved it aside is alive
        pass
    finally:
        os.close(lock)


def _aside(target: Path) -> bool:
    return _beside(target, "previous").is_dir() and not target.exists()


def _recover(target: Path) -> None:
    """Do it; the caller holds the lock."""
    if _aside(target):
        _beside(target, "previous").rename(target)


def check_target(target: Path) -> None:
    """Check, before any work, that `target` can receive a build.

    Raises:
        ConfigError: if it is a file, the working directory or one that holds it, read-only, in a folder that cannot be created, or holds something that is not a
            build of kan4ml.
    """
    target = _real(target)
    recover(target)
    if Path.cwd().is_relative_to(target):  # it would be gone under the feet of this process and of the shell
        raise ConfigError(
            f"the output folder {target} is or holds the working directory, but a build replaces it as a whole; "
            "work elsewhere or choose another --out"
        )
    try:
        if target.exists() and not target.is_dir():
            raise ConfigError(f"the output {target} is a file, a folder was expected; choose another --out")
        above = next(folder for folder in target.parents if folder.exists())
        if not above.is_dir():
            raise ConfigError(f"the output {target} lies in {above}, which is a file; choose another --out")
        for folder in (target, above):
            # Mode bits are looked at, too, because root may write into a folder that is marked read-only.
            if folder.exists() and (not os.access(folder, os.W_OK) or not folder.stat().st_mode & stat.S_IWUSR):
                raise ConfigError(f"the output folder {folder} is read-only; make it writable or choose another --out")
        if target.exists() and any(target.iterdir()) and not (target / BUILD_MARK).is_file():
            raise ConfigError(
                f"the output folder {target} holds files that are not a kan4ml build; choose another --out"
            )
    except OSError as error:
        raise ConfigError(
            f"the output folder {target} cannot be used ({error.strerror}); choose another --out"
        ) from None


def keep_failed(staging: Path, target: Path) -> Path:
    """Move a build whose stations differ to `target`'s name with `.failed` appended, and return that path."""
    target = _real(target)
    kept = target.with_name(f"{target.name}.failed")
    if (kept / BUILD_MARK).is_file():
        shutil.rmtree(kept)
    if kept.exists():
        kept = staging  # something else has that name: nothing is kept, nothing is overwritten
    else:
        staging.rename(kept)
    return kept


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give an empty folder beside `target` to build in; on success it becomes `target`, on any failure it vanishes.

    Raises:
        ConfigError: as :func:`check_target`, or if another build of the same target is running.
    """
    target = _real(target)
    check_target(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(_beside(target, "lock"), os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise ConfigError(
            f"the output folder {target} cannot be used ({error.strerror}); choose another --out"
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another build is writing {target}; wait for it or choose another --out") from None
        _recover(target)
        staging, aside = _beside(target, "building"), _beside(target, "previous")
        for leftover in (staging, aside):  # of a killed process; the lock proves that nobody uses them
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            staging.mkdir()
            yield staging
            if not target.exists():
                staging.rename(target)
            elif not _exchange(staging, target):
                target.rename(aside)
                staging.rename(target)
        except OSError as error:
            if _no_space(error):
                raise ConfigError(
                    f"no space is left for {target}; free some (the earlier build, if any, is untouched)"
                ) from None
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            if (
                not target.exists() and aside.is_dir()
            ):  # stopped between the two steps of a file system without exchange
                aside.rename(target)
            shutil.rmtree(aside, ignore_errors=True)
    finally:
        # The lock file stays: removing it would let two builds hold different files of the same name.
        os.close(lock)
