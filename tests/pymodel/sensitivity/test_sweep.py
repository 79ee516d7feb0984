"""The sweep: every point is what quantizing by hand gives, only one branch changes, and wrong settings are refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pymodel.data import Dataset, load
from pymodel.errors import ConfigError
from pymodel.ir import HostSpec, Task
from pymodel.layers import KAN, ConvSpec, PyKAN, build_kan
from pymodel.quant import TensorQuantizer, freeze, post_training
from pymodel.sensitivity import BRANCHES, Rows, Sensitivity, SweepSettings, branches_of, plot, sweep
from pymodel.settings import DataSettings, ModelSettings, QuantizeSettings, TrainSettings
from pymodel.train import train_float

SETTINGS = SweepSettings(bits=(8, 3, 2))


def rows_of(data: Dataset) -> Rows:
    calibration = data.host.prepare(data.x_train[:200]).astype(np.float32)
    return Rows(torch.from_numpy(calibration), data.x_test, data.y_test, data.host, "test")


@pytest.fixture(scope="module")
def moons() -> tuple[KAN, Rows]:
    data = load(DataSettings("moons"))
    settings = TrainSettings(epochs=15, batch_size=32, learning_rate=0.02, threads=1)
    return train_float(data, ModelSettings((2, 4, 2), "pykan"), settings), rows_of(data)


@pytest.fixture(scope="module")
def result(moons: tuple[KAN, Rows]) -> Sensitivity:
    return sweep(*moons, replace(SETTINGS, per_layer=True))


def by_hand(model: KAN, rows: Rows, **bits: object) -> float:
    """Return the accuracy of integers quantized outside the sweep."""
    plain: dict[str, object] = {"activations": 8, "base_weights": 8, "spline_weights": 8, "basis": 8, "input": 8}
    settings = QuantizeSettings(method="minmax", **(plain | bits))  # type: ignore[arg-type]
    frozen = freeze(post_training(model.eval(), settings, rows.calibration), name="hand", host=rows.host)
    Y = frozen.run(frozen.in_type.quantize(rows.host.prepare(rows.x)))[list(frozen.named_layers())[-1][0]]
    return float(np.mean(Y.argmax(axis=1) == rows.y))


def points(result: Sensitivity, branch: str, layer: int | None = None) -> dict[int, float]:
    (curve,) = (c for c in result.curves if c.branch == branch and c.layer == layer)
    return {point.bits: point.value for point in curve.points}


def test_points_are_the_integers_of_the_bits_they_name(moons: tuple[KAN, Rows], result: Sensitivity) -> None:
    model, rows = moons
    assert result.measure == "accuracy"
    assert result.reference == by_hand(model, rows)
    assert points(result, "activations")[2] == by_hand(model, rows, activations=2)
    assert points(result, "basis")[2] == by_hand(model, rows, basis=2)
    assert points(result, "base")[3] == by_hand(model, rows, base_weights=3)
    assert points(result, "spline")[2] == by_hand(model, rows, spline_weights=2)
    assert points(result, "activations", 1)[2] == by_hand(model, rows, layer_activations=(8, 2))
    assert points(result, "spline", 0)[2] == by_hand(model, rows, layer_spline_weights=(2, 8))
    assert points(result, "basis", 1)[2] == by_hand(model, rows, layer_basis=(8, 2))
    assert all(points(result, b)[8] == result.reference for b in BRANCHES if b != "scaler")
    assert result.float_value > 0.9
    assert min(p.value for c in result.curves for p in c.points) < result.reference - 0.1  # two bits somewhere hurt


def test_the_scaler_is_rounded_before_it_is_folded(moons: tuple[KAN, Rows], result: Sensitivity) -> None:
    model, rows = moons
    trial = copy.deepcopy(model)
    for layer in trial.kan_layers():
        quantizer = TensorQuantizer(2, channels=layer.out_features)
        scaler = layer.scale_sp.data  # type: ignore[union-attr]
        quantizer.set_step(scaler.abs().amax(dim=1) / quantizer.high)
        scaler.copy_(quantizer(scaler))
    assert points(result, "scaler")[2] == by_hand(trial, rows)


def test_the_network_is_left_alone(moons: tuple[KAN, Rows]) -> None:
    model, rows = moons
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one = sweep(model, rows, replace(SETTINGS, branches=("base",)))
    again = sweep(model, rows, replace(SETTINGS, branches=("base",)))
    assert one == again
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("family", "facts", "method"),
    [
        ("efficient_kan", {}, "gptq"),
        ("fast_kan", {"norm": "layer"}, "minmax"),
        ("kagn", {"norm": "batch"}, "mse"),
        ("pykan", {"arities": [[2], []]}, "percentile"),
        ("kagn", {"norm": "batch", "conv": True}, "minmax"),
        ("efficient_kan", {"conv": True}, "minmax"),
    ],
)
def test_every_kind_of_network(family: str, facts: dict[str, object], method: str) -> None:
    torch.manual_seed(0)
    conv = [ConvSpec(channels=2, kernel=2, pool="average")] if facts.get("conv") else ()
    rest = {key: value for key, value in facts.items() if key != "conv"}
    widths, image = ((9, 3), (3, 3, 1)) if conv else ((9, 4, 3), None)
    model = build_kan(family, widths, grid=3, order=2, range=(-2.0, 2.0), conv=conv, image=image, **rest)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    host = HostSpec(Task.CLASSIFICATION, tuple(f"f{i}" for i in range(9)), (0.0,) * 9, (1.0,) * 9, ("a", "b", "c"))
    x = rng.uniform(-2, 2, (60, 9))
    y = model.eval()(torch.from_numpy(x).float()).argmax(dim=1).numpy()  # what the float network says
    rows = Rows(torch.from_numpy(x).float(), x, y, host, "test")
    found = sweep(model, rows, SweepSettings(bits=(8, 2), method=method, granularity="channel"))
    assert found.float_value == 1.0
    assert found.reference > 0.8
    assert {curve.branch for curve in found.curves} == set(branches_of(model))
    assert ("scaler" in branches_of(model)) == isinstance(model, PyKAN)
    assert all(0.0 <= point.value <= 1.0 for curve in found.curves for point in curve.points)


def test_a_regression_has_r2() -> None:
    torch.manual_seed(0)
    model = build_kan("efficient_kan", (2, 1), grid=3, order=2, range=(-2.0, 2.0))
    x = np.random.default_rng(0).uniform(-2, 2, (80, 2))
    y = 5.0 + 3.0 * model(torch.from_numpy(x).float()).detach().double().numpy()[:, 0]
    host = HostSpec(Task.REGRESSION, ("a", "b"), (0.0,) * 2, (1.0,) * 2, target_offset=5.0, target_scale=3.0)
    found = sweep(model, Rows(torch.from_numpy(x).float(), x, y, host, "test"), SETTINGS)
    assert found.measure == "r2"
    assert found.float_value == pytest.approx(1.0)
    assert 0.9 < found.reference < 1.0
    assert all(point.value <= 1.0 for curve in found.curves for point in curve.points)


def test_files(result: Sensitivity, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        plot(result, tmp_path / name, title="moons")
    svg = (tmp_path / "a.svg").read_text()
    assert svg == (tmp_path / "b.svg").read_text()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "<text" not in svg  # outlines: no font is needed
    assert 'href="http' not in svg
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["fixed"]["basis"] == "8 bits"
    assert len(document["curves"]) == 5 * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": (1,)}, "2 to 12 bits, not 1"),
        ({"others": 13}, "2 to 12 bits, not 13"),
        ({"bits": (3, 3)}, "name each once"),
        ({"bits": ()}, "different numbers of bits"),
        ({"branches": ("splines",)}, "no branch 'splines' to sweep; did you mean 'spline'"),
        ({"branches": ()}, "needs a branch"),
        ({"method": "lsq"}, "without training"),
        ({"method": "hawq_v2"}, "at given bits"),
        ({"coder": "maxmin"}, "no coder 'maxmin'"),
        ({"granularity": "group"}, "tensor or channel"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SETTINGS, **changes)  # type: ignore[arg-type]


def test_a_branch_that_is_not_there() -> None:
    model = build_kan("efficient_kan", (2, 2), grid=3, order=2, range=(-2.0, 2.0), activation="zero")
    assert branches_of(model) == ("activations", "basis", "spline")
    rows = Rows(torch.zeros(3, 2), np.zeros((3, 2)), np.zeros(3), rows_of(load(DataSettings("moons"))).host, "test")
    for branch in ("base", "scaler"):
        with pytest.raises(ConfigError, match=f"has no {branch} to sweep; it has activations, basis, spline"):
            sweep(model, rows, replace(SETTINGS, branches=(branch,)))
