"""`kan4ml verify DIR`: every equivalence check of a build again, from its files as they are now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen._output import recover
from hwgen.config import Config, load_config
from hwgen.prove import Proof, prove
from hwgen.report import border_entry, load_report
from hwgen.synth import netlist_border, require_yosys, synthesise
from pymodel.errors import ToolError
from pymodel.ir import load_ir
from pymodel.reference import Reference
from sim.equivalence import Border
from sim.signals import load_signals
from sim.verify import load_vectors
from sim.verify import verify as run_stations

__all__ = ["Verified", "verify_build"]

_PROVEN_ENGINE = "tables"


@dataclass(frozen=True)
class Verified:
    """What :func:`verify_build` found.

    Attributes:
        borders: one per pair of stations, equal or not.
        proofs: by engine, whether its RTL was proven for every input; engines that cannot be are absent.
        notes: what was left out, a sentence each.
    """

    borders: tuple[Border, ...]
    proofs: dict[str, Proof]
    notes: tuple[str, ...]

    @property
    def failure(self) -> str | None:
        """One sentence on the first difference; None if there is none."""
        for border in self.borders:
            if not border.equal:
                return border.failure
        for engine, proof in self.proofs.items():
            if proof.different or proof.counterexample is not None:
                return f"rtl_proof.{engine}: the circuit is not the program for every input: {proof.reason}"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON can hold it."""
        return {
            "equal": self.failure is None,
            "failure": self.failure,
            "equivalence": {border.name: border_entry(border) for border in self.borders},
            "proof": {
                engine: {"status": proof.status, "reason": proof.reason} for engine, proof in self.proofs.items()
            },
            "notes": list(self.notes),
        }


def verify_build(folder: Path, *, synth: bool | None = None, progress: Callable[[str], None] | None = None) -> Verified:
    """Compare torch, reference, C++, RTL and mapped netlist of a build, layers in the network and alone.

    The table RTL is also proven for every input of every layer, if Yosys is there.

    Args:
        folder: a build.
        synth: map the RTL again and simulate the netlist; None does what the build did.
        progress: called with the name of each stage.

    Raises:
        Kan4mlError: if a file is missing or malformed, or a tool is absent.
    """
    tell = progress or (lambda _: None)
    recover(folder)
    n_vectors = load_report(folder).get("vectors", {}).get("total")
    config = load_config(folder / "config.yaml")
    result = run_stations(folder, config.hardware.rtl, n_vectors=n_vectors, progress=tell)
    borders, proofs, notes = list(result.borders), {}, []
    rtl = sorted(path for path in (folder / "rtl").iterdir() if path.is_dir()) if (folder / "rtl").is_dir() else []
    if rtl:
        try:
            require_yosys()
        except ToolError as error:
            if synth:
                raise
            notes.append(f"neither proof nor mapped netlist: {error}")
            rtl = []
    if any(path.name == _PROVEN_ENGINE for path in rtl):
        tell(f"proof of the RTL ({_PROVEN_ENGINE})")
        proof = prove(load_ir(folder / "ir"), folder / "rtl" / _PROVEN_ENGINE)
        proofs[_PROVEN_ENGINE] = proof
        if not proof.proven:
            notes.append(f"the RTL ({_PROVEN_ENGINE}) is not proven for every input: {proof.reason}")
    if config.hardware.synth if synth is None else synth:
        borders += _netlists(folder, rtl, config, tell)
    return Verified(tuple(borders), proofs, tuple(notes))


def _netlists(folder: Path, rtl: list[Path], config: Config, tell: Callable[[str], None]) -> list[Border]:
    """Map each engine's RTL again and compare its netlist; engines of several beats have none that is simulated."""
    ir = load_ir(folder / "ir")
    stored = load_vectors(folder / "vectors.npz", ir)
    expected = Reference(ir).run(stored.X)[ir.output]
    borders = []
    for path in rtl:
        if load_signals(path).beats > 1:
            continue
        tell(f"mapped netlist ({path.name})")
        synthesis = synthesise(path, part=config.hardware.part)
        borders.append(netlist_border(synthesis.netlist(), synthesis.signals, stored.X, expected, rows=stored.rtl_rows))
    return borders
