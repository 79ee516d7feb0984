"""CIFAR-10 (JPEG) on one device, the convolutional networks, and their training: what every job of the benchmark shares."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cifar_device import DeviceNorms, float_forward
from _graph import replayed
from torch import Tensor, nn
from torch.nn import functional

from pymodel.data._cifar import Labelled, read_cifar10
from pymodel.ir import HostSpec, Task
from pymodel.layers import KAN, ConvSpec, KAGNLinear, build_kan
from pymodel.quant import InputQuantizer, QuantKAN, freeze, post_training, quantize_model
from pymodel.quant._ste import codes_of
from pymodel.settings import QuantizeSettings

__all__ = [
    "FAMILIES",
    "Cifar",
    "Exact",
    "Recipe",
    "Training",
    "accuracy",
    "build",
    "decode",
    "exact_accuracy",
    "folded",
    "load",
    "rounded_to_half",
    "settings_for",
    "solve",
    "start_lsq",
]

SIDE = 32
BOUNDS = (-2.0, 2.0)
#: Channels of the first pair of convolutions, and arguments of `build_kan`, by family.
FAMILIES: dict[str, tuple[int, dict[str, Any]]] = {
    "kagn": (48, {"grid": 1, "order": 3}),
    "fast_kan": (32, {"grid": 8, "order": 1}),
    "efficient_kan": (32, {"grid": 5, "order": 3}),
}
#: Factor of FastKAN's initial spline weights: with fast-kan's deviation of 0.1 the Gaussians drown the base branch, and six
#: layers of random curves in a row train slowly; with a tenth of it both branches have about the same share.
FAST_KAN_INIT = 0.1
#: Training images on which QAT starts, and on which PTQ calibrates, and on which norms are estimated to fold.
CALIBRATION_ROWS, PTQ_ROWS, FOLD_ROWS = 1024, 2048, 4096
_CROP = 4
_WARMUP = 0.1
_SMOOTHING = 0.1
_Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one phase trains.

    Attributes:
        epochs: of AdamW; the last state counts.
        rate: the largest learning rate; in QAT that of weights relative to their root mean square.
        batch: images per step.
        decay: of weights, decoupled.
        bf16: run convolutions in bfloat16 instead of TF32.
    """

    epochs: int
    rate: float
    batch: int = 128
    decay: float = 0.05
    bf16: bool = False


def decode(folder: Path, limit: int | None = None) -> dict[str, _Array]:
    """Return images (n, 32, 32, 3) uint8 and labels of both parts, at most `limit` of each, by name."""
    arrays = {}
    for part, ending in zip(read_cifar10(folder)[:2], ("", "_test"), strict=True):
        assert isinstance(part, Labelled)
        n = min(len(part.y), limit or len(part.y))
        arrays["x" + ending] = np.stack([part.x[i].reshape(SIDE, SIDE, 3) for i in range(n)])
        arrays["y" + ending] = part.y[:n]
    return arrays


@dataclass(frozen=True)
class Cifar:
    """Training images uint8 (n, 40, 40, 3), a mirrored border included; test images (n, 32, 32, 3); int64 labels."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


def load(folder: Path, device: str, held_out: float = 0.0) -> Cifar:
    """Read what the run has decoded; the last `held_out` of the training images stand in for the test images, to try recipes."""
    x, y, x_test, y_test = (np.load(folder / f"{name}.npy") for name in ("x", "y", "x_test", "y_test"))
    if held_out:
        n = len(x) - int(held_out * len(x))
        x, y, x_test, y_test = x[:n], y[:n], x[n:], y[n:]
    x = np.pad(x, ((0, 0), (_CROP, _CROP), (_CROP, _CROP), (0, 0)), mode="reflect")
    parts = (x, y.astype(np.int64), x_test, y_test.astype(np.int64))
    return Cifar(*(torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in parts))


def features(images: Tensor) -> Tensor:
    """Return images as rows of features (B, 3072), channels last, on the range of the grid: 256 codes of 8 bits."""
    low, high = BOUNDS
    return images.flatten(1).float() * ((high - low) / 255) + low


def plain(data: Cifar, rows: int) -> Tensor:
    """Return the first training images as they are, as features."""
    return features(data.x[:rows, _CROP:-_CROP, _CROP:-_CROP])


def build(family: str, width: int | None = None) -> KAN:
    """Return an untrained network: three pairs of convolutions and pools (2, 2, 4), and a dense layer over 2x2 pixels."""
    usual, options = FAMILIES[family]
    w = width or usual
    conv = [
        ConvSpec(channels, 3, padding=1, pool="max" if pool else "none", pool_size=pool or 2)
        for channels, pool in ((w, 0), (w, 2), (2 * w, 0), (2 * w, 2), (4 * w, 0), (4 * w, 4))
    ]
    image = (SIDE, SIDE, 3)
    model = build_kan(family, (SIDE * SIDE * 3, 10), conv=conv, image=image, norm="batch", range=BOUNDS, **options)
    if family == "kagn":  # class scores need no norm
        model.layers[-1] = KAGNLinear(16 * w, 10, degree=options["order"], before="silu", norm="none", range=BOUNDS)
    layers = list(model.kan_layers())
    if family == "kagn":  # class scores near 0 to begin with
        layers[-1].spline_weight.data.mul_(0.2)
    if family == "fast_kan":
        for layer in layers:
            layer.spline_weight.data.mul_(FAST_KAN_INIT)
    return model


def settings_for(method: str, bits: tuple[int, int]) -> QuantizeSettings:
    """Return settings for `bits` of weights and activations; basis values have 8 bits, and so has the input."""
    weights, activations = bits
    return QuantizeSettings(
        method=method,
        activations=activations,
        first_activations=8,
        base_weights=weights,
        spline_weights=weights,
        basis=8,
        input=8,
        granularity="channel",
    )


def start_lsq(model: KAN, data: Cifar, bits: tuple[int, int]) -> DeviceNorms:
    """Return the network for QAT, with steps and ranges of least squared error on training images."""
    live = DeviceNorms(quantize_model(model.eval(), settings_for("lsq", bits)), model).to(data.x.device)
    live.calibrate(plain(data, CALIBRATION_ROWS))
    return live


def solve(model: KAN, data: Cifar, method: str, bits: tuple[int, int]) -> QuantKAN:
    """Return the network quantized by a PTQ method, in full float32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return post_training(model, settings_for(method, bits), plain(data, PTQ_ROWS))


