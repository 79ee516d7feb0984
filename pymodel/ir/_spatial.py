"""Spatial nodes: convolutional KAN layers and pools, on flat rows of integers, channels last.

A convolution is a dense layer applied to every window: its inputs are the taps in the order (ky, kx, channel). Its
constants of one input (coder, basis table) belong to a channel, never to a tap, so that hardware evaluates coder and
basis unit once per pixel; only weights differ from tap to tap. A tap outside of the image adds 0 to every accumulator:
padding comes after the basis (and is not the basis of a pixel of value 0).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pymodel.errors import IRError
from pymodel.ir._arith import BSplineArith, RbfArith
from pymodel.ir._basis import Basis, BasisRom
from pymodel.ir._common import MAX_SHIFT
from pymodel.ir._geometry import MAX_VALUES, ConvGeometry
from pymodel.ir._nodes import AffineCoder, BaseBranch, EdgeTable, KanLinear, Node, NodeKind, check_out_type

__all__ = ["KanConv", "Pool", "PoolKind", "first_tables", "join_tables"]


class PoolKind(IntEnum):
    """What a pool computes of a window; the name appears in `ir.json`."""

    MAX = 1
    AVERAGE = 2


@dataclass(frozen=True, eq=False)
class KanConv(Node):
    """A KAN layer applied to every window of an image; output `(oy*out_width + ox)*N + g*N/groups + o`.

    Attributes:
        geometry: which pixels a window reads.
        layers: one dense layer per group, all `KanLinear` or all `EdgeTable`, with the node's own type and meaning
            (and name and inputs: they are given it), over the patch's inputs `(ky*kernel_width + kx)*group_channels + c`. What they hold per input repeats
            with the period `group_channels`; shared tables and scalars are those of all groups.
        coders: the coders of the branches, each for 1 or `channels` inputs (derived).
        basis: the basis unit, with 1 or `channels` tables; None in edge-table form (derived).

    Raises:
        IRError: if the layers do not fit the geometry or each other.
    """

    kind: ClassVar[NodeKind] = NodeKind.KAN_CONV
    geometry: ConvGeometry = field(kw_only=True)
    layers: tuple[KanLinear, ...] | tuple[EdgeTable, ...] = field(kw_only=True)
    coders: tuple[AffineCoder, ...] = field(init=False)
    basis: Basis | None = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_out_type(self.out_type)
        g, layers = self.geometry, self.layers
        if len(layers) != g.groups or any(type(layer) is not type(layers[0]) for layer in layers):
            raise IRError(
                f"layer {self.name} needs {g.groups} layers of one form, one per group; lower the model again"
            )
        if not isinstance(layers[0], KanLinear | EdgeTable):
            raise IRError(f"layer {self.name} is made of KAN layers, not of a {type(layers[0]).__name__}; lower again")
        patch = g.n_taps * g.group_channels
        for layer in layers:
            if (layer.n_in, layer.n_out) != (patch, layers[0].n_out):
                raise IRError(
                    f"layer {self.name}: groups of {patch} inputs and {layers[0].n_out} outputs were expected, not "
                    f"{layer.n_in} and {layer.n_out}; lower the model again"
                )
            mine = (self.out_type, self.value_lsb, self.value_offset)
            if (layer.out_type, layer.value_lsb, layer.value_offset) != mine or len(layer.inputs) != 1:
                raise IRError(f"layer {self.name}: a group has another type or meaning than the layer; lower again")
        if len(self.inputs) != 1:
            raise IRError(f"layer {self.name} needs exactly one input, not {len(self.inputs)}")
        if self.n_out > MAX_VALUES:
            raise IRError(f"layer {self.name} has {self.n_out} outputs, more than {MAX_VALUES}; use a larger stride")
        named = tuple(replace(layer, name=self.name, inputs=self.inputs) for layer in layers)
        object.__setattr__(self, "layers", named)
        object.__setattr__(self, "coders", self._channel_coders())
        object.__setattr__(self, "basis", self._channel_basis())

    def _differ(self, what: str) -> IRError:
        return IRError(
            f"layer {self.name}: {what} must belong to a channel or to the layer, not to a tap or a group; lower the model "
            "again"
        )

    def _channel_coders(self) -> tuple[AffineCoder, ...]:
        g = self.geometry
        columns = zip(*(layer.coders for layer in self.layers), strict=False)
        if len({len(layer.coders) for layer in self.layers}) != 1:
            raise self._differ("the base branch")
        result = []
        for column in columns:
            first, parts = column[0], []
            for coder in column:
                scalars = (coder.shift, coder.n_codes, coder.low, coder.step)
                if scalars != (first.shift, first.n_codes, first.low, first.step):
                    raise self._differ("a coder")
                pair = np.stack((coder.mult, coder.offset))
                pair = pair.reshape(2, -1, g.group_channels) if pair.shape[1] > 1 else pair[:, None]
                if (pair != pair[:, :1]).any():
                    raise self._differ("a coder")
                parts.append(np.broadcast_to(pair[:, 0], (2, g.group_channels)))
            channels = np.concatenate(parts, axis=1)
            if (channels == channels[:, :1]).all():
                channels = channels[:, :1]
            result.append(replace(first, mult=channels[0], offset=channels[1]))
        return tuple(result)

    def _channel_basis(self) -> Basis | None:
        bases: list[Basis] = []
        base: BaseBranch | None = None
        for layer in self.layers:
            if isinstance(layer, EdgeTable):
                return None
            basis, n = layer.spline.basis, self.geometry.group_channels
            if basis.n_tables > 1:
                basis = first_tables(basis, n)
                if join_tables([basis] * self.geometry.n_taps) != layer.spline.basis:
                    raise self._differ("a basis table")
            bases.append(basis)
            base = base or layer.base
            if base is not None and layer.base is not None:
                mine, first = layer.base, base
                if (mine.activation, mine.lsb) != (first.activation, first.lsb) or not np.array_equal(
                    mine.table, first.table
                ):
                    raise self._differ("the activation table")
        if all(basis == bases[0] for basis in bases) and (len(bases) == 1 or bases[0].n_tables == 1):
            return bases[0]
        if any(basis.n_tables != self.geometry.group_channels for basis in bases):
            raise self._differ("a basis table")
        return join_tables(bases)

    @property
    def n_in(self) -> int:
        """Input integers, `height * width * channels`."""
        return self.geometry.n_in

    @property
    def out_channels(self) -> int:
        """N, the integers of an output pixel."""
        return sum(layer.n_out for layer in self.layers)

    @property
    def n_out(self) -> int:
        """Output integers, `out_height * out_width * N`."""
        return self.geometry.n_windows * self.out_channels

    @property
    def alive_inputs(self) -> npt.NDArray[np.bool_]:
        """(n_in,): inputs that at least one edge of a window reads."""
        g = self.geometry
        used = np.stack(
            [layer.alive_inputs.reshape(g.n_taps, -1) for layer in self.layers], axis=1
        )  # (taps, groups, Cg)
        result = np.zeros((g.height * g.width, g.channels), dtype=bool)
        for tap, pixels in enumerate(g.taps().T):
            result[pixels[pixels >= 0]] |= used[tap].reshape(-1)
        return result.reshape(-1)

    @property
    def n_edges(self) -> int:
        """Edges with constants of their own that were not pruned, of all groups; windows share them."""
        return sum(layer.n_edges for layer in self.layers)

    @property
    def n_edges_total(self) -> int:
        """As `n_edges`, pruned ones included."""
        return sum(layer.n_edges_total for layer in self.layers)


@dataclass(frozen=True, eq=False)
class Pool(Node):
    """The maximum or the average of every channel over a window.

    `max`: the largest integer of the pixels that exist; input and output have one type and meaning.
    `average`: `Y = sat((sum*mult + half) >> shift)`, `half = 2^(shift-1)` or 0; no padding.

    Attributes:
        geometry: which pixels a window reads; one group.
        op: maximum or average.
        mult: 1 for a maximum.
        shift: 0 … 62; 0 for a maximum.

    Raises:
        IRError: if the numbers are out of range, a window reads nothing, or an average is padded.
    """

    kind: ClassVar[NodeKind] = NodeKind.POOL
    geometry: ConvGeometry = field(kw_only=True)
    op: PoolKind = field(kw_only=True)
    mult: int = field(kw_only=True, default=1)
    shift: int = field(kw_only=True, default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_out_type(self.out_type)
        g = self.geometry
        if len(self.inputs) != 1:
            raise IRError(f"layer {self.name} needs exactly one input, not {len(self.inputs)}")
        if g.groups != 1:
            raise IRError(f"layer {self.name}: a pool has one group, not {g.groups}; channels never mix in it")
        if self.op is PoolKind.AVERAGE and g.is_padded:
            raise IRError(f"layer {self.name}: an average over padding is not supported; pool without padding")
        if (g.taps() < 0).all(axis=1).any():
            raise IRError(f"layer {self.name}: a window lies outside of the image; pad less")
        if self.op is PoolKind.MAX and (self.mult, self.shift) != (1, 0):
            raise IRError(f"layer {self.name}: a maximum has no multiplier or shift, not {self.mult} and {self.shift}")
        if not (1 <= self.mult < 1 << 31 and 0 <= self.shift <= MAX_SHIFT):
            raise IRError(
                f"layer {self.name}: a multiplier of 1 … 2^31 - 1 and a shift of 0 … {MAX_SHIFT} were expected, not "
                f"{self.mult} and {self.shift}; lower the model again"
            )

    @property
    def half(self) -> int:
        """The rounding constant."""
        return 1 << (self.shift - 1) if self.shift else 0

    @property
    def n_in(self) -> int:
        """Input integers, `height * width * channels`."""
        return self.geometry.n_in

    @property
    def n_out(self) -> int:
        """Output integers, `out_height * out_width * channels`."""
        return self.geometry.n_windows * self.geometry.channels


def first_tables(basis: Basis, n: int) -> Basis:
    """Return `basis` with its first `n` tables only (T >= n; never a Gram program, which has one)."""
    knots = basis.knots[: basis.knots.size // basis.n_tables * n]
    match basis:
        case BasisRom():
            rows = n * basis.n_codes
            return replace(basis, values=basis.values[:rows], start=basis.start[:rows], knots=knots, n_tables=n)
        case BSplineArith() | RbfArith():
            return replace(basis, position=basis.position[:n], knots=knots)
        case _:
            raise IRError("a Gram program has one table for all inputs; lower the model again")


def join_tables(bases: list[Basis]) -> Basis:
    """Return one unit with the tables of `bases`, which differ in nothing else, one after the other.

    Raises:
        IRError: if they differ in a scalar or a shared array.
    """
    first = bases[0]
    knots = np.concatenate([basis.knots for basis in bases])
    if isinstance(first, BasisRom):
        roms = [basis for basis in bases if isinstance(basis, BasisRom)]
        scalars = [(b.kind, b.n_basis, b.lsb, b.order, b.scale, b.n_codes, b.window) for b in roms]
        if len(roms) == len(bases) and len(set(scalars)) == 1:
            values, start = np.concatenate([b.values for b in roms]), np.concatenate([b.start for b in roms])
            return replace(first, values=values, start=start, knots=knots, n_tables=sum(b.n_tables for b in roms))
    if isinstance(first, BSplineArith | RbfArith):
        programs = [basis for basis in bases if isinstance(basis, BSplineArith | RbfArith)]
        if len(programs) == len(bases) and all(_same_program(first, b) for b in programs):
            return replace(first, position=np.concatenate([b.position for b in programs]), knots=knots)
    raise IRError("basis tables that differ in more than their entries cannot be joined; lower the model again")


def _same_program(a: BSplineArith | RbfArith, b: BSplineArith | RbfArith) -> bool:
    """Return whether two units differ in their positions at most."""
    if type(a) is not type(b) or a.facts() != b.facts():
        return False
    theirs = b.arrays()
    return all(name == "position" or np.array_equal(array, theirs[name]) for name, array in a.arrays().items())
