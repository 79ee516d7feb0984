"""What the vectors of the matrix reach: both sides of every decision in the headers (gcov), and every address of a ROM.

The headers are compiled with `--coverage`, which costs nothing otherwise. A decision is a condition that is evaluated while
the kernel runs (conditions on the config are folded), those of loops excluded. Its counts are added up over all layers that
contain it.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.plugin._writer import library_headers
from pymodel.ir import GramArith, IntArray, KanConv, KanLinear, RbfArith
from tests.matrix.cells import BASES, IMPLEMENTATIONS, Case, Cell, Refusal, ask, case
from tests.matrix.native import build

__all__ = ["Decision", "Rom", "cover", "roms"]

_FLAGS = ("--coverage", "-fno-exceptions")
#: Kind of loop by kind of loop; `small` has four inputs, so that two of them meet in a step.
_RUNS = (
    ("latency", "small"),
    ("latency", "knots"),
    ("edge table", "knots"),
    ("reuse 2", "small"),
    ("edge rows, reuse 2", "small"),
)
#: Convolutions, in one basis: layer, mode, IO type, size. In streams padding on every side (without it the condition is
#: another one), in arrays also pixels that the steps of a rolled loop do not divide.
_CONV_RUNS = (
    ("conv2d", "latency", "io_parallel", "wide"),
    ("conv2d", "edge table", "io_parallel", "prime"),
    ("conv1d", "reuse 2", "io_parallel", "wide"),
    ("conv2d", "latency", "io_stream", "prime"),
    ("conv2d", "reuse all", "io_stream", "prime"),
)
#: Rows of a convolution; its windows are several layers each.
_CONV_ROWS = 400


@dataclass(frozen=True)
class Decision:
    """A condition in a header.

    Attributes:
        header: name of the file.
        line: its number.
        text: the line.
        counts: how often each of its outcomes came; two per operand of `&&` and `||`.
    """

    header: str
    line: int
    text: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Rom:
    """A table and its addresses.

    Attributes:
        name: which layer, which table.
        reached: addresses that were read.
        reachable: addresses that some code leads to.
        size: addresses that it has.
    """

    name: str
    reached: int
    reachable: int
    size: int


def _decisions(folder: Path) -> list[Decision]:
    counts: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for data in sorted(folder.glob("*.gcda")):
        command = ["gcov", "--json-format", "--stdout", "--branch-probabilities", data.name]
        text = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout
        for file in json.loads(text)["files"]:
            if Path(file["file"]).parent.name != "kan4ml":  # ap_types lie elsewhere, maybe in a checkout of that name
                continue
            for line in file["lines"]:
                found = [int(branch["count"]) for branch in line["branches"]]
                if found:
                    key = (Path(file["file"]).name, int(line["line_number"]), len(found))
                    old = counts[key] or [0] * len(found)
                    counts[key] = [a + b for a, b in zip(old, found, strict=True)]
    result = []
    for (header, number, _), found in sorted(counts.items()):
        text = (library_headers() / header).read_text(encoding="utf-8").splitlines()[number - 1].strip()
        if not text.startswith("for ") and re.search(r"\bif \(| \? ", text):
            result.append(Decision(header, number, text, tuple(found)))
    return result


def cover(folder: Path) -> list[Decision]:
    """Run dense layers of every basis and every kind of loop, and convolutions; return all decisions in their headers.

    Args:
        folder: an empty one.
    """
    runs = [
        (Cell(basis, implementation, mode, "io_parallel", "dense"), size)
        for basis in BASES
        for implementation in IMPLEMENTATIONS
        for mode, size in _RUNS
    ]
    runs += [(Cell("bspline", "rom", mode, io, layer), size) for layer, mode, io, size in _CONV_RUNS]
    models, jobs = {}, {}
    for cell, size in runs:
        model = ask(cell, size, folder / "none")
        assert not isinstance(model, Refusal), model.sentence
        name = f"{cell.name}_{size}".replace(",", "")
        models[name], jobs[name] = model, case(cell, size)
    for library in build(models, folder / "native", extra_flags=_FLAGS):
        for name in library.names:
            job = jobs[name]
            rows = slice(_CONV_ROWS if "conv" in name else None)
            assert (library.run(name, job.X[rows]) == job.expected[rows]).all()
        library.dump_coverage()
    return _decisions(folder / "native")


def _silu_indices(basis: GramArith, codes: IntArray) -> IntArray:
    """Return the rows of SiLU that `gram_arith` reads, by its formula."""
    t = basis.tanh[codes]
    p = [np.full_like(t, 1 << basis.fraction), t]
    half = (1 << basis.factor_shift) >> 1
    for n in range(2, basis.window):
        first = (t * p[n - 1] + (1 << (basis.fraction - 1))) >> basis.fraction
        p.append(first - ((basis.factors[n] * p[n - 2] + half) >> basis.factor_shift))
    index = (np.stack(p) + basis.silu_offset) >> basis.silu_shift
    rows: IntArray = np.clip(index, 0, basis.silu.size - 1)
    return rows


def _samples(basis: RbfArith, codes: IntArray) -> IntArray:
    """Return the samples of half a Gaussian that `rbf_arith` reads, by its formula; those of one set of centres."""
    place = (codes * basis.position[0, 0] + basis.position[0, 1]) >> basis.position_shift
    start = np.clip((place >> basis.fraction) - basis.reach, 0, basis.n_basis - basis.width)
    centres = (start[:, None] + np.arange(basis.width)) << basis.fraction
    segment = np.abs(place[:, None] - centres) >> basis.remainder
    near = segment[segment < basis.samples.size - 1]
    return np.concatenate((near, near + 1))


def roms(job: Case) -> list[Rom]:
    """Return the tables of a layer and how many of their addresses its inputs reach; one coder for all channels."""
    layer = job.ir.layers[0]
    node = layer.layers[0] if isinstance(layer, KanConv) else layer
    assert isinstance(node, KanLinear)
    assert all(coder.mult.size == 1 for coder in node.coders)
    basis = node.spline.basis
    codes, every = np.unique(node.spline.coder.codes(job.X)), np.arange(basis.n_codes)
    result = [Rom("basis functions, by code", codes.size, basis.n_codes, basis.n_codes)]
    if node.base is not None:
        base, n_codes = np.unique(node.base.coder.codes(job.X)), node.base.coder.n_codes
        result.append(Rom("activation of the base branch", base.size, n_codes, n_codes))
    if isinstance(basis, GramArith):
        silu, all_silu = (np.unique(_silu_indices(basis, c)).size for c in (codes, every))
        result.append(Rom("SiLU of the polynomials", silu, all_silu, basis.silu.size))
    if isinstance(basis, RbfArith):
        samples, all_samples = (np.unique(_samples(basis, c)).size for c in (codes, every))
        result.append(Rom("samples of half a Gaussian", samples, all_samples, basis.samples.size))
    return result
