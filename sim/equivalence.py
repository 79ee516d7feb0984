"""Comparing two stations on integers: `==`, every vector, every node, and the first difference named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pymodel.ir import IntArray

__all__ = ["Border", "FirstMismatch", "compare"]


@dataclass(frozen=True)
class FirstMismatch:
    """Where two stations differ first: the earliest node in program order, then the lowest vector and element."""

    node: str
    vector: int
    element: int
    got: int
    expected: int

    def __str__(self) -> str:
        return (
            f"layer {self.node}, vector {self.vector}, output {self.element}: got {self.got}, expected {self.expected}"
        )


@dataclass(frozen=True)
class Border:
    """The border between two stations.

    Attributes:
        name: e.g. `csim_vs_reference`.
        vectors: rows compared.
        mismatches: rows with at least one different integer at any node.
        nodes: mismatching rows per node that was compared, in program order.
        first: the first difference, or None.
        problems: what is wrong besides integers, each a sentence: broken rules of RTL ports, C++ table entries that their
            types cannot hold; they count as mismatches.
    """

    name: str
    vectors: int
    mismatches: int
    nodes: Mapping[str, int]
    first: FirstMismatch | None
    problems: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """True if something was compared and nothing differs."""
        return self.vectors > 0 and self.mismatches == 0

    @property
    def failure(self) -> str:
        """One sentence on what differs."""
        what = f"{self.mismatches:,} of {self.vectors:,} vectors differ" if self.mismatches else "nothing was compared"
        where = "; ".join(filter(None, [f"first {self.first}" if self.first else "", *self.problems]))
        return f"{self.name}: {what}" + (f", {where}" if where else "")


def compare(name: str, got: Mapping[str, IntArray], expected: Mapping[str, IntArray], order: Sequence[str]) -> Border:
    """Compare the integers of two stations at every node of `order`.

    Args:
        name: of the border.
        got: integers (rows, n_out) per node of the station under test.
        expected: likewise of the reference.
        order: node names in program order.

    Raises:
        ValueError: if a station lacks a node or a shape differs: then nothing was proven.
    """
    missing = [node for node in order if node not in got or node not in expected]
    if missing or not order:
        raise ValueError(f"{name}: a station lacks the nodes {missing}")
    rows = expected[order[-1]].shape[0]
    wrong = np.zeros(rows, dtype=bool)
    nodes: dict[str, int] = {}
    first: FirstMismatch | None = None
    for node in order:
        a, b = got[node], expected[node]
        if a.shape != b.shape or a.shape[0] != rows:
            raise ValueError(f"{name}: node {node!r} has shape {a.shape}, expected {b.shape}")
        different = a != b
        bad = different.any(axis=1)
        nodes[node] = int(bad.sum())
        wrong |= bad
        if first is None and bad.any():
            vector = int(np.argmax(bad))
            element = int(np.argmax(different[vector]))
            first = FirstMismatch(node, vector, element, int(a[vector, element]), int(b[vector, element]))
    return Border(name, rows, int(wrong.sum()), nodes, first)
