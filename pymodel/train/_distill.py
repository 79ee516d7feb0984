"""A teacher for distillation: a small float network, trained first in the same run on the same rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.data import Dataset
from pymodel.errors import ConfigError
from pymodel.ir import Task
from pymodel.settings import DistillSettings

__all__ = ["distilled_loss", "make_teacher"]

#: The smallest image with two halvings.
_MIN_SIDE = 4


def _block(channels: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]


class _ChannelsFirst(nn.Module):
    """(B, H, W, C) to (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the images in torch's order."""
        return x.permute(0, 3, 1, 2)


def make_teacher(dataset: Dataset, settings: DistillSettings) -> nn.Module:
    """Return an untrained teacher: two convolutions and a linear layer for images, else one hidden layer.

    Raises:
        ConfigError: for a regression, whose targets say all that a teacher could.
    """
    if dataset.task is not Task.CLASSIFICATION:
        raise ConfigError("train.distill softens class labels and has no use for a regression; remove it")
    n, hidden, image = dataset.n_features, settings.hidden, dataset.image
    if image is None or min(image[:2]) < _MIN_SIDE:
        return nn.Sequential(
            nn.Linear(n, 4 * hidden), nn.BatchNorm1d(4 * hidden), nn.ReLU(), nn.Linear(4 * hidden, dataset.n_outputs)
        )
    height, width, channels = image
    size = 2 * hidden * (height // 4) * (width // 4)
    first: list[nn.Module] = [nn.Unflatten(1, (1, height, width))]
    if channels > 1:
        first = [nn.Unflatten(1, image), _ChannelsFirst()]
    return nn.Sequential(
        *first,
        *_block(channels, hidden),
        *_block(hidden, 2 * hidden),
        nn.Flatten(),
        nn.Linear(size, dataset.n_outputs),
    )


def distilled_loss(teacher: nn.Module, settings: DistillSettings) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss `(1 - w) CE(y) + w T^2 KL(teacher / T, model / T)` of rows, outputs and labels."""
    weight, heat = settings.weight, settings.temperature
    teacher.eval()

    def loss(x: Tensor, y_model: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            target = torch.softmax(teacher(x) / heat, dim=1)
        soft = functional.kl_div(torch.log_softmax(y_model / heat, dim=1), target, reduction="batchmean")
        return (1.0 - weight) * functional.cross_entropy(y_model, y) + weight * heat * heat * soft

    return loss
