"""Whatever a method chooses: the same integers in frozen torch and in the numba reference, for every family."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from pymodel.ir import HostSpec, KanIR, Task
from pymodel.layers import KAN, build_kan
from pymodel.lower import lower
from pymodel.quant import QuantKAN, freeze, post_training, start_from_gptq
from pymodel.reference import Reference
from pymodel.settings import QuantizeSettings

FAMILIES = ("efficient_kan", "fast_kan", "kagn")
METHODS = ("gptq", "awq", "hawq_v2", "adaround", "dsq", "qil", "dorefa", "pact")
HOST = HostSpec(Task.REGRESSION, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)


@cache
def float_model(family: str) -> tuple[KAN, torch.Tensor]:
    torch.manual_seed(0)
    model = build_kan(
        family, (3, 5, 2), grid=5, order=3, range=(-2.0, 2.0), norm="batch" if family == "kagn" else "none"
    )
    x = (torch.rand(128, 3) - 0.5) * 5
    for _ in range(3):
        model(x)
    return model.eval(), x


def quantized(family: str, method: str) -> QuantKAN:
    model, x = float_model(family)
    settings = QuantizeSettings(
        method=method, activations=4, basis=7, base_weights=3, spline_weights=3, granularity="channel"
    )
    if settings.post_training:
        return post_training(model, settings, x)
    result = start_from_gptq(model, settings, x)
    optimizer = torch.optim.AdamW(result.parameter_groups(1e-4), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        (result(x) - model(x).detach()).square().mean().backward()
        optimizer.step()
    return result


@pytest.fixture(params=[(f, m) for f in FAMILIES for m in METHODS], ids="-".join)
def chain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[QuantKAN, KanIR]:
    monkeypatch.setattr("pymodel.quant.ptq._adaround._STEPS", 40)
    model = quantized(*request.param)
    return model, lower(freeze(model, name="kan", host=HOST))


def test_torch_equals_the_reference(chain: tuple[QuantKAN, KanIR]) -> None:
    model, ir = chain
    t = ir.input.out_type
    X = np.random.default_rng(0).integers(t.min_int, t.max_int, (500, 3), endpoint=True)
    want = Reference(ir).run(X)
    got = freeze(model, name="kan", host=HOST).run(X)
    for node in ir.layers:
        assert np.array_equal(got[node.name], want[node.name])
    # The QAT model emits the same hidden codes.
    double = model.double()
    with torch.no_grad():
        u = double._first(torch.from_numpy(t.to_real(X)))
        first, second = double.kan_layers()
        codes = first(u, double.codes()[0], double.codes()[1])
    node = ir.layers[0]
    assert np.array_equal(
        torch.floor(codes + 0.5).clamp(0, second.quantizer.n_codes - 1).long().numpy(), want[node.name]
    )


def test_a_changed_weight_is_noticed() -> None:
    model = quantized("efficient_kan", "gptq")
    ir = lower(freeze(model, name="kan", host=HOST))
    with torch.no_grad():
        layer = next(model.kan_layers())
        layer.spline_weight[0] += layer.spline_quantizer.step[0]
    t = ir.input.out_type
    X = np.random.default_rng(0).integers(t.min_int, t.max_int, (500, 3), endpoint=True)
    got, want = freeze(model, name="kan", host=HOST).run(X), Reference(ir).run(X)
    assert not np.array_equal(got[ir.layers[0].name], want[ir.layers[0].name])
