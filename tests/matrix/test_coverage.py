"""Both sides of every saturation, and every address of every ROM, are reached; the counts are printed (`pytest -s`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.cells import BASES, IMPLEMENTATIONS, LAYERS, Cell, case
from tests.matrix.coverage import cover, roms
from tests.matrix.knots import EDGES

pytestmark = pytest.mark.xdist_group("matrix")

#: What must be among the decisions: the saturations of coder, basis units, window and output.
SATURATIONS = {
    "coder.h": ["if (floored < 0) {", "} else if (floored > last) {"],
    "rescale.h": ["if (floored < lowest) {", "} else if (floored > highest) {"],
    "basis_window.h": ["if (cell > last) {", "} else if (cell > 0) {"],
    "bspline_arith.h": ["if (rounded < 0) {"],
    "rbf_arith.h": ["if (segment >= n_segments) {"],
    "gram_arith.h": ["if (index > (int)CONFIG::n_silu - 1) {", "} else if (index > 0) {"],
}
#: What must be among them of convolutions: pixels that do not exist, in arrays and in streams, and windows that do.
WINDOWS = {
    "window2d.h": ["if (pixel[t] < 0) {"],
    "line_buffer.h": ["if (complete) {"],
}


def test_both_sides_of_every_decision(tmp_path: Path) -> None:
    decisions = cover(tmp_path)
    for decision in decisions:
        print(f"{decision.header}:{decision.line}: {decision.counts} {decision.text}")
    found = {(decision.header, decision.text) for decision in decisions}
    assert {(header, text) for header, texts in (SATURATIONS | WINDOWS).items() for text in texts} <= found
    assert [decision for decision in decisions if not all(decision.counts)] == []


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("basis", BASES)
def test_every_address(basis: str, implementation: str, layer: str) -> None:
    job = case(Cell(basis, implementation, "latency", "io_parallel", layer), "knots")
    tables = roms(job)
    print(f"{layer}, {basis}, {implementation}: {tables}")
    assert all(rom.reached == rom.reachable <= rom.size for rom in tables)
    assert tables[0].reached == tables[0].size == 49


def test_the_inputs_are_edges() -> None:
    job = case(Cell("bspline", "rom", "latency", "io_parallel", "dense"), "knots")
    kind = job.ir.input.out_type
    assert {kind.min_int, kind.max_int, -32, -31, -33, 0, 1, -1, 32} <= set(EDGES)
    assert {tuple(row) for row in job.X.tolist()} >= {(a, b) for a in EDGES for b in EDGES}
    assert job.expected.min() == -16
    assert job.expected.max() == 15
