"""What an engineer might change in a kernel: what stays a kernel co-simulates as it now is, what is wrong is caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.openhls import Refused, build_kernel, generate
from pymodel.errors import Kan4mlError, MismatchError
from pymodel.ir import KanIR
from sim.csim import Csim
from tests.sim.csim.projects import PART, convert_ir
from tests.sim.csim.test_bases import inputs
from tests.strategies import random_ir


@pytest.fixture
def ir() -> KanIR:
    return random_ir(3, widths=(3, 2), edge_tables=0.0, in_bits=5, code_bits=4)


@pytest.fixture
def project(ir: KanIR, tmp_path: Path) -> Path:
    convert_ir(ir, tmp_path / "hls")
    return tmp_path / "hls"


def edit(project: Path, header: str, old: str, new: str) -> None:
    path = project / "firmware" / header
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def regenerate(ir: KanIR, project: Path, folder: Path) -> None:
    generate(ir, folder, project=project, part=PART, clock_ns=5.0, vectors=inputs(ir)[:800])


@pytest.mark.rtl
def test_another_rounding_co_simulates_as_itself(ir: KanIR, project: Path, tmp_path: Path) -> None:
    before = Csim(project).run(inputs(ir)[:800])[ir.output]
    edit(project, "kan4ml/rescale.h", " + in::template term<sum_t>(half));", ");")
    after = Csim(project).run(inputs(ir)[:800])[ir.output]
    assert (before != after).any()
    firmware = project / "firmware"
    result = build_kernel(firmware / "kan_top.cpp", "kan_top", tmp_path / "out", vectors=400, synth=False)
    assert result.report["stations"] == ["csim", "optimised LLVM (JIT)", "XLS interpreter", "RTL"]
    assert result.report["equivalence"]["rtl_vs_csim.openhls"]["mismatches"] == 0
    assert [port["name"] for port in result.report["interface"]] == ["x", "layer2_out"]
    with pytest.raises(MismatchError, match=r"differs from numba reference"):
        regenerate(ir, project, tmp_path / "rtl")  # it is another function than the model's


def test_another_accumulator_is_the_same_function(ir: KanIR, project: Path, tmp_path: Path) -> None:
    path = project / "firmware" / "parameters.h"
    text = path.read_text()
    width = int(text.split("> acc_t")[0].rsplit("<", 1)[1])
    path.write_text(text.replace(f"ap_int<{width}> acc_t", f"ap_int<{width + 7}> acc_t", 1))
    regenerate(ir, project, tmp_path / "rtl")
    assert (tmp_path / "rtl" / "signals.json").is_file()


def test_a_wrong_index_is_caught(ir: KanIR, project: Path, tmp_path: Path) -> None:
    edit(project, "kan4ml/mac_array.h", "[first + j]", "[first + (j ^ 1)]")
    with pytest.raises(Kan4mlError) as caught:
        regenerate(ir, project, tmp_path / "rtl")
    assert isinstance(caught.value, MismatchError | Refused)
    assert not (tmp_path / "rtl").exists()
