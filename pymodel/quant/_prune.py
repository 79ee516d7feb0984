"""Pruning edges by what a constant cannot replace.

An edge matters as much as its function varies over the inputs it sees: a constant function could move into the bias.
So an edge's own measure is the standard deviation of its function. Between layers, the measures are made comparable by
attribution: an edge gets the share of its node's variation that it causes, times the node's own score, which is what
the edges that leave the node get (1 for an output). Scores of a removed node's edges are therefore 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pymodel.errors import ConfigError, ModelError
from pymodel.layers import KAN, KANLayer
from pymodel.quant._layers import QuantKANLinear
from pymodel.quant._model import QuantKAN
from pymodel.quant._norm import QuantNormLinear

__all__ = ["edge_importance", "edge_scores", "prune_to"]

_MAX_ROWS = 4096
_BLOCK_VALUES = 1 << 23


def _deviation(weight: Tensor, covariance: Tensor) -> Tensor:
    """Return sqrt(w' C w) per edge, (N, I), for weights (N, I, F) and covariances (I, F, F) of the features."""
    by_input = weight.double().transpose(0, 1)
    return ((by_input @ covariance) * by_input).sum(dim=-1).clamp_min(0.0).sqrt().T


@torch.no_grad()
def edge_importance(layer: QuantKANLinear, histogram: Tensor) -> Tensor:
    """Return the standard deviation of every edge's function over the codes that its input takes, (N, I), float64.

    Args:
        layer: the layer; removed edges get 0.
        histogram: (I, C), how often input i has code c (:meth:`QuantKAN.histograms`).

    Raises:
        ModelError: if the histogram has another shape.
    """
    expected = (layer.in_features, layer.quantizer.n_codes)
    if histogram.shape != expected:
        raise ModelError(f"a histogram of shape {expected} was expected, not {tuple(histogram.shape)}")
    if isinstance(layer, QuantNormLinear):
        raise ModelError("an edge behind a LayerNorm reads two codes, which no histogram counts; prune the float model")
    share = histogram.double() / histogram.sum(dim=1, keepdim=True).clamp_min(1)
    table = layer.tables().exact.double()  # (C, F), or (I, C, F)
    centred = table - share.unsqueeze(1) @ table
    covariance = centred.transpose(1, 2) @ (centred * share.unsqueeze(-1))
    base, spline = layer.masked_weights()
    return _deviation(torch.cat((base.unsqueeze(-1), spline), dim=-1), covariance)


def _float_importance(layer: KANLayer, x: Tensor) -> Tensor:
    """Return what :func:`edge_importance` does for a float layer, over its real inputs `x` (rows, I)."""
    rows = max(1, _BLOCK_VALUES // (x.shape[1] * (layer.n_basis + 1)))
    origin = layer.edge_features(x[:1].double())[:1]  # close to the mean, so that little cancels
    total = torch.zeros_like(origin[0])
    moments = total.unsqueeze(1) * total.unsqueeze(2)
    count = 0
    for some in torch.split(x.double(), rows):
        phi = (layer.edge_features(some) - origin).transpose(0, 1)
        count += phi.shape[1]  # windows of a convolution, else rows
        total += phi.sum(dim=1)
        moments = moments + phi.transpose(1, 2) @ phi
    mean = total / count
    covariance = moments / count - mean.unsqueeze(2) * mean.unsqueeze(1)
    base, spline, _ = layer.folded()
    weight = torch.cat((base.unsqueeze(-1), spline), dim=-1)
    return _deviation(weight * layer.mask.unsqueeze(-1), covariance)


@torch.no_grad()
def edge_scores(model: KAN | QuantKAN, x: Tensor) -> list[Tensor]:
    """Return a score per layer and edge, (N, I), comparable across layers; removed edges have 0.

    Args:
        model: a float or a calibrated QAT model.
        x: prepared features (rows, I); at most 4096 of them are used.
    """
    rows = x[:: -(-x.shape[0] // _MAX_ROWS)]
    deviations = []
    if isinstance(model, QuantKAN):
        histograms = model.histograms(rows)
        deviations = [edge_importance(e, h) for e, h in zip(model.kan_layers(), histograms, strict=True)]
    else:
        values = rows.to(next(model.kan_layers()).base_weight)
        for layer in model.kan_layers():
            deviations.append(_float_importance(layer, values))
            values = layer(values)
    scores: list[Tensor] = []
    layers: list[KANLayer | QuantKANLinear] = list(model.kan_layers())
    node = torch.ones(layers[-1].n_nodes, dtype=torch.float64, device=deviations[-1].device)
    for some, deviation in zip(reversed(layers), reversed(deviations), strict=True):
        total = deviation.square().sum(dim=1, keepdim=True).sqrt()
        score = deviation / torch.where(total > 0, total, 1.0) * some.spread(node).unsqueeze(1)
        node = score.square().sum(dim=0).sqrt()
        scores.insert(0, score)
    return scores


def prune_to(model: KAN | QuantKAN, keep: int | tuple[int, ...], x: Tensor) -> list[Tensor]:
    """Remove edges until `keep` are left: the ones of lowest score go. Removed edges never return.

    Args:
        model: a float or a calibrated QAT model; its masks are updated.
        keep: edges that stay in the whole network (ranked together), or in each layer.
        x: prepared features (rows, I) on which the edges are judged.

    Returns:
        The masks, (N, I) bool per layer.

    Raises:
        ConfigError: if `keep` is negative or has the wrong number of layers.
    """
    layers: list[KANLayer | QuantKANLinear] = list(model.kan_layers())
    counts = (keep,) if isinstance(keep, int) else tuple(keep)
    if min(counts) < 0 or (not isinstance(keep, int) and len(counts) != len(layers)):
        raise ConfigError(
            f"the edges to keep must be one number or {len(layers)} numbers, none negative, not {keep}; change it"
        )
    scores = [torch.where(layer.mask, score, -1.0) for layer, score in zip(layers, edge_scores(model, x), strict=True)]
    groups = [scores] if isinstance(keep, int) else [[score] for score in scores]
    masks: list[Tensor] = []
    for group, count in zip(groups, counts, strict=True):
        flat = torch.cat([score.flatten() for score in group])
        mask = torch.zeros_like(flat, dtype=torch.bool)
        mask[torch.argsort(flat, descending=True, stable=True)[:count]] = True
        mask &= flat >= 0
        masks += [m.view_as(s) for m, s in zip(torch.split(mask, [s.numel() for s in group]), group, strict=True)]
    for layer, mask in zip(layers, masks, strict=True):
        layer.apply_mask(mask)
    return masks
