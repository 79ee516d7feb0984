"""Random straight-line programs: C++ on ap_int / ap_fixed, and LLVM functions, many of them in one kernel."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["INPUTS", "OUTPUT_BITS", "cpp_kernel", "llvm_kernel"]

#: Every kernel reads `ap_int<16> x[INPUTS]` and writes one `ap_int<OUTPUT_BITS>` per program.
INPUTS = 8
OUTPUT_BITS = 48
_ROUNDING = ("AP_TRN", "AP_TRN_ZERO", "AP_RND", "AP_RND_ZERO", "AP_RND_INF", "AP_RND_MIN_INF", "AP_RND_CONV")
_OVERFLOW = ("AP_WRAP", "AP_SAT", "AP_SAT_ZERO", "AP_SAT_SYM")


@dataclass(frozen=True)
class _Variable:
    """A variable of a program: its name, and whether it is an ap_int / ap_uint (else ap_fixed / ap_ufixed)."""

    name: str
    width: int
    integral: bool


def _type(rng: random.Random) -> tuple[str, int, bool]:
    width = rng.randint(2, 20)
    if rng.random() < 0.4:
        return f"ap_{rng.choice(('', 'u'))}int<{width}>", width, True
    # The binary point lies within the bits: beyond them ap_types reads bits that are not there, and asserts.
    integer = rng.randint(max(1, width - 10), min(width, 12))
    sign = rng.choice(("", "u"))
    return f"ap_{sign}fixed<{width}, {integer}, {rng.choice(_ROUNDING)}, {rng.choice(_OVERFLOW)}>", width, False


def _expression(rng: random.Random, variables: list[_Variable]) -> str:
    a, b, c = (rng.choice(variables) for _ in range(3))
    kind = rng.randrange(10)
    if kind < 3:
        return f"{a.name} {rng.choice('+-*')} {b.name}"
    if kind == 3:
        return f"-{a.name}"
    if kind == 4:
        return f"{a.name} {rng.choice(('<<', '>>'))} {rng.randint(0, 6)}"
    if kind == 5:
        amount = f"(int)ap_uint<{rng.randint(1, 3)}>(x[{rng.randrange(INPUTS)}])"
        return f"{a.name} {rng.choice(('<<', '>>'))} {amount}"
    if kind == 6 and a.integral and b.integral:
        return f"{a.name} {rng.choice('&|^')} {b.name}"
    if kind == 7:
        low = rng.randint(0, a.width - 1)
        high = rng.randint(low, a.width - 1)
        return f"ap_int<{high - low + 2}>(ap_uint<{high - low + 1}>({a.name}.range({high}, {low})))"
    if kind == 8 and c.integral:
        return f"ap_int<20>({a.name}) * (int)TABLE[(unsigned)ap_uint<4>({c.name})]"
    return f"({a.name} {rng.choice(('<', '>', '<=', '>=', '==', '!='))} {b.name}) ? ap_fixed<30, 15>({c.name}) : ap_fixed<30, 15>({a.name})"


def _program(rng: random.Random, number: int, pool: list[tuple[str, int, bool]]) -> str:
    variables: list[_Variable] = []
    lines = [f"static void p{number}(const ap_int<16> x[{INPUTS}], ap_int<{OUTPUT_BITS}> &y) {{"]
    for k in range(rng.randint(2, 3)):
        kind, width, integral = rng.choice(pool)
        part = min(width, 16)
        lines.append(f"  {kind} a{k} = 0; a{k}.range({part - 1}, 0) = x[{rng.randrange(INPUTS)}].range({part - 1}, 0);")
        variables.append(_Variable(f"a{k}", width, integral))
    for k in range(rng.randint(2, 5)):
        kind, width, integral = rng.choice(pool)
        name = f"v{k}"
        if rng.random() < 0.2:
            condition = f"{rng.choice(variables).name} > {rng.choice(variables).name}"
            lines.append(f"  {kind} {name} = {_expression(rng, variables)};")
            lines.append(f"  if ({condition}) {name} = {_expression(rng, variables)};")
        else:
            lines.append(f"  {kind} {name} = {_expression(rng, variables)};")
        variables.append(_Variable(name, width, integral))
    lines.append(f"  y = 0; y.range({OUTPUT_BITS - 1}, 0) = 0;")
    position = 0
    for variable in variables[::-1]:
        if position + variable.width > OUTPUT_BITS:
            break
        top = position + variable.width - 1
        lines.append(f"  y.range({top}, {position}) = {variable.name}.range({variable.width - 1}, 0);")
        position += variable.width
    return "\n".join([*lines, "}"])


def cpp_kernel(seed: int, programs: int, types: int = 8) -> str:
    """Return a C++ file whose function `top` runs that many random programs, each for one output.

    They share `types` types: a compiler spends nearly all its time on the templates of pairs of types.
    """
    rng = random.Random(seed)
    table = ", ".join(str(rng.randint(-100, 100)) for _ in range(16))
    pool = [_type(rng) for _ in range(types)]
    bodies = [_program(rng, k, pool) for k in range(programs)]
    calls = "\n".join(f"  p{k}(x, y[{k}]);" for k in range(programs))
    return (
        f'#include "ap_fixed.h"\n#include "ap_int.h"\nstatic const signed char TABLE[16] = {{{table}}};\n'
        + "\n".join(bodies)
        + f"\nvoid top(const ap_int<16> x[{INPUTS}], ap_int<{OUTPUT_BITS}> y[{programs}]) {{\n{calls}\n}}\n"
    )


_WIDTHS = (1, 3, 5, 8, 13, 16, 24, 32, 33, 48, 64)
_BINARY = ("add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr", "udiv", "sdiv", "urem", "srem")
_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_INTRINSICS = ("smax", "smin", "umax", "umin", "abs", "sadd.sat", "ssub.sat", "uadd.sat", "usub.sat", "ctpop", "fshl")


class _Function:
    """One random LLVM program under construction: values by width."""

    def __init__(self, rng: random.Random, number: int) -> None:
        self.rng = rng
        self.number = number
        self.values: list[tuple[str, int]] = []
        self.lines: list[str] = []
        self.declared: set[str] = set()
        for k in range(3):
            index = rng.randrange(INPUTS)
            self.emit(16, f"load i16, ptr %x{index}")
            del k

    def emit(self, width: int, text: str) -> str:
        name = f"%p{self.number}_{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        self.values.append((name, width))
        return name

    def pick(self, width: int) -> str:
        """Return a value of that width, made by a cast if need be, or a constant."""
        if self.rng.random() < 0.25:
            return (
                str(self.rng.choice((0, 1, -1, self.rng.randint(-(1 << (width - 1)), (1 << (width - 1)) - 1))))
                if width > 1
                else self.rng.choice(("true", "false"))
            )
        name, old = self.rng.choice(self.values[-12:])
        if old == width:
            return name
        kind = "trunc" if old > width else self.rng.choice(("zext", "sext"))
        return self.emit(width, f"{kind} i{old} {name} to i{width}")

    def step(self) -> None:
        rng, width = self.rng, self.rng.choice(_WIDTHS)
        kind = rng.randrange(10)
        if kind < 6:
            op = rng.choice(_BINARY)
            a = self.pick(width)
            if op in ("shl", "lshr", "ashr"):
                if width < 2:
                    return
                if rng.random() < 0.6:
                    b = str(rng.randrange(width))
                else:  # a masked amount: shifts by the width or more are undefined
                    mask = (1 << ((width - 1).bit_length() - 1)) - 1
                    b = self.emit(width, f"and i{width} {self.pick(width)}, {mask}")
            elif "div" in op or "rem" in op:
                if width < 4:
                    return
                b = str(rng.choice((2, 3, 4, 5, 7)))
            else:
                b = self.pick(width)
            self.emit(width, f"{op} i{width} {a}, {b}")
        elif kind == 6:
            self.emit(1, f"icmp {rng.choice(_PREDICATES)} i{width} {self.pick(width)}, {self.pick(width)}")
        elif kind == 7:
            condition = self.pick(1)
            self.emit(width, f"select i1 {condition}, i{width} {self.pick(width)}, i{width} {self.pick(width)}")
        elif kind == 8:
            self._call(rng.choice((8, 16, 32, 64)))
        else:
            index = self.emit(64, f"zext i4 {self.pick(4)} to i64")
            address = f"%q{self.number}_{len(self.lines)}"
            self.lines.append(f"  {address} = getelementptr i8, ptr @T, i64 {index}")
            self.emit(8, f"load i8, ptr {address}")

    def _call(self, width: int) -> None:
        name = self.rng.choice(_INTRINSICS)
        t = f"i{width}"
        arguments = [f"{t} {self.pick(width)}"]
        if name == "abs":
            arguments.append("i1 false")
        elif name == "fshl":
            arguments += [f"{t} {self.pick(width)}", f"{t} {self.rng.randrange(width)}"]
        elif name != "ctpop":
            arguments.append(f"{t} {self.pick(width)}")
        kinds = ", ".join(argument.split()[0] for argument in arguments)
        self.declared.add(f"declare {t} @llvm.{name}.{t}({kinds})")
        self.emit(width, f"call {t} @llvm.{name}.{t}({', '.join(arguments)})")


def llvm_kernel(seed: int, programs: int, steps: int) -> str:
    """Return an LLVM module whose function `top(ptr x, ptr y)` runs random programs, the result of each one an `i64`."""
    rng = random.Random(seed)
    body = ["define void @top(ptr %x, ptr %y) {", "entry:"]
    body += [f"  %x{k} = getelementptr i16, ptr %x, i64 {k}" for k in range(INPUTS)]
    declared: set[str] = set()
    for number in range(programs):
        function = _Function(rng, number)
        for _ in range(steps):
            function.step()
        total = "0"
        for name, width in function.values[-6:]:
            wide = name if width == 64 else f"%w{number}_{name[1:]}"
            if width != 64:
                function.lines.append(f"  {wide} = sext i{width} {name} to i64")
            rotated = f"%r{number}_{name[1:]}"
            function.lines.append(f"  {rotated} = mul i64 {total}, 5")
            total = f"%t{number}_{name[1:]}"
            function.lines.append(f"  {total} = add i64 {rotated}, {wide}")
        function.lines.append(f"  %y{number} = getelementptr i64, ptr %y, i64 {number}")
        function.lines.append(f"  store i64 {total}, ptr %y{number}")
        body += function.lines
        declared |= function.declared
    content = ", ".join(f"i8 {rng.randint(-128, 127)}" for _ in range(16))
    return "\n".join([f"@T = constant [16 x i8] [{content}]", *sorted(declared), *body, "  ret void", "}", ""])
