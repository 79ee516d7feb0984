"""The simulation of mapped netlists: every primitive against its data sheet, and what must be refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.synth import MappedNetlist, netlist_border
from hwgen.synth._mapped import pack_bits, unpack_bits
from hwgen.synth._primitives import circuit_of
from pymodel.errors import DataError, ToolError
from pymodel.ir import IntArray
from sim.signals import PortShape, SignalMap

Bits = list[int | str]
CLK, RST, VALID = 2, 3, 4
DATA = list(range(10, 30))
LANES = 1024


def cell(
    kind: str, outputs: Mapping[str, Bits], parameters: Mapping[str, str] | None = None, **inputs: Bits
) -> dict[str, Any]:
    directions = {**dict.fromkeys(inputs, "input"), **dict.fromkeys(outputs, "output")}
    return {
        "type": kind, "parameters": dict(parameters or {}), "port_directions": directions,
        "connections": {**inputs, **outputs},
    }  # fmt: skip


def module(*cells: dict[str, Any], data: int, out: Bits, valid: Bits | None = None) -> dict[str, Any]:
    ports = {
        "clk": {"direction": "input", "bits": [CLK]}, "rst": {"direction": "input", "bits": [RST]},
        "in_valid": {"direction": "input", "bits": [VALID]}, "in_data": {"direction": "input", "bits": DATA[:data]},
        "out_valid": {"direction": "output", "bits": valid or [VALID]}, "out_data": {"direction": "output", "bits": out},
    }  # fmt: skip
    return {"ports": ports, "cells": {str(index): c for index, c in enumerate(cells)}}


def netlist(*cells: dict[str, Any], data: int, out: Bits, valid: Bits | None = None) -> MappedNetlist:
    return MappedNetlist(circuit_of(module(*cells, data=data, out=out, valid=valid), "clk"))


def settled(under_test: MappedNetlist, bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the output bits (n, lanes) for input bits (n, lanes), without a clock edge."""
    simulator = under_test.simulator(bits.shape[1], seed=0)
    simulator.drive("in_data", pack_bits(bits.astype(np.uint8)))
    simulator.settle()
    return unpack_bits(simulator.read("out_data"))


def every(n: int) -> np.ndarray[Any, Any]:
    """All 2^n patterns, repeated up to a multiple of 64: (n, lanes)."""
    patterns = np.arange(max(64, 1 << n)) % (1 << n)
    return patterns >> np.arange(n)[:, None] & 1


@pytest.mark.parametrize("arity", range(1, 7))
def test_luts(arity: int) -> None:
    init = 0xB7E151628AED2A6B & ((1 << (1 << arity)) - 1)
    inputs: dict[str, Bits] = {f"I{i}": [DATA[i]] for i in range(arity)}
    lut = cell(f"LUT{arity}", {"O": [100]}, {"INIT": f"{init:0{1 << arity}b}"}, **inputs)
    bits = every(arity)
    index = (bits << np.arange(arity)[:, None]).sum(0)
    expected = np.array([init >> int(i) & 1 for i in index])
    assert (settled(netlist(lut, data=arity, out=[100]), bits)[0] == expected).all()


def test_a_lut_of_two_outputs_inverters_and_multiplexers() -> None:
    init = 0x9E3779B97F4A7C15
    inputs: dict[str, Bits] = {f"I{i}": [DATA[i]] for i in range(6)}
    both = cell("LUT6_2", {"O6": [100], "O5": [101]}, {"INIT": f"{init:064b}"}, **inputs)
    inverter = cell("INV", {"O": [102]}, I=[100])
    wide = cell("MUXF8", {"O": [103]}, I0=[101], I1=[102], S=[DATA[6]])
    bits = every(7)
    index = (bits[:6] << np.arange(6)[:, None]).sum(0)
    o6 = np.array([init >> int(i) & 1 for i in index])
    o5 = np.array([init >> int(i & 31) & 1 for i in index])
    got = settled(netlist(wide, inverter, both, data=7, out=[100, 101, 102, 103, "0", "1"]), bits)
    expected = [o6, o5, 1 - o6, np.where(bits[6] == 1, 1 - o6, o5), np.zeros_like(o6), np.ones_like(o6)]
    assert (got == np.array(expected)).all()


