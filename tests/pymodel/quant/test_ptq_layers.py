"""What PTQ sees of convolutions, norms and products: features, targets, ranges and biases against direct computation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pymodel.errors import ConfigError
from pymodel.layers import KAN, ConvSpec, FastKAN, KAGNLinear, PyKAN, build_kan
from pymodel.quant import Codes, QuantKAN, post_training, prune_to, quantize_model, start_from_float, start_from_gptq
from pymodel.quant._conv import QuantKANConv
from pymodel.quant._norm import QuantNormLinear
from pymodel.quant._product import QuantProductLinear
from pymodel.quant.ptq._gptq import corrected, gptq_levels
from pymodel.quant.ptq._problem import Problem, branch_quantizers, weights_of
from pymodel.quant.ptq._unrounded import float_sums, nodes_of
from pymodel.quant.ptq._windows import sample_windows
from pymodel.settings import QuantizeSettings

CONV = (ConvSpec(4, 3, 2, 1, groups=2, pool="max"), ConvSpec(6, (1, 2), pool="average"))
DOUBLE = torch.float64


def conv_model(family: str = "kagn") -> tuple[KAN, Tensor]:
    torch.manual_seed(0)
    model = build_kan(family, (72, 3), grid=4, order=3, range=(-2, 2), norm="batch", conv=CONV[:1], image=(6, 6, 2))
    x = (torch.rand(60, 72) - 0.5) * 4
    for _ in range(30):
        model(x)
    return model.eval(), x


def norm_model() -> tuple[KAN, Tensor]:
    torch.manual_seed(0)
    model = FastKAN([4, 5, 3], layernorm=True)
    for layer in model.kan_layers():
        torch.nn.init.uniform_(layer.layernorm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(layer.layernorm.bias, -0.3, 0.3)
    return model.eval(), (torch.rand(300, 4) - 0.5) * 4


def product_model() -> tuple[PyKAN, Tensor]:
    torch.manual_seed(0)
    model = PyKAN([3, [2, 2], [1, 1]], mult_arity=[[], [2, 3], [2]], range=(-2, 2), affine=True, noise_scale=1.0)
    for layer in model.kan_layers():
        for parameter, mean in (
            (layer.subnode_scale, 1.0),
            (layer.node_scale, 1.0),
            (layer.subnode_bias, 0.2),
            (layer.node_bias, 0.0),
        ):
            torch.nn.init.uniform_(parameter, mean - 0.4, mean + 0.4)
    return model.eval(), (torch.rand(300, 3) - 0.5) * 4


MODELS = {
    "efficient_kan-conv": lambda: conv_model("efficient_kan"),
    "fast_kan-conv": lambda: conv_model("fast_kan"),
    "kagn-conv": conv_model,
    "norm": norm_model,
    "product": product_model,
}


@pytest.mark.parametrize("name", MODELS)
def test_layers_with_float_weights_are_the_float_network(name: str) -> None:
    """Folded weights, pools, products and norms: what targets come from is what the float network computes."""
    model, x = MODELS[name]()
    with torch.no_grad():
        y = x
        for layer, source in zip(
            quantize_model(model, QuantizeSettings()).kan_layers(), model.kan_layers(), strict=True
        ):
            y, want = nodes_of(layer, float_sums(layer, y)), source(y)
            torch.testing.assert_close(y, want, rtol=1e-4, atol=1e-4)


def settled(layer: QuantKANConv, low: float, step: float) -> None:
    layer.quantizer.low.fill_(low)
    layer.quantizer.step.fill_(step)


def test_the_moments_of_a_convolution_are_those_of_its_patches() -> None:
    """`torch.nn.functional.unfold` of the rounded features, group by group: padding has features 0."""
    model, x = conv_model()
    quantized = quantize_model(model, QuantizeSettings())
    layer = next(quantized.kan_layers())
    assert isinstance(layer, QuantKANConv)
    u = quantized._first(x)
    with torch.no_grad():
        problem = Problem.of(layer, copy.deepcopy(layer), u, x)
    g, features = layer.geometry, layer.n_basis + 1
    assert problem.count == 60 * g.n_windows
    assert problem.groups == 2
    table = layer.tables().rounded
    maps = table[u.long()].view(60, 6, 6, 2, features)
    for group in range(2):
        image = maps[..., group, :].permute(0, 3, 1, 2)
        patches = functional.unfold(image, (3, 3), padding=1, stride=2).view(60, features, 9, -1)
        rows = patches.permute(0, 3, 2, 1).reshape(-1, 9 * features)  # taps, then features, as the weights have it
        torch.testing.assert_close(problem.features()[:, group], rows)
        centred = rows - rows.mean(dim=0)
        torch.testing.assert_close(problem.moments()[2][group], centred.T @ centred, rtol=1e-3, atol=1e-2)
    with torch.no_grad():  # the map is linear: features times weights are the layer's sums
        base, spline = branch_quantizers(layer)
        layer.calibrate_weights()
        weight = torch.cat((base(layer.base_weight).unsqueeze(-1), spline(layer.spline_weight)), dim=-1).flatten(1)
        got = problem.products(problem.features(), weight)
        shift = 0.0 if layer.bias is None else layer.bias
        want = layer._product(u, problem.here, layer.tables(), ([1.0], [1.0]))
        torch.testing.assert_close(got + shift, want.view(-1, 4) + shift, rtol=1e-4, atol=1e-4)


def test_a_sample_of_windows_is_even_and_repeats() -> None:
    model, x = conv_model()
    g = next(model.kan_layers()).geometry
    at = sample_windows(g, 60, x.device, most=240)
    assert at.image.tolist() == [k for k in range(60) for _ in range(4)]
    for k in range(60):
        assert len(set(at.window[at.image == k].tolist())) == 4
    again = sample_windows(g, 60, x.device, most=240)
    assert torch.equal(at.window, again.window)
    assert len(set(at.window.tolist())) == g.n_windows  # every position is seen somewhere
    few = sample_windows(g, 60, x.device, most=20)
    assert few.image.tolist() == list(range(0, 60, 3))
    layer = next(quantize_model(model, QuantizeSettings()).kan_layers())
    with torch.no_grad():
        whole = float_sums(layer, x).view(60, g.n_windows, -1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pymodel.quant.ptq._windows.MAX_WINDOWS", 240)
            patch.setattr("pymodel.quant.ptq._problem.sample_windows", lambda *a: sample_windows(*a, most=240))
            patch.setattr("pymodel.quant.ptq._unrounded._BLOCK_VALUES", 7 * 72 * 6)  # blocks of 7 images
            problem = Problem.of(layer, layer, x, x)
    torch.testing.assert_close(problem.target, whole[at.image, at.window])
    torch.testing.assert_close(problem.mean, whole.mean(dim=(0, 1)), rtol=1e-4, atol=1e-5)


def test_a_norm_s_features_are_what_the_layer_multiplies() -> None:
    model, x = norm_model()
    quantized = post_training(model, QuantizeSettings(method="mse"), x)
    layer = next(quantized.kan_layers())
    assert isinstance(layer, QuantNormLinear)
    assert bool(layer.settled)
    u = quantized._first(x)
    here = Codes(*layer.quantizer.scaled(1))
    with torch.no_grad():
        problem = Problem(layer, u, here, x.new_zeros(300, 5), x.new_zeros(5))
        base, spline = branch_quantizers(layer)
        base_weight, spline_weight = layer.masked_weights()
        weight = torch.cat((base(base_weight).unsqueeze(-1), spline(spline_weight)), dim=-1).flatten(1)
        want = layer._product(u, here, layer.tables(), ([1.0], [1.0]))
        torch.testing.assert_close(problem.products(problem.features(), weight), want, rtol=1e-4, atol=1e-4)


def test_the_codes_of_a_norm_are_chosen_for_the_outputs() -> None:
    """The output coder's range gives a smaller error than covering all normalised inputs."""
    model, x = norm_model()
    wanted = model(x).detach()
    errors = {}
    for coder in ("minmax", "percentile", "mse", "output"):
        settings = QuantizeSettings(
            method="gptq", coder=coder, activations=3, basis=8, base_weights=8, spline_weights=8
        )
        with torch.no_grad():
            errors[coder] = float((post_training(model, settings, x)(x) - wanted).square().mean())
    assert errors["output"] <= min(errors.values()) * 1.05
    assert errors["output"] < 0.8 * errors["minmax"]


