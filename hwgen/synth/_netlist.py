"""A mapped netlist as Yosys writes it (JSON): counting its cells, its logic levels, and the cone of chosen registers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwgen.synth._pairing import paired_sites
from pymodel.errors import ToolError

__all__ = ["Cell", "Netlist"]

_LUT = re.compile(r"LUT[1-6]")
_SRL = re.compile(r"SRL(16E|C16E|C32E)")
_FLIP_FLOP = re.compile(r"FD[RSCP]E(_1)?|LD[CP]E")
_CARRY = re.compile(r"CARRY[48]")
_MUX = re.compile(r"MUXF[789]")
_DSP = re.compile(r"DSP(48|58)\w*")
_BLOCK_RAM = re.compile(r"RAMB(18|36)\w*")
#: LUTs that one distributed RAM occupies (UG574, table "Distributed RAM configuration").
_LUT_RAM = {
    "RAM16X1S": 1, "RAM16X1D": 2, "RAM32X1S": 1, "RAM32X1D": 2, "RAM64X1S": 1, "RAM64X1D": 2, "RAM128X1S": 2,
    "RAM128X1D": 4, "RAM256X1S": 4, "RAM256X1D": 8, "RAM512X1S": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One primitive: its type, and the nets (integers) on its inputs and outputs; constants are left out."""

    type: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def is_lut(self) -> bool:
        """True for LUT1 … LUT6 and for an inverter, which becomes a LUT1."""
        return self.type == "INV" or _LUT.fullmatch(self.type) is not None

    @property
    def is_flip_flop(self) -> bool:
        """True for flip-flops and latches."""
        return _FLIP_FLOP.fullmatch(self.type) is not None

    @property
    def is_shift_register(self) -> bool:
        """True for a LUT used as a shift register."""
        return _SRL.fullmatch(self.type) is not None

    @property
    def is_combinational(self) -> bool:
        """True if an output can follow an input without a clock edge."""
        return self.is_lut or self.type in _LUT_RAM or bool(_CARRY.fullmatch(self.type) or _MUX.fullmatch(self.type))


