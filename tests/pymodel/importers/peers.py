"""The four libraries' models as plain torch modules with their state_dict keys, written from their formulas.

Nothing here uses kan4ml. Attribute names are the libraries', so that these modules can stand for live ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def bases(x: Tensor, grid: Tensor, order: int) -> Tensor:
    """Cox and de Boor on `grid` (I, K), as all the libraries write it: (B, I) to (B, I, K - 1 - order)."""
    x = x.unsqueeze(-1)
    b = ((x >= grid[:, :-1]) & (x < grid[:, 1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - grid[:, : -(k + 1)]) / (grid[:, k:-1] - grid[:, : -(k + 1)]) * b[:, :, :-1]
        right = (grid[:, k + 1 :] - x) / (grid[:, k + 1 :] - grid[:, 1:-k]) * b[:, :, 1:]
        b = left + right
    return b


class Network(nn.Module):
    """`layers` in a chain."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def chain(
    make: Callable[[int, int], nn.Module], widths: list[int], between: Callable[[], nn.Module] | None = None
) -> Network:
    """A network of the widths, with a module between any two layers."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        if layers and between is not None:
            layers.append(between())
        layers.append(make(n_in, n_out))
    return Network(layers)


class KANLinear(nn.Module):
    """efficient-kan's layer."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        grid_size: int = 5,
        spline_order: int = 3,
        base_activation: type[nn.Module] = nn.SiLU,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        enable_standalone_scale_spline: bool = True,
    ) -> None:
        super().__init__()
        self.spline_order = spline_order
        h = (grid_range[1] - grid_range[0]) / grid_size
        knots = torch.arange(-spline_order, grid_size + spline_order + 1) * h + grid_range[0]
        self.register_buffer("grid", knots.expand(n_in, -1).contiguous())
        self.base_weight = nn.Parameter(torch.randn(n_out, n_in) / n_in)
        self.spline_weight = nn.Parameter(0.3 * torch.randn(n_out, n_in, grid_size + spline_order))
        if enable_standalone_scale_spline:
            self.spline_scaler = nn.Parameter(1.0 + 0.2 * torch.randn(n_out, n_in))
        self.base_activation = base_activation()

    def forward(self, x: Tensor) -> Tensor:
        weight = self.spline_weight
        if hasattr(self, "spline_scaler"):
            weight = weight * self.spline_scaler.unsqueeze(-1)
        spline = functional.linear(bases(x, self.grid, self.spline_order).flatten(1), weight.flatten(1))
        return functional.linear(self.base_activation(x), self.base_weight) + spline


class RadialBasisFunction(nn.Module):
    """Of fast-kan and torch-conv-kan."""

    def __init__(self, grid_min: float, grid_max: float, num_grids: int, denominator: float | None = None) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.linspace(grid_min, grid_max, num_grids), requires_grad=False)
        self.denominator = denominator or (grid_max - grid_min) / (num_grids - 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-(((x[..., None] - self.grid) / self.denominator) ** 2))


