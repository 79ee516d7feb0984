"""Whatever a method chooses: the same integers in frozen torch, the numba reference and the C++, for every kind of layer.

Seven networks with three methods each, so that every method appears. The C++ of a network's three models is compiled as one
chain, in which every layer is given the integers that the reference has before it: equal layers make equal networks.
"""

from __future__ import annotations

import copy
import dataclasses
from functools import cache

import numpy as np
import pytest
import torch

from pymodel.ir import HostSpec, IntArray, KanConv, KanIR, KanLinear, Norm, Product, Task
from pymodel.layers import KAN, ConvSpec, FastKAN, FrozenKAN, PyKAN, build_kan
from pymodel.lower import lower
from pymodel.quant import METHODS, QuantKAN, freeze, post_training, start_from_gptq
from pymodel.reference import Reference
from pymodel.settings import QuantizeSettings
from sim.csim import Csim
from tests.conformance import LayerConformance, Nodes, all_inputs, assert_same
from tests.sim.csim.projects import convert_ir

#: By network: two methods of post-training and one of training.
MATRIX = {
    "efficient_kan": ("gptq", "awq", "lsq_plus"),
    "fast_kan": ("brecq", "mse", "dsq"),
    "pykan": ("adaround", "hawq_v2", "qil"),
    "kagn": ("percentile", "gptq", "dorefa"),
    "efficient_kan-conv": ("adaround", "awq", "pact"),
    "fast_kan-conv": ("gptq", "hawq_v2", "lsq"),
    "kagn-conv": ("brecq", "minmax", "dsq"),
}
CASES = [(network, method) for network, methods in MATRIX.items() for method in methods]
IMAGE = (4, 4, 1)
CONV = (ConvSpec(4, 3, 1, 1, pool="max"), ConvSpec(4, 2, 1, 1, groups=2, pool="average", pool_size=3))


def untrained(network: str) -> KAN:
    family, _, conv = network.partition("-")
    if conv:
        return build_kan(family, (16, 16), grid=4, order=3, range=(-2, 2), norm="batch", conv=CONV, image=IMAGE)
    if network == "fast_kan":
        return FastKAN([3, 4, 3], grid=5, layernorm=True)
    if network == "pykan":
        return PyKAN([3, [2, 2], [1, 2]], grid=4, range=(-2, 2), affine=True)
    return build_kan(family, (3, 4, 3), grid=4, order=3, range=(-2, 2), norm="batch" if family == "kagn" else "none")


@cache
def float_model(network: str) -> tuple[KAN, torch.Tensor]:
    torch.manual_seed(0)
    model = untrained(network)
    n = next(model.kan_layers()).n_inputs
    x = (torch.rand(128, n) - 0.5) * 5
    target = torch.sin(x[:, :1] * x[:, 1:2] + torch.arange(model.widths[-1]))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(8):
        optimizer.zero_grad()
        (model(x) - target).square().mean().backward()
        optimizer.step()
    return model.eval(), x


