"""`kan4ml sensitivity`: files, table, and what a user can do wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hwgen.sensitivity_command import parse_bits
from pymodel.errors import ConfigError
from pymodel.layers import build_kan, save_float
from tests.hwgen.test_cli import config, run

SHORT = ("--bits", "4,2", "--quiet")


def test_a_configuration_becomes_files_and_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    status, shown, error = run(
        capsys, monkeypatch, "sensitivity", str(config(tmp_path)), "--out", str(out), "--bits", "4,2", "--per-layer"
    )
    assert status == 0, error
    assert sorted(p.name for p in out.iterdir()) == ["sensitivity.json", "sensitivity.png", "sensitivity.svg"]
    assert "spline, layer 1" in shown
    assert "float" in shown
    document = json.loads((out / "sensitivity.json").read_text())
    assert document["measure"] == "accuracy"
    assert document["settings"]["bits"] == [4, 2]
    assert [c["branch"] for c in document["curves"] if c["layer"] is None] == ["activations", "basis", "base", "spline"]
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    assert run(capsys, monkeypatch, "sensitivity", str(config(tmp_path)), "-o", str(out), *SHORT, "--per-layer")[0] == 0
    assert {p.name: p.read_bytes() for p in out.iterdir()} == first  # the same bytes, over the older files


def test_a_build_gives_its_float_weights(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    (build / "model").mkdir(parents=True)
    shutil.move(config(tmp_path), build / "config.yaml")
    shutil.move(tmp_path / "rows.csv", build / "rows.csv")
    save_float(
        build_kan("efficient_kan", (2, 3, 2), grid=5, order=3, range=(-2.0, 2.0)), build / "model" / "float.safetensors"
    )
    status, _, error = run(capsys, monkeypatch, "sensitivity", str(build), "-o", str(tmp_path / "out"), *SHORT)
    assert status == 0, error
    status, _, error = run(
        capsys,
        monkeypatch,
        "sensitivity",
        str(build),
        "-o",
        str(tmp_path / "o"),
        *SHORT,
        "--set",
        "model.widths=[2,4,2]",
    )
    assert status == 2
    assert "the build's network has [2, 3, 2]" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bits", "few"), "--bits must look like 8-2"),
        (("--bits", "9-1"), "2 to 12 bits"),
        (("--method", "lsq"), "without training"),
        (("--branches", "base,scaler"), "no scaler to sweep"),
        (("--rows", "train"), "validation or test"),
        (("--rows", "validation", "--set", "data.validation_fraction=0"), "no validation rows"),
        (("--calibration", "1"), "at least 2 rows"),
        (("--set", "model.family=table"), "no branches"),
        (("--out", "{config}"), "is a file"),
        (("--out", "{folder}"), "holds other files"),
    ],
)
def test_what_is_wrong_is_said(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    path = config(tmp_path, train={"epochs": 0})
    given = [word.format(config=path, folder=tmp_path) for word in arguments]
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    out = [] if "--out" in given else ["--out", str(tmp_path / "out")]
    status, _, error = run(capsys, monkeypatch, "sensitivity", str(path), *out, *given)
    assert status == 2
    assert message in error
    assert error.count("\n") == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_no_such_source(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    status, _, error = run(capsys, monkeypatch, "sensitivity", str(tmp_path / "absent.yaml"))
    assert status == 2
    assert "does not exist" in error
    (tmp_path / "empty").mkdir()
    status, _, error = run(capsys, monkeypatch, "sensitivity", str(tmp_path / "empty"))
    assert status == 2
    assert "is no build" in error


def test_bits() -> None:
    assert parse_bits("8-5") == parse_bits("5-8") == (8, 7, 6, 5)
    assert parse_bits("8,2,4") == (8, 2, 4)
    for text in ("", "a", "8-", "-3", "8,,4"):
        with pytest.raises(ConfigError, match="--bits must look like"):
            parse_bits(text)
