"""Table layers: what they compute going forward, what they learn from, and the integers they freeze to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hwgen.tables import load_tables
from pymodel.errors import ConfigError, DataError, ModelError
from pymodel.fabric import (
    BinaryInput,
    TableKAN,
    TableLayer,
    freeze_tables,
    load_tables_model,
    make_table_kan,
    save_tables_model,
)
from pymodel.fabric._layer import step_code
from pymodel.ir import HostSpec, Task
from pymodel.layers import FrozenKAN
from pymodel.lower import lower
from pymodel.reference import Reference
from pymodel.settings import ModelSettings, QuantizeSettings

MODELS = Path(__file__).parents[3] / "bench" / "accuracy_per_lut" / "models"


def host(n: int) -> HostSpec:
    return HostSpec(Task.REGRESSION, tuple(f"f{i}" for i in range(n)), (0.0,) * n, (1.0,) * n)


def random_model(
    widths: tuple[int, ...], bits: tuple[int, ...], edges: tuple[int, ...], seed: int, fan_in: int | None = None
) -> TableKAN:
    """A model with random functions, masks and statistics, entries rounded, in eval mode."""
    torch.manual_seed(seed)
    model = make_table_kan(
        ModelSettings(widths, family="table", grid=3, fan_in=fan_in),
        QuantizeSettings(layer_activations=bits, layer_edges=edges, input=max(bits[0], 4)),
        binary=False,
    )
    for layer in model.kan_layers():
        layer.apply_mask(torch.rand(layer.mask.shape) < 0.7)
        layer.mask[:, 0] = True
        nn.init.normal_(layer.bias, std=0.5)
        if layer.out_bits is not None:
            nn.init.normal_(layer.gain)
            layer.mean.normal_(std=0.3)
            layer.var.uniform_(0.2, 2.0)
    model.start_quantized()
    return model.eval()


def station_codes(model: TableKAN, x: Tensor) -> list[Tensor]:
    u, found = model.codes(x), []
    for layer in model.kan_layers():
        u = layer(u)
        found.append(u)
    return found


@pytest.mark.parametrize(
    ("widths", "bits", "edges", "fan_in"),
    [
        ((9, 12, 4), (1, 1), (8, 3), 6),
        ((6, 5, 3), (3, 1), (4, 5), None),
        ((5, 4, 3, 2), (4, 2, 3), (5, 6, 4), None),
        ((5, 6, 4, 2), (1, 2, 1), (4, 3, 2), None),
        ((7, 3), (5,), (6,), None),
    ],
)
def test_eval_is_frozen_is_reference(
    widths: tuple[int, ...], bits: tuple[int, ...], edges: tuple[int, ...], fan_in: int | None
) -> None:
    """The float model in eval mode gives the very integers, on codes and on scores."""
    for seed in range(4):
        model = random_model(widths, bits, edges, seed, fan_in)
        frozen = freeze_tables(model, name="kan", host=host(widths[0]))
        X = np.random.default_rng(seed).integers(frozen.in_type.min_int, frozen.in_type.max_int + 1, (400, widths[0]))
        got = frozen.run(X)
        expected = Reference(lower(frozen)).run(X)
        x = torch.from_numpy(X * frozen.in_type.lsb).float()
        with torch.no_grad():
            soft = station_codes(model, x)
        for k, (name, layer) in enumerate(frozen.named_layers()):
            assert np.array_equal(got[name], expected[name])
            scores = np.rint(soft[k].double().numpy() / layer.value_lsb).astype(np.int64)
            assert np.array_equal(scores, got[name]), name
        assert np.array_equal(soft[-1].argmax(1).numpy(), got[name].argmax(1))  # ties included


def test_a_changed_entry_is_seen() -> None:
    """The comparison above can fail."""
    model = random_model((9, 12, 4), (1, 1), (8, 3), 0, 6)
    frozen = freeze_tables(model, name="kan", host=host(9))
    X = np.random.default_rng(0).integers(frozen.in_type.min_int, frozen.in_type.max_int + 1, (400, 9))
    before = frozen.run(X)["layers_1"]
    layer = list(frozen.named_layers())[1][1]
    at = torch.nonzero(layer.tables)[0]
    layer.tables[tuple(at)] += 1
    assert not np.array_equal(frozen.run(X)["layers_1"], before)


@given(st.integers(1, 4), st.integers(2, 6), st.integers(1, 3), st.integers(0, 10_000))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_random_models_freeze_exactly(first: int, entry: int, hidden: int, seed: int) -> None:
    model = random_model((5, 4, 3), (first, hidden), (entry, entry), seed)
    frozen = freeze_tables(model, name="kan", host=host(5))
    X = np.random.default_rng(seed).integers(frozen.in_type.min_int, frozen.in_type.max_int + 1, (200, 5))
    got, expected = frozen.run(X), Reference(lower(frozen)).run(X)
    for name, layer in frozen.named_layers():
        assert np.array_equal(got[name], expected[name])
        assert int(layer.tables.abs().max()) <= (1 << (entry - 1)) - 1


def test_a_node_without_gain_is_constant() -> None:
    model = random_model((4, 2, 2), (1, 1), (4, 4), 1)
    layer = next(model.kan_layers())
    with torch.no_grad():
        layer.gain.zero_()
        layer.bias.copy_(torch.tensor([1.0, -1.0]))
    frozen = freeze_tables(model, name="kan", host=host(4))
    X = np.random.default_rng(1).integers(frozen.in_type.min_int, frozen.in_type.max_int + 1, (50, 4))
    assert np.array_equal(frozen.run(X)["layers_0"], np.tile([1, 0], (50, 1)))


def test_the_step_has_a_triangular_derivative() -> None:
    u = torch.tensor([-1.5, -0.25, 0.0, 0.5, 2.0], requires_grad=True)
    h = step_code(u)
    h.sum().backward()
    assert h.tolist() == [0, 0, 1, 1, 1]
    assert u.grad is not None
    assert u.grad.tolist() == [0.0, 0.75, 1.0, 0.5, 0.0]


def test_every_parameter_learns() -> None:
    for bits in ((1, 1), (3, 2)):
        for rounded in (False, True):
            torch.manual_seed(0)
            model = make_table_kan(
                ModelSettings((6, 8, 3), family="table"),
                QuantizeSettings(layer_activations=bits, layer_edges=(6, 4)),
                binary=False,
            )
            if rounded:
                model.start_quantized()
            model.train()
            model(torch.randn(64, 6)).square().sum().backward()
            for name, parameter in model.named_parameters():
                if parameter.grad is None:
                    assert not rounded, name  # the last layer's step, before entries are rounded
                    assert name == "layers.1.log_step"
                else:
                    assert float(parameter.grad.abs().sum()) > 0, name


def test_a_threshold_is_one_bit() -> None:
    source = BinaryInput()
    x = torch.tensor([-3.0, 0.0, 0.49999, 0.5, 0.75, 9.0])
    assert source.codes(x).tolist() == [0, 0, 0, 1, 1, 1]
    assert source.in_type.quantize(x.double().numpy()).tolist() == [0, 0, 0, 1, 1, 1]


def test_models_survive_a_file(tmp_path: Path) -> None:
    settings_ = ModelSettings((6, 5, 3), family="table", grid=3, fan_in=(4, None))
    bits = QuantizeSettings(layer_activations=(1, 2), layer_edges=(6, 4), input=4)
    torch.manual_seed(5)
    model = make_table_kan(settings_, bits, binary=True).eval()
    save_tables_model(model, settings_, bits, tmp_path / "m.safetensors")
    again = load_tables_model(tmp_path / "m.safetensors")
    x = torch.rand(30, 6)
    assert torch.equal(model(x), again(x))
    save_tables_model(again, settings_, bits, tmp_path / "n.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == (tmp_path / "n.safetensors").read_bytes()
    other = replace(settings_, widths=(6, 4, 3))
    save_tables_model(model, other, bits, tmp_path / "same.safetensors")  # widths are the model's own
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "m.safetensors").read_bytes()[:-9])
    with pytest.raises(ModelError):
        load_tables_model(tmp_path / "cut.safetensors")


def test_what_is_refused() -> None:
    model = make_table_kan(ModelSettings((4, 3, 2), family="table"), QuantizeSettings(), binary=False)
    with pytest.raises(ModelError, match="must round its entries before"):
        freeze_tables(model, name="kan", host=host(4))
    with pytest.raises(DataError, match="inputs of 4 features were expected"):
        model(torch.zeros(2, 5))
    with pytest.raises(ConfigError, match=r"set quantize\.first_activations to 1"):
        make_table_kan(ModelSettings((4, 3, 2), family="table"), QuantizeSettings(), binary=True)
    with pytest.raises(ConfigError, match="codes of at most 10 bits, not 11"):
        bits = QuantizeSettings(layer_activations=(8, 11))
        make_table_kan(ModelSettings((4, 3, 2), family="table"), bits, binary=False)
    model.start_quantized()
    with torch.no_grad():
        next(model.kan_layers()).weight[0, 0] = torch.nan
    with pytest.raises(ModelError, match="NaN or infinity"):
        freeze_tables(model, name="kan", host=host(4))


@pytest.mark.skipif(
    not MODELS.is_dir(), reason="the trained MNIST networks (bench/accuracy_per_lut/models) are not here"
)
def test_a_network_trained_on_a_gpu_is_a_table_model() -> None:
    """The product's layer expresses what the ensemble trainer makes, to the integer."""
    file = load_tables(MODELS / "f1200_e300_l5_s0.npz")
    first, second = (file.ir.node(name) for name in ("layer0", "layer1"))
    model = as_table_kan([first.tables, second.tables], [first.bias, second.bias])
    frozen: FrozenKAN = freeze_tables(model, name="kan", host=host(784))
    X = np.random.default_rng(3).integers(0, 2, (300, 784))
    expected, got = Reference(file.ir).run(X), frozen.run(X)
    assert np.array_equal(got["layers_0"], expected["layer0"])
    assert np.array_equal(got["layers_1"], expected["layer1"])


def as_table_kan(tables: list[np.ndarray], biases: list[np.ndarray]) -> TableKAN:
    """Write integers of one-bit tables into the parameters of a model."""
    layers = []
    for k, (table, bias) in enumerate(zip(tables, biases, strict=True)):
        n_in, _, n_out = table.shape
        last = k == len(tables) - 1
        layer = TableLayer(n_in, n_out, bits=1, edge_bits=4 if last else 10, out_bits=None if last else 1, grid=1)
        edges = torch.from_numpy(table[:, 1] - table[:, 0]).T.float()
        constant = torch.from_numpy(bias + table[:, 0].sum(axis=0)).float()
        with torch.no_grad():
            layer.weight[..., 0] = edges
            layer.mask.copy_(edges != 0)
            if last:
                layer.bias.copy_(constant + edges.sum(1) / 2)
            else:  # 1 iff sum + constant >= 1, which a mean half a unit below the threshold decides
                layer.mean.copy_(0.5 - constant - edges.sum(1) / 2)
        layers.append(layer)
    model = TableKAN(BinaryInput(), layers)
    model.start_quantized()
    with torch.no_grad():
        layers[-1].log_step.zero_()
    return model.eval()
