"""A subset of the matrix in which any two choices meet, through hls4ml's whole flow: convert, write, compile, simulate.

The cells of an IO type and a kind of layer are the layers of one model, so that one project is compiled for all of them;
every layer's integers are compared.
"""

from __future__ import annotations

import contextlib
import io as text_io
import itertools
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import pytest

from pymodel.ir import ConvGeometry, FixedPoint, KanIR, Node
from pymodel.layers import FrozenKAN
from pymodel.reference import Reference
from sim.csim import Csim
from sim.equivalence import compare
from tests.hwgen.plugin.test_mixed import quickly_compiled
from tests.matrix.cells import CELLS, IOS, LAYERS, MODES, Cell, Refusal, ask
from tests.spatial import program, random_conv
from tests.strategies import corner_inputs, random_inputs, random_ir

pytestmark = pytest.mark.xdist_group("matrix")

Group = tuple[str, str]
ROWS = 500
#: A convolution of this shape gives an image of the same shape: any number of them follow each other.
_IMAGES = {
    "conv1d": ConvGeometry(1, 8, 2, 1, 3, 1, 1, 0, 0, 1, 1),
    "conv2d": ConvGeometry(4, 3, 2, 3, 3, 1, 1, 1, 1, 1, 1),
}


def pairs(cell: Cell) -> set[tuple[tuple[int, str], ...]]:
    """Return the pairs of choices that meet in a cell."""
    return set(itertools.combinations(enumerate(astuple(cell)), 2))


def covering(cells: Iterable[Cell]) -> list[Cell]:
    """Return few of the cells in which all pairs of choices meet that meet in any: always the one with most new pairs."""
    left = set().union(*(pairs(cell) for cell in cells))
    chosen = []
    while left:
        best = max(cells, key=lambda cell: len(pairs(cell) & left))
        chosen.append(best)
        left -= pairs(best)
    return chosen


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> dict[Group, list[Cell]]:
    """The chosen cells by IO type and kind of layer."""
    folder = tmp_path_factory.mktemp("pairs")
    legal = [cell for cell in CELLS if not isinstance(ask(cell, "small", folder), Refusal)]
    chosen = covering(legal)
    assert set().union(*map(pairs, chosen)) == set().union(*map(pairs, legal))
    assert len(chosen) <= len(legal) // 2
    found = defaultdict(list)
    for cell in chosen:
        found[cell.io, cell.layer].append(cell)
    return found


def chain(cells: list[Cell]) -> KanIR:
    """Return a program whose layers have the bases of the cells, one after the other."""
    layer, bases = cells[0].layer, [f"{cell.basis}_{cell.implementation}" for cell in cells]
    seed = zlib.crc32(" ".join(cell.name for cell in cells).encode())
    if layer == "dense":
        return random_ir(
            seed, widths=(4, *(4 for _ in cells)), edge_tables=0.0, in_bits=6, code_bits=5, out_bits=7, bases=bases
        )
    rng = np.random.default_rng(seed)
    kind = first = FixedPoint(6, 2, signed=True)
    nodes: list[Node] = []
    for index, basis in enumerate(bases):
        out = FixedPoint(5, 5, signed=False) if index < len(bases) - 1 else FixedPoint(7, 4, signed=True)
        source = nodes[-1].name if nodes else "x"
        while True:
            node = random_conv(rng, f"layers_{index}", source, kind, out, _IMAGES[layer], 2, basis=basis)
            if node.coders[0] == node.coders[-1]:  # as rolled windows between streams need it
                break
        nodes.append(node)
        kind = out
    return program(nodes, first)


def options(cell: Cell, n_in: int) -> dict[str, Any]:
    """Return the layer's configuration in hls4ml."""
    strategy, reuse = MODES[cell.mode]
    return {"Strategy": strategy, "ReuseFactor": n_in if reuse == "all" else reuse}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("io", IOS)
def test_csim_equals_the_reference(groups: dict[Group, list[Cell]], io: str, layer: str, tmp_path: Path) -> None:
    cells = groups[io, layer]
    ir = chain(cells)
    parts = [getattr(node, "layers", (node,))[0] for node in ir.layers]
    names = {node.name: options(cell, part.n_in) for node, cell, part in zip(ir.layers, cells, parts, strict=True)}
    config = {
        "Model": {"Precision": "ap_fixed<16,6>", "ReuseFactor": 1, "ChannelsLastConversion": "off"},
        "LayerName": names,
        "InputShape": (ir.input.size,),
    }
    with contextlib.redirect_stdout(text_io.StringIO()):
        model = hls4ml.converters.convert_from_pytorch_model(
            FrozenKAN.from_ir(ir), output_dir=str(tmp_path), backend="VitisKAN", hls_config=config, io_type=io
        )
        with quickly_compiled():
            model.compile()
    X = np.concatenate((corner_inputs(ir), random_inputs(ir, ROWS, np.random.default_rng(0))))
    expected = Reference(ir).run(X)
    border = compare(
        "csim_vs_reference", Csim(Path(model._top_function_lib._name)).run(X), expected, [n.name for n in ir.layers]
    )
    assert border.equal, str(border.first)
    assert np.unique(expected[ir.output]).size > 1