def test_factors_and_node_biases_are_settled_by_the_products() -> None:
    model, x = product_model()
    quantized = post_training(model, QuantizeSettings(method="gptq", product=5, activations=6), x)
    with torch.no_grad():
        u, y = quantized._first(x), x
        codes = quantized.codes()
        layers = list(quantized.kan_layers())
        for layer, source, here, after in zip(layers, model.kan_layers(), codes, [*codes[1:], None], strict=True):
            assert isinstance(layer, QuantProductLinear)
            assert bool(layer.settled)
            y = source(y)
            real = layer(u, here, None)
            torch.testing.assert_close(real.mean(dim=0), y.mean(dim=0), atol=1e-4, rtol=1e-4)
            found, chosen = {}, int(layer.subnodes.exponent)
            for exponent in range(chosen - 2, chosen + 3):  # no other unit is better by the error of the products
                layer.subnodes.exponent.fill_(exponent)
                error = layer(u, here, None) - y
                found[exponent] = float((error - error.mean(dim=0)).square().sum())
            assert min(found, key=found.__getitem__) == chosen or found[chosen] < 1.1 * min(found.values())
            layer.subnodes.exponent.fill_(chosen)
            u = layer(u, here, after)


@pytest.mark.parametrize("start", [start_from_gptq, start_from_float])
def test_training_starts_where_it_should(start) -> None:
    for model, x in (conv_model(), norm_model(), product_model()):
        settings = QuantizeSettings(method="lsq", activations=5, granularity="channel")
        quantized: QuantKAN = start(model, settings, x)
        method = "gptq" if start is start_from_gptq else "mse"
        ready = post_training(model, QuantizeSettings(method=method, activations=5, coder="output"), x)
        with torch.no_grad():
            got, want = quantized(x), ready(x)
            if start is start_from_gptq:  # the same integers; MSE's steps are those that LSQ's calibration finds
                assert torch.equal(got, want)
            else:
                assert float((got - want).square().mean()) < 0.05 * float(want.var(dim=0).mean())
        for layer, done in zip(quantized.kan_layers(), ready.kan_layers(), strict=True):
            if isinstance(layer, QuantNormLinear):
                assert isinstance(done, QuantNormLinear)
                assert torch.equal(layer.normal.low, done.normal.low)
            if isinstance(layer, QuantProductLinear):
                assert isinstance(done, QuantProductLinear)
                assert torch.equal(layer.node_bias, done.node_bias)


