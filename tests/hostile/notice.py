"""What `kan4ml verify` says of a build with one bit changed, and whether it is right."""

from __future__ import annotations

from pathlib import Path

from hwgen.prove import prove
from hwgen.verify_command import verify_build
from pymodel.errors import Kan4mlError
from pymodel.ir import KanIR, load_ir
from pymodel.layers import load_frozen
from pymodel.reference import Reference
from sim.verify import csim_borders, layers_alone_border, load_vectors, rtl_border, torch_border
from tests.hostile.artefacts import Site
from tests.hostile.judge import effect, with_cpp_tables

__all__ = ["Watch"]

#: Why a change in the RTL that is proven equal has no effect.
_EQUAL = "the proof for every input of every layer holds with it"


class Watch:
    """A build whose files are changed and changed back.

    Only the stations that read the changed file are run, as `verify_build` runs them, since the others answer as before.
    """

    def __init__(self, build: Path) -> None:
        self.build = build
        self.ir = load_ir(build / "ir")
        self.frozen = load_frozen(build / "model" / "quantized.safetensors")
        self.stored = load_vectors(build / "vectors.npz", self.ir)
        self.expected = Reference(self.ir).run(self.stored.X)

    def outcome(self, kind: str, site: Site, bit: int) -> tuple[str, str]:
        """Return (`noticed` | `refused` | `unread` | `masked` | `missed` | `not judged`, by what or why).

        `noticed`: two stations differ; `refused`: a station cannot read or compile the file; `unread`, `masked`: no output of
        any layer changes for any input, because no sum does, or because none of those that do crosses a rounding step;
        `missed`: an output changes, and verify did not see it; `not judged`: verify saw nothing, and only reading tells why.
        """
        original = site.path.read_bytes()
        try:
            site.path.write_bytes(site.flipped(bit))
            try:
                failure = {"cpp": self._cpp, "rtl": self._rtl, "wrapper": self._rtl, "ir": self._ir}[kind]()
                if failure is None and kind != "wrapper":  # which nothing else reads
                    failure = verify_build(self.build, synth=False).failure  # the whole command agrees
            except Kan4mlError as error:
                return "refused", str(error).splitlines()[0][:300]
            if failure is not None:
                return "noticed", failure[:300]
            if kind == "cpp" and site.name.startswith("basis"):
                return "missed", "a basis ROM, of which the judge may not know the layout"
            return self._judged(kind)
        finally:
            site.path.write_bytes(original)

    def _cpp(self) -> str | None:
        borders = csim_borders(self.ir, self.build / "hls", self.stored.X, self.expected, 0)
        return next((border.failure for border in borders if not border.equal), None)

    def _rtl(self) -> str | None:
        folder = self.build / "rtl" / "tables"
        proof = prove(self.ir, folder)
        if proof.different or proof.counterexample is not None:
            return f"rtl_proof: {proof.reason}"
        border, _ = rtl_border(folder, self.stored.X, self.stored.rtl_rows, self.expected, 0)
        return None if border.equal else border.failure

    def _ir(self) -> str | None:
        ir = load_ir(self.build / "ir")
        expected = Reference(ir).run(self.stored.X)
        borders = [torch_border(ir, self.frozen, self.stored.X, expected), layers_alone_border(ir, self.frozen, 0)]
        return next((border.failure for border in borders if not border.equal), None)

    def _judged(self, kind: str) -> tuple[str, str]:
        if kind == "wrapper":
            return (
                "not judged",
                "no exact search covers the wrapper; the stalled stream of the co-simulation saw no difference",
            )
        if kind == "rtl":
            proven = prove(self.ir, self.build / "rtl" / "tables").proven
            return ("unread", _EQUAL) if proven else ("missed", "not proven, and no difference was seen")
        changed: KanIR | None = load_ir(self.build / "ir") if kind == "ir" else with_cpp_tables(self.ir, self.build)
        if changed is None:
            return "missed", "other edges, and no difference was seen"
        word = effect(self.ir, changed)
        return (
            ("missed", "an output changes for some input")
            if word == "changes"
            else (word, "exact search over all inputs")
        )
