"""Counting and pairing on hand-made netlists, with the answers worked out by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hwgen.synth import Cell, Netlist, paired_sites, yosys_family
from pymodel.errors import ConfigError, ToolError


def luts(*groups: str) -> list[frozenset[str]]:
    return [frozenset(group) for group in groups]


@pytest.mark.parametrize(
    ("groups", "sites"),
    [
        ((), 0),
        (("abcdef", "abcdef"), 2),  # a LUT6 shares its site with nothing
        (("abcde", "abcde"), 1),  # identical inputs
        (("abcde", "abcd"), 1),  # a subset
        (("abcde", "abcdf"), 2),  # six inputs together
        (("abc", "cde"), 1),  # five together
        (("abc", "def"), 2),  # six together
        (("ab", "cde"), 1),  # five together, unrelated
        (("abcd", "e"), 1),
        (("abcd", "ef"), 2),
        (("ab", "cd", "ef", "gh"), 2),
        (("ab", "ab", "ab"), 2),
        (("abcde", "abc", "abc"), 2),  # one shares the site of the large one, the other is left
        (("abcde", "abcd", "wx", "xyz"), 2),
        (("", "abcde"), 1),  # a constant function fits anywhere
    ],
)
def test_pairing(groups: tuple[str, ...], sites: int) -> None:
    assert paired_sites(luts(*groups)) == sites
    assert paired_sites(luts(*reversed(groups))) == sites


def test_pairing_prefers_the_partner_that_shares_most() -> None:
    # abcd + abc and ab + vwx: taking ab for abcd would leave abc and vwx apart, three sites.
    assert paired_sites(luts("abcd", "ab", "abc", "vwx")) == 2


def test_pairing_never_goes_below_half() -> None:
    groups = luts(*("abcde"[: size + 1] for size in range(5) for _ in range(20)))
    assert paired_sites(groups) == 50


@pytest.mark.parametrize(
    ("groups", "pinned", "sites"),
    [
        ((), ("ab", "ab", "ab"), 3),
        (("ab",), ("ab", "ab"), 2),
        (("abcd",), ("ab", "xy"), 2),
        (("cde",), ("ab", "xy"), 2),  # unrelated
        (("abc", "abc", "abc"), ("ab",), 2),
        (("abc",), ("abcdef",), 2),
    ],
)
def test_pinned_luts_share_no_site_with_each_other(
    groups: tuple[str, ...], pinned: tuple[str, ...], sites: int
) -> None:
    assert paired_sites(luts(*groups), luts(*pinned)) == sites


def chain() -> Netlist:
    """q1 -> LUT2 -> CARRY4 -> LUT3 -> q2; a table register q3 behind its own LUT and one that it shares."""
    cells = (
        Cell("FDRE", (1, 20), (10,)),
        Cell("LUT2", (10, 11), (12,)),
        Cell("CARRY4", (12,), (13,)),
        Cell("LUT3", (13, 10, 11), (14,)),
        Cell("FDRE", (1, 14), (15,)),
        Cell("LUT4", (10, 11, 12, 15), (16,)),
        Cell("FDRE", (1, 16), (17,)),
        Cell("SRL16E", (1, 17), (18,)),
        Cell("INV", (18,), (20,)),
        Cell("MUXF7", (10, 11, 15), (19,)),
        Cell("RAMB36E2", (1,), ()),
        Cell("RAMB18E2", (1,), ()),
        Cell("DSP48E2", (1,), ()),
        Cell("RAM32M", (1, 10), (21,)),
        Cell("BUFG", (1,), (1,)),
    )
    return Netlist(cells, outputs=(18,), carry_selects=frozenset({12}), names={"layer_1.t0_3": (17,), "y": (15,)})


def test_counts() -> None:
    netlist = chain()
    assert netlist.lut == 4 + 1 + 4  # LUT2, LUT3, LUT4, INV; SRL16E; RAM32M
    assert netlist.lut_paired == 3 + 1 + 4 - 1  # LUT4+LUT2 share a site, so do LUT3 and INV
    assert netlist.lut_paired_strict == netlist.lut_paired  # one carry select only
    assert (netlist.ff, netlist.srl, netlist.carry, netlist.muxf, netlist.dsp, netlist.bram) == (3, 1, 1, 1, 1, 3)
    assert netlist.histogram()["FDRE"] == 3


def test_depth_counts_luts_between_registers() -> None:
    assert chain().depth() == 2
    assert Netlist(()).depth() == 0


def test_a_combinational_loop_is_an_error() -> None:
    with pytest.raises(ToolError, match="combinational loop"):
        Netlist((Cell("LUT2", (1, 2), (3,)), Cell("LUT2", (3, 4), (2,)))).depth()


def test_share_of_the_luts_that_serve_tables_only() -> None:
    assert chain().lut_share(re.compile(r"\.t\d+_\d+$")) == pytest.approx(1 / 9)  # the LUT4; the LUT2 serves y too
    assert chain().lut_share(re.compile("nothing")) is None


def test_reading_a_netlist(tmp_path: Path) -> None:
    def lut(output: int) -> dict[str, object]:
        directions = {"I0": "input", "I1": "input", "O": "output"}
        return {"type": "LUT2", "port_directions": directions, "connections": {"I0": [2], "I1": ["1"], "O": [output]}}

    carry = {"type": "CARRY4", "port_directions": {"S": "input", "O": "output"}, "connections": {"S": [3, 4], "O": [5]}}
    module = {
        "cells": {"a": lut(3), "b": lut(4), "c": carry},
        "ports": {"in": {"direction": "input", "bits": [2]}, "out": {"direction": "output", "bits": [5, "0"]}},
        "netnames": {"out": {"bits": [5, "0"]}, "$1": {"hide_name": 1, "bits": [3]}},
    }
    path = tmp_path / "n.json"
    path.write_text(json.dumps({"creator": "Yosys 0", "modules": {"top": module}}))
    netlist = Netlist.read(path, "top")
    assert netlist.cells[0] == Cell("LUT2", (2,), (3,))
    assert (netlist.outputs, netlist.names, netlist.creator) == ((5,), {"out": (5,)}, "Yosys 0")
    assert netlist.carry_selects == {3, 4}
    assert (netlist.lut, netlist.lut_paired, netlist.lut_paired_strict) == (2, 1, 2)


def test_reading_a_file_that_is_no_netlist(tmp_path: Path) -> None:
    path = tmp_path / "n.json"
    with pytest.raises(ToolError, match="Yosys wrote no netlist of top"):
        Netlist.read(path, "top")
    path.write_text(json.dumps({"modules": {}}))
    with pytest.raises(ToolError, match="Yosys wrote no netlist of top"):
        Netlist.read(path, "top")


@pytest.mark.parametrize(
    ("part", "family"),
    [
        ("xcvu9p-flga2104-2L-e", "xcup"),
        ("XCVU35P-fsvh2104-2-e", "xcup"),
        ("xczu7ev-ffvc1156-2-e", "xcup"),
        ("xcku5p-ffvb676-2-e", "xcup"),
        ("xcku5p", "xcup"),
        ("xcau10p-ffvb676-1-e", "xcup"),
        ("xck26-sfvc784-2LV-c", "xcup"),
        ("xcu250-figd2104-2L-e", "xcup"),
        ("xcku040-ffva1156-2-e", "xcu"),
        ("xcvu095", "xcu"),
        ("xc7a35tcpg236-1", "xc7"),
        ("xc7z020clg400-1", "xc7"),
    ],
)
def test_families(part: str, family: str) -> None:
    assert yosys_family(part) == family


@pytest.mark.parametrize("part", ["", "lfe5u-85f", "xcvc1902-vsva2197", "xc9536", "../xcvu9p", "10AX115"])
def test_unknown_parts_are_refused_with_a_remedy(part: str) -> None:
    with pytest.raises(ConfigError, match=r"set hardware\.part"):
        yosys_family(part)
