"""Frozen layers compute any KAN IR exactly."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pymodel.errors import IRError, ModelError
from pymodel.ir import FixedPoint, HostSpec, KanIR, KanLinear, Task
from pymodel.layers import FrozenKAN, FrozenKANLinear
from pymodel.lower import lower
from pymodel.reference import Reference
from tests.conformance import LayerConformance, assert_same
from tests.strategies import corner_inputs, kan_irs, random_inputs, random_ir


class TestRandomPrograms(LayerConformance):
    @pytest.fixture(scope="class", params=range(8))
    @classmethod
    def frozen(cls, request: pytest.FixtureRequest) -> FrozenKAN:
        return FrozenKAN.from_ir(random_ir(request.param, widths=(3, 5, 4, 2)))


class TestSmallDomainExhaustively(LayerConformance):
    @pytest.fixture(scope="class", params=range(6))
    @classmethod
    def frozen(cls, request: pytest.FixtureRequest) -> FrozenKAN:
        return FrozenKAN.from_ir(random_ir(100 + request.param, widths=(2, 4, 3), in_bits=6))


class TestOneLayer(LayerConformance):
    @pytest.fixture(scope="class", params=[0.0, 1.0], ids=["kan_linear", "edge_table"])
    @classmethod
    def frozen(cls, request: pytest.FixtureRequest) -> FrozenKAN:
        return FrozenKAN.from_ir(random_ir(7, widths=(1, 1), in_bits=12, edge_tables=request.param))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(ir=kan_irs(), seed=st.integers(0, 2**32 - 1))
def test_torch_equals_reference_on_any_program(ir: KanIR, seed: int) -> None:
    X = np.concatenate((corner_inputs(ir), random_inputs(ir, 40, np.random.default_rng(seed))))
    frozen = FrozenKAN.from_ir(ir)
    assert_same(Reference(ir).run(X), frozen.run(X))
    assert lower(frozen) == ir


def test_blocks_of_rows_do_not_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    ir = random_ir(3, widths=(6, 5, 2))
    X = random_inputs(ir, 50, np.random.default_rng(0))
    whole = FrozenKAN.from_ir(ir).run(X)
    monkeypatch.setattr("pymodel.layers._frozen_layer._BLOCK_VALUES", 1)
    assert_same(whole, FrozenKAN.from_ir(ir).run(X))


def test_leading_dimensions_are_free() -> None:
    ir = random_ir(4, widths=(3, 2))
    x = torch.rand(2, 5, 3) * 2 - 1
    frozen = FrozenKAN.from_ir(ir)
    assert torch.equal(frozen(x), frozen(x.reshape(10, 3)).reshape(2, 5, 2))
    assert frozen(x[0, 0]).shape == (2,)


def test_buffers_survive_a_cast_of_the_model() -> None:
    ir = random_ir(5, widths=(3, 4, 2))
    frozen = FrozenKAN.from_ir(ir).half().to(torch.float32)
    assert all(buffer.dtype is torch.int64 for buffer in frozen.buffers())
    assert not list(frozen.parameters())
    assert lower(frozen) == ir


def test_rounds_real_input_half_up() -> None:
    ir = random_ir(6, widths=(1, 1), in_bits=8)
    t = ir.input.out_type
    frozen = FrozenKAN.from_ir(ir)
    X = np.arange(t.min_int, t.max_int, dtype=np.int64)[:, None]
    half = torch.from_numpy((X + 0.5) * t.lsb)
    assert torch.equal(frozen(half), frozen(torch.from_numpy((X + 1) * t.lsb)))
    below = torch.nextafter(half, torch.full_like(half, -1e9))
    assert torch.equal(frozen(below), frozen(torch.from_numpy(t.to_real(t.quantize(below.numpy())))))


def _first_kan_linear(ir: KanIR) -> KanLinear:
    return next(node for node in ir.layers if isinstance(node, KanLinear))


def test_layer_refuses_a_broken_bound() -> None:
    ir = random_ir(1, widths=(2, 2), edge_tables=0.0)
    node = _first_kan_linear(ir)
    wide = replace(node.rescale, bias=np.array([(1 << 53) - 1] * 2), spline_mult=np.array([1 << 40] * 2))
    with pytest.raises(IRError, match=r"2\^53"):
        FrozenKANLinear(replace(node, rescale=wide), ir.in_type(node))


def test_chain_refuses_layers_that_do_not_meet() -> None:
    ir = random_ir(2, widths=(3, 4, 2), edge_tables=0.0)
    first, last = (FrozenKANLinear(node, ir.in_type(node)) for node in ir.layers)
    with pytest.raises(ModelError, match=r"layers_0 gives 2 outputs of .*, but layers_1 reads 3"):
        FrozenKAN("m", ir.host, [last, first])
    with pytest.raises(ModelError, match="at least one layer"):
        FrozenKAN("m", ir.host, [])
    with pytest.raises(ModelError, match="5 feature names for 3 inputs"):
        FrozenKAN("m", HostSpec(Task.REGRESSION, ("a",) * 5, (0.0,) * 5, (1.0,) * 5), [first, last])
    other = FrozenKANLinear(ir.layers[1], FixedPoint(12, 12, signed=False))
    with pytest.raises(ModelError, match=r"ufixed<12,12>"):
        FrozenKAN("m", ir.host, [first, other])
    with pytest.raises(IRError, match="name must match"):
        FrozenKAN("not a name", ir.host, [first, last])


def test_only_chains_become_torch_models() -> None:
    ir = random_ir(2, widths=(3, 3, 3), edge_tables=0.0, in_bits=4)
    branching = replace(ir.layers[1], inputs=("x",))
    with pytest.raises(ModelError, match="only chains"):
        FrozenKAN.from_ir(KanIR(ir.name, (*ir.nodes[:2], branching), ir.output, ir.host))


def test_shows_its_form_and_types() -> None:
    text = repr(FrozenKAN.from_ir(random_ir(2, widths=(3, 4, 2), edge_tables=1.0)))
    assert "3, 4, edge_table, in=" in text
    assert "codes=" in text


def test_shares_no_code_with_the_reference() -> None:
    import subprocess

    code = "import sys, pymodel.layers, pymodel.quant, pymodel.lower; sys.exit('pymodel.reference' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
