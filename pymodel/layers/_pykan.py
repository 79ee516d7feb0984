"""The float KAN of pykan 0.2.8 (Liu et al. 2024, arXiv:2404.19756 and 2408.10205), without its symbolic branch.

A layer's edges lead to subnodes: `s_j = sum_i mask[j,i]*(base_weight[j,i]*act(x_i) + scale_sp[j,i]*sum_b
spline_weight[j,i,b]*B_b(x_i))`, then `s*subnode_scale + subnode_bias`. A node is a subnode or the product of several
consecutive ones, then `*node_scale + node_bias`. Grids are per input and can follow the data.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.ir import MAX_ARITY
from pymodel.layers._activations import activate
from pymodel.layers._bspline import uniform_knots
from pymodel.layers._efficient_kan import MAX_ORDER
from pymodel.layers._functions import BSplineFunctions
from pymodel.layers._kan import KAN, KANLayer, check_range, check_sizes
from pymodel.layers._knot_functions import KnotFunctions
from pymodel.layers._knots import extend_grid, fit_curves, interpolated_grid, knot_basis, sample_grid

__all__ = ["PyKAN", "PyKANLinear", "Width", "refuse_symbolic"]

#: Nodes of a layer: how many, or how many that add and how many that multiply.
Width = int | Sequence[int]
#: Knots that are this many times the range off a uniform grid still count as uniform: float32 rounding.
_UNIFORM = 4e-7


class PyKANLinear(KANLayer):
    """A float KAN layer: B-splines on one grid per input, a base branch, and multiplication nodes.

    Args:
        in_features: I.
        n_sum: nodes that add.
        arities: factors of each node that multiplies; they follow the others.
        grid: number G of grid intervals.
        order: k, 1 … 7.
        range: [low, high], of every input's first grid; features are expected there.
        activation: of the base branch.
        noise_scale: size of the initial splines.
        affine: train the scales and biases of nodes and subnodes.

    Attributes:
        arity: factors of every node, 1 for those that add.
        out_features: N, the subnodes.
        n_nodes: outputs of :meth:`forward`.
        grid: buffer (I, G + 2k + 1).
        base_weight: parameter (N, I), pykan's `scale_base`.
        spline_weight: parameter (N, I, G + k), pykan's `coef`.
        scale_sp: parameter (N, I).
        subnode_scale, subnode_bias: parameters (N,).
        node_scale, node_bias: parameters (n_nodes,).

    Raises:
        ModelError: if an argument is out of range.
    """

    grid: Tensor

    def __init__(
        self,
        in_features: int,
        n_sum: int,
        arities: Sequence[int] = (),
        *,
        grid: int = 5,
        order: int = 3,
        range: tuple[float, float] = (-1.0, 1.0),  # noqa: A002 - the name of the setting
        activation: str = "silu",
        noise_scale: float = 0.3,
        affine: bool = False,
    ) -> None:
        low, high = map(float, range)
        n_sub = n_sum + sum(arities)
        check_sizes(in_features, n_sub, grid)
        check_range(low, high)
        activate(activation, torch.zeros(1))
        if not 1 <= order <= MAX_ORDER:
            raise ModelError(f"a spline order of 1 … {MAX_ORDER} was expected, not {order}; change the model")
        if n_sum < 0 or any(not 2 <= a <= MAX_ARITY for a in arities):
            raise ModelError(
                f"a multiplication node needs 2 … {MAX_ARITY} factors, not {list(arities)}; change the arities"
            )
        super().__init__(in_features, n_sub, grid + order, low, high)
        self.register_parameter("bias", None)
        self.arity = (1,) * n_sum + tuple(int(a) for a in arities)
        self.grid_size, self.order, self.activation = grid, order, activation
        self.scale_sp = nn.Parameter(torch.empty(n_sub, in_features))
        self.subnode_scale, self.subnode_bias = nn.Parameter(torch.ones(n_sub)), nn.Parameter(torch.zeros(n_sub))
        n = self.n_nodes
        self.node_scale, self.node_bias = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n))
        for parameter in (self.subnode_scale, self.subnode_bias, self.node_scale, self.node_bias):
            parameter.requires_grad_(affine)
        knots = torch.from_numpy(uniform_knots(low, high, grid, order)).to(self.base_weight.dtype)
        self.register_buffer("grid", knots.repeat(in_features, 1))
        self._add_mask()
        self.reset_parameters(noise_scale)

    @property
    def n_nodes(self) -> int:
        """Outputs of the layer: nodes that add, then nodes that multiply."""
        return len(self.arity)

    @property
    def multiplies(self) -> bool:
        """Whether there is a multiplication node."""
        return max(self.arity) > 1

    @torch.no_grad()
    def reset_parameters(self, noise_scale: float = 0.3) -> None:
        """Initialise as pykan does: base weights uniform within `+-1/sqrt(I)`, splines fitted to noise."""
        bound = 1.0 / math.sqrt(self.in_features)
        nn.init.uniform_(self.base_weight, -bound, bound)
        nn.init.constant_(self.scale_sp, bound)
        inner = self.grid[:, self.order : self.order + self.grid_size + 1].T
        noise = (torch.rand(*inner.shape, self.out_features) - 0.5) * (noise_scale / self.grid_size)
        self.spline_weight.copy_(fit_curves(inner, noise, self.grid, self.order))

    @property
    def functions(self) -> BSplineFunctions | KnotFunctions:
        """The functions of the edges as they are now, without their weights."""
        grid = self.grid.detach().double().cpu()
        uniform = torch.from_numpy(uniform_knots(self.low, self.high, self.grid_size, self.order))
        if bool((grid - uniform).abs().max() <= _UNIFORM * max(abs(self.low), abs(self.high), self.high - self.low)):
            return BSplineFunctions(self.low, self.high, self.grid_size, self.order, self.activation)
        rows = [tuple(row) for row in grid.tolist()]
        same = all(row == rows[0] for row in rows)
        return KnotFunctions(tuple(rows[:1] if same else rows), self.order, self.activation)

    def edge_features(self, x: Tensor) -> Tensor:
        """Return `[act(x_i), B_0(x_i), …]` of every input, (B, I, 1 + G + k), for inputs (B, I)."""
        basis = knot_basis(x, self.grid.to(x.dtype), self.order)
        return torch.cat((activate(self.activation, x).unsqueeze(-1), basis), dim=-1)

    def curves(self, x: Tensor) -> Tensor:
        """Return the splines of all edges without their scales, (B, I, N), at inputs (B, I)."""
        basis = knot_basis(x, self.grid.to(x.dtype), self.order)
        return torch.einsum("bif,oif->bio", basis, self.spline_weight.to(x.dtype))

    def _edge_weights(self) -> Tensor:
        spline = self.spline_weight * self.scale_sp.unsqueeze(-1)
        weight = torch.cat((self.base_weight.unsqueeze(-1), spline), dim=-1)
        return weight * self.mask.unsqueeze(-1) if self._pruned else weight

    def nodes(self, s: Tensor) -> Tensor:
        """Return the nodes (B, n_nodes) of the subnodes (B, N)."""
        if self.multiplies:
            s = torch.stack([part.prod(dim=1) for part in torch.split(s, list(self.arity), dim=1)], dim=1)
        return s * self.node_scale + self.node_bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, n_nodes) for inputs (…, I)."""
        flat = x.reshape(-1, self.in_features)
        sums = nn.functional.linear(self.edge_features(flat).flatten(1), self._edge_weights().flatten(1))
        y = self.nodes(sums * self.subnode_scale + self.subnode_bias)
        return y.reshape(*x.shape[:-1], self.n_nodes)

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return weights and bias of the subnodes with all scales folded in; of the nodes where none multiplies."""
        scale, bias = self.subnode_scale.clone(), self.subnode_bias.clone()
        if not self.multiplies:
            scale, bias = scale * self.node_scale, bias * self.node_scale + self.node_bias
        trained = self.subnode_bias.requires_grad or bool((bias != 0).any())
        base = self.base_weight * scale[:, None]
        spline = self.spline_weight * (self.scale_sp * scale[:, None]).unsqueeze(-1)
        return base.detach(), spline.detach(), bias.detach() if trained else None

    def spread(self, scores: Tensor) -> Tensor:
        """Return a score per subnode, (N,): that of the node (n_nodes,) it belongs to."""
        return scores.repeat_interleave(torch.tensor(self.arity, device=scores.device))

    @torch.no_grad()
    def update_grid_from_samples(self, x: Tensor, uniform: float = 0.02) -> None:
        """Move every input's grid to where the samples `x` (B, I) lie, and fit the splines to the curves they were.

        Knots go from the smallest to the largest sample: `uniform` parts equidistant, the rest quantiles.

        Raises:
            ModelError: if there are fewer samples than grid intervals, or one is not finite.
        """
        if x.shape[0] < self.grid_size or not bool(torch.isfinite(x).all()):
            raise ModelError(
                f"at least {self.grid_size} finite samples were expected to place {self.grid_size} grid intervals, not "
                f"{x.shape[0]} rows; give more rows"
            )
        curves = self.curves(x.double())
        grid = extend_grid(sample_grid(x.double(), self.grid_size, uniform), self.order)
        self.spline_weight.copy_(fit_curves(x, curves, grid, self.order))
        self.grid.copy_(grid)

    @torch.no_grad()
    def refined(self, grid: int, x: Tensor) -> PyKANLinear:
        """Return a copy with `grid` intervals per input, its splines fitted to this layer's curves at samples (B, I).

        The new knots interpolate the old ones.
        """
        # A copy, so that scales, masks and what trains stay as they are.
        result = copy.deepcopy(self)
        inner = self.grid[:, self.order : self.order + self.grid_size + 1].double()
        knots = extend_grid(interpolated_grid(inner, grid), self.order)
        weights = fit_curves(x, self.curves(x.double()), knots, self.order)
        result.grid_size = grid
        result.grid = knots.to(self.grid)
        result.spline_weight = nn.Parameter(weights.to(self.spline_weight))
        return result

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return (
            f"{self.in_features}, {self.out_features}, arity={self.arity}, grid={self.grid_size}, order={self.order}, "
            f"range=({self.low:g}, {self.high:g}), activation={self.activation}"
        )


class PyKAN(KAN):
    """A chain of :class:`PyKANLinear` layers.

    Args:
        width: features, hidden nodes, outputs; `[n_sum, n_mult]` for a layer with nodes that multiply.
        mult_arity: factors of every node that multiplies, or a list per entry of `width`.
        grid, order, range, activation, noise_scale, affine: of every layer.

    Attributes:
        widths: number of nodes per entry of `width`.

    Raises:
        ModelError: if there are fewer than two widths, the inputs multiply, or an argument is out of range.
    """

    def __init__(
        self,
        width: Sequence[Width],
        *,
        mult_arity: int | Sequence[Sequence[int]] = 2,
        grid: int = 5,
        order: int = 3,
        range: tuple[float, float] = (-1.0, 1.0),  # noqa: A002 - the name of the setting
        activation: str = "silu",
        noise_scale: float = 0.3,
        affine: bool = False,
    ) -> None:
        nodes = _nodes(width, mult_arity)
        sizes = [n_sum + len(arities) for n_sum, arities in nodes]
        layers = [
            PyKANLinear(
                n_in,
                *nodes[index + 1],
                grid=grid,
                order=order,
                range=range,
                activation=activation,
                noise_scale=noise_scale,
                affine=affine,
            )
            for index, (n_in, _) in enumerate(self.pairs(sizes))
        ]
        super().__init__(sizes, layers)

    @torch.no_grad()
    def update_grid_from_samples(self, x: Tensor, uniform: float = 0.02) -> None:
        """Move the grids of all layers, one after the other, to where the rows `x` (B, I) put their inputs.

        Raises:
            ModelError: as :meth:`PyKANLinear.update_grid_from_samples`.
        """
        for layer in self.kan_layers():
            assert isinstance(layer, PyKANLinear)
            layer.update_grid_from_samples(x.to(layer.grid), uniform)
            x = layer(x.to(layer.grid))

    @torch.no_grad()
    def refine(self, grid: int, x: Tensor) -> PyKAN:
        """Return a network with `grid` intervals per input, fitted to this one's curves on the rows `x` (B, I).

        Raises:
            ModelError: if there are fewer rows than intervals.
        """
        if grid < 1 or x.shape[0] < grid:
            raise ModelError(
                f"at least {max(1, grid)} rows were expected to fit {grid} grid intervals, not {x.shape[0]}"
            )
        result = copy.deepcopy(self)
        layers = []
        for layer in self.kan_layers():
            assert isinstance(layer, PyKANLinear)
            x = x.to(layer.grid)
            layers.append(layer.refined(grid, x))
            x = layer(x)
        result.layers = nn.Sequential(*layers)
        return result


def _nodes(width: Sequence[Width], mult_arity: int | Sequence[Sequence[int]]) -> list[tuple[int, tuple[int, ...]]]:
    """Return how many nodes add and the arities of those that multiply, per entry of `width`."""
    result = []
    for index, entry in enumerate(width):
        n_sum, n_mult = (
            (entry, 0) if isinstance(entry, int) else (int(entry[0]), int(entry[1]) if len(entry) > 1 else 0)
        )
        if isinstance(mult_arity, int):
            arities = (mult_arity,) * n_mult
        else:
            arities = tuple(int(a) for a in mult_arity[index]) if index < len(mult_arity) else ()
        if len(arities) != n_mult or (index == 0 and n_mult):
            raise ModelError(
                f"width {list(width)} has {n_mult} nodes that multiply in entry {index}, where {len(arities)} arities are "
                "given; the inputs never multiply, and every other node needs its arity"
            )
        result.append((n_sum, arities))
    return result


def refuse_symbolic(state: Mapping[str, Tensor]) -> None:
    """Refuse tensors of a pykan network, by pykan's names, in which an edge is symbolic.

    Raises:
        ModelError: if a mask of `symbolic_fun` is not 0.
    """
    for name, tensor in state.items():
        if "symbolic_fun." in name and name.endswith(".mask") and bool((tensor != 0).any()):
            raise ModelError(
                f"{int((tensor != 0).sum())} edges of {name.removesuffix('.mask')} are symbolic, but every edge must be a spline; "
                "undo them with unfix_symbolic, or train without fix_symbolic"
            )
