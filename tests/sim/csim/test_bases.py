"""csim == numba == torch for every basis unit: kinds x {ROM, arithmetic} x {shared, per input}; edge tables of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pymodel.ir import HostSpec, IntArray, KanIR, KanLinear, Task, to_edge_tables
from pymodel.layers import KAN, EfficientKANLinear, FastKANLinear, FrozenKAN, KAGNLinear
from pymodel.lower import lower
from pymodel.quant import freeze, quantize_model
from pymodel.reference import Reference
from pymodel.settings import QuantizeSettings
from sim.csim import Csim
from sim.equivalence import compare
from tests.sim.csim.projects import convert, convert_ir
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


@pytest.mark.parametrize("implementation", ["rom", "arith"])
def test_trained_families_in_one_chain(implementation: str, tmp_path: Path) -> None:
    """B-splines, Gaussians, polynomials, one layer each, real tables: codes of one family feed the next one."""
    torch.manual_seed(4)
    layers = [
        EfficientKANLinear(2, 3, grid=4, order=3, range=(-2.0, 2.0), activation="gelu"),
        FastKANLinear(3, 2, activation="tanh"),
        KAGNLinear(2, 2, before="silu", norm="none"),
    ]
    x = (torch.rand(300, 2) - 0.5) * 4
    # An input type of the codes' width: the first layer's codes are aligned with its grid.
    settings = QuantizeSettings(activations=5, input=6, first_activations=6, basis=7, implementation=implementation)
    quantized = quantize_model(KAN([2, 3, 2, 2], layers), settings)
    quantized.calibrate(x)
    host = HostSpec(Task.REGRESSION, ("a", "b"), (0.0, 0.0), (1.0, 1.0))
    frozen = freeze(quantized, name="kan", host=host)
    ir = lower(frozen)
    convert(frozen, tmp_path)
    config = (tmp_path / "firmware" / "parameters.h").read_text()
    first = "bspline_rom_aligned" if implementation == "rom" else "bspline_arith"
    for unit in (first, f"rbf_{implementation}", f"gram_{implementation}"):
        assert f"typedef kan4ml::{unit}_unit unit;" in config
    axis = np.arange(-32, 32)
    X = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # every input there is
    want = Reference(ir).run(X)
    for layer in ir.layers:
        assert np.unique(want[layer.name]).size > 8
    assert_equal(ir, Csim(tmp_path).run(X), want)
    for name, Y in frozen.run(X).items():
        np.testing.assert_array_equal(Y, want[name])


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
