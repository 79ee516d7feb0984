"""The command line `kan4ml`. Exit status: 0 good, 1 stations differ, 2 a user error (one sentence), 130 interrupted."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pymodel import __version__
from pymodel.errors import Kan4mlError, MismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

__all__ = ["app", "main"]

# Heavy imports (torch, hls4ml, numba) happen inside the commands, so that `--help` answers at once.

app = typer.Typer(
    name="kan4ml",
    help="Kolmogorov-Arnold networks from PyTorch to FPGAs, proven bit-exact at every step.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a configuration key, e.g. --set train.epochs=5."),
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
_Build = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `kan4ml build` wrote.")]


def _console(quiet: bool = False) -> Console:
    from rich.console import Console

    return Console(quiet=quiet, highlight=False)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"kan4ml {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _print_figures(console: Console, figures: Mapping[str, object]) -> None:
    """Print the plain figures of an engine on one line; what has parts is in the report."""
    plain = (f"{key} {value}" for key, value in figures.items() if isinstance(value, int | float | str))
    console.print(", ".join(plain), soft_wrap=True)


@app.command()
def build(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML configuration.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Output folder [default: out/NAME].")] = None,
    overrides: _Set = None,
    quiet: _Quiet = False,
) -> None:
    """Train, quantize, lower, convert, simulate and verify the model that CONFIG describes."""
    from hwgen.config import load_config
    from hwgen.flow import build as run
    from hwgen.report import print_summary

    console = _console(quiet)
    target = out if out is not None else Path("out") / config.stem
    result = run(load_config(config, overrides or []), target, console=console)
    print_summary(console, result.report)
    console.print(
        f"Written to {target} (report.html shows more; `kan4ml verify {target}` re-checks it)", soft_wrap=True
    )


@app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="A network that another library trained.")],
    family: Annotated[str, typer.Option(help="efficient_kan, fast_kan, pykan or torch_conv_kan.")],
    data: Annotated[Path, typer.Option(help="Rows as the network takes them, with labels: CSV or npz.")],
    label: Annotated[str | None, typer.Option(help="The CSV's column with the classes or the target.")] = None,
    prefix: Annotated[str, typer.Option(help="Where the network lies in the file, e.g. head.kan.")] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Output folder [default: out/NAME].")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A fact that the file does not tell (base_activation=silu), or a configuration key (hardware.synth=false).",
        ),
    ] = None,
    quiet: _Quiet = False,
) -> None:
    """Import a trained KAN of another library, quantize it, and build, simulate and verify its hardware."""
    from hwgen.flow import build as run
    from hwgen.import_command import import_config
    from hwgen.report import print_summary

    console = _console(quiet)
    target = out if out is not None else Path("out") / source.stem
    config = import_config(source, family, prefix, data, label, assignments or [])
    result = run(config, target, console=console)
    print_summary(console, result.report)
    console.print(
        f"Written to {target} (report.html shows more; `kan4ml verify {target}` re-checks it)", soft_wrap=True
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("out/digits"),
    overrides: _Set = None,
    quiet: _Quiet = False,
) -> None:
    """Build the digits example: real handwritten digits that scikit-learn carries, to verified Verilog."""
    from hwgen._paths import examples_dir

    build(examples_dir() / "digits.yaml", out, overrides, quiet)


@app.command()
def tables(
    source: Annotated[Path, typer.Argument(metavar="FILE.npz", help="Edge tables; docs/tables.md has the layout.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Output folder [default: out/NAME].")] = None,
    part: Annotated[str, typer.Option(help="The FPGA.")] = "xcvu9p-flga2104-2L-e",
    clock_ns: Annotated[float, typer.Option(help="The clock period in nanoseconds.")] = 5.0,
    vectors: Annotated[int, typer.Option(min=1, max=10_000_000, help="Random vectors of the co-simulation.")] = 10_000,
    synth: Annotated[bool, typer.Option(help="Estimate LUTs and flip-flops with Yosys.")] = True,
    quiet: _Quiet = False,
) -> None:
    """Turn a network that is given as edge tables into Verilog, and check it by co-simulation."""
    from hwgen.report import print_borders
    from hwgen.tables_command import build_tables

    console = _console(quiet)
    target = out if out is not None else Path("out") / source.stem
    result = build_tables(source, target, part=part, clock_ns=clock_ns, vectors=vectors, synth=synth, console=console)
    print_borders(console, list(result.report["equivalence"].items()))
    figures = result.report["hardware"]["tables"]
    _print_figures(console, figures)
    console.print(f"Written to {target} (report.json has the figures)", soft_wrap=True)


@app.command(name="synth-cpp")
def synth_cpp(
    file: Annotated[Path, typer.Argument(metavar="FILE.cpp", help="C++ with ap_int / ap_fixed; compiled as it is.")],
    top: Annotated[str, typer.Option(help="The function that becomes hardware, e.g. top or ns::top<4>.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Output folder [default: out/NAME].")] = None,
    interface: Annotated[
        Path | None, typer.Option(help="YAML with name, length and direction of the ports; docs/openhls.md has it.")
    ] = None,
    include: Annotated[list[Path] | None, typer.Option("--include", "-I", help="A folder for #include.")] = None,
    define: Annotated[list[str] | None, typer.Option("--define", "-D", help="NAME or NAME=VALUE.")] = None,
    part: Annotated[str, typer.Option(help="The FPGA.")] = "xcvu9p-flga2104-2L-e",
    clock_ns: Annotated[float, typer.Option(help="The clock period in nanoseconds.")] = 5.0,
    stages: Annotated[int, typer.Option(help="Pipeline stages; 0 chooses them by the depth of the logic.")] = 0,
    vectors: Annotated[int, typer.Option(min=1, max=10_000_000, help="Random vectors of the checks.")] = 10_000,
    synth: Annotated[bool, typer.Option(help="Estimate LUTs and flip-flops with Yosys.")] = True,
    quiet: _Quiet = False,
) -> None:
    """Turn a C++ kernel of your own into Verilog without a vendor tool, and check it by co-simulation."""
    from hwgen.openhls import build_kernel
    from hwgen.report import print_borders

    console = _console(quiet)
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
        console=console,
    )
    console.print(f"equal at every station: {', '.join(result.report['stations'])}", soft_wrap=True)
    print_borders(console, list(result.report["equivalence"].items()))
    figures = result.report["hardware"]["openhls"]
    _print_figures(console, figures)
    console.print(f"Written to {target} (report.json has the figures)", soft_wrap=True)


@app.command()
def verify(
    folder: _Build,
    quiet: _Quiet = False,
) -> None:
    """Re-run every equivalence check of a build from its files as they are now."""
    from hwgen._output import recover
    from hwgen.config import load_config
    from hwgen.report import border_entry, load_report, print_borders
    from sim.verify import verify as run

    console = _console(quiet)
    recover(folder)
    n_vectors = load_report(folder).get("vectors", {}).get("total")
    engines = load_config(folder / "config.yaml").hardware.rtl
    with console.status("reading") as status:
        result = run(folder, engines, n_vectors=n_vectors, progress=status.update)
    print_borders(console, [(border.name, border_entry(border)) for border in result.borders])
    failure = result.first_failure
    if failure is not None:
        raise MismatchError(failure.failure)
    console.print("[green]equal: every station gives the same integers[/green]")


@app.command()
def prove(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `kan4ml build` or `kan4ml tables` wrote.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result as JSON here.")] = None,
    quiet: _Quiet = False,
) -> None:
    """Prove, for every input and without simulation, that the table RTL of DIR computes its integer program."""
    from hwgen._output import recover
    from hwgen.prove_command import run_prove

    recover(folder)
    run_prove(folder, json_file, _console(quiet))


@app.command()
def predict(
    folder: _Build,
    rows: Annotated[Path, typer.Argument(metavar="ROWS.csv", help="A CSV with the feature columns, in any order.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write CSV here instead of to the terminal.")] = None,
) -> None:
    """Predict the rows of a CSV with the integer model of a build."""
    from hwgen.predict import predict_csv

    text = predict_csv(folder, rows)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Kan4mlError(f"{out} cannot be written ({error.strerror}); choose another --out") from None


@app.command()
def fit(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A build, an IR folder, or edge tables (npz).")],
    parts: Annotated[
        str | None, typer.Option(help="Parts, separated by commas [default: a choice of families].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which parts the table RTL of SOURCE will fit, before it is generated or synthesised."""
    import json

    from hwgen.fit import DEFAULT_PARTS, find_part, load_program
    from hwgen.fit import fit as run
    from hwgen.report import print_fit

    names = DEFAULT_PARTS if parts is None else [name for name in parts.split(",") if name.strip()]
    if not names:
        raise Kan4mlError("--parts names no part; give some, separated by commas, such as xc7a35t,xczu7ev")
    chosen = [find_part(name) for name in names]
    answer = run(load_program(source), chosen)
    if as_json:
        typer.echo(json.dumps(answer.to_dict(), indent=1))
    else:
        print_fit(_console(), answer.to_dict(), answer.error)


