"""A finished build of convolutions with groups, pools of both kinds and a dense layer: every border, also of every layer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hwgen.report import load_report
from pymodel.ir import KanConv, KanLinear, Pool, PoolKind, load_ir
from tests.equivalence.conftest import run_cli

pytestmark = [pytest.mark.slow, pytest.mark.rtl, pytest.mark.xdist_group("small_conv_build")]

CONFIG = """
data: {source: csv, path: rows.csv, label: kind, test_fraction: 0.25, seed: 1}
model:
  widths: [24, 3]
  image: [4, 3, 2]
  conv:
    - {channels: 4, kernel: [3, 2], padding: [1, 0], groups: 2, pool: max, pool_size: [2, 1]}
    - {channels: 2, kernel: 1, groups: 2, pool: average, pool_size: [1, 2]}
  grid: 3
  order: 2
  range: [-2, 2]
quantize: {activations: 3, base_weights: 3, spline_weights: 3, basis: 4}
train: {epochs: 4, qat_epochs: 3, batch_size: 32, threads: 1, seed: 3}
hardware: {rtl: [tables], synth: false, vectors: 200}
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small_conv")
    rng = np.random.default_rng(7)
    kind = rng.integers(0, 3, 160)
    pixels = rng.normal(size=(160, 24)) + np.cos(np.arange(24) * (kind[:, None] + 1))
    rows = [",".join(f"{value:.4f}" for value in row) + f",{'abc'[k]}" for row, k in zip(pixels, kind, strict=True)]
    header = ",".join([*(f"p{i}" for i in range(24)), "kind"])
    (folder / "rows.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    (folder / "conv.yaml").write_text(CONFIG, encoding="utf-8")
    result = run_cli("build", folder / "conv.yaml", "--out", folder / "out")
    assert result.returncode == 0, result.stderr + result.stdout
    return folder / "out"


def test_every_border_of_every_layer(build: Path) -> None:
    ir = load_ir(build / "ir")
    nodes = ir.nodes[1:]
    kinds = [type(node) for node in nodes]
    assert kinds == [KanConv, Pool, KanConv, Pool, KanLinear]
    convolutions = [node for node in nodes if isinstance(node, KanConv)]
    assert [node.geometry.groups for node in convolutions] == [2, 2]
    assert [node.op for node in nodes if isinstance(node, Pool)] == [PoolKind.MAX, PoolKind.AVERAGE]
    report = load_report(build)
    stations = report["accuracy"]
    assert stations["quantized"] == stations["reference"] == stations["csim"] == stations["rtl"] > 0.4
    names = {node.name for node in nodes}
    equivalence = report["equivalence"]
    for key in ("torch_vs_reference", "layers_alone", "csim_vs_reference"):
        assert equivalence[key]["mismatches"] == 0, key
        assert equivalence[key]["vectors"] >= 200, key
        assert set(equivalence[key]["layers"]) >= names, key
    rtl = equivalence["rtl_vs_reference"]["tables"]
    assert rtl["mismatches"] == 0
    assert set(rtl["layers"]) >= names
    assert rtl["vectors"] >= 200


def test_a_maximum_that_became_a_minimum_is_found(build: Path) -> None:
    changed = 0
    for path in sorted((build / "rtl" / "tables").glob("kan_layer_*.v")):
        text = path.read_text(encoding="utf-8")
        turned = re.sub(r" > ([^?\n]*) \? ", r" < \1 ? ", text)
        if turned != text:
            path.write_text(turned, encoding="utf-8")
            changed += 1
    assert changed == 1
    result = run_cli("verify", build)
    assert result.returncode == 1, result.stderr
    assert "rtl_vs_reference.tables" in result.stderr
    assert "first layer layers_1" in result.stderr
    assert "KanConv, and proofs cover dense KAN layers only" in result.stdout + result.stderr
