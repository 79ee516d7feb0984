"""A mapped netlist's cells as the few kinds that its simulation knows: functions, carry chains, registers, delay lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymodel.errors import ToolError

__all__ = ["FALSE", "OPEN", "TRUE", "UNKNOWN", "Carry", "Circuit", "DelayLine", "Function", "Register", "read_circuit"]

#: Nets that Yosys does not number; its own numbers start at 2 and are moved up.
FALSE, TRUE, UNKNOWN, OPEN = 0, 1, 2, 3
_SHIFT = 2
_LITERALS = {"0": FALSE, "1": TRUE, "x": UNKNOWN, "z": UNKNOWN}
_BUFFERS = {"BUFG", "BUFH", "IBUF", "OBUF", "BUF"}
_IGNORED = {"$scopeinfo", "GND", "VCC"}
_MULTIPLEXER = 0xCA  # inputs I0, I1, S: S ? I1 : I0
_REGISTER = re.compile(r"FD([RSCP])E")
_CONTROLS = {"R": "R", "S": "S", "C": "CLR", "P": "PRE"}
_DELAYS = {"SRL16E": (4, None), "SRLC16E": (4, "Q15"), "SRLC32E": (5, "Q31")}


@dataclass(frozen=True)
class Function:
    """`output` is bit `sum of inputs[i] * 2^i` of `init`; `unit` tells a LUT, which takes time, from a MUXF."""

    inputs: tuple[int, ...]
    init: int
    output: int
    unit: bool


@dataclass(frozen=True)
class Carry:
    """Four bits of a carry chain: `sums[i] = selects[i] ^ c[i]`, `c[i + 1] = carries[i] = selects[i] ? c[i] : data[i]`.

    `c[0]` is the OR of the two nets in `start` (CI and CYINIT, of which a placeable netlist uses one).
    """

    start: tuple[int, int]
    selects: tuple[int, ...]
    data: tuple[int, ...]
    sums: tuple[int, ...]
    carries: tuple[int, ...]


@dataclass(frozen=True)
class Register:
    """A rising-edge flip-flop with enable and one control that forces `forced`; `initial` is 0, 1 or None (unknown)."""

    data: int
    enable: int
    control: int
    forced: int
    output: int
    initial: int | None
    is_async: bool
    inverts_data: bool
    inverts_control: bool


@dataclass(frozen=True)
class DelayLine:
    """A shift register in a LUT: `outputs` are (net, tap), tap 0 being one cycle behind `data`."""

    data: int
    enable: int
    outputs: tuple[tuple[int, int], ...]
    initial: int


@dataclass(frozen=True)
class Circuit:
    """A flat netlist, ready to be scheduled; nets are integers below `n_nets`, those below 4 constants and the open net.

    Attributes:
        inputs, outputs: nets of the ports, bit 0 first.
        clock: net of the clock port.
    """

    n_nets: int
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    clock: int
    functions: tuple[Function, ...]
    carries: tuple[Carry, ...]
    registers: tuple[Register, ...]
    delays: tuple[DelayLine, ...]


def _bit(bit: object) -> int:
    return bit + _SHIFT if isinstance(bit, int) else _LITERALS[str(bit)]


def _nets(bits: list[Any]) -> tuple[int, ...]:
    return tuple(_bit(bit) for bit in bits)


def _integer(value: object) -> int:
    """Return a parameter; Yosys writes bits as text, and x for those that do not matter."""
    return value if isinstance(value, int) else int(str(value).replace("x", "0").replace("z", "0") or "0", 2)


class _Cell:
    """One cell of the file, its connections renamed through buffers."""

    def __init__(self, data: Mapping[str, Any], resolve: Callable[[int], int]) -> None:
        self.type: str = data["type"]
        self.parameters: Mapping[str, Any] = data.get("parameters", {})
        self._connections: Mapping[str, list[Any]] = data["connections"]
        self._resolve = resolve

    def sources(self, port: str, width: int = 1, default: int = FALSE) -> tuple[int, ...]:
        nets = tuple(self._resolve(net) for net in _nets(self._connections.get(port, [])))
        return nets + (default,) * (width - len(nets))

    def source(self, port: str, default: int = FALSE) -> int:
        return self.sources(port, default=default)[0]

    def sinks(self, port: str, width: int = 1) -> tuple[int, ...]:
        nets = tuple(net if net > OPEN else OPEN for net in _nets(self._connections.get(port, [])))
        return nets + (OPEN,) * (width - len(nets))

    def flag(self, name: str) -> bool:
        return bool(_integer(self.parameters.get(name, 0)))

    def init(self) -> int:
        return _integer(self.parameters.get("INIT", 0))


def _refuse(what: str) -> ToolError:
    return ToolError(
        f"the simulation of the mapped netlist knows LUTs, carry chains, multiplexers, flip-flops and fixed shift "
        f"registers of one rising clock, not {what}; generate RTL without it, or switch the synthesis estimate off"
    )


def _functions(cell: _Cell) -> Iterator[Function]:
    if cell.type == "INV":
        yield Function((cell.source("I"),), 1, cell.sinks("O")[0], unit=True)
    elif cell.type.startswith("MUXF"):
        choice = (cell.source("I0"), cell.source("I1"), cell.source("S"))
        yield Function(choice, _MULTIPLEXER, cell.sinks("O")[0], unit=False)
    elif cell.type == "LUT6_2":
        inputs = tuple(cell.source(f"I{i}") for i in range(6))
        yield Function(inputs, cell.init(), cell.sinks("O6")[0], unit=True)
        yield Function(inputs[:5], cell.init() & 0xFFFFFFFF, cell.sinks("O5")[0], unit=True)
    else:
        inputs = tuple(cell.source(f"I{i}") for i in range(int(cell.type[3:])))
        yield Function(inputs, cell.init(), cell.sinks("O")[0], unit=True)


def _carries(cell: _Cell, fresh: Callable[[], int]) -> Iterator[Carry]:
    """Yield the four-bit pieces of a CARRY4 or CARRY8."""
    eight = cell.type == "CARRY8"
    start = (cell.source("CI"), FALSE if eight else cell.source("CYINIT"))
    width = 8 if eight else 4
    selects, data = cell.sources("S", width), cell.sources("DI", width)
    sums, carries = cell.sinks("O", width), list(cell.sinks("CO", width))
    if not eight:
        yield Carry(start, selects, data, sums, tuple(carries))
        return
    split = str(cell.parameters.get("CARRY_TYPE", "SINGLE_CY8")).strip() == "DUAL_CY4"
    if not split and carries[3] == OPEN:
        carries[3] = fresh()
    yield Carry(start, selects[:4], data[:4], sums[:4], tuple(carries[:4]))
    middle = (cell.source("CI_TOP") if split else carries[3], FALSE)
    yield Carry(middle, selects[4:], data[4:], sums[4:], tuple(carries[4:]))


def _register(cell: _Cell, kind: str) -> Register:
    if cell.flag("IS_C_INVERTED"):
        raise _refuse("a flip-flop of the falling edge")
    control = _CONTROLS[kind]
    initial = str(cell.parameters.get("INIT", "x")).strip()[-1:]
    return Register(
        data=cell.source("D"),
        enable=cell.source("CE", TRUE),
        control=cell.source(control),
        forced=int(kind in "SP"),
        output=cell.sinks("Q")[0],
        initial=int(initial) if initial in ("0", "1") else None,
        is_async=kind in "CP",
        inverts_data=cell.flag("IS_D_INVERTED"),
        inverts_control=cell.flag(f"IS_{control}_INVERTED"),
    )


def _delay(cell: _Cell) -> DelayLine:
    bits, last = _DELAYS[cell.type]
    address = cell.sources("A", bits) if cell.type == "SRLC32E" else tuple(cell.source(f"A{i}") for i in range(bits))
    if cell.flag("IS_CLK_INVERTED") or any(net not in (FALSE, TRUE) for net in address):
        raise _refuse("a shift register whose length can change")
    outputs = [(cell.sinks("Q")[0], sum(net << i for i, net in enumerate(address)))]
    if last is not None:
        outputs.append((cell.sinks(last)[0], (1 << bits) - 1))
    used = tuple((net, tap) for net, tap in outputs if net != OPEN)
    return DelayLine(cell.source("D"), cell.source("CE", TRUE), used, cell.init())


def _buffers(cells: Mapping[str, Any]) -> dict[int, int]:
    """Return which net each buffer's output follows."""
    return {
        _bit(cell["connections"]["O"][0]): _bit(cell["connections"]["I"][0])
        for cell in cells.values()
        if cell["type"] in _BUFFERS
    }


