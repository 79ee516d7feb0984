"""What LLVM's text becomes: types with their memory layout, values, instructions, blocks, functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hwgen.openhls._errors import Refused

__all__ = [
    "POINTER",
    "VOID",
    "Block",
    "Constant",
    "Function",
    "Instruction",
    "LlvmType",
    "Local",
    "Operand",
    "address_steps",
    "integer",
    "signed",
]


@dataclass(frozen=True)
class LlvmType:
    """A type with a memory layout: `size` and `align` in bytes; `bits` of an integer, else 0.

    `kind` is `int`, `ptr`, `array` (of `count` times `inner[0]`), `struct` (of `inner`, at `offsets`) or `void`.
    """

    kind: str
    size: int
    align: int = 1
    bits: int = 0
    count: int = 0
    inner: tuple[LlvmType, ...] = ()
    offsets: tuple[int, ...] = ()


@dataclass(frozen=True)
class Local:
    """A value `%name`."""

    name: str


@dataclass(frozen=True)
class Constant:
    """An integer (unsigned bit pattern), an undefined value (0: any value will do), or an address in a global."""

    value: int
    symbol: str | None = None


Operand = Local | Constant


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        name: result, or None.
        opcode: as LLVM writes it.
        type: of the result; of the stored value for a store.
        operands: values, in LLVM's order; a branch's condition; a phi's incoming values.
        types: their types, where they matter (casts, address computations).
        labels: blocks: of a branch, of a switch (default first), or of a phi.
        text: predicate of a comparison, callee of a call.
        source_type: element type of an address computation, or of an alloca.
    """

    name: str | None
    opcode: str
    type: LlvmType
    operands: tuple[Operand, ...] = ()
    types: tuple[LlvmType, ...] = ()
    labels: tuple[str, ...] = ()
    text: str = ""
    source_type: LlvmType | None = None


@dataclass
class Block:
    """A basic block; its last instruction is the terminator."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)


@dataclass
class Function:
    """A function: parameters with their types, whether one holds the result (`sret`), and its blocks, entry first."""

    name: str
    result: LlvmType
    parameters: list[tuple[str, LlvmType]]
    sret: bool
    blocks: dict[str, Block]


VOID = LlvmType("void", 0)
POINTER = LlvmType("ptr", 8, 8, 64)


def integer(bits: int) -> LlvmType:
    """Return the type `i<bits>`, with x86-64's layout."""
    size = 1 << max(0, (-(-bits // 8) - 1).bit_length())
    return LlvmType("int", size, min(size, 16), bits)


def signed(value: int, bits: int) -> int:
    """Return the two's complement value of a bit pattern."""
    return value - (1 << bits) if bits and value >> (bits - 1) & 1 else value


def address_steps(
    source: LlvmType, indices: list[Operand], odd: Callable[[], Refused]
) -> list[tuple[int, Operand | None]]:
    """Return the terms of an address computation: (bytes, index to multiply with) or (bytes, None)."""
    steps: list[tuple[int, Operand | None]] = []
    current = source
    for position, index in enumerate(indices):
        if position == 0:
            size = -(-current.size // current.align) * current.align
            steps.append((size, index))
        elif current.kind == "array":
            current = current.inner[0]
            steps.append((current.size, index))
        elif current.kind == "struct" and isinstance(index, Constant):
            steps.append((current.offsets[index.value], None))
            current = current.inner[index.value]
        else:
            raise odd()
    return steps
