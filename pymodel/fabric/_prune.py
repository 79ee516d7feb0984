"""Gradual pruning towards a number of inputs per node, of edges, or of LUTs (Zhu and Gupta 2017's cubic schedule).

An edge of the last layer scores the variance of its function; an earlier one gets its share of its node's variance,
times what the edges that leave the node score. Where a node may have `fan_in` inputs, it keeps its best ones. All other
edges compete for the budget, by score per LUT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pymodel.errors import ConfigError
from pymodel.fabric._cost import edge_luts, model_luts
from pymodel.fabric._model import TableKAN
from pymodel.settings import PruneSettings

__all__ = ["TablePruner", "table_scores"]

_START, _END = 0.03, 0.6


@torch.no_grad()
def table_scores(model: TableKAN, x: Tensor) -> list[Tensor]:
    """Return a score per edge, (N, I) per layer, on prepared rows `x`."""
    layers = list(model.kan_layers())
    scores = [layer.variances(share) for layer, share in zip(layers, model.shares(x), strict=True)]
    for k in range(len(layers) - 2, -1, -1):
        node = scores[k + 1].sum(0)
        scores[k] = scores[k] / scores[k].sum(1, keepdim=True).clamp_min(1e-30) * node[:, None]
    return scores


@dataclass
class TablePruner:
    """Takes a model from all its edges to the target during a part of its training.

    Args:
        model: the model.
        settings: the budget and the schedule; None keeps all edges but those beyond a node's `fan_in`.
        x: (rows, features), prepared rows on which edges are judged.

    Raises:
        ConfigError: if the budget does not fit the model.
    """

    model: TableKAN
    settings: PruneSettings | None
    x: Tensor

    def __post_init__(self) -> None:
        layers = list(self.model.kan_layers())
        settings = self.settings
        self._start, self._end = (_START, _END) if settings is None else (settings.start, settings.end)
        self._free = [layer.fan_in is None for layer in layers]
        self._full = [layer.mask.clone() for layer in layers]
        sizes = tuple(mask.numel() for mask, free in zip(self._full, self._free, strict=True) if free)
        self._edges: int | tuple[int, ...] | None = None
        self._luts: float | None = None
        self._finished = False
        if settings is None:
            return
        if settings.luts is not None:
            self._luts = float(settings.luts)
        elif settings.layers is not None and len(settings.layers) != len(sizes):
            raise ConfigError(
                f"train.prune.layers has {len(settings.layers)} numbers, but {len(sizes)} layers have no fan_in; give one "
                "for each of these"
            )
        else:
            self._edges = settings.targets(sizes)

    @property
    def needed(self) -> bool:
        """Whether there is anything to prune."""
        return self.settings is not None or not all(self._free)

    def state(self) -> list[float]:
        """Return whether pruning is over."""
        return [float(self._finished)]

    def restore(self, state: Sequence[float]) -> None:
        """Continue from what :meth:`state` returned; the masks are the model's."""
        self._finished = bool(state[0])

    def done(self, progress: float) -> bool:
        """Return whether the target is reached at `progress`, 0 … 1 of the phase."""
        return progress > self._end or progress == 1.0

    def step(self, progress: float) -> None:
        """Prune as far as the schedule wants at `progress`."""
        if progress < self._start or self._finished:
            return
        rest = 0.0 if progress >= self._end else (1.0 - (progress - self._start) / (self._end - self._start)) ** 3
        if rest:
            self._prune(rest)
        else:
            self.finish()

    def finish(self) -> None:
        """Prune to the target at once, and drop the edges of nodes that nothing reads.

        Raises:
            ConfigError: if the model cannot get as small as the budget asks.
        """
        self._prune(0.0)
        layers = list(self.model.kan_layers())
        for k in range(len(layers) - 2, -1, -1):
            read = layers[k + 1].mask.any(dim=0)
            layers[k].apply_mask(layers[k].mask & read[:, None])
        if not bool(layers[-1].mask.any()):
            raise ConfigError("train.prune leaves no edge in the last layer; raise the budget")
        self._finished = True

    @torch.no_grad()
    def _prune(self, rest: float) -> None:
        layers = list(self.model.kan_layers())
        scores = table_scores(self.model, self.x)
        masks = [layer.mask.clone() for layer in layers]
        for k, layer in enumerate(layers):
            if layer.fan_in is not None:
                few = min(layer.fan_in, layer.in_features)
                keep = few + round((layer.in_features - few) * rest)
                best = scores[k].topk(keep, dim=1)
                masks[k] = torch.zeros_like(masks[k]).scatter_(1, best.indices, best.values > 0) & masks[k]
        free = [k for k, is_free in enumerate(self._free) if is_free]
        if isinstance(self._edges, tuple):
            for k, target in zip(free, self._edges, strict=True):
                self._keep(masks, [k], scores, round(target + (masks[k].numel() - target) * rest))
        elif self._edges is not None:
            total = sum(masks[k].numel() for k in free)
            self._keep(masks, free, scores, round(self._edges + (total - self._edges) * rest))
        elif self._luts is not None:
            self._fit(
                masks, free, scores, self._luts + max(0.0, model_luts(self.model, self._full) - self._luts) * rest
            )
        for layer, mask in zip(layers, masks, strict=True):
            layer.apply_mask(mask)

    def _ranked(self, masks: list[Tensor], free: list[int], scores: list[Tensor]) -> Tensor:
        """Return the score per LUT of every edge of the `free` layers, flat; removed edges have -1."""
        layers = list(self.model.kan_layers())
        parts = []
        for k in free:
            cost = edge_luts(layers[k].bits, layers[k].edge_bits)
            parts.append(torch.where(masks[k], scores[k] / cost, -1.0).flatten())
        return torch.cat(parts)

    def _keep(self, masks: list[Tensor], free: list[int], scores: list[Tensor], count: int) -> None:
        ranked = self._ranked(masks, free, scores)
        self._apply(masks, free, ranked, ranked.argsort(descending=True, stable=True), count)

    def _apply(self, masks: list[Tensor], free: list[int], ranked: Tensor, order: Tensor, count: int) -> None:
        kept = torch.zeros(len(ranked), dtype=torch.bool)
        kept[order[:count]] = True
        kept &= ranked >= 0
        at = 0
        for k in free:
            n = masks[k].numel()
            masks[k] = kept[at : at + n].view(masks[k].shape)
            at += n

    def _fit(self, masks: list[Tensor], free: list[int], scores: list[Tensor], budget: float) -> None:
        """Keep as many of the best edges as `budget` LUTs pay for, with the nodes that they need."""
        ranked = self._ranked(masks, free, scores)
        order = ranked.argsort(descending=True, stable=True)
        low, high = 0, len(ranked)
        while low < high:
            middle = (low + high + 1) // 2
            trial = list(masks)
            self._apply(trial, free, ranked, order, middle)
            if model_luts(self.model, trial) <= budget:
                low = middle
            else:
                high = middle - 1
        self._apply(masks, free, ranked, order, low)
