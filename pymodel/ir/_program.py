"""The KAN IR itself: a validated DAG of nodes, and what the host does before and after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pymodel.errors import DataError, IRError
from pymodel.ir._common import check_name
from pymodel.ir._fixed import FixedPoint, IntArray
from pymodel.ir._intervals import NodeBounds, analyse
from pymodel.ir._nodes import EdgeTable, KanLinear, Node, Quantize
from pymodel.ir._spatial import KanConv

__all__ = ["HostSpec", "KanIR", "Task"]


class Task(IntEnum):
    """What the outputs mean."""

    CLASSIFICATION = 1
    """argmax over the outputs; ties go to the lowest index."""
    REGRESSION = 2


@dataclass(frozen=True)
class HostSpec:
    """What the host applies around the integer program.

    Attributes:
        task: classification or regression.
        features: names of the columns, in order.
        feature_offset, feature_scale: the input node sees `(raw - offset) * scale`, per feature.
        classes: labels, one per output (classification; empty for regression).
        target_offset, target_scale: `prediction = target_offset + target_scale * y` (regression).
    """

    task: Task
    features: tuple[str, ...]
    feature_offset: tuple[float, ...]
    feature_scale: tuple[float, ...]
    classes: tuple[str, ...] = ()
    target: str = ""
    target_offset: float = 0.0
    target_scale: float = 1.0

    def __post_init__(self) -> None:
        n = len(self.features)
        if not n == len(self.feature_offset) == len(self.feature_scale):
            raise IRError("the host part needs one offset and one scale per feature; build the model again")
        numbers = (*self.feature_offset, *self.feature_scale, self.target_offset, self.target_scale)
        if not all(math.isfinite(x) for x in numbers):
            raise IRError("the host part's offsets and scales must be finite; build the model again")

    def prepare(self, raw: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return `(raw - offset) * scale` for rows of raw features, shape (rows, features).

        Raises:
            DataError: if the number of columns differs or a value is not finite.
        """
        rows = np.asarray(raw, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.features):
            raise DataError(f"rows of {len(self.features)} features were expected, not an array of shape {rows.shape}")
        if not np.isfinite(rows).all():
            raise DataError("expected finite feature values, found NaN or infinity; clean the data first")
        return np.asarray((rows - np.array(self.feature_offset)) * np.array(self.feature_scale))


@dataclass(frozen=True, eq=False)
class KanIR:
    """A validated integer program.

    Attributes:
        name: of the model, a plain identifier.
        nodes: in topological order; the first is the only :class:`Quantize`.
        output: name of the node whose integers leave the chip.
        host: what the host applies around it.
        bounds: interval analysis per node name (derived).

    Raises:
        IRError: if names repeat, an input is unknown, shapes do not meet, an output type wraps codes, or the 2^53
            bound is broken. An IR that breaks the contract cannot be constructed.
    """

    name: str
    nodes: tuple[Node, ...]
    output: str
    host: HostSpec
    bounds: Mapping[str, NodeBounds] = field(init=False)

    def __post_init__(self) -> None:
        check_name(self.name, "model")
        if not self.nodes or not isinstance(self.nodes[0], Quantize):
            raise IRError("the first node must quantize the input; lower the model again")
        seen: dict[str, Node] = {}
        bounds: dict[str, NodeBounds] = {}
        for node in self.nodes:
            if node.name in seen:
                raise IRError(f"two layers are called {node.name!r}; give each layer its own name")
            if seen and isinstance(node, Quantize):
                raise IRError(f"layer {node.name}: only one input is supported; concatenate the inputs")
            for source in node.inputs:
                if source not in seen:
                    raise IRError(f"layer {node.name} reads {source!r}, which no earlier layer produces")
            in_type: FixedPoint | None = None
            if node.inputs:
                in_type = seen[node.inputs[0]].out_type
                given = sum(seen[source].n_out for source in node.inputs)
                if given != node.n_in:
                    raise IRError(
                        f"layer {node.name} expects {node.n_in} inputs, but {' and '.join(node.inputs)} gives {given}"
                    )
            bounds[node.name] = analyse(node, in_type)
            seen[node.name] = node
        if self.output not in seen:
            raise IRError(f"the output layer {self.output!r} does not exist; lower the model again")
        if len(self.host.features) != self.nodes[0].n_out:
            raise IRError(
                f"{len(self.host.features)} feature names for {self.nodes[0].n_out} inputs; build the model again"
            )
        if self.host.task is Task.CLASSIFICATION and len(self.host.classes) != seen[self.output].n_out:
            raise IRError(
                f"{len(self.host.classes)} class labels for {seen[self.output].n_out} outputs; build the model again"
            )
        object.__setattr__(self, "bounds", MappingProxyType(bounds))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KanIR):
            return NotImplemented
        return (self.name, self.nodes, self.output, self.host) == (other.name, other.nodes, other.output, other.host)

    __hash__ = None  # type: ignore[assignment]

    def node(self, name: str) -> Node:
        """Return the node called `name`."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def input(self) -> Quantize:
        """The input node."""
        first = self.nodes[0]
        assert isinstance(first, Quantize)
        return first

    @property
    def layers(self) -> tuple[KanLinear | EdgeTable | KanConv, ...]:
        """The KAN layers, in order."""
        return tuple(node for node in self.nodes if isinstance(node, KanLinear | EdgeTable | KanConv))

    def in_type(self, node: Node) -> FixedPoint:
        """Return the type of the integers that `node` reads."""
        return self.node(node.inputs[0]).out_type

    @property
    def n_edges(self) -> int:
        """Number of edges that were not pruned."""
        return sum(node.n_edges for node in self.layers)

    def predict(self, Y: IntArray) -> IntArray | npt.NDArray[np.float64]:
        """Turn output integers (rows, N) into class indices (rows,) or real targets (rows, N)."""
        if self.host.task is Task.CLASSIFICATION:
            return np.asarray(np.argmax(Y, axis=1), dtype=np.int64)
        node = self.node(self.output)
        values = node.value_offset + node.value_lsb * Y.astype(np.float64)
        return self.host.target_offset + self.host.target_scale * values
