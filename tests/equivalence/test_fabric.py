"""A table model from YAML through the whole chain: torch, reference, csim and RTL agree on every integer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwgen.config import load_config
from pymodel.errors import ConfigError
from pymodel.fabric import load_tables_model
from tests.equivalence.conftest import ROOT, run_cli

pytestmark = [pytest.mark.slow, pytest.mark.rtl]

CONFIG = """
data: {source: digits, threshold: 8, seed: 0}
model: {widths: [64, 30, 10], family: table, fan_in: 6}
quantize: {layer_activations: [1, 1], layer_edges: [8, 3], input: 1}
train:
  epochs: 4
  qat_epochs: 2
  batch_size: 64
  learning_rate: 0.03
  weight_decay: 0.1
  prune: {luts: 90}
  distill: {epochs: 1, hidden: 4}
  augment: affine
hardware: {rtl: [tables], strategy: edge_table, synth: false, vectors: 100, rtl_vectors: 200}
"""


def test_every_station_agrees(tmp_path: Path) -> None:
    (tmp_path / "fabric.yaml").write_text(CONFIG)
    result = run_cli("build", tmp_path / "fabric.yaml", "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr + result.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    equivalence = report["equivalence"]
    borders = [equivalence[k] for k in ("torch_vs_reference", "layers_alone", "csim_vs_reference")]
    for border in [*borders, equivalence["rtl_vs_reference"]["tables"]]:
        assert border["mismatches"] == 0
        assert border["vectors"] >= 200
    stations = report["accuracy"]
    assert stations["quantized"] == stations["reference"] == stations["csim"] > 0.5
    model = load_tables_model(tmp_path / "out" / "model" / "float.safetensors")
    assert model.widths == (64, 30, 10)


def test_what_belongs_to_the_family_is_refused_elsewhere() -> None:
    for override, key in (
        ("data.threshold=3", r"data\.threshold"),
        ("quantize.layer_edges=[3, 3]", r"quantize\.layer_edges"),
    ):
        with pytest.raises(ConfigError, match=rf"{key} belongs to model\.family table, not to efficient_kan"):
            load_config(ROOT / "examples" / "digits.yaml", [override])
