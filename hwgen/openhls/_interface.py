"""The interface of a kernel: its ports, as C++ passes them and as hardware has them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from hwgen.openhls._errors import Refused

__all__ = ["MAX_ELEMENTS", "MAX_PORT_BITS", "Direction", "Interface", "Port"]

#: As in `signals.json`.
MAX_PORT_BITS = 62
MAX_ELEMENTS = 1 << 16


class Direction(StrEnum):
    """Which way a port goes; UNKNOWN until the code shows it."""

    IN = "in"
    OUT = "out"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Port:
    """One parameter, or the result, of a kernel.

    Attributes:
        name: a plain identifier.
        count: elements; 0 while unknown.
        width: bits of an element.
        integer: bits before the binary point (`width` of an integer): for people, the hardware is integer.
        signed: two's complement or not.
        stride: bytes from an element to the next in memory.
        direction: which way it goes.
        scalar: passed by value or returned as a native integer, not in memory.
    """

    name: str
    count: int
    width: int
    integer: int
    signed: bool
    stride: int
    direction: Direction
    scalar: bool = False

    @property
    def low(self) -> int:
        """Smallest integer of an element."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest integer of an element."""
        return (1 << (self.width - int(self.signed))) - 1

    @property
    def bits(self) -> int:
        """Bits of an element in memory."""
        return 8 * self.stride


@dataclass(frozen=True)
class Interface:
    """A kernel's parameters in order, the returned value first if there is one.

    Attributes:
        top: name of the function, as written in C++.
        ports: see :class:`Port`.
        result: the first port is the function's result.
    """

    top: str
    ports: tuple[Port, ...]
    result: bool = False

    def directed(self, outputs: frozenset[str]) -> Interface:
        """Return the interface with every unknown direction decided: `outputs` are written, all others read."""
        ports = tuple(
            p
            if p.direction is not Direction.UNKNOWN
            else replace(p, direction=Direction.OUT if p.name in outputs else Direction.IN)
            for p in self.ports
        )
        return replace(self, ports=ports)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The ports that are read."""
        return tuple(p for p in self.ports if p.direction is Direction.IN)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The ports that are written."""
        return tuple(p for p in self.ports if p.direction is Direction.OUT)

    def check(self) -> None:
        """Check that hardware can have these ports.

        Raises:
            Refused: if a port is too wide or too long, or nothing goes in or comes out.
        """
        for port in self.ports:
            if not 1 <= port.width <= MAX_PORT_BITS:
                raise Refused(
                    f"the port {port.name!r} of {port.width} bits", self.top, f"use ports of 1 to {MAX_PORT_BITS} bits"
                )
            if not 1 <= port.count <= MAX_ELEMENTS:
                raise Refused(
                    f"the port {port.name!r} of {port.count} elements",
                    self.top,
                    f"give its length (1 to {MAX_ELEMENTS}) in the signature, as in x[8], or in the interface file",
                )
        if not self.inputs:
            raise Refused("a function without inputs", self.top, "pass at least one input")
        if not self.outputs:
            raise Refused("a function without outputs", self.top, "write at least one output array")
