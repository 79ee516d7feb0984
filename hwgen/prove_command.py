"""`kan4ml prove DIR`: the proof, shown and written."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from hwgen.prove import LayerProof, Proof, prove_folder
from pymodel.errors import Kan4mlError, MismatchError

__all__ = ["run_prove"]


def _line(layer: LayerProof) -> str:
    how = ", ".join(f"{count} {way}" for way, count in layer.how.items())
    edges = f"{layer.edges} edges, " if layer.edges else ""
    return f"{layer.node}: {layer.outputs} integers at stage {layer.stage}, {edges}{how}"


def run_prove(folder: Path, json_file: Path | None, console: Console) -> Proof:
    """Prove the table RTL of `folder`, print one line per layer, and write the result if asked to.

    Raises:
        MismatchError: if it is refuted or not proven.
        Kan4mlError: for user errors.
    """
    with console.status("reading the Verilog") as status:
        proof = prove_folder(folder, progress=lambda step: status.update(escape(step)))
    for layer in proof.layers:
        console.print(f"[green]✓[/green] {escape(_line(layer))}", soft_wrap=True)
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(proof.as_dict(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise Kan4mlError(f"{json_file} cannot be written ({error.strerror}); choose another --json") from None
    if proof.counterexample is not None:
        example = proof.counterexample
        raise MismatchError(
            f"refuted: {proof.reason}; for the input integers {list(example.inputs)} output {example.output} is {example.got} "
            f"where the program has {example.wanted}"
        )
    if not proof.proven:
        raise MismatchError(f"not proven: {proof.reason}")
    console.print(
        f"[green]proven for every input[/green]: out_data equals the program, {proof.latency} cycles after in_data, and "
        f"out_valid follows in_valid ({proof.cells} cells, {proof.seconds:.1f} s)",
        soft_wrap=True,
    )
    return proof
