"""Single-token mutants of the C++ headers: which tokens are changed to what, and whether a bench notices.

A header is split into C++ tokens. Comments, text, preprocessor lines (pragmas included), `static_assert`s, template
parameters and the parameter lists of functions are left alone: what remains is what a kernel computes. Every change is
one token:

| operator | change |
| --- | --- |
| `arithmetic` | `+` to `-`, `-` to `+`, `*` to `+`, `/` to `*`, `%` to `/`, a sign removed |
| `shift` | `<<` to `>>`, `>>` to `<<` |
| `comparison` | `<` to `<=` and to `>`, `<=` to `<`, `>` to `>=` and to `<`, `>=` to `>`, `==` to `!=`, `!=` to `==` |
| `logic` | `&&` to `||`, `||` to `&&`, `&` to `|`, `!` removed, `true` to `false`, `false` to `true` |
| `assignment` | `+=` to `-=` and to `=`, `-=` to `+=` and to `=` |
| `constant` | an integer to one more, and (unless it is 0) to one less |
| `index` | a variable in a subscript to 0 |

A mutant is *killed* if it does not compile or a bench that includes the header fails, crashes or does not end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mutant", "apply", "included_headers", "including_benches", "mutants"]

_TOKEN = re.compile(
    r"""
    (?P<skip>   //[^\n]* | /\*.*?\*/ | ^[ \t]*\#(?:[^\n\\]|\\.)*$ | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*')
  | (?P<space>  \s+)
  | (?P<number> (?:0[xX][0-9a-fA-F]+|\d+)(?:[uUlL]*)\b)
  | (?P<word>   [A-Za-z_]\w*)
  | (?P<op>     <<=|>>=|\.\.\.|->|::|\+\+|--|\+=|-=|\*=|/=|%=|&=|\|=|\^=|<<|>>|<=|>=|==|!=|&&|\|\||.)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)

_BINARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "+": ("arithmetic", ("-",)),
    "-": ("arithmetic", ("+",)),
    "*": ("arithmetic", ("+",)),
    "/": ("arithmetic", ("*",)),
    "%": ("arithmetic", ("/",)),
    "<<": ("shift", (">>",)),
    ">>": ("shift", ("<<",)),
    "<": ("comparison", ("<=", ">")),
    "<=": ("comparison", ("<",)),
    ">": ("comparison", (">=", "<")),
    ">=": ("comparison", (">",)),
    "==": ("comparison", ("!=",)),
    "!=": ("comparison", ("==",)),
    "&&": ("logic", ("||",)),
    "||": ("logic", ("&&",)),
    "&": ("logic", ("|",)),
    "+=": ("assignment", ("-=", "=")),
    "-=": ("assignment", ("+=", "=")),
}
_WORDS = {"true": "false", "false": "true"}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int


@dataclass(frozen=True)
class Mutant:
    """One changed token.

    Attributes:
        header: stem of the header's name.
        line: number of the line, from 1.
        start: offset of the token in the header's text.
        old: the token.
        new: what stands in its place; empty if it was removed.
        operator: kind of the change.
        before: the line as it is, without indentation.
        after: the line with the change, without indentation.
    """

    header: str
    line: int
    start: int
    old: str
    new: str
    operator: str
    before: str
    after: str


def _tokens(text: str) -> list[_Token]:
    found = []
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind not in ("skip", "space"):
            found.append(_Token(kind, match.group(), match.start()))
    return found


def _closing(tokens: list[_Token], at: int) -> int:
    """Return the index of the bracket that closes the one at index `at`."""
    pairs = {"(": ")", "[": "]", "{": "}"}
    opened, closed, depth = tokens[at].text, pairs[tokens[at].text], 0
    for index in range(at, len(tokens)):
        if tokens[index].text in (opened, closed):
            depth += 1 if tokens[index].text == opened else -1
            if depth == 0:
                return index
    raise ValueError(f"{opened} at {tokens[at].start} is not closed")


def _code(tokens: list[_Token]) -> Iterator[int]:
    """Yield the indices of tokens that compute: bodies of functions, and values of constants in structs."""
    in_body, index = 0, 0
    while index < len(tokens):
        text = tokens[index].text
        if text == "static_assert":
            index = _closing(tokens, index + 1) + 1
            continue
        if not in_body and text == "template":
            depth, index = 0, index + 1
            while True:  # the parameters: angle brackets outside round ones
                text = tokens[index].text
                if text == "(":
                    index = _closing(tokens, index)
                depth += {"<": 1, ">": -1, ">>": -2}.get(text, 0)
                index += 1
                if depth <= 0:
                    break
            continue
        if not in_body and text == "(" and tokens[index - 1].kind == "word":
            after = _closing(tokens, index) + 1
            if tokens[after].text in ("{", "const"):  # a function's parameters
                index = after
                continue
        if text == "{":
            before = tokens[index - 1].text
            if in_body or before == ")" or (before == "const" and tokens[index - 2].text == ")"):
                in_body += 1
        elif text == "}" and in_body:
            in_body -= 1
        yield index
        index += 1


