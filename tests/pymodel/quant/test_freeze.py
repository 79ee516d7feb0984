"""Frozen QAT models: the integers are those that were trained, and every table is correctly rounded."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from pymodel.errors import IRError, ModelError
from pymodel.ir import BasisRom, EdgeTable, HostSpec, KanIR, KanLinear, Task, to_edge_table
from pymodel.layers import EfficientKAN, FrozenKAN
from pymodel.lower import lower
from pymodel.quant import OUTPUT_BITS, PRESETS, QuantKAN, freeze, quantize_model
from pymodel.settings import QuantizeSettings
from tests.conformance import LayerConformance
from tests.pymodel.quant.conftest import Digits

Qat = Callable[[EfficientKAN, QuantizeSettings], QuantKAN]

SETTINGS = {
    **PRESETS,
    "W2A1": QuantizeSettings(activations=1, base_weights=2, spline_weights=2, basis=2),
    "E3A2": QuantizeSettings(activations=2, edge=3, first_activations=1),
    "E6A5": QuantizeSettings(activations=5, edge=6),
}


def host(n_in: int, n_out: int) -> HostSpec:
    names = tuple(f"f{i}" for i in range(n_in))
    return HostSpec(Task.CLASSIFICATION, names, (0.0,) * n_in, (1.0,) * n_in, tuple(map(str, range(n_out))))


class TestDigits(LayerConformance):
    @pytest.fixture(scope="class", params=["W4A4", "W6A6", "E4A4", "E3A2"])
    @classmethod
    def frozen(cls, request: pytest.FixtureRequest, float_model: EfficientKAN, digits: Digits, qat: Qat) -> FrozenKAN:
        return freeze(qat(float_model, SETTINGS[request.param]), name="digits", host=digits.host)


class TestPrunedDigits(LayerConformance):
    @pytest.fixture(scope="class", params=["W4A4", "E4A4"])
    @classmethod
    def frozen(
        cls, request: pytest.FixtureRequest, pruned_float_model: EfficientKAN, digits: Digits, qat: Qat
    ) -> FrozenKAN:
        return freeze(qat(pruned_float_model, SETTINGS[request.param]), name="digits", host=digits.host)


class TestEveryGeometry(LayerConformance):
    @pytest.fixture(scope="class", params=[(1, 1), (2, 1), (3, 2), (5, 4), (8, 5), (4, 7)], ids=str)
    @classmethod
    def frozen(cls, request: pytest.FixtureRequest) -> FrozenKAN:
        grid, order = request.param
        torch.manual_seed(order)
        model = EfficientKAN([2, 3, 4, 2], grid=grid, order=order, range=(-1.5, 1.0))
        quantized = quantize_model(model, QuantizeSettings(activations=3, input=6, basis=5))
        quantized.calibrate(torch.rand(200, 2) * 2.5 - 1.5)
        return freeze(quantized, name="tiny", host=host(2, 2))


@pytest.mark.parametrize("name", SETTINGS)
def test_frozen_equals_fake_quantized(name: str, float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    model = qat(float_model, SETTINGS[name])
    frozen = freeze(model, name="digits", host=digits.host)
    last = list(frozen.named_layers())[-1][1]
    with torch.no_grad():
        trained, integers = model(digits.x_test).double(), frozen(digits.x_test)
    difference = (trained - integers).abs()
    if name.startswith("E"):
        assert float(difference.max()) == 0.0  # sums of table entries: nothing is left to round
    else:
        # Only the output's LSB is left; where float32 put a hidden sum on the other side of a tie, one code differs.
        close = (difference <= last.out_type.lsb).all(dim=1)
        assert float(close.float().mean()) > 0.99
    agree = trained.argmax(dim=1) == integers.argmax(dim=1)
    assert float(agree.float().mean()) > 0.99
    assert digits.accuracy(frozen) == pytest.approx(digits.accuracy(model), abs=0.006)


@pytest.mark.parametrize("name", ["W4A4", "W4A6", "W6A6", "W8A8", "E4A4", "E6A5"])
def test_accuracy_survives(name: str, float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    assert digits.accuracy(float_model) > 0.94
    frozen = freeze(qat(float_model, SETTINGS[name]), name="digits", host=digits.host)
    assert digits.accuracy(frozen) > digits.accuracy(float_model) - 0.02


def test_300_edges_are_enough(pruned_float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    for name in ("W4A4", "E4A4"):
        frozen = freeze(qat(pruned_float_model, SETTINGS[name]), name="digits", host=digits.host)
        assert lower(frozen).n_edges <= 300
        assert digits.accuracy(frozen) > 0.93


def kan_linears(ir: KanIR) -> list[KanLinear]:
    return [node for node in ir.layers if isinstance(node, KanLinear)]


@pytest.mark.parametrize("name", ["W4A4", "W8A8", "W2A1"])
def test_frozen_tables_and_weights(name: str, float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    settings = SETTINGS[name]
    model = qat(float_model, settings)
    ir = lower(freeze(model, name="digits", host=digits.host))
    for node, layer in zip(kan_linears(ir), model.kan_layers(), strict=True):
        rom, coder = node.spline.basis, node.spline.coder
        assert isinstance(rom, BasisRom)
        assert rom.window == rom.order + 1
        assert int(rom.values.max()) < 1 << settings.basis
        assert np.array_equal(rom.knots, layer.functions.knots)
        dense = np.zeros((coder.n_codes, rom.n_basis))
        for c in range(coder.n_codes):
            dense[c, rom.start[c] : rom.start[c] + rom.window] = rom.values[c] * rom.lsb
        for b in range(rom.n_basis):
            spline = BSpline.basis_element(rom.knots[b : b + rom.order + 2], extrapolate=False)
            exact = np.nan_to_num(spline(coder.representatives))
            assert np.abs(dense[:, b] - exact).max() <= rom.lsb / 2 + 1e-14
        assert node.base is not None
        assert node.base.coder == coder
        x = coder.representatives
        assert np.abs(node.base.table * node.base.lsb - x / (1 + np.exp(-x))).max() <= node.base.lsb / 2 + 1e-14
        assert np.abs(node.spline.weights).max() <= (1 << (settings.spline_weights - 1)) - 1
        assert np.abs(node.base.weights).max() <= (1 << (settings.base_weights - 1)) - 1
        assert max(node.rescale.spline_mult.max(), node.rescale.base_mult.max()) < 1 << 8
        assert min(node.rescale.spline_mult.min(), node.rescale.base_mult.min()) >= 0


@pytest.mark.parametrize("name", SETTINGS)
def test_types_of_the_chain(name: str, float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    settings = SETTINGS[name]
    ir = lower(freeze(qat(float_model, settings), name="digits", host=digits.host))
    first, last = ir.layers
    assert ir.input.out_type.width == settings.input
    assert (first.out_type.width, first.out_type.signed) == (settings.activations, False)
    assert last.out_type.width == OUTPUT_BITS
    assert last.value_lsb == last.out_type.lsb
    assert last.value_offset == 0.0
    coder = last.coder if isinstance(last, EdgeTable) else last.spline.coder
    assert coder.is_identity
    assert (first.value_lsb, first.value_offset) == (coder.step, coder.low)


def test_the_output_never_saturates(float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    """Even at the worst combination of codes, found edge by edge."""
    for name in ("W4A4", "W2A1", "E4A4"):
        frozen = freeze(qat(float_model, SETTINGS[name]), name="digits", host=digits.host)
        ir = lower(frozen)
        last = list(frozen.named_layers())[-1][1]
        node = ir.layers[-1]
        t = node.out_type
        # Each input's best code for each output, by the edge-table form.
        table = node if isinstance(node, EdgeTable) else to_edge_table(node, ir.layers[0].out_type)
        for pick in (table.tables.argmax(axis=1), table.tables.argmin(axis=1)):
            Y = last.integers(torch.from_numpy(pick.T.copy()))
            assert t.min_int < int(Y.min()) <= int(Y.max()) < t.max_int


def test_wide_edge_sums_are_shifted_into_the_output_type() -> None:
    torch.manual_seed(0)
    model = EfficientKAN([40, 3], range=(-2.0, 2.0))
    quantized = quantize_model(model, QuantizeSettings(activations=4, edge=14))
    quantized.calibrate(torch.rand(50, 40) * 4 - 2)
    ir = lower(freeze(quantized, name="wide", host=host(40, 3)))
    node = ir.layers[0]
    assert isinstance(node, EdgeTable)
    assert node.shift > 0
    out, kind = ir.bounds[node.name].total, node.out_type
    assert kind.min_int <= out.low >> node.shift <= out.high >> node.shift <= kind.max_int


def test_masked_edges_have_exactly_zero_weights(float_model: EfficientKAN, digits: Digits) -> None:
    for name in ("W4A4", "E4A4"):
        model = quantize_model(float_model, SETTINGS[name])
        generator = torch.Generator().manual_seed(0)
        masks = [torch.rand(layer.mask.shape, generator=generator) < 0.4 for layer in model.kan_layers()]
        for layer, mask in zip(model.kan_layers(), masks, strict=True):
            layer.apply_mask(mask)
        model.calibrate(digits.x)
        for node, mask in zip(lower(freeze(model, name="m", host=digits.host)).layers, masks, strict=True):
            assert not node.alive[~mask.numpy()].any()


def test_a_layer_without_edges_still_freezes(float_model: EfficientKAN, digits: Digits) -> None:
    for name in ("W4A4", "E4A4"):
        model = quantize_model(float_model, SETTINGS[name])
        for layer in model.kan_layers():
            layer.apply_mask(torch.zeros_like(layer.mask))
        model.calibrate(digits.x)
        frozen = freeze(model, name="m", host=digits.host)
        assert lower(frozen).n_edges == 0
        assert torch.equal(frozen(digits.x_test), model(digits.x_test).double())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_non_finite_weights(value: float, float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    model = qat(float_model, SETTINGS["W4A4"])
    with torch.no_grad():
        list(model.kan_layers())[1].spline_weight[0, 0, 0] = value
    with pytest.raises(ModelError, match=r"layers_1\.spline_weight holds NaN or infinity"):
        freeze(model, name="digits", host=digits.host)


def test_refuses_a_model_that_was_not_calibrated(float_model: EfficientKAN, digits: Digits) -> None:
    with pytest.raises(ModelError, match=re.escape("call calibrate(x)")):
        freeze(quantize_model(float_model, SETTINGS["W4A4"]), name="digits", host=digits.host)


def test_refuses_a_bad_name(float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    with pytest.raises(IRError, match="name must match"):
        freeze(qat(float_model, SETTINGS["E4A4"]), name="../x", host=digits.host)


def test_freezing_twice_gives_the_same_integers(float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    model = qat(float_model, SETTINGS["W4A4"])
    first = lower(freeze(model, name="digits", host=digits.host))
    assert lower(freeze(model, name="digits", host=digits.host)) == first


def test_more_multiplier_bits_are_closer(float_model: EfficientKAN, digits: Digits, qat: Qat) -> None:
    model = qat(float_model, SETTINGS["W4A4"])
    for bits in (2, 4, 12):
        ir = lower(freeze(model, name="digits", host=digits.host, multiplier_bits=bits))
        top = max(max(n.rescale.spline_mult.max(), n.rescale.base_mult.max()) for n in kan_linears(ir))
        assert 1 << (bits - 1) <= top < 1 << bits
