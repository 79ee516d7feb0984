"""KAN layers beside hls4ml's own, in any order: every integer at every border.

Three things are compared, which together are the whole model:

- what each KAN layer gives, with the numba reference of that layer on what it read;
- what each KAN layer read, with what plain hls4ml (backend Vitis) computes in front of it, rounded to the layer's input
  type. Plain hls4ml builds the same model without KAN layers; where one stood it is given that layer's output;
- what the model predicts, with the last layer's integers.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hls4ml.converters import convert_from_pytorch_model
from torch import fx, nn

import sim._compile
from hwgen.plugin._layer import ir_name, single_layer_ir
from pymodel.ir import IntArray
from pymodel.reference import Reference
from sim.csim import Csim, build_csim
from tests.hwgen.plugin.mixed import MIXED, config_text, configuration, convert, kan_nodes, rounded, stock_only

pytestmark = pytest.mark.xdist_group("plugin_mixed")  # every project is compiled once

ROWS = 400


@dataclass(frozen=True)
class Run:
    """A compiled mixed model and what it gave: inputs as numbers, (rows, n), its taps, and its outputs."""

    model: nn.Module
    hls: Any
    x: list[Any]
    taps: dict[str, IntArray]
    outputs: list[Any]


@contextlib.contextmanager
def quickly_compiled() -> Iterator[None]:
    """Compile what is compiled within without optimising: that takes longer here than running."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim._compile, "NATIVE_FLAGS", ("-O0", "-DKAN4ML_NATIVE_SUMS"))
        yield


def run_taps(project: Path | Any, x: list[Any], hls: Any) -> dict[str, IntArray]:
    """Return the integers that the C++ recorded, synthesizable types throughout or (a library) native sums."""
    precision = hls.get_input_variables()[0].type.precision
    X = np.concatenate([np.ldexp(part.reshape(len(part), -1), precision.fractional) for part in x], axis=1)
    assert np.array_equal(X, np.round(X))
    return Csim(project).run(X.astype(np.int64))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """All models, compiled and run on random rows that lie on the grid of the input type."""
    rng = np.random.default_rng(0)
    result = {}
    for name, case in MIXED.items():
        model, hls = convert(case, tmp_path_factory.mktemp(name) / "project")
        with quickly_compiled():
            hls.compile()
        x = []
        for variable in hls.get_input_variables():
            kind = variable.type.precision
            low, high = (
                (-(1 << (kind.width - 1)), (1 << (kind.width - 1)) - 1) if kind.signed else (0, (1 << kind.width) - 1)
            )
            X = np.clip(np.round(np.ldexp(rng.normal(size=(ROWS, *variable.shape)) * 1.5, kind.fractional)), low, high)
            X[:8] = rng.choice([low, high], size=X[:8].shape)
            x.append(np.ldexp(X, -kind.fractional))
        library = Path(hls._top_function_lib._name)
        outputs = hls.predict(x if len(x) > 1 else x[0])
        result[name] = Run(
            model, hls, x, run_taps(library, x, hls), outputs if isinstance(outputs, list) else [outputs]
        )
    return result


