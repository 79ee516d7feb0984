"""`signals.json`: which Verilog signal carries which IR node at which pipeline stage.

Every RTL engine writes one beside its Verilog, and the co-simulation trusts nothing in it: names become Verilog text,
file names become paths, so both are checked here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymodel._regular import check_regular
from pymodel.errors import DataError
from pymodel.ir import check_name

__all__ = ["SIGNALS_FILE", "NodeSignal", "PortShape", "SignalMap", "load_signals", "verilog_files"]

SIGNALS_FILE = "signals.json"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,254}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\.(v|sv|vh|svh|mem|hex)")
_SCHEMA = 1
_MAX_BYTES = 16 << 20
_MAX_COUNT = 1 << 20
_MAX_WIDTH = 62


@dataclass(frozen=True)
class PortShape:
    """A packed vector of `count` integers of `width` bits each, element 0 in the least significant bits."""

    count: int
    width: int
    signed: bool

    @property
    def bits(self) -> int:
        """Width of the packed vector."""
        return self.count * self.width

    @property
    def padded_width(self) -> int:
        """Width of one element on AXI4-Stream: extended to whole bytes."""
        return -(-self.width // 8) * 8

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest integer of an element."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1


@dataclass(frozen=True)
class NodeSignal:
    """Where an IR node can be seen: `value = raw + offset`, `stage` rising edges after the sample was captured."""

    node: str
    signal: str
    shape: PortShape
    offset: int
    stage: int


@dataclass(frozen=True)
class SignalMap:
    """A checked `signals.json`.

    Attributes:
        engine: name of the generator.
        top: top module with the ports `clk`, `rst`, `in_valid`, `in_data`, `out_valid`, `out_data`; an engine that takes
            a sample in several beats has `in_ready` and `out_ready`, too.
        axis_top: its AXI4-Stream wrapper, or None.
        latency: rising edges from the one that captures a sample (exclusive) to the one that can capture its output.
        beats: beats of `in_data` that make a sample, 1 unless the engine takes its inputs one after the other: then it
            stalls and is stalled, and only its AXI4-Stream wrapper is driven.
        input: shape of a sample's inputs, all beats.
        output: shape of `out_data`.
        output_node: IR node whose integers `out_data` carries.
        nodes: the visible nodes in pipeline order.
        collapsed: nodes that were absorbed in others and exist nowhere as signals.
        files: Verilog and memory files, plain names in the folder of `signals.json`.
    """

    engine: str
    top: str
    axis_top: str | None
    latency: int
    input: PortShape
    output: PortShape
    output_node: str
    nodes: tuple[NodeSignal, ...]
    collapsed: tuple[str, ...]
    files: tuple[str, ...]
    beats: int = 1

    @property
    def beat(self) -> PortShape:
        """Shape of `in_data`: one beat."""
        return PortShape(self.input.count // self.beats, self.input.width, self.input.signed)


class _Reader:
    """Typed access to a JSON object; every error names the key and the remedy."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise self.error(where, "an object", data)
        self.data: Mapping[str, Any] = data
        self.where = where

    @staticmethod
    def error(key: str, expected: str, got: object) -> DataError:
        return DataError(f"{SIGNALS_FILE}: {key} must be {expected}, not {got!r}; generate the RTL again")

    def _key(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(self._key(key), f"an integer from {low} to {high}", value)
        return value

    def boolean(self, key: str, default: bool | None = None) -> bool:
        value = self.data.get(key, default)
        if not isinstance(value, bool):
            raise self.error(self._key(key), "true or false", value)
        return value

    def identifier(self, key: str) -> str:
        value = self.data.get(key)
        if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
            raise self.error(self._key(key), "a Verilog identifier", value)
        return value

    def child(self, key: str) -> _Reader:
        return _Reader(self.data.get(key), self._key(key))

    def shape(self) -> PortShape:
        return PortShape(
            count=self.integer("count", 1, _MAX_COUNT),
            width=self.integer("width", 1, _MAX_WIDTH),
            signed=self.boolean("signed"),
        )


def load_signals(rtl_dir: Path) -> SignalMap:
    """Read and check `rtl_dir/signals.json`.

    Raises:
        DataError: if it is missing or malformed, or names a file outside `rtl_dir`.
    """
    path = rtl_dir / SIGNALS_FILE
    try:
        if check_regular(path) > _MAX_BYTES:
            raise DataError(f"{path} has more than {_MAX_BYTES >> 20} MiB; generate the RTL again")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{SIGNALS_FILE} is missing in {rtl_dir}; generate the RTL again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}); generate the RTL again") from None
    root = _Reader(data, "")
    root.integer("schema", _SCHEMA, _SCHEMA)
    latency = root.integer("latency", 1, 1 << 16)
    shape, output = root.child("input").shape(), root.child("output")
    beats = root.integer("beats", 1, shape.count, default=1)
    if shape.count % beats or (beats > 1 and root.data.get("axis_top") is None):
        raise root.error("beats", "a divisor of input.count, with an axis_top if it is not 1", beats)
    nodes, collapsed = _nodes(root.child("nodes"), latency)
    return SignalMap(
        engine=root.identifier("engine"),
        top=root.identifier("top"),
        axis_top=None if root.data.get("axis_top") is None else root.identifier("axis_top"),
        latency=latency,
        beats=beats,
        input=shape,
        output=output.shape(),
        output_node=_node_name(output.data.get("node"), "output.node"),
        nodes=nodes,
        collapsed=collapsed,
        files=_files(root.data.get("files")),
    )


def verilog_files(rtl_dir: Path, signals: SignalMap) -> list[Path]:
    """Return the files that `signals` lists.

    Raises:
        DataError: if one is missing or is not a regular file of `rtl_dir`.
    """
    paths = [rtl_dir / name for name in signals.files]
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise DataError(
                f"{SIGNALS_FILE} lists {path.name}, which is not a file in {rtl_dir}; generate the RTL again"
            )
    return paths


def _node_name(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise _Reader.error(key, "the name of an IR node", value)
    check_name(value)
    return value


def _nodes(table: _Reader, latency: int) -> tuple[tuple[NodeSignal, ...], tuple[str, ...]]:
    visible: list[NodeSignal] = []
    collapsed: list[str] = []
    for name in table.data:
        node = _node_name(name, "a key of nodes")
        entry = table.child(node)
        if entry.boolean("collapsed", default=False):
            collapsed.append(node)
            continue
        visible.append(
            NodeSignal(
                node=node,
                signal=entry.identifier("signal"),
                shape=entry.shape(),
                offset=entry.integer("offset", -(1 << 62), 1 << 62, default=0),
                stage=entry.integer("stage", 0, latency),
            )
        )
    return tuple(sorted(visible, key=lambda signal: signal.stage)), tuple(collapsed)


def _files(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise _Reader.error("files", "a list of file names", value)
    for name in value:
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
            raise _Reader.error("files", "plain names of Verilog or memory files beside it", name)
    if len(set(value)) != len(value):
        raise _Reader.error("files", "without repeated names", value)
    return tuple(value)
