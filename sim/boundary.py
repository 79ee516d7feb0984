"""Vectors at rounding boundaries: where a change of any table entry by one changes the layer's output.

A rescale drops low bits, so most vectors hide a small error of a constant. A vector shows a change of +1 in an edge's
entry if it selects that entry and the layer's sum lies just below a rounding step (residue `2^n - 1`), and of -1 if it
lies on one (residue 0), inside the output's unsaturated range. For a layer whose codes can be chosen freely such vectors
are constructed: all inputs but a few get prescribed codes, and the rest are solved for by meeting in the middle. For a
hidden layer inside a network they are picked from many rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pymodel.errors import IRError
from pymodel.ir import (
    MAX_TABLE_BITS,
    EdgeTable,
    FixedPoint,
    IntArray,
    KanConv,
    KanLinear,
    Node,
    Pool,
    dense_form,
    to_edge_table,
)

__all__ = ["Boundary", "Visibility", "boundary_rows", "codes_to_integers", "edge_form", "integers_of"]

BoolArray = npt.NDArray[np.bool_]

#: Sums enumerated on each side of the meeting in the middle.
_SIDE = 4096
_TARGETS = 4
_EXTRA_TRIES = 48
#: Pairs of inputs and outputs that a convolution written out as a dense layer may have for a search to be worth it.
_MAX_PAIRS = 1 << 14


@dataclass(frozen=True)
class Visibility:
    """Edge-table entries (edge, code) times two signs: how many a vector shows a change of one LSB of, and all."""

    visible: int
    total: int


def edge_form(node: Node, in_type: FixedPoint) -> EdgeTable | None:
    """Return the layer in edge-table form, convolutions and averages as dense layers; None if it has none.

    A large image has none here: its windows share their constants, which other rows show as well.
    """
    if isinstance(node, EdgeTable):
        return node if node.coder.n_codes <= 1 << MAX_TABLE_BITS else None
    try:
        if isinstance(node, KanConv | Pool):
            if node.n_in * node.n_out > _MAX_PAIRS:
                return None
            form = to_edge_table(node, in_type) if isinstance(node, KanConv) else node
            dense = dense_form(form, in_type)
            return dense if isinstance(dense, EdgeTable) and dense.coder.n_codes <= 1 << MAX_TABLE_BITS else None
        return to_edge_table(node, in_type) if isinstance(node, KanLinear) else None
    except IRError:
        return None


class Boundary:
    """Which (sign, edge, code) of one layer no vector has shown yet.

    Args:
        layer: in edge-table form.
        reachable: (I, C), the codes that count.
    """

    def __init__(self, layer: EdgeTable, reachable: BoolArray) -> None:
        n_in, n_codes, n_out = layer.tables.shape
        self.layer = layer
        self.inputs = [np.flatnonzero(layer.alive[o]) for o in range(n_out)]
        self.missing = [np.tile(reachable[a], (2, 1, 1)) for a in self.inputs]
        self.total = sum(int(m.sum()) for m in self.missing)
        self.shape = (n_in, n_codes)

    @property
    def visibility(self) -> Visibility:
        """What has been shown so far."""
        left = sum(int(m.sum()) for m in self.missing)
        return Visibility(self.total - left, self.total)

    def window(self, sign: int) -> tuple[int, int]:
        """Return the lowest and highest quotient before which a change of `sign` moves the saturated output."""
        low, high = self.layer.out_type.min_int, self.layer.out_type.max_int
        return (low, high - 1) if sign == 0 else (low + 1, high)

    def residue(self, sign: int) -> int:
        """Return the residue of sums that a change of `sign` (0: +1, 1: -1) carries over a rounding step."""
        return (1 << self.layer.shift) - 1 if sign == 0 else 0

    def mark(self, codes: IntArray, o: int, sign: int) -> None:
        """Note that the row `codes` (I,) shows a change in output `o`."""
        a = self.inputs[o]
        self.missing[o][sign, np.arange(a.size), codes[a]] = False

    def pick(self, codes: IntArray) -> IntArray:
        """Return the indices of those rows of `codes` (rows, I) that show something new, and note what they show."""
        picked: set[int] = set()
        for o, inputs in enumerate(self.inputs):
            if not inputs.size:
                continue
            totals = _totals(self.layer, codes, o, inputs)
            quotient, residue = totals >> self.layer.shift, totals & ((1 << self.layer.shift) - 1)
            for sign in (0, 1):
                low, high = self.window(sign)
                hits = np.flatnonzero((residue == self.residue(sign)) & (quotient >= low) & (quotient <= high))
                keys = np.arange(inputs.size) * self.shape[1] + codes[hits][:, inputs]
                unique, first = np.unique(keys, return_index=True)
                missing = self.missing[o][sign].reshape(-1)
                picked.update(hits[first[missing[unique]] // inputs.size].tolist())
                missing[unique] = False
        return np.array(sorted(picked), dtype=np.int64)


def _totals(layer: EdgeTable, codes: IntArray, o: int, inputs: IntArray) -> IntArray:
    sums = layer.tables[inputs, codes[:, inputs], o].sum(axis=1)
    return np.asarray(sums + layer.bias[o] + layer.half, dtype=np.int64)


def _side(layer: EdgeTable, inputs: IntArray, allowed: list[IntArray], o: int) -> tuple[IntArray, IntArray]:
    """Return all sums of the `inputs`' entries over their allowed codes, sorted, and the codes (sums, inputs)."""
    grids = np.meshgrid(*allowed, indexing="ij") if inputs.size else []
    codes = np.stack([g.reshape(-1) for g in grids], axis=1) if inputs.size else np.zeros((1, 0), dtype=np.int64)
    sums = layer.tables[inputs, codes, o].sum(axis=1)
    order = np.argsort(sums, kind="stable")
    return np.asarray(sums[order], dtype=np.int64), codes[order]


