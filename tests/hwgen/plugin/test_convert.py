"""Conversion through hls4ml's own functions: what works without a word, and what is refused in one sentence."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hls4ml.converters import convert_from_pytorch_model
from hls4ml.utils import config_from_pytorch_model
from torch import nn

import hwgen.plugin
from pymodel.errors import ConfigError, IRError, Kan4mlError, ModelError, ToolError
from pymodel.ir import EdgeTable, FixedPoint, to_edge_tables
from pymodel.layers import EfficientKAN, FrozenKAN, FrozenKANLinear
from pymodel.lower import lower
from pymodel.quant import quantize_model
from pymodel.settings import QuantizeSettings
from tests.sim.csim.projects import PART, convert
from tests.strategies import random_ir

N_IN = 3


@pytest.fixture(scope="module")
def model() -> FrozenKAN:
    return FrozenKAN.from_ir(random_ir(0, widths=(N_IN, 3, 2), in_bits=6, edge_tables=0.0))


def hls(model: nn.Module, folder: Path, backend: str = "VitisKAN", **kwargs: Any) -> Any:
    return convert_from_pytorch_model(model, backend=backend, output_dir=str(folder), **kwargs)


def test_nothing_but_the_backend_is_needed(model: FrozenKAN, tmp_path: Path) -> None:
    result = hls(model, tmp_path)
    assert result.kan_ir == lower(model)
    x, *layers = result.get_layers()
    assert x.get_output_variable().type.precision.definition_cpp() == f"ap_{cpp(model.in_type)}"
    for layer, (_, frozen) in zip(layers, model.named_layers(), strict=True):
        assert layer.get_output_variable().type.precision.definition_cpp() == f"ap_{cpp(frozen.out_type)}"


def cpp(kind: FixedPoint) -> str:
    return f"{'' if kind.signed else 'u'}fixed<{kind.width},{kind.integer},AP_RND,AP_SAT,0>"


def test_a_sequential_model_gets_generic_features(model: FrozenKAN, tmp_path: Path) -> None:
    ir = hls(nn.Sequential(*model.layers), tmp_path, input_shape=(N_IN,)).kan_ir
    assert [node.name for node in ir.nodes] == ["input_1", "layer_0", "layer_1"]
    assert ir.host.features == ("x0", "x1", "x2")
    assert ir.name == "myproject"


def test_the_configuration_shows_the_real_precisions(model: FrozenKAN, tmp_path: Path) -> None:
    config = config_from_pytorch_model(model, (N_IN,), granularity="name", backend="VitisKAN")
    kinds = {"x": model.in_type} | {name: layer.out_type for name, layer in model.named_layers()}
    for name, kind in kinds.items():
        assert config["LayerName"][name]["Precision"]["result"] == f"ap_{cpp(kind)}".replace(",0>", ">")
    assert config["LayerName"]["layers_0"]["ReuseFactor"] == 1
    assert hls(model, tmp_path, hls_config=config).kan_ir == lower(model)
    for granularity in ("model", "type"):
        config = config_from_pytorch_model(model, (N_IN,), granularity=granularity, backend="VitisKAN")
        assert hls(model, tmp_path, hls_config=config).kan_ir == lower(model)


@pytest.mark.parametrize("backend", ["Vitis", "Vivado", "Quartus", "Catapult", "oneAPI"])
def test_stock_backends_refuse(model: FrozenKAN, tmp_path: Path, backend: str) -> None:
    with pytest.raises(
        ModelError, match=f"the backend {backend} cannot build; convert the model with backend='VitisKAN'"
    ):
        hls(model, tmp_path, backend=backend)


def by_name(name: str, **config: Any) -> dict[str, Any]:
    return {"hls_config": {"LayerName": {name: config}}}


REFUSED = {
    "io type": ({"io_type": "io_serial"}, "have the io_types io_parallel and io_stream, not io_serial; choose one"),
    "reuse": ({"hls_config": {"Model": {"ReuseFactor": 4}}}, "layers_0 must divide the layer's 3 inputs, which 4 does not"),
    "reuse of a layer": (by_name("layers_1", ReuseFactor=2), "ReuseFactor of layer layers_1 must .* set it to 1 or 3"),
    "no reuse": (by_name("layers_1", ReuseFactor=0), "ReuseFactor of layer layers_1 must be a positive integer, not 0"),
    "pipelined top": ({"hls_config": {"Model": {"ReuseFactor": 3, "PipelineStyle": "pipeline"}}}, "unrolls every loop, but"),
    "strategy": ({"hls_config": {"Model": {"Strategy": "Stable"}}}, "Latency, Resource and EdgeTable, not 'stable'"),
    "result": (by_name("layers_0", Precision={"result": "ap_fixed<8,4>"}), "asks for ap_fixed<8,4>; remove that"),
    "precision": (by_name("layers_1", Precision="ap_fixed<9,4>"), "asks for ap_fixed<9,4>; remove that"),
    "type": ({"hls_config": {"LayerType": {"KanLayer": {"Precision": "ap_fixed<9,4>"}}}}, "asks for ap_fixed<9,4>"),
    "model result": ({"hls_config": {"Model": {"Precision": {"default": "ap_fixed<9,4>", "result": "ap_fixed<7,4>"}}}}, "7,4"),
    "input": (by_name("x", Precision={"result": "ap_fixed<16,6>"}), "layer x is fixed by the frozen model"),
    "project": ({"project_name": "a b"}, "plain C\\+\\+ identifier that is no keyword, not 'a b'"),
    "shape": ({"input_shape": (N_IN + 1,)}, r"reads a vector of 3 values, not a tensor of shape \(4,\)"),
    "tensor": ({"input_shape": (2, N_IN)}, "flatten before the layer"),
}  # fmt: skip


@pytest.mark.parametrize(("kwargs", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_unsupported_settings_are_refused(
    model: FrozenKAN, tmp_path: Path, kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(Kan4mlError, match=message):
        hls(model, tmp_path, **kwargs)
    assert not list(tmp_path.iterdir())


def test_a_precision_that_agrees_is_accepted(model: FrozenKAN, tmp_path: Path) -> None:
    kind = dict(model.named_layers())["layers_0"].out_type
    same = f"{'' if kind.signed else 'u'}fixed<{kind.width},{kind.integer},RND,SAT>"
    assert hls(model, tmp_path, **by_name("layers_0", Precision={"result": same})).kan_ir == lower(model)


def test_models_that_still_train_are_refused(tmp_path: Path) -> None:
    float_model = EfficientKAN([2, 2], grid=3)
    quantized = quantize_model(float_model, QuantizeSettings())
    for unfrozen in (float_model, quantized, nn.Sequential(float_model), float_model.layers):
        with pytest.raises(ModelError, match=r"is a trainable \w+, .* freeze the model"):
            hls(unfrozen, tmp_path, input_shape=(2,))
    with pytest.raises(ModelError, match="a FrozenKAN can be converted, not a EfficientKAN"):
        convert(float_model, tmp_path)  # type: ignore[arg-type]


def test_inputs_called_like_keywords_are_refused(model: FrozenKAN, tmp_path: Path) -> None:
    class Keyword(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kan = model

        def forward(self, double: torch.Tensor) -> torch.Tensor:
            return self.kan(double)  # type: ignore[no-any-return]

    with pytest.raises(ModelError, match="the input 'double' is a reserved C"):
        hls(Keyword(), tmp_path)


def test_edge_tables(model: FrozenKAN, tmp_path: Path) -> None:
    config = {"Model": {"Strategy": "EdgeTable"}}
    assert hls(model, tmp_path, hls_config=config).kan_ir == to_edge_tables(lower(model))
    one = hls(model, tmp_path, **by_name("layers_1", Strategy="EdgeTable")).kan_ir
    assert [isinstance(node, EdgeTable) for node in one.layers] == [False, True]
    with pytest.raises(ConfigError, match="strategy must be one of latency, resource, edge_table, not 'stable'"):
        convert(model, tmp_path, "stable")


def test_a_layer_without_edge_table_form_says_why(tmp_path: Path) -> None:
    for seed in itertools.count():
        ir = random_ir(seed, widths=(2, 2), in_bits=12, edge_tables=0.0)
        node = ir.layers[0]
        if len(node.coders) == 2 and node.coders[0] != node.coders[1]:  # type: ignore[union-attr]
            break
    with pytest.raises(IRError, match="layers_0 has no edge-table form, because its spline and base branches read"):
        convert(FrozenKAN.from_ir(ir), tmp_path, "edge_table")


def test_two_conversions_write_the_same_bytes(model: FrozenKAN, tmp_path: Path) -> None:
    for name in ("a", "b"):
        convert(model, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert Path("firmware/kan_tables/kan_layers_0.h") in files
    assert Path("firmware/kan4ml/kan4ml.h") in files
    for path in files:
        content = (tmp_path / "a" / path).read_bytes()
        assert content == (tmp_path / "b" / path).read_bytes(), path
        assert str(tmp_path).encode() not in content, path


def test_writing_again_leaves_nothing_of_the_earlier_model(model: FrozenKAN, tmp_path: Path) -> None:
    convert(FrozenKAN.from_ir(random_ir(3, widths=(2, 2, 2, 2))), tmp_path / "a")
    convert(model, tmp_path / "a")
    tables = {path.name for path in (tmp_path / "a" / "firmware" / "kan_tables").iterdir()}
    assert tables == {"kan_layers_0.h", "kan_layers_1.h"}


def test_generated_code_has_no_floats_and_no_taps_in_synthesis(model: FrozenKAN, tmp_path: Path) -> None:
    convert(model, tmp_path)
    firmware = tmp_path / "firmware"
    for path in [*(firmware / "kan_tables").iterdir(), *(firmware / "kan4ml").iterdir(), firmware / "parameters.h"]:
        code = "\n".join(line.split("//")[0] for line in path.read_text(encoding="utf-8").splitlines())
        assert not any(word in code.split() for word in ("float", "double")), path
    top = (firmware / "kan_top.cpp").read_text()
    depth, outside = 0, []
    for line in top.splitlines():
        depth += line.strip().startswith("#ifndef __SYNTHESIS__") - line.strip().startswith("#endif")
        outside += [line] if depth == 0 else []
    assert top.count("kan_csim::tap") == 2
    assert not any("kan_csim" in line for line in outside)


def test_build_without_vitis_names_the_remedy(
    model: FrozenKAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match=r"Vitis HLS was not found: .* put vitis-run on PATH"):
        hls(model, tmp_path).build()


def test_build_runs_vitis_on_the_project(model: FrozenKAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in records what it is asked for; that Vitis accepts the code cannot be tested here."""
    tool = tmp_path / "bin" / "vitis-run"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$@" > called\ncat build_opt.tcl project.tcl >> called\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    result = convert(model, tmp_path / "project")
    result.build(csim=False, synth=True)
    called = (tmp_path / "project" / "called").read_text()
    assert called.startswith("--tcl build_prj.tcl --mode hls")
    assert f'set part "{PART}"' in called
    assert 'set project_name "kan_top"' in called
    assert "set clock_period 5.0" in called
    tcl = (tmp_path / "project" / "build_prj.tcl").read_text()
    assert "add_files firmware/${project_name}.cpp" in tcl


def test_layers_of_two_models_may_not_share_a_name(model: FrozenKAN, tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self._kan, self.kan = (FrozenKANLinear(node, model.in_type) for node in [lower(model).layers[0]] * 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self._kan(x) + self.kan(x)  # type: ignore[no-any-return]

    with pytest.raises(ModelError, match="the layers _kan and kan both become kan; rename one of them"):
        hls(Twice(), tmp_path)


def test_the_convenience_function_is_quiet(model: FrozenKAN, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = hwgen.plugin.convert(
        model, tmp_path, part=PART, clock_ns=5.0, strategy="edge_table", reuse_factor=1, io="io_parallel"
    )
    assert capfd.readouterr() == ("", "")
    assert result.kan_ir == to_edge_tables(lower(model))
    assert np.issubdtype(type(result.config.get_config_value("ClockPeriod")), np.floating)
