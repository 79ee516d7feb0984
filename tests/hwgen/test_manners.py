"""How the command line behaves: quick help, exit statuses in one place, JSON, colours, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen._exit import EPILOG, ExitStatus
from hwgen.cli import FAMILIES
from pymodel.importers import LIBRARIES

_HEAVY = ("torch", "numba", "hls4ml", "matplotlib", "sklearn", "scipy", "numpy", "rich.table", "jinja2")


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from hwgen.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["--version"], ["init", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from hwgen import _exit; from hwgen.cli import app; sys.argv[1:] = " + repr(arguments) + "\n"
        f"_exit.status(app); print(sorted(set({_HEAVY!r}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_help_lists_every_exit_status() -> None:
    text = _run("--help").stdout
    for status in ExitStatus:
        line = next(line for line in EPILOG.splitlines() if line.split()[:1] == [str(int(status))])
        assert " ".join(line.split()) in " ".join(text.split())


def test_usage_errors_are_one_sentence() -> None:
    for arguments in (["buidl"], ["build"], ["build", "--nothing", "x"], ["tables", "x.npz", "--vectors", "0"]):
        result = _run(*arguments)
        assert result.returncode == 2
        assert len(result.stderr.strip().splitlines()) == 1
        assert result.stderr.startswith("kan4ml: ")
        assert result.stdout == ""


def test_a_defect_has_a_status_of_its_own() -> None:
    code = (
        "import hwgen._output, hwgen.cli\n"
        "def broken(_): raise ZeroDivisionError('x')\n"
        "hwgen._output.recover = broken\n"
        "hwgen.cli.main()"
    )
    result = subprocess.run([sys.executable, "-c", code, "prove", "x"], capture_output=True, text=True, timeout=60)
    assert result.returncode == ExitStatus.DEFECT
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("kan4ml: this is a defect of kan4ml")


def test_a_reader_that_goes_away_is_no_mismatch(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,kind\n" + "".join(f"{i * 0.7},{'xy'[i % 2]}\n" for i in range(40)))
    code = "from hwgen.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "init", "rows.csv", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == ExitStatus.BROKEN_PIPE


def test_json_stands_alone_on_stdout(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,kind\n" + "".join(f"{i * 0.7},{'xy'[i % 2]}\n" for i in range(40)))
    out = tmp_path / "c.yaml"
    result = _run("init", str(tmp_path / "rows.csv"), "--out", str(out), "--json")
    answer = json.loads(result.stdout)
    assert answer["config"] == str(out)
    assert answer["guesses"]["data.label"]["value"] == "kind"
    found = json.loads(_run("doctor", "--json").stdout)
    assert {"tool", "version", "purpose", "remedy", "required", "found"} == set(found[0])
    assert all(entry["remedy"] for entry in found)


def test_colours(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,a,kind\n" + "".join(f"{i},{i * 0.7},{'xy'[i % 2]}\n" for i in range(40)))
    arguments = ["init", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "c.yaml"), "--force"]
    assert "\x1b[33m" in _run(*arguments, FORCE_COLOR="1", NO_COLOR="", TERM="xterm").stdout  # the yellow note
    assert "\x1b[33m" not in _run(*arguments, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm").stdout


def test_quiet_prints_nothing(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,kind\n" + "".join(f"{i * 0.7},{'xy'[i % 2]}\n" for i in range(40)))
    result = _run("init", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "c.yaml"), "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_completion() -> None:
    found = _run(_KAN4ML_COMPLETE="complete_bash", COMP_WORDS="kan4ml ver", COMP_CWORD="1")
    assert found.stdout.split() == ["verify"]
    assert "complete" in _run(_KAN4ML_COMPLETE="source_bash").stdout
    assert set(FAMILIES) == set(LIBRARIES)