class _Solver:
    """Finds rows of codes that put one output's sum on a boundary."""

    def __init__(self, need: Boundary, reachable: BoolArray, rng: np.random.Generator) -> None:
        self.need, self.layer, self.rng = need, need.layer, rng
        self.codes_of = [np.flatnonzero(row) for row in reachable]
        widest = max(len(codes) for codes in self.codes_of)
        self.per_side = max(1, int(np.log(_SIDE) / np.log(max(2, widest))))

    def base(self, o: int, sign: int, attempt: int) -> IntArray:
        """Return codes (I,): rotated ones first, then codes that are still missing, else random."""
        row = np.array([codes[self.rng.integers(codes.size)] for codes in self.codes_of])
        for place, i in enumerate(self.need.inputs[o]):
            codes = self.codes_of[i]
            left = np.flatnonzero(self.need.missing[o][sign, place])
            if attempt < codes.size:
                row[i] = codes[(attempt + self.offsets[place]) % codes.size]
            elif left.size:
                row[i] = left[self.rng.integers(left.size)]
        return row

    def solve(self, o: int, sign: int, attempt: int) -> IntArray | None:
        """Return a row of codes (I,) whose sum at output `o` is on a boundary, or None."""
        layer, inputs = self.layer, self.need.inputs[o]
        if attempt == 0:
            self.offsets = self.rng.permutation(inputs.size)
        row = self.base(o, sign, attempt)
        # Inputs whose prescribed pair is shown already are the ones to solve for.
        shown = ~self.need.missing[o][sign, np.arange(inputs.size), row[inputs]]
        order = np.lexsort((self.rng.random(inputs.size), ~shown))
        free = inputs[order[: 2 * self.per_side]]
        left, right = free[::2], free[1::2]
        (a, a_codes), (b, b_codes) = (_side(layer, side, [self.codes_of[i] for i in side], o) for side in (left, right))
        fixed = np.setdiff1d(inputs, free)
        rest = int(_totals(layer, row[None, :], o, fixed)[0])
        low, high = self.need.window(sign)
        shift = layer.shift
        first = max(low, (rest + int(a[0] + b[0])) >> shift)
        last = min(high, (rest + int(a[-1] + b[-1])) >> shift)
        if first > last:
            return None
        quotients = np.unique(self.rng.integers(first, last + 1, _TARGETS))
        wanted = (quotients << shift) + self.need.residue(sign) - rest
        pairs = wanted[:, None] - a[None, :]
        place = np.minimum(np.searchsorted(b, pairs), b.size - 1)
        hits = np.argwhere(b[place] == pairs)
        if not hits.size:
            return None
        q, k = hits[self.rng.integers(len(hits))]
        row[left], row[right] = a_codes[k], b_codes[place[q, k]]
        return row


def boundary_rows(
    layer: EdgeTable, reachable: BoolArray, rng: np.random.Generator, *, limit: int = 20_000
) -> tuple[IntArray, Visibility]:
    """Construct rows of codes (R, I) that show a change by one LSB of every entry, as far as there are any.

    Args:
        layer: in edge-table form.
        reachable: (I, C), the codes that inputs can take.
        rng: of all random choices.
        limit: rows at most.

    Returns:
        The rows and what they show together; what is left cannot be shown or was not found.
    """
    need = Boundary(layer, reachable)
    solver = _Solver(need, reachable, rng)
    rows: list[IntArray] = []
    for o, inputs in enumerate(need.inputs):
        if not inputs.size:
            continue
        for sign in (0, 1):
            misses = 0
            for attempt in range(layer.tables.shape[1] * 4 + _EXTRA_TRIES):
                if not need.missing[o][sign].any() or misses > _EXTRA_TRIES or len(rows) >= limit:
                    break
                before = int(need.missing[o][sign].sum())
                row = solver.solve(o, sign, attempt)
                if row is not None:
                    need.mark(row, o, sign)
                if row is None or int(need.missing[o][sign].sum()) == before:
                    misses += 1
                    continue
                misses = 0
                rows.append(row)
    result = np.array(rows, dtype=np.int64) if rows else np.zeros((0, need.shape[0]), dtype=np.int64)
    return result, need.visibility


def codes_to_integers(layer: EdgeTable, in_type: FixedPoint) -> tuple[BoolArray, IntArray]:
    """Return which codes inputs can take, (I, C), and the lowest and highest input integer of each, (2, I, C)."""
    n_in, n_codes, _ = layer.tables.shape
    X = np.arange(in_type.min_int, in_type.max_int + 1, dtype=np.int64)
    codes = np.broadcast_to(layer.coder.codes(X[:, None]), (X.size, n_in))
    integers = np.zeros((2, n_in, n_codes), dtype=np.int64)
    reachable = np.zeros((n_in, n_codes), dtype=bool)
    for i in range(n_in):
        integers[0, i, codes[::-1, i]] = X[::-1]
        integers[1, i, codes[:, i]] = X
        reachable[i, codes[:, i]] = True
    return reachable, integers


def integers_of(codes: IntArray, integers: IntArray, rng: np.random.Generator) -> IntArray:
    """Return rows (R, I) of input integers with the given codes (R, I), each the lowest or the highest of its code.

    Next to a coder's thresholds they also show a small change of its constants.

    Args:
        codes: rows of codes.
        integers: (2, I, C), from :func:`codes_to_integers`.
        rng: chooses between lowest and highest.
    """
    side = rng.integers(0, 2, codes.shape)
    return np.asarray(integers[side, np.arange(codes.shape[1]), codes], dtype=np.int64)
