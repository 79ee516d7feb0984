"""Training by several processes that `torchrun` starts, each on its share of every batch.

Every process holds the same data and draws the same batches; `torch.nn.parallel.DistributedDataParallel` averages the gradients.
The shares' losses are weighted so that the average is the gradient of the whole batch, whatever the shares' sizes, and batch
normalisation takes its statistics from all shares. What one process calibrates or decides, all take over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Ranks", "process_group"]


@contextmanager
def process_group(device: str = "cpu") -> Iterator[int]:
    """Join the processes that `torchrun` started, while the context lasts; without `torchrun`, do nothing.

    Args:
        device: `cpu` (gloo) or `cuda` (nccl, one GPU per process).

    Yields:
        The number of this process, 0 … processes - 1.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield dist.get_rank() if dist.is_initialized() else 0
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


class Ranks:
    """The processes that train together; one, where `torch.distributed` is not set up.

    Attributes:
        rank: of this process.
        size: how many there are.
    """

    def __init__(self) -> None:
        several = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if several else 0
        self.size = dist.get_world_size() if several else 1

    def share(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return this process' rows of a batch, and the weight of their mean loss.

        The weights of all processes have the mean 1, so that the average of the weighted gradients is the whole batch's.
        A batch of fewer than two rows per process goes to every process as a whole.
        """
        n = len(x)
        if self.size == 1 or n < 2 * self.size:
            return x, y, 1.0
        bounds = [n * k // self.size for k in (self.rank, self.rank + 1)]
        rows = slice(*bounds)
        return x[rows], y[rows], self.size * (bounds[1] - bounds[0]) / n

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return a module that does what `model` does and averages gradients; the processes start from rank 0's state."""
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(model, static_graph=True)

    def agree(self, values: list[float], device: torch.device) -> list[float]:
        """Return the numbers of rank 0."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=device)
        dist.broadcast(shared, 0)
        found: list[float] = shared.tolist()
        return found

    def any(self, flag: bool, device: torch.device) -> bool:
        """Return whether `flag` is set in any process."""
        if self.size == 1:
            return flag
        shared = torch.tensor(float(flag), device=device)
        dist.all_reduce(shared)
        return bool(shared > 0)

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum over all processes; no gradient."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    @torch.no_grad()
    def same(self, model: nn.Module) -> None:
        """Give `model` rank 0's parameters and buffers in every process."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, 0)

    @contextmanager
    def joint_norms(self, model: nn.Module) -> Iterator[None]:
        """Let every `nn.BatchNorm1d` of `model` take its statistics from all processes while the context lasts."""
        if self.size == 1:
            yield
            return
        norms = [module for module in model.modules() if type(module) is nn.BatchNorm1d]
        for norm in norms:  # parameters, buffers and names stay: only the forward pass differs
            norm.__class__ = _JointBatchNorm
        try:
            yield
        finally:
            for norm in norms:
                norm.__class__ = nn.BatchNorm1d


class _Sum(torch.autograd.Function):
    """The sum over all processes; going back, so is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        total = grad.clone()
        dist.all_reduce(total)
        return total


class _JointBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the rows of all processes; torch's `SyncBatchNorm` has none for the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        sums = torch.cat((x.sum(dim=0), x.new_tensor([float(len(x))])))
        total: Tensor = _Sum.apply(sums)  # type: ignore[no-untyped-call]
        n = total[-1].detach()
        mean = total[:-1] / n
        squares: Tensor = _Sum.apply((x - mean).square().sum(dim=0))  # type: ignore[no-untyped-call]
        var = squares / n
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(var * n / (n - 1), share)
        return (x - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias
