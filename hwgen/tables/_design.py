"""A KAN IR to a folder of Verilog: plan every layer, then write modules, benches, scripts and `signals.json`."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from hwgen.tables._lower import lower
from hwgen.tables._maximum import MaximumPlan, emit_maximum, plan_maximum
from hwgen.tables._passes import Passes
from hwgen.tables._plan import LayerPlan, plan_layer
from hwgen.tables._vectors import default_vectors, to_hex
from hwgen.tables._verilog import identifier
from hwgen.tables.netlist import Adder, LayerNetlist, Table, emit_layer, stages
from pymodel.errors import ConfigError, DataError, IRError
from pymodel.ir import EdgeTable, IntArray, Interval, KanIR, Node, Pool, expand, to_edge_tables
from pymodel.reference import Reference

__all__ = ["NodeSignal", "TablesDesign", "generate", "plan_network"]

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class NodeSignal:
    """Where a node's integers can be seen in the top module.

    Attributes:
        signal: a packed vector in the top module, element 0 in the LSBs.
        count, width, signed: elements, bits of each, two's complement or not.
        stage: the signal holds a sample's integers after the rising edge `stage` edges behind the one that captured it.
    """

    signal: str
    count: int
    width: int
    signed: bool
    stage: int


@dataclass(frozen=True)
class TablesDesign:
    """What was generated.

    Attributes:
        folder: where the files are.
        top, axis_top, testbenches: names of the modules; a bench is not among `files`.
        latency: rising edges from the one that captures a sample to the one at which `out_valid` is sampled.
        nodes: the signal of each node; None for a node that the output does not depend on, which is not built.
        files: Verilog files of the design, without the bench, relative to `folder`.
        edges: edges that are not pruned.
        tables: tables built.
        table_bits: bits of all their entries.
        adders: adders of two or three inputs.
        adder_bits: bits of their sums.
        register_bits: bits of all pipeline registers (before synthesis removes constant and unused ones).
        choices: per layer and output, the adder tree that was chosen, its estimated cost, and those of others.
    """

    folder: Path
    top: str
    axis_top: str
    testbenches: tuple[str, str]
    latency: int
    nodes: dict[str, NodeSignal | None]
    files: tuple[str, ...]
    edges: int
    tables: int
    table_bits: int
    adders: int
    adder_bits: int
    register_bits: int
    choices: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=dict, repr=False)


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Verilog and Tcl, not HTML; every name in them is an identifier
    )


def _built_nodes(ir: KanIR) -> list[Node]:
    """Return the nodes that the output depends on, in order."""
    needed = {ir.output}
    for node in reversed(ir.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return [node for node in ir.nodes if node.name in needed]


def plan_network(ir: KanIR, passes: Passes) -> dict[str, LayerPlan | MaximumPlan]:
    """Return the plan of every layer that the output depends on.

    Args:
        ir: edge tables and maxima.
        passes: what may change the plain circuit.

    Raises:
        IRError: for any other layer.
    """
    in_type = ir.input.out_type
    domains = {ir.input.name: (Interval(in_type.min_int, in_type.max_int),) * ir.input.n_out}
    plans: dict[str, LayerPlan | MaximumPlan] = {}
    for node in _built_nodes(ir):
        if not node.inputs:
            continue
        kind, domain = ir.in_type(node), domains[node.inputs[0]]
        plan: LayerPlan | MaximumPlan
        if isinstance(node, EdgeTable):
            plan = plan_layer(node, kind, domain, passes)
        elif isinstance(node, Pool):
            plan = plan_maximum(node, kind, domain)
        else:
            raise IRError(
                f"layer {node.name} is a {node.kind.name.lower()}, which no edge tables compute; build it with open HLS"
            )
        plans[node.name], domains[node.name] = plan, plan.intervals
    return plans


def _signals(ir: KanIR, plans: dict[str, LayerPlan | MaximumPlan]) -> dict[str, NodeSignal | None]:
    signals: dict[str, NodeSignal | None] = {node.name: None for node in ir.nodes}
    stages = {ir.input.name: 0}
    for node in _built_nodes(ir):
        if node.inputs:
            stages[node.name] = stages[node.inputs[0]] + plans[node.name].latency
        out_type = node.out_type
        signals[node.name] = NodeSignal(
            identifier(node.name, "y_"), node.n_out, out_type.width, out_type.signed, stages[node.name]
        )
    return signals


def _signals_json(ir: KanIR, design: TablesDesign) -> str:
    def described(signal: NodeSignal | None) -> dict[str, Any]:
        if signal is None:
            return {"collapsed": True}
        return {
            "signal": signal.signal,
            "count": signal.count,
            "width": signal.width,
            "signed": signal.signed,
            "offset": 0,
            "stage": signal.stage,
        }

    def port(node: Node) -> dict[str, Any]:
        return {"count": node.n_out, "width": node.out_type.width, "signed": node.out_type.signed}

    content = {
        "schema": 1,
        "engine": "tables",
        "top": design.top,
        "axis_top": design.axis_top,
        "latency": design.latency,
        "input": port(ir.input),
        "output": {"node": ir.output, **port(ir.node(ir.output))},
        "nodes": {name: described(signal) for name, signal in design.nodes.items()},
        "files": list(design.files),
    }
    return json.dumps(content, indent=1) + "\n"


def _context(ir: KanIR, design: TablesDesign, prefix: str, plans: dict[str, LayerPlan | MaximumPlan]) -> dict[str, Any]:
    """Return what the templates read."""
    n_in, in_type = ir.input.n_out, ir.input.out_type
    n_out, out_type = ir.node(ir.output).n_out, ir.node(ir.output).out_type
    address = (design.latency + 1).bit_length()  # the least power of two >= latency + 2
    layers = []
    for number, (name, plan) in enumerate(plans.items(), start=1):
        signal, source = design.nodes[name], design.nodes[plan.node.inputs[0]]
        assert signal is not None
        assert source is not None
        layers.append(
            {
                "node": name,
                "stage": signal.stage,
                "bits": signal.count * signal.width,
                "signal": signal.signal,
                "module": f"{prefix}_layer_{number}",
                "instance": f"layer_{number}",
                "source": source.signal,
            }
        )
    first, last = design.nodes[ir.input.name], design.nodes[ir.output]
    assert first is not None
    assert last is not None
    return {
        "model": ir.name,
        "prefix": prefix,
        "top": design.top,
        "axis_top": design.axis_top,
        "latency": design.latency,
        "n_in": n_in,
        "in_width": in_type.width,
        "in_bits": n_in * in_type.width,
        "in_bytes": -(-in_type.width // 8),
        "n_out": n_out,
        "out_width": out_type.width,
        "out_bits": n_out * out_type.width,
        "out_bytes": -(-out_type.width // 8),
        "out_signed": out_type.signed,
        "address": address,
        "depth": 1 << address,
        "input": {"node": ir.input.name, "signal": first.signal},
        "output": last.signal,
        "layers": layers,
        "files": design.files,
    }


def _check_hardware(part: str, clock_ns: float) -> None:
    """Refuse what must not reach a Tcl script."""
    if not _PART.fullmatch(part):
        raise ConfigError(f"the part must be a device name such as xcvu9p-flga2104-2L-e, not {part!r}; correct it")
    if not (math.isfinite(clock_ns) and clock_ns > 0):
        raise ConfigError(
            f"the clock period must be a positive number of nanoseconds, not {clock_ns}; correct clock_ns"
        )


def _describe(
    ir: KanIR,
    plans: dict[str, LayerPlan | MaximumPlan],
    netlists: list[LayerNetlist],
    folder: Path,
    prefix: str,
    files: tuple[str, ...],
) -> TablesDesign:
    signals = _signals(ir, plans)
    last = signals[ir.output]
    assert last is not None
    nodes = [node for netlist in netlists for node in netlist.nodes]
    tables_of = [plan for plan in plans.values() if isinstance(plan, LayerPlan)]
    maxima = [plan for plan in plans.values() if isinstance(plan, MaximumPlan)]
    tables = [node for node in nodes if isinstance(node, Table)]
    adders = [node for node in nodes if isinstance(node, Adder)]
    return TablesDesign(
        folder=folder,
        top=f"{prefix}_top",
        axis_top=f"{prefix}_axis",
        testbenches=(f"{prefix}_tb", f"{prefix}_axis_tb"),
        latency=last.stage + 1,
        nodes=signals,
        files=files,
        edges=sum(int(plan.node.alive.sum()) for plan in tables_of),
        tables=len(tables),
        table_bits=sum(table.wire.width << table.select_width for table in tables),
        adders=len(adders),
        adder_bits=sum(adder.wire.width for adder in adders),
        register_bits=ir.input.n_out * ir.input.out_type.width
        + sum(netlist.register_bits for netlist in netlists)
        + sum(plan.register_bits for plan in maxima)
        + last.stage
        + 1,
        choices={plan.node.name: _choices(plan) for plan in tables_of},
    )


def _choices(plan: LayerPlan) -> tuple[dict[str, Any], ...]:
    """Return what was chosen for each output of a layer, and what else was weighed, as JSON holds it."""
    found = []
    for number, output in enumerate(plan.outputs):
        if output.choice is None:
            found.append({"output": number, "reason": "constant"})
            continue
        choice = output.choice
        costs = sorted(choice.alternatives.items())
        found.append(
            {
                "output": number,
                "terms": choice.terms,
                "heads": choice.heads,
                "fused": choice.fused,
                "carries": choice.carries,
                "levels": choice.levels,
                "estimate": {"luts": round(choice.luts, 1), "sites": round(choice.sites, 1)},
                "alternatives": [
                    {"heads": heads, "luts": round(luts, 1), "sites": round(sites, 1)} for heads, (luts, sites) in costs
                ],
                "reason": choice.reason,
            }
        )
    return tuple(found)


def generate(
    ir: KanIR,
    folder: Path,
    *,
    part: str,
    clock_ns: float,
    vectors: IntArray | None = None,
    prefix: str = "kan",
    passes: Passes | None = None,
) -> TablesDesign:
    """Write the table RTL of a program, with everything that simulates and synthesises it.

    Args:
        ir: the program; every layer must have an edge-table form, or be a maximum.
        folder: where to write; created if absent, files of the same names are replaced.
        part: the FPGA, for `vivado.tcl`.
        clock_ns: the clock period.
        vectors: (rows, inputs) input integers of the self-checking bench; corners and 256 random rows if None.
        prefix: of all module and file names, so that several designs can be simulated together.
        passes: what may change the plain circuit; everything if None.

    Returns:
        What was written, with counts.

    Raises:
        ConfigError: if `part` or `clock_ns` is unusable.
        IRError: if a layer has no edge-table form.
        DataError: if the vectors have the wrong shape, type or range.
    """
    _check_hardware(part, clock_ns)
    tables = to_edge_tables(expand(ir, tables=True, maxima=False))  # a convolution: tables of its own for every pixel
    X = default_vectors(ir.input.out_type, ir.input.n_out) if vectors is None else np.asarray(vectors)
    if not X.size:
        raise DataError("the Verilog bench needs at least one test vector, and none came; pass rows of input integers")
    # The reference runs the program as it came, so that the bench checks the conversion to tables, too.
    expected = Reference(ir).run(X)[ir.output]
    plans = plan_network(tables, passes or Passes())
    modules = [f"{prefix}_layer_{number}" for number in range(1, len(plans) + 1)]
    files = (*(f"{module}.v" for module in modules), f"{prefix}_top.v", f"{prefix}_fifo.v", f"{prefix}_axis.v")
    netlists = {name: lower(plan) for name, plan in plans.items() if isinstance(plan, LayerPlan)}
    for netlist in netlists.values():
        stages(netlist)
    design = _describe(tables, plans, list(netlists.values()), folder, prefix, files)
    context = _context(tables, design, prefix, plans)
    texts = {
        f"{module}.v": emit_maximum(plan, module)
        if isinstance(plan, MaximumPlan)
        else emit_layer(netlists[name], module)
        for module, (name, plan) in zip(modules, plans.items(), strict=True)
    }
    templates = _templates()
    context |= {"part": part, "clock_ns": f"{clock_ns:g}", "vectors": X.shape[0]}
    for template, name in (
        ("top.v", f"{prefix}_top.v"),
        ("fifo.v", f"{prefix}_fifo.v"),
        ("axis.v", f"{prefix}_axis.v"),
        ("tb.v", f"{prefix}_tb.v"),
        ("axis_tb.v", f"{prefix}_axis_tb.v"),
        ("constraints.xdc", "constraints.xdc"),
        ("vivado.tcl", "vivado.tcl"),
    ):
        texts[name] = templates.get_template(f"{template}.j2").render(context)
    texts["vectors_in.hex"] = to_hex(X, ir.input.out_type.width)
    texts["vectors_out.hex"] = to_hex(expected, ir.node(ir.output).out_type.width)
    texts["signals.json"] = _signals_json(tables, design)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return design
