"""Dense layers in io_stream: csim == numba for every kernel, and mixed models the same as in io_parallel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pymodel.errors import ModelError
from pymodel.reference import Reference
from sim.csim import Csim
from sim.equivalence import compare
from tests.hwgen.plugin.mixed import MIXED, convert
from tests.hwgen.plugin.test_mixed import quickly_compiled
from tests.sim.csim.projects import Reuse, convert_ir
from tests.strategies import corner_inputs, random_inputs, random_ir

pytestmark = pytest.mark.xdist_group("plugin_stream")

#: Seed, widths, strategy and reuse: the kernels of all four kinds, with and without base branch.
PROGRAMS: dict[str, tuple[int, tuple[int, ...], str, Reuse]] = {
    "parallel and rolled": (3, (12, 7, 6, 3), "latency", [1, 7, 2]),
    "tables and rows": (2, (10, 6, 7, 2), "edge_table", [1, 2, 1]),
    "one input, one output": (1, (1, 1), "latency", 1),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_csim_equals_the_reference(name: str, tmp_path: Path) -> None:
    seed, widths, strategy, reuse = PROGRAMS[name]
    ir = random_ir(seed, widths=widths, in_bits=8, edge_tables=0.0 if strategy == "edge_table" else 0.3)
    model = convert_ir(ir, tmp_path, strategy, reuse, "io_stream")
    assert model.kan_ir.layers[0].name == ir.layers[0].name
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 2000, np.random.default_rng(1))])
    with quickly_compiled():
        model.compile()
    csim, expected = Csim(Path(model._top_function_lib._name)), Reference(ir).run(X)
    border = compare("csim_vs_reference", csim.run(X), expected, [node.name for node in ir.layers])
    assert border.equal, str(border.first)
    x = ir.input.out_type.to_real(X)
    y = ir.node(ir.output).out_type.to_real(expected[ir.output])
    np.testing.assert_array_equal(model.predict(x).reshape(y.shape), y)
    assert model.predict(x[:0]).shape == (0, widths[-1])
    np.testing.assert_array_equal(model.predict(x[:1]), y[0])
    with pytest.raises(ModelError, match=r"reads arrays, but this model was converted with io_stream; convert it with"):
        model.build(engine="openhls")


def test_all_four_kernels_are_called(tmp_path: Path) -> None:
    seen: set[str] = set()
    for name, (seed, widths, strategy, reuse) in PROGRAMS.items():
        ir = random_ir(seed, widths=widths, in_bits=8, edge_tables=0.0 if strategy == "edge_table" else 0.3)
        convert_ir(ir, tmp_path / name, strategy, reuse, "io_stream")
        seen |= set(re.findall(r"kan4ml::(\w+)<layer", (tmp_path / name / "firmware" / "kan_top.cpp").read_text()))
        seen |= set(re.findall(r"kan4ml::(\w+)<input", (tmp_path / name / "firmware" / "kan_top.cpp").read_text()))
    assert seen == {"kan_dense_stream", "kan_dense_rolled_stream", "edge_table_stream", "edge_rows_stream"}


#: Dense and ReLU beside KAN layers, a stream that two layers read, two outputs.
STREAMED = ["outputs"]


def _outputs(name: str, folder: Path, io_type: str, x: Any) -> tuple[list[Any], Any]:
    _, model = convert(MIXED[name], folder, io_type)
    with quickly_compiled():
        model.compile()
    y = model.predict(x)
    taps = Csim(Path(model._top_function_lib._name))
    precision = model.get_input_variables()[0].type.precision
    X = np.ldexp(x.reshape(len(x), -1), precision.fractional)
    return (y if isinstance(y, list) else [y]), taps.run(np.round(X).astype(np.int64))


@pytest.mark.parametrize("name", STREAMED)
def test_mixed_models_give_the_same_in_both_io_types(name: str, tmp_path: Path) -> None:
    """io_parallel is compared with plain hls4ml and the reference in test_mixed.py."""
    rng = np.random.default_rng(1)
    x = rng.integers(-40, 41, (300, *MIXED[name].shapes[0])) / 16
    parallel, expected = _outputs(name, tmp_path / "parallel", "io_parallel", x)
    stream, got = _outputs(name, tmp_path / "stream", "io_stream", x)
    for a, b in zip(parallel, stream, strict=True):
        assert np.unique(a).size > 3
        np.testing.assert_array_equal(a, b)
    assert expected.keys() == got.keys()
    for layer, values in expected.items():
        np.testing.assert_array_equal(got[layer], values, layer)
