"""`kan4ml prove`: what it prints and writes, and its exit status."""

from __future__ import annotations

import json
import sys

import pytest

from hwgen import cli
from pymodel.ir import save_ir
from tests.hwgen.prove.hand import VERILOG, edited, network, write


def _run(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["kan4ml", "prove", *words])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


@pytest.fixture
def build(tmp_path):
    def make(verilog: str):
        save_ir(network(), tmp_path / "ir")
        write(tmp_path / "rtl" / "tables", verilog)
        return tmp_path

    return make


@pytest.mark.synth
def test_proven(build, monkeypatch, capsys, tmp_path):
    status, out, _ = _run(monkeypatch, capsys, str(build(VERILOG)), "--out", str(tmp_path / "proof.json"))
    assert status == 0
    assert "a: 2 integers at stage 2, 4 edges" in out
    assert "proven for every input" in out
    proof = json.loads((tmp_path / "proof.json").read_text())
    assert proof["status"] == "proven"
    assert [layer["node"] for layer in proof["layers"]] == ["x", "a", "b"]


@pytest.mark.synth
def test_refuted(build, monkeypatch, capsys, tmp_path):
    folder = build(edited(("2'd1: t00 = 3'd1;", "2'd1: t00 = 3'd3;")))
    status, _, err = _run(monkeypatch, capsys, str(folder), "--out", str(tmp_path / "proof.json"))
    assert status == 1
    assert err.splitlines()[-1].startswith(  # progress comes before
        "kan4ml: refuted: output 0 of a: the table of x[0] differs from the program's in 1 of 4 entries"
    )
    assert "for the input integers [1, " in err
    assert json.loads((tmp_path / "proof.json").read_text())["counterexample"]["inputs"][0] == 1


def test_not_proven(build, monkeypatch, capsys):
    status, _, err = _run(monkeypatch, capsys, str(build(VERILOG.replace("posedge", "negedge"))))
    assert status == 1
    assert "not proven: kan_top.v:" in err


@pytest.mark.parametrize("what", ["nothing", "no program", "no list of files"])
def test_user_errors(what, build, monkeypatch, capsys, tmp_path):
    if what == "nothing":
        folder = tmp_path / "absent"
    else:
        folder = build(VERILOG)
        (folder / ("ir/ir.json" if what == "no program" else "rtl/tables/signals.json")).unlink()
    status, _, err = _run(monkeypatch, capsys, str(folder))
    assert status == 2
    *progress, sentence = err.splitlines()
    assert sentence.startswith("kan4ml: ")
    assert all(line.startswith("… ") for line in progress)