@pytest.mark.parametrize("carry_in", ["CI", "CYINIT"])
def test_carry4_adds(carry_in: str) -> None:
    """Half sums on S, one operand on DI: O is a + b + c, the last CO its carry."""
    selects = [cell("LUT2", {"O": [200 + i]}, {"INIT": "0110"}, I0=[DATA[i]], I1=[DATA[4 + i]]) for i in range(4)]
    start: dict[str, Bits] = {"CI": ["0"], "CYINIT": ["0"], carry_in: [DATA[8]]}
    chain = cell("CARRY4", {"O": [100, 101, 102, 103], "CO": [104, 105, 106, 107]}, S=[200, 201, 202, 203], DI=DATA[:4], **start)  # fmt: skip
    bits = every(9)
    got = settled(netlist(chain, *selects, data=9, out=[100, 101, 102, 103, 107]), bits)
    weights = 1 << np.arange(4)[:, None]
    expected = (bits[:4] * weights).sum(0) + (bits[4:8] * weights).sum(0) + bits[8]
    assert ((got << np.arange(5)[:, None]).sum(0) == expected).all()


@pytest.mark.parametrize("kind", ["SINGLE_CY8", "DUAL_CY4"])
def test_carry8_is_one_chain_or_two(kind: str) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (18, 4096))
    chain = cell(
        "CARRY8", {"O": list(range(100, 108)), "CO": ["x"] * 7 + [120]}, {"CARRY_TYPE": kind},
        S=DATA[:8], DI=DATA[8:16], CI=[DATA[16]], CI_TOP=[DATA[17]],
    )  # fmt: skip
    chain["connections"]["CO"] = [110, 111, 112, 113, 114, 115, 116, 120]
    got = settled(netlist(chain, data=18, out=[*range(100, 108), 120]), bits)
    carry = bits[16]
    for i in range(8):
        if i == 4 and kind == "DUAL_CY4":
            carry = bits[17]
        assert (got[i] == bits[i] ^ carry).all()
        carry = np.where(bits[i] == 1, carry, bits[8 + i])
    assert (got[8] == carry).all()


def clocked(under_test: MappedNetlist, stream: np.ndarray[Any, Any], seed: int = 0) -> np.ndarray[Any, Any]:
    """Drive bits (cycles, n, lanes); return the output bits before each edge and after the last."""
    simulator = under_test.simulator(stream.shape[2], seed)
    seen = []
    for bits in stream:
        simulator.drive("in_data", pack_bits(bits.astype(np.uint8)))
        simulator.settle()
        seen.append(unpack_bits(simulator.read("out_data")))
        nets, words = simulator.edge()
        simulator.state[nets] = words
    simulator.settle()
    return np.array([*seen, unpack_bits(simulator.read("out_data"))])


@pytest.mark.parametrize("kind", ["FDRE", "FDSE", "FDCE", "FDPE"])
@pytest.mark.parametrize("inverted", [False, True])
def test_flip_flops(kind: str, inverted: bool) -> None:
    """The control wins over the enable; that of FDCE and FDPE does not wait for the edge."""
    control = {"R": "R", "S": "S", "C": "CLR", "P": "PRE"}[kind[2]]
    parameters = {"INIT": "1", "IS_D_INVERTED": str(int(inverted)), f"IS_{control}_INVERTED": str(int(inverted))}
    pins: dict[str, Bits] = {"C": [CLK], "D": [DATA[0]], "CE": [DATA[1]], control: [DATA[2]]}
    register = cell(kind, {"Q": [100]}, parameters, **pins)
    stream = np.random.default_rng(0).integers(0, 2, (12, 3, 64))
    got = clocked(netlist(register, data=3, out=[100]), stream)[:, 0]
    q = np.ones(64, dtype=int)
    forced, waits = int(kind[2] in "SP"), kind[2] in "RS"
    for t, (d, enable, force) in enumerate(stream):
        data, active = (1 - d, 1 - force) if inverted else (d, force)
        if not waits:
            q = np.where(active == 1, forced, q)
        assert (got[t] == q).all(), t
        q = np.where(active == 1, forced, np.where(enable == 1, data, q))