def circuit_of(module: Mapping[str, Any], clock: str) -> Circuit:
    """Return the circuit of one flat module of Yosys's JSON.

    Raises:
        ToolError: for cells that cannot be simulated.
        KeyError, TypeError, ValueError: if the module is malformed.
    """
    cells = module["cells"]
    follows = _buffers(cells)

    def resolve(net: int) -> int:
        while net in follows:
            net = follows[net]
        return net

    ports: dict[str, dict[str, tuple[int, ...]]] = {"input": {}, "output": {}}
    for name, port in module["ports"].items():
        ports[port["direction"]][name] = tuple(resolve(net) for net in _nets(port["bits"]))
    highest = max(
        (_bit(bit) for cell in cells.values() for bits in cell["connections"].values() for bit in bits), default=0
    )
    highest = max(highest, OPEN, *(net for kind in ports.values() for nets in kind.values() for net in nets))
    clock_net = ports["input"][clock][0]

    def fresh() -> int:
        nonlocal highest
        highest += 1
        return highest

    functions: list[Function] = []
    carries: list[Carry] = []
    registers: list[Register] = []
    delays: list[DelayLine] = []
    for data in cells.values():
        cell = _Cell(data, resolve)
        kind = _REGISTER.fullmatch(cell.type)
        if cell.type in _BUFFERS or cell.type in _IGNORED:
            continue
        if re.fullmatch(r"INV|LUT[1-6]|LUT6_2|MUXF[789]", cell.type):
            functions += [function for function in _functions(cell) if function.output != OPEN]
            continue
        if cell.type in ("CARRY4", "CARRY8"):
            carries += _carries(cell, fresh)
            continue
        if kind is None and cell.type not in _DELAYS:
            raise _refuse(f"cells of the type {cell.type}")
        if cell.source("C" if kind else "CLK") != clock_net:
            raise _refuse(f"a cell that is not clocked by {clock}")
        if kind is None:
            delays.append(_delay(cell))
        else:
            registers.append(_register(cell, kind.group(1)))
    given = {FALSE, *(net for nets in ports["input"].values() for net in nets)}
    if any(register.is_async and register.control not in given for register in registers):
        raise _refuse("an asynchronous reset that logic drives")
    return Circuit(
        n_nets=highest + 1,
        inputs=ports["input"],
        outputs=ports["output"],
        clock=clock_net,
        functions=tuple(functions),
        carries=tuple(carries),
        registers=tuple(registers),
        delays=tuple(delays),
    )


def read_circuit(path: Path, top: str, clock: str = "clk") -> Circuit:
    """Read the flat module `top` from a file written by Yosys's `write_json` after `synth_xilinx`.

    Raises:
        ToolError: if the file does not contain it, or it has cells that cannot be simulated: memories, DSP slices,
            latches, several clocks, falling edges, shift registers of variable length.
    """
    try:
        return circuit_of(json.loads(path.read_text(encoding="utf-8"))["modules"][top], clock)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ToolError(f"Yosys wrote no netlist of {top} ({error!r}); run the estimate again") from None
