"""LLVM's text to Python objects: one function and the globals that it reads. No libraries, no guessing.

Only what optimised integer C++ contains is understood; every other line is refused. Flags (`nsw`, `exact` ...) are
dropped: they only say when a result is undefined, and every defined result is the same without them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from hwgen.openhls._errors import Refused

__all__ = [
    "Block",
    "Constant",
    "Function",
    "Instruction",
    "LlvmType",
    "Local",
    "Operand",
    "parse_function",
    "parse_type",
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
_INT = re.compile(r"i(\d+)")
_WORD = re.compile(r'[%@]"(?:[^"\\]|\\.)*"|[%@]?[-\w.$]+|\.\.\.|c"[^"]*"|[()\[\]{}<>,*=!#:|]|"[^"]*"')
_FLAGS = frozenset(
    [
        "nsw",
        "nuw",
        "exact",
        "inbounds",
        "nusw",
        "disjoint",
        "nneg",
        "samesign",
        "tail",
        "musttail",
        "notail",
        "fast",
        "nnan",
        "ninf",
        "nsz",
        "arcp",
        "contract",
        "afn",
        "reassoc",
        "inrange",
    ]
)
_BINARY = frozenset(["add", "sub", "mul", "udiv", "sdiv", "urem", "srem", "shl", "lshr", "ashr", "and", "or", "xor"])
_CASTS = frozenset(["zext", "sext", "trunc", "ptrtoint", "inttoptr", "bitcast"])
_TYPE_STARTS = frozenset(["ptr", "void", "[", "{", "<", "half", "float", "double"])
_FLOATS = frozenset(["half", "bfloat", "float", "double", "x86_fp80", "fp128"])


def integer(bits: int) -> LlvmType:
    """Return the type `i<bits>`, with x86-64's layout."""
    size = 1 << max(0, (-(-bits // 8) - 1).bit_length())
    return LlvmType("int", size, min(size, 16), bits)


def parse_type(text: str, named: dict[str, str], function: str) -> LlvmType:
    """Return the type that `text` writes; `named` has the module's named types.

    Raises:
        Refused: for floats, vectors and everything else that integer hardware does not hold.
    """
    tokens = _Tokens(_WORD.findall(text), named, function)
    return tokens.type()


class _Tokens:
    """A cursor over the tokens of a line."""

    def __init__(self, tokens: list[str], named: dict[str, str], function: str) -> None:
        self._tokens = tokens
        self._at = 0
        self._named = named
        self._function = function

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def next(self) -> str:
        word = self.peek()
        self._at += 1
        return word

    def accept(self, word: str) -> bool:
        if self.peek() != word:
            return False
        self._at += 1
        return True

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise self.odd()

    def odd(self) -> Refused:
        line = " ".join(self._tokens)[:120]
        return Refused(f"an LLVM instruction that is not understood ({line})", self._function, "write it with integers")

    def skip_flags(self) -> None:
        while self.peek() in _FLAGS:
            self._at += 1

    def skip_attributes_before_type(self) -> None:
        """Skip linkage, visibility, calling convention and result attributes."""
        while not (_INT.fullmatch(self.peek()) or self.peek() in _TYPE_STARTS or self.peek() in self._named):
            word = self.next()
            if self.peek() == "(":
                self.skip_group()
            elif not word:
                raise self.odd()

    def has_before_comma(self, wanted: str) -> bool:
        """Return whether `wanted` comes before the next comma outside parentheses; the cursor stays."""
        depth = 0
        for word in self._tokens[self._at :]:
            if depth == 0 and word in (",", ")"):
                return False
            if word == wanted:
                return True
            depth += (word == "(") - (word == ")")
        return False

    def skip_group(self) -> None:
        """Skip a parenthesised group, the opening parenthesis included."""
        depth = 0
        while True:
            word = self.next()
            depth += (word == "(") - (word == ")")
            if depth == 0 or not word:
                return

    def type(self) -> LlvmType:
        word = self.next()
        if match := _INT.fullmatch(word):
            return integer(int(match[1]))
        if word == "ptr":
            if self.accept("addrspace"):
                self.skip_group()
            return POINTER
        if word == "void":
            return VOID
        if word == "[":
            count = int(self.next())
            self.expect("x")
            inner = self.type()
            self.expect("]")
            return LlvmType("array", count * inner.size, inner.align, 0, count, (inner,))
        if word == "{":
            return self._struct("}", packed=False)
        if word == "<" and self.peek() == "{":
            self.next()
            result = self._struct("}", packed=True)
            self.expect(">")
            return result
        if word in self._named:
            return parse_type(self._named[word], self._named, self._function)
        if word in _FLOATS:
            raise Refused(f"floating point ({word})", self._function, "use ap_fixed, or compute tables beforehand")
        if word == "<":
            raise Refused("a vector type", self._function, "write the loop without vector intrinsics")
        raise self.odd()

    def _struct(self, end: str, *, packed: bool) -> LlvmType:
        inner: list[LlvmType] = []
        while not self.accept(end):
            inner.append(self.type())
            self.accept(",")
        offsets, at, align = [], 0, 1
        for t in inner:
            if not packed:
                at = -(-at // t.align) * t.align
                align = max(align, t.align)
            offsets.append(at)
            at += t.size
        return LlvmType("struct", -(-at // align) * align, align, 0, 0, tuple(inner), tuple(offsets))

    def value(self, t: LlvmType) -> Operand:
        word = self.next()
        if word.startswith("%"):
            return Local(_plain(word))
        if word.startswith("@"):
            return Constant(0, _plain(word))
        if word == "true":
            return Constant(1)
        if word in ("false", "null", "undef", "poison", "zeroinitializer"):
            return Constant(0)
        if re.fullmatch(r"-?\d+", word):
            return Constant(int(word) & ((1 << t.bits) - 1))
        if word == "getelementptr":
            return self._constant_address()
        raise self.odd()

    def typed(self) -> tuple[LlvmType, Operand]:
        t = self.type()
        self.skip_attributes()
        return t, self.value(t)

    def skip_attributes(self) -> None:
        """Skip parameter attributes: words, and words with a group."""
        while (word := self.peek()) and re.fullmatch(r"[a-z_]+", word) and word not in _VALUES:
            self.next()
            if word == "align" and self.peek() != "(":
                self.next()
            elif self.peek() == "(":
                self.skip_group()

    def _constant_address(self) -> Constant:
        self.skip_flags()
        if self.peek() == "inrange":
            self.next()
            self.skip_group()
        self.expect("(")
        source = self.type()
        self.expect(",")
        _, base = self.typed()
        indices: list[int] = []
        while self.accept(","):
            t, index = self.typed()
            if not isinstance(index, Constant) or index.symbol:
                raise self.odd()
            indices.append(signed(index.value, t.bits))
        self.expect(")")
        if not isinstance(base, Constant) or base.symbol is None:
            raise self.odd()
        offset = base.value
        for scale_or_offset, index_at in address_steps(source, [Constant(i) for i in indices], self.odd):
            assert index_at is None or isinstance(index_at, Constant)
            offset += scale_or_offset if index_at is None else scale_or_offset * index_at.value
        return Constant(offset, base.symbol)


_VALUES = frozenset(["true", "false", "null", "undef", "poison", "zeroinitializer", "getelementptr", "label"])


def _plain(word: str) -> str:
    name = word[1:]
    return name[1:-1] if name.startswith('"') else name


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


def _instruction(line: str, named: dict[str, str], function: str) -> Instruction | None:
    tokens = _Tokens(_WORD.findall(line), named, function)
    name = None
    if tokens.peek().startswith("%"):
        name = _plain(tokens.next())
        tokens.expect("=")
    tokens.skip_flags()
    opcode = tokens.next()
    tokens.skip_flags()
    if opcode in _BINARY:
        t, a = tokens.typed()
        tokens.expect(",")
        return Instruction(name, opcode, _integral(t, tokens), (a, tokens.value(t)))
    if opcode == "icmp":
        predicate = tokens.next()
        t, a = tokens.typed()
        tokens.expect(",")
        return Instruction(name, opcode, integer(1), (a, tokens.value(t)), (t,), text=predicate)
    if opcode == "select":
        _, c = tokens.typed()
        tokens.expect(",")
        t, a = tokens.typed()
        tokens.expect(",")
        _, b = tokens.typed()
        return Instruction(name, opcode, t, (c, a, b))
    if opcode in _CASTS:
        source, a = tokens.typed()
        tokens.expect("to")
        return Instruction(name, opcode, tokens.type(), (a,), (source,))
    if opcode == "freeze":
        t, a = tokens.typed()
        return Instruction(name, opcode, t, (a,))
    if opcode == "load":
        if tokens.peek() in ("volatile", "atomic"):
            raise Refused(f"a {tokens.peek()} load", function, "use plain variables")
        t = tokens.type()
        tokens.expect(",")
        _, address = tokens.typed()
        return Instruction(name, opcode, t, (address,))
    if opcode == "store":
        if tokens.peek() in ("volatile", "atomic"):
            raise Refused(f"a {tokens.peek()} store", function, "use plain variables")
        t, value = tokens.typed()
        tokens.expect(",")
        _, address = tokens.typed()
        return Instruction(None, opcode, t, (value, address))
    if opcode == "getelementptr":
        source = tokens.type()
        tokens.expect(",")
        _, base = tokens.typed()
        operands, types = [base], []
        while tokens.accept(","):
            if tokens.peek() == "!":
                break
            t, index = tokens.typed()
            operands.append(index)
            types.append(t)
        return Instruction(name, opcode, POINTER, tuple(operands), tuple(types), source_type=source)
    if opcode == "alloca":
        t = tokens.type()
        if tokens.accept(","):
            while tokens.peek() in ("align", "addrspace"):
                tokens.next()
                tokens.next()
                tokens.accept(",")
            if re.fullmatch(r"i\d+", tokens.peek()):
                raise Refused("an array whose length is not a constant", function, "give the array a constant length")
        return Instruction(name, opcode, POINTER, source_type=t)
    if opcode == "phi":
        t = tokens.type()
        values: list[Operand] = []
        labels: list[str] = []
        while tokens.accept("["):
            values.append(tokens.value(t))
            tokens.expect(",")
            labels.append(_plain(tokens.next()))
            tokens.expect("]")
            tokens.accept(",")
        return Instruction(name, opcode, t, tuple(values), labels=tuple(labels))
    return _control(tokens, name, opcode, function)


def _integral(t: LlvmType, tokens: _Tokens) -> LlvmType:
    if t.kind != "int":
        raise tokens.odd()
    return t


def _control(tokens: _Tokens, name: str | None, opcode: str, function: str) -> Instruction | None:
    if opcode == "br":
        if tokens.accept("label"):
            return Instruction(None, opcode, VOID, labels=(_plain(tokens.next()),))
        _, condition = tokens.typed()
        labels = []
        while tokens.accept(","):
            if not tokens.accept("label"):
                break
            labels.append(_plain(tokens.next()))
        return Instruction(None, opcode, VOID, (condition,), labels=tuple(labels))
    if opcode == "switch":
        t, value = tokens.typed()
        tokens.expect(",")
        tokens.expect("label")
        labels, cases = [_plain(tokens.next())], [value]
        tokens.expect("[")
        while not tokens.accept("]"):
            cases.append(tokens.typed()[1])
            tokens.expect(",")
            tokens.expect("label")
            labels.append(_plain(tokens.next()))
        return Instruction(None, opcode, VOID, tuple(cases), (t,), labels=tuple(labels))
    if opcode == "ret":
        if tokens.peek() == "void":
            return Instruction(None, opcode, VOID)
        t, value = tokens.typed()
        return Instruction(None, opcode, t, (value,))
    if opcode == "unreachable":
        return Instruction(None, opcode, VOID)
    if opcode == "call":
        tokens.skip_attributes_before_type()
        t = tokens.type()
        if tokens.peek() == "(":  # a variadic function's type
            tokens.skip_group()
        callee = tokens.next()
        if callee == "asm":
            raise Refused("inline assembler", function, "write it in C++")
        if not callee.startswith("@"):
            raise Refused("a call through a pointer", function, "call the function by its name")
        callee = _plain(callee)
        tokens.expect("(")
        operands, types = [], []
        if callee.startswith(("llvm.experimental.noalias", "llvm.dbg", "llvm.assume", "llvm.lifetime")):
            return None
        while not tokens.accept(")"):
            if tokens.peek() == "metadata":
                return None
            inner, value = tokens.typed()
            operands.append(value)
            types.append(inner)
            tokens.accept(",")
        return Instruction(name, opcode, t, tuple(operands), tuple(types), text=callee)
    if opcode == "extractvalue":
        t, value = tokens.typed()
        tokens.expect(",")
        index = int(tokens.next())
        return Instruction(name, opcode, t.inner[index], (value, Constant(index)))
    what = {
        "fadd": "floating point", "fsub": "floating point", "fmul": "floating point", "fdiv": "floating point",
        "fcmp": "floating point", "sitofp": "floating point", "uitofp": "floating point", "fptosi": "floating point",
        "fptoui": "floating point", "fpext": "floating point", "fptrunc": "floating point", "fneg": "floating point",
        "invoke": "an exception", "resume": "an exception", "landingpad": "an exception", "fence": "a memory fence",
        "cmpxchg": "an atomic operation", "atomicrmw": "an atomic operation", "indirectbr": "a computed goto",
    }.get(opcode, f"the LLVM instruction {opcode!r}")  # fmt: skip
    remedy = "use ap_fixed, or compute tables beforehand" if what == "floating point" else "write it without"
    raise Refused(what, function, remedy)


_DEFINE = re.compile(r'define [^\n]*?@("(?:[^"\\]|\\.)*"|[-\w.$]+)\(')


def parse_function(text: str, name: str, shown: str) -> Function:
    """Return the function `name` of the module `text` (LLVM IR, values named).

    Args:
        text: the module.
        name: mangled name of the function.
        shown: its name in messages.

    Raises:
        Refused: for an instruction outside the subset.
    """
    named = {
        match[1]: match[2] for match in re.finditer(r"^(%[-\w.$]+|%\"[^\"]*\") = type (.*)$", text, flags=re.MULTILINE)
    }
    start = next((m.start() for m in _DEFINE.finditer(text) if m[1].strip('"') == name), None)
    if start is None:
        raise Refused(f"the missing definition of {name}", shown, "define the function in the file that is compiled")
    end = text.index("\n}", start)
    head, _, body = text[start:end].partition("{\n")
    function = _head(head, name, named, shown)
    block: Block | None = None
    pending = ""
    for raw in body.splitlines():
        line = raw.split(" ; ")[0].rstrip() if " ; " in raw else raw.rstrip()
        if pending or line.lstrip().startswith("switch "):
            pending += line + " "
            if "]" not in line:
                continue
            line, pending = pending, ""
        if not line.strip() or line.lstrip().startswith(("#dbg", ";")):
            continue
        if not line.startswith(" "):
            label = line.split(":")[0].strip().strip('"')
            block = function.blocks[label] = Block(label)
            continue
        if block is None:
            block = function.blocks["entry"] = Block("entry")
        instruction = _instruction(line, named, shown)
        if instruction is not None:
            block.instructions.append(instruction)
    return function


def _head(head: str, name: str, named: dict[str, str], shown: str) -> Function:
    tokens = _Tokens(_WORD.findall(head), named, shown)
    tokens.expect("define")
    tokens.skip_attributes_before_type()
    result = tokens.type()
    tokens.next()  # the name
    tokens.expect("(")
    parameters: list[tuple[str, LlvmType]] = []
    sret = False
    while not tokens.accept(")"):
        if tokens.accept("..."):
            raise Refused("a variable number of arguments", shown, "give the function fixed arguments")
        t = tokens.type()
        sret |= tokens.has_before_comma("sret")
        tokens.skip_attributes()
        parameters.append((_plain(tokens.next()), t))
        tokens.accept(",")
    return Function(name, result, parameters, sret, {})
