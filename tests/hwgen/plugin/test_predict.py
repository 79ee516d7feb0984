"""Compiled models: `predict`, `trace`, and KAN layers beside hls4ml's own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import pytest
import torch
from hls4ml.converters import convert_from_pytorch_model
from hls4ml.utils import config_from_pytorch_model
from torch import nn

from pymodel.errors import DataError
from pymodel.ir import FixedPoint, IntArray
from pymodel.layers import FrozenKAN
from pymodel.lower import lower
from pymodel.reference import Reference
from sim.csim import Csim
from tests.sim.csim.projects import convert
from tests.strategies import random_ir

pytestmark = pytest.mark.xdist_group("plugin_predict")  # the module's project is compiled once

RNG = np.random.default_rng(0)


def kan() -> FrozenKAN:
    return FrozenKAN.from_ir(random_ir(0, widths=(3, 3, 2), in_bits=6, edge_tables=0.0))


class Mixed(nn.Module):
    """Dense, ReLU, two KAN layers, ReLU, Dense."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(4, 3), nn.ReLU()
        self.kan = kan()
        self.relu, self.head = nn.ReLU(), nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.kan(self.act(self.fc(x)))))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mixed, Any]:
    """A compiled mixed model in a namespace of its own, its second KAN layer in edge-table form."""
    torch.manual_seed(0)
    module = Mixed().eval().double()
    config = config_from_pytorch_model(module, (4,), granularity="name", backend="VitisKAN")
    assert config["LayerName"]["x"]["Precision"]["result"] == "auto"  # a stock layer reads it
    config["LayerName"]["kan_layers_1"]["Strategy"] = "EdgeTable"
    for layer in config["LayerName"].values():
        layer["Trace"] = True
    model = convert_from_pytorch_model(
        module,
        backend="VitisKAN",
        output_dir=str(tmp_path_factory.mktemp("mixed") / "project"),
        hls_config=config,
        namespace="kan_test",
    )
    model.compile()
    return module, model


def test_kan_segments_between_stock_layers_equal_the_reference(mixed: tuple[Mixed, Any]) -> None:
    module, model = mixed
    assert model.kan_ir is None  # not one chain of KAN layers
    csim = Csim(Path(model.config.get_output_dir()))
    assert csim.nodes == ("kan_layers_0.input", "kan_layers_0", "kan_layers_1")
    values = csim.run(RNG.integers(csim.low, csim.high + 1, (5000, 4)))
    X = values["kan_layers_0.input"]
    assert np.unique(X).size > 1
    expected = Reference(lower(module.kan)).run(X)
    for name in ("layers_0", "layers_1"):
        assert np.unique(expected[name]).size > 1
        np.testing.assert_array_equal(values[f"kan_{name}"], expected[name])


def test_trace_shows_the_same_integers(mixed: tuple[Mixed, Any]) -> None:
    module, model = mixed
    x = RNG.normal(size=(200, 4)) * 3
    before = model.predict(x)
    y, trace = model.trace(x)
    np.testing.assert_array_equal(y, before)
    # What the KAN layers read is what ReLU gave, converted to their input type as torch does.
    np.testing.assert_array_equal(module.kan(torch.from_numpy(trace["act"])).numpy(), trace["kan_layers_1"])
    # hls4ml's own row by row prediction is the same function.
    np.testing.assert_array_equal(model._predict(x), y)
    assert model.predict(x[0]).shape == model.predict(x[:1]).shape == (3,)


def rounded(t: FixedPoint, x: np.ndarray) -> IntArray:
    """Round half up and saturate, without the rounding error of `floor(x + 0.5)` just below a tie."""
    scaled = np.ldexp(x.astype(np.float64), t.frac)
    floor = np.floor(scaled)
    return np.clip(floor + (scaled - floor >= 0.5), t.min_int, t.max_int).astype(np.int64)


def test_predict_rounds_like_the_input_type(tmp_path: Path) -> None:
    """Any finite float: off the grid, ties, far outside, tiny; float32 and float64; and a linked project likewise."""
    module = kan()
    convert(module, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # hls4ml leaves the file open
        model = hls4ml.utils.link.FilesystemModelGraph(tmp_path)
    model.config.config["OutputDir"] = str(tmp_path)
    model.compile()
    t = module.in_type
    ties = (RNG.integers(t.min_int, t.max_int + 1, (500, 3)) + 0.5) * t.lsb
    wild = RNG.normal(size=(2000, 3)) * np.exp(RNG.normal(size=(2000, 1)) * 8)
    special = np.array(
        [[0.0, -0.0, 1e-300], [1e300, -1e300, 5e-324], [t.lsb / 2, -t.lsb / 2, np.nextafter(t.lsb / 2, 0)]]
    )
    out = dict(module.named_layers())["layers_1"].out_type
    for x in (ties, np.nextafter(ties, -np.inf), np.nextafter(ties, np.inf), wild, special, wild.astype(np.float32)):
        expected = Reference(lower(module)).run(rounded(t, x))["layers_1"]
        y = model.predict(np.ascontiguousarray(x))
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(np.ldexp(y.astype(np.float64), out.frac), expected)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(DataError, match="found NaN or infinity"):
            model.predict(np.full((2, 3), bad))