class FastKANLayer(nn.Module):
    """fast-kan's layer; torch-conv-kan's has the same tensors."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        grid_min: float = -2.0,
        grid_max: float = 2.0,
        num_grids: int = 8,
        use_base_update: bool = True,
        use_layernorm: bool = True,
        base_activation: Callable[[Tensor], Tensor] = functional.silu,
        denominator: float | None = None,
    ) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(n_in) if use_layernorm else None
        if self.layernorm is not None:
            nn.init.uniform_(self.layernorm.weight, 0.5, 1.5)
            nn.init.normal_(self.layernorm.bias, std=0.3)
        self.rbf = RadialBasisFunction(grid_min, grid_max, num_grids, denominator)
        self.spline_linear = nn.Linear(n_in * num_grids, n_out, bias=False)
        if use_base_update:
            self.base_activation = base_activation
            self.base_linear = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        z = x if self.layernorm is None else self.layernorm(x)
        y = self.spline_linear(self.rbf(z).flatten(-2))
        return y + self.base_linear(self.base_activation(x)) if hasattr(self, "base_linear") else y


class GRAMLayer(nn.Module):
    """torch-conv-kan's Gram layer; its model is KAGN."""

    def __init__(self, n_in: int, n_out: int, degree: int = 3, act: type[nn.Module] = nn.SiLU) -> None:
        super().__init__()
        self.act = act()
        self.norm = nn.LayerNorm(n_out)
        self.beta_weights = nn.Parameter(0.05 * torch.randn(degree + 1))
        self.grams_basis_weights = nn.Parameter(0.4 * torch.randn(n_in, n_out, degree + 1))
        self.base_weights = nn.Parameter(0.4 * torch.randn(n_out, n_in))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.linear(self.act(x), self.base_weights)
        y = y + torch.einsum("bid,iod->bo", self.act(gram(torch.tanh(x), self.beta_weights)), self.grams_basis_weights)
        return self.act(self.norm(y))


def gram(t: Tensor, beta: Tensor) -> Tensor:
    """(…) to (…, degree + 1)."""
    values = [torch.ones_like(t), t]
    for m in range(2, beta.numel()):
        n = m - 1
        factor = ((m + n) * (m - n) * n**2) / (m**2 / (4.0 * n**2 - 1.0)) * beta[n]
        values.append(t * values[-1] - factor * values[-2])
    return torch.stack(values, dim=-1)


class SplineLayer(nn.Module):
    """torch-conv-kan's `KANLayer`."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        grid_size: int = 5,
        spline_order: int = 3,
        base_activation: type[nn.Module] = nn.GELU,
        grid_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        self.grid_size, self.spline_order, self.grid_range = grid_size, spline_order, list(grid_range)
        self.base_activation = base_activation()
        self.base_weight = nn.Parameter(torch.randn(n_out, n_in))
        self.spline_weight = nn.Parameter(torch.randn(n_out, n_in, grid_size + spline_order))
        self.layer_norm = nn.LayerNorm(n_out)
        self.prelu = nn.PReLU()
        h = (grid_range[1] - grid_range[0]) / grid_size
        ends = grid_range[0] - h * spline_order, grid_range[1] + h * spline_order
        self.grid = torch.linspace(*ends, grid_size + 2 * spline_order + 1).expand(n_in, -1).contiguous()

    def forward(self, x: Tensor) -> Tensor:
        spline = bases(x, self.grid.to(x.dtype), self.spline_order).flatten(1)
        y = functional.linear(self.base_activation(x), self.base_weight)
        return self.prelu(self.layer_norm(y + functional.linear(spline, self.spline_weight.flatten(1))))


def train(model: nn.Module, n_in: int, steps: int = 25, span: float = 1.5) -> nn.Module:
    """Train `model` a few steps on a smooth target, so that its weights are those of no initialisation."""
    x = (torch.rand(128, n_in) * 2 - 1) * span
    with torch.no_grad():
        n_out = model(x).shape[1]
    target = torch.sin(x.sum(dim=1, keepdim=True) + torch.arange(n_out))
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) - target).square().mean().backward()
        optimizer.step()
    return model.eval()


def probes(n_in: int, knots: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Inputs by kind: within the grid, on the knots (and one ulp beside), just outside, far outside."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(200, n_in, generator=generator)

    first, last = float(knots.min()), float(knots.max())
    flat = knots.flatten().unique()
    around = torch.cat((flat, torch.nextafter(flat, flat + 1), torch.nextafter(flat, flat - 1)))
    picks = torch.randint(len(around), (300, n_in), generator=generator)
    far = uniform(-1.0, 1.0) * 10.0 ** torch.randint(1, 5, (200, n_in), generator=generator)
    return {
        "inside": uniform(first, last),
        "knots": around[picks],
        "outside": uniform(first - (last - first), last + (last - first)),
        "far": far,
        "zero": torch.zeros(1, n_in),
    }
