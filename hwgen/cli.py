"""The command line `kan4ml`; what each command does is elsewhere, and :mod:`hwgen._exit` has the exit statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwgen._exit import EPILOG, Group, run
from hwgen._hardware_commands import fit, prove, synth_cpp, tables
from hwgen._terminal import Json, Quiet, Terminal
from pymodel import __version__
from pymodel.errors import Kan4mlError, MismatchError

if TYPE_CHECKING:
    from hwgen.flow import BuildResult

__all__ = ["app", "main"]

# Heavy imports (torch, hls4ml, numba) happen inside the commands, so that `--help` answers at once.

app = typer.Typer(
    name="kan4ml",
    cls=Group,
    help="Kolmogorov-Arnold networks from PyTorch to FPGAs, proven bit-exact at every step.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

#: What `import --family` takes, for the shell's completion; the importers check it.
FAMILIES = ("efficient_kan", "fast_kan", "pykan", "torch_conv_kan")
_TASKS = ("classification", "regression")
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a configuration key, e.g. --set train.epochs=5."),
]
_Build = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `kan4ml build` wrote.")]


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


@app.command()
def init(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Your rows: CSV with a header (or .csv.gz), or npz.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The configuration to write.")] = Path("config.yaml"),
    label: Annotated[str | None, typer.Option(help="The column to predict [default: guessed].")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="classification or regression [default: guessed].", autocompletion=lambda: list(_TASKS)),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration that is there.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a commented configuration for your own rows; what is guessed is said, with the reason."""
    from hwgen.start import check_draft, draft, print_guesses, write_draft

    terminal = Terminal(quiet=quiet, as_json=as_json)
    check_draft(out, force=force)
    with terminal.progress(f"reading {data.name}"):
        found = draft(data, out, label=label, task=task)
    write_draft(found.text, out, force=force)
    if as_json:
        guesses = {item.key: {"value": item.value, "why": item.why} for item in found.guesses}
        terminal.result({"config": str(out), "guesses": guesses, "notes": list(found.notes)})
        return
    print_guesses(terminal.console, found.guesses)
    for note in found.notes:
        terminal.say(f"Note: {note}.", "yellow")
    terminal.say(f"Written to {out}; change what you know better, then run: kan4ml build {out}")


@app.command()
def build(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML configuration.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Output folder [default: out/NAME].")] = None,
    overrides: _Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint of a build that was killed, if there is one.")
    ] = False,
) -> None:
    """Train, quantize, lower, convert, simulate and verify the model that CONFIG describes."""
    from hwgen.config import load_config
    from hwgen.flow import build as run_build
    from hwgen.flow import train_along
    from pymodel.train import process_group

    terminal = Terminal(quiet=quiet, as_json=as_json)
    target = out if out is not None else Path("out") / config.stem
    settings = load_config(config, overrides or [])
    with process_group(settings.train.device) as rank:  # several, if torchrun started this
        if rank > 0:
            train_along(settings, target, resume=resume)
            return
        _built(terminal, run_build(settings, target, console=terminal.console, resume=resume))


def _built(terminal: Terminal, result: BuildResult) -> None:
    """Print what came of a build."""
    from hwgen.report import print_summary

    if terminal.as_json:
        terminal.result({"folder": str(result.folder), **result.report})
        return
    print_summary(terminal.console, result.report)
    terminal.say(f"Written to {result.folder} (report.html shows more; `kan4ml verify {result.folder}` re-checks it)")


