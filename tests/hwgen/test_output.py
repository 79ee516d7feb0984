"""Output folders: the old build or the new one, never a mixture."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from hwgen import _output
from hwgen._output import check_target, keep_failed, recover, staged
from pymodel.errors import ConfigError


def _fill(folder: Path, text: str) -> None:
    (folder / "report.json").write_text(text)
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text(text)


def _content(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.rglob("*") if path.is_file()}


def _leftovers(target: Path) -> list[str]:
    return sorted(p.name for p in target.parent.iterdir() if p.name.startswith(".") and not p.name.endswith(".lock"))


def test_first_build_and_replacement(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    for text in ("one", "two"):
        with staged(target) as work:
            _fill(work, text)
        assert _content(target) == {text}
    assert _leftovers(target) == []


def test_without_exchange_the_folder_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_output, "_exchange", lambda a, b: False)
    target = tmp_path / "out"
    for text in ("one", "two"):
        with staged(target) as work:
            _fill(work, text)
        assert _content(target) == {text}
    assert _leftovers(target) == []


def test_failure_leaves_the_earlier_build(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with staged(target) as work:
        _fill(work, "good")
    with pytest.raises(RuntimeError, match="boom"), staged(target) as work:
        (work / "report.json").write_text("half")
        raise RuntimeError("boom")
    assert _content(target) == {"good"}
    assert _leftovers(target) == []


def test_recover_moves_the_earlier_build_back(tmp_path: Path) -> None:
    target = tmp_path / "out"
    aside = tmp_path / ".out.previous"
    aside.mkdir()
    _fill(aside, "good")
    recover(target)
    assert _content(target) == {"good"}
    assert not aside.exists()


def test_a_failed_build_is_kept_beside(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for text in ("bad", "worse"):
        with pytest.raises(RuntimeError), staged(target) as work:
            _fill(work, text)
            kept = keep_failed(work, target)
            raise RuntimeError
        assert kept == tmp_path / "out.failed"
        assert _content(kept) == {text}
    assert not target.exists()


@pytest.mark.parametrize("kind", ["file", "foreign", "readonly", "readonly_parent"])
def test_unusable_targets_are_refused_before_any_work(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "parent" / "out"
    target.parent.mkdir()
    if kind == "file":
        target.write_text("x")
    else:
        target.mkdir()
    if kind == "foreign":
        (target / "thesis.tex").write_text("years of work")
    if kind == "readonly":
        target.chmod(0o555)
    if kind == "readonly_parent":
        target.parent.chmod(0o555)
    try:
        with pytest.raises(ConfigError, match="choose another --out"), staged(target):
            pass
    finally:
        target.parent.chmod(0o755)
    if kind == "foreign":
        assert (target / "thesis.tex").read_text() == "years of work"


def test_a_second_build_of_the_same_folder_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with staged(target) as work:
        _fill(work, "first")
        with pytest.raises(ConfigError, match="another build"), staged(target):
            pass
    assert _content(target) == {"first"}


_WRITER = """
    import sys, time
    from pathlib import Path
    from hwgen._output import staged
    round = 0
    while True:
        round += 1
        with staged(Path(sys.argv[1])) as work:
            for index in range(20):
                (work / f"{index}").write_text(f"{round}")
            (work / "report.json").write_text(f"{round}")
"""


def test_sigkill_at_random_moments_leaves_a_whole_build(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with staged(target) as work:
        _fill(work, "0")
    for trial in range(10):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(_WRITER), str(target)])
        time.sleep(0.5 + 0.037 * trial)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        check_target(target)  # what the next command does first
        assert len(_content(target)) == 1, "files of two builds are mixed"
        assert (target / "report.json").is_file()


def test_a_link_to_a_folder_stays_and_the_folder_is_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    for text in ("one", "two"):
        with staged(link) as work:
            _fill(work, text)
        assert link.is_symlink()
        assert _content(real) == {text}
    assert _leftovers(link) == []


def test_the_working_directory_is_refused_as_a_target_but_can_be_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    with staged(target) as work:
        _fill(work, "one")
    for inside, name in ((target, "."), (target / "sub", "..")):
        monkeypatch.chdir(inside)
        with pytest.raises(ConfigError, match="working directory"):
            check_target(Path(name))
        recover(Path(name))
    assert _content(target) == {"one"}


def test_a_full_disk_while_a_tree_is_copied_is_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no space is left"), staged(tmp_path / "out"):
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'")])
    assert _leftovers(tmp_path / "out") == []
