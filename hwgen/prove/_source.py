"""What the Verilog may contain: text that simulators and synthesis read alike.

Yosys reads Verilog as synthesis does. Directives that hide text from it, initial values, delays, incomplete sensitivity lists,
blocking assignments in clocked processes and the like would let a simulator, or another tool, see another circuit than the
one that is proven; they are refused before anything is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hwgen.prove._errors import NotProvenError

__all__ = ["Token", "check_source", "tokens"]

_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<space>\s+)
      | (?P<string>"(?:\\.|[^"\\\n])*")
      | (?P<directive>`[A-Za-z_]\w*)
      | (?P<name>\\\S+|[A-Za-z_$][\w$]*)
      | (?P<number>(?:\d[\d_]*)?\s*'[sS]?[bBoOdDhH]\s*[0-9a-fA-FxXzZ?_]+|\d[\d_]*)
      | (?P<operator><<<|>>>|===|!==|<=|>=|==|!=|&&|\|\||<<|>>|~&|~\||~\^|\^~|\*\*|\+:|-:|->|[-+*/%&|^~!<>=?:;,.()\[\]{}@\#'])
    """,
    re.VERBOSE | re.DOTALL,
)
#: Words that give Verilog a meaning which is not modelled, or which tools do not share.
_WORDS = """
initial casex casez negedge force release deassign disable edge event fork forever inout join macromodule primitive
pulldown pullup repeat scalared vectored specify specparam supply0 supply1 table task time tri tri0 tri1 triand trior trireg
wait wand while wor defparam real realtime nand nor not xor xnor and buf bufif0 bufif1 notif0 notif1 nmos pmos cmos tran
config endprimitive endspecify endtable endtask logic always_comb always_ff always_latch unique unique0 priority bind
interface package import export class program property sequence assert assume cover restrict final typedef enum struct union
alias var void const static ref
"""
_REFUSED = frozenset(_WORDS.split())
_SYSTEM = frozenset({"$signed", "$unsigned", "$clog2"})
#: Attributes that tell a tool how to build the circuit, not what it is.
_HINTS = "keep dont_touch rom_style ram_style shreg_extract srl_style use_dsp extract_reset extract_enable max_fanout"
_ATTRIBUTES = frozenset(_HINTS.split())
_PRAGMA = re.compile(
    r"\A(//|/\*)\s*(synthesis|synopsys|pragma|yosys|ambit|xilinx)\b|translate_o|full_case|parallel_case", re.IGNORECASE
)


@dataclass(frozen=True)
class Token:
    """A token: kind (`comment`, `space`, `string`, `directive`, `name`, `number`, `operator`), text, place in the file."""

    kind: str
    text: str
    start: int


def tokens(text: str, file: str) -> Iterator[Token]:
    """Yield the tokens of Verilog, comments and blanks included.

    Raises:
        NotProvenError: at a character that begins none.
    """
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise NotProvenError(
                f"{_place(text, position, file)}: {text[position]!r} begins nothing that this checker knows"
            )
        assert match.lastgroup is not None
        yield Token(match.lastgroup, match[0], position)
        position = match.end()


def _place(text: str, position: int, file: str) -> str:
    return f"{file}:{text.count(chr(10), 0, position) + 1}"


def check_source(text: str, file: str) -> None:
    """Check that a file is within the subset that this checker trusts Yosys to read as everybody does.

    Raises:
        NotProvenError: at the first token that is not; the message names file and line.
    """
    code: list[Token] = []
    for token in tokens(text, file):
        reason = _refused(token)
        if reason:
            raise NotProvenError(f"{_place(text, token.start, file)}: {reason}")
        if token.kind not in ("comment", "space"):
            code.append(token)
    position = 0
    while position < len(code):
        token = code[position]
        reason, position = _next(code, position)
        if reason:
            raise NotProvenError(f"{_place(text, token.start, file)}: {reason}")


