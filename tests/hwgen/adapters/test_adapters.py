"""Vitis HLS and Bambu as their documentation has them: command lines, reports, and RTL that the one bench drives.

Neither tool is here. A stand-in on PATH records what it is asked for and hands out the fixtures (fixtures/README.md); its
RTL looks up the reference's answers, so the wrapper is what the co-simulation tests.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hwgen.adapters import (
    HlsReport,
    bambu_command,
    bambu_shim,
    find_bambu,
    find_vitis,
    generate,
    parse_bambu_log,
    parse_bambu_results,
    parse_csynth,
    parse_ports,
    vitis_command,
    vitis_tcl,
)
from hwgen.adapters._bambu import words
from hwgen.adapters._wrapper import bambu_core, vitis_core
from hwgen.openhls._translate import Slots
from hwgen.tables._vectors import to_hex
from pymodel.errors import ConfigError, ToolError
from pymodel.ir import IntArray, KanIR
from pymodel.reference import Reference
from sim.cosim import cosim
from sim.csim import find_compiler
from tests.sim.csim.projects import PART, convert_ir
from tests.strategies import random_ir

FIXTURES = Path(__file__).parent / "fixtures"
X = np.array([(a, b) for b in range(16) for a in range(16)])
SOURCE, RESULT = Slots(2, 4, False), Slots(2, 17, True)

# The module's project is written once.
pytestmark = pytest.mark.xdist_group("adapters")


@pytest.fixture(scope="module")
def ir() -> KanIR:
    return random_ir(5, widths=(2, 2), edge_tables=1.0, in_bits=4)


@pytest.fixture(scope="module")
def expected(ir: KanIR) -> dict[str, IntArray]:
    return Reference(ir).run(X)


@pytest.fixture
def project(ir: KanIR, tmp_path: Path) -> Path:
    convert_ir(ir, tmp_path / "project")
    return tmp_path / "project"


def stand_in(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program on PATH that writes its arguments, one a line, to `called`, and then runs `body`."""
    tool = folder / "bin" / name
    tool.parent.mkdir(exist_ok=True)
    tool.write_text('#!/bin/sh\nset -e\nprintf "%s\\n" "$@" > called\n' + body)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")


def answers(folder: Path, ir: KanIR, expected: dict[str, IntArray]) -> Path:
    path = folder / "answers"
    path.write_text(to_hex(expected[ir.output], RESULT.width))
    return path


def check_rtl(rtl: Path, ir: KanIR, expected: dict[str, IntArray], engine: str, work: Path) -> None:
    result = cosim(rtl, X, expected, work_dir=work)
    assert result.equal, (result.first, result.problems)
    assert (result.engine, result.vectors, result.stream) == (engine, 256, True)
    wrong = {**expected, ir.output: expected[ir.output].copy()}
    wrong[ir.output][77, 1] ^= 1
    result = cosim(rtl, X, wrong, work_dir=work)
    assert result.reused
    assert result.first is not None
    assert (result.first.vector, result.first.element) == (77, 1)


