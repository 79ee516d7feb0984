"""The self-check of every run: the same integers at every station, or the name of the first one that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.openhls._job import interpret, run_optimised
from hwgen.openhls._kernel import Kernel
from hwgen.openhls._translate import slots
from pymodel.errors import MismatchError
from pymodel.ir import IntArray

__all__ = ["SelfCheck", "kernel_vectors", "self_check"]

#: Rows that XLS's interpreter runs; its JIT takes the others.
_INTERPRETED = 64


@dataclass(frozen=True)
class SelfCheck:
    """The stations that agreed, in order, and the rows that each of them ran."""

    stations: tuple[str, ...]
    vectors: int


def kernel_vectors(kernel: Kernel, count: int, seed: int = 0) -> IntArray:
    """Return input integers (rows, elements of all inputs): corners, then `count` random rows, each port in its range."""
    lows = np.concatenate([np.full(p.count, p.low) for p in kernel.interface.inputs])
    highs = np.concatenate([np.full(p.count, p.high) for p in kernel.interface.inputs])
    zero = np.zeros_like(lows)
    even = np.arange(lows.size) % 2 == 0
    corners = [lows, highs, zero, np.where(even, lows, highs), np.where(even, highs, lows)]
    random = np.random.default_rng(seed).integers(lows, highs, (count, lows.size), dtype=np.int64, endpoint=True)
    return np.concatenate([np.array(corners, dtype=np.int64), random])


def self_check(
    kernel: Kernel, package: str, folder: Path, X: IntArray, expected: Mapping[str, IntArray], where: str = ""
) -> SelfCheck:
    """Run the optimised LLVM code and the optimised XLS function on `X` and compare them with what is expected.

    Args:
        kernel: the kernel.
        package: XLS's IR, as Verilog was made from it.
        folder: the one in which the kernel was elaborated.
        X: input integers (rows, elements of all inputs).
        expected: what earlier stations gave on `X`, in order: (rows, elements of all outputs) by station.
        where: of the model this kernel is, for the message.

    Raises:
        MismatchError: naming the first station that differs from the ones before it, with vector and element.
    """
    ins, outs = slots(kernel.interface.inputs), slots(kernel.interface.outputs)
    answers = dict(expected)
    answers["optimised LLVM (JIT)"] = run_optimised(folder, kernel.elaborated.symbol, kernel.call, X)
    answers["XLS interpreter"] = interpret(
        folder,
        package,
        X,
        in_width=ins.width,
        n_out=outs.count,
        out_width=outs.width,
        signed=outs.signed,
        interpreted=_INTERPRETED,
    )
    names = list(answers)
    reference = answers[names[0]]
    for name in names[1:]:
        different = np.argwhere(answers[name] != reference)
        if different.size:
            row, element = (int(v) for v in different[0])
            rows = np.unique(different[:, 0]).size
            raise MismatchError(
                f"open HLS: {where}{name} differs from {names[0]} in {rows} of {X.shape[0]} vectors, first in vector {row}, "
                f"output {element}: {answers[name][row, element]} instead of {reference[row, element]}"
            )
    return SelfCheck(tuple(names), X.shape[0])
