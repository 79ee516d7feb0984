"""The float KAN with Gram polynomials, after torch-conv-kan's `GRAMLayer` (Drokin 2024, arXiv:2407.01092).

`y_o = sum_(i,n) spline_weight[o,i,n] * SiLU(P_n(tanh z_i)) + sum_i base_weight[o,i] * act(z_i)`, then a norm.

`GRAMLayer` ends in `SiLU(norm(y))`. Here the SiLU is the next layer's first step (`z = SiLU(x)`, `before`), where it folds
into tables, and the last layer ends without one. Its LayerNorm over the outputs has no integer form yet; batch
normalisation, which folds into the weights, takes its place by default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.errors import ModelError
from pymodel.layers._activations import activate
from pymodel.layers._basis_maps import gram_map
from pymodel.layers._functions import GramFunctions, gram_factor
from pymodel.layers._kan import KAN, KANLayer, check_range, check_sizes

__all__ = ["KAGN", "KAGNLinear"]

_NORMS = ("none", "batch", "layer")
MAX_DEGREE = 8


class KAGNLinear(KANLayer):
    """A float KAN layer of Gram polynomials plus a base branch.

    Args:
        in_features, out_features: I and N.
        degree: the largest degree, 1 … 8; each edge has `degree + 1` spline weights.
        activation: of the base branch.
        before: activation that every input passes first: `silu` where the layer before is a KAGN layer, else `identity`.
        layernorm: normalise over the layer's inputs (at least 2) before that. `GRAMLayer`'s norm, which follows the sum, is
            the next layer's first step in this form, and so has integers (`pymodel.ir.Norm`).
        norm: of the outputs: `batch`, `layer` (as `GRAMLayer`; trains, but cannot be quantized) or `none`.
        range: the interval on which inputs are expected; it only sets the type of the first layer's input.

    Attributes:
        beta_weights: parameter (degree + 1,), of the recurrence.
        norm: `nn.BatchNorm1d`, `nn.LayerNorm` or None.
        layernorm: `nn.LayerNorm` or None, of the inputs.

    Raises:
        ModelError: if an argument is out of range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        degree: int = 3,
        activation: str = "silu",
        before: str = "identity",
        norm: str = "batch",
        layernorm: bool = False,
        range: tuple[float, float] = (-2.0, 2.0),  # noqa: A002 - the name of the setting
    ) -> None:
        low, high = map(float, range)
        check_sizes(in_features, out_features, degree)
        check_range(low, high)
        if degree > MAX_DEGREE or norm not in _NORMS:
            raise ModelError(
                f"a KAGN layer needs a degree of 1 … {MAX_DEGREE} and a norm of {', '.join(_NORMS)}, not {degree} and "
                f"{norm!r}; change the model"
            )
        for name in (activation, before):
            activate(name, torch.zeros(1))
        super().__init__(in_features, out_features, degree + 1, low, high)
        self.register_parameter("bias", None)
        self.beta_weights = nn.Parameter(torch.empty(degree + 1))
        self._add_mask()
        self.degree, self.activation, self.before = degree, activation, before
        if layernorm and in_features < 2:
            raise ModelError("a LayerNorm over one input would give a constant; leave layernorm out")
        self.layernorm = nn.LayerNorm(in_features) if layernorm else None
        self.norm_name = norm
        self.norm: nn.BatchNorm1d | nn.LayerNorm | None = None
        if norm != "none":
            self.norm = nn.BatchNorm1d(out_features) if norm == "batch" else nn.LayerNorm(out_features)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise as `GRAMLayer` does: weights Xavier uniform, beta normal with deviation `1/(I*(degree+1))`."""
        nn.init.normal_(self.beta_weights, std=1.0 / (self.in_features * (self.degree + 1)))
        nn.init.xavier_uniform_(self.base_weight)
        bound = math.sqrt(6.0 / ((self.in_features + self.out_features) * (self.degree + 1)))
        nn.init.uniform_(self.spline_weight, -bound, bound)

    def _factors(self) -> list[Tensor]:
        zero = self.beta_weights.new_zeros(())
        return [zero, zero, *(gram_factor(n) * self.beta_weights[n - 1] for n in range(2, self.degree + 1))]

    @property
    def functions(self) -> GramFunctions:
        """The functions of the edges as they are now, without their weights."""
        factors = tuple(float(f) for f in torch.stack(self._factors()).detach().double())
        return GramFunctions(factors[: self.degree + 1], self.activation, self.before)

    def edge_features(self, x: Tensor) -> Tensor:
        """Return `[act(z_i), B_0(z_i), …]` of every input, (B, I, 2 + degree), for inputs (B, I)."""
        z = x if self.layernorm is None else self.layernorm(x.to(self.layernorm.weight)).to(x)
        return self.functions.features(z)

    def hardware_obstacle(self) -> str | None:
        """Return why the layer has no integer form, or None if it has one."""
        if isinstance(self.norm, nn.LayerNorm):
            return "its LayerNorm has no integer form behind the sum; build it with norm='batch' or 'none'"
        return None

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return base and spline weights and bias with the batch normalisation (its running statistics) folded in."""
        base, spline, bias = super().folded()
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm1d):
            return base, spline, bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return base * scale[:, None], spline * scale[:, None, None], norm.bias - norm.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, N) for inputs (…, I)."""
        z = x.reshape(-1, self.in_features)
        z = activate(self.before, z if self.layernorm is None else self.layernorm(z))
        basis = gram_map(z, torch.stack(self._factors()), self.degree)
        y = self._sum(z, basis.flatten(1), self.activation, self._spline_weights().transpose(1, 2).flatten(1))
        if isinstance(self.norm, nn.BatchNorm1d) and y.shape[0] < 2:  # one row has no variance
            norm = self.norm
            y = functional.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        elif self.norm is not None:
            y = self.norm(y)
        return y.reshape(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return (
            f"{self.in_features}, {self.out_features}, degree={self.degree}, before={self.before}, "
            f"activation={self.activation}"
        )


class KAGN(KAN):
    """A chain of :class:`KAGNLinear` layers with a SiLU between two of them.

    Args:
        widths: features, hidden nodes, outputs.
        degree, activation, norm, range: of every layer.

    Raises:
        ModelError: if there are fewer than two widths or an argument is out of range.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        degree: int = 3,
        activation: str = "silu",
        norm: str = "batch",
        range: tuple[float, float] = (-2.0, 2.0),  # noqa: A002 - the name of the setting
    ) -> None:
        layers = [
            KAGNLinear(
                n_in,
                n_out,
                degree=degree,
                activation=activation,
                before="silu" if index else "identity",
                norm=norm,
                range=range,
            )
            for index, (n_in, n_out) in enumerate(self.pairs(widths))
        ]
        super().__init__(widths, layers)
