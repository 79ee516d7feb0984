"""csim == numba reference, integer for integer, at every layer, for programs that use all that the contract allows."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from pymodel.errors import IRError
from pymodel.ir import EdgeTable, IntArray, KanIR, to_edge_table
from pymodel.reference import Reference
from sim.csim import Csim
from sim.equivalence import compare
from tests.sim.csim.projects import convert_ir
from tests.strategies import corner_inputs, random_inputs, random_ir

RANDOM_ROWS = 5000

#: Seeds whose programs together hold every feature; `test_the_programs_cover_the_contract` says which.
PROGRAMS: dict[str, tuple[int, tuple[int, ...]]] = {
    "deep": (16, (4, 3, 5, 2)),
    "tables": (11, (5, 5, 3, 5)),
    "wide": (22, (20, 9, 4)),
}


def program(name: str) -> KanIR:
    seed, widths = PROGRAMS[name]
    return random_ir(seed, widths=widths)


def assert_equal(ir: KanIR, got: dict[str, IntArray], X: IntArray) -> None:
    border = compare("csim_vs_reference", got, Reference(ir).run(X), [node.name for node in ir.layers])
    assert list(border.nodes) == [node.name for node in ir.layers]  # every layer was compared
    assert border.equal, str(border.first)


@pytest.mark.parametrize("name", PROGRAMS)
def test_csim_equals_the_reference(name: str, tmp_path: Path) -> None:
    ir = program(name)
    model = convert_ir(ir, tmp_path)
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, RANDOM_ROWS, np.random.default_rng(1))])
    csim = Csim(tmp_path)
    assert_equal(ir, csim.run(X), X)
    # The floats that hls4ml's own predict returns are the same integers.
    model.compile()
    y = model.predict(np.ldexp(X.astype(np.float64), -ir.input.out_type.frac))
    integers = np.ldexp(y, ir.node(ir.output).out_type.frac)
    np.testing.assert_array_equal(integers, Reference(ir).run(X)[ir.output])


def test_a_small_program_exhaustively(tmp_path: Path) -> None:
    ir = random_ir(0, widths=(2, 3, 2), in_bits=6, edge_tables=0.0)
    t = ir.input.out_type
    levels = np.arange(t.min_int, t.max_int + 1)
    X = np.array(list(itertools.product(levels, levels)), dtype=np.int64)
    expected = Reference(ir).run(X)
    assert all(np.unique(expected[node.name]).size > 1 for node in ir.layers)  # or the comparison would prove little
    convert_ir(ir, tmp_path / "dense")
    assert_equal(ir, Csim(tmp_path / "dense").run(X), X)
    # The same program in edge-table form gives the same integers.
    model = convert_ir(ir, tmp_path / "tables", "edge_table")
    assert all(isinstance(node, EdgeTable) for node in model.kan_ir.layers)
    assert_equal(ir, Csim(tmp_path / "tables").run(X), X)


def test_the_programs_cover_the_contract() -> None:
    seen = set()
    for name in PROGRAMS:
        ir = program(name)
        rows = random_inputs(ir, 200, np.random.default_rng(0))
        values = Reference(ir).run(rows)
        for node in ir.layers:
            coder = node.coder if isinstance(node, EdgeTable) else node.spline.coder
            seen |= {("per input", coder.mult.size > 1), ("identity", coder.is_identity)}
            seen |= {("signed input", ir.in_type(node).signed), ("dead edges", not node.alive.all())}
            seen |= {("moves", np.unique(values[node.name]).size > 1)}
            if isinstance(node, EdgeTable):
                seen.add(("edge table", True))
                continue
            seen |= {("base", node.base is not None), ("negative", bool((node.rescale.spline_mult < 0).any()))}
            if node.base is not None:
                seen.add(("shared coder", node.base.coder == node.spline.coder))
            try:
                to_edge_table(node, ir.in_type(node))
            except IRError:
                seen.add(("convertible", False))
    wanted = {"per input", "identity", "signed input", "dead edges", "base", "shared coder"}
    missing = {(what, value) for what in wanted for value in (True, False)} - seen
    assert not missing
    assert {("edge table", True), ("negative", True), ("moves", True)} <= seen
