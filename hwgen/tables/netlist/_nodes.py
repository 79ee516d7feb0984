"""The nodes of a layer's circuit: what the Verilog says, as data.

Every node drives one wire, an integer of exact width. A wire that can be negative is in two's complement. Nodes are in
topological order; a node that is `registered` holds its value one clock cycle later than its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.tables._coders import Index
from pymodel.errors import Kan4mlError
from pymodel.ir import AffineCoder, FixedPoint, IntArray, Interval, signed_width, unsigned_width

__all__ = [
    "Adder", "Clip", "Code", "LayerNetlist", "NetNode", "NetlistError", "Operand", "Output", "Register", "Shift",
    "Slice", "Table", "Wire", "bits",
]  # fmt: skip


class NetlistError(Kan4mlError):
    """A circuit contradicts itself: unknown wires, integers outside their wire, delays that do not match."""


def bits(interval: Interval) -> int:
    """Return the width of a vector that holds `interval`: two's complement only if it contains negative numbers."""
    low, high = interval.low, interval.high
    return signed_width(low, high) if low < 0 else unsigned_width(high)


@dataclass(frozen=True)
class Wire:
    """A vector: its Verilog name, and the integers that it can have."""

    name: str
    interval: Interval

    @property
    def width(self) -> int:
        """Bits of the vector."""
        return bits(self.interval)

    @property
    def signed(self) -> bool:
        """True if it is in two's complement."""
        return self.interval.low < 0


@dataclass(frozen=True)
class Slice:
    """`width` bits of a wire, from bit `low` on."""

    source: str
    low: int
    width: int


@dataclass(frozen=True, eq=False)
class Code:
    """The index of one input: the upper bits of input `index.feature`, or its code (:class:`CoderForm`)."""

    wire: Wire
    index: Index
    registered: bool


@dataclass(frozen=True)
class Register:
    """The source, one cycle later."""

    wire: Wire
    source: str


@dataclass(frozen=True, eq=False)
class Table:
    """`entries[selector]`; the first slice is in the low bits of the selector.

    Attributes:
        notes: what the table stands for, one line each.
    """

    wire: Wire
    selector: tuple[Slice, ...]
    entries: IntArray
    notes: tuple[str, ...] = ()

    @property
    def select_width(self) -> int:
        """Bits of the selector."""
        return sum(piece.width for piece in self.selector)


@dataclass(frozen=True)
class Operand:
    """The integer `wire * 2^zeros`."""

    wire: str
    zeros: int


@dataclass(frozen=True)
class Adder:
    """The sum of two or three operands, plus a carry-in.

    Attributes:
        carry: a wire of one bit that is added, too, or None; only if `fused`.
        fused: the sum of two operands is written as a subtraction, `(2*a - ~(2*b + carry)) >> 1 = a + b + carry`, of which
            synthesis keeps the order: the first operand drives the carry chain, and the second one, a table, goes into
            the LUTs of the adder.
        registered: the sum is held by a register.
    """

    wire: Wire
    operands: tuple[Operand, ...]
    carry: str | None = None
    fused: bool = False
    registered: bool = True


@dataclass(frozen=True)
class Shift:
    """`(source * 2^zeros) >> shift`, rounded down."""

    wire: Wire
    source: str
    zeros: int
    shift: int


@dataclass(frozen=True)
class Clip:
    """`min(max(source, low), high)`, registered."""

    wire: Wire
    source: str
    low: int
    high: int


@dataclass(frozen=True)
class Output:
    """An output of the layer: a wire (registered), or a constant.

    Attributes:
        interval: the integers that it can have.
    """

    wire: str | None
    interval: Interval


NetNode = Code | Register | Table | Adder | Shift | Clip


@dataclass(frozen=True, eq=False)
class LayerNetlist:
    """The circuit of one layer.

    Attributes:
        name: of the IR node.
        n_in, in_type: its inputs.
        out_type: type of its outputs.
        coder: of the IR node, for :class:`Code`.
        nodes: in topological order.
        outputs: one per output.
        latency: cycles from the input integers to the output integers, both registered.
        header: comment lines.
    """

    name: str
    n_in: int
    in_type: FixedPoint
    out_type: FixedPoint
    coder: AffineCoder
    nodes: tuple[NetNode, ...]
    outputs: tuple[Output, ...]
    latency: int
    header: tuple[str, ...] = ()

    @property
    def register_bits(self) -> int:
        """Bits of all registers."""
        return sum(
            node.wire.width
            for node in self.nodes
            if isinstance(node, Register | Clip) or (isinstance(node, Adder | Code) and node.registered)
        )
