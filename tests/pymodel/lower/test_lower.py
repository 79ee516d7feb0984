"""Lowering: names, types and constants arrive in the IR as they are in the frozen model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from pymodel.errors import IRError, ModelError
from pymodel.ir import KanIR, KanLinear
from pymodel.layers import INPUT_NAME, EfficientKAN, FrozenKAN
from pymodel.lower import lower
from tests.strategies import kan_irs, random_ir


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ir=kan_irs())
def test_a_program_survives_torch(ir: KanIR) -> None:
    assert lower(FrozenKAN.from_ir(ir)) == ir


def test_names_follow_the_layers() -> None:
    frozen = FrozenKAN.from_ir(random_ir(0, widths=(3, 4, 5, 2)))
    ir = lower(frozen)
    assert [node.name for node in ir.nodes] == [INPUT_NAME, "layers_0", "layers_1", "layers_2"]
    assert [node.inputs for node in ir.nodes] == [(), ("x",), ("layers_0",), ("layers_1",)]
    assert ir.output == "layers_2"
    assert list(frozen.run(np.zeros((1, 3), dtype=np.int64))) == [node.name for node in ir.nodes]


def test_lowers_the_buffers_as_they_are_now() -> None:
    frozen = FrozenKAN.from_ir(random_ir(1, widths=(2, 2), edge_tables=0.0))
    before = lower(frozen)
    frozen.layers[0].spline_weights[1, 0, 0] += 1
    node, old = lower(frozen).layers[0], before.layers[0]
    assert isinstance(node, KanLinear)
    assert isinstance(old, KanLinear)
    assert (node.spline.weights - old.spline.weights).sum() == 1
    frozen.layers[0].spline_weights[1, 0, 0] = 1 << 52
    with pytest.raises(IRError, match=r"2\^53"):
        lower(frozen)


def test_refuses_what_is_not_frozen() -> None:
    with pytest.raises(ModelError, match="not EfficientKAN; freeze the model first"):
        lower(EfficientKAN([2, 2]))
    with pytest.raises(ModelError, match="not Linear"):
        lower(torch.nn.Linear(2, 2))
