"""Single-token mutants of the C++ headers: does a native bench notice?

    python bench/mutants.py [--changed | --survivors] [HEADER …]

All headers, or the named ones; with --changed those of them that differ from what is recorded, or whose benches do; with
--survivors only what is recorded as surviving without a reason, after a bench was strengthened.

Results go to `bench/results/mutants.json` and `docs/mutants.md`, after each header. Exit status 1 if a mutant survives
that no reason in `tests/hls/equivalent_mutants.toml` explains.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _common import RESULTS, provenance, write_result  # noqa: E402

from tests.hls.mutant_runner import HLS, Runner, equivalents, fingerprint  # noqa: E402
from tests.hls.mutation import mutants  # noqa: E402

RESULT = RESULTS / "mutants.json"
DOCUMENT = ROOT / "docs" / "mutants.md"


Key = tuple[str, str, str, int]


def keyed(entries: Iterable[dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Return mutants by old and new token, changed line, and how many like them come before."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found = {}
    for entry in entries:
        change = (entry["old"], entry["new"], entry["after"])
        found[*change, seen[change]] = entry
        seen[change] += 1
    return found


def run(header: str, killed: Mapping[Key, Any]) -> dict[str, Any]:
    """Return what became of every mutant of a header.

    Args:
        header: its stem.
        killed: what need not be run again, as :func:`keyed` gives it.
    """
    started = time.monotonic()
    before = fingerprint(header)
    reasons, found = equivalents(), []
    with tempfile.TemporaryDirectory(prefix="kan4ml-mutants-") as folder:
        runner = Runner(Path(folder))
        every = mutants(HLS / "kan4ml" / f"{header}.h")
        keys = keyed([{"old": mutant.old, "new": mutant.new, "after": mutant.after} for mutant in every])
        for mutant, key in zip(every, keys, strict=True):
            known = killed.get(key)
            if known is not None:
                found.append(known | {"line": mutant.line})
                continue
            verdict = runner.run(mutant)
            entry = {"line": mutant.line, "operator": mutant.operator, "old": mutant.old, "new": mutant.new}
            entry |= {"after": mutant.after, "killed_by": verdict.by}
            reason = reasons.get((header, mutant.after))
            if not verdict.killed:
                entry["equivalent"] = reason
                print(
                    f"{header}.h:{mutant.line}: survived{'' if reason else ', NOT EXPLAINED'}: {mutant.after}",
                    flush=True,
                )
            found.append(entry)
    return {"fingerprint": before, "seconds": round(time.monotonic() - started, 1), "mutants": found}


def explain(results: Mapping[str, Any]) -> list[str]:
    """Give the survivors their reasons as they are now; return those without, one line each."""
    reasons, missing = equivalents(), []
    for header, result in results.items():
        for entry in result["mutants"]:
            if not entry["killed_by"]:
                entry["equivalent"] = reasons.get((header, entry["after"]))
                if entry["equivalent"] is None:
                    missing.append(
                        f"{header}.h:{entry['line']}: {entry['old']!r} to {entry['new']!r}: {entry['after']}"
                    )
    return missing


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def document(results: Mapping[str, Any]) -> str:
    """Return the table of `docs/mutants.md`."""
    lines = [
        "# Mutants of the C++ headers",
        "",
        "Written by `make mutants`; do not edit. A mutant is a header with one token changed (`tests/hls/mutation.py` says which",
        "tokens, and to what). It is killed if it does not compile, if a native bench of `hls/tb/` that includes the header fails,",
        "crashes or does not end, or (sanitizer, warning) if one does so with the flags of `make test-hls`.",
        "",
        "| header | mutants | compiler | bench | sanitizer | warning | equivalent | unexplained |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    total: Counter[str] = Counter()
    kinds = ("mutants", "compiler", "bench", "sanitizer", "warning", "equivalent", "unexplained")
    for header, result in sorted(results.items()):
        count: Counter[str] = Counter(mutants=len(result["mutants"]))
        for entry in result["mutants"]:
            by = entry["killed_by"].split(":")[0]
            kind = by if by in kinds else "bench"
            count[kind if by else "equivalent" if entry.get("equivalent") else "unexplained"] += 1
        total.update(count)
        lines.append(f"| `{header}.h` | " + " | ".join(str(count[kind]) for kind in kinds) + " |")
    lines.append("| **all** | " + " | ".join(f"**{total[kind]}**" for kind in kinds) + " |")
    lines += [
        "",
        "## Equivalent mutants",
        "",
        "| header, line | change | why it computes the same |",
        "| --- | --- | --- |",
    ]
    for header, result in sorted(results.items()):
        for entry in result["mutants"]:
            if not entry["killed_by"]:
                reason = entry.get("equivalent") or "**unexplained**"
                lines.append(f"| `{header}.h:{entry['line']}` | `{_cell(entry['after'])}` | {_cell(reason)} |")
    return "\n".join(lines) + "\n"


def recorded(names: Iterable[str]) -> dict[str, Any]:
    """Return the results that are recorded for headers that exist, by name."""
    results = json.loads(RESULT.read_text(encoding="utf-8"))["headers"] if RESULT.exists() else {}
    return {name: result for name, result in results.items() if name in set(names)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changed", action="store_true", help="skip headers whose recorded run is still valid")
    parser.add_argument("--survivors", action="store_true", help="run only what survived without a reason")
    parser.add_argument("headers", nargs="*")
    arguments = parser.parse_args()
    names = [path.stem for path in sorted((HLS / "kan4ml").glob("*.h"))]
    names = [name for name in names if mutants(HLS / "kan4ml" / f"{name}.h")]
    results = recorded(names)
    for header in arguments.headers or names:
        valid = header in results and results[header]["fingerprint"] == fingerprint(header)
        if arguments.changed and valid:
            found = results[header]
        else:
            old = results.get(header, {"mutants": []})["mutants"] if arguments.survivors else []
            settled = {k: m for k, m in keyed(old).items() if m["killed_by"] or (header, m["after"]) in equivalents()}
            found = run(header, settled)
        results = recorded(names) | {header: found}  # read again: another process may have written
        explain(results)
        write_result(RESULT, "Single-token mutants of hls/kan4ml", provenance(), headers=dict(sorted(results.items())))
        DOCUMENT.write_text(document(results), encoding="utf-8")
    missing = explain(results)
    print(*missing, sep="\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
