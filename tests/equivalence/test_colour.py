"""Colour images from binary batches through training, freezing and C++: every station gives the same integers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwgen.config import make_config
from hwgen.flow import build
from pymodel.errors import ConfigError
from tests.pymodel.data.images import cifar10


def test_colour_images_run_end_to_end(tmp_path: Path) -> None:
    (tmp_path / "cifar").mkdir()
    cifar10(tmp_path / "cifar", rows=40)
    document = {
        "data": {"source": "cifar10", "path": "cifar", "validation_fraction": 0.1, "test_rows": 20},
        "model": {
            "family": "kagn",
            "widths": [3072, 10],
            "image": [32, 32, 3],
            "conv": [{"channels": 4, "kernel": 4, "stride": 4, "pool": "max"}],
            "norm": "batch",
            "order": 2,
        },
        "quantize": {"activations": 4, "basis": 6},
        "train": {"epochs": 1, "qat_epochs": 1, "batch_size": 32, "augment": "crop_flip"},
        "hardware": {"rtl": [], "strategy": "resource", "vectors": 20},
    }
    folder = build(make_config(document, tmp_path), tmp_path / "out").folder
    report = json.loads((folder / "report.json").read_text())
    for name in ("torch_vs_reference", "layers_alone", "csim_vs_reference"):
        assert report["equivalence"][name]["vectors"] > 0
        assert report["equivalence"][name]["mismatches"] == 0
    assert report["vectors"]["test"] == 20
    document["model"]["image"] = [96, 32, 1]  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"model\.image must be \[32, 32, 3\] \(height, width, channels\)"):
        build(make_config(document, tmp_path), tmp_path / "wrong")
