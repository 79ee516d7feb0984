"""Product and norm nodes through hls4ml: csim == numba in arrays and streams, and what is not supported is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pymodel.errors import ConfigError
from pymodel.ir import FixedPoint, KanIR, Product, Quantize
from pymodel.reference import Reference
from sim.csim import Csim
from sim.equivalence import compare
from sim.verify import csim_border
from tests.arithmetic import host, random_norm, random_product, some_rows
from tests.hwgen.plugin.test_mixed import quickly_compiled
from tests.sim.csim.projects import convert_ir
from tests.strategies import random_ir

pytestmark = pytest.mark.xdist_group("plugin_arithmetic")


def chain(seed: int, n: int = 5) -> KanIR:
    """Products of the inputs, their norm with the inputs behind it, a KAN layer that reads both, and products again."""
    rng = np.random.default_rng(seed)
    dense = random_ir(seed, widths=(2 * n, 6), in_bits=4, edge_tables=0.0)
    kind, in_type = dense.input.out_type, FixedPoint(7, 3, signed=True)
    source = Quantize("x", (), in_type, in_type.lsb, 0.0, size=8)
    first = random_product(rng, name="layers_0", arity=[1, 2, 1, 1, 3][:n])
    norm = random_norm(rng, n, first.out_type, name="layers_1", source="layers_0", out=kind)
    while norm.passed is None:
        norm = random_norm(rng, n, first.out_type, name="layers_1", source="layers_0", out=kind)
    narrow = FixedPoint(9, 5, signed=True)
    layer = replace(dense.layers[0], name="layers_2", inputs=("layers_1",), out_type=narrow, value_lsb=narrow.lsb)
    last = random_product(rng, name="layers_3", source="layers_2", arity=[2, 1, 3])
    return KanIR("chain", (source, first, norm, layer, last), "layers_3", host(8))


@pytest.fixture(scope="module")
def ir() -> KanIR:
    return chain(4)


@pytest.fixture(scope="module")
def project(ir: KanIR, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arithmetic")
    assert convert_ir(ir, folder, "latency", 1, "io_parallel").kan_ir.nodes[1:] == ir.nodes[1:]
    return folder


def rows(ir: KanIR) -> np.ndarray:  # type: ignore[type-arg]
    return some_rows(np.random.default_rng(1), ir.input.size, ir.input.out_type, 500)


def test_csim_equals_the_reference(ir: KanIR, project: Path) -> None:
    X = rows(ir)
    border, _ = csim_border(ir, project, X, Reference(ir).run(X))
    assert border.equal, border.failure
    assert list(border.nodes) == [node.name for node in ir.nodes[1:]]


def test_streams_give_the_same_integers(tmp_path: Path) -> None:
    ir = chain(7)
    model = convert_ir(ir, tmp_path, "latency", 1, "io_stream")
    text = (tmp_path / "firmware" / "kan_top.cpp").read_text()
    assert "kan4ml::product_stream<" in text
    assert "kan4ml::layer_norm_stream<" in text
    with quickly_compiled():
        model.compile()
    X = rows(ir)
    expected = Reference(ir).run(X)
    border = compare(
        "csim", Csim(Path(model._top_function_lib._name)).run(X), expected, [node.name for node in ir.nodes[1:]]
    )
    assert border.equal, border.failure


def test_a_changed_table_is_seen_or_reported(ir: KanIR, project: Path) -> None:
    X = rows(ir)
    expected = Reference(ir).run(X)
    header = project / "firmware" / "kan_tables" / "kan_layers_0.h"
    text = header.read_text()
    node = ir.node("layers_0")
    assert isinstance(node, Product)

    def list_of(values: Iterable[int]) -> str:
        return f"{{{','.join(map(str, values))}}}"

    mult, arity = list_of(node.mult), list_of(node.arity)
    assert text.count(mult) == text.count(arity) == 1
    try:
        header.write_text(text.replace(mult, list_of(-1 - m for m in node.mult)))
        border, _ = csim_border(ir, project, X, expected)
        assert border.first is not None
        assert border.first.node == "layers_0"
        header.write_text(text.replace(arity, list_of([1, 2, 1, 1, 9])))
        border, _ = csim_border(ir, project, X, expected)
        assert any("layers_0: arity" in problem for problem in border.problems)
    finally:
        header.write_text(text)


def test_rolled_products_are_refused(ir: KanIR, tmp_path: Path) -> None:
    import hls4ml

    from pymodel.layers import FrozenKAN

    config = {"Model": {"Precision": "ap_fixed<16,6>", "ReuseFactor": 1}, "LayerName": {"layers_0": {"ReuseFactor": 2}}}
    with pytest.raises(
        ConfigError, match="layer layers_0 is a product node, whose kernel is fully parallel; set its Reuse"
    ):
        hls4ml.converters.convert_from_pytorch_model(
            FrozenKAN.from_ir(ir), output_dir=str(tmp_path), backend="VitisKAN", hls_config=config, input_shape=(8,)
        )
