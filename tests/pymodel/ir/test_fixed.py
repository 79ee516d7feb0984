"""FixedPoint against exact rational arithmetic and against ap_fixed itself."""

from __future__ import annotations

import importlib.util
import itertools
import math
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pymodel.errors import DataError, IRError
from pymodel.ir import FixedPoint, Overflow, Rounding, signed_width, unsigned_width


def exact(t: FixedPoint, value: float) -> int:
    """The integer that ap_fixed gives, in rational arithmetic."""
    scaled = Fraction(value) * Fraction(2) ** t.frac
    n = math.floor(scaled + Fraction(1, 2)) if t.rounding is Rounding.RND else math.floor(scaled)
    if t.overflow is Overflow.SAT:
        return min(max(n, t.min_int), t.max_int)
    n %= 1 << t.width
    return n - (1 << t.width) if n > t.max_int else n


MODES = [
    (width, integer, signed, rounding, overflow)
    for (width, integer), signed, rounding, overflow in itertools.product(
        [(1, 1), (3, 1), (4, 4), (5, -1), (5, 8), (8, 2)], [False, True], Rounding, Overflow
    )
]


@pytest.mark.parametrize(("width", "integer", "signed", "rounding", "overflow"), MODES)
def test_quantize_is_exact(width: int, integer: int, signed: bool, rounding: Rounding, overflow: Overflow) -> None:
    t = FixedPoint(width, integer, signed, rounding, overflow)
    eighths = np.arange(-40 * 8, 40 * 8 + 1) / 8.0
    values = np.concatenate([eighths * t.lsb, np.random.default_rng(0).normal(size=50) * 9 * t.lsb])
    assert t.quantize(values).tolist() == [exact(t, v) for v in values.tolist()]


def test_quantize_keeps_the_shape_and_the_grid() -> None:
    t = FixedPoint(6, 2, True)
    everything = np.arange(t.min_int, t.max_int + 1, dtype=np.int64).reshape(4, 16)
    assert t.quantize(t.to_real(everything)).tolist() == everything.tolist()
    assert t.quantize(t.to_real(everything)).dtype == np.int64
    assert t.quantize(0.3).shape == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_quantize_refuses_what_ap_types_would_turn_into_a_number(bad: float) -> None:
    with pytest.raises(DataError, match="expected finite input values, found NaN or infinity; clean the data"):
        FixedPoint(8, 2, True).quantize([0.0, bad])


def test_quantize_equals_ap_fixed(tmp_path: Path) -> None:
    """The very types that the generated C++ uses."""
    spec = importlib.util.find_spec("hls4ml")
    assert spec is not None
    assert spec.origin is not None
    ap_types = Path(spec.origin).parent / "templates" / "vivado" / "ap_types"
    lines, expected = [], []
    for width, integer, signed, rounding, overflow in MODES:
        t = FixedPoint(width, integer, signed, rounding, overflow)
        values = (np.arange(-40, 41) / 4.0 * t.lsb).tolist()
        kind = "ap_fixed" if signed else "ap_ufixed"
        lines.append(f"show<{kind}<{width}, {integer}, AP_{rounding.name}, AP_{overflow.name}>, {width}>({t.lsb!r});")
        expected += t.quantize(values).tolist()
    (tmp_path / "main.cpp").write_text(
        '#include "ap_fixed.h"\n#include <cstdio>\n'
        "template <class T, int W> void show(double lsb) {\n"
        "    for (int n = -40; n <= 40; n++) {\n"
        "        T x = n / 4.0 * lsb;\n"
        "        const bool negative = x < 0;\n"
        "        ap_uint<W> raw = x.range(W - 1, 0);\n"
        '        std::printf("%lld\\n", (long long)raw - (negative ? 1LL << W : 0LL));\n'
        "    }\n}\n"
        "int main() {\n" + "\n".join(lines) + "\n}\n"
    )
    binary = tmp_path / "main"
    command = ["g++", "-std=c++11", "-w", "-isystem", str(ap_types), str(tmp_path / "main.cpp"), "-o", str(binary)]
    subprocess.run(command, check=True)
    done = subprocess.run([str(binary)], check=True, capture_output=True, text=True)
    assert [int(line) for line in done.stdout.split()] == expected


def test_ranges() -> None:
    assert [(t.min_int, t.max_int) for t in (FixedPoint(4, 1, True), FixedPoint(4, 1, False))] == [(-8, 7), (0, 15)]
    assert FixedPoint(6, 2, True).lsb == 2.0**-4
    assert FixedPoint(6, 9, True).lsb == 8.0
    for low, high in itertools.product(range(-40, 1), range(41)):
        width = signed_width(low, high)
        assert -(1 << (width - 1)) <= low
        assert high < 1 << (width - 1)
        assert width == 1 or low < -(1 << (width - 2)) or high >= 1 << (width - 2)
    assert [unsigned_width(n) for n in (0, 1, 2, 3, 4, 255, 256)] == [1, 1, 2, 2, 3, 8, 9]


@pytest.mark.parametrize("width", [0, -1, 54])
def test_width_is_checked(width: int) -> None:
    with pytest.raises(IRError, match=f"must be 1 … 53 bits, not {width}"):
        FixedPoint(width, 1, True)


def test_integer_bits_are_checked() -> None:
    with pytest.raises(IRError, match="-64 … 64 integer bits, not 65"):
        FixedPoint(8, 65, True)