def _refused(token: Token) -> str:
    """Return why a token is refused on its own, or nothing."""
    text = token.text
    if token.kind == "comment":
        return "a pragma in a comment is not modelled" if _PRAGMA.search(text) else ""
    if token.kind == "directive":
        return "" if text in ("`default_nettype", "`timescale") else f"the directive {text} is not modelled"
    if token.kind == "name":
        if text.startswith("\\"):
            return f"the escaped name {text} is not modelled"
        if text.startswith("$") and text not in _SYSTEM:
            return f"the system task {text} is not modelled"
        if text in _REFUSED:
            return f"{text!r} is not modelled"
    if token.kind == "number" and re.search(r"[xXzZ?]", text.partition("'")[2][1:]):
        return f"the constant {text} has undefined bits"
    if token.kind == "operator" and text in ("===", "!==", "->"):
        return f"the operator {text} is not modelled"
    return ""


def _next(code: list[Token], position: int) -> tuple[str, int]:
    """Check what begins at `position`; return a reason to refuse it (or nothing), and where to go on."""
    text = code[position].text
    following = [token.text for token in code[position + 1 : position + 6]]
    if text == "`timescale":
        return "", position + 6
    if text == "#" and following[:1] != ["("]:
        return "a delay is not modelled", position + 1
    if text == "(" and following[:1] == ["*"] and following[1:2] != [")"]:
        return _attribute(code, position)
    if text == "always":
        return _process(code, position)
    if text in ("reg", "integer") and _has_value(code, position):
        return "a register declared with a value, which is its initial value only, is not modelled", position
    return "", position + 1


def _has_value(code: list[Token], position: int) -> bool:
    """Return whether the declaration at `position` assigns something before it ends."""
    for token in code[position:]:
        if token.text in (";", "="):
            return token.text == "="
    return False


def _attribute(code: list[Token], position: int) -> tuple[str, int]:
    """Check an attribute instance `(* name = value, ... *)`."""
    position += 2
    if position < len(code) and code[position].text not in _ATTRIBUTES:
        return f"the attribute {code[position].text} is not modelled", position
    while position + 1 < len(code) and (code[position].text, code[position + 1].text) != ("*", ")"):
        if code[position].text == "," and code[position + 1].text not in _ATTRIBUTES:
            return f"the attribute {code[position + 1].text} is not modelled", position
        position += 1
    return "", position + 2


def _process(code: list[Token], position: int) -> tuple[str, int]:
    """Check an `always` process: `@*` with blocking assignments, or `@(posedge ...)` with nonblocking ones."""
    texts = [token.text for token in code[position + 1 : position + 6]]
    if texts[:2] == ["@", "*"]:
        clocked, position = False, position + 3
    elif texts[:4] == ["@", "(", "*", ")"]:
        clocked, position = False, position + 5
    elif texts[:3] == ["@", "(", "posedge"] and texts[4:] == [")"]:
        clocked, position = True, position + 6
    else:
        return "a process must be `always @*` or `always @(posedge CLOCK)`", position
    end = _statement_end(code, position)
    depth = 0
    for token in code[position:end]:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token.text, 0)
        if clocked and token.text == "=" and depth == 0:
            return "a blocking assignment in a clocked process is not modelled", position
        if not clocked and token.text == "<=" and depth == 0:
            return (
                "a nonblocking assignment (or an unparenthesised comparison) in `always @*` is not modelled",
                position,
            )
        if token.text in ("for", "#", "@", "integer", "reg"):
            return f"{token.text!r} in a process is not modelled", position
    return "", position


def _statement_end(code: list[Token], position: int) -> int:
    """Return where the statement that begins at `position` ends: at a `;` outside of every block."""
    depth = 0
    while position < len(code):
        text = code[position].text
        depth += {"begin": 1, "case": 1, "end": -1, "endcase": -1}.get(text, 0)
        position += 1
        if depth <= 0 and text in (";", "end", "endcase"):
            if position < len(code) and code[position].text == "else":
                continue
            return position
        if text in ("endmodule", "module"):
            return position
    return position
