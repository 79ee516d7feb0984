"""What a user can do wrong: exit status 2, one sentence with the remedy, no traceback, nothing written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hwgen import cli

GOOD_CSV = "a,b,kind\n" + "".join(f"{i / 7:.3f},{(i * 3) % 11},{'xy'[i % 2]}\n" for i in range(40))


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process; return (exit status, stdout, stderr)."""
    monkeypatch.setattr(sys, "argv", ["kan4ml", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
        raise SystemExit(0)
    captured = capsys.readouterr()
    code = exit_info.value.code
    return (code if isinstance(code, int) else 0 if code is None else 1), captured.out, captured.err


def config(tmp_path: Path, csv: str | bytes | None = GOOD_CSV, **sections: object) -> Path:
    """Write a configuration over a CSV file; sections update the defaults, None removes one."""
    content: dict[str, object] = {
        "data": {"source": "csv", "path": "rows.csv", "label": "kind"},
        "model": {"widths": [2, 3, 2]},
        "train": {"epochs": 1, "qat_epochs": 1},
    }
    for key, value in sections.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            content[key] = {**content[key], **value}  # type: ignore[dict-item]
        else:
            content[key] = value
    if csv is not None:
        (tmp_path / "rows.csv").write_bytes(csv if isinstance(csv, bytes) else csv.encode())
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


CONFIGS: dict[str, tuple[dict[str, object], str]] = {
    "unknown section": ({"hardwear": {}}, "hardware"),
    "unknown key": ({"train": {"epoch": 3}}, "epochs"),
    "wrong type": ({"train": {"epochs": "many"}}, "train.epochs"),
    "negative": ({"train": {"epochs": -1}}, "train.epochs"),
    "too many bits": ({"quantize": {"activations": 40}}, "quantize.activations"),
    "not a mapping": ({"train": [1, 2]}, "train"),
    "widths do not fit the data": ({"model": {"widths": [3, 2]}}, "model.widths"),
    "empty widths": ({"model": {"widths": []}}, "model.widths"),
    "reversed range": ({"model": {"range": [2, -2]}}, "model.range"),
    "unknown family": ({"model": {"family": "mlp"}}, "family"),
    "unknown source": ({"data": {"source": "sql"}}, "source"),
    "missing file": ({"data": {"path": "absent.csv"}}, "absent.csv"),
    "a folder instead of a file": ({"data": {"path": "."}}, "folder"),
    "label column absent": ({"data": {"label": "kinds"}}, "kind"),
    "a part that Yosys does not know": ({"hardware": {"part": "lattice"}}, "part"),
    "an engine of a later version": ({"hardware": {"rtl": ["bambu"]}}, "bambu"),
    "io_stream of an engine for arrays": ({"hardware": {"io": "io_stream", "rtl": ["openhls"]}}, "io_parallel"),
    "reuse factor": ({"hardware": {"reuse_factor": 4}}, "reuse"),
    "model name with a path": ({"model": {"name": "../../x"}}, "name"),
    "model name with quotes": ({"model": {"name": 'x"; rm'}}, "name"),
    "prune more edges than there are": ({"train": {"prune": {"edges": 10_000}}}, "prune"),
}

CSVS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "empty"),
    "header only": ("a,b,kind\n", "no rows"),
    "ragged": (GOOD_CSV + "1,2\n", "line 42"),
    "not numeric": (GOOD_CSV.replace("0.000,0,x", "zero,0,x"), "line 2"),
    "NaN": (GOOD_CSV.replace("0.000,0,x", "nan,0,x"), "line 2"),
    "infinity": (GOOD_CSV.replace("0.000,0,x", "inf,0,x"), "line 2"),
    "missing value": (GOOD_CSV.replace("0.000,0,x", ",0,x"), "line 2"),
    "single class": (GOOD_CSV.replace(",y\n", ",x\n"), "single class"),
    "duplicate columns": (GOOD_CSV.replace("a,b,kind", "a,a,kind"), "two columns"),
    "binary": (b"\xff\xfe\x00\x01" * 50, "UTF-8"),
    "too few rows": ("a,b,kind\n1,2,x\n3,4,y\n", "rows"),
}


