"""Changes of single Verilog tokens, to check the checker: whatever they change must be refused.

Every kind of token is changed as often as every other, however rare it is in the text: values and sizes of constants,
indices, operators, names, keywords; and tokens are dropped and doubled.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hwgen.prove._source import Token, tokens

__all__ = ["Mutant", "mutants"]

_OPERATORS: dict[str, tuple[str, ...]] = {
    "+": ("-", "|", "^", "&"),
    "-": ("+", "^"),
    "*": ("+", "-"),
    "&": ("|", "^", "+"),
    "|": ("&", "^", "+"),
    "^": ("|", "&"),
    "~": ("-", "!", "+"),
    "<=": ("=", ">="),
    "=": ("<=",),
    ">": ("<", ">=", "=="),
    "<": (">", "<=", "=="),
    "?": (":",),
    ":": ("?", ","),
    ",": (";", "+"),
    ";": (",",),
    "@": ("",),
    "(": ("[", "{"),
    ")": ("]", "}"),
    "[": ("(",),
    "]": (")",),
    "{": ("(",),
    "}": (")",),
}
_KEYWORDS: dict[str, tuple[str, ...]] = {
    "posedge": ("negedge", ""),
    "wire": ("reg",),
    "reg": ("wire",),
    "input": ("output", "inout"),
    "output": ("input", "inout"),
    "assign": ("always", ""),
    "case": ("casez", "casex"),
    "default": ("1", "0"),
    "begin": ("",),
    "end": ("",),
    "endcase": ("end",),
    "module": ("",),
    "endmodule": ("",),
    "always": ("initial", "assign"),
    "function": ("",),
    "endfunction": ("",),
}


@dataclass(frozen=True)
class Mutant:
    """A file with one token changed.

    Attributes:
        file: its name.
        line: line of the token.
        kind: what was changed.
        before, after: the token, and what stands in its place.
        text: the whole file.
    """

    file: str
    line: int
    kind: str
    before: str
    after: str
    text: str


def _number(text: str, rng: random.Random) -> str:
    """Change one digit of the value of a constant."""
    size, mark, value = re.fullmatch(r"(\d*)('[sS]?[bodhBODH])?(.*)", text).groups("")  # type: ignore[union-attr]
    if not mark:
        size, value = "", size
    digits = {"b": "01", "o": "01234567", "d": "0123456789", "h": "0123456789abcdef"}[mark[-1:].lower() or "d"]
    place = rng.randrange(len(value))
    return size + mark + value[:place] + rng.choice([d for d in digits if d != value[place]]) + value[place + 1 :]


def _size(text: str, rng: random.Random) -> str:
    """Change the size of a sized constant."""
    size, mark, value = text.partition("'")
    return f"{max(1, int(size) + rng.choice((-1, 1, 2)))}{mark}{value}"


def _candidates(text: str, file: str) -> Iterator[tuple[str, Token]]:
    depth = 0
    directive = False
    for token in tokens(text, file):
        if token.kind in ("comment", "space", "string"):
            continue
        depth += {"[": 1, "]": -1}.get(token.text, 0)
        if directive or token.kind == "directive":
            directive = token.kind == "directive"
            continue
        if token.kind == "number":
            yield ("index" if depth else "value"), token
            if "'" in token.text[1:]:
                yield "size", token
        elif token.kind == "operator":
            yield (
                (
                    "assignment"
                    if token.text in ("<=", "=")
                    else "punctuation"
                    if token.text in ",;:()[]{}"
                    else "operator"
                ),
                token,
            )
        elif token.kind == "name":
            yield ("keyword" if token.text in _KEYWORDS else "name"), token
        yield "dropped", token
        yield "doubled", token


def _changed(kind: str, token: Token, names: Sequence[str], rng: random.Random) -> str:
    text = token.text
    if kind in ("value", "index"):
        return _number(text, rng)
    if kind == "size":
        return _size(text, rng)
    if kind in ("operator", "punctuation", "assignment"):
        return rng.choice(_OPERATORS.get(text, ("",)))
    if kind == "name":
        return rng.choice([name for name in names if name != text] or [""])
    if kind == "keyword":
        return rng.choice(_KEYWORDS[text])
    return "" if kind == "dropped" else f"{text} {text}"


def mutants(texts: Mapping[str, str], n: int, seed: int) -> Iterator[Mutant]:
    """Yield `n` random changes of single tokens of Verilog files, by name."""
    rng = random.Random(seed)  # noqa: S311 - sabotage, not secrets
    kinds: dict[str, list[tuple[str, Token]]] = {}
    names: dict[str, list[str]] = {}
    for file, text in texts.items():
        for kind, token in _candidates(text, file):
            kinds.setdefault(kind, []).append((file, token))
            if kind == "name":
                names.setdefault(file, []).append(token.text)
    distinct = {file: sorted(set(found)) for file, found in names.items()}
    for _ in range(n):
        kind = rng.choice(sorted(kinds))
        file, token = rng.choice(kinds[kind])
        after = _changed(kind, token, distinct.get(file, []), rng)
        text = texts[file]
        changed = text[: token.start] + after + text[token.start + len(token.text) :]
        yield Mutant(file, text.count("\n", 0, token.start) + 1, kind, token.text, after, changed)