def test_registers_without_an_initial_value_start_at_random() -> None:
    pins: dict[str, Bits] = {"C": [CLK], "D": [DATA[0]], "CE": ["0"], "R": ["0"]}
    unknown = netlist(cell("FDRE", {"Q": [100]}, {"INIT": "x"}, **pins), data=1, out=[100])
    starts = [clocked(unknown, np.zeros((1, 1, 64)), seed)[0, 0].tolist() for seed in (0, 1)]
    assert starts[0] != starts[1]
    assert 0 < sum(starts[0]) < 64


@pytest.mark.parametrize(
    ("kind", "address", "tap", "end"),
    [("SRL16E", 5, 5, None), ("SRLC16E", 2, 2, 15), ("SRLC32E", 19, 19, 31)],
)
def test_delay_lines(kind: str, address: int, tap: int, end: int | None) -> None:
    size = 32 if kind == "SRLC32E" else 16
    bits = [str(address >> i & 1) for i in range(5)]
    pins: dict[str, Bits] = {"A": list(bits)} if size == 32 else {f"A{i}": [bits[i]] for i in range(4)}
    outputs: dict[str, Bits] = {"Q": [100]}
    if end is not None:
        outputs[f"Q{end}"] = [101]
    init = 0x9E3779B9 & ((1 << size) - 1)
    line = cell(kind, outputs, {"INIT": f"{init:0{size}b}"}, CLK=[CLK], D=[DATA[0]], CE=[DATA[1]], **pins)
    stream = np.random.default_rng(0).integers(0, 2, (60, 2, 64))
    got = clocked(netlist(line, data=2, out=[100, 100 if end is None else 101]), stream)
    held = np.array([np.full(64, init >> i & 1) for i in range(size)])
    for t in range(60):
        assert (got[t, 0] == held[tap]).all()
        assert end is None or (got[t, 1] == held[end]).all()
        moved = np.concatenate([stream[t, :1], held[:-1]])
        held = np.where(stream[t, 1] == 1, moved, held)


SIGNALS = SignalMap(
    engine="tables", top="t", axis_top=None, latency=2, input=PortShape(2, 3, signed=True),
    output=PortShape(1, 3, signed=True), output_node="y", nodes=(), collapsed=(), files=("t.v",),
)  # fmt: skip


def pipeline(init: str = "0110") -> MappedNetlist:
    """y = a ^ b over three bits, two cycles later; the valid bit is reset."""
    register: dict[str, Bits] = {"C": [2], "CE": ["1"]}
    cells = [cell("FDRE", {"Q": [100 + i]}, D=[DATA[i]], R=["0"], **register) for i in range(6)]
    cells += [cell("LUT2", {"O": [200 + i]}, {"INIT": init if i == 2 else "0110"}, I0=[100 + i], I1=[103 + i]) for i in range(3)]  # fmt: skip
    cells += [cell("FDRE", {"Q": [300 + i]}, D=[200 + i], R=["0"], **register) for i in range(3)]
    cells += [cell("FDRE", {"Q": [400]}, D=[VALID], R=[RST], **register), cell("FDRE", {"Q": [401]}, D=[400], R=[RST], **register)]  # fmt: skip
    return netlist(*cells, data=6, out=[300, 301, 302], valid=[401])


def vectors(rows: int) -> tuple[IntArray, IntArray]:
    X = np.random.default_rng(1).integers(-4, 4, (rows, 2))
    return X, X[:, :1] ^ X[:, 1:]


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 1024, 1025, 5000])
def test_streams_of_any_length_are_compared(rows: int) -> None:
    X, expected = vectors(rows)
    border = netlist_border(pipeline(), SIGNALS, X, expected)
    assert border.equal
    assert (border.vectors, border.name) == (rows, "netlist_vs_reference.tables")


