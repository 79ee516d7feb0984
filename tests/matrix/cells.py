"""The conformance matrix: what a KAN layer can be, as one-layer programs, and what the plugin says to each.

Nothing here knows which cells are legal: a cell is legal if hls4ml converts it with backend VitisKAN.
"""

from __future__ import annotations

import contextlib
import io as text_io
import itertools
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pymodel.errors import Kan4mlError
from pymodel.ir import ConvGeometry, FixedPoint, IntArray, KanIR
from pymodel.layers import FrozenKAN
from pymodel.reference import Reference
from tests.matrix.knots import knots_program, pairs_of_edges
from tests.spatial import program, random_conv
from tests.strategies import corner_inputs, random_inputs, random_ir

__all__ = [
    "BASES",
    "CELLS",
    "IMPLEMENTATIONS",
    "IOS",
    "LAYERS",
    "MODES",
    "SIZES",
    "Case",
    "Cell",
    "Refusal",
    "ask",
    "case",
]

BASES = ("bspline", "rbf", "gram")
IMPLEMENTATIONS = ("rom", "arith")
#: Name: strategy and reuse factor, `all` for as many as the layer allows. The last is the rolled form of edge tables.
MODES: dict[str, tuple[str, int | str]] = {
    "latency": ("Latency", 1),
    "reuse 2": ("Resource", 2),
    "reuse all": ("Resource", "all"),
    "edge table": ("EdgeTable", 1),
    "edge rows": ("EdgeTable", "all"),
}
#: Not in the matrix: rows of edge tables with two inputs per step where a layer has four.
_MORE_MODES: dict[str, tuple[str, int | str]] = {"edge rows, reuse 2": ("EdgeTable", 2)}
IOS = ("io_parallel", "io_stream")
LAYERS = ("dense", "conv1d", "conv2d")

#: Inputs and outputs of the dense layers, and bits of an input: `small` and `one` have so few that every input is tried.
_DENSE = {"small": ((4, 3), 3), "wide": ((6, 5), 8), "one": ((1, 1), 8), "prime": ((7, 5), 6)}
#: Images of the convolutions, output channels per group, and bits: padding, strides, 1x1 and 7x7 kernels.
_CONV: dict[str, dict[str, tuple[ConvGeometry, int, int]]] = {
    "conv1d": {
        "small": (ConvGeometry(1, 6, 1, 1, 2), 2, 2),
        "wide": (ConvGeometry(1, 7, 2, 1, 4, 1, 2, 0, 0, 2, 1), 3, 6),
        "one": (ConvGeometry(1, 1, 1, 1, 1), 1, 8),
        "prime": (ConvGeometry(1, 7, 1, 1, 7, 1, 1, 0, 0, 3, 3), 3, 6),
    },
    "conv2d": {
        "small": (ConvGeometry(2, 3, 1, 2, 2), 2, 2),
        "wide": (ConvGeometry(4, 4, 2, 3, 2, 1, 2, 1, 0, 0, 1), 2, 6),
        "one": (ConvGeometry(1, 1, 1, 1, 1), 1, 8),
        "prime": (ConvGeometry(5, 3, 1, 7, 7, 2, 1, 3, 3, 3, 3), 2, 6),
    },
}
#: `one` has one input and one output, `prime` numbers that no reuse factor but themselves and 1 divides.
#: `knots` has real functions, and inputs on and beside their knots and the ends of every range.
SIZES = ("small", "wide", "one", "prime", "knots")
_EXHAUSTIVE_BITS = 12
_RANDOM_ROWS = {"wide": 10_000}  # of other sizes, which only add shapes, fewer


@dataclass(frozen=True, order=True)
class Cell:
    """A kind of layer."""

    basis: str
    implementation: str
    mode: str
    io: str
    layer: str

    @property
    def name(self) -> str:
        """An identifier."""
        return "_".join((self.basis, self.implementation, self.mode.replace(" ", "_"), self.io, self.layer))


CELLS = tuple(itertools.starmap(Cell, itertools.product(BASES, IMPLEMENTATIONS, MODES, IOS, LAYERS)))


@dataclass(frozen=True)
class Case:
    """A layer with constants, to be run.

    Attributes:
        size: one of :data:`SIZES`.
        ir: the program before any strategy is applied.
        X: (rows, n_in) input integers: all there are, or corners and random ones.
        exhaustive: whether all there are.
        expected: (rows, n_out), of the reference.
    """

    size: str
    ir: KanIR
    X: IntArray
    exhaustive: bool
    expected: IntArray


@dataclass(frozen=True)
class Refusal:
    """What was said instead of a conversion; `ours` is False if it was no sentence of this project."""

    sentence: str
    ours: bool


