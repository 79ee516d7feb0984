"""The commands that start at tables, C++ or Verilog instead of a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from hwgen._terminal import Json, Quiet, Terminal
from pymodel.errors import Kan4mlError, MismatchError

__all__ = ["fit", "prove", "synth_cpp", "tables"]

_Part = Annotated[str, typer.Option(help="The FPGA.")]
_Clock = Annotated[float, typer.Option(help="The clock period in nanoseconds.")]
_Synth = Annotated[bool, typer.Option(help="Estimate LUTs and flip-flops with Yosys.")]
_Out = Annotated[Path | None, typer.Option("--out", "-o", help="Output folder [default: out/NAME].")]
_PART = "xcvu9p-flga2104-2L-e"


def _figures(figures: Mapping[str, object]) -> str:
    """Return the plain figures of an engine on one line; what has parts is in the report."""
    return ", ".join(f"{key} {value}" for key, value in figures.items() if isinstance(value, int | float | str))


def tables(
    source: Annotated[Path, typer.Argument(metavar="FILE.npz", help="Edge tables; docs/tables.md has the layout.")],
    out: _Out = None,
    part: _Part = _PART,
    clock_ns: _Clock = 5.0,
    vectors: Annotated[int, typer.Option(min=1, max=10_000_000, help="Random vectors of the co-simulation.")] = 10_000,
    synth: _Synth = True,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Turn a network that is given as edge tables into Verilog, and check it by co-simulation."""
    from hwgen.report import print_borders
    from hwgen.tables_command import build_tables

    terminal = Terminal(quiet=quiet, as_json=as_json)
    target = out if out is not None else Path("out") / source.stem
    result = build_tables(
        source, target, part=part, clock_ns=clock_ns, vectors=vectors, synth=synth, console=terminal.console
    )
    if as_json:
        terminal.result({"folder": str(target), **result.report})
        return
    print_borders(terminal.console, list(result.report["equivalence"].items()))
    terminal.say(_figures(result.report["hardware"]["tables"]))
    terminal.say(f"Written to {target} (report.json has the figures)")


def synth_cpp(
    file: Annotated[Path, typer.Argument(metavar="FILE.cpp", help="C++ with ap_int / ap_fixed; compiled as it is.")],
    top: Annotated[str, typer.Option(help="The function that becomes hardware, e.g. top or ns::top<4>.")],
    out: _Out = None,
    interface: Annotated[
        Path | None, typer.Option(help="YAML with name, length and direction of the ports; docs/openhls.md has it.")
    ] = None,
    include: Annotated[list[Path] | None, typer.Option("--include", "-I", help="A folder for #include.")] = None,
    define: Annotated[list[str] | None, typer.Option("--define", "-D", help="NAME or NAME=VALUE.")] = None,
    part: _Part = _PART,
    clock_ns: _Clock = 5.0,
    stages: Annotated[int, typer.Option(help="Pipeline stages; 0 chooses them by the depth of the logic.")] = 0,
    vectors: Annotated[int, typer.Option(min=1, max=10_000_000, help="Random vectors of the checks.")] = 10_000,
    synth: _Synth = True,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Turn a C++ kernel of your own into Verilog without a vendor tool, and check it by co-simulation."""
    from hwgen.openhls import build_kernel
    from hwgen.report import print_borders

    terminal = Terminal(quiet=quiet, as_json=as_json)
    target = out if out is not None else Path("out") / file.stem
    result = build_kernel(
        file,
        top,
        target,
        interface=interface,
        includes=tuple(include or ()),
        defines=tuple(define or ()),
        part=part,
        clock_ns=clock_ns,
        stages=stages,
        vectors=vectors,
        synth=synth,
        console=terminal.console,
    )
    if as_json:
        terminal.result({"folder": str(target), **result.report})
        return
    terminal.say(f"equal at every station: {', '.join(result.report['stations'])}")
    print_borders(terminal.console, list(result.report["equivalence"].items()))
    terminal.say(_figures(result.report["hardware"]["openhls"]))
    terminal.say(f"Written to {target} (report.json has the figures)")


def prove(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `kan4ml build` or `kan4ml tables` wrote.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the result as JSON here, too.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Prove, for every input and without simulation, that the table RTL of DIR computes its integer program."""
    from hwgen._output import recover
    from hwgen.prove import prove_folder
    from hwgen.prove_command import failure, layer_line, success

    recover(folder)
    terminal = Terminal(quiet=quiet, as_json=as_json)
    with terminal.progress("reading the Verilog") as tell:
        proof = prove_folder(folder, progress=tell)
    if out is not None:
        try:
            out.write_text(json.dumps(proof.as_dict(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise Kan4mlError(f"{out} cannot be written ({error.strerror}); choose another --out") from None
    if as_json:
        terminal.result(proof.as_dict())
    else:
        for layer in proof.layers:
            terminal.say(f"✓ {layer_line(layer)}")
    if not proof.proven:
        raise MismatchError(failure(proof))
    if not as_json:
        terminal.say(success(proof))


def fit(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A build, an IR folder, or edge tables (npz).")],
    parts: Annotated[
        str | None, typer.Option(help="Parts, separated by commas [default: a choice of families].")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Say which parts the table RTL of SOURCE will fit, before it is generated or synthesised."""
    from hwgen.fit import DEFAULT_PARTS, find_part, load_program
    from hwgen.fit import fit as run
    from hwgen.report import print_fit

    names = DEFAULT_PARTS if parts is None else [name for name in parts.split(",") if name.strip()]
    if not names:
        raise Kan4mlError("--parts names no part; give some, separated by commas, such as xc7a35t,xczu7ev")
    chosen = [find_part(name) for name in names]
    terminal = Terminal(quiet=quiet, as_json=as_json)
    with terminal.progress(f"reading {source.name}"):
        answer = run(load_program(source), chosen)
    if as_json:
        terminal.result(answer.to_dict())
    else:
        print_fit(terminal.console, answer.to_dict(), answer.error)