@app.command(name="import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="A network that another library trained.")],
    family: Annotated[
        str,
        typer.Option(help="efficient_kan, fast_kan, pykan or torch_conv_kan.", autocompletion=lambda: list(FAMILIES)),
    ],
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
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Import a trained KAN of another library, quantize it, and build, simulate and verify its hardware."""
    from hwgen.flow import build as run_build
    from hwgen.import_command import import_config

    terminal = Terminal(quiet=quiet, as_json=as_json)
    target = out if out is not None else Path("out") / source.stem
    config = import_config(source, family, prefix, data, label, assignments or [])
    _built(terminal, run_build(config, target, console=terminal.console))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")] = Path("out/digits"),
    overrides: _Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build the digits example: real handwritten digits that scikit-learn carries, to verified Verilog."""
    from hwgen._paths import examples_dir

    build(examples_dir() / "digits.yaml", out, overrides, quiet, as_json)


app.command()(tables)
app.command(name="synth-cpp")(synth_cpp)


@app.command()
def verify(
    folder: _Build,
    synth: Annotated[
        bool | None, typer.Option("--synth/--no-synth", help="Map to gates again [default: as built].")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Re-run every equivalence check of a build from its files as they are now."""
    from hwgen.report import border_entry, print_borders
    from hwgen.verify_command import verify_build

    terminal = Terminal(quiet=quiet, as_json=as_json)
    with terminal.progress("reading") as tell:
        result = verify_build(folder, synth=synth, progress=tell)
    if as_json:
        terminal.result({"folder": str(folder), **result.as_dict()})
    else:
        print_borders(terminal.console, [(border.name, border_entry(border)) for border in result.borders])
        for note in result.notes:
            terminal.say(f"Note: {note}", "yellow")
    if result.failure is not None:
        raise MismatchError(result.failure)
    if not as_json:
        for engine, proof in result.proofs.items():
            if proof.proven:
                terminal.say(f"proven for every input: the RTL ({engine}) is the program", "green")
        terminal.say("equal: every station gives the same integers", "green")


app.command()(prove)


@app.command()
def predict(
    folder: _Build,
    rows: Annotated[Path, typer.Argument(metavar="ROWS.csv", help="A CSV with the feature columns, in any order.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write here instead of to the terminal.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict the rows of a CSV with the integer model of a build."""
    from hwgen.predict import predict_rows

    with Terminal(quiet=quiet or out is None, as_json=as_json).progress(f"predicting {rows.name}"):
        found = predict_rows(folder, rows)
    text = found.to_json() if as_json else found.to_csv()
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Kan4mlError(f"{out} cannot be written ({error.strerror}); choose another --out") from None


app.command()(fit)


@app.command()
def sensitivity(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A configuration, or a folder of `kan4ml build`.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Output folder [default: out/NAME-sensitivity].")
    ] = None,
    bits: Annotated[str, typer.Option(help="Bits of the swept branch, e.g. 8-2 or 8,4,2.")] = "8-2",
    others: Annotated[int, typer.Option(help="Bits of all other branches.")] = 8,
    branches: Annotated[
        str | None, typer.Option(help="Some of activations,basis,base,spline,scaler [default: what there is].")
    ] = None,
    method: Annotated[str, typer.Option(help="The method of post-training quantization.")] = "minmax",
    coder: Annotated[str | None, typer.Option(help="Of the hidden codes, as quantize.coder.")] = None,
    granularity: Annotated[str, typer.Option(help="A weight step per output channel, or per tensor.")] = "channel",
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Sweep every layer alone as well.")] = False,
    rows: Annotated[str | None, typer.Option(help="validation or test [default: validation, if any].")] = None,
    calibration: Annotated[int, typer.Option(help="Training rows to settle codes and weights on.")] = 1024,
    overrides: _Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how the integers' accuracy falls with the bits of one branch at a time."""
    from hwgen.sensitivity_command import parse_bits, print_sensitivity, run_sensitivity
    from pymodel.sensitivity import SweepSettings

    terminal = Terminal(quiet=quiet, as_json=as_json)
    console = terminal.console
    name = source.resolve().name if source.is_dir() else source.stem
    target = out if out is not None else Path("out") / f"{name}-sensitivity"
    settings = SweepSettings(
        bits=parse_bits(bits),
        others=others,
        branches=None if branches is None else tuple(word.strip() for word in branches.split(",") if word.strip()),
        method=method,
        coder=coder,
        granularity=granularity,
        per_layer=per_layer,
    )
    result = run_sensitivity(
        source, target, settings, overrides=overrides or [], part=rows, calibration=calibration, console=console
    )
    if as_json:
        terminal.result(json.loads((target / "sensitivity.json").read_text(encoding="utf-8")))
        return
    print_sensitivity(console, result)
    terminal.say(f"Written to {target} (sensitivity.svg shows it)")


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders that `kan4ml build` wrote.")],
    compared: Annotated[bool, typer.Option("--compare", help="Compare several builds on the same data.")] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where the comparison goes; of one build, report.html is renewed.")
    ] = Path("compare.html"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show the report of a build again and renew its report.html, or compare several builds."""
    from hwgen.report_command import compare_builds, show_build

    terminal = Terminal(quiet=quiet, as_json=as_json)
    if compared:
        compare_builds(folders, out, terminal)
    else:
        show_build(folders, terminal)


@app.command()
def doctor(quiet: Quiet = False, as_json: Json = False) -> None:
    """List every external tool, its version, and what is lost without it."""
    from hwgen.doctor import examine, missing_tools, print_findings

    terminal = Terminal(quiet=quiet, as_json=as_json)
    with terminal.progress("looking for tools"):
        findings = examine()
    if as_json:
        terminal.result([finding.as_dict() for finding in findings])
    else:
        print_findings(terminal.console, findings)
    missing = missing_tools(findings)
    if missing:
        raise Kan4mlError(f"required tools are missing: {', '.join(missing)}; install them as the table says")


def main() -> None:
    """Run the command line and turn user errors into one sentence and an exit status."""
    run(app)


if __name__ == "__main__":
    main()
