"""`hls_model.build(engine=…)`: RTL of the project's own C++ and a report as hls4ml gives it, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pymodel.errors import ConfigError, MismatchError, ModelError
from pymodel.ir import KanIR
from tests.sim.csim.projects import convert_ir
from tests.strategies import random_ir

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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "quartus"}, "knows the engines vitis, openhls, not 'quartus'; choose one"),
        ({"engine": "openhls", "fifo_opt": True}, "has the options csim, .* not 'fifo_opt'; leave it out"),
        ({"engine": "openhls", "vectors": -1}, "vectors .* must be of type int of at least 0, not -1"),
        ({"engine": "openhls", "cosim": 1}, "cosim .* must be of type bool, not 1"),
        ({"engine": "openhls", "synth": False}, "always checks the C\\+\\+ and makes RTL, but synth=False"),
    ],
)
def test_refusals(model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model.build(**options)


def test_only_chains_of_kan_layers(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "kan_ir", None)
    with pytest.raises(ModelError, match="needs a chain of KAN layers"):
        model.build(engine="openhls")
