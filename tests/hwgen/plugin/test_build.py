"""`hls_model.build(engine=…)`: RTL of the project's own C++ and a report as hls4ml gives it, or one sentence."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pymodel.errors import ConfigError, MismatchError, ModelError, ToolError
from pymodel.ir import KanIR
from tests.sim.csim.projects import convert_ir
from tests.strategies import random_ir

FIXTURES = Path(__file__).parents[1] / "adapters" / "fixtures"

# The module's project is built once.
pytestmark = pytest.mark.xdist_group("plugin_build")


@pytest.fixture(scope="module")
def ir() -> KanIR:
    return random_ir(5, widths=(2, 2), edge_tables=1.0, in_bits=4)


@pytest.fixture(scope="module")
def model(ir: KanIR, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return convert_ir(ir, tmp_path_factory.mktemp("build") / "project")


@pytest.mark.rtl
def test_openhls_from_hls4ml(model: Any) -> None:
    project = Path(model.config.get_output_dir())
    report = model.build(engine="openhls", cosim=True, vectors=50)
    rtl = project / "rtl" / "openhls"
    signals = json.loads((rtl / "signals.json").read_text())
    entry = report["OpenHls"]
    assert signals["engine"] == entry["engine"] == "openhls"
    assert {"kan_top.v", "kan_tb.v", "kan_axis.v", "vectors_in.hex"} <= {path.name for path in rtl.iterdir()}
    assert report["CosimReport"]["Status"] == "Pass"
    assert report["CosimReport"]["LatencyMin"] == report["CSynthesisReport"]["BestLatency"] == str(signals["latency"])
    assert (entry["ii"], entry["latency_cycles"]) == (1, signals["latency"])
    assert entry["cosim_vectors"] == entry["self_check_vectors"] > 50
    assert "YosysEstimate" not in report
    assert not list(project.glob(".openhls-*"))

    header = next((project / "firmware" / "kan_tables").iterdir())
    text = header.read_text()
    at = text.index("{", text.index(" bias[")) + 1
    end = at + next(k for k, c in enumerate(text[at:]) if c in ",}")
    header.write_text(text[:at] + str(int(text[at:end]) ^ 1) + text[end:])
    before = {path.name: path.read_bytes() for path in rtl.iterdir()}
    try:
        with pytest.raises(MismatchError, match=r"optimised LLVM \(JIT\) differs from numba reference"):
            model.build(engine="openhls", vectors=50)
    finally:
        header.write_text(text)
    assert {path.name: path.read_bytes() for path in rtl.iterdir()} == before


def test_bambu_from_hls4ml(model: Any, ir: KanIR, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for Bambu; the co-simulation of such RTL is tested with the adapters."""
    tool = tmp_path / "bin" / "bambu"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\ncp {FIXTURES}/kan4ml_bambu.v . && : > answers.mem && cat {FIXTURES}/bambu.log\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    report = model.build(engine="bambu", csim=True, device="xc7z020-1clg484-VVD")
    assert report["CSynthesisReport"] == {
        "TargetClockPeriod": "5",
        "EstimatedClockPeriod": "4",
        "DSP": "2",
        "FF": "301",
    }
    assert report["Bambu"]["estimates"]["extra"]["control_steps"] == 6
    assert "--device-name=xc7z020-1clg484-VVD" in report["Bambu"]["command"]
    signals = json.loads((Path(report["Bambu"]["folder"]) / "signals.json").read_text())
    assert (signals["engine"], signals["beats"]) == ("bambu", ir.input.n_out)


def test_tools_that_are_absent(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for engine, name in (("bambu", "bambu is not on PATH"), ("vitis_hls", "neither vitis-run nor vitis_hls")):
        with pytest.raises(ToolError, match=name):
            model.build(engine=engine)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "quartus"}, "knows the engines vitis, openhls, vitis_hls, bambu, not 'quartus'; choose one"),
        ({"engine": "openhls", "fifo_opt": True}, "has the options cosim, .*, stages, not 'fifo_opt'; leave it out"),
        ({"engine": "openhls", "vectors": -1}, "vectors .* must be of type int and at least 0, not -1"),
        ({"engine": "openhls", "cosim": 1}, "cosim .* must be of type bool, not 1"),
        ({"engine": "openhls", "synth": False}, "always reads the C\\+\\+ and makes RTL, but synth=False"),
    ],
)
def test_refusals(model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model.build(**options)


def test_only_chains_of_kan_layers(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "kan_ir", None)
    with pytest.raises(ModelError, match="needs a chain of KAN layers"):
        model.build(engine="openhls")
