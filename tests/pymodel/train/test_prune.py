"""The pruning schedule."""

from __future__ import annotations

import pytest
import torch

from pymodel.errors import ConfigError
from pymodel.layers import EfficientKAN
from pymodel.settings import PruneSettings
from pymodel.train._prune import Pruner


def edges(model: EfficientKAN) -> tuple[int, ...]:
    return tuple(int(layer.mask.sum()) for layer in model.kan_layers())


@pytest.fixture
def model() -> EfficientKAN:
    torch.manual_seed(0)
    return EfficientKAN([8, 6, 4], range=(-2, 2))


X = 2 * torch.rand(300, 8, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize(
    "settings", [PruneSettings(edges=20), PruneSettings(layers=(12, 8)), PruneSettings(fraction=0.75)]
)
def test_the_schedule_falls_to_the_target_and_stays(model: EfficientKAN, settings: PruneSettings) -> None:
    pruner = Pruner(model, settings, X)
    counts = []
    for step in range(101):
        pruner.step(step / 100)
        counts.append(sum(edges(model)))
        assert not pruner.done(step / 100) or counts[-1] <= settings_target(settings)
    assert counts == sorted(counts, reverse=True)
    assert counts[10] == 72  # nothing goes before start
    assert counts[25] < 72
    assert counts[40] == pytest.approx(20 + 52 * 0.5**3 if settings.fraction is None else 18 + 54 * 0.5**3, abs=1)
    assert counts[70] == counts[-1] <= settings_target(settings)
    assert counts[-1] >= settings_target(settings) - 3  # only edges that lead nowhere are missing
    if settings.layers is not None:
        assert all(found <= wanted for found, wanted in zip(edges(model), settings.layers, strict=True))


def settings_target(settings: PruneSettings) -> int:
    target = settings.targets((48, 24))
    return target if isinstance(target, int) else sum(target)


def test_edges_never_return_and_the_kept_ones_matter(model: EfficientKAN) -> None:
    pruner = Pruner(model, PruneSettings(edges=10), X)
    before = [layer.mask.clone() for layer in model.kan_layers()]
    for step in range(0, 101, 5):
        pruner.step(step / 100)
        for layer, mask in zip(model.kan_layers(), before, strict=True):
            assert not (layer.mask & ~mask).any()
            mask.copy_(layer.mask)
    first, last = (layer.mask for layer in model.kan_layers())
    # A hidden node that still feeds an output is fed itself, and the other way round.
    assert torch.equal(first.any(dim=1), last.any(dim=0))


def test_constant_inputs_lose_their_edges(model: EfficientKAN) -> None:
    x = X.clone()
    x[:, 3] = 0.7
    Pruner(model, PruneSettings(edges=72), x).finish()
    assert not next(model.kan_layers()).mask[:, 3].any()
    assert sum(edges(model)) == 66


def test_finish_is_the_same_at_any_moment(model: EfficientKAN) -> None:
    pruner = Pruner(model, PruneSettings(edges=20), X)
    pruner.step(0.3)
    pruner.finish()
    kept = edges(model)
    assert sum(kept) <= 20
    pruner.step(0.4)
    assert edges(model) == kept


def test_targets_that_do_not_fit(model: EfficientKAN) -> None:
    with pytest.raises(ConfigError, match="edges is 73, but the model has 72 edges"):
        Pruner(model, PruneSettings(edges=73), X)
