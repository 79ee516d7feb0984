"""Many one-hidden-layer table networks trained at once, each node six pixels and a step: one LUT6.

A *run* trains `seeds x points` networks with the same number of nodes in one set of batched products. Node-major layout:
`z = W1 x` is (seeds, points * nodes, batch), so that BatchNorm is a reduction along rows. Per node

    u = gamma * (z - mean) / std + beta,   h = step(u) - 1/2,   du ~ dh * max(0, 1 - |u| / width) / width

and logits `W2 h + b`, where `W2 = s * round(clip(w / s, -level, level))` with a learned s (LSQ) from `qat` on. Edges go
by the cubic schedule of Zhu and Gupta 2017: `fan_in` inputs per node by `w^2 var(x)`, `edges` of layer 2 by
`d^2 var(h)`. `share` neighbouring nodes choose their inputs together (two nodes of the same five inputs fit one LUT6_2).
Gradients are written out, so that a step is a fixed list of kernels that a CUDA graph replays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _images import TRAIN_ROWS, Images, Pool
from torch import Tensor

torch._dynamo.config.cache_size_limit = 64  # one graph per shape, whatever the plan

__all__ = ["Ensemble", "Plan", "Point"]

_EPS = 1e-5
_BETAS = (0.9, 0.99)
_PRUNE_EVERY = 64
_EMA_EVERY, _EMA_DECAY, _EMA_FROM = 20, 0.98, 0.8


@dataclass(frozen=True)
class Point:
    """One network of the trade-off: edges of layer 2 that stay, and the largest magnitude of their integers."""

    edges: int
    level: int


@dataclass(frozen=True)
class Plan:
    """One run. Seeds differ in everything random: initial weights, batches, and the augmented copies they see."""

    name: str
    nodes: int
    threshold: int
    epochs: int
    points: tuple[Point, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    rate: float = 8e-3
    decay: float = 0.01
    batch: int = 512
    prune: tuple[float, float] = (0.03, 0.45)
    qat: float = 0.6
    distill: float = 0.5
    temperature: float = 3.0
    width: float = 1.0
    pool: str = "bicubic"
    fan_in: int = 6
    share: int = 1


def _forward(z: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean = z.mean(-1, keepdim=True)
    rstd = (z.var(-1, unbiased=False, keepdim=True) + _EPS).rsqrt()
    u = (z - mean) * rstd * gamma + beta
    return (u >= 0).float() - 0.5, mean, rstd


def _backward(
    z: Tensor, mean: Tensor, rstd: Tensor, gamma: Tensor, beta: Tensor, dh: Tensor, width: float
) -> tuple[Tensor, Tensor, Tensor]:
    hat = (z - mean) * rstd
    du = dh * (1 - (hat * gamma + beta).abs() / width).clamp(min=0) / width
    dgamma, dbeta = (du * hat).sum(-1, keepdim=True), du.sum(-1, keepdim=True)
    n = z.shape[-1]
    dz = gamma * rstd * (du - dbeta / n - hat * (dgamma / n))
    return dz, dgamma, dbeta


def _loss_gradient(
    logits: Tensor, labels: Tensor, teacher: Tensor, distill: float, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return d loss / d logits (models, 10, batch) and the mean cross-entropy per model."""
    p = torch.softmax(logits, 1)
    hot = (labels[:, None, :] == torch.arange(10, device=labels.device)[None, :, None]).float()
    soft = torch.softmax(logits / temperature, 1) - torch.softmax(teacher / temperature, 1)
    gradient = ((1 - distill) * (p - hot) + distill * temperature * soft) / logits.shape[-1]
    return gradient, -(torch.log_softmax(logits, 1) * hot).sum(1).mean(-1)


