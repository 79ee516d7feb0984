"""What stands between two KAN layers, folded into them: BatchNorm into the weights before it, PReLU into the tables behind it.

Nothing is approximated: the folded network computes the same function (BatchNorm with its running statistics, as in eval
mode), and its integers are those of KAN layers alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.ir import BasisKind
from pymodel.layers._activations import activate, prelu_name, prelu_slope
from pymodel.layers._functions import Functions
from pymodel.layers._kan import KAN, KANLayer

__all__ = ["AfterPReLU", "FoldedLayer", "fold"]


@dataclass(frozen=True)
class AfterPReLU(Functions):
    """Functions of `z = PReLU(x)`.

    Attributes:
        inner: the functions of z, which have no activation before them.
        before: name of the PReLU (:func:`~pymodel.layers.prelu_name`).
    """

    inner: Functions
    before: str

    @property
    def kind(self) -> BasisKind:  # type: ignore[override]
        """The family of the basis."""
        return self.inner.kind

    @property
    def signed(self) -> bool:  # type: ignore[override]
        """Whether basis values can be negative."""
        return self.inner.signed

    @property
    def activation(self) -> str:  # type: ignore[override]
        """Of the base branch."""
        return self.inner.activation

    @property
    def slope(self) -> float:
        """Of the PReLU where x < 0."""
        slope = prelu_slope(self.before)
        assert slope is not None
        return slope

    @property
    def n_tables(self) -> int:
        """1, or the number of inputs."""
        return self.inner.n_tables

    @property
    def n_basis(self) -> int:
        """Number of basis functions."""
        return self.inner.n_basis

    @property
    def knots(self) -> npt.NDArray[np.float64]:
        """The real numbers that define the basis."""
        return self.inner.knots

    def basis(self, z: Tensor) -> Tensor:
        """Return the basis functions at `z` (…), as (…, n_basis)."""
        return self.inner.basis(z)

    def table(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features at `points` (C,) and their derivatives; no gradient."""
        values, slopes = self.inner.table(activate(self.before, points))
        return values, slopes * torch.where(points >= 0, 1.0, self.slope).unsqueeze(-1).to(slopes)


class FoldedLayer(KANLayer):
    """A float KAN layer of given functions and weights; for evaluation and quantization, not for training.

    Args:
        source: the layer that it comes from; its mask is copied.
        functions: of its edges.
        base, spline, bias: its weights (N, I), (N, I, n_basis) and (N,) or None.
    """

    def __init__(
        self, source: KANLayer, functions: Functions, base: Tensor, spline: Tensor, bias: Tensor | None
    ) -> None:
        low, high = source.input_range
        super().__init__(source.in_features, source.out_features, source.n_basis, low, high)
        self.base_weight, self.spline_weight = nn.Parameter(base), nn.Parameter(spline)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias))
        self._add_mask()
        self.apply_mask(source.mask)
        self._functions = functions

    @property
    def functions(self) -> Functions:
        """The functions of the edges, without their weights."""
        return self._functions

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, N) for inputs (…, I)."""
        flat = x.reshape(-1, self.in_features)
        weight = torch.cat((self.base_weight.unsqueeze(-1), self.spline_weight), dim=-1) * self.mask.unsqueeze(-1)
        y = nn.functional.linear(self.edge_features(flat).to(weight).flatten(1), weight.flatten(1), self.bias)
        return y.reshape(*x.shape[:-1], self.out_features)


@torch.no_grad()
def fold(network: nn.Sequential) -> KAN:
    """Return a network of KAN layers with the BatchNorms and PReLUs between them folded in.

    Args:
        network: KAN layers, each of which may be followed by an `nn.BatchNorm1d`, and that by an `nn.PReLU` with one slope
            if another KAN layer comes behind it; `nn.Identity` and `nn.Dropout` do nothing.

    Raises:
        ModelError: if it holds anything else, or in another order.
    """
    layers: list[KANLayer] = []
    before: str | None = None
    normed = False
    for name, module in network.named_children():
        if isinstance(module, nn.Identity | nn.Dropout):
            continue
        if isinstance(module, KANLayer):
            layers.append(module if before is None else _after(name, module, before))
            before, normed = None, False
        elif isinstance(module, nn.BatchNorm1d) and layers and before is None and not normed:
            layers[-1], normed = _scaled(name, layers[-1], module), True
        elif isinstance(module, nn.PReLU) and layers and before is None:
            if module.num_parameters != 1:
                raise ModelError(
                    f"{name} is a PReLU with {module.num_parameters} slopes, but one folds; use nn.PReLU()"
                )
            before = prelu_name(float(module.weight))
        else:
            raise ModelError(
                f"{name} is a {type(module).__name__} that folds into no KAN layer where it stands; let each KAN layer be "
                "followed by at most a BatchNorm1d, then a PReLU"
            )
    if not layers or before is not None:
        raise ModelError("a PReLU folds into the KAN layer behind it, but none comes; remove it or add a layer")
    return KAN([layers[0].in_features, *(layer.n_nodes for layer in layers)], layers).eval()


def _check_plain(name: str, layer: KANLayer, what: str) -> None:
    if getattr(layer, "layernorm", None) is not None or layer.n_nodes != layer.out_features:
        raise ModelError(
            f"{what} does not fold into {name}, which has a LayerNorm or nodes that multiply in between; leave it out"
        )


def _after(name: str, layer: KANLayer, before: str) -> KANLayer:
    _check_plain(name, layer, "a PReLU")
    functions = layer.functions
    if functions.before != "identity":
        raise ModelError(
            f"a PReLU does not fold into {name}, whose inputs pass {functions.before} already; leave it out"
        )
    return FoldedLayer(layer, AfterPReLU(functions, before), *layer.folded())


def _scaled(name: str, layer: KANLayer, norm: nn.BatchNorm1d) -> KANLayer:
    _check_plain(name, layer, "a BatchNorm1d")
    if norm.running_mean is None or norm.running_var is None or norm.num_features != layer.out_features:
        raise ModelError(
            f"{name} must be a BatchNorm1d over {layer.out_features} outputs with running statistics; track them"
        )
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    shift = -norm.running_mean.double() * scale
    if norm.affine:
        scale = scale * norm.weight.double()
        shift = norm.bias.double() - norm.running_mean.double() * scale
    base, spline, bias = layer.folded()
    total = shift if bias is None else bias.double() * scale + shift
    return FoldedLayer(
        layer,
        layer.functions,
        (base.double() * scale[:, None]).to(base),
        (spline.double() * scale[:, None, None]).to(spline),
        total.to(base),
    )