@cache
def quantized(network: str, method: str) -> QuantKAN:
    model, x = float_model(network)
    settings = QuantizeSettings(
        method=method, activations=4, basis=6, base_weights=3, spline_weights=3, product=6, granularity="channel"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pymodel.quant.ptq._adaround._STEPS", 30)
        patch.setattr("pymodel.quant.ptq._brecq._STEPS", 15)
        if settings.post_training:
            return post_training(model, settings, x)
        result = start_from_gptq(model, settings, x)
    optimizer = torch.optim.AdamW(result.parameter_groups(1e-4), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        (result(x) - model(x).detach()).square().mean().backward()
        optimizer.step()
    return result


@cache
def frozen_model(network: str, method: str) -> FrozenKAN:
    model = quantized(network, method)
    n = next(model.kan_layers()).n_inputs
    host = HostSpec(Task.REGRESSION, tuple(f"f{i}" for i in range(n)), (0.0,) * n, (1.0,) * n)
    return freeze(model, name="kan", host=host)


def chained(programs: list[KanIR]) -> KanIR:
    """Return one chain of all layers; names count on."""
    nodes, count, before = [programs[0].input], 0, "x"
    for ir in programs:
        for node in ir.nodes[1:]:
            nodes.append(dataclasses.replace(node, name=f"layers_{count}", inputs=(before,)))
            before, count = f"layers_{count}", count + 1
    return KanIR("chain", tuple(nodes), before, programs[0].host)


@pytest.fixture(scope="session")
def csim_nodes(tmp_path_factory: pytest.TempPathFactory):
    """Return a function that gives what the C++ of every layer of a model makes of the reference's integers before it."""
    done: dict[str, dict[str, Nodes]] = {}

    def run(network: str) -> dict[str, Nodes]:
        if network not in done:
            programs = [lower(frozen_model(network, method)) for method in MATRIX[network]]
            inputs = [all_inputs(ir) for ir in programs]
            before: list[IntArray] = []
            for ir, X in zip(programs, inputs, strict=True):
                values = Reference(ir).run(X)
                before += [X, *(values[node.name] for node in ir.nodes[1:-1])]
            folder = tmp_path_factory.mktemp("csim")
            chain = chained(programs)
            convert_ir(chain, folder)
            inject = {node.name: values for node, values in zip(chain.nodes[1:], before[1:], strict=False)}
            found = iter(Csim(folder).run_alone(before[0], inject).values())
            done[network] = {
                method: {node.name: next(found) for node in ir.nodes[1:]}
                for method, ir in zip(MATRIX[network], programs, strict=True)
            }
        return done[network]

    return run


class TestEveryMethod(LayerConformance):
    @pytest.fixture(
        scope="class",
        params=[pytest.param(case, id="-".join(case), marks=pytest.mark.xdist_group(case[0])) for case in CASES],
    )
    @classmethod
    def case(cls, request: pytest.FixtureRequest) -> tuple[str, str]:
        return request.param

    @pytest.fixture(scope="class")
    @classmethod
    def frozen(cls, case: tuple[str, str]) -> FrozenKAN:
        return frozen_model(*case)

    def test_csim_equals_the_reference(self, case: tuple[str, str], ir: KanIR, expected: Nodes, csim_nodes) -> None:
        got = csim_nodes(case[0])[case[1]]
        assert_same({node.name: expected[node.name] for node in ir.nodes[1:]}, got)
        assert any(np.ptp(expected[node.name], axis=0).max() > 0 for node in ir.nodes[1:])

    def test_the_quantized_model_emits_the_frozen_model_s_codes(
        self, case: tuple[str, str], ir: KanIR, X: IntArray, expected: Nodes
    ) -> None:
        model = copy.deepcopy(quantized(*case)).double()
        layers, codes = list(model.kan_layers()), model.codes()
        names = iter([node.name for node in ir.nodes[1:]])
        with torch.no_grad():
            u = model._first(torch.from_numpy(ir.input.out_type.to_real(X)))
            for layer, following, here, after in zip(layers, layers[1:], codes, codes[1:], strict=False):
                u = layer(u, here, after)
                name = next(names)
                while ir.node(name).n_out != layer.n_nodes or isinstance(ir.node(name), Norm):
                    name = next(names)  # norms and factors
                hard = torch.floor(u + 0.5).clamp(0, following.quantizer.n_codes - 1).long()
                want = np.clip(expected[name], 0, following.quantizer.n_codes - 1)
                assert np.array_equal(hard.numpy(), want)

    def test_a_changed_constant_is_seen(self, case: tuple[str, str], ir: KanIR, X: IntArray, expected: Nodes) -> None:
        """A flipped level of a weight, in the quantized model: frozen again, it gives other integers."""
        model = copy.deepcopy(quantized(*case))
        layer = next(model.kan_layers())
        assert layer.spline_quantizer is not None
        with torch.no_grad():
            levels = layer.spline_quantizer.integers(layer.spline_weight * layer.mask.unsqueeze(-1))
            layer.spline_weight.copy_(torch.where(layer.spline_weight > 0, -layer.spline_weight, layer.spline_weight))
            assert not torch.equal(levels, layer.spline_quantizer.integers(layer.spline_weight))
        n = layer.n_inputs
        host = HostSpec(Task.REGRESSION, tuple(f"f{i}" for i in range(n)), (0.0,) * n, (1.0,) * n)
        got = freeze(model, name="kan", host=host).run(X)
        with pytest.raises(pytest.fail.Exception, match="expected"):
            assert_same(expected, got)


def test_every_method_and_kind_of_layer_appears() -> None:
    assert {method for _, method in CASES} == set(METHODS)
    for methods in MATRIX.values():
        assert [METHODS[method].post_training for method in methods] == [True, True, False]
    kinds = {
        network: {type(node) for node in lower(frozen_model(network, m)).nodes[1:]}
        for network, (m, *_) in MATRIX.items()
    }
    assert Norm in kinds["fast_kan"]
    assert Product in kinds["pykan"]
    assert all(KanConv in kinds[network] for network in MATRIX if network.endswith("conv"))
    assert kinds["efficient_kan"] == kinds["kagn"] == {KanLinear}


def test_one_flipped_level_is_noticed() -> None:
    """One weight of one edge, one level up: the stations that still have the old one disagree."""
    model = copy.deepcopy(quantized("efficient_kan", "gptq"))
    ir = lower(frozen_model("efficient_kan", "gptq"))
    X = all_inputs(ir)
    layer = next(model.kan_layers())
    assert layer.spline_quantizer is not None
    with torch.no_grad():
        levels = layer.spline_quantizer.integers(layer.spline_weight)
        o, i, b = np.argwhere(levels.numpy() == levels.max().item() - 1)[0].tolist()
        layer.spline_weight[o, i, b] += layer.spline_quantizer.step[o]
    got = freeze(model, name="kan", host=ir.host).run(X)
    with pytest.raises(pytest.fail.Exception, match="layers_0"):
        assert_same(Reference(ir).run(X), got)
