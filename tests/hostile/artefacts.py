"""Single bits of the constants in a built project: where they are, and changing one."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["WRAPPER", "Site", "cpp_sites", "ir_sites", "rtl_sites"]

#: RTL around the program: the proof for all inputs does not cover it.
WRAPPER = ("kan_axis.v", "kan_fifo.v")
_C_BITS = {
    "signed char": 8,
    "unsigned char": 8,
    "short": 16,
    "unsigned short": 16,
    "int": 32,
    "unsigned int": 32,
    "unsigned": 32,
}
_ARRAY = re.compile(r"static const ([a-z ]+) (\w+)((?:\[\d+\])+) = \{(.*?)\};", re.DOTALL)
_INTEGER = re.compile(r"-?\d+")
_SIZED = re.compile(r"(\d+)'([hdb])([0-9a-fA-F]+)")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Site:
    """One constant of a file.

    Attributes:
        path: the file.
        name: what the constant is, e.g. the array, or the signal it is given to.
        index: its number in the array, flat; or in the file.
        bits: how many it is stored in.
    """

    path: Path
    name: str
    index: int
    bits: int
    _start: int = 0
    _end: int = 0
    _kind: str = ""

    def flipped(self, bit: int) -> bytes:
        """Return the file with bit `bit` of the constant changed."""
        if self._kind == "npz":
            return _flip_array(self.path, self.name, self.index, bit)
        text = self.path.read_text(encoding="utf-8")
        old = text[self._start : self._end]
        flip = {"c": _flip_c, "v": _flip_verilog, "json": _flip_json}[self._kind]
        return (text[: self._start] + flip(old, bit, self.bits) + text[self._end :]).encode()

    def values(self, bit: int) -> tuple[str, str]:
        """Return the constant before and after the change, for people."""
        if self._kind == "npz":
            array = _arrays(self.path)[self.name].reshape(-1)
            changed = _arrays(io.BytesIO(self.flipped(bit)))[self.name].reshape(-1)
            return str(array[self.index]), str(changed[self.index])
        old = self.path.read_text(encoding="utf-8")[self._start : self._end]
        flip = {"c": _flip_c, "v": _flip_verilog, "json": _flip_json}[self._kind]
        return old, flip(old, bit, self.bits)


def _flip_c(text: str, bit: int, bits: int) -> str:
    value = (int(text) & ((1 << bits) - 1)) ^ (1 << bit)
    signed = value - (1 << bits) if value >> (bits - 1) else value
    return str(signed if int(text) < 0 or bit == bits - 1 else value)


def _flip_verilog(text: str, bit: int, _bits: int) -> str:
    size, base, digits = _SIZED.fullmatch(text).groups()  # type: ignore[union-attr]
    value = int(digits, {"h": 16, "d": 10, "b": 2}[base]) ^ (1 << bit)
    return f"{size}'{base}{format(value, {'h': 'x', 'd': 'd', 'b': 'b'}[base])}"


def _flip_json(text: str, bit: int, bits: int) -> str:
    if bits == 64 and not re.fullmatch(r"-?\d+", text):
        (pattern,) = struct.unpack("<Q", struct.pack("<d", float(text)))
        return repr(struct.unpack("<d", struct.pack("<Q", pattern ^ (1 << bit)))[0])
    return str(int(text) ^ (1 << bit))


def _arrays(path: Any) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _flip_array(path: Path, name: str, index: int, bit: int) -> bytes:
    arrays = _arrays(path)
    raw = bytearray(arrays[name].tobytes())
    raw[8 * index + bit // 8] ^= 1 << (bit % 8)
    arrays[name] = np.frombuffer(bytes(raw), dtype=arrays[name].dtype).reshape(arrays[name].shape)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(f"{key}.npy", member.getvalue())
    return buffer.getvalue()


def cpp_sites(build: Path) -> list[Site]:
    """Return every constant of the C++ tables."""
    sites = []
    for path in sorted((build / "hls" / "firmware" / "kan_tables").glob("*.h")):
        for match in _ARRAY.finditer(path.read_text(encoding="utf-8")):
            for index, number in enumerate(_INTEGER.finditer(match[4])):
                start = match.start(4) + number.start()
                end = match.start(4) + number.end()
                sites.append(Site(path, match[2], index, _C_BITS[match[1]], start, end, "c"))
    return sites


def rtl_sites(build: Path, engine: str = "tables", *, wrapper: bool = False) -> list[Site]:
    """Return every sized constant in the Verilog of an engine (of its AXI4-Stream wrapper with `wrapper`)."""
    folder = build / "rtl" / engine
    names = json.loads((folder / "signals.json").read_text(encoding="utf-8"))["files"]
    sites = []
    for name in names:
        if (name in WRAPPER) != wrapper:
            continue
        text = (folder / name).read_text(encoding="utf-8")
        blank = _COMMENT.sub(lambda match: " " * len(match[0]), text)
        for index, match in enumerate(_SIZED.finditer(blank)):
            before = blank[: match.start()].rsplit(";", 1)[-1].split()
            what = next((word for word in reversed(before) if word.isidentifier()), "constant")
            sites.append(Site(folder / name, what, index, int(match[1]), match.start(), match.end(), "v"))
    return sites


def ir_sites(build: Path) -> list[Site]:
    """Return every element of the IR's arrays, and every number of its JSON."""
    path = build / "ir" / "ir.npz"
    sites = [
        Site(path, name, index, 64, 0, 0, "npz") for name, array in _arrays(path).items() for index in range(array.size)
    ]
    return [*sites, *_json_sites(build / "ir" / "ir.json")]


def _json_sites(path: Path) -> Iterator[Site]:
    text = path.read_text(encoding="utf-8")
    number = re.compile(r"(?:\"(\w+)\": |^\s+)(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?=,?$)", re.MULTILINE)
    for index, match in enumerate(number.finditer(text)):
        whole = re.fullmatch(r"-?\d+", match[2]) is not None
        yield Site(path, match[1] or "list", index, 16 if whole else 64, match.start(2), match.end(2), "json")
