"""A folder of Verilog: XLS's pipelines, one behind the other, the common ports around them, AXI4-Stream and benches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

import hwgen.tables
from hwgen.openhls._interface import Interface, Port
from hwgen.openhls._translate import Slots, slots
from hwgen.tables._vectors import to_hex
from pymodel.ir import IntArray

__all__ = ["OpenHlsDesign", "Pipeline", "Shown", "templates", "write_rtl"]

ENGINE = "openhls"
#: The top module has a register in front of the first pipeline; each pipeline has one behind each of its stages.
_INPUT_REGISTER = 1


@dataclass(frozen=True)
class Pipeline:
    """What XLS made: optimised IR, Verilog of the module `name`, stages of logic, and the vectors that go in and out."""

    name: str
    package: str
    verilog: str
    stages: int
    ins: Slots
    outs: Slots


@dataclass(frozen=True)
class Shown:
    """Which IR nodes a folder of Verilog shows.

    Attributes:
        source: the node whose integers come in; "" if there is none.
        results: the node that each pipeline computes, in order.
        hidden: nodes that exist in no signal.
    """

    source: str
    results: tuple[str, ...]
    hidden: tuple[str, ...] = ()


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


def _shape(s: Slots) -> dict[str, Any]:
    return {"count": s.count, "width": s.width, "signed": s.signed}


def _signals_json(context: Mapping[str, Any], pipelines: Sequence[Pipeline], shown: Shown) -> str:
    """Return the text of `signals.json`: what goes into the first pipeline, and what comes out of each."""
    nodes: dict[str, dict[str, Any]] = {}
    if shown.source:
        nodes[shown.source] = {"signal": _IN, **_shape(pipelines[0].ins), "offset": 0, "stage": 0}
    stage = 0
    for at, (name, pipeline) in enumerate(zip(shown.results, pipelines, strict=True)):
        stage += pipeline.stages
        nodes[name] = {"signal": _result(at), **_shape(pipeline.outs), "offset": 0, "stage": stage}
    nodes.update({name: {"collapsed": True} for name in shown.hidden})
    content = {
        "schema": 1,
        "engine": ENGINE,
        "top": context["top"],
        "axis_top": context["axis_top"],
        "latency": context["latency"],
        "input": _shape(pipelines[0].ins),
        "output": {"node": shown.results[-1], **_shape(pipelines[-1].outs)},
        "nodes": nodes,
        "files": list(context["files"]),
    }
    return json.dumps(content, indent=1) + "\n"


#: Signals of the top module.
_IN = "x"


def _result(at: int) -> str:
    return f"y{at}"


def write_rtl(
    folder: Path,
    interface: Interface,
    pipelines: Sequence[Pipeline],
    *,
    prefix: str,
    model: str,
    shown: Shown,
    part: str,
    clock_ns: float,
    X: IntArray,
    Y: IntArray,
) -> tuple[int, tuple[str, ...]]:
    """Write Verilog, benches, scripts and `signals.json`; return the latency and the files of the design.

    Args:
        folder: created if absent.
        interface: the ports of the whole.
        pipelines: XLS's modules, each of which takes what the one before it gives.
        prefix: of all module and file names.
        model: what it is, for comments: an identifier or a C++ name.
        shown: names of the IR's nodes.
        part: the FPGA, for `vivado.tcl`.
        clock_ns: the clock period, for `constraints.xdc`.
        X: input integers of the self-checking benches, slot by slot.
        Y: their output integers.
    """
    ins, outs = slots(interface.inputs), slots(interface.outputs)
    assert (ins, outs) == (pipelines[0].ins, pipelines[-1].outs)
    latency = sum(p.stages for p in pipelines) + _INPUT_REGISTER
    address = (latency + 1).bit_length()
    files = (*(f"{p.name}.v" for p in pipelines), f"{prefix}_top.v", f"{prefix}_fifo.v", f"{prefix}_axis.v")
    context = {
        "model": model,
        "function": interface.top,
        "ports": [_described(p) for p in interface.ports],
        "prefix": prefix,
        "cores": [
            {"name": p.name, "node": node, "stages": p.stages, "signal": _result(at), "bits": p.outs.bits}
            for at, (p, node) in enumerate(zip(pipelines, shown.results, strict=True))
        ],
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
    texts = {f"{p.name}.v": p.verilog for p in pipelines} | {f"{p.name}.ir": p.package for p in pipelines}
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
    texts["signals.json"] = _signals_json(context, pipelines, shown)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return latency, files
