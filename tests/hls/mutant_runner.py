"""Compiling and running the benches of changed headers."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.hls.mutation import Mutant, apply, included_headers, including_benches

__all__ = ["HLS", "Runner", "Verdict", "equivalents", "fingerprint"]

HLS = Path(__file__).parents[2] / "hls"
_EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
_PRECOMPILED = (
    "#include <cstdio>\n#include <type_traits>\n#include <ap_fixed.h>\n#include <ap_int.h>\n#include <hls_stream.h>\n"
)
_COMPILE_SECONDS, _RUN_SECONDS = 120, 20


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        killed: whether anything noticed it.
        by: `compiler`, the bench that failed, or `sanitizer: BENCH`, `warning: BENCH` (the header's own bench with the flags of
            `make test-hls`); empty if it survived.
    """

    killed: bool
    by: str


def equivalents() -> dict[tuple[str, str], str]:
    """Return the reasons why mutants are equivalent, by header and by the changed line without indentation."""
    entries = tomllib.loads(_EQUIVALENT.read_text(encoding="utf-8")).get("mutant", [])
    return {
        (header, after): entry["reason"] for entry in entries for header in entry["headers"] for after in entry["after"]
    }


def fingerprint(header: str) -> str:
    """Return a digest of a header, its own bench, and all that this includes: what most mutants are killed by."""
    digest = hashlib.sha256()
    bench = including_benches(HLS, header)[0]
    for path in (*sorted(included_headers(HLS, bench)), HLS / "tb" / f"{bench}_tb.cpp"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _ap_types() -> Path:
    spec = importlib.util.find_spec("hls4ml")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "templates" / "vivado" / "ap_types"


class Runner:
    """Kills mutants, one after the other, in a folder of its own.

    Args:
        folder: an empty folder; two runners do not share one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._flags = ["g++", "-std=c++11", "-O0", "-w", "-isystem", str(_ap_types())]
        self._tree = folder / "tree"
        shutil.copytree(HLS / "kan4ml", self._tree / "kan4ml")
        first = folder / "first.h"
        first.write_text(_PRECOMPILED, encoding="ascii")
        command = [*self._flags, "-x", "c++-header", str(first), "-o", f"{first}.gch"]
        subprocess.run(command, check=True, timeout=_COMPILE_SECONDS)
        self._flags += ["-include", str(first), f"-I{self._tree}"]

    def run(self, mutant: Mutant) -> Verdict:
        """Return what the benches make of a mutant; the tree is as before afterwards."""
        header = self._tree / "kan4ml" / f"{mutant.header}.h"
        text = header.read_text(encoding="utf-8")
        header.write_text(apply(text, mutant), encoding="utf-8")
        try:
            return self.verdict(including_benches(HLS, mutant.header))
        finally:
            header.write_text(text, encoding="utf-8")

    def verdict(self, benches: Iterable[str], *, sanitize: bool = True) -> Verdict:
        """Return what `benches` make of the tree as it is.

        All of them plain, then (`sanitize`) the first one, which is the header's own, with the flags of `make test-hls`.
        """
        benches = list(benches)
        binary = self._folder / "bench"
        for bench in benches:
            command = [*self._flags, str(HLS / "tb" / f"{bench}_tb.cpp"), "-o", str(binary)]
            if not _succeeds(command, _COMPILE_SECONDS):
                return Verdict(True, "compiler")
            if not _succeeds([str(binary)], _RUN_SECONDS):
                return Verdict(True, bench)
        for bench in benches[:1] if sanitize else ():
            binary = self._folder / f"{bench}_tb"
            binary.unlink(missing_ok=True)
            make = ["make", "-s", "-C", str(HLS), f"INCLUDE={self._tree}", f"AP_TYPES={_ap_types()}", "OPT=-O0"]
            if not _succeeds([*make, f"OUT={self._folder}", str(binary)], _COMPILE_SECONDS):
                return Verdict(True, f"warning: {bench}")
            if not _succeeds([str(binary)], 4 * _RUN_SECONDS):
                return Verdict(True, f"sanitizer: {bench}")
        return Verdict(False, "")


def _succeeds(command: list[str], seconds: int) -> bool:
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