@pytest.mark.rtl
def test_vitis(
    ir: KanIR, expected: dict[str, IntArray], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = answers(tmp_path, ir, expected)
    syn = "hls/solution1/syn"
    stand_in(
        tmp_path,
        "vitis-run",
        f"mkdir -p {syn}/report {syn}/verilog\ncp {FIXTURES}/kan_top_csynth.xml {syn}/report\n"
        f"cp {FIXTURES}/kan_top.v {syn}/verilog\ncp {data} {syn}/verilog/answers.dat\n",
        monkeypatch,
    )
    design = generate(ir, tmp_path / "rtl", tool="vitis", project=project, part=PART, clock_ns=5.0)
    work = project / "kan4ml_vitis"
    assert (work / "called").read_text().split() == ["--mode", "hls", "--tcl", "run.tcl"]
    assert (work / "run.tcl").read_text() == vitis_tcl("kan_top", part=PART, clock_ns=5.0)
    assert design.report == parse_csynth(FIXTURES / "kan_top_csynth.xml")
    assert design.files == ("answers.mem", "kan4ml_vitis_stream.v", "kan4ml_vitis_stream_axis.v", "kan_top.v")
    check_rtl(design.folder, ir, expected, "vitis", tmp_path / "work")


@pytest.mark.rtl
def test_bambu(
    ir: KanIR, expected: dict[str, IntArray], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = answers(tmp_path, ir, expected)
    stand_in(
        tmp_path,
        "bambu",
        f"cp {FIXTURES}/kan4ml_bambu.v {FIXTURES}/bambu_results_0.xml .\ncp {data} answers.mem\ncat {FIXTURES}/bambu.log\n",
        monkeypatch,
    )
    design = generate(
        ir, tmp_path / "rtl", tool="bambu", project=project, part=PART, clock_ns=5.0, device="xc7z020-1clg484-VVD"
    )
    work = project / "kan4ml_bambu"
    assert (work / "called").read_text().splitlines() == list(design.command[1:])
    assert (work / "kan4ml_bambu.cpp").read_text() == bambu_shim("kan_top", SOURCE, RESULT)
    assert (design.report.target_ns, design.report.latency_max, design.report.ff) == (5.0, 5, 288)
    assert "Date" not in (design.folder / "kan4ml_bambu.v").read_text()
    check_rtl(design.folder, ir, expected, "bambu", tmp_path / "work")


def test_the_function_for_bambu_computes_what_the_model_does(
    ir: KanIR, expected: dict[str, IntArray], project: Path, tmp_path: Path
) -> None:
    source = project / "kan4ml_bambu.cpp"
    source.write_text(bambu_shim("kan_top", SOURCE, RESULT))
    library = tmp_path / "shim.so"
    # Without __SYNTHESIS__, for which hls4ml's ap_types have declarations only; Bambu brings its own.
    flags = ("-std=c++14", "-O0", "-w", "-shared", "-fPIC", "-Ifirmware", "-Ifirmware/ap_types", '-DWEIGHTS_DIR=""')
    subprocess.run(
        [find_compiler()[0], *flags, source.name, "-o", str(library)],
        cwd=project,
        check=True,
    )
    function = ctypes.CDLL(str(library)).kan4ml_bambu
    function.restype, function.argtypes = ctypes.c_ulonglong, [ctypes.c_ulonglong]
    words_out = np.array([function(int(a) | int(b) << 4) for a, b in X])
    got = np.stack([words_out & 0x1FFFF, words_out >> 17 & 0x1FFFF], axis=1).astype(np.int64)
    np.testing.assert_array_equal(got - (got >> 16 << 17), expected[ir.output])


def test_command_lines() -> None:
    assert vitis_command("vitis-run", "run.tcl") == ["vitis-run", "--mode", "hls", "--tcl", "run.tcl"]
    assert vitis_command("vitis_hls", "run.tcl") == ["vitis_hls", "-f", "run.tcl"]
    assert vitis_tcl("kan_top", part=PART, clock_ns=2.5, export=True).splitlines() == [
        "open_project -reset hls",
        "set_top kan_top",
        'add_files ../firmware/kan_top.cpp -cflags "-std=c++0x -I../firmware"',
        "open_solution -reset solution1 -flow_target vivado",
        f"set_part {PART}",
        "create_clock -period 2.5 -name default",
        "config_compile -name_max_length 80 -pipeline_style flp",
        "csynth_design",
        "export_design -format ip_catalog",
        "exit",
    ]
    command = bambu_command("bambu", "kan4ml_bambu.cpp", clock_ns=5.0)
    assert command[:6] == [
        "bambu",
        "kan4ml_bambu.cpp",
        "--top-fname=kan4ml_bambu",
        "--generate-interface=MINIMAL",
        "--compiler=I386_CLANG16",
        "--clock-period=5",
    ]
    assert {"--reset-type=sync", "--reset-level=high", "-I../firmware", "-D__SYNTHESIS__", "-lm"} < set(command)
    assert not any(word.startswith("--device-name") for word in command)
    with pytest.raises(ConfigError, match="a function and a part"):
        vitis_tcl("kan_top", part="x; exec rm", clock_ns=5.0)
    with pytest.raises(ConfigError, match="a device of Bambu"):
        bambu_command("bambu", "a.cpp", clock_ns=5.0, device="--writer=H x")


def test_reports(tmp_path: Path) -> None:
    report = parse_csynth(FIXTURES / "kan_top_csynth.xml")
    assert report == HlsReport("vitis", 5.0, 3.172, 3, 3, 1, 1, lut=517, ff=141, dsp=1, bram=2, uram=0)
    assert report.csynthesis() == {
        "TargetClockPeriod": "5",
        "EstimatedClockPeriod": "3.172",
        "BestLatency": "3",
        "WorstLatency": "3",
        "IntervalMin": "1",
        "IntervalMax": "1",
        "BRAM_18K": "2",
        "DSP": "1",
        "FF": "141",
        "LUT": "517",
        "URAM": "0",
    }
    assert len(parse_ports(FIXTURES / "kan_top_csynth.xml")) == 12
    log = parse_bambu_log((FIXTURES / "bambu.log").read_text())
    assert (log.estimated_ns, log.ff, log.dsp, log.lut, log.latency_max) == (4.0, 301, 2, None, None)
    assert log.extra == {"control_steps": 6.0, "area": 2986.0, "modules": 125.0}
    full = parse_bambu_results(FIXTURES / "bambu_results_0.xml", log)
    assert (full.estimated_ns, full.latency_min, full.ff, full.dsp, full.bram) == (3.83, 5, 288, 2, 1)
    assert full.extra["version"] == "PandA 2024.10"
    assert full.csynthesis()["EstimatedClockPeriod"] == "3.83"
    assert parse_bambu_log("nothing of interest").entry() == HlsReport("bambu").entry()

    text = (FIXTURES / "kan_top_csynth.xml").read_text()
    changed = tmp_path / "changed.xml"
    changed.write_text(text.replace(">3<", ">undef<"))
    assert parse_csynth(changed).latency_max is None
    changed.write_text(text.replace("AreaEstimates", "Area"))
    with pytest.raises(ToolError, match="did not finish"):
        parse_csynth(changed)
    changed.write_text("<profile>")
    with pytest.raises(ToolError, match="cannot be read"):
        parse_ports(changed)
    changed.write_text("<profile></profile>")
    with pytest.raises(ToolError, match="lists no ports"):
        parse_ports(changed)
    with pytest.raises(ToolError, match="cannot be read"):
        parse_csynth(tmp_path / "absent.xml")


def test_words_of_bambu() -> None:
    assert words(Slots(5, 17, True)) == [range(3), range(3, 5)]
    assert words(Slots(2, 62, True)) == [range(1), range(1, 2)]
    shim = bambu_shim("top", Slots(5, 17, True), Slots(1, 64, True))
    assert "kan4ml_bambu(unsigned long long x0, unsigned long long x1)" in shim
    assert "type(x1 >> 17)" in shim
    with pytest.raises(ConfigError, match="64 bits, but the model has 5 of 13"):
        bambu_shim("top", SOURCE, Slots(5, 13, True))


def test_ports_that_are_not_as_documented() -> None:
    ports = parse_ports(FIXTURES / "kan_top_csynth.xml")
    for index, port in enumerate(ports):
        if port.name not in ("ap_idle", "x_ap_vld", "layer2_out_0_ap_vld", "layer2_out_1_ap_vld"):
            with pytest.raises(ToolError, match=r"was expected to have"):
                vitis_core("kan_top", ports[:index] + ports[index + 1 :], SOURCE, RESULT)
    with pytest.raises(ToolError, match="2 inputs of 5 bits, but it has the ports x \\(8\\)"):
        vitis_core("kan_top", ports, Slots(2, 5, False), RESULT)
    verilog = (FIXTURES / "kan4ml_bambu.v").read_text()
    with pytest.raises(ToolError, match=r"x0, x1, but it has"):
        bambu_core(verilog, Slots(17, 4, False), RESULT)
    with pytest.raises(ToolError, match="the module kan4ml_bambu, which it lacks"):
        bambu_core("module other(); endmodule", SOURCE, RESULT)


def test_absent_or_failing_tools(ir: KanIR, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(ToolError, match="neither vitis-run nor vitis_hls is on PATH; install Vitis"):
            find_vitis()
        with pytest.raises(ToolError, match="the program bambu is not on PATH; install PandA-bambu"):
            find_bambu()
        patch.setattr(shutil, "which", lambda name: name if name == "vitis_hls" else None)
        assert find_vitis() == "vitis_hls"
    for tool, name in itertools.product(("vitis", "bambu"), ("exit 3", "true")):
        stand_in(tmp_path, "vitis-run" if tool == "vitis" else "bambu", f"echo out of memory\n{name}\n", monkeypatch)
        with pytest.raises(ToolError, match="status 3" if name == "exit 3" else "cannot be read|wrote no Verilog"):
            generate(ir, tmp_path / "rtl", tool=tool, project=project, part=PART, clock_ns=5.0)
    assert not (tmp_path / "rtl").exists()
    with pytest.raises(ConfigError, match="an adapter is for vitis or bambu, not 'quartus'"):
        generate(ir, tmp_path / "rtl", tool="quartus", project=project, part=PART, clock_ns=5.0)
    one = random_ir(5, widths=(1, 2), edge_tables=1.0, in_bits=4)
    with pytest.raises(ConfigError, match="needs two inputs or more"):
        generate(one, tmp_path / "rtl", tool="vitis", project=project, part=PART, clock_ns=5.0)
