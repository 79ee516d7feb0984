r"""The reference of the C++ library, written from the comments of its headers.

A comment of `///` lines belongs to the declaration below it: `\brief` and what follows is the description, an indented
block is a formula, `\tparam NAME  text` and `\param NAME  text` are the rows of a table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Entity", "headers_page", "parse_header"]

#: Words of a documented declaration that end it.
_ENDS = re.compile(r"[{;]")


@dataclass(frozen=True)
class Entity:
    """A documented declaration of a header.

    Attributes:
        name: with the struct that it is a member of, e.g. `ap_sums::term`.
        kind: `struct`, `function`, `type` or `macro`.
        text: paragraphs and formulas, in Markdown.
        parameters: of the template, then of the function: (`tparam` or `param`, name, text).
        declaration: the C++, without its body.
    """

    name: str
    kind: str
    text: str
    parameters: tuple[tuple[str, str, str], ...]
    declaration: str


def parse_header(text: str) -> tuple[str, list[Entity]]:
    """Return the introduction of a header (`//` lines at its top) and its documented declarations, in order."""
    lines = text.splitlines()
    introduction: list[str] = []
    for line in lines[1:]:
        if line.startswith("// "):
            introduction.append(line[3:])
        elif introduction:
            break
    entities: list[Entity] = []
    owner = ""
    at = 0
    while at < len(lines):
        line = lines[at]
        if line == "};":
            owner = ""
        if not line.lstrip().startswith("///"):
            at += 1
            continue
        start = at
        while at < len(lines) and lines[at].lstrip().startswith("///"):
            at += 1
        comment = [re.sub(r"^\s*/// ?", "", one) for one in lines[start:at]]
        declaration = _declaration(lines[at:])
        kind, name = _kind_and_name(declaration)
        inner = line.startswith(" ")
        described, parameters = _split_comment(comment)
        entities.append(Entity(f"{owner}::{name}" if inner else name, kind, described, parameters, declaration))
        if kind == "struct" and not inner:
            owner = name
    return " ".join(introduction), entities


def _declaration(lines: list[str]) -> str:
    """Return what stands before the body or the semicolon of the first declaration in `lines`."""
    kept: list[str] = []
    for line in lines:
        if line.startswith("#"):
            if re.match(r"#\s*define\b", line):
                return line
            continue
        end = _ENDS.search(line)
        kept.append(line[: end.start()].rstrip() if end else line)
        if end:
            break
    indent = min((len(line) - len(line.lstrip()) for line in kept if line.strip()), default=0)
    return "\n".join(line[indent:] for line in kept if line.strip()).removesuffix(" =")


def _kind_and_name(declaration: str) -> tuple[str, str]:
    plain = re.sub(r"template\s*<.*?>\s*(?=struct|inline|static|typename|class|void|typedef|using|[a-z_]+_T\b|unsigned|bool)",
                   "", declaration, count=1, flags=re.DOTALL)  # fmt: skip
    for kind, pattern in (
        ("macro", r"#\s*define\s+(\w+)"),
        ("type", r"typedef\s.*\b(\w+)\s*$"),
        ("struct", r"^\s*(?:struct|class)\s+(\w+)"),
        ("function", r"\b(\w+)\s*\("),
    ):
        match = re.search(pattern, plain, re.DOTALL)
        if match:
            return kind, match[1]
    value = re.search(r"(\w+)\s*(?:\[[^\]]*\])*\s*(?:=.*)?$", plain)
    if value is None:
        raise ValueError(f"a declaration was expected below a comment, not {declaration!r}; move the comment")
    return "value", value[1]


def _split_comment(comment: list[str]) -> tuple[str, tuple[tuple[str, str, str], ...]]:
    """Return the description in Markdown, and the parameters."""
    body: list[str] = []
    parameters: list[list[str]] = []
    for line in comment:
        match = re.match(r"\\(tparam|param)\s+([\w, ]+?)(?:\s{2,}(.*)|\s(?=\S)(.*))$", line)
        if match:
            parameters.append([match[1], match[2], match[3] or match[4] or ""])
        elif parameters and line.strip():
            parameters[-1][2] += " " + line.strip()
        elif not parameters:
            body.append(line.replace("\\brief ", ""))
    rows = tuple((kind, name, text) for kind, name, text in parameters)
    return _paragraphs(body), rows


def _paragraphs(lines: list[str]) -> str:
    """Return paragraphs as Markdown; indented blocks become formulas in fixed pitch."""
    out: list[str] = []
    formula: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("  ") and line.strip():
            formula.append(line)
            continue
        if formula:
            if not line.strip():
                formula.append("")
                continue
            indent = min(len(one) - len(one.lstrip()) for one in formula if one.strip())
            out += ["", "```none", *(one[indent:] for one in _trimmed(formula)), "```", ""]
            formula = []
        out.append(_escaped(line))
    if formula:
        out += ["", "```none", *(one.strip() for one in _trimmed(formula)), "```"]
    return "\n".join(out).strip()


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def _escaped(text: str) -> str:
    """Return C++ prose with what Markdown would read as markup escaped, outside of backticks."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\*_\[\]<>|])", r"\\\1", parts[i])
    return "`".join(parts)


def headers_page(folder: Path) -> str:
    """Return the reference of every header in `folder` as one Markdown page.

    Raises:
        ValueError: if a header documents nothing, so that the reference would leave it out.
    """
    out = [
        "# C++ reference",
        "",
        (
            "Written from the comments of `hls/kan4ml/*.h` when this site is built. [The library's README](hls.md) lists the units with "
            "their formulas, shapes and configs; [Editing a kernel](../kernels.md) shows how to change one."
        ),
        "",
    ]
    for path in sorted(folder.glob("*.h")):
        introduction, entities = parse_header(path.read_text(encoding="utf-8"))
        if not introduction and not entities:
            raise ValueError(f"{path.name} has no comment to document; describe what it holds")
        out += [f"## `{path.name}`", ""]
        if introduction:
            out += [_escaped(introduction), ""]
        for entity in entities:
            out += [f"### `{entity.name}`", ""]
            out += ["```cpp", entity.declaration, "```", ""]
            out += [entity.text, ""]
            if entity.parameters:
                out += ["| parameter | what it is |", "| --- | --- |"]
                out += [f"| `{name}` | {_escaped(text)} |" for _, name, text in entity.parameters]
                out.append("")
    return "\n".join(out)