def _draw(cell: Cell, size: str, seed: int) -> KanIR:
    basis = f"{cell.basis}_{cell.implementation}"
    if cell.layer == "dense":
        widths, in_bits = _DENSE[size]
        return random_ir(
            seed, widths=widths, edge_tables=0.0, in_bits=in_bits, code_bits=in_bits, out_bits=7, bases=[basis]
        )
    geometry, n_out, in_bits = _CONV[cell.layer][size]
    rng = np.random.default_rng(seed)
    in_type = FixedPoint(in_bits, int(rng.integers(0, in_bits + 1)), signed=bool(rng.integers(2)))
    out_type = FixedPoint(7, 4, signed=True)
    node = random_conv(rng, "layers_0", "x", in_type, out_type, geometry, n_out, basis=basis, code_bits=in_bits)
    return program([node], in_type)


def _inputs(ir: KanIR, size: str) -> tuple[IntArray, bool]:
    kind, n_in = ir.input.out_type, ir.input.size
    if kind.width * n_in <= _EXHAUSTIVE_BITS:
        axis = np.arange(kind.min_int, kind.max_int + 1, dtype=np.int64)
        return np.stack(np.meshgrid(*[axis] * n_in, indexing="ij"), axis=-1).reshape(-1, n_in), True
    return np.concatenate(
        (corner_inputs(ir), random_inputs(ir, _RANDOM_ROWS.get(size, 2_000), np.random.default_rng(0)))
    ), False


def _wanted(node: Any, size: str) -> bool:
    """Whether a layer has the base branch that its size is to have.

    `small` reads one code in both branches, `wide` has a coder for each, `prime` has no base branch.
    """
    part = getattr(node, "layers", (node,))[0]
    if size == "prime":
        return part.base is None
    shared = part.base is not None and part.base.coder == part.spline.coder
    return {"small": shared, "wide": part.base is not None and not shared}.get(size, True)


@cache
def _case(basis: str, implementation: str, layer: str, size: str) -> Case:
    """Return the first of a row of random layers whose outputs all vary and whose edges are not all pruned."""
    if size == "knots":
        ir, X = knots_program(basis, implementation, layer), pairs_of_edges()
        return Case(size, ir, X, False, Reference(ir).run(X)[ir.output])
    cell = Cell(basis, implementation, "latency", "io_parallel", layer)
    first = zlib.crc32(f"{cell.name} {size}".encode())
    for seed in range(first, first + 1000):
        ir = _draw(cell, size, seed)
        if not _wanted(ir.layers[0], size):
            continue
        X, exhaustive = _inputs(ir, size)
        expected = Reference(ir).run(X)[ir.output]
        alive = all(np.unique(column).size > 4 for column in expected.T)
        if alive and np.unique(expected).size > (12 if ir.input.size == 1 else 24):
            return Case(size, ir, X, exhaustive, expected)
    raise AssertionError(f"no seed gives {cell.name} outputs that vary")


def case(cell: Cell, size: str) -> Case:
    """Return the layer of a cell and size; cells that differ in mode and IO type only share it."""
    return _case(cell.basis, cell.implementation, cell.layer, size)


def ask(cell: Cell, size: str, folder: Path) -> Any:
    """Return the hls4ml model of a cell, converted and not written, or the :class:`Refusal`.

    Args:
        cell: chooses strategy, reuse factor and IO type.
        size: one of :data:`SIZES`.
        folder: the project's, if it is written.
    """
    import hls4ml

    ir = case(cell, size).ir
    strategy, reuse = (MODES | _MORE_MODES)[cell.mode]
    try:
        model = FrozenKAN.from_ir(ir)
        layer = ir.layers[0]
        if reuse == "all":
            groups = getattr(layer, "layers", (layer,))
            reuse = int(groups[0].n_in)
        options = {"Strategy": strategy, "ReuseFactor": reuse}
        config = {
            "Model": {"Precision": "ap_fixed<16,6>", "ReuseFactor": 1, "ChannelsLastConversion": "off"},
            "LayerName": {layer.name: options},
            "InputShape": (ir.input.size,),
        }
        with contextlib.redirect_stdout(text_io.StringIO()):
            return hls4ml.converters.convert_from_pytorch_model(
                model,
                output_dir=str(folder),
                project_name="cell",
                backend="VitisKAN",
                hls_config=config,
                io_type=cell.io,
            )
    except Kan4mlError as error:
        return Refusal(str(error), True)
    except Exception as error:  # noqa: BLE001 - hls4ml's own refusals, and defects: a test tells them apart
        return Refusal(f"{type(error).__name__}: {error}", False)
