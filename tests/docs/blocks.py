"""The code blocks of the documentation: found, checked, and run in the order of their page.

Every block has a language. What stands on the line above it changes what is done:

- nothing: `python` and `sh` run, `text` must be in what the last of them printed, `yaml` must be a valid configuration, `cpp` must
  compile with the headers of `hls/`; `none` is a drawing or a listing.
- `<!-- not run: REASON -->`: the block is checked without running: Python compiles, commands and options exist, names of
  `kan4ml::` are in the headers.
- `<!-- file: NAME -->`: the block is also written to that file, for the blocks behind it.
- `<!-- shown: REASON -->`: an excerpt; nothing is done.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from sitegen.commands import check_command

__all__ = ["ROOT", "Block", "blocks_of", "check_cpp", "check_shell"]

ROOT = Path(__file__).parents[2]
LANGUAGES = frozenset({"python", "sh", "text", "yaml", "cpp", "verilog", "none"})
_MARK = re.compile(r"<!-- (not run|file|shown): (.+) -->")
_FENCE = re.compile(r"(`{3,})(\S*)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: relative to the root of the project.
        line: of its first line.
        language: the fence's word.
        code: what it holds.
        mark, reason: of the comment above it, or empty.
    """

    page: str
    line: int
    language: str
    code: str
    mark: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str) -> list[Block]:
    """Return the blocks of a page; Sphinx directives (`{toctree}`) are left out.

    Raises:
        ValueError: if a block has no language of :data:`LANGUAGES`, or is never closed.
    """
    found: list[Block] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            at += 1
            continue
        end = at + 1
        while end < len(lines) and lines[end].rstrip() != fence[1]:
            end += 1
        if end == len(lines):
            raise ValueError(f"{page}:{at + 1}: the block is never closed")
        language = fence[2]
        if not language.startswith("{"):
            if language not in LANGUAGES:
                raise ValueError(f"{page}:{at + 1}: a block is one of {sorted(LANGUAGES)}, not {language!r}")
            mark = _MARK.fullmatch(lines[at - 1]) if at else None
            code = "\n".join(lines[at + 1 : end]) + "\n"
            found.append(Block(page, at + 2, language, code, mark[1] if mark else "", mark[2] if mark else ""))
        at = end + 1
    return found


def check_shell(block: Block) -> int:
    """Check every line of a shell block without running it; return how many lines name a command that was checked.

    Raises:
        ValueError: if a command, an option, a target of make, an extra of pip or a script does not exist.
    """
    checked = 0
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        checked += 1
        if words[0] == "kan4ml":
            check_command(words[1:])
        elif words[0] == "make":
            folder = words[words.index("-C") + 1] if "-C" in words else "."
            targets = re.findall(r"^([\w-]+):", (ROOT / folder / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            target = words[-1]
            if target not in targets:
                raise ValueError(f"{block}: {folder}/Makefile has no target {target!r}")
        elif words[:2] == ["pip", "install"]:
            extras = re.findall(r"kan4ml\[([\w,]+)\]", line)
            known = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
            for extra in ",".join(extras).split(",") if extras else []:
                if not re.search(rf"^{extra} = \[", known, re.MULTILINE):
                    raise ValueError(f"{block}: pyproject.toml has no extra {extra!r}")
        elif words[0] in ("python", "torchrun") and any(word.endswith(".py") for word in words):
            script = next(word for word in words if word.endswith(".py"))
            if not (ROOT / script).is_file():
                raise ValueError(f"{block}: there is no {script}")
        else:
            raise ValueError(f"{block}: {words[0]!r} is no command that can be checked without running it")
    return checked


def check_cpp(block: Block) -> int:
    """Check that what a C++ block calls in `kan4ml::` exists; return how many names it has.

    Raises:
        ValueError: if a name is in no header.
    """
    headers = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "hls" / "kan4ml").glob("*.h"))
    names = set(re.findall(r"kan4ml::(\w+)", block.code))
    for name in names:
        if not re.search(rf"\b{name}\b", headers):
            raise ValueError(f"{block}: no header has {name!r}")
    return len(names)