def folded(model: DeviceNorms, data: Cifar) -> QuantKAN:
    """Return the trained network with its norms folded, estimated on training images without augmentation."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return model.fold(plain(data, FOLD_ROWS))


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Return groups of AdamW with a `scale` that the learning rate is multiplied by."""
    if not isinstance(model, DeviceNorms):
        weights = [p for n, p in model.named_parameters() if n.endswith(("base_weight", "spline_weight"))]
        ids = {id(p) for p in weights}
        rest = [p for p in model.parameters() if id(p) not in ids]
        return [
            {"params": weights, "scale": 1.0, "weight_decay": recipe.decay},
            {"params": rest, "scale": 1.0, "weight_decay": 0.0},
        ]
    weights, rest = (group["params"] for group in model.parameter_groups(0.0))
    groups = [
        {"params": [p], "scale": float(p.detach().square().mean().sqrt()) or 1e-3, "weight_decay": 0.0} for p in weights
    ]
    return [*groups, {"params": rest, "scale": 0.1, "weight_decay": 0.0}]


class Training:
    """One model in training; on a GPU every step is the replay of a CUDA graph, unless `graph` is False.

    Args:
        model: trained in place.
        data: the images.
        recipe: how long and how fast.
        seed: of order, crops and flips.
        graph: capture the step.
    """

    def __init__(self, model: nn.Module, data: Cifar, recipe: Recipe, seed: int, graph: bool = True) -> None:
        self.model, self.data, self.recipe = model, data, recipe
        device = data.x.device
        self.cuda = data.x.is_cuda
        self.generator, self.seed = torch.Generator(device), seed
        self.per_epoch = len(data.x) // recipe.batch
        self.total = recipe.epochs * self.per_epoch
        groups = _groups(model, recipe)
        self.scales = [group.pop("scale") for group in groups]
        for group in groups:
            group["lr"] = torch.zeros((), device=device) if self.cuda else 0.0
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), capturable=self.cuda, foreach=True)
        forward: Callable[[Tensor], Tensor] = model
        if isinstance(model, KAN):
            forward = float_forward(model, torch.bfloat16 if recipe.bf16 else torch.float32)
        parameters = [p for group in groups for p in group["params"]]
        n = recipe.batch
        self.rows = torch.zeros(n, dtype=torch.long, device=device)
        self.corner = torch.zeros(2, n, 1, 1, dtype=torch.long, device=device)
        self.flip = torch.zeros(n, 1, 1, dtype=torch.bool, device=device)
        grid = torch.arange(SIDE, device=device)
        self.loss = torch.zeros((), device=device)

        def step() -> None:
            across = torch.where(self.flip, SIDE - 1 - grid, grid)  # (n, 1, 32)
            at = self.rows.view(-1, 1, 1), self.corner[0] + grid.view(1, -1, 1), self.corner[1] + across
            loss = functional.cross_entropy(
                forward(features(data.x[at])), data.y[self.rows], label_smoothing=_SMOOTHING
            )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0, foreach=True)
            self.optimizer.step()
            self.loss.add_(loss.detach())

        model.train()
        self.kept = step  # a graph does not keep alive what its closure holds
        self.stream = torch.cuda.Stream() if self.cuda else None
        self.run: Callable[[], None] = step
        if self.stream is not None and graph:
            self.run = replayed(step, [model], self.optimizer, self.stream)
            self.loss.zero_()
        self.order = torch.empty(0)

    def epoch(self, number: int) -> float:
        """Train epoch `number`, in order; return the mean loss."""
        device, n = self.rows.device, self.recipe.batch
        self.generator.manual_seed(self.seed * 1000 + number)
        self.loss.zero_()
        if self.cuda:
            torch.cuda.synchronize()
        with torch.cuda.stream(self.stream):
            order = torch.randperm(len(self.data.x), generator=self.generator, device=device)
            count = self.per_epoch
            corners = torch.randint(
                0, 2 * _CROP + 1, (count, *self.corner.shape), generator=self.generator, device=device
            )
            flips = torch.rand((count, *self.flip.shape), generator=self.generator, device=device) < 0.5
            for k in range(count):
                self.rows.copy_(order[k * n : (k + 1) * n])
                self.corner.copy_(corners[k])
                self.flip.copy_(flips[k])
                now = self.recipe.rate * _schedule((number * count + k) / self.total)
                for group, scale in zip(self.optimizer.param_groups, self.scales, strict=True):
                    if self.cuda:
                        group["lr"].fill_(now * scale)
                    else:
                        group["lr"] = now * scale
                self.run()
        if self.cuda:
            torch.cuda.synchronize()
        return float(self.loss) / count


def _schedule(done: float) -> float:
    """Return the share of the largest rate: a linear rise, then a cosine to a hundredth."""
    if done < _WARMUP:
        return 0.1 + 0.9 * done / _WARMUP
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - _WARMUP) / (1 - _WARMUP)))


@torch.no_grad()
def accuracy(model: nn.Module, data: Cifar) -> float:
    """Return the share of test images that a model in evaluation classifies rightly, in its own dtype."""
    model.eval()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    dtype = next(model.parameters()).dtype
    right = sum(
        int((model(features(x).to(dtype)).argmax(1) == y).sum())
        for x, y in zip(data.x_test.split(250), data.y_test.split(250), strict=True)
    )
    return right / len(data.y_test)


@torch.no_grad()
def rounded_to_half(model: nn.Module) -> nn.Module:
    """Round every weight to float16, in which the trained networks are kept."""
    for parameter in model.parameters():
        parameter.copy_(parameter.half().to(parameter))
    return model


@dataclass(frozen=True)
class Exact:
    """What the integers of a network say.

    Attributes:
        accuracy: of the frozen integers on the test images.
        torch_accuracy: of the QAT module's own evaluation, in float64, on the same images.
        images: how many.
        compared: codes at the input of the head, of all images, compared with those of the evaluation by `==`.
        different: of these.
        seconds: freezing and both evaluations.
    """

    accuracy: float
    torch_accuracy: float
    images: int
    compared: int
    different: int
    seconds: float


@torch.no_grad()
def exact_accuracy(model: QuantKAN, data: Cifar, rows: int = 100) -> Exact:
    """Freeze a trained network and classify the test images with its integers, and with its own forward."""
    begun = time.perf_counter()
    model = model.double().eval()
    low, high = BOUNDS
    count = SIDE * SIDE * 3
    host = HostSpec(
        Task.CLASSIFICATION,
        tuple(f"p{i}" for i in range(count)),
        (-low / (high - low),) * count,
        (high - low,) * count,
        tuple(str(i) for i in range(10)),
    )
    frozen = freeze(model, name="cifar", host=host).to(data.x_test.device)
    integer_layers = [layer for _, layer in frozen.named_layers()]
    kind = frozen.in_type
    layers = list(model.kan_layers())
    codes = model.codes()
    chain = list(zip(layers, codes, [*codes[1:], None], strict=True))
    right = torch_right = different = compared = 0
    for x, y in zip(data.x_test.split(rows), data.y_test.split(rows), strict=True):
        real = features(x).double()
        X = torch.floor(real * 2.0**kind.frac + 0.5).clamp(kind.min_int, kind.max_int).long()
        for integers in integer_layers[:-1]:
            X = integers.integers(X)
        right += int((integer_layers[-1].integers(X).argmax(1) == y).sum())
        assert isinstance(layers[0].quantizer, InputQuantizer)
        u = layers[0].quantizer.codes(real)
        for layer, here, after in chain[:-1]:
            u = layer(u, here, after)
        different += int((codes_of(u, layers[-1].quantizer.n_codes) != X).sum())
        compared += X.numel()
        head, here, _ = chain[-1]
        torch_right += int((head(u, here, None).argmax(1) == y).sum())
    n = len(data.y_test)
    return Exact(right / n, torch_right / n, n, compared, different, time.perf_counter() - begun)
