"""Steps that a method of PTQ chooses by search, against a search by hand over the same layer."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from pymodel.layers import EfficientKAN
from pymodel.quant import Codes, QuantKAN, post_training, quantize_model
from pymodel.quant._functions import round_half_up
from pymodel.quant.ptq._awq import awq, awq_scales
from pymodel.quant.ptq._brecq import Block
from pymodel.quant.ptq._coder import clipped_share
from pymodel.quant.ptq._gptq import _FACTORS, corrected, gptq, gptq_levels, weighted_steps
from pymodel.quant.ptq._problem import Problem, branch_quantizers, weights_of
from pymodel.settings import QuantizeSettings


def model_and_rows(inputs: int = 3) -> tuple[EfficientKAN, Tensor]:
    """Return a network and rows; those of many inputs are correlated."""
    torch.manual_seed(0)
    model = EfficientKAN([inputs, 4, 2], grid=4, order=2, range=(-2, 2))
    x = (torch.rand(200, inputs) - 0.5) * 4
    return model, x if inputs == 3 else 0.15 * x + 0.85 * x[:, :1]


def first_problem(settings: QuantizeSettings, inputs: int = 3) -> tuple[QuantKAN, Problem]:
    model, x = model_and_rows(inputs)
    quantized = quantize_model(model, settings)
    layer = next(quantized.kan_layers())
    return quantized, Problem.of(layer, copy.deepcopy(layer), quantized._first(x), x)


def test_minmax_covers_each_output_s_weights() -> None:
    """The largest magnitude is the largest level; codes go from the smallest to the largest activation."""
    model, x = model_and_rows()
    quantized = post_training(model, QuantizeSettings(method="minmax", base_weights=4, spline_weights=3), x)
    for layer, source in zip(quantized.kan_layers(), model.kan_layers(), strict=True):
        base, spline = branch_quantizers(layer)
        float_base, float_spline, _ = source.folded()
        torch.testing.assert_close(base.step.detach(), float_base.abs().amax(dim=1) / 7)
        torch.testing.assert_close(spline.step.detach(), float_spline.abs().amax(dim=(1, 2)) / 3)
        levels = round_half_up(float_spline / spline.step.detach()[:, None, None])
        assert torch.equal(spline.integers(layer.spline_weight), levels.long())
    first, second = quantized.kan_layers()
    with torch.no_grad():
        hidden = first(quantized._first(x), Codes(*first.quantizer.scaled(1)), None)
        coder = second.quantizer
        assert float(coder.low) == pytest.approx(float(hidden.min()), abs=1e-5)
        assert float(coder.low + 15 * coder.step) == pytest.approx(float(hidden.max()), abs=1e-5)


def test_percentile_clips_a_share_of_each_output_s_weights() -> None:
    assert [clipped_share(n) for n in (256, 16, 4, 3)] == [1 / 65536, 1 / 256, 1 / 16, 1 / 9]
    torch.manual_seed(0)
    model, x = EfficientKAN([40, 2], grid=5, order=3, range=(-2, 2)), torch.rand(50, 40) * 4 - 2
    quantized = post_training(model, QuantizeSettings(method="percentile", base_weights=3, spline_weights=3), x)
    (layer,), (source,) = quantized.kan_layers(), model.kan_layers()
    _, spline = branch_quantizers(layer)
    weight = source.folded()[1].flatten(1).abs()
    share = 2 * clipped_share(7)
    clipped = (weight > 3 * spline.step.detach()[:, None] * (1 + 1e-6)).double().mean(dim=1)
    assert torch.all((clipped <= share) & (clipped > share - 2 / weight.shape[1]))


def test_mse_has_the_steps_of_least_squared_error() -> None:
    model, x = model_and_rows()
    quantized = post_training(model, QuantizeSettings(method="mse", base_weights=3, spline_weights=3), x)
    for layer, source in zip(quantized.kan_layers(), model.kan_layers(), strict=True):
        weight, (_, quantizer) = source.folded()[1].flatten(1).double(), branch_quantizers(layer)

        def error(step: Tensor, weight: Tensor = weight) -> Tensor:
            return (weight - step * round_half_up(weight / step).clamp(-3, 3)).square().sum(dim=1)

        found = error(quantizer.step.detach().double()[:, None])
        extent = weight.abs().amax(dim=1, keepdim=True) / 3
        by_hand = torch.stack([error(extent * k / 64) for k in range(1, 65)]).amin(dim=0)
        torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=0)


def test_awq_takes_the_alpha_of_least_output_error() -> None:
    """Equation 4: over alpha in 0, 0.1 … 1, with the scales of every one, weights rounded to nearest."""
    _, problem = first_problem(QuantizeSettings(method="awq", base_weights=3, spline_weights=3, basis=8))
    layer = problem.layer
    weight = weights_of(layer)
    activity = problem.features().abs().mean(dim=0).view(-1, problem.n_features)[:, 1:].mean(dim=0)
    errors: dict[tuple[float, ...], float] = {}
    trial = copy.deepcopy(problem)
    for k in range(11):
        scales = awq_scales(activity, k / 10)
        trial.layer.basis_scales = scales
        b = trial.features()[:, 0]  # divided by the scales
        target = weight * torch.tensor([1.0, *scales])
        best = torch.empty_like(target)
        for columns in (slice(0, 1), slice(1, None)):
            part = target[..., columns].flatten(1).double()
            power = b.square().sum(dim=0).view(-1, problem.n_features)[:, columns].flatten().double()
            power = power + 1e-6 * power.mean()
            extent = part.abs().amax(dim=1, keepdim=True)
            tries = [extent / 3 * s / 64 for s in range(1, 65)]
            rounded = [t * round_half_up(part / t).clamp(-3, 3) for t in tries]
            cost = torch.stack([((part - r).square() * power).sum(dim=1) for r in rounded])
            chosen = torch.stack(rounded)[cost.argmin(dim=0), torch.arange(len(part))]
            best[..., columns] = chosen.view_as(best[..., columns]).to(best)
        difference = b @ best.flatten(1).T - problem.target
        errors[scales] = float((difference - difference.mean(dim=0)).square().sum())
    awq(problem)
    scales = layer.basis_scales or (1.0,) * layer.n_basis
    assert errors[scales] <= min(errors.values()) * 1.001


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_gptq_takes_the_multiple_of_its_steps_that_is_best(granularity: str) -> None:
    settings = QuantizeSettings(method="gptq", base_weights=2, spline_weights=2, basis=8, granularity=granularity)
    _, problem = first_problem(settings, 16)
    layer = problem.layer
    weight = corrected(problem, weights_of(layer).flatten(1))
    _, _, (hessian,), _ = problem.moments()
    shape = (4, 16, problem.n_features)
    weighted_steps(problem, weight.view(shape), hessian.diagonal().view(1, *shape[1:]))
    step = problem.steps().repeat(1, layer.in_features).expand_as(weight)
    high = problem.highs().repeat(layer.in_features)
    gptq(problem)

    def error(quantized: Tensor) -> Tensor:
        difference = quantized - weight
        return ((difference @ hessian) * difference).sum(dim=1)

    found = error(weights_of(layer).flatten(1))
    errors = torch.stack([error(gptq_levels(weight, hessian, step * f, high) * step * f) for f in _FACTORS])
    if granularity == "channel":
        torch.testing.assert_close(found, errors.amin(dim=0), rtol=1e-3, atol=1e-4)
    else:
        assert float(found.sum()) == pytest.approx(float(errors.sum(dim=1).min()), rel=1e-3)
    assert bool((errors.argmin(dim=0) > 0).any())  # for some output not the step of least squared error
    nearest = round_half_up(weight / step).clamp(-1, 1) * step
    assert float(found.sum()) < float(error(nearest).sum())


def test_brecq_lowers_the_weighted_error_of_the_block_s_output() -> None:
    """Equation 10: what a block minimises is its output's error, weighted by the Fisher information."""
    model, x = model_and_rows()
    settings = QuantizeSettings(method="brecq", base_weights=2, spline_weights=2, activations=3, basis=8)
    seen: list[tuple[float, float]] = []
    learn = Block.learn

    def spy(block: Block, wanted: Tensor) -> None:
        def error() -> float:
            u = block.problems[0].u
            first, last = (problem.layer for problem in block.problems)
            codes = Codes(*last.quantizer.scaled(1))
            with torch.no_grad():
                out = last(first(u, block.problems[0].here, codes), codes, None) - wanted
            return float((out - out.mean(dim=0)).square().mean())

        before = error()
        learn(block, wanted)
        seen.append((before, error()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Block, "learn", spy)
        patch.setattr("pymodel.quant.ptq._adaround._STEPS", 60)
        patch.setattr("pymodel.quant.ptq._brecq._STEPS", 60)
        post_training(model, settings, x)
    ((before, after),) = seen
    assert after <= 1.05 * before  # Fisher's weights differ between outputs, so the plain error may rise a little