@app.command()
def report(
    folder: _Build,
    quiet: _Quiet = False,
) -> None:
    """Show the report of a build again and renew its report.html."""
    from hwgen._output import recover
    from hwgen.report import load_report, print_summary, renew_html

    recover(folder)
    content = load_report(folder)
    path = renew_html(content, folder)
    console = _console(quiet)
    print_summary(console, content)
    console.print(f"Written to {path}", soft_wrap=True)


@app.command()
def doctor() -> None:
    """List every external tool, its version, and what is lost without it."""
    from rich.table import Table
    from rich.text import Text

    from hwgen.doctor import examine

    table = Table("tool", "found", "without it")
    findings = examine()
    for finding in findings:
        found = Text(finding.version, style="green") if finding.version else Text("not found", style="red")
        table.add_row(
            finding.tool, found, finding.purpose if finding.version else f"{finding.purpose}: {finding.remedy}"
        )
    _console().print(table)
    missing = [f.tool for f in findings if f.required and not f.version]
    if missing:
        raise Kan4mlError(f"required tools are missing: {', '.join(missing)}; install them as the table says")


def main() -> None:
    """Run the command line and turn user errors into one sentence and an exit status."""
    # Before torch is imported: OpenMP threads that spin while they wait slow a busy machine down many times.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that nothing half-written stays
    try:
        Path.cwd()  # torch dies without a word where the working directory was deleted
        app(standalone_mode=True)
    except MismatchError as error:
        _fail(error, 1)
    except Kan4mlError as error:
        _fail(error, 2)
    except KeyboardInterrupt:
        typer.echo("kan4ml: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # a full disk, a working directory that was deleted, no folder for temporary files
        place = "" if error.filename is None else f" at {error.filename}"
        reason = error.strerror or error
        _fail(Kan4mlError(f"a file or the output cannot be used{place} ({reason}); check space and permissions"), 2)


def _fail(error: Kan4mlError, status: int) -> None:
    typer.echo(f"kan4ml: {' '.join(str(error).split())}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
