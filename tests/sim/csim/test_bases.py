"""csim == numba == torch for every basis unit: kinds x {ROM, arithmetic} x {shared, per input}; edge tables of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pymodel.ir import IntArray, KanIR, KanLinear, to_edge_tables
from pymodel.layers import FrozenKAN
from pymodel.reference import Reference
from sim.csim import Csim
from sim.equivalence import compare
from tests.sim.csim.projects import convert_ir
from tests.strategies import BASES, corner_inputs, random_inputs, random_ir

ROWS = 3000
#: Programs whose layers together have every unit, sizes that are prime or 1; the seeds make every layer's outputs move.
PROGRAMS: dict[str, tuple[int, tuple[int, ...], tuple[str, ...]]] = {
    "bsplines": (141, (3, 5, 1, 4, 2), BASES[:4]),
    "gaussians": (141, (4, 3, 1, 5, 3), BASES[4:8]),
    "polynomials": (119, (2, 7, 1, 3), BASES[8:]),
}


def program(name: str) -> KanIR:
    seed, widths, bases = PROGRAMS[name]
    return random_ir(seed, widths=widths, edge_tables=0.0, bases=bases)


def inputs(ir: KanIR) -> IntArray:
    return np.concatenate([corner_inputs(ir), random_inputs(ir, ROWS, np.random.default_rng(1))])


def assert_equal(ir: KanIR, got: dict[str, IntArray], want: dict[str, IntArray]) -> None:
    border = compare("csim_vs_reference", got, want, [node.name for node in ir.layers])
    assert list(border.nodes) == [node.name for node in ir.layers]
    assert border.equal, str(border.first)


@pytest.mark.parametrize("name", PROGRAMS)
def test_csim_equals_the_reference(name: str, tmp_path: Path) -> None:
    ir = program(name)
    X = inputs(ir)
    want = Reference(ir).run(X)
    for layer in ir.layers:
        assert np.unique(want[layer.name]).size > 1, layer.name  # or the comparison would prove little
    convert_ir(ir, tmp_path)
    assert_equal(ir, Csim(tmp_path).run(X), want)
    if name == "bsplines":  # the comparison can fail: one coefficient is another one in the C++ alone
        _change_a_coefficient(ir, tmp_path)
        got = Csim(tmp_path).run(X)
        assert (got["layers_2"] != want["layers_2"]).any()


def _change_a_coefficient(ir: KanIR, folder: Path) -> None:
    header = folder / "firmware" / "kan_tables" / "kan_layers_2.h"
    node = ir.layers[2]
    assert isinstance(node, KanLinear)
    first = str(node.spline.basis.arrays()["coefficients"][0, 0])
    text = header.read_text()
    line = next(part for part in text.splitlines() if "basis_values" in part)
    at = text.index(first, text.index(line))
    header.write_text(text[:at] + str(int(first) + 40) + text[at + len(first) :])


def test_the_programs_hold_every_unit() -> None:
    seen = []
    for name in PROGRAMS:
        for node in program(name).layers:
            assert isinstance(node, KanLinear)
            basis = node.spline.basis
            per_input = "_per_input" if basis.n_tables > 1 else ""
            seen.append(f"{basis.kind.name}_{basis.implementation.name}{per_input}".lower())
    assert seen == list(BASES)


@pytest.mark.parametrize("basis", BASES)
def test_torch_and_edge_tables_equal_the_reference(basis: str) -> None:
    for seed in range(8):
        ir = random_ir(seed, widths=(3, 2, 1)[: 2 + seed % 2], edge_tables=0.0, bases=(basis,))
        X = np.concatenate([corner_inputs(ir), random_inputs(ir, 300, np.random.default_rng(seed))])
        want = Reference(ir).run(X)
        for got in (FrozenKAN.from_ir(ir).run(X), Reference(to_edge_tables(ir)).run(X)):
            for name, Y in want.items():
                np.testing.assert_array_equal(got[name], Y)
