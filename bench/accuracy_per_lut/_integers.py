"""From trained weights to integers: a node is a few integer weights and a threshold, an edge of layer 2 one integer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from _ensemble import Ensemble
from _images import TRAIN_ROWS, Images, augment
from torch import Tensor

__all__ = ["export"]

_UNIT = 511
_BIAS_LIMIT = 1 << 20


def _node_integers(w1: Tensor, gamma: Tensor, beta: Tensor, x: Tensor, fan_in: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs (nodes, fan_in), weights (nodes, fan_in) and thresholds (nodes,): a node is 1 iff `w . x >= threshold`.

    BatchNorm is folded with the statistics of the integer sums over the binary images `x` (rows, 784).
    """
    values, inputs = w1.abs().topk(fan_in, dim=1)
    weights = w1.gather(1, inputs)
    scale = _UNIT / values[:, :1].clamp(min=1e-12)
    weights = torch.floor(weights * scale + 0.5)
    dense = torch.zeros_like(w1).scatter_(1, inputs, weights)
    z = x @ dense.T  # exact: integers below 2^24, TF32 off
    mean, var = z.double().mean(0), z.double().var(0, unbiased=False)
    std = (var + 1e-5 * scale[:, 0].double().square()).sqrt()
    gamma, beta = gamma[:, 0].double(), beta[:, 0].double()
    safe = torch.where(gamma.abs() < 1e-6, torch.full_like(gamma, 1e-6), gamma)
    sign = torch.sign(safe)
    limit = float(_UNIT * fan_in + 1)
    threshold = torch.ceil(sign * (mean - beta * std / safe)).clamp(-limit, limit)
    return inputs, weights * sign[:, None].float(), threshold


def _accuracy(net: dict[str, Tensor], images: Tensor, labels: Tensor, threshold: int) -> float:
    x = (images >= threshold).float()
    dense = torch.zeros((len(net["inputs"]), 784), device=x.device).scatter_(1, net["inputs"], net["weights"])
    h = (x @ dense.T >= net["threshold"].float()).float()
    y = h @ net["w2"] + net["b2"]
    return float((y.argmax(1) == labels).float().mean())


def _network(source: dict[str, Tensor], ensemble: Ensemble, model: int, x: Tensor) -> dict[str, Tensor]:
    s, k, N = model // ensemble.P, model % ensemble.P, ensemble.N
    rows = slice(k * N, (k + 1) * N)
    mask = ensemble.mask1[s, rows]
    inputs, weights, threshold = _node_integers(
        source["w1"][s, rows] * mask, source["gamma"][s, rows], source["beta"][s, rows], x, ensemble.plan.fan_in
    )
    step, level = source["step"][model].exp(), ensemble.level[model]
    w2 = torch.floor(source["w2"][model] / step + 0.5)
    w2 = torch.maximum(torch.minimum(w2, level), -level) * ensemble.mask2[model]
    # h - 1/2 becomes h: the halves move to the bias. Scores need integers only up to a common factor and offset.
    b2 = torch.floor(source["b2"][model][:, 0] / step[0, 0] - 0.5 * w2.sum(0) + 0.5)
    return {
        "inputs": inputs,
        "weights": weights,
        "threshold": threshold,
        "w2": w2,
        "b2": b2.clamp(-_BIAS_LIMIT, _BIAS_LIMIT),
    }


@torch.no_grad()
def export(ensemble: Ensemble) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return one record and the integer arrays of each network; the variant is chosen on the validation images.

    Variants: the last weights or their moving average; BatchNorm statistics of the plain or of augmented images.
    Test accuracies are recorded beside, and used for nothing.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    images: Images = ensemble.images
    plan = ensemble.plan
    views = {
        "plain": (images.train >= plan.threshold).float(),
        "moved": (ensemble.pool.x[:TRAIN_ROWS] >= plan.threshold).float(),
    }
    sources = {"last": ensemble.p, "ema": ensemble.ema or ensemble.p}
    generator = torch.Generator(images.train.device).manual_seed(99)
    moved = augment(images.validation, generator)
    records, arrays = [], {}
    for model in range(ensemble.S * ensemble.P):
        point, seed = plan.points[model % ensemble.P], plan.seeds[model // ensemble.P]
        found: dict[str, tuple[float, float, float]] = {}
        nets = {}
        for a, source in sources.items():
            for b, x in views.items():
                net = nets[f"{a}_{b}"] = _network(source, ensemble, model, x)
                found[f"{a}_{b}"] = (
                    _accuracy(net, images.validation, images.validation_labels, plan.threshold),
                    _accuracy(net, images.test, images.test_labels, plan.threshold),
                    _accuracy(net, moved, images.validation_labels, plan.threshold),
                )
        best = max(found, key=lambda key: found[key][0])
        net = nets[best]
        live = net["w2"] != 0
        name = f"{plan.name}_e{point.edges}_l{point.level}_s{seed}"
        records.append(
            {
                "name": name, "run": plan.name, "nodes": plan.nodes, "threshold": plan.threshold, "epochs": plan.epochs,
                "edges": point.edges, "level": point.level, "seed": seed, "variant": best,
                "validation": found[best][0], "test": found[best][1], "variants": found,
                "loss": float(ensemble.loss[model]), "used": int(live.any(1).sum()), "live": int(live.sum()),
            }
        )  # fmt: skip
        kinds = {"inputs": np.int16, "weights": np.int16, "threshold": np.int32, "w2": np.int8, "b2": np.int32}
        for key, kind in kinds.items():
            arrays[f"{name}.{key}"] = net[key].cpu().numpy().astype(kind)
    torch.backends.cuda.matmul.allow_tf32 = True
    return records, arrays
