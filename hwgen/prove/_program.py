"""The IR's side of the proof: each layer as sums of tables over the bits that carry its inputs.

The formulas are those of docs/design.md, section 2, evaluated from the arrays of the IR; no code is shared with the
conversion to edge tables, the reference, or the generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, IntArray, KanIR, KanLinear, Node, Quantize

__all__ = ["Layer", "layers", "run_program"]

Array = npt.NDArray[Any]


def _code(coder: AffineCoder, i: int, X: IntArray) -> IntArray:
    column = i if coder.mult.size > 1 else 0
    X = (X * int(coder.mult[column]) + int(coder.offset[column])) >> coder.shift
    return np.asarray(np.minimum(np.maximum(X, 0), coder.n_codes - 1))


@dataclass
class Layer:
    """A layer of the program.

    Attributes:
        node: its node.
        in_type: of its input integers.
    """

    node: EdgeTable | KanLinear
    in_type: FixedPoint
    _codes: dict[tuple[int, int], tuple[IntArray, ...]] = field(default_factory=dict)

    @property
    def shift(self) -> int:
        """Bits dropped by the rescale."""
        return self.node.shift if isinstance(self.node, EdgeTable) else self.node.rescale.shift

    def constant(self, output: int) -> int:
        """Return bias and rounding constant."""
        bias = self.node.bias if isinstance(self.node, EdgeTable) else self.node.rescale.bias
        return int(bias[output]) + (1 << self.shift >> 1)

    def saturated(self, total: IntArray) -> IntArray:
        """Return the output integers of sums."""
        out = self.node.out_type
        return np.asarray(np.clip(total >> self.shift, out.min_int, out.max_int))

    def inputs(self, output: int) -> list[int]:
        """Return the inputs that an output may depend on."""
        node = self.node
        if isinstance(node, EdgeTable):
            used = (node.tables[:, :, output] != 0).any(axis=1)
        else:
            used = (node.spline.weights[output] != 0).any(axis=1)
            if node.base is not None:
                used = used | (node.base.weights[output] != 0)
        return [int(i) for i in np.flatnonzero(used)]

    def codes(self, i: int, X: IntArray) -> tuple[IntArray, ...]:
        """Return the codes, one array per branch, of values `X` of input `i`: all that the layer sees of it."""
        coders = (self.node.coder,) if isinstance(self.node, EdgeTable) else self.node.coders
        return tuple(_code(coder, i, X) for coder in coders)

    def edge(self, output: int, i: int, codes: tuple[IntArray, ...]) -> IntArray:
        """Return what input `i` adds to the sum of an output, for arrays of its branches' codes."""
        node = self.node
        if isinstance(node, EdgeTable):
            return np.asarray(node.tables[i, :, output][codes[0]])
        rom, weights = node.spline.basis, node.spline.weights[output, i]
        spline = sum(
            (rom.values[:, j] * weights[rom.start + j] for j in range(rom.window)),
            np.zeros(rom.start.size, dtype=np.int64),
        )
        total = spline[codes[0]] * int(node.rescale.spline_mult[output])
        if node.base is not None:
            factor = int(node.base.weights[output, i]) * int(node.rescale.base_mult[output])
            total = total + node.base.table[codes[1]] * factor
        return np.asarray(total)


def layers(ir: KanIR) -> Iterator[tuple[Node, Layer | None]]:
    """Yield every node with its layer (None for the input)."""
    for node in ir.nodes:
        yield node, None if isinstance(node, Quantize) else Layer(node, ir.in_type(node))  # type: ignore[arg-type]


def run_program(ir: KanIR, X: IntArray) -> dict[str, IntArray]:
    """Return the integers of every node, (rows, n), for rows of input integers."""
    values: dict[str, IntArray] = {}
    for node, layer in layers(ir):
        if layer is None:
            values[node.name] = X
            continue
        source = values[node.inputs[0]]
        codes = [layer.codes(i, source[:, i]) for i in range(source.shape[1])]
        columns = []
        for output in range(node.n_out):
            total = np.full(source.shape[0], layer.constant(output), dtype=np.int64)
            for i in layer.inputs(output):
                total += layer.edge(output, i, codes[i])
            columns.append(layer.saturated(total))
        values[node.name] = np.stack(columns, axis=1)
    return values