def _quantize(w: Tensor, log_step: Tensor, level: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    step = log_step.exp()
    v = w / step
    q = torch.maximum(torch.minimum(torch.floor(v + 0.5), level), -level) * mask
    inside = ((v.abs() <= level + 0.5) & (mask > 0)).float()
    return q * step, inside, (q - v * inside) * step


def _adam(
    w: Tensor, g: Tensor, m: Tensor, v: Tensor, mask: Tensor, rate: Tensor, decay: Tensor, fix: tuple[Tensor, Tensor]
) -> None:
    g = g * mask
    m.mul_(_BETAS[0]).add_(g, alpha=1 - _BETAS[0])
    v.mul_(_BETAS[1]).addcmul_(g, g, value=1 - _BETAS[1])
    w.sub_(rate * (m * fix[0] / ((v * fix[1]).sqrt() + 1e-8) + decay * w))


class Ensemble:
    """The networks of one plan, on the device of `images`."""

    def __init__(self, plan: Plan, images: Images, pool: Pool, *, compiled: bool) -> None:
        self.plan, self.images, self.pool = plan, images, pool
        device = images.train.device
        S, P, N, B = len(plan.seeds), len(plan.points), plan.nodes, plan.batch
        self.S, self.P, self.N, self.B = S, P, N, B
        self.per_epoch = TRAIN_ROWS // B
        self.steps = plan.epochs * self.per_epoch
        self.generators = [torch.Generator(device).manual_seed(1000 + seed) for seed in plan.seeds]
        full = {"device": device}
        w1 = [torch.randn((P * N, 784), generator=g, device=device) / 28 for g in self.generators]
        w2 = [torch.randn((P, N, 10), generator=g, device=device) * (2 / math.sqrt(N)) for g in self.generators]
        self.p: dict[str, Tensor] = {
            "w1": torch.stack(w1),
            "gamma": torch.ones((S, P * N, 1), **full),
            "beta": torch.zeros((S, P * N, 1), **full),
            "w2": torch.stack(w2).view(S * P, N, 10),
            "b2": torch.zeros((S * P, 10, 1), **full),
            "step": torch.zeros((S * P, 1, 1), **full),
        }
        self.m = {k: torch.zeros_like(t) for k, t in self.p.items()}
        self.v = {k: torch.zeros_like(t) for k, t in self.p.items()}
        self.ema: dict[str, Tensor] = {}
        self.mask1, self.mask2 = torch.ones_like(self.p["w1"]), torch.ones_like(self.p["w2"])
        self.one, self.zero, self.decay = (
            torch.ones(1, **full),
            torch.zeros(1, **full),
            torch.full((1,), plan.decay, **full),
        )
        self.level = torch.tensor([float(q.level) for q in plan.points] * S, **full).view(S * P, 1, 1)
        t = torch.arange(self.steps, device=device, dtype=torch.float64)
        rate = plan.rate * torch.clamp((t + 1) / 200, max=1) * 0.5 * (1 + torch.cos(math.pi * t / self.steps))
        self.tables = torch.stack((rate, 1 / (1 - _BETAS[0] ** (t + 1)), 1 / (1 - _BETAS[1] ** (t + 1)))).float()
        self.at = torch.zeros(1, dtype=torch.int64, **full)
        self.order = torch.zeros((S, self.per_epoch * B), dtype=torch.int64, **full)
        self.copy = torch.zeros((S, 1), dtype=torch.int64, **full)
        self.spread = torch.full((S * P, N, 1), 0.25, **full)
        self.loss = torch.zeros(S * P, **full)
        self.done = 0

        def wrap(f: Callable[..., Any]) -> Callable[..., Any]:
            return torch.compile(f) if compiled else f

        self.f_forward, self.f_backward, self.f_loss = wrap(_forward), wrap(_backward), wrap(_loss_gradient)
        self.f_quantize, self.f_adam = wrap(_quantize), wrap(_adam)

    def step(self, quantized: bool) -> None:
        """Take one step of every network; reads and advances device-side counters only."""
        plan, p = self.plan, self.p
        S, P, N, B = self.S, self.P, self.N, self.B
        now = self.tables.index_select(1, self.at)
        rate, fix = now[0], (now[1], now[2])
        columns = (self.at % self.per_epoch) * B + torch.arange(B, device=self.at.device)
        rows = self.order.index_select(1, columns)
        labels = self.images.train_labels[rows]
        rows = rows + self.copy * TRAIN_ROWS
        x = (self.pool.x[rows] >= plan.threshold).float()
        teacher = self.pool.logits[rows].float().transpose(1, 2)
        z = torch.bmm(p["w1"], x.transpose(1, 2))
        h, mean, rstd = self.f_forward(z, p["gamma"], p["beta"])
        if quantized:
            w2, inside, slope = self.f_quantize(p["w2"], p["step"], self.level, self.mask2)
        else:
            w2 = p["w2"]
        h = h.view(S * P, N, B)
        logits = torch.baddbmm(p["b2"], w2.transpose(1, 2), h)
        wide = (S, P, 10, B)
        d, loss = self.f_loss(
            logits,
            labels[:, None].expand(S, P, B).reshape(S * P, B),
            teacher[:, None].expand(wide).reshape(S * P, 10, B),
            plan.distill,
            plan.temperature,
        )
        self.loss.copy_(loss)
        self.spread.copy_(0.25 - h.mean(-1, keepdim=True).square())
        g2 = torch.bmm(h, d.transpose(1, 2))
        dh = torch.bmm(w2, d).view(S, P * N, B)
        dz, dgamma, dbeta = self.f_backward(z, mean, rstd, p["gamma"], p["beta"], dh, plan.width)
        g1 = torch.bmm(dz, x)
        if quantized:
            dstep = (g2 * slope).sum((1, 2), keepdim=True)
            self._update("step", dstep, self.one, rate * 0.2, self.zero, fix)
            g2 = g2 * inside
        self._update("w1", g1, self.mask1, rate, self.decay, fix)
        self._update("gamma", dgamma, self.one, rate, self.zero, fix)
        self._update("beta", dbeta, self.one, rate, self.zero, fix)
        self._update("w2", g2, self.mask2, rate, self.decay, fix)
        self._update("b2", d.sum(-1, keepdim=True), self.one, rate, self.zero, fix)
        self.at += 1

    def _update(
        self, key: str, g: Tensor, mask: Tensor, rate: Tensor, decay: Tensor, fix: tuple[Tensor, Tensor]
    ) -> None:
        self.f_adam(self.p[key], g, self.m[key], self.v[key], mask, rate, decay, fix)

    def start_quantized(self) -> None:
        """Give every network the step with the least squared error on its weights."""
        w = self.p["w2"]
        best = torch.full((len(w), 1, 1), math.inf, device=w.device)
        for share in torch.linspace(0.15, 1.0, 40).tolist():
            step = w.abs().amax((1, 2), keepdim=True) * share / self.level
            q = torch.maximum(torch.minimum(torch.floor(w / step + 0.5), self.level), -self.level) * step
            error = (q - w).square().sum((1, 2), keepdim=True)
            better = error < best
            best = torch.where(better, error, best)
            self.p["step"].copy_(torch.where(better, step.log(), self.p["step"]))

    def prune(self, progress: float) -> None:
        """Mask what the schedule wants gone at `progress` (0 ... 1 of the steps)."""
        start, end = self.plan.prune
        if progress < start:
            return
        rest = max(0.0, 1 - (progress - start) / (end - start)) ** 3
        keep = self.plan.fan_in + round((784 - self.plan.fan_in) * rest)
        spread = (self.pool.x[:8192] >= self.plan.threshold).float().mean(0)
        share = self.plan.share
        score = self.p["w1"].square() * (spread * (1 - spread))
        score = score.view(self.S, -1, share, 784).sum(2)
        if keep < 784:
            few = keep <= 64
            least = score.topk(keep, dim=-1).values[..., -1:] if few else score.kthvalue(785 - keep, -1, True).values
            kept = ((score >= least) & (score > 0))[:, :, None].expand(-1, -1, share, -1)
            self.mask1.mul_(kept.reshape(self.mask1.shape))
        score2 = (self.p["w2"].square() * self.spread).flatten(1)
        ranked = score2.sort(dim=1, descending=True).values
        total = self.N * 10
        for model in range(self.S * self.P):
            edges = self.plan.points[model % self.P].edges
            kept = min(total, edges + round(max(0, total - edges) * rest))
            self.mask2[model].mul_((score2[model] >= ranked[model, kept - 1]).view(self.N, 10))
        for key, mask in (("w1", self.mask1), ("w2", self.mask2)):
            for store in (self.p, self.m, self.v):
                store[key].mul_(mask)

    def train(self, state: Path, *, stop_at: float, graphs: bool) -> bool:
        """Train to the end, or to the time `stop_at` (`time.monotonic`); return whether the end was reached."""
        if state.exists():
            self._load(torch.load(state, map_location=self.at.device))
        replay: dict[bool, Callable[[], None]] = {}
        begun, first = time.monotonic(), self.done
        while self.done < self.steps:
            if self.done % self.per_epoch == 0:
                self._new_epoch(self.done // self.per_epoch)
                if time.monotonic() > stop_at:
                    torch.save(self._state(), state)
                    print(f"{self.plan.name}: stopped at {self.done}/{self.steps}", flush=True)
                    return False
                if (self.done // self.per_epoch) % max(1, self.plan.epochs // 10) == 0 and self.plan.epochs >= 300:
                    rate = (time.monotonic() - begun) / max(1, self.done - first) * 1e3
                    print(
                        f"{self.plan.name}: {self.done}/{self.steps}, CE {float(self.loss.mean()):.4f}, {rate:.3f} ms",
                        flush=True,
                    )
            progress = self.done / self.steps
            if self.done % _PRUNE_EVERY == 0 and progress < self.plan.prune[1] + _PRUNE_EVERY * 2 / self.steps:
                self.prune(progress)
            quantized = progress >= self.plan.qat
            if quantized and True not in replay and not bool(self.m["step"].any()):
                self.prune(1.0)
                self.start_quantized()
            if quantized not in replay:
                replay[quantized] = self._capture(quantized) if graphs else lambda q=quantized: self.step(q)
            replay[quantized]()
            self.done += 1
            if progress >= _EMA_FROM and self.done % _EMA_EVERY == 0:
                self._average()
        torch.cuda.synchronize() if self.at.is_cuda else None
        print(f"{self.plan.name}: trained in {time.monotonic() - begun:.1f} s", flush=True)
        state.unlink(missing_ok=True)
        return True

    def _new_epoch(self, epoch: int) -> None:
        for k, (seed, g) in enumerate(zip(self.plan.seeds, self.generators, strict=True)):
            order = torch.randperm(TRAIN_ROWS, generator=g, device=self.at.device)
            self.order[k].copy_(order[: self.order.shape[1]])
            self.copy[k] = (epoch + seed * 31) % self.pool.copies

    def _capture(self, quantized: bool) -> Callable[[], None]:
        """Return a function that takes a step by replaying a CUDA graph; the warm-up leaves no trace."""
        saved = {k: t.clone() for k, t in self._tensors().items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step(quantized)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step(quantized)
        for key, tensor in self._tensors().items():
            tensor.copy_(saved[key])
        return graph.replay

    def _average(self) -> None:
        if not self.ema:
            self.ema.update({k: t.clone() for k, t in self.p.items()})
        for key, tensor in self.p.items():
            self.ema[key].lerp_(tensor, 1 - _EMA_DECAY)

    def _tensors(self) -> dict[str, Tensor]:
        stores = {"p": self.p, "m": self.m, "v": self.v, "e": self.ema}
        found = {f"{name}.{key}": t for name, store in stores.items() for key, t in store.items()}
        return {
            **found,
            "mask1": self.mask1,
            "mask2": self.mask2,
            "at": self.at,
            "spread": self.spread,
            "loss": self.loss,
        }

    def _state(self) -> dict[str, Any]:
        return {"done": self.done, "t": self._tensors(), "g": [g.get_state() for g in self.generators]}

    def _load(self, state: dict[str, Any]) -> None:
        self.done = state["done"]
        if any(key.startswith("e.") for key in state["t"]):
            self.ema.update({k: t.clone() for k, t in self.p.items()})
        for key, tensor in self._tensors().items():
            tensor.copy_(state["t"][key])
        for generator, saved in zip(self.generators, state["g"], strict=True):
            generator.set_state(saved.cpu())
