"""A kernel's folder of Verilog: XLS's pipeline, the common ports around it, the AXI4-Stream wrapper and the benches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

import hwgen.tables
from hwgen.openhls._interface import Interface, Port
from hwgen.openhls._translate import Slots, slots
from hwgen.tables._vectors import to_hex
from pymodel.ir import IntArray

__all__ = ["OpenHlsDesign", "Pipeline", "templates", "write_rtl"]

ENGINE = "openhls"
#: XLS puts a register in front of the first stage and one behind the last; the port is sampled one edge later.
_EXTRA_EDGES = 1


@dataclass(frozen=True)
class Pipeline:
    """What XLS made: optimised IR, Verilog of the module `name`, stages of logic."""

    name: str
    package: str
    verilog: str
    stages: int


@dataclass(frozen=True)
class OpenHlsDesign:
    """What was generated.

    Attributes:
        folder: where the files are.
        top, axis_top, testbenches: names of the modules; a bench is not among `files`.
        latency: rising edges from the one that captures a sample to the one at which `out_valid` is sampled.
        stages: pipeline stages of logic.
        operations: live operations of the flat program.
        multiplications, roms, rom_bits: how many of them multiply or look up; bits of all tables.
        files: Verilog files, relative to `folder`.
        seconds: of every step.
    """

    folder: Path
    top: str
    axis_top: str
    testbenches: tuple[str, str]
    latency: int
    stages: int
    operations: int
    multiplications: int
    roms: int
    rom_bits: int
    files: tuple[str, ...]
    seconds: Mapping[str, float]


def templates() -> jinja2.Environment:
    """Return the templates: our own, then those of the table RTL, whose wrapper and benches serve every engine."""
    table_templates = Path(str(hwgen.tables.__file__)).parent / "templates"
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent / "templates", table_templates]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Verilog and Tcl, not HTML; every name in them is an identifier
    )


def _described(port: Port) -> str:
    kind = f"{'' if port.signed else 'u'}int{port.width}"
    point = f", {port.width - port.integer} bits behind the binary point" if port.integer != port.width else ""
    return f"{port.direction.value:3} {port.name}[{port.count}]: {kind}{point}"


def signals_json(
    interface: Interface, context: Mapping[str, Any], ins: Slots, outs: Slots, nodes: tuple[str, ...], output: str
) -> str:
    """Return the text of `signals.json`: the kernel is one pipeline, so only its ports show integers."""
    del interface

    def shape(s: Slots) -> dict[str, Any]:
        return {"count": s.count, "width": s.width, "signed": s.signed}

    content = {
        "schema": 1,
        "engine": ENGINE,
        "top": context["top"],
        "axis_top": context["axis_top"],
        "latency": context["latency"],
        "input": shape(ins),
        "output": {"node": output, **shape(outs)},
        "nodes": {name: {"collapsed": True} for name in nodes},
        "files": list(context["files"]),
    }
    return json.dumps(content, indent=1) + "\n"


def write_rtl(
    folder: Path,
    interface: Interface,
    pipeline: Pipeline,
    *,
    prefix: str,
    model: str,
    nodes: tuple[str, ...],
    output: str,
    part: str,
    clock_ns: float,
    X: IntArray,
    Y: IntArray,
) -> tuple[int, tuple[str, ...]]:
    """Write Verilog, benches, scripts and `signals.json`; return the latency and the files of the design.

    Args:
        folder: created if absent.
        interface: the ports.
        pipeline: XLS's module.
        prefix: of all module and file names.
        model: what it is, for comments: an identifier or a C++ name.
        nodes: names of the IR's nodes, none of which can be seen inside.
        output: the node that the output port carries.
        part: the FPGA, for `vivado.tcl`.
        clock_ns: the clock period, for `constraints.xdc`.
        X: input integers of the self-checking benches, slot by slot.
        Y: their output integers.
    """
    ins, outs = slots(interface.inputs), slots(interface.outputs)
    latency = pipeline.stages + _EXTRA_EDGES
    address = (latency + 1).bit_length()
    files = (f"{pipeline.name}.v", f"{prefix}_top.v", f"{prefix}_fifo.v", f"{prefix}_axis.v")
    context = {
        "model": model,
        "function": interface.top,
        "ports": [_described(p) for p in interface.ports],
        "prefix": prefix,
        "core": pipeline.name,
        "top": f"{prefix}_top",
        "axis_top": f"{prefix}_axis",
        "latency": latency,
        "n_in": ins.count,
        "in_width": ins.width,
        "in_bits": ins.bits,
        "in_bytes": -(-ins.width // 8),
        "n_out": outs.count,
        "out_width": outs.width,
        "out_bits": outs.bits,
        "out_bytes": -(-outs.width // 8),
        "out_signed": outs.signed,
        "address": address,
        "depth": 1 << address,
        "files": files,
        "part": part,
        "clock_ns": f"{clock_ns:g}",
        "vectors": X.shape[0],
    }
    texts = {f"{pipeline.name}.v": pipeline.verilog, f"{pipeline.name}.ir": pipeline.package}
    environment = templates()
    for template, name in (
        ("top.v", f"{prefix}_top.v"),
        ("fifo.v", f"{prefix}_fifo.v"),
        ("axis.v", f"{prefix}_axis.v"),
        ("tb.v", f"{prefix}_tb.v"),
        ("axis_tb.v", f"{prefix}_axis_tb.v"),
        ("constraints.xdc", "constraints.xdc"),
        ("vivado.tcl", "vivado.tcl"),
    ):
        texts[name] = environment.get_template(f"{template}.j2").render(context)
    texts["vectors_in.hex"] = to_hex(X, ins.width)
    texts["vectors_out.hex"] = to_hex(Y, outs.width)
    texts["signals.json"] = signals_json(interface, context, ins, outs, nodes, output)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return latency, files
