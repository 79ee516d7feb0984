"""The examples: digits as `make demo` builds it, and real data sets where they are present."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.equivalence.conftest import ROOT, SHARED, run_cli

pytestmark = [pytest.mark.slow, pytest.mark.rtl]

needs_mnist = pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="MNIST (../shared/data/mnist) is not here")
needs_airfoil = pytest.mark.skipif(
    not (SHARED / "airfoil_self_noise.csv.gz").is_file(), reason="../shared/data/airfoil_self_noise.csv.gz is not here"
)


def _build(example: str, out: Path, *overrides: str) -> dict:  # type: ignore[type-arg]
    options = [part for override in overrides for part in ("--set", override)]
    result = run_cli("build", ROOT / "examples" / example, "--out", out, *options)
    assert result.returncode == 0, result.stderr + result.stdout
    report: dict = json.loads((out / "report.json").read_text())  # type: ignore[type-arg]
    for name in ("torch_vs_reference", "layers_alone", "csim_vs_reference"):
        assert report["equivalence"][name]["mismatches"] == 0
        assert report["equivalence"][name]["vectors"] > 0
    return report


@pytest.mark.synth
def test_digits(tmp_path: Path) -> None:
    report = _build("digits.yaml", tmp_path / "out")
    assert report["accuracy"]["quantized"] >= 0.94
    assert report["accuracy"]["rtl"] == report["accuracy"]["csim"] == report["accuracy"]["quantized"]
    vectors = report["vectors"]
    assert vectors["test"] == 359
    assert vectors["random"] == 10_000
    assert vectors["rtl"] == vectors["total"]
    for border in ("rtl_vs_reference", "netlist_vs_reference"):
        assert report["equivalence"][border]["tables"] == {
            **report["equivalence"][border]["tables"], "vectors": vectors["total"], "mismatches": 0,
        }  # fmt: skip
    hardware = report["hardware"]["tables"]
    assert all(hardware[key] > 0 for key in ("lut", "lut_paired", "ff", "latency_cycles"))
    assert 100 < report["model"]["edges"] < 600


@needs_mnist
def test_mnist_runs_end_to_end_on_all_test_images(tmp_path: Path) -> None:
    """One epoch only: the chain is what is tested, the accuracy is in the committed results."""
    report = _build("mnist.yaml", tmp_path / "out", "train.epochs=1", "train.qat_epochs=1", "hardware.vectors=100")
    assert report["vectors"]["test"] == 10_000
    assert report["accuracy"]["quantized"] > 0.85
    assert report["accuracy"]["csim"] == report["accuracy"]["reference"] == report["accuracy"]["quantized"]


@needs_airfoil
def test_regression(tmp_path: Path) -> None:
    report = _build("airfoil.yaml", tmp_path / "out", "hardware.synth=false", "hardware.vectors=1000")
    assert report["metric"] == "rmse"
    assert report["r2"]["csim"] == report["r2"]["reference"] == report["r2"]["rtl"] > 0.6
