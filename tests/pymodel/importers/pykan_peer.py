"""pykan 0.2.8's network as a plain torch module with its state_dict keys, written from its formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

BASES: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "identity": lambda x: x,
    "zero": lambda x: x * 0.0,
}


def bases(x: Tensor, grid: Tensor, k: int) -> Tensor:
    """pykan's recursion: a function with a zero denominator is NaN there, and NaN becomes 0 at every level."""
    x, t = x.unsqueeze(2), grid.unsqueeze(0)
    if k == 0:
        value = ((x >= t[:, :, :-1]) & (x < t[:, :, 1:])).to(x.dtype)
    else:
        b = bases(x[:, :, 0], grid, k - 1)
        value = (x - t[:, :, : -(k + 1)]) / (t[:, :, k:-1] - t[:, :, : -(k + 1)]) * b[:, :, :-1] + (
            t[:, :, k + 1 :] - x
        ) / (t[:, :, k + 1 :] - t[:, :, 1:-k]) * b[:, :, 1:]
    return torch.nan_to_num(value)


class Edges(nn.Module):
    """`act_fun.{l}`."""

    def __init__(self, n_in: int, n_sub: int, num: int, k: int, grid_range: Sequence[float]) -> None:
        super().__init__()
        self.k = k
        inner = torch.linspace(*grid_range, num + 1)
        h = (inner[-1] - inner[0]) / num
        for _ in range(k):
            inner = torch.cat((inner[:1] - h, inner, inner[-1:] + h))
        self.grid = nn.Parameter(inner.expand(n_in, -1).clone(), requires_grad=False)
        self.coef = nn.Parameter(0.5 * torch.randn(n_in, n_sub, num + k))
        self.mask = nn.Parameter(torch.ones(n_in, n_sub), requires_grad=False)
        self.scale_base = nn.Parameter(torch.randn(n_in, n_sub))
        self.scale_sp = nn.Parameter(0.5 + torch.rand(n_in, n_sub))

    def forward(self, x: Tensor, base: Callable[[Tensor], Tensor]) -> Tensor:
        spline = torch.einsum("bif,iof->bio", bases(x, self.grid, self.k), self.coef)
        edges = self.mask * (self.scale_base * base(x).unsqueeze(-1) + self.scale_sp * spline)
        return edges.sum(dim=1)


class Symbolic(nn.Module):
    """`symbolic_fun.{l}`: masks of (out, in), all 0 unless a test sets one."""

    def __init__(self, n_in: int, n_sub: int) -> None:
        super().__init__()
        self.mask = nn.Parameter(torch.zeros(n_sub, n_in), requires_grad=False)
        self.affine = nn.Parameter(torch.zeros(n_sub, n_in, 4))


class MultKAN(nn.Module):
    """pykan's `KAN`."""

    def __init__(
        self,
        width: list[int | list[int]],
        grid: int | list[int] = 3,
        k: int | list[int] = 3,
        mult_arity: int | list[list[int]] = 2,
        base_fun: str = "silu",
        grid_range: Sequence[float] = (-1.0, 1.0),
        input_id: list[int] | None = None,
    ) -> None:
        super().__init__()
        self.width = [[w, 0] if isinstance(w, int) else list(w) for w in width]
        self.mult_arity, self.base_fun_name, self.symbolic_enabled = mult_arity, base_fun, True
        self.depth = len(width) - 1
        edges, symbolic = [], []
        for index in range(self.depth):
            n_in, n_sum, arities = sum(self.width[index]), self.width[index + 1][0], self.arities(index)
            n_sub, n = n_sum + sum(arities), n_sum + len(arities)
            each = [value[index] if isinstance(value, list) else value for value in (grid, k)]
            edges.append(Edges(n_in, n_sub, *each, grid_range))
            symbolic.append(Symbolic(n_in, n_sub))
            for name, size in (("node", n), ("subnode", n_sub)):
                self.register_parameter(f"{name}_bias_{index}", nn.Parameter(0.2 * torch.randn(size)))
                self.register_parameter(f"{name}_scale_{index}", nn.Parameter(1.0 + 0.2 * torch.randn(size)))
        self.act_fun, self.symbolic_fun = nn.ModuleList(edges), nn.ModuleList(symbolic)
        self.input_id = torch.arange(sum(self.width[0])) if input_id is None else torch.tensor(input_id)

    def arities(self, index: int) -> list[int]:
        """Factors of each node of layer `index` that multiplies."""
        if isinstance(self.mult_arity, int):
            return [self.mult_arity] * self.width[index + 1][1]
        return list(self.mult_arity[index + 1])

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, self.input_id]
        for index, edges in enumerate(self.act_fun):
            x = edges(x, BASES[self.base_fun_name])
            x = x * getattr(self, f"subnode_scale_{index}") + getattr(self, f"subnode_bias_{index}")
            first = self.width[index + 1][0]
            nodes = [x[:, :first]]
            for arity in self.arities(index):
                nodes.append(x[:, first : first + arity].prod(dim=1, keepdim=True))
                first += arity
            x = torch.cat(nodes, dim=1)
            x = x * getattr(self, f"node_scale_{index}") + getattr(self, f"node_bias_{index}")
        return x


def move_grids(model: MultKAN, x: Tensor) -> None:
    """Put the grids of the first layer where the samples lie, as pykan's `fit` does; coefficients stay as they are."""
    edges = model.act_fun[0]
    k, num = edges.k, edges.grid.shape[1] - 1 - 2 * edges.k
    ordered = x[:, model.input_id].sort(dim=0).values
    rows = [int(len(x) / num * i) for i in range(num)] + [-1]
    adaptive = ordered[rows].T
    step = (adaptive[:, -1:] - adaptive[:, :1]) / num
    grid = 0.02 * (adaptive[:, :1] + step * torch.arange(num + 1)) + 0.98 * adaptive
    for _ in range(k):
        grid = torch.cat((grid[:, :1] - step, grid, grid[:, -1:] + step), dim=1)
    edges.grid.data = grid
