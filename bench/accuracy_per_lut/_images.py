"""MNIST on one device: the files, random affine copies of the training images, and a small teacher for distillation."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TRAIN_ROWS", "VALIDATION_ROWS", "Images", "Pool", "build_pool", "load_images", "train_teacher"]

#: Of the official 60,000 training images, drawn once with a fixed seed; the rest is the validation split.
TRAIN_ROWS, VALIDATION_ROWS = 55_000, 5_000
_SPLIT_SEED = 2026
#: Half-widths of the uniform random affine maps: rotation, scale and shear, shift in pixels.
_DEGREES, _SCALE, _SHEAR, _PIXELS = 4.6, 0.05, 0.05, 1.26
_CHUNK = 5_500
_SMOOTHING = 0.0


@dataclass(frozen=True)
class Images:
    """uint8 images (rows, 784) and int64 labels (rows,) of the three parts."""

    train: Tensor
    train_labels: Tensor
    validation: Tensor
    validation_labels: Tensor
    test: Tensor
    test_labels: Tensor


def _idx(path: Path, header: int) -> np.ndarray:
    with gzip.open(path) as stream:
        return np.frombuffer(stream.read(), dtype=np.uint8, offset=header)


def load_images(folder: Path, device: str) -> Images:
    """Read the four official gzip files from `folder` and set the validation split aside."""
    x = torch.from_numpy(_idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 784).copy())
    y = torch.from_numpy(_idx(folder / "train-labels-idx1-ubyte.gz", 8).astype(np.int64))
    tx = torch.from_numpy(_idx(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784).copy())
    ty = torch.from_numpy(_idx(folder / "t10k-labels-idx1-ubyte.gz", 8).astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(_SPLIT_SEED).permutation(len(x)))
    train, held = order[:TRAIN_ROWS], order[TRAIN_ROWS:]
    parts = (x[train], y[train], x[held], y[held], tx, ty)
    return Images(*(part.to(device) for part in parts))


def augment(x: Tensor, generator: torch.Generator, mode: str = "bicubic", strength: float = 1.0) -> Tensor:
    """Return uint8 images (rows, 784), each moved by its own random affine map (zeros outside)."""
    n = len(x)

    def uniform(width: float) -> Tensor:
        return (torch.rand(n, generator=generator, device=x.device) * 2 - 1) * (width * strength)

    angle = uniform(_DEGREES * np.pi / 180)
    cos, sin = torch.cos(angle), torch.sin(angle)
    sx, sy, shear = 1 + uniform(_SCALE), 1 + uniform(_SCALE), uniform(_SHEAR)
    tx, ty = uniform(_PIXELS / 14), uniform(_PIXELS / 14)
    rows = (
        torch.stack((cos * sx, -sin * sy + shear, tx), dim=1),
        torch.stack((sin * sx, cos * sy, ty), dim=1),
    )
    grid = functional.affine_grid(torch.stack(rows, dim=1), [n, 1, 28, 28], align_corners=False)
    moved = functional.grid_sample(x.view(n, 1, 28, 28).float(), grid, mode=mode, align_corners=False)
    return moved.round_().clamp_(0, 255).to(torch.uint8).view(n, 784)


def _teacher() -> nn.Sequential:
    def block(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    return nn.Sequential(
        *block(1, 32), *block(32, 32), nn.MaxPool2d(2),
        *block(32, 64), *block(64, 64), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def _logits(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
        return torch.cat([model(c.view(-1, 1, 28, 28).float() / 255).float() for c in torch.split(x, _CHUNK)])


def train_teacher(images: Images, epochs: int, seed: int) -> nn.Module:
    """Return a small convolutional network, trained on augmented images; prints its validation accuracy."""
    device = images.train.device
    torch.manual_seed(seed)
    generator = torch.Generator(device).manual_seed(seed)
    model = _teacher().to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    batch = 512
    steps = TRAIN_ROWS // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max(2, epochs * steps))
    for _ in range(epochs):
        x = augment(images.train, generator)
        order = torch.randperm(TRAIN_ROWS, generator=generator, device=device)
        for k in range(steps):
            rows = order[k * batch : (k + 1) * batch]
            with torch.autocast(device.type, torch.bfloat16, enabled=x.is_cuda):
                out = model(x[rows].view(-1, 1, 28, 28).float() / 255)
            loss = functional.cross_entropy(out.float(), images.train_labels[rows], label_smoothing=_SMOOTHING)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    right = (_logits(model, images.validation).argmax(1) == images.validation_labels).float().mean()
    print(f"teacher: validation accuracy {float(right):.4f}", flush=True)
    return model


@dataclass(frozen=True)
class Pool:
    """`copies` augmented versions of the training images, one after the other, with the teacher's view of each.

    Attributes:
        x: (copies * TRAIN_ROWS, 784) uint8.
        logits: (copies * TRAIN_ROWS, 10) float16.
        copies: versions.
    """

    x: Tensor
    logits: Tensor
    copies: int


def build_pool(
    images: Images,
    teacher: nn.Module,
    copies: int,
    seed: int,
    mode: str = "bicubic",
    strength: float = 1.0,
    plain_every: int = 0,
) -> Pool:
    """Return `copies` augmented versions of the training images, drawn once and reused by every run.

    Args:
        images: the data.
        teacher: gives each image its logits.
        copies: versions.
        seed: of the maps.
        mode: how pixels are interpolated.
        strength: factor of every map's width.
        plain_every: every so many versions one stays as it is; 0 is never.
    """
    device = images.train.device
    generator = torch.Generator(device).manual_seed(seed)
    x = torch.empty((copies * TRAIN_ROWS, 784), dtype=torch.uint8, device=device)
    logits = torch.empty((copies * TRAIN_ROWS, 10), dtype=torch.float16, device=device)
    for k in range(copies):
        rows = slice(k * TRAIN_ROWS, (k + 1) * TRAIN_ROWS)
        still = plain_every and k % plain_every == plain_every - 1
        x[rows] = images.train if still else augment(images.train, generator, mode, strength)
        logits[rows] = _logits(teacher, x[rows]).half()
    return Pool(x, logits, copies)
