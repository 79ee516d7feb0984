"""The vectors that every station is driven with: real test rows, corners, random rows, and rows found for coverage.

Random inputs seldom reach every code of a hidden layer, and a constant that no vector reads cannot be checked. So rows
are added as long as a search finds some that reach new (layer, input, code) triples; what stays unreached is counted.
Nor does reading a constant suffice: most rows hide a small change of it behind the rounding. So rows are added that lie
on rounding boundaries (:mod:`sim.boundary`): constructed for the first layer, searched for behind it. Their inputs, and
those of some more rows, lie next to the thresholds of the first layer's coders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pymodel.ir import AffineCoder, IntArray, KanIR, Norm
from sim.boundary import Boundary, Visibility, boundary_rows, codes_to_integers, edge_form, integers_of

__all__ = ["Coverage", "VectorSet", "corner_rows", "coverage", "make_vectors", "threshold_rows"]

Run = Callable[[IntArray], Mapping[str, IntArray]]
BoolArray = npt.NDArray[np.bool_]

_SEARCH_ROWS = 4096
_SEARCH_ROUNDS = 12
#: Numbers that all nodes of a round's rows may have: fewer rows are searched in networks of images, where one row has
#: tens of thousands and brings as many inputs to new codes.
_SEARCH_NUMBERS = 1 << 23
#: Rows next to thresholds, for each coder of the first layer.
_THRESHOLD_ROWS = 512
#: Rows searched for boundaries of hidden layers: at most so many, and so many times the network's edges.
_BOUNDARY_ROWS = 65536
_BOUNDARY_WORK = 500_000_000


@dataclass(frozen=True)
class Coverage:
    """(input, code) pairs of the layers' coders: how many exist on alive inputs, how many the vectors reach."""

    reached: int
    total: int