def test_one_wrong_bit_of_one_lut_is_found() -> None:
    X, expected = vectors(3000)
    border = netlist_border(pipeline("0010"), SIGNALS, X, expected)
    hit = np.flatnonzero((X[:, 0] >= 0) & (X[:, 1] < 0))  # sign bits 0 and 1: entry 2 of the table
    assert border.mismatches == hit.size > 0
    assert border.first is not None
    assert border.first.vector == hit[0]
    rows = np.arange(1000, 2000)
    border = netlist_border(pipeline("0010"), SIGNALS, X, expected, rows=rows)
    assert border.first is not None
    assert border.first.vector == hit[hit >= 1000][0]


@pytest.mark.parametrize("latency", [1, 3])
def test_a_wrong_latency_is_found_in_the_valid_bits(latency: int) -> None:
    X, expected = vectors(500)
    border = netlist_border(pipeline(), replace(SIGNALS, latency=latency), X, expected)
    assert border.mismatches == 500
    assert "out_valid is not in_valid" in border.failure


def test_valid_bits_that_reset_does_not_reach_are_found() -> None:
    circuit = pipeline().circuit
    broken = tuple(replace(r, control=0) if r.output == 401 + 2 else r for r in circuit.registers)
    assert broken != circuit.registers
    stuck = tuple(replace(r, control=0, enable=0) if r.output == 401 + 2 else r for r in circuit.registers)
    X, expected = vectors(500)
    assert not netlist_border(MappedNetlist(replace(circuit, registers=stuck)), SIGNALS, X, expected).equal


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (cell("RAMB36E2", {"DOUT": [100]}, CLK=[CLK]), "cells of the type RAMB36E2"),
        (cell("DSP48E2", {"P": [100]}, CLK=[CLK]), "cells of the type DSP48E2"),
        (cell("RAM32M", {"DOA": [100]}, WCLK=[CLK]), "cells of the type RAM32M"),
        (cell("LDCE", {"Q": [100]}, D=[DATA[0]]), "cells of the type LDCE"),
        (cell("FDRE_1", {"Q": [100]}, C=[CLK], D=[DATA[0]]), "cells of the type FDRE_1"),
        (cell("FDRE", {"Q": [100]}, {"IS_C_INVERTED": "1"}, C=[CLK], D=[DATA[0]]), "the falling edge"),
        (cell("FDRE", {"Q": [100]}, C=[DATA[1]], D=[DATA[0]]), "not clocked by clk"),
        (cell("SRL16E", {"Q": [100]}, CLK=[CLK], D=[DATA[0]], A0=[DATA[1]]), "whose length can change"),
        (cell("FDCE", {"Q": [100]}, C=[CLK], D=[DATA[0]], CLR=[100]), "an asynchronous reset that logic drives"),
    ],
)
def test_other_cells_are_refused_in_one_sentence(bad: dict[str, Any], reason: str) -> None:
    with pytest.raises(ToolError, match=rf"knows LUTs, .* not .*{reason}; generate RTL without it"):
        netlist(bad, data=2, out=[100])


def test_a_combinational_loop_is_refused() -> None:
    loop = [cell("LUT2", {"O": [100 + i]}, {"INIT": "0110"}, I0=[101 - i], I1=[DATA[0]]) for i in range(2)]
    loop[1]["connections"] |= {"I0": [100], "O": [101]}
    with pytest.raises(ToolError, match="combinational loop"):
        netlist(*loop, data=1, out=[100])


def test_vectors_and_ports_that_do_not_fit_are_refused() -> None:
    X, _ = vectors(10)
    for bad in (X[:, :1], X.astype(float), X[:0], X + 4):
        with pytest.raises(DataError, match="the netlist takes"):
            pipeline().simulate(bad, SIGNALS)
    with pytest.raises(ToolError, match=r"in_data': 6.* where signals\.json means .*in_data': 9"):
        pipeline().simulate(X, replace(SIGNALS, input=PortShape(3, 3, signed=True)))


def test_files_that_hold_no_netlist_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.json"
    path.write_text(json.dumps({"modules": {"t": module(data=1, out=[DATA[0]])}}))
    assert MappedNetlist.read(path, "t").circuit.functions == ()
    for text in ("", "{}", '{"modules": {"t": {}}}', '{"modules": {"t": []}}'):
        path.write_text(text)
        with pytest.raises(ToolError, match="Yosys wrote no netlist of t"):
            MappedNetlist.read(path, "t")