def _refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: Path, expected: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    status, _, err = run(capsys, monkeypatch, "build", str(path), "--out", str(tmp_path / "out"), "--quiet")
    assert status == 2, err
    assert expected in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, err
    assert [p for p in sorted(tmp_path.rglob("*")) if p not in before] == [], "something was written"


@pytest.mark.parametrize("case", CONFIGS)
def test_bad_configurations(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sections, expected = CONFIGS[case]
    _refused(tmp_path, capsys, monkeypatch, config(tmp_path, **sections), expected)


@pytest.mark.parametrize("case", CSVS)
def test_bad_csv_files(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    csv, expected = CSVS[case]
    _refused(tmp_path, capsys, monkeypatch, config(tmp_path, csv), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "'data'"),
        ("[1, 2]", "sections"),
        ("data: {", "config.yaml"),
        ("a: &x [*x]", "config.yaml"),
        ("data: !!python/object:os.system {}", "config.yaml"),
        ("\x00", "config.yaml"),
    ],
)
def test_bad_yaml(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    _refused(tmp_path, capsys, monkeypatch, path, expected)


def test_a_missing_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _refused(tmp_path, capsys, monkeypatch, tmp_path / "absent.yaml", "absent.yaml")


def test_overrides_are_checked_like_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path)
    for override, expected in (("train.epoch=3", "epochs"), ("train.epochs", "="), ("train.epochs=x", "train.epochs")):
        status, _, err = run(capsys, monkeypatch, "build", str(path), "--out", str(tmp_path / "o"), "--set", override)
        assert (status, expected in err) == (2, True), err


def test_a_read_only_output_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = config(tmp_path)
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    status, _, err = run(capsys, monkeypatch, "build", str(path), "--out", str(out))
    assert status == 2
    assert "read-only" in err


@pytest.mark.parametrize("command", ["verify", "report", "predict"])
@pytest.mark.parametrize("kind", ["absent", "empty", "file"])
def test_folders_that_are_no_build(
    command: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "build"
    if kind == "empty":
        folder.mkdir()
    elif kind == "file":
        folder.write_text("x")
    rows = tmp_path / "rows.csv"
    rows.write_text(GOOD_CSV)
    extra = [str(rows)] if command == "predict" else []
    status, _, err = run(capsys, monkeypatch, command, str(folder), *extra)
    assert status == 2
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_help_is_quick_to_import() -> None:
    """`--help` must not import torch, numba or hls4ml; that is what takes seconds."""
    code = "import sys, hwgen.cli; print(sorted({'torch', 'numba', 'hls4ml', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, err = run(capsys, monkeypatch, "doctor")
    assert status == 0, err
    assert "VitisKAN" in out
    assert shutil.which("vitis-run") is not None or "not found" in out


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from pymodel import __version__

    status, out, _ = run(capsys, monkeypatch, "--version")
    assert (status, out.strip()) == (0, f"kan4ml {__version__}")


def test_npz_with_pickled_objects_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "rows.npz", x=np.array([{}, {}], dtype=object), y=np.arange(2))
    path = config(tmp_path, data=None)
    path.write_text(yaml.safe_dump({"data": {"source": "npz", "path": "rows.npz"}, "model": {"widths": [2, 2]}}))
    _refused(tmp_path, capsys, monkeypatch, path, "rows.npz")


def test_a_full_disk_is_said_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("hwgen.predict.predict_rows", full)
    status, _, error = run(capsys, monkeypatch, "predict", "build", "rows.csv")
    assert status == 2
    assert error == (
        "kan4ml: a file or the output cannot be used at somewhere (No space left on device); check space and permissions\n"
    )
