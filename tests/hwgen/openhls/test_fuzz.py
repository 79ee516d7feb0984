"""Random programs: what the hardware computes is what the compiled C++ computes, whatever the intervals say."""

from __future__ import annotations

from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from hwgen.openhls._access import GlobalBytes
from hwgen.openhls._check import kernel_vectors, self_check
from hwgen.openhls._clang import Source
from hwgen.openhls._csim import ap_types_folder
from hwgen.openhls._exhaust import columns
from hwgen.openhls._ifconvert import Flat, flatten
from hwgen.openhls._interface import Direction, Interface, Port
from hwgen.openhls._jit import Call, CallPort
from hwgen.openhls._job import interpret, run_optimised
from hwgen.openhls._kernel import PortSpec, lower_kernel
from hwgen.openhls._llvm import parse_function
from hwgen.openhls._ops import apply
from hwgen.openhls._pipeline import make_pipeline
from hwgen.openhls._translate import slots, xls_package
from pymodel.errors import MismatchError
from tests.hwgen.openhls.programs import INPUTS, cpp_kernel, llvm_kernel

ROWS = 24
PROGRAMS = 10


def test_cpp_programs_agree_at_every_station(tmp_path: Path) -> None:
    (tmp_path / "fuzz.cpp").write_text(cpp_kernel(1, PROGRAMS, types=5), encoding="utf-8")
    source = Source(tmp_path / "fuzz.cpp", (ap_types_folder(),))
    kernel = lower_kernel(source, "top", tmp_path, (PortSpec("x", INPUTS), PortSpec("y", PROGRAMS)))
    pipeline = make_pipeline(kernel, tmp_path, "fuzz", stages=3)
    X = kernel_vectors(kernel, 200)
    jit = run_optimised(tmp_path, kernel.elaborated.symbol, kernel.call, X)
    assert len({tuple(row) for row in jit.tolist()}) > 150
    checked = self_check(kernel, pipeline.package, tmp_path, X, {})
    assert checked.stations == ("optimised LLVM (JIT)", "XLS interpreter")
    jit[7, 3] ^= 1
    with pytest.raises(MismatchError, match=r"JIT\) differs from csim in 1 of .* vector 7, output 3"):
        self_check(kernel, pipeline.package, tmp_path, X, {"csim": jit})
    whole = xls_package(kernel.flat.builder, kernel.interface, "fuzz")
    broken = whole.replace(" = add(", " = sub(", 1)
    assert broken != whole
    with pytest.raises(MismatchError, match="XLS interpreter differs from optimised LLVM"):
        self_check(kernel, broken, tmp_path, X, {})


def random_flat(seed: int, programs: int, steps: int) -> tuple[str, Flat]:
    text = llvm_kernel(seed, programs, steps)
    llvm.parse_assembly(text).verify()
    ports = (
        Port("x", INPUTS, 16, 16, True, 2, Direction.IN),
        Port("y", programs, 62, 62, True, 8, Direction.OUT),
    )
    globals_ = {"T": GlobalBytes(_table_bytes(text), True)}
    return text, flatten(parse_function(text, "top", "top"), Interface("top", ports), globals_)


def _table_bytes(text: str) -> bytes:
    return bytes(int(v.split()[1]) & 255 for v in text.split("[16 x i8] [")[1].split("]")[0].split(", "))


def _run_jit(text: str, programs: int, X: np.ndarray, folder: Path) -> np.ndarray:
    call = Call((CallPort(INPUTS, 16, True, 2, False, 0), CallPort(programs, 62, True, 8, True, 0)), 0)
    (folder / "optimised.ll").write_text(text, encoding="utf-8")
    return run_optimised(folder, "top", call, X)


@pytest.mark.parametrize("seed", range(3))
def test_intervals_hold_and_every_station_agrees(seed: int, tmp_path: Path) -> None:
    programs, steps = 40, 25
    text, flat = random_flat(seed, programs, steps)
    rng = np.random.default_rng(seed)
    X = rng.integers(-(1 << 15), 1 << 15, (ROWS, INPUTS), dtype=np.int64)
    X[:4] = np.array([0, -1, -(1 << 15), (1 << 15) - 1])[:, None]
    expected = _run_jit(text, programs, X, tmp_path)
    program, facts = flat.builder.program, flat.builder.facts
    history: dict[int, list[int]] = {number: [] for number in program.live()}
    for row in range(ROWS):
        values: dict[int, int] = {}
        for number in program.live():
            op = program.ops[number]
            widths = [program.ops[a].width for a in op.args]
            if op.kind == "input":
                values[number] = int(X[row, op.data[1]])
            else:
                values[number] = apply(op, [values[a] for a in op.args], widths)
            fact = facts[number]
            assert fact.low <= values[number] <= fact.high, (op, fact, values[number])
            assert values[number] % (1 << fact.zeros) == 0, (op, fact, values[number])
            history[number].append(values[number])
        assert [values[program.outputs["y", k]] for k in range(programs)] == expected[row].tolist()
    for number, want in history.items():  # what proves addresses computes the same, a column at a time
        op = program.ops[number]
        if op.args and all(program.ops[n].width <= 64 for n in (number, *op.args)):
            args = [np.array(history[a], dtype=np.int64) for a in op.args]
            assert columns(op, args, [program.ops[a].width for a in op.args]).tolist() == want, op
    package = xls_package(flat.builder, flat.interface, "random")
    outs = slots(flat.interface.outputs)
    got = interpret(tmp_path, package, X, in_width=16, n_out=programs, out_width=outs.width, signed=True, interpreted=4)
    assert (got == expected).all(), np.argwhere(got != expected)[:3]
