"""The tokens of a line of LLVM's text: types, values and addresses are read here."""

from __future__ import annotations

import re

from hwgen.openhls._errors import Refused
from hwgen.openhls._llvm_model import POINTER, VOID, Constant, LlvmType, Local, Operand, address_steps, integer, signed

__all__ = ["Tokens", "parse_type", "plain", "split"]

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
_TYPE_STARTS = frozenset(["ptr", "void", "[", "{", "<", "half", "float", "double"])
_FLOATS = frozenset(["half", "bfloat", "float", "double", "x86_fp80", "fp128"])
_VALUES = frozenset(["true", "false", "null", "undef", "poison", "zeroinitializer", "getelementptr", "label"])


def split(line: str) -> list[str]:
    """Return the tokens of a line."""
    return _WORD.findall(line)


def parse_type(text: str, named: dict[str, str], function: str) -> LlvmType:
    """Return the type that `text` writes; `named` has the module's named types.

    Raises:
        Refused: for floats, vectors and everything else that integer hardware does not hold.
    """
    tokens = Tokens(split(text), named, function)
    return tokens.type()


class Tokens:
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
            return Local(plain(word))
        if word.startswith("@"):
            return Constant(0, plain(word))
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


def plain(word: str) -> str:
    """Return the name that `%word` or `@word` stands for, without quotes."""
    name = word[1:]
    return name[1:-1] if name.startswith('"') else name
