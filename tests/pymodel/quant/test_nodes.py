"""Networks with nodes that multiply, grids per input and norms: QAT, frozen torch and the reference agree on every integer."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from pymodel.errors import ConfigError, ModelError
from pymodel.ir import BasisRom, HostSpec, KanLinear, Norm, Product, Task
from pymodel.layers import KAN, FastKAN, FrozenKAN, PyKAN, PyKANLinear
from pymodel.lower import lower
from pymodel.quant import QuantKAN, freeze, prune_to, quantize_model
from pymodel.quant._product import SubnodeQuantizer
from pymodel.reference import Reference
from pymodel.settings import QuantizeSettings
from tests.conformance import LayerConformance

SMALL = {"activations": 5, "first_activations": 6, "basis": 7, "spline_weights": 6}
#: Name: network, whether its grids move, settings, kinds of its nodes.
CASES = {
    "product": (lambda: PyKAN([3, [2, 1], 2], range=(-2, 2), affine=True), True, SMALL, "KPK"),
    "output": (lambda: PyKAN([2, 3, [1, 2]], mult_arity=[[], [], [3, 2]], range=(-2, 2)), False, SMALL, "KKP"),
    "only products": (lambda: PyKAN([2, [0, 2], [0, 1]], grid=3, order=2, range=(-2, 2)), True, SMALL, "KPKP"),
    "edge tables": (lambda: PyKAN([2, [1, 2], 1], range=(-2, 2)), True, {"activations": 4, "edge": 6}, "EPE"),
    "grids": (lambda: PyKAN([3, 4, 2], range=(-2, 2), grid=4, order=1), True, SMALL, "KK"),
    "channels": (lambda: PyKAN([2, [2, 1], 2], range=(-2, 2)), True, SMALL | {"granularity": "channel"}, "KPK"),
    "norm": (lambda: FastKAN([3, 4, 2], layernorm=True), False, SMALL | {"input": 7, "first_activations": 5}, "NKNK"),
    "norm arith": (lambda: FastKAN([2, 3, 2], layernorm=True), False, SMALL | {"implementation": "arith"}, "NKNK"),
    "norm no base": (lambda: FastKAN([3, 2], layernorm=True, activation="zero"), False, SMALL, "NK"),
}
LETTERS = {"KAN_LINEAR": "K", "EDGE_TABLE": "E", "PRODUCT": "P", "NORM": "N"}


def trained(name: str) -> QuantKAN:
    """Return a calibrated model that was trained a little, before and after quantization."""
    make, moves, settings, _ = CASES[name]
    torch.manual_seed(3)
    model: KAN = make()
    x = (torch.rand(256, model.widths[0]) - 0.5) * 5
    target = torch.sin(x.prod(dim=1, keepdim=True) + torch.arange(model.widths[-1]))
    quantized: QuantKAN | None = None
    for step in range(2):
        fitted = model if quantized is None else quantized
        optimizer = torch.optim.Adam(
            [p for p in fitted.parameters() if p.requires_grad], lr=0.05 if step == 0 else 0.005
        )
        for k in range(20 if step == 0 else 6):
            if moves and step == 0 and k == 5:
                assert isinstance(model, PyKAN)
                model.update_grid_from_samples(x)
            optimizer.zero_grad()
            (fitted(x) - target).square().mean().backward()
            optimizer.step()
        if quantized is None:
            prune_to(model, sum(layer.mask.numel() for layer in model.kan_layers()) - 1, x)
            quantized = quantize_model(model.eval(), QuantizeSettings(**settings))  # type: ignore[arg-type]
            quantized.calibrate(x)
    assert quantized is not None
    return quantized


def host(n_in: int) -> HostSpec:
    return HostSpec(Task.REGRESSION, tuple(f"f{i}" for i in range(n_in)), (0.0,) * n_in, (1.0,) * n_in)


def frozen_of(model: QuantKAN) -> FrozenKAN:
    return freeze(model, name="kan", host=host(next(model.kan_layers()).in_features))


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, QuantKAN]:
    return request.param, trained(request.param)


class TestNodes(LayerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def frozen(cls, case: tuple[str, QuantKAN]) -> FrozenKAN:
        return frozen_of(case[1])


def test_the_nodes_are_those_expected(case: tuple[str, QuantKAN]) -> None:
    ir = lower(frozen_of(case[1]))
    assert "".join(LETTERS[node.kind.name] for node in ir.nodes[1:]) == CASES[case[0]][3]
    if case[0] == "grids":
        for node in ir.nodes[1:]:
            assert isinstance(node, KanLinear)
            assert isinstance(node.spline.basis, BasisRom)
            assert node.spline.basis.n_tables == node.n_in


def test_qat_computes_what_the_frozen_model_does(case: tuple[str, QuantKAN]) -> None:
    """Outputs are those of the integers but for what the last node rounds; a hidden code that differed would show."""
    _, model = case
    ir = lower(frozen_of(model))
    t = ir.input.out_type
    X = np.random.default_rng(0).integers(t.min_int, t.max_int, (400, ir.input.size), endpoint=True)
    want = Reference(ir).run(X)[ir.output]
    last = ir.node(ir.output)
    with torch.no_grad():
        y = copy.deepcopy(model).double()(torch.from_numpy(t.to_real(X))).numpy()
    assert np.abs(y - last.value_lsb * want).max() <= 2 * last.value_lsb + 2**-6 * np.abs(y).max()


def test_norm_pass_the_inputs_and_layers_read_each_half() -> None:
    ir = lower(frozen_of(trained("norm")))
    norm, layer = ir.nodes[1], ir.nodes[2]
    assert isinstance(norm, Norm)
    assert isinstance(layer, KanLinear)
    assert layer.base is not None
    n = norm.n_in
    assert norm.n_out == layer.n_in == 2 * n
    assert not layer.spline.weights[:, n:].any()
    assert not layer.base.weights[:, :n].any()


def test_scales_and_biases_fold_exactly_into_integers() -> None:
    """A node's scale and bias, and a subnode's, change the function as they change the float model's."""
    torch.manual_seed(0)
    model = PyKAN([2, [1, 1], 1], range=(-2, 2), affine=True)
    first = next(model.kan_layers())
    assert isinstance(first, PyKANLinear)
    with torch.no_grad():
        for parameter in (first.subnode_scale, first.subnode_bias, first.node_scale, first.node_bias):
            parameter.copy_(torch.rand_like(parameter) + 0.5)
    x = (torch.rand(500, 2) - 0.5) * 4
    settings = QuantizeSettings(activations=10, base_weights=12, spline_weights=12, basis=12, product=14, input=12)
    quantized = quantize_model(model, settings)
    quantized.calibrate(x)
    ir = lower(frozen_of(quantized))
    assert isinstance(ir.nodes[2], Product)
    X = ir.input.out_type.quantize(x.numpy())
    got = ir.node(ir.output).value_lsb * Reference(ir).run(X)[ir.output]
    wanted = model(x).detach().numpy()
    assert np.abs(got - wanted).max() < 0.02 * np.ptp(wanted)