def _spaced(text: str, token: _Token) -> bool:
    """Whether white space stands on both sides: how clang-format writes a binary operator, and no template's bracket."""
    end = token.start + len(token.text)
    return text[token.start - 1].isspace() and text[end].isspace()


def _in_subscript(tokens: list[_Token], index: int) -> bool:
    """Whether the word at `index` is a variable in a subscript that reads or writes an element."""
    depth, at = 0, index - 1
    while at >= 0 and tokens[at].text not in (";", "{", "}"):
        if tokens[at].text == "]":
            depth += 1
        elif tokens[at].text == "[":
            if depth == 0:
                return True
            depth -= 1
        at -= 1
    return False


def _changes(text: str, tokens: list[_Token], index: int) -> Iterator[tuple[str, str]]:
    """Yield (operator, new text) for the token at `index`."""
    token = tokens[index]
    before, after = tokens[index - 1].text, tokens[min(index + 1, len(tokens) - 1)].text
    if token.kind == "number":
        digits = re.match(r"0[xX][0-9a-fA-F]+|\d+", token.text)
        assert digits is not None
        value, suffix = int(digits[0], 0), token.text[digits.end() :]
        yield "constant", f"{value + 1}{suffix}"
        if value > 0:
            yield "constant", f"{value - 1}{suffix}"
    elif token.kind == "word":
        if token.text in _WORDS:
            yield "logic", _WORDS[token.text]
        elif (
            token.text.islower()
            and before not in ("::", ".", "typename")
            and after not in ("(", "::", "[", ".", "<")
            and tokens[index - 1].kind != "word"
            and token.text not in ("unsigned", "int", "long", "signed", "const", "sizeof")
            and _in_subscript(tokens, index)
        ):
            yield "index", "0"
    elif token.text in _BINARY and _spaced(text, token):
        operator, new = _BINARY[token.text]
        if after in (">", ">>", ",", ")", "/"):
            return  # the star or ampersand of a type
        for replacement in new:
            yield operator, replacement
    elif token.text == "-" and not _spaced(text, token):
        yield "arithmetic", ""
    elif token.text == "!":
        yield "logic", ""


def mutants(header: Path) -> list[Mutant]:
    """Return all mutants of a header, in the order of the text."""
    text = header.read_text(encoding="utf-8")
    tokens = _tokens(text)
    found = []
    for index in _code(tokens):
        token = tokens[index]
        first = text.rfind("\n", 0, token.start) + 1
        last = text.index("\n", token.start)
        for operator, new in _changes(text, tokens, index):
            end = token.start + len(token.text)
            found.append(
                Mutant(
                    header=header.stem,
                    line=text.count("\n", 0, token.start) + 1,
                    start=token.start,
                    old=token.text,
                    new=new,
                    operator=operator,
                    before=text[first:last].strip(),
                    after=(text[first : token.start] + new + text[end:last]).strip(),
                )
            )
    return found


def apply(text: str, mutant: Mutant) -> str:
    """Return the header's text with the change."""
    end = mutant.start + len(mutant.old)
    assert text[mutant.start : end] == mutant.old
    return text[: mutant.start] + mutant.new + text[end:]


def included_headers(hls: Path, bench: str) -> set[Path]:
    """Return the headers of `kan4ml/` and `tb/` that a bench includes, directly or not.

    Args:
        hls: the folder with `kan4ml/` and `tb/`.
        bench: name of the bench, without `_tb.cpp`.
    """

    def included(path: Path) -> set[Path]:
        found = re.findall(r'^#include "(?:kan4ml/)?(\w+\.h)"', path.read_text(encoding="utf-8"), re.MULTILINE)
        candidates = (folder / name for name in found for folder in (hls / "kan4ml", hls / "tb"))
        return {candidate for candidate in candidates if candidate.is_file()}

    seen: set[Path] = set()
    paths = included(hls / "tb" / f"{bench}_tb.cpp")
    while paths:
        path = paths.pop()
        if path not in seen:
            seen.add(path)
            paths |= included(path)
    return seen


def including_benches(hls: Path, header: str) -> list[str]:
    """Return the benches that include a header, directly or not: its own first, then those that include fewest headers.

    Args:
        hls: the folder with `kan4ml/` and `tb/`.
        header: stem of the header.
    """
    names = [path.stem.removesuffix("_tb") for path in (hls / "tb").glob("*_tb.cpp")]
    reached = {name: included_headers(hls, name) for name in names}
    users = [bench for bench, headers in reached.items() if hls / "kan4ml" / f"{header}.h" in headers]
    return sorted(users, key=lambda bench: (bench != header, len(reached[bench]), bench))
