"""The proof on generated designs: what the generator writes is proven, and what a token changes in it is not."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.prove import mutants, prove
from hwgen.prove._netlist import parse_rtlil
from hwgen.prove._prove import prove_netlist
from hwgen.prove._witness import run_circuit
from hwgen.prove._yosys import read_design
from hwgen.tables import Passes, generate, load_tables
from pymodel.ir import KanIR
from pymodel.reference import Reference
from sim.signals import load_signals
from tests.hwgen.prove.batch import Batch
from tests.hwgen.prove.hand import VERILOG, network, write
from tests.strategies import random_inputs, random_ir

pytestmark = pytest.mark.synth

PART = "xcvu9p-flga2104-2L-e"
KANELE = Path(__file__).resolve().parents[4] / "shared" / "data" / "kanele"


def _generated(ir: KanIR, folder: Path, passes: Passes | None = None) -> Path:
    generate(ir, folder, part=PART, clock_ns=5.0, vectors=random_inputs(ir, 4, np.random.default_rng(0)), passes=passes)
    return folder


def _networks() -> dict[str, tuple[KanIR, Passes | None]]:
    """Return random networks by name, with what their generator may do."""
    result: dict[str, tuple[KanIR, Passes | None]] = {}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        widths = [int(n) for n in rng.integers(1, 6, size=int(rng.integers(2, 5)))]
        result[f"random{seed}"] = random_ir(seed + 500, widths=widths, edge_tables=0.6), None
    for name, bits in {"coders8": (8, 2), "pixels": (1, 1), "coders6": (6, 3)}.items():
        ir = random_ir(3, widths=(8, 4, 3), edge_tables=1.0, in_bits=bits[0], code_bits=bits[1])
        result[name] = ir, None
    result["plain"] = random_ir(11, widths=(5, 4, 2), edge_tables=1.0), Passes.none()
    return result


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    root = tmp_path_factory.mktemp("networks")
    folders = [_generated(ir, root / name, passes) for name, (ir, passes) in _networks().items()]
    return root, Batch(root, folders)


@pytest.mark.parametrize("name", _networks())
def test_random_networks_are_proven(name, batch, monkeypatch):
    root, reader = batch
    reader.use(monkeypatch)
    ir, _ = _networks()[name]
    proof = prove(ir, root / name)
    assert proof.proven, proof.reason
    assert [layer.node for layer in proof.layers][-1] == ir.output


def test_another_program_is_refuted(tmp_path):
    ir = random_ir(4, widths=(3, 2), edge_tables=1.0, in_bits=4)
    (layer,) = ir.layers
    folder = _generated(ir, tmp_path)
    other = type(layer)(**{**vars(layer), "bias": layer.bias + (1 << layer.shift)})
    proof = prove(KanIR(ir.name, (ir.input, other), ir.output, ir.host), folder)
    assert proof.status == "refuted"
    assert "bias" not in proof.reason  # it shows as a table or a sum that is off by a constant
    assert proof.counterexample is not None


@pytest.mark.parametrize("name", ["jsc", "mnist"])
def test_published_networks_are_proven(name, tmp_path):
    if not KANELE.is_dir():
        pytest.skip(f"{KANELE.name} tables are not there")
    ir = load_tables(KANELE / f"{name}.npz").ir
    proof = prove(ir, _generated(ir, tmp_path))
    assert proof.proven, proof.reason
    assert sum(layer.edges for layer in proof.layers) == {"jsc": 83, "mnist": 856}[name]


def _equal_everywhere(ir: KanIR, folder: Path) -> bool:
    """Run a circuit of two 2-bit inputs on all of them, each after every other, and compare."""
    signals = load_signals(folder)
    netlist = parse_rtlil(read_design(folder, signals), signals.top)
    pairs = np.stack(np.meshgrid(np.arange(16), np.arange(16)), axis=-1).reshape(-1, 2)
    now, before = (np.stack([pairs[:, k] & 3, pairs[:, k] >> 2], axis=1) for k in (0, 1))
    got, defined = run_circuit(netlist, signals, now, before)
    return bool(defined.all() and (got == Reference(ir).run(now)[ir.output]).all())


def test_changed_tokens_are_refused_or_change_nothing(tmp_path):
    ir = network()
    outcomes: Counter[str] = Counter()
    folder = write(tmp_path / "good", VERILOG)
    assert _equal_everywhere(ir, folder)
    for number, mutant in enumerate(mutants({"kan_top.v": VERILOG}, 16, seed=5)):
        changed = tmp_path / str(number)
        shutil.copytree(folder, changed)
        (changed / mutant.file).write_text(mutant.text)
        proof = prove(ir, changed)
        outcomes[proof.status] += 1
        if proof.proven:
            assert _equal_everywhere(ir, changed), mutant
    assert outcomes["refuted"] >= 1
    assert outcomes["not proven"] >= 5


def _changed(ir: KanIR, rng: np.random.Generator) -> KanIR:
    """Return the program with one entry of one edge table changed."""
    old = ir.layers[int(rng.integers(len(ir.layers)))]
    tables = old.tables.copy()
    place = tuple(int(rng.integers(n)) for n in tables.shape)
    tables[place] += int(rng.choice([-3, -1, 1, 2])) << int(rng.integers(old.shift + 1))
    nodes = tuple(replace(old, tables=tables) if node is old else node for node in ir.nodes)
    return KanIR(ir.name, nodes, ir.output, ir.host)


@pytest.mark.parametrize("seed", range(3))
def test_a_changed_program_is_proven_if_and_only_if_it_is_the_same_function(seed, tmp_path):
    ir = random_ir(seed + 9000, widths=(2, 3, 2), edge_tables=1.0, in_bits=3, code_bits=3, out_bits=5)
    signals = load_signals(_generated(ir, tmp_path))
    netlist = parse_rtlil(read_design(tmp_path, signals), signals.top)
    t = ir.input.out_type
    levels = np.arange(t.min_int, t.max_int + 1)
    X = np.stack(np.meshgrid(levels, levels), axis=-1).reshape(-1, 2)
    expected = Reference(ir).run(X)
    rng = np.random.default_rng(seed)
    for _ in range(25):
        other = _changed(ir, rng)
        got = Reference(other).run(X)
        same = all((got[name] == values).all() for name, values in expected.items())
        proof = prove_netlist(other, netlist, signals, progress=lambda _: None)
        assert proof.proven == same, proof.reason
        if proof.counterexample is not None:
            row = Reference(other).run(np.array([proof.counterexample.inputs]))[ir.output][0]
            assert row[proof.counterexample.output] == proof.counterexample.wanted != proof.counterexample.got
