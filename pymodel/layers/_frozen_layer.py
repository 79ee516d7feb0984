"""What all frozen layers share: real numbers or integers in, blocks of bounded memory, integers or real numbers out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from pymodel.errors import DataError
from pymodel.ir import FixedPoint, HostSpec, IntArray, KanIR, Node, Quantize, Task
from pymodel.layers._handlers import ensure_layer_handlers

__all__ = ["FrozenLayer", "as_array", "check_bound", "type_name"]

#: Rows are processed in blocks of at most this many float64 values (32 MiB).
_BLOCK_VALUES = 1 << 22


class FrozenLayer(nn.Module, ABC):
    """A node of the KAN IR as a torch module: int64 buffers, and arithmetic that is exact.

    `forward` takes real inputs (…, in_features), rounds them to `in_type` (RND, SAT) and returns `Y * out_type.lsb`,
    float64, (…, out_features); between KAN layers the LSB is 1, so the real numbers are the next layer's codes.

    Args:
        node: the node; its inputs' names do not matter.
        in_type: type of the input integers.

    Attributes:
        in_type, out_type: fixed-point types of the input and output integers.
        in_features, out_features: how many there are.
        value_lsb, value_offset: the output integer Y stands for the real `value_offset + value_lsb * Y`.

    Raises:
        IRError: if the node and the input type break the contract (the 2^53 bound, for instance).
    """

    def __init__(self, node: Node, in_type: FixedPoint) -> None:
        super().__init__()
        ensure_layer_handlers()
        check_bound(node, in_type)
        self.in_type, self.out_type = in_type, node.out_type
        self.in_features, self.out_features = node.n_in, node.n_out
        self.value_lsb, self.value_offset = float(node.value_lsb), float(node.value_offset)

    def _put(self, **arrays: IntArray) -> None:
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array.astype(np.int64, copy=True)))

    @abstractmethod
    def ir_node(self, name: str, source: str) -> Node:
        """Return the layer as an IR node called `name` that reads the node `source`, from the buffers as they are."""

    @abstractmethod
    def integers(self, X: Tensor) -> Tensor:
        """Return the layer's integers (rows, N) for input integers (rows, I), both int64; `X` is within `in_type`."""

    @property
    def _values_per_row(self) -> int:
        """How many float64 values one row takes on the way."""
        return self.in_features + self.out_features

    def _blocks(self, X: Tensor) -> Tensor:
        if not X.shape[0]:
            return X.new_zeros(0, self.out_features)
        rows = max(1, _BLOCK_VALUES // self._values_per_row)
        return torch.cat([self.integers(block) for block in torch.split(X, rows)])

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return `Y * out_type.lsb`, float64, (…, N), for real inputs (…, I) that are rounded to `in_type` first.

        Raises:
            DataError: if an input is NaN or infinite, or the last dimension is not I.
        """
        if x.shape[-1:] != (self.in_features,):
            raise DataError(f"inputs of {self.in_features} features were expected, not a shape of {tuple(x.shape)}")
        real = x.reshape(-1, self.in_features).double()
        if not bool(torch.isfinite(real).all()):
            raise DataError("expected finite inputs, found NaN or infinity; clean the data before the model reads it")
        exact = real * 2.0**self.in_type.frac
        scaled = torch.floor(exact)
        # Not floor(x + 0.5): in float64 that sum rounds 0.49999999999999994 up to 1.
        scaled = scaled + (exact - scaled >= 0.5)
        X = scaled.clamp(self.in_type.min_int, self.in_type.max_int).long()
        return (self._blocks(X).double() * self.out_type.lsb).reshape(*x.shape[:-1], self.out_features)

    def run(self, X: IntArray) -> IntArray:
        """Return the integers (rows, N) of input integers (rows, I), in blocks of bounded memory.

        Raises:
            DataError: if `X` is not an integer array of that shape within `in_type`.
        """
        array = np.asarray(X)
        if array.ndim != 2 or array.shape[1] != self.in_features or array.dtype.kind not in "iu":
            raise DataError(
                f"integers of shape (rows, {self.in_features}) were expected, not {array.dtype} of {array.shape}; "
                "quantize the features first"
            )
        low, high = self.in_type.min_int, self.in_type.max_int
        if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
            raise DataError(f"input integers must lie in {low} … {high}; quantize the features with the input type")
        device = next(self.buffers()).device
        return as_array(self._blocks(torch.from_numpy(array.astype(np.int64)).to(device)))


def as_array(tensor: Tensor) -> IntArray:
    """Return an int64 tensor as a numpy array."""
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.int64)


def type_name(kind: FixedPoint) -> str:
    """Return a short name of a fixed-point type."""
    return f"{'fixed' if kind.signed else 'ufixed'}<{kind.width},{kind.integer}>"


def check_bound(node: Node, in_type: FixedPoint) -> None:
    """Raise IRError unless every sum of the layer is exact in float64 for inputs of `in_type`."""
    n_in = node.n_in
    host = HostSpec(Task.REGRESSION, ("",) * n_in, (0.0,) * n_in, (1.0,) * n_in)
    source = Quantize(node.inputs[0], (), in_type, in_type.lsb, 0.0, size=n_in)
    KanIR(name="bound", nodes=(source, node), output=node.name, host=host)
