"""What all float KAN layers and networks share: weights, mask, bias, and the chain."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.layers._activations import activate
from pymodel.layers._functions import Functions
from pymodel.layers._handlers import ensure_layer_handlers

if TYPE_CHECKING:
    from pymodel.layers._conv import ConvSpec

__all__ = ["KAN", "KANLayer", "check_range", "check_sizes"]


def check_sizes(in_features: int, out_features: int, n_basis: int) -> None:
    """Raise ModelError unless a layer has at least one input, output and basis function."""
    if min(in_features, out_features, n_basis) < 1:
        raise ModelError(
            f"a KAN layer needs at least 1 input, output and basis function, not {in_features}, {out_features} and "
            f"{n_basis}; change the model"
        )


def check_range(low: float, high: float) -> None:
    """Raise ModelError unless [low, high] is a finite interval."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ModelError(f"a grid range must be finite with low < high, not [{low}, {high}]; change the model")


class KANLayer(nn.Module, ABC):
    """A float KAN layer: `y_o = sum_i w[o,i]*act(x_i) + sum_(i,b) W[o,i,b]*B_b(x_i) + bias[o]`.

    Attributes:
        in_features, out_features: I and N.
        low, high: the interval that the layer's functions are made for.
        input_range: the interval in which inputs come; of a network's first layer it sets the type of the input integers.
            [low, high] unless it is set.
        base_weight: parameter (N, I).
        spline_weight: parameter (N, I, n_basis).
        bias: parameter (N,) or None.
        mask: bool buffer (N, I); False removes an edge (its weights count as 0).
    """

    mask: Tensor
    bias: Tensor | None

    def __init__(self, in_features: int, out_features: int, n_basis: int, low: float, high: float) -> None:
        super().__init__()
        ensure_layer_handlers()
        self.in_features, self.out_features = in_features, out_features
        self.low, self.high = low, high
        self.input_range = (low, high)
        self.base_weight = nn.Parameter(torch.empty(out_features, in_features))
        self.spline_weight = nn.Parameter(torch.empty(out_features, in_features, n_basis))
        self._pruned = False

    def _add_mask(self) -> None:
        self.register_buffer("mask", torch.ones(self.out_features, self.in_features, dtype=torch.bool))

    @property
    def n_basis(self) -> int:
        """Number of basis functions per edge."""
        return int(self.spline_weight.shape[-1])

    @property
    @abstractmethod
    def functions(self) -> Functions:
        """The functions of the edges as they are now, without their weights."""

    def apply_mask(self, mask: Tensor) -> None:
        """Keep the edges where `mask` (N, I) is True; the others count as 0 from now on.

        Raises:
            ModelError: if the shape differs.
        """
        if mask.shape != self.mask.shape:
            raise ModelError(f"a mask of shape {tuple(self.mask.shape)} was expected, not {tuple(mask.shape)}")
        self.mask.copy_(mask.to(torch.bool))
        self._pruned = not bool(self.mask.all())

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._pruned = not bool(self.mask.all())

    @property
    def n_inputs(self) -> int:
        """Inputs of :meth:`forward`: I, unless the layer is applied to windows."""
        return self.in_features

    @property
    def n_nodes(self) -> int:
        """Outputs of :meth:`forward`: N, unless some of the sums are multiplied."""
        return self.out_features

    def edge_features(self, x: Tensor) -> Tensor:
        """Return `[act(x_i), B_0(x_i), …]` of every input, (B, I, 1 + n_basis), for inputs (B, I)."""
        return self.functions.features(x)

    def spread(self, scores: Tensor) -> Tensor:
        """Return a score per sum, (N,), for scores of the nodes (n_nodes,) that the sums belong to."""
        return scores

    def hardware_obstacle(self) -> str | None:
        """Return why the layer has no integer form, or None if it has one."""
        return None

    def folded(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return base and spline weights and bias with everything folded in that follows the sum; detached copies."""
        bias = None if self.bias is None else self.bias.detach().clone()
        return self.base_weight.detach().clone(), self.spline_weight.detach().clone(), bias

    def _sum(self, z: Tensor, basis: Tensor, activation: str, spline_weight: Tensor) -> Tensor:
        """Return (B, N) for inputs `z` (B, I) and their basis values (B, K), with weights (N, K).

        Two products: side by side, both branches would have to be copied once more and kept.
        """
        base = self.base_weight * self.mask if self._pruned else self.base_weight
        y = nn.functional.linear(activate(activation, z), base, self.bias)
        return y + nn.functional.linear(basis, spline_weight)

    def _spline_weights(self) -> Tensor:
        """Return the spline weights (N, I, n_basis); those of removed edges are 0."""
        return self.spline_weight * self.mask.unsqueeze(-1) if self._pruned else self.spline_weight


class KAN(nn.Module):
    """A chain of KAN layers.

    Attributes:
        widths: features, hidden nodes, outputs.
        layers: `nn.Sequential` of the layers.

    Raises:
        ModelError: if there are fewer than two widths.
    """

    def __init__(self, widths: Sequence[int], layers: Sequence[KANLayer]) -> None:
        super().__init__()
        self.widths = tuple(int(w) for w in widths)
        self.layers = nn.Sequential(*layers)
        #: What the convolutions in front were made from, and the image that they read; set by `build_kan`.
        self.conv: tuple[ConvSpec, ...] = ()
        self.image: tuple[int, int, int] | None = None

    @staticmethod
    def pairs(widths: Sequence[int]) -> list[tuple[int, int]]:
        """Return inputs and outputs of every layer.

        Raises:
            ModelError: if there are fewer than two widths.
        """
        if len(widths) < 2:
            raise ModelError(f"a KAN needs at least two widths (inputs, outputs), not {list(widths)}; add one")
        numbers = [int(w) for w in widths]
        return list(itertools.pairwise(numbers))

    def kan_layers(self) -> Iterator[KANLayer]:
        """Yield the layers in order."""
        for layer in self.layers:
            assert isinstance(layer, KANLayer)
            yield layer

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, widths[-1]) for features (…, widths[0])."""
        for layer in self.layers:
            if x.dtype == torch.bfloat16:  # of a product under autocast; a basis needs the digits of its argument
                x = x.float()
            x = layer(x)
        return x