@pytest.fixture(scope="module")
def stock(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """What plain hls4ml computes between the KAN layers: (case, KAN layer or output) to numbers (rows, n)."""
    module, inputs, outputs = stock_only(
        {name: run.model for name, run in runs.items()}, {name: MIXED[name].shapes for name in runs}
    )
    folder = tmp_path_factory.mktemp("stock") / "project"
    with contextlib.redirect_stdout(io.StringIO()):
        config = configuration(module, tuple(shape for *_, shape, _ in inputs), "Vitis")
        values = []
        for case, name, _, kind in inputs:
            if kind is None:
                index = [layer.name for layer in runs[case].hls.get_layers()].index(name)
                precision = str(runs[case].hls.get_input_variables()[index].type.precision)
                values.append(runs[case].x[index])
            else:
                precision = config_text(kind)
                values.append(kind.to_real(runs[case].taps[ir_name(name)]))
            config["LayerName"][f"{case}_{name}"]["Precision"]["result"] = precision
        model = convert_from_pytorch_model(module, backend="Vitis", output_dir=str(folder), hls_config=config)
        model.write()
    with quickly_compiled():
        model._top_function_lib = ctypes.CDLL(str(build_csim(folder, native_sums=True)))
    results = model.predict([np.ascontiguousarray(value) for value in values])
    return dict(zip(outputs, results, strict=True))


def sources(run: Run) -> dict[str, fx.Node]:
    """Return what every KAN layer reads."""
    return {node.name: node.args[0] for node, _ in kan_nodes(run.model)}  # type: ignore[misc]


def wrong_kan_layers(run: Run, taps: dict[str, IntArray]) -> dict[str, int]:
    """Return per KAN layer the number of outputs that differ from the reference of the layer."""
    result = {}
    names = {node.name: ir_name(node.name) for node, _ in kan_nodes(run.model)}
    for node, module in kan_nodes(run.model):
        name, source = names[node.name], str(node.args[0])
        X = taps.get(f"{name}.input")
        if X is None:  # nothing to convert
            X = taps[names[source]] if source in names else rounded(module.in_type, run.x[0 if source != "z" else 1])
        ir = single_layer_ir(module.ir_node("layer", "x"), module.in_type)
        expected = Reference(ir).run(X)["layer"]
        assert np.unique(X).size > 3
        assert np.unique(expected).size > 1
        result[name] = int(np.sum(taps[name] != expected))
    return result


def wrong_borders(name: str, run: Run, taps: dict[str, IntArray], outputs: list[Any], stock: Any) -> dict[str, int]:
    """Return per KAN layer the number of inputs that differ from plain hls4ml's, and the same per output of the model."""
    result, before, kinds = {}, sources(run), {node.name: module for node, module in kan_nodes(run.model)}
    for reader, module in kinds.items():
        tap = f"{ir_name(reader)}.input"
        source = str(before[reader])
        if (name, reader) in stock:
            expected = stock[name, reader]
        elif source in kinds:
            expected = kinds[source].out_type.to_real(taps[ir_name(source)])
        elif source in ("x", "input_1", "z"):
            expected = run.x[source == "z"]
        else:  # two layers read one value
            expected = next(
                stock[name, other] for other in before if before[other] is before[reader] and (name, other) in stock
            )
        if tap in taps:
            result[reader] = int(np.sum(taps[tap] != rounded(module.in_type, expected)))
    last = next(node for node in reversed(next(iter(kan_nodes(run.model)))[0].graph.nodes) if node.op == "output").args[
        0
    ]
    for index, node in enumerate(last if isinstance(last, tuple) else (last,)):
        key = f"output {index}"
        if (name, key) in stock:
            expected = stock[name, key]
        else:
            expected = kinds[str(node)].out_type.to_real(taps[ir_name(str(node))])
        assert np.unique(expected).size > 1
        result[key] = int(np.sum(outputs[index].reshape(expected.shape) != expected))
    return result


@pytest.mark.parametrize("name", MIXED)
def test_every_integer_of_a_mixed_model(name: str, runs: dict[str, Run], stock: dict[tuple[str, str], Any]) -> None:
    run = runs[name]
    kan_layers = wrong_kan_layers(run, run.taps)
    assert set(kan_layers.values()) == {0}, kan_layers
    borders = wrong_borders(name, run, run.taps, run.outputs, stock)
    assert any(key.startswith("output") for key in borders)
    assert set(borders.values()) == {0}, borders


def test_changed_constants_are_found_at_their_borders(
    runs: dict[str, Run], stock: dict[tuple[str, str], Any], tmp_path: Path
) -> None:
    """A bias of the first Dense and a multiplier of the second KAN layer, simulated in the types that are synthesized."""
    name = "dense_relu_kan_kan_dense"
    run = runs[name]
    copy = tmp_path / "project"
    shutil.copytree(run.hls.config.get_output_dir(), copy, ignore=shutil.ignore_patterns("csim"))
    for file, pattern, change in (
        ("weights/b2.txt", r"^()(-?[\d.]+)", lambda text: float(text) / 2 + 0.125),
        ("kan_tables/kan_layer_2_layers_1.h", r"(spline_rescale\[2\] =\s*\{)(-?\d+)", lambda text: int(text) // 2),
    ):
        path = copy / "firmware" / file
        text, n = re.subn(pattern, lambda m, f=change: f"{m[1]}{f(m[2])}", path.read_text(), count=1)  # type: ignore[misc]
        assert n == 1
        path.write_text(text)
    taps = run_taps(copy, run.x, run.hls)
    assert [key for key, n in wrong_kan_layers(run, taps).items() if n] == ["layer_2_layers_1"]
    borders = wrong_borders(name, run, taps, run.outputs, stock)
    assert borders["_2_layers_0"] > 0