@dataclass(frozen=True)
class VectorSet:
    """Input integers (rows, n_in): first the test rows, then corners, random, coverage and boundary rows.

    Attributes:
        X: all rows; the parts follow each other in the order of the counts.
        n_test, n_corner, n_random, n_coverage, n_boundary: rows of each part.
        coverage: of the layers' codes.
        visibility: changes by one LSB of the layers' edge-table entries that the rows show at that layer's output.
    """

    X: IntArray
    n_test: int
    n_corner: int
    n_random: int
    n_coverage: int
    n_boundary: int
    coverage: Coverage
    visibility: Visibility

    def subset(self, limit: int | None) -> IntArray:
        """Return the indices of at most `limit` rows, in order: half of them test rows, then boundary and coverage rows, corners, random rows.

        A part that does not use its share leaves it to the next one; None takes all rows.
        """
        total = self.X.shape[0]
        if limit is None or limit >= total:
            return np.arange(total, dtype=np.int64)
        corner, random = self.n_test, self.n_test + self.n_corner
        parts = (
            range(min(self.n_test, (limit + 1) // 2)),
            range(random + self.n_random, total),
            range(corner, random),
            range(random, random + self.n_random),
            range(self.n_test),
        )
        chosen: dict[int, None] = {}
        for part in parts:
            for row in part:
                if len(chosen) == limit:
                    break
                chosen[row] = None
        return np.array(sorted(chosen), dtype=np.int64)


def corner_rows(ir: KanIR) -> IntArray:
    """Return rows (R, n_in) of extreme and regular inputs.

    All minimum, all maximum, alternating both ways, zeros, and up to 256 levels of the input type, each once for all
    inputs alike and once rotated from input to input, so that every input of the first layer takes every code.
    """
    t, n = ir.input.out_type, ir.input.n_out
    even = np.arange(n) % 2 == 0
    rows = [
        np.full(n, t.min_int),
        np.full(n, t.max_int),
        np.where(even, t.min_int, t.max_int),
        np.where(even, t.max_int, t.min_int),
        np.full(n, min(max(0, t.min_int), t.max_int)),
    ]
    levels = min(1 << t.width, 256)
    values = t.min_int + (np.arange(levels, dtype=np.int64) * ((1 << t.width) - 1)) // max(1, levels - 1)
    rows += [np.full(n, value) for value in values]
    rows += [values[(shift + np.arange(n)) % levels] for shift in range(levels)]
    return np.array(rows, dtype=np.int64)


def _first_coders(ir: KanIR) -> list[AffineCoder]:
    """Return the coders that read the input."""
    coders: list[AffineCoder] = [c for layer in ir.layers if layer.inputs[0] == ir.input.name for c in layer.coders]
    norms = (node for node in ir.nodes if isinstance(node, Norm) and node.inputs[0] == ir.input.name)
    return coders + [node.passed for node in norms if node.passed is not None]


def threshold_rows(ir: KanIR, rng: np.random.Generator) -> IntArray:
    """Return rows (R, n_in) whose inputs all lie next to thresholds of a coder that reads them, or at an extreme.

    A coder's constant that is off by one moves codes there only, and random rows seldom are.
    """
    t = ir.input.out_type
    X = np.arange(t.min_int, t.max_int + 1, dtype=np.int64)
    rows = [np.zeros((0, ir.input.n_out), dtype=np.int64)]
    for coder in _first_coders(ir):
        steps = np.diff(coder.codes(X[:, None]), axis=0) != 0
        edges = [np.concatenate([X[:-1][step], X[1:][step], X[[0, -1]]]) for step in steps.T]
        rows.append(
            np.stack([rng.choice(edges[i % len(edges)], _THRESHOLD_ROWS) for i in range(ir.input.n_out)], axis=1)
        )
    return np.concatenate(rows)


def _codes(ir: KanIR, values: Mapping[str, IntArray]) -> list[tuple[IntArray, int, BoolArray]]:
    """Return per layer the codes (rows, I) that its vectors give, the number of codes, and which inputs matter."""
    result = []
    for layer in ir.layers:
        coder, X = layer.coders[0], values[layer.inputs[0]]
        pixels = X.reshape(X.shape[0], -1, max(1, coder.mult.size))  # a convolution has one coder per channel
        result.append((coder.codes(pixels).reshape(X.shape), coder.n_codes, layer.alive_inputs))
    return result


def coverage(
    ir: KanIR, values: Mapping[str, IntArray], seen: list[BoolArray] | None = None
) -> tuple[IntArray, list[BoolArray]]:
    """Count new (layer, input, code) triples per row, in row order, and mark them in `seen`.

    Args:
        ir: the program.
        values: integers of every node, as the reference gives them.
        seen: per layer (I, C) booleans from earlier calls, or None to start.

    Returns:
        The rows (indices) that reach something new, and the updated `seen`.
    """
    layers = _codes(ir, values)
    if seen is None:
        seen = [np.zeros((codes.shape[1], n), dtype=bool) for codes, n, _ in layers]
    useful: set[int] = set()
    for (codes, n_codes, alive), mark in zip(layers, seen, strict=True):
        inputs = np.flatnonzero(alive)
        keys = inputs[None, :] * n_codes + codes[:, inputs]
        unique, first = np.unique(keys, return_index=True)
        new = ~mark.reshape(-1)[unique]
        useful.update((first[new] // max(1, inputs.size)).tolist())
        mark.reshape(-1)[unique] = True
    return np.array(sorted(useful), dtype=np.int64), seen


def _search_rows(ir: KanIR) -> int:
    """Return how many rows a round of a search has."""
    numbers = sum(node.n_out for node in ir.nodes)
    return min(_SEARCH_ROWS, max(64, _SEARCH_NUMBERS // numbers))


def _candidates(ir: KanIR, base: IntArray, rng: np.random.Generator) -> IntArray:
    """Rows near the extremes of hidden nodes: mixtures of two-valued rows, perturbed test rows and sparse rows."""
    t, n, rows = ir.input.out_type, ir.input.n_out, _search_rows(ir) // 4
    uniform = rng.integers(t.min_int, t.max_int + 1, (rows, n))
    two = np.where(rng.random((rows, n)) < rng.random((rows, 1)), t.min_int, t.max_int)
    picked = base[rng.integers(0, base.shape[0], rows)]
    mutated = np.where(rng.random((rows, n)) < 0.3 * rng.random((rows, 1)), uniform, picked)
    level = rng.integers(t.min_int, t.max_int + 1, (rows, 1))
    sparse = np.where(rng.random((rows, n)) < 0.2, uniform, level)
    return np.concatenate([uniform, two, mutated, sparse])


def _boundary(
    ir: KanIR, X: IntArray, seen: list[BoolArray], rng: np.random.Generator, run: Run
) -> tuple[IntArray, Visibility]:
    """Return rows that show changes of the layers' constants by one LSB, beyond those of `X`, and what all show."""
    searches: list[tuple[str, Boundary]] = []
    rows: list[IntArray] = [threshold_rows(ir, rng)]
    visible = total = 0
    for layer, reached in zip(ir.layers, seen, strict=True):
        edges = edge_form(layer, ir.in_type(layer))
        if edges is None:
            continue
        if layer.inputs[0] == ir.input.name:
            reachable, integers = codes_to_integers(edges, ir.in_type(layer))
            codes, visibility = boundary_rows(edges, reachable, rng)
            rows.append(integers_of(codes, integers, rng))
            visible, total = visible + visibility.visible, total + visibility.total
        else:
            # `seen` marks codes of the layer's own coder; the edge form may read the input itself instead.
            limit = np.ones((edges.n_in, edges.coder.n_codes), dtype=bool)
            searches.append((layer.inputs[0], Boundary(edges, reached if reached.shape == limit.shape else limit)))

    def explore(candidates: IntArray) -> IntArray:
        values = run(candidates)
        picked = [search.pick(search.layer.coder.codes(values[source])) for source, search in searches]
        return candidates[np.unique(np.concatenate(picked))]

    if searches:
        explore(X)  # what these rows show needs no row of its own
        weights = sum(layer.n_in * layer.n_out for layer in ir.layers)  # a convolution's as a dense layer
        rounds = min(_BOUNDARY_ROWS, _BOUNDARY_WORK // weights) // _search_rows(ir)
        rows += [explore(_candidates(ir, X, rng)) for _ in range(rounds)]
    for _, search in searches:
        visible, total = visible + search.visibility.visible, total + search.visibility.total
    return np.concatenate(rows).astype(np.int64), Visibility(visible, total)


def make_vectors(ir: KanIR, X_test: IntArray, n_random: int, seed: int, run: Run) -> VectorSet:
    """Build the vector set of a model.

    Args:
        ir: the program.
        X_test: (rows, n_in) input integers of the test part; may have 0 rows.
        n_random: uniformly random rows over the whole input type.
        seed: of the random rows and the search.
        run: the reference, integers of every node for given rows.

    Returns:
        The vectors and the coverage they reach.
    """
    rng = np.random.default_rng(seed)
    t, n = ir.input.out_type, ir.input.n_out
    corners = corner_rows(ir)
    random = rng.integers(t.min_int, t.max_int + 1, (n_random, n))
    X = np.concatenate([X_test.reshape(-1, n), corners, random])
    _, seen = coverage(ir, run(X))
    extra: list[IntArray] = []
    base = X[: max(1, X_test.shape[0])]
    for _ in range(_SEARCH_ROUNDS):
        rows = _candidates(ir, base, rng)
        useful, seen = coverage(ir, run(rows), seen)
        if not useful.size:
            break
        extra.append(rows[useful])
        base = rows[useful]
    found = np.concatenate(extra) if extra else X[:0]
    alive = [layer.alive_inputs for layer in ir.layers]
    X = np.concatenate([X, found]).astype(np.int64)
    boundary, visibility = _boundary(ir, X, seen, rng, run)
    reached = sum(int(mark[a].sum()) for mark, a in zip(seen, alive, strict=True))
    total = sum(int(a.sum()) * mark.shape[1] for mark, a in zip(seen, alive, strict=True))
    return VectorSet(
        X=np.concatenate([X, boundary]),
        n_test=X_test.shape[0],
        n_corner=corners.shape[0],
        n_random=n_random,
        n_coverage=found.shape[0],
        n_boundary=boundary.shape[0],
        coverage=Coverage(reached, total),
        visibility=visibility,
    )
