"""The native benches of the HLS headers, and proof that they notice a wrong header."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HLS = Path(__file__).parents[2] / "hls"
BENCHES = sorted(p.stem.removesuffix("_tb") for p in (HLS / "tb").glob("*_tb.cpp"))

# One worker runs this file, so that the binaries are built once.
pytestmark = pytest.mark.xdist_group("hls_benches")


def _make(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        "make",
        "-s",
        "-k",
        "-j2",
        "-C",
        str(HLS),
        f"PYTHON={sys.executable}",
        f"OUT={out}",
        "OPT=-O0",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True)


def _bench(binary: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(binary)], capture_output=True, text=True)


@pytest.fixture(scope="session")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All benches, with sanitizers and warnings as errors."""
    out = tmp_path_factory.mktemp("hls_benches")
    done = _make(out, "all")
    assert done.returncode == 0, done.stderr
    return out


def test_every_header_has_a_bench() -> None:
    # rolled.h holds a macro and the division of the inputs only; the three rolled benches are its benches.
    headers = {p.stem for p in (HLS / "kan4ml").glob("*.h")} - {"kan4ml", "kan4ml_stream", "rolled"}
    assert headers == set(BENCHES)


@pytest.mark.parametrize("name", BENCHES)
def test_bench(binaries: Path, name: str) -> None:
    done = _bench(binaries / f"{name}_tb")
    assert done.returncode == 0, done.stdout + done.stderr
    result = re.search(rf"{name}: (\d+) comparisons, 0 mismatches\n", done.stdout)
    assert result is not None
    assert int(result[1]) > 1000


#: Trees of headers: bench, and what is changed in the header of the same name. No header of a tree includes another
#: changed one, so each bench sees its own change only.
SABOTAGE = [
    {
        "banked_mac": ("step * n_groups", "step * 0"),
        "base_table": ("table[(unsigned)code[i]]", "table[0 * (unsigned)code[i]]"),
        "bspline_arith": ("(1LL << (fraction - 1))", "(1LL << (fraction - 1)) - 1"),
        "bspline_rom": ("value[i][j] = rom[c][j]", "value[i][j] = rom[c][CONFIG::window - 1 - j]"),
        "coder": ("(floored > last)", "(floored >= last - 1)"),
        "mac_array": ("weights[e][first + j]", "weights[e][j]"),
        "rescale": ("term<sum_t>(half)", "term<sum_t>(half) * 0"),
    },
    {
        "basis_window": ("move == (int)source - (int)j", "move == (int)j - (int)source"),
        "coder": ("(floored < 0)", "(floored < -1)"),
        "gram_arith": ("(first >> fraction) - (second >> down)", "(first >> fraction) + (second >> down)"),
        "gram_rom": ("rom[c][n]", "rom[c][0]"),
        "rbf_arith": ("segment >= n_segments", "segment > n_segments"),
        "rbf_rom": ("start[i] = starts[c]", "start[i] = starts[0]"),
        "rescale": ("(floored > highest)", "(floored > highest + 1)"),
        "stream_vector": ("x[b * pack_T::size + j] = beat[j]", "x[b * pack_T::size + j] = beat[0]"),
        "sums": ("width > 32", "width > 33"),
    },
    {
        "edge_rows": ("if (k == 0) {", "if (k <= 1) {"),
        "edge_table": ("in::total(acc[o]) + b;", "in::total(acc[o]) + 0 * b;"),
        "kan_dense": ("code[i] = spline_code[i];", "code[i] = spline_code[0];"),
        "kan_dense_rolled": ("base_weights[i][o]", "base_weights[r][o]"),
        "window2d": ("ky * G::dilation_h", "ky"),
        "layer_norm": ("rounded = value + 1;", "rounded = value;"),
        "product": ("(j < (unsigned)arity[o])", "(j + 1 < (unsigned)arity[o])"),
    },
    {
        "dense_stream": ("(in, out, tables...)", "(in, out, tables...), out[0] = out[1]"),
        "edge_table_conv2d": ("p.code[c] = CONFIG::coder::n_codes", "p.code[c] = CONFIG::coder::n_codes - 1"),
        "kan_conv2d": ("p.activation[c] = 0", "p.activation[c] = 1"),
        "line_buffer": ("rows[r - 1][column] = above", "rows[r][column] = above"),
        "pool2d": ("p.value[c] = raw_bits<data_T>::lowest", "p.value[c] = 0"),
    },
    {
        "conv_stream": ("every_window_stream<max_pool_unit", "every_window_stream<average_pool_unit"),
    },
]


@pytest.fixture(scope="session")
def sabotaged(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Per tree, the folder of its benches."""
    folders = []
    for changes in SABOTAGE:
        tree = tmp_path_factory.mktemp("hls_sabotage")
        shutil.copytree(HLS / "kan4ml", tree / "kan4ml")
        for name, (right, wrong) in changes.items():
            header = tree / "kan4ml" / f"{name}.h"
            text = header.read_text()
            assert right in text, (name, right)
            header.write_text(text.replace(right, wrong))
        out = tree / "bin"
        targets = [str(out / f"{name}_tb") for name in changes]
        done = _make(out, f"INCLUDE={tree}", "SANITIZE=", "WARNINGS=-w", *targets)
        assert done.returncode == 0, done.stderr
        folders.append(out)
    return folders


@pytest.mark.parametrize(("tree", "name"), [(t, name) for t, changes in enumerate(SABOTAGE) for name in changes])
def test_a_wrong_header_is_caught(sabotaged: list[Path], tree: int, name: str) -> None:
    done = _bench(sabotaged[tree] / f"{name}_tb")
    assert done.returncode == 1, done.stdout
    assert re.search(r"is -?\d+, expected -?\d+", done.stdout)


def test_missing_ap_types_are_named() -> None:
    done = subprocess.run(["make", "-C", str(HLS), "AP_TYPES=/nowhere", "all"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "ap_int.h was not found" in done.stderr
    assert "set AP_TYPES" in done.stderr


def test_no_floating_point_in_the_headers() -> None:
    for header in (HLS / "kan4ml").glob("*.h"):
        code = re.sub(r"//.*", "", header.read_text())
        assert not re.search(r"\b(float|double|half_t|cmath|std::(exp|pow|round))\b", code), header.name