def test_removed_edges_pass_their_error_on_and_stay_removed() -> None:
    g = torch.Generator().manual_seed(2)
    b = torch.randn(60, 6, generator=g, dtype=DOUBLE)
    b[:, 1:] += b[:, :1]
    h = b.T @ b
    w = torch.randn(1, 6, generator=g, dtype=DOUBLE) * 2
    high = torch.tensor([[7.0, 0.0, 7.0, 0.0, 7.0, 7.0]], dtype=DOUBLE)
    levels = gptq_levels(w, h, torch.full((1, 1), 0.5, dtype=DOUBLE), high)
    assert levels[0, [1, 3]].abs().max() == 0
    cut = torch.where(high > 0, gptq_levels(w, h, torch.full((1, 1), 0.5, dtype=DOUBLE), high[0].clamp_min(7)), 0.0)

    def error(q: Tensor) -> float:
        return float(((q * 0.5 - w) @ h * (q * 0.5 - w)).sum())

    assert error(levels) < error(cut)
    for model, x in (norm_model(), product_model()):
        prune_to(model, sum(layer.mask.numel() for layer in model.kan_layers()) // 2, x)
        for method in ("minmax", "gptq", "awq"):
            for layer in post_training(model, QuantizeSettings(method=method), x).kan_layers():
                removed = weights_of(layer)[~layer.mask]
                assert len(removed)
                assert torch.equal(removed, torch.zeros_like(removed))


def test_the_float_update_of_a_layer_keeps_its_mask() -> None:
    model, x = product_model()
    prune_to(model, 10, x)
    quantized = quantize_model(model, QuantizeSettings(activations=3))
    layer = next(quantized.kan_layers())
    with torch.no_grad():
        problem = Problem.of(layer, copy.deepcopy(layer), quantized._first(x), x)
        moved = corrected(problem, weights_of(layer).flatten(1)).view(*layer.mask.shape, -1)
    assert float(moved[~layer.mask].abs().max()) == 0.0


def test_a_norm_over_both_branches() -> None:
    torch.manual_seed(0)
    model = KAN(
        (4, 5, 3), [KAGNLinear(4, 5, norm="none"), KAGNLinear(5, 3, before="silu", layernorm=True, norm="none")]
    )
    x = (torch.rand(300, 4) - 0.5) * 4
    with torch.no_grad():
        wanted = model(x)
        errors = [
            float((post_training(model, QuantizeSettings(method=m, basis=8), x)(x) - wanted).square().mean())
            for m in ("minmax", "gptq")
        ]
    assert errors[1] < 0.6 * errors[0]


def test_what_a_norm_cannot_read_is_still_refused() -> None:
    model, x = norm_model()
    with pytest.raises(ConfigError, match="a LayerNorm at the input reads at most 12"):
        post_training(model, QuantizeSettings(method="gptq", input=13), x)