def test_factors_are_powers_of_two_apart() -> None:
    quantizer = SubnodeQuantizer(6)
    quantizer.calibrate(torch.tensor([-3.0, 0.1, 2.9]))
    assert quantizer.lsb == 0.125
    v = torch.tensor([-400.0, 0.49, 0.5, 31.6, -32.5], requires_grad=True)
    integers = quantizer(v)
    assert integers.tolist() == [-32.0, 0.0, 1.0, 31.0, -32.0]
    integers.sum().backward()
    assert v.grad is not None
    assert v.grad.tolist() == [0.0, 1.0, 1.0, 0.0, 0.0]


def test_what_has_no_integers_is_refused() -> None:
    with pytest.raises(ConfigError, match="an edge of a layer with a LayerNorm reads two; leave edge out"):
        quantize_model(FastKAN([2, 2], layernorm=True), QuantizeSettings(edge=5))
    with pytest.raises(ConfigError, match="a LayerNorm at the input reads at most 12; lower it"):
        quantize_model(FastKAN([2, 2], layernorm=True), QuantizeSettings(input=13))
    model = PyKAN([2, 3], range=(-2, 2))
    model.update_grid_from_samples(torch.randn(40, 2))
    with pytest.raises(ConfigError, match="layers_0 has grids that follow the data"):
        quantize_model(model, QuantizeSettings(implementation="arith"))
    normed = quantize_model(FastKAN([2, 2], layernorm=True), QuantizeSettings())
    normed.calibrate(torch.randn(20, 2))
    with pytest.raises(ModelError, match="prune the float model"):
        prune_to(normed, 1, torch.randn(20, 2))
