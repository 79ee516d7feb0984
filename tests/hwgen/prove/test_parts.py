"""The parts of the checker alone: netlist text, tokens, sums, carry-save logic."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.prove._compressor import Local, rewritten
from hwgen.prove._domain import Domain, Element
from hwgen.prove._errors import NotProvenError
from hwgen.prove._forms import expanded, read_form, result_bits
from hwgen.prove._functions import Fn, Variables
from hwgen.prove._mutants import mutants
from hwgen.prove._netlist import parse_rtlil
from hwgen.prove._source import check_source, tokens
from hwgen.prove._sums import attained, entries_at
from pymodel.ir import FixedPoint
from tests.hwgen.prove.hand import VERILOG

HEAD = "module \\t\n  wire width 3 input 1 \\a\n  wire width 2 output 2 \\y\n"


def test_netlist_text():
    netlist = parse_rtlil(f"{HEAD}  connect \\y {{ \\a [2] 1'1 }}\nend\n", "t")
    a, y = netlist.ports["a"].bits, netlist.ports["y"].bits
    assert netlist.roots(y) == (1, a[2])
    assert netlist.names[a[1]] == "a[1]"
    slices = parse_rtlil(f"{HEAD}  connect \\y \\a [2:1]\nend\n", "t")
    assert slices.roots(slices.ports["y"].bits) == slices.ports["a"].bits[1:]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("  connect \\y 2'01\n  connect \\y [0] 1'1\n", "y[0] has two drivers"),
        ("  connect \\a [0] 1'1\n", "a[0] has two drivers"),
        ("  connect \\y \\a\n", "joins 2 and 3 bits"),
        ("  connect \\y \\b\n", "cannot read"),
        ("  attribute \\init 1'1\n  wire \\q\n", "initial value"),
        ("  process $p\n  end\n", "not modelled"),
        ("  cell $memwr_v2 \\w\n    connect \\DATA 1'1\n  end\n", "writes a memory"),
        ("  connect 1'1 \\a [0]\n", "drives a constant"),
    ],
)
def test_netlists_that_are_refused(body, reason):
    with pytest.raises(NotProvenError, match=reason.replace("[", r"\[").replace("]", r"\]")):
        parse_rtlil(f"{HEAD}{body}end\n", "t")


def test_assignments_in_a_circle():
    netlist = parse_rtlil(f"{HEAD}  wire \\b\n  connect \\b \\y [0]\n  connect \\y {{ \\a [0] \\b }}\nend\n", "t")
    with pytest.raises(NotProvenError, match="circle"):
        netlist.roots(netlist.ports["y"].bits)


def test_tokens_are_the_text():
    assert "".join(token.text for token in tokens(VERILOG, "v")) == VERILOG
    check_source(VERILOG, "v")


def test_mutants_change_one_token_and_repeat():
    found = list(mutants({"v": VERILOG}, 200, seed=3))
    assert found == list(mutants({"v": VERILOG}, 200, seed=3))
    assert len({m.kind for m in found}) >= 9
    assert all(m.text != VERILOG and m.after != m.before for m in found)


def _domain(*reaches: tuple[int, np.ndarray | None]) -> tuple[Domain, list[list[Fn]]]:
    """Return a domain with an element of so many bits for each pair of width and integers that occur."""
    domain = Domain(Variables())
    words = []
    for number, (width, reach) in enumerate(reaches):
        bits = [Fn((domain.variables.new(),), np.array([0, 1], dtype=np.uint8), None, 1) for _ in range(width)]
        domain.add(Element(("x", number), tuple(bits), FixedPoint(width, width, signed=False), reach))
        words.append(bits)
    return domain, words


def _weighted(word: list[Fn], scale: int = 1) -> list[tuple[int, Fn]]:
    return [(scale << j, f) for j, f in enumerate(word)]


def test_sums_are_exact_whatever_their_width():
    domain, (a, b, c) = _domain((3, None), (3, None), (3, None))
    form = read_form([*_weighted(a), *_weighted(b, -1), *_weighted(c, 5)], 8, domain, offset=-3)
    assert (form.low, form.high) == (-10, 39)
    bits = result_bits(form, domain)
    # Read with its sign and extended to 12 bits, it is the same sum; without a sign it is another integer.
    again = read_form(_weighted([*bits, *[bits[-1]] * 4]), 12, domain)
    assert (again.low, again.high) == (-10, 39)
    unsigned = read_form(_weighted(bits), 12, domain)
    assert (unsigned.low, unsigned.high) == (0, 255)
    for x, y, z in np.ndindex(8, 8, 8):
        total = form.const + sum(
            int(term.values[tuple({0: x, 1: y, 2: z}[var // 3] >> (var % 3) & 1 for var in term.vars)])
            for term in form.terms
        )
        assert (total - (x - y + 5 * z - 3)) % 256 == 0


def test_only_what_occurs_bounds_a_sum():
    everything, (a, b) = _domain((3, None), (3, None))
    some, (c, d) = _domain((3, np.array([0, 1, 2])), (3, np.array([1, 5])))
    assert read_form([*_weighted(a), *_weighted(b)], 8, everything).high == 14
    form = read_form([*_weighted(c), *_weighted(d)], 8, some)
    assert (form.low, form.high) == (1, 7)
    values = attained(form.const, form.terms, some)
    assert values is not None
    assert values.tolist() == [1, 2, 3, 5, 6, 7]
    assert entries_at(4, form.const, form.terms, some) is None
    found = entries_at(6, form.const, form.terms, some)
    assert found is not None
    assert sum(found[var] << (var % 3) for var in found) == 6


def test_low_bits_that_are_dropped():
    domain, (a, b) = _domain((2, None), (2, None))
    form = read_form([*_weighted(a, 2), *_weighted(b)], 5, domain)
    half = read_form(_weighted(result_bits(form, domain)[1:]), 8, domain)
    for x, y in np.ndindex(4, 4):
        bits = {var: (x, y)[var // 2] >> (var % 2) & 1 for var in range(4)}
        total = half.const + sum(int(term.values[tuple(bits[var] for var in term.vars)]) for term in half.terms)
        assert total == (2 * x + y) >> 1


def test_a_bit_of_a_sum_is_a_function_of_what_is_summed():
    domain, (a, b) = _domain((2, None), (2, None))
    form = read_form([*_weighted(a), *_weighted(b)], 3, domain)
    for j, bit in enumerate(result_bits(form, domain)):
        f = expanded(bit, domain)
        assert f.vars == (0, 1, 2, 3)[: len(f.vars)] or j == 0
        for x, y in np.ndindex(4, 4):
            index = tuple((x, y)[var // 2] >> (var % 2) & 1 for var in f.vars)
            assert int(f.values[index]) == (x + y) >> j & 1


XOR3 = (0, 1, 1, 0, 1, 0, 0, 1)
MAJORITY = (0, 0, 0, 1, 0, 1, 1, 1)


def test_a_compressor_is_the_sum_of_what_it_compresses():
    sources = ((10, 0), (11, 0), (12, 0))
    offset, terms = rewritten([(4, Local(20, sources, XOR3)), (8, Local(21, sources, MAJORITY))], 8)
    assert offset == 0
    assert sorted(terms) == [(4, source) for source in sources]


@pytest.mark.parametrize("table", [(0, 0, 0, 1, 0, 1, 1, 0), (0, 1, 1, 1, 1, 1, 1, 1)])
def test_another_function_is_not(table):
    sources = ((10, 0), (11, 0), (12, 0))
    _, terms = rewritten([(1, Local(20, sources, XOR3)), (2, Local(21, sources, table))], 8)
    assert sorted(terms) == [(1, (20, 0)), (2, (21, 0))]


def test_the_carry_beyond_a_word_may_be_missing():
    sources = ((10, 0), (11, 0), (12, 0))
    top = Local(20, sources, XOR3)
    assert rewritten([(128, top)], 8)[1] == [(128, source) for source in sources]
    assert rewritten([(64, top)], 8)[1] == [(64, (20, 0))]