@dataclass(frozen=True)
class Netlist:
    """A flat netlist.

    Attributes:
        cells: in the order of the file.
        outputs: nets of the output ports.
        carry_selects: nets on the select inputs of carry cells.
        names: public net names (hierarchy separated by dots) to their nets.
        creator: the tool that wrote it.
    """

    cells: tuple[Cell, ...]
    outputs: tuple[int, ...] = ()
    carry_selects: frozenset[int] = frozenset()
    names: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    creator: str = ""

    @classmethod
    def read(cls, path: Path, top: str) -> Netlist:
        """Read the flat module `top` from a file written by Yosys's `write_json`.

        Raises:
            ToolError: if the file does not contain it.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            module = data["modules"][top]
        except (OSError, ValueError, KeyError) as error:
            raise ToolError(f"Yosys wrote no netlist of {top} ({error}); run the estimate again") from None
        return cls(
            cells=tuple(_cell(cell) for cell in module["cells"].values()),
            outputs=tuple(
                net for port in module["ports"].values() if port["direction"] == "output" for net in _nets(port["bits"])
            ),
            carry_selects=frozenset(
                net
                for cell in module["cells"].values()
                if _CARRY.fullmatch(cell["type"])
                for net in _nets(cell["connections"]["S"])
            ),
            names={name: _nets(net["bits"]) for name, net in module["netnames"].items() if not net.get("hide_name", 0)},
            creator=data.get("creator", ""),
        )

    def histogram(self) -> dict[str, int]:
        """Return the number of cells of each type, sorted by type."""
        return dict(sorted(Counter(cell.type for cell in self.cells).items()))

    def _count(self, pattern: re.Pattern[str]) -> int:
        return sum(pattern.fullmatch(cell.type) is not None for cell in self.cells)

    @property
    def lut(self) -> int:
        """LUT cells, shift registers, inverters and the LUTs of distributed RAM included."""
        return sum(cell.is_lut + _LUT_RAM.get(cell.type, 0) for cell in self.cells) + self.srl

    @property
    def lut_paired(self) -> int:
        """LUT sites after :func:`paired_sites`; shift registers and distributed RAM are not merged."""
        logic = [frozenset(cell.inputs) for cell in self.cells if cell.is_lut]
        return paired_sites(logic) + self.lut - len(logic)

    @property
    def lut_paired_strict(self) -> int:
        """Like :attr:`lut_paired`, but no two LUTs that drive carry chains share a site: they could not be placed."""
        logic = [cell for cell in self.cells if cell.is_lut]
        pinned = [not self.carry_selects.isdisjoint(cell.outputs) for cell in logic]
        inputs = [frozenset(cell.inputs) for cell in logic]
        sites = paired_sites(
            (nets for nets, fixed in zip(inputs, pinned, strict=True) if not fixed),
            (nets for nets, fixed in zip(inputs, pinned, strict=True) if fixed),
        )
        return sites + self.lut - len(logic)

    @property
    def srl(self) -> int:
        """Shift registers in LUTs."""
        return sum(cell.is_shift_register for cell in self.cells)

    @property
    def ff(self) -> int:
        """Flip-flops and latches."""
        return sum(cell.is_flip_flop for cell in self.cells)

    @property
    def carry(self) -> int:
        """Carry cells as mapped (Yosys maps to CARRY4; an UltraScale+ CARRY8 holds two)."""
        return self._count(_CARRY)

    @property
    def muxf(self) -> int:
        """MUXF7, MUXF8 and MUXF9."""
        return self._count(_MUX)

    @property
    def dsp(self) -> int:
        """DSP slices."""
        return self._count(_DSP)

    @property
    def bram(self) -> int:
        """Block RAM in units of 18 Kbit: a RAMB36 counts two."""
        return sum(
            {"18": 1, "36": 2}[match.group(1)]
            for cell in self.cells
            if (match := _BLOCK_RAM.match(cell.type)) is not None
        )

    def depth(self) -> int:
        """Return the largest number of LUTs on a path between registers or ports; carry cells and MUXF count 0.

        Raises:
            ToolError: if there is a combinational loop.
        """
        cells = [cell for cell in self.cells if cell.is_combinational]
        driver = {net: index for index, cell in enumerate(cells) for net in cell.outputs}
        waiting = [0] * len(cells)
        followers: list[list[int]] = [[] for _ in cells]
        for index, cell in enumerate(cells):
            sources = {driver[net] for net in cell.inputs if net in driver}
            waiting[index] = len(sources)
            for source in sources:
                followers[source].append(index)
        level = [0] * len(cells)
        ready = [index for index, count in enumerate(waiting) if count == 0]
        done = 0
        while ready:
            index = ready.pop()
            done += 1
            level[index] += cells[index].is_lut or cells[index].type in _LUT_RAM
            for follower in followers[index]:
                level[follower] = max(level[follower], level[index])
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    ready.append(follower)
        if done != len(cells):
            raise ToolError("the netlist has a combinational loop; correct the RTL or generate it again")
        return max(level, default=0)

    def lut_share(self, registers: re.Pattern[str]) -> float | None:
        """Return the fraction of LUTs that serve nothing but the registers whose net names match; None if there are none.

        A LUT belongs to them if every path from it ends at the input of such a register.
        """
        chosen = {net for name, nets in self.names.items() if registers.search(name) for net in nets}
        combinational = [cell for cell in self.cells if cell.is_combinational]
        driver = {net: index for index, cell in enumerate(combinational) for net in cell.outputs}
        ours: set[int] = set()
        others = set(self.outputs)
        for cell in self.cells:
            if not cell.is_combinational:
                (ours if chosen.intersection(cell.outputs) and cell.is_flip_flop else others).update(cell.inputs)
        if not ours or not self.lut:
            return None
        own = _cone(ours, driver, combinational) - _cone(others, driver, combinational)
        return sum(combinational[index].is_lut for index in own) / self.lut


def _cone(nets: set[int], driver: Mapping[int, int], cells: list[Cell]) -> set[int]:
    """Return the indices of all cells that `nets` depend on combinationally."""
    seen: set[int] = set()
    stack = [driver[net] for net in nets if net in driver]
    while stack:
        index = stack.pop()
        if index not in seen:
            seen.add(index)
            stack += [driver[net] for net in cells[index].inputs if net in driver]
    return seen


def _nets(bits: list[Any]) -> tuple[int, ...]:
    return tuple(bit for bit in bits if isinstance(bit, int))


def _cell(data: Mapping[str, Any]) -> Cell:
    inputs: list[int] = []
    outputs: list[int] = []
    for port, bits in data["connections"].items():
        (inputs if data["port_directions"].get(port) == "input" else outputs).extend(_nets(bits))
    return Cell(data["type"], tuple(inputs), tuple(outputs))
