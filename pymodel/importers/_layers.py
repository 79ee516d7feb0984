"""Float layers that only imports need: what follows the sum in the library, exactly, and no more."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pymodel.layers import EfficientKANLinear

__all__ = ["PReLUSplineLinear"]


class PReLUSplineLinear(EfficientKANLinear):
    """`PReLU(LayerNorm(y))` of a B-spline layer's `y`: torch-conv-kan's `KANLayer`.

    Args:
        in_features, out_features: I and N.
        **arguments: of :class:`~pymodel.layers.EfficientKANLinear`.

    Attributes:
        norm: over the outputs.
        prelu: one slope for all outputs.

    Raises:
        ModelError: if an argument is out of range.
    """

    def __init__(self, in_features: int, out_features: int, **arguments: Any) -> None:
        super().__init__(in_features, out_features, **arguments)
        self.norm = nn.LayerNorm(out_features)
        self.prelu = nn.PReLU()

    def hardware_obstacle(self) -> str | None:
        """Return why the layer has no integer form."""
        return (
            "its PReLU behind a LayerNorm has no integer form; train the model without them, such as with efficient-kan"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, N) for inputs (…, I)."""
        y: Tensor = self.prelu(self.norm(super().forward(x)))
        return y
