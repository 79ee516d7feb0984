"""The reference against plain Python integers, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from pymodel.errors import DataError
from pymodel.ir import IntArray, KanIR, KanLinear, to_edge_tables
from pymodel.reference import Reference
from tests.pymodel.reference.evaluator import evaluate
from tests.strategies import corner_inputs, kan_irs, random_inputs, random_ir


def assert_exact(ir: KanIR, X: IntArray) -> None:
    got = Reference(ir).run(X)
    assert list(got) == [node.name for node in ir.nodes]
    for row, x in enumerate(X.tolist()):
        for name, expected in evaluate(ir, x).items():
            assert got[name][row].tolist() == expected, (name, row, x)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(ir=kan_irs())
def test_random_programs_equal_plain_integers(ir: KanIR) -> None:
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 12, np.random.default_rng(0))])
    assert_exact(ir, X)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("edge_tables", [0.0, 1.0])
def test_every_input_of_a_small_layer(seed: int, edge_tables: float) -> None:
    ir = random_ir(seed, widths=(2, 3), edge_tables=edge_tables, in_bits=4)
    t = ir.input.out_type
    X = np.array(list(itertools.product(range(t.min_int, t.max_int + 1), repeat=2)), dtype=np.int64)
    assert_exact(ir, X)


def test_the_random_programs_reach_every_kind_of_layer() -> None:
    """The comparison above says little if the programs are dull."""
    layers = [node for seed in range(200) for node in random_ir(seed, widths=(3, 3, 3)).layers]
    kans = [node for node in layers if isinstance(node, KanLinear)]
    assert 0 < len(kans) < len(layers)
    assert any(node.base is None for node in kans)
    assert any(node.base is not None and node.base.coder != node.spline.coder for node in kans)
    assert any(node.spline.coder.is_identity for node in kans)
    assert any(node.spline.coder.mult.size > 1 and (node.spline.coder.mult < 0).any() for node in kans)
    assert any(not node.alive.all() for node in layers)
    assert any(not node.alive.any() for node in layers)
    assert any((node.rescale.spline_mult < 0).any() for node in kans)
    assert {node.spline.basis.window for node in kans} == {1, 2, 3, 4}
    assert any(node.rescale.shift == 0 for node in kans)
    bounds = [ir.bounds[node.name] for ir in map(random_ir, range(100)) for node in ir.layers]
    assert max(b.absolute for b in bounds) > 1 << 50
    varied = 0
    for seed in range(100):
        ir = random_ir(seed)
        Y = Reference(ir).run(random_inputs(ir, 50, np.random.default_rng(seed)))[ir.output]
        varied += bool(np.ptp(Y, axis=0).any())
    assert varied > 45


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 200])
@pytest.mark.parametrize("threads", [None, 1, 2, 999])
def test_rows_and_threads_do_not_matter(rows: int, threads: int | None) -> None:
    ir = random_ir(7)
    X = random_inputs(ir, 200, np.random.default_rng(1))
    all_rows = Reference(ir).run(X)
    some = Reference(ir).run(X[:rows], threads=threads)
    for name, values in some.items():
        assert values.shape[0] == rows
        assert (values == all_rows[name][:rows]).all()


def test_any_integer_type_and_layout_of_input() -> None:
    ir = random_ir(3, in_bits=6)
    X = random_inputs(ir, 20, np.random.default_rng(1))
    expected = Reference(ir).run(X)[ir.output]
    read_only = X.copy()
    read_only.setflags(write=False)
    for same in (X.astype(np.int16), np.asfortranarray(X), X.tolist(), read_only):
        got = Reference(ir).run(same)
        assert (got[ir.output] == expected).all()
        assert got[ir.input.name] is not same


@pytest.mark.parametrize("seed", range(40))
def test_edge_tables_give_the_same_integers_at_every_node(seed: int) -> None:
    ir = random_ir(seed, edge_tables=0.0)
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 200, np.random.default_rng(seed))])
    expected, got = Reference(ir).run(X), Reference(to_edge_tables(ir)).run(X)
    assert expected.keys() == got.keys()
    for name, values in expected.items():
        assert (got[name] == values).all(), name


@pytest.mark.parametrize("array", ["weights", "values", "start", "spline_mult", "bias", "offset"])
def test_one_changed_constant_is_seen(array: str) -> None:
    """Sabotage: the comparison must be able to fail."""
    ir = random_ir(1, widths=(3, 2), edge_tables=0.0, in_bits=6, out_bits=20)
    node = ir.layers[0]
    assert isinstance(node, KanLinear)
    spline, rescale = node.spline, node.rescale
    match array:
        case "weights":
            spline = dataclasses.replace(spline, weights=spline.weights + 1)
        case "values":
            spline = dataclasses.replace(
                spline, basis=dataclasses.replace(spline.basis, values=spline.basis.values + 1)
            )
        case "start":
            basis = spline.basis
            start = (basis.start + 1) % (basis.n_basis - basis.window + 1)
            spline = dataclasses.replace(spline, basis=dataclasses.replace(basis, start=start))
        case "offset":
            coder = dataclasses.replace(spline.coder, offset=spline.coder.offset + (1 << spline.coder.shift))
            spline = dataclasses.replace(spline, coder=coder)
        case "spline_mult":
            rescale = dataclasses.replace(rescale, spline_mult=rescale.spline_mult + 1)
        case _:
            rescale = dataclasses.replace(rescale, bias=rescale.bias + (1 << rescale.shift))
    changed = dataclasses.replace(node, spline=spline, rescale=rescale)
    other = KanIR(name=ir.name, nodes=(ir.input, changed), output=ir.output, host=ir.host)
    X = random_inputs(ir, 300, np.random.default_rng(0))
    assert (Reference(ir).run(X)[ir.output] != Reference(other).run(X)[ir.output]).any()


def test_wrong_inputs_are_refused_with_the_remedy() -> None:
    ir = random_ir(5, in_bits=4)
    reference = Reference(ir)
    t = ir.input.out_type
    good = random_inputs(ir, 2, np.random.default_rng(0))
    with pytest.raises(DataError, match=r"shape \(rows, 5\) were expected, not \(2, 4\)"):
        reference.run(good[:, :4])
    with pytest.raises(DataError, match="shape"):
        reference.run(good[0])
    with pytest.raises(DataError, match="not float64; quantize"):
        reference.run(good.astype(np.float64))
    with pytest.raises(DataError, match="not bool"):
        reference.run(good > 0)
    for bad in (t.min_int - 1, t.max_int + 1):
        X = good.copy()
        X[1, 2] = bad
        with pytest.raises(DataError, match=rf"in {t.min_int} … {t.max_int} were expected, found .*{bad}"):
            reference.run(X)
    with pytest.raises(DataError, match=r"in .* were expected"):
        reference.run(np.full((1, 5), 1 << 63, dtype=np.uint64))
    with pytest.raises(DataError, match="at least one thread"):
        reference.run(good, threads=0)


#: Headers of the same integers on another schedule or in other arithmetic: they share their mirrors with the plain ones.
_SCHEDULES = {"banked_mac", "edge_rows", "kan_dense_rolled", "rolled", "sums"}
_SCHEDULES |= {"conv_stream", "dense_stream", "line_buffer", "stream_vector"}


def test_one_file_per_header() -> None:
    root = Path(__file__).parents[3]
    headers = {p.stem for p in (root / "hls" / "kan4ml").glob("*.h")} - {"kan4ml", "kan4ml_stream", "types"}
    assert headers >= _SCHEDULES
    headers -= _SCHEDULES
    kernels = {p.stem for p in (root / "pymodel" / "reference").glob("[a-z]*.py")}
    assert headers == kernels
