"""From rows alone: what is guessed, what is written, and arrays to verified Verilog in one call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.config import load_config
from hwgen.start import Facts, draft, guess, write_draft
from pymodel.errors import ConfigError, DataError

_ROWS = [f"{i / 7:.3f};{(i * 3) % 11};{'xyz'[i % 3]};{i % 5}" for i in range(60)]


def _csv(path: Path, header: str = "a;b;kind;c", rows: list[str] = _ROWS) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def _guessed(path: Path, **options: str) -> dict[str, object]:
    found = draft(path, path.parent / "config.yaml", **options)  # type: ignore[arg-type]
    return {item.key: item.value for item in found.guesses}


def test_a_draft_is_a_configuration_with_comments(tmp_path: Path) -> None:
    found = draft(_csv(tmp_path / "rows.csv"), tmp_path / "config.yaml")
    write_draft(found.text, tmp_path / "config.yaml")
    config = load_config(tmp_path / "config.yaml")
    assert (config.data.label, config.data.task, config.model.widths[0]) == ("kind", "classification", 3)
    assert config.model.widths[-1] == 3
    assert "semicolons" in found.text
    assert all(f"# {item.why}" in found.text for item in found.guesses if item.why)
    assert draft(tmp_path / "rows.csv", tmp_path / "config.yaml").text == found.text


@pytest.mark.parametrize(
    ("header", "options", "label", "task"),
    [
        ("a;b;kind;c", {}, "kind", "classification"),
        ("a;b;other;c", {}, "other", "classification"),  # the only column of text
        ("a;b;Species;c", {}, "Species", "classification"),
        ("a;b;kind;c", {"task": "classification"}, "kind", "classification"),
    ],
)
def test_the_label(header: str, options: dict[str, str], label: str, task: str, tmp_path: Path) -> None:
    found = _guessed(_csv(tmp_path / "rows.csv", header), **options)
    assert (found["data.label"], found["data.task"]) == (label, task)


def test_numbers_as_labels(tmp_path: Path) -> None:
    few = [f"{i},{i * i % 13},{i % 3}" for i in range(60)]
    many = [f"{i},{i * i % 13},{i * 0.37:.2f}" for i in range(60)]
    assert _guessed(_csv(tmp_path / "few.csv", "a,b,c", few))["data.task"] == "classification"
    assert _guessed(_csv(tmp_path / "few.csv", "a,b,c", few), task="regression")["data.task"] == "regression"
    found = _guessed(_csv(tmp_path / "many.csv", "a,b,c", many))
    assert (found["data.task"], found["data.label"], found["quantize.activations"]) == ("regression", "c", 6)
    assert _guessed(tmp_path / "many.csv", label="a")["data.label"] == "a"


def test_a_column_that_counts_the_rows_is_noted(tmp_path: Path) -> None:
    rows = [f"{i},{i * i % 13},{'xy'[i % 2]}" for i in range(60)]
    found = draft(_csv(tmp_path / "rows.csv", "id,b,kind", rows), tmp_path / "config.yaml")
    assert "'id' counts the rows" in found.notes[0]


def test_text_that_is_no_label_is_refused(tmp_path: Path) -> None:
    rows = [f"{i},north,{'xy'[i % 2]}" for i in range(60)]
    with pytest.raises(DataError, match=r"'where' of .* holds more than numbers .'north'.* encode or remove it"):
        draft(_csv(tmp_path / "rows.csv", "a,where,kind", rows), tmp_path / "config.yaml")


def test_a_configuration_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists already; give --force"):
        write_draft("new", path)
    assert path.read_text() == "mine"
    write_draft("new", path, force=True)
    assert path.read_text() == "new"


def test_guesses_follow_the_rows() -> None:
    def at(**change: object) -> dict[str, object]:
        facts = Facts(**{"task": "classification", "rows": 10_000, "features": 16, "outputs": 3, "levels": 999, "pixels": False, "beyond": 0.0} | change)  # type: ignore[arg-type]  # fmt: skip
        return {item.key: item.value for item in guess(facts)}

    assert at()["train.epochs"] < at(rows=1000)["train.epochs"]  # type: ignore[operator]
    assert at(rows=200)["data.validation_fraction"] == 0
    assert at(levels=12)["quantize.first_activations"] == 4
    assert at(pixels=True)["data.scale"] == "minmax"
    assert at(beyond=0.1)["data.scale"] == "minmax"
    assert at(features=784, outputs=10)["train.prune"] == {"edges": 1600}
    assert "train.prune" not in at(features=4)
    assert {item.key: item.value for item in guess(Facts("regression", 500, 3, 1, 99, False, 0.0), simulator=False)}["hardware.rtl"] == []  # fmt: skip


_QUICK = ("hardware.vectors=100", "hardware.synth=false", "train.epochs=2", "train.qat_epochs=1")


@pytest.mark.rtl
def test_arrays_to_verified_verilog(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = np.where(X[:, 0] > 0, "up", "down")
    result = hwgen.build_arrays(X, y, tmp_path / "out", overrides=_QUICK)
    assert (result.folder / "rtl" / "tables" / "kan_top.v").is_file()
    assert result.report["equivalence"]["rtl_vs_reference"]["tables"]["mismatches"] == 0
    assert result.report["dataset"]["classes"] == ["down", "up"]
    config = load_config(result.folder / "config.yaml")  # which builds it again
    assert config.data.path == result.folder / "rows.npz"
    with np.load(result.folder / "rows.npz") as rows:
        assert (rows["x"] == X).all()


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros(4), np.zeros(4), "X must be numbers of shape"),
        (np.array([["a"], ["b"]]), np.zeros(2), "X must be numbers of shape"),
        (np.zeros((4, 2)), np.zeros(3), "y must be a label or target for each of the 4 rows"),
        ([[1, 2], [3]], [0, 1], "give every row the same number"),
        (np.full((20, 2), np.nan), np.arange(20) % 2, "NaN or infinity"),
    ],
)
def test_arrays_that_cannot_be_used(X: object, y: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        hwgen.build_arrays(X, y, tmp_path / "out")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
