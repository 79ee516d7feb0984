"""Convolutions between streams: the body of the C++ loop with its line buffer as state, compared before and as RTL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.openhls import Refused, generate
from pymodel.errors import MismatchError
from pymodel.ir import ConvGeometry, FixedPoint, KanIR
from pymodel.reference import Reference
from sim.cosim import cosim
from tests.sim.csim.projects import PART, convert_ir
from tests.spatial import program, random_conv
from tests.strategies import corner_inputs, random_inputs

pytestmark = pytest.mark.xdist_group("openhls_conv")

IN, OUT = FixedPoint(5, 2, signed=True), FixedPoint(4, 4, signed=False)
#: Rows and columns that are left over, two channels, a stride.
GEOMETRY = ConvGeometry(5, 6, 2, 2, 3, stride_h=2)


def image(geometry: ConvGeometry = GEOMETRY, *, table: bool = True) -> KanIR:
    rng = np.random.default_rng(1)
    basis = None if table else "bspline_rom"
    return program([random_conv(rng, "layers_0", "x", IN, OUT, geometry, 3, table=table, basis=basis)], IN)


def make(ir: KanIR, folder: Path) -> Path:
    X = random_inputs(ir, 20, np.random.default_rng(1))
    generate(ir, folder / "rtl", project=folder / "hls", part=PART, clock_ns=5.0, vectors=X)
    return folder / "rtl"


@pytest.mark.rtl
def test_a_convolution_takes_a_pixel_per_clock(tmp_path: Path) -> None:
    ir = image()
    convert_ir(ir, tmp_path / "hls", io="io_stream")
    rtl = make(ir, tmp_path)
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 40, np.random.default_rng(2))])
    want = Reference(ir).run(X)
    assert np.unique(want[ir.output]).size > 4
    result = cosim(rtl, X, want, seed=1)
    assert result.equal, (result.first, result.problems)
    assert result.ii == 30

    header = tmp_path / "hls" / "firmware" / "kan4ml" / "line_buffer.h"
    text = header.read_text()
    assert "rows[r - 1][column] = above;" in text or "rows[kept - 1][column] = pixel;" in text
    header.write_text(text.replace("window[r][c] = window[r][c + 1];", "window[r][c] = window[r][c];"))
    with pytest.raises(MismatchError, match=r"optimised LLVM \(JIT\) of layer layers_0 differs"):
        make(ir, tmp_path)


def test_what_is_refused_between_streams(tmp_path: Path) -> None:
    ir = image(replace(GEOMETRY, padding_top=1))
    convert_ir(ir, tmp_path / "hls", io="io_stream")
    with pytest.raises(Refused, match="the convolution layers_0 between streams with padding, which takes clocks"):
        make(ir, tmp_path)
