"""LLVM's text to Python objects: one function and the globals that it reads. No libraries, no guessing.

Only what optimised integer C++ contains is understood; every other line is refused. Flags (`nsw`, `exact` ...) are
dropped: they only say when a result is undefined, and every defined result is the same without them.
"""

from __future__ import annotations

import re

from hwgen.openhls._errors import Refused
from hwgen.openhls._llvm_model import (
    POINTER,
    VOID,
    Block,
    Constant,
    Function,
    Instruction,
    LlvmType,
    Local,
    Operand,
    address_steps,
    integer,
    signed,
)
from hwgen.openhls._llvm_tokens import Tokens, parse_type, plain, split

__all__ = [
    "Block",
    "Constant",
    "Function",
    "Instruction",
    "LlvmType",
    "Local",
    "Operand",
    "address_steps",
    "parse_function",
    "parse_type",
    "signed",
]

_BINARY = frozenset(["add", "sub", "mul", "udiv", "sdiv", "urem", "srem", "shl", "lshr", "ashr", "and", "or", "xor"])
_CASTS = frozenset(["zext", "sext", "trunc", "ptrtoint", "inttoptr", "bitcast"])


def _instruction(line: str, named: dict[str, str], function: str) -> Instruction | None:
    tokens = Tokens(split(line), named, function)
    name = None
    if tokens.peek().startswith("%"):
        name = plain(tokens.next())
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
            labels.append(plain(tokens.next()))
            tokens.expect("]")
            tokens.accept(",")
        return Instruction(name, opcode, t, tuple(values), labels=tuple(labels))
    return _control(tokens, name, opcode, function)


def _integral(t: LlvmType, tokens: Tokens) -> LlvmType:
    if t.kind != "int":
        raise tokens.odd()
    return t


def _control(tokens: Tokens, name: str | None, opcode: str, function: str) -> Instruction | None:
    if opcode == "br":
        if tokens.accept("label"):
            return Instruction(None, opcode, VOID, labels=(plain(tokens.next()),))
        _, condition = tokens.typed()
        labels = []
        while tokens.accept(","):
            if not tokens.accept("label"):
                break
            labels.append(plain(tokens.next()))
        return Instruction(None, opcode, VOID, (condition,), labels=tuple(labels))
    if opcode == "switch":
        t, value = tokens.typed()
        tokens.expect(",")
        tokens.expect("label")
        labels, cases = [plain(tokens.next())], [value]
        tokens.expect("[")
        while not tokens.accept("]"):
            cases.append(tokens.typed()[1])
            tokens.expect(",")
            tokens.expect("label")
            labels.append(plain(tokens.next()))
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
        callee = plain(callee)
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
    tokens = Tokens(split(head), named, shown)
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
        parameters.append((plain(tokens.next()), t))
        tokens.accept(",")
    return Function(name, result, parameters, sret, {})
