"""Calls that are left after inlining: LLVM's integer intrinsics have hardware, everything else is refused by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hwgen.openhls._llvm import Instruction
from hwgen.openhls._memory import Address

if TYPE_CHECKING:
    from hwgen.openhls._ifconvert import Region

__all__ = ["call"]

_ORDER = {"smax": "sgt", "smin": "slt", "umax": "ugt", "umin": "ult"}
#: What a call of a library function means to the author of the C++, and what to do.
_LIBRARY = (
    (r"_Zn[wa]|malloc|calloc|realloc|_Zd[la]|free$", "memory from the heap", "use arrays of constant length"),
    (r"__cxa_guard|__cxa_atexit|__tls", "a static variable that is initialised at the first call", "make it constexpr or a constant at file scope"),
    (r"__cxa_|_Unwind|__clang_call_terminate|_ZSt9terminate", "an exception", "return a value instead"),
    (r"printf|puts|putchar|fwrite|_ZNSt.*(ostream|basic_ios|char_traits)|_ZSt4endl|fopen|getc|scanf", "input or output of a program", "put it between #ifndef __SYNTHESIS__ and #endif"),
    (r"abort$|exit$|__assert|llvm\.trap|llvm\.debugtrap|llvm\.ubsantrap", "an assertion or abort", "put it between #ifndef __SYNTHESIS__ and #endif"),
    (r"rand|time$|clock", "a random number or the time", "pass it as an input"),
    (r"(sin|cos|tan|exp|log|pow|sqrt|tanh|floor|ceil|round|fabs|fma)[fl]?2?$|llvm\.(sqrt|exp|log|sin|cos|pow|fma|floor|ceil|fabs|round|rint)", "floating point", "use ap_fixed, or compute tables beforehand"),
    (r"_ZN3hls6stream|_ZNSt.*(deque|queue)", "an hls::stream", "pass arrays; a rolled loop becomes a stream by itself"),
    (r"_ZNSt|_ZSt", "a container or algorithm of the standard library that needs the heap", "use arrays of constant length"),
)  # fmt: skip


def call(region: Region, instruction: Instruction) -> None:
    """Evaluate a call.

    Raises:
        Refused: if it has no hardware.
    """
    name, width = instruction.text, instruction.type.bits
    b = region.builder
    if not name.startswith("llvm."):
        raise _refused(region, name)
    kind = name.split(".")[1]
    if kind in ("memcpy", "memmove", "memset"):
        _memory(region, instruction, kind)
        return
    if instruction.name is None or kind in ("invariant", "sideeffect", "donothing"):
        if name.startswith(("llvm.trap", "llvm.debugtrap", "llvm.ubsantrap")):
            raise _refused(region, name)
        return
    if instruction.type.kind != "int":
        if kind in ("ptrmask", "launder", "threadlocal", "stacksave"):
            raise _refused(region, name)
        if name.endswith(("with.overflow.i32", "with.overflow.i64")):
            raise region.machine.refused("a check for overflow", "use a wider type")
        raise _refused(region, name)
    args = [region.integer(o, t.bits) for o, t in zip(instruction.operands, instruction.types, strict=True)]
    if kind in _ORDER:
        result = b.select(b.compare(_ORDER[kind], args[0], args[1]), args[0], args[1])
    elif kind == "abs":
        zero = b.constant(0, width)
        result = b.select(b.compare("slt", args[0], zero), b.op("sub", width, zero, args[0]), args[0])
    elif kind in ("sadd", "ssub", "uadd", "usub") and ".sat." in name:
        result = _saturated(region, kind, args, width)
    elif kind in ("fshl", "fshr"):
        result = _funnel(region, kind, args, width)
    elif kind in ("ctpop", "ctlz", "cttz", "bswap", "bitreverse"):
        result = _bits(region, kind, args[0], width)
    elif kind in ("expect", "ssa"):
        result = args[0]
    elif kind in ("scmp", "ucmp"):
        below = b.compare(f"{kind[0]}lt", args[0], args[1])
        above = b.compare(f"{kind[0]}gt", args[0], args[1])
        result = b.select(below, b.constant(-1, width), b.op("zext", width, above))
    else:
        raise _refused(region, name)
    region.values[instruction.name] = result


def _refused(region: Region, name: str) -> Exception:
    for pattern, construct, remedy in _LIBRARY:
        if re.search(pattern, name):
            return region.machine.refused(construct, remedy)
    if name == region.function.name:
        return region.machine.refused("a function that calls itself", "write it as a loop with a constant trip count")
    if name.startswith("llvm."):
        return region.machine.refused(f"the LLVM operation {name!r}", "write it with + - * << >> & | ^ and comparisons")
    return region.machine.refused(
        f"a call of {name[:80]!r}, which is not defined here or calls itself",
        "define it in the file or a header, without recursion",
    )


def _saturated(region: Region, kind: str, args: list[int], width: int) -> int:
    """Saturating addition or subtraction, in one more bit."""
    b, is_signed = region.builder, kind[0] == "s"
    wide = width + 2
    x, y = (b.resize(a, wide, is_signed=is_signed) for a in args)
    total = b.op("add" if kind.endswith("add") else "sub", wide, x, y)
    low = b.constant(-(1 << (width - 1)) if is_signed else 0, wide)
    high = b.constant((1 << (width - int(is_signed))) - 1, wide)
    total = b.select(b.compare("slt", total, low), low, total)
    total = b.select(b.compare("sgt", total, high), high, total)
    return b.op("trunc", width, total)


def _funnel(region: Region, kind: str, args: list[int], width: int) -> int:
    """Funnel shift by a constant: the high (fshl) or low (fshr) bits of a pair, shifted."""
    b = region.builder
    amount = b.value(args[2])
    if amount is None:
        raise region.machine.refused("a rotation by a variable", "write it with shifts and a mask")
    amount %= width
    left = amount if kind == "fshl" else width - amount
    if left in (0, width):
        return args[0] if kind == "fshl" else args[1]
    high = b.op("shl", width, args[0], b.constant(left, width))
    low = b.op("lshr", width, args[1], b.constant(width - left, width))
    return b.op("or", width, high, low)


def _bits(region: Region, kind: str, a: int, width: int) -> int:
    """Counts and permutations of bits, bit by bit."""
    b = region.builder

    def bit(k: int) -> int:
        return b.op("trunc", 1, b.op("lshr", width, a, b.constant(k, width)))

    if kind in ("bswap", "bitreverse"):
        unit = 8 if kind == "bswap" else 1
        result = b.constant(0, width)
        for k in range(width // unit):
            piece = b.op("trunc", unit, b.op("lshr", width, a, b.constant(unit * k, width)))
            place = b.constant(width - unit * (k + 1), width)
            result = b.op("or", width, result, b.op("shl", width, b.op("zext", width, piece), place))
        return result
    if kind == "ctpop":
        result = b.constant(0, width)
        for k in range(width):
            result = b.op("add", width, result, b.op("zext", width, bit(k)))
        return result
    order = range(width) if kind == "ctlz" else range(width - 1, -1, -1)  # the last one that is set decides
    result = b.constant(width, width)
    for k in order:
        result = b.select(bit(k), b.constant(width - 1 - k if kind == "ctlz" else k, width), result)
    return result


def _memory(region: Region, instruction: Instruction, kind: str) -> None:
    b, machine = region.builder, region.machine
    to = region.address(instruction.operands[0])
    length = b.value(region.integer(instruction.operands[2], instruction.types[2].bits))
    if length is None or not isinstance(to, Address) or to.offset.terms:
        raise machine.refused("a block copy of variable length or place", "copy element by element in a loop")
    if kind == "memset":
        value = region.integer(instruction.operands[1], 8)
        for k in range(length):
            machine.store(Address(to.target, to.offset.plus_constant(k)), value)
        return
    source = region.address(instruction.operands[1])
    if not isinstance(source, Address) or source.offset.terms:
        raise machine.refused("a block copy from a variable place", "copy element by element in a loop")
    pieces = list(machine.cells(source.target, source.offset.constant, length))
    for offset, number in pieces:
        machine.store(Address(to.target, to.offset.plus_constant(offset)), number)
