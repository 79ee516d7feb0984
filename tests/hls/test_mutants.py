"""The mutants of the headers: what is changed, that the record is explained, and a sample of them killed here."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.hls.mutant_runner import HLS, Runner, equivalents
from tests.hls.mutation import Mutant, apply, including_benches, mutants

ROOT = HLS.parent
HEADERS = sorted((HLS / "kan4ml").glob("*.h"))
#: Headers whose benches compile in a second, and how many of their mutants are run here.
SAMPLED = {
    "banked_mac": 2,
    "mac_array": 2,
    "bspline_rom": 2,
    "basis_window": 2,
    "rbf_rom": 1,
    "base_table": 1,
    "sums": 2,
}


@pytest.fixture(scope="module")
def every() -> dict[str, list[Mutant]]:
    """All mutants by header."""
    return {header.stem: mutants(header) for header in HEADERS}


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    """What `make mutants` wrote."""
    text = (ROOT / "bench" / "results" / "mutants.json").read_text(encoding="utf-8")
    headers: dict[str, Any] = json.loads(text)["headers"]
    return headers


def test_a_mutant_changes_one_token_of_code(every: dict[str, list[Mutant]]) -> None:
    operators: Counter[str] = Counter()
    for header in HEADERS:
        text = header.read_text(encoding="utf-8")
        for mutant in every[header.stem]:
            assert text[mutant.start :].startswith(mutant.old)
            assert len(apply(text, mutant)) == len(text) - len(mutant.old) + len(mutant.new)
            assert mutant.old != mutant.new
            line = text.splitlines()[mutant.line - 1].strip()
            assert line == mutant.before
            assert not line.startswith(("#", "///", "template", "static_assert"))
            operators[mutant.operator] += 1
    assert set(operators) == {"arithmetic", "shift", "comparison", "logic", "assignment", "constant", "index"}
    assert min(operators.values()) > 5
    assert sum(operators.values()) > 1000


CODE = """\
#pragma once
#define SUM(a, b) a + b // a + b
/// \\brief 1 + 2 < 3
template <class T, bool POSITIVE = (1 < 2)>
inline T f(const T *x, const unsigned n[1 + 1], const T &y) {
    static_assert(sizeof(T) < 8, "1 + 1");
    const char *text = "1 + 1 < 2"; /* 3 - 2 */
    T<5>::g(x);
    return x[n] >> 1 < -y;
}
"""


def test_what_is_a_token_of_code(tmp_path: Path) -> None:
    path = tmp_path / "code.h"
    path.write_text(CODE)
    assert [(m.old, m.new) for m in mutants(path)] == [
        ("5", "6"), ("5", "4"), ("n", "0"), (">>", "<<"), ("1", "2"), ("1", "0"), ("<", "<="), ("<", ">"), ("-", "")
    ]  # fmt: skip


def test_the_record_is_complete_and_explained(every: dict[str, list[Mutant]], recorded: dict[str, Any]) -> None:
    assert set(recorded) == {name for name, found in every.items() if found}
    reasons = equivalents()
    for header, result in recorded.items():
        for entry in result["mutants"]:
            if not entry["killed_by"]:
                assert entry["equivalent"] == reasons[header, entry["after"]]
    assert sum(len(result["mutants"]) for result in recorded.values()) >= 200


def test_reasons_are_for_lines_that_exist(every: dict[str, list[Mutant]]) -> None:
    lines = {(header, mutant.after) for header, found in every.items() for mutant in found}
    assert set(equivalents()) <= lines


def test_a_header_that_no_bench_includes_is_seen(tmp_path: Path) -> None:
    assert including_benches(HLS, "rescale")[0] == "rescale"
    assert including_benches(HLS, "nothing") == []


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """The headers with a precompiled `ap_types`."""
    return Runner(tmp_path_factory.mktemp("mutants"))


def test_the_headers_as_they_are_pass(runner: Runner) -> None:
    for header in ("mac_array", "basis_window"):
        assert not runner.verdict([header], sanitize=False).killed


@pytest.mark.parametrize("header", SAMPLED)
def test_a_sample_is_killed(every: dict[str, list[Mutant]], runner: Runner, header: str) -> None:
    harmful = [mutant for mutant in every[header] if (header, mutant.after) not in equivalents()]
    count = SAMPLED[header]
    for mutant in harmful[len(harmful) // (2 * count) :: len(harmful) // count][:count]:
        assert runner.run(mutant).killed, mutant
