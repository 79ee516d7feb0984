"""Re-check a build from its files as they are now: torch == numba == csim == RTL, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pymodel.errors import DataError, IRError, ModelError
from pymodel.ir import (
    HostSpec,
    IntArray,
    KanIR,
    Quantize,
    Task,
    load_arrays,
    load_ir,
    save_arrays,
)
from pymodel.layers import FrozenKAN, load_frozen
from pymodel.lower import lower
from pymodel.reference import Reference
from sim.boundary import boundary_rows, codes_to_integers, edge_form, integers_of
from sim.equivalence import Border, compare
from sim.signals import SIGNALS_FILE
from sim.vectors import VectorSet

if TYPE_CHECKING:
    from sim._csim_job import CsimAnswer
    from sim.cosim import CosimResult

__all__ = [
    "Progress",
    "StoredVectors",
    "Verification",
    "alone_rows",
    "check_model_matches_ir",
    "csim_border",
    "csim_borders",
    "layers_alone_border",
    "load_vectors",
    "rtl_border",
    "save_vectors",
    "torch_border",
    "verify",
]

#: Called with the name of the stage that starts.
Progress = Callable[[str], None]
_ALONE_RANDOM_ROWS = 2048


@dataclass(frozen=True)
class StoredVectors:
    """The vectors of a build.

    Attributes:
        X: input integers (rows, n_in); the first `len(y)` rows are the test rows.
        y: class indices or targets of the test rows.
        rtl_rows: indices of the rows that RTL simulation gets.
    """

    X: IntArray
    y: npt.NDArray[Any]
    rtl_rows: IntArray


def save_vectors(path: Path, vectors: VectorSet, y_test: npt.NDArray[Any], rtl_rows: IntArray) -> None:
    """Write the vectors of a build; `y_test` holds class indices (int64) or targets (float64) of the test rows."""
    save_arrays(path, {"X": vectors.X, "y": y_test, "rtl_rows": rtl_rows})


def load_vectors(path: Path, ir: KanIR) -> StoredVectors:
    """Read what :func:`save_vectors` wrote and check that it belongs to `ir`.

    Raises:
        IRError: if the file is missing, malformed, or holds rows that the input type cannot.
    """
    try:
        arrays = load_arrays(path)
    except FileNotFoundError:
        raise IRError(f"{path.name} is missing in {path.parent}; build the model again") from None
    t = ir.input.out_type
    X, y, rtl_rows = arrays.get("X"), arrays.get("y"), arrays.get("rtl_rows")
    if X is None or y is None or rtl_rows is None or X.dtype.kind != "i" or rtl_rows.dtype.kind != "i":
        raise IRError(f"{path.name} must hold the arrays X, y and rtl_rows; build the model again")
    if X.ndim != 2 or X.shape[0] == 0 or X.shape[1] != ir.input.n_out or X.min() < t.min_int or X.max() > t.max_int:
        raise IRError(f"{path.name} holds rows that the input of the model cannot take; build the model again")
    if y.ndim != 1 or y.shape[0] > X.shape[0]:
        raise IRError(f"{path.name} has targets of shape {y.shape} for {X.shape[0]} rows; build the model again")
    if rtl_rows.ndim != 1 or not rtl_rows.size or rtl_rows.min() < 0 or rtl_rows.max() >= X.shape[0]:
        raise IRError(f"{path.name} names RTL rows that do not exist; build the model again")
    return StoredVectors(X, y, rtl_rows)


def check_model_matches_ir(frozen: FrozenKAN, ir: KanIR) -> None:
    """Check that the quantized model and the IR describe the same layers, so that they can be compared.

    Raises:
        ModelError: if layer names or sizes differ.
    """
    got = [(name, layer.in_features, layer.out_features) for name, layer in frozen.named_layers()]
    expected = [(node.name, node.n_in, node.n_out) for node in ir.nodes[1:]]
    if got != expected:
        raise ModelError(f"the quantized model has layers {got}, the IR {expected}; build the model again")


def _meaning(ir: KanIR) -> Iterator[tuple[str, object]]:
    """Yield what gives the integers their meaning in real numbers, which no comparison of integers sees."""
    for key, value in vars(ir.host).items():
        yield f"host.{key}", value
    for node in ir.nodes:
        yield f"{node.name}.out_type", node.out_type
        yield f"{node.name}.value_lsb", node.value_lsb
        yield f"{node.name}.value_offset", node.value_offset


def torch_border(ir: KanIR, frozen: FrozenKAN, X: IntArray, expected: Mapping[str, IntArray]) -> Border:
    """Compare torch (eval, float64) with the reference at every layer, and scaling, types and class labels as well."""
    check_model_matches_ir(frozen, ir)
    border = compare("torch_vs_reference", frozen.run(X), expected, [node.name for node in ir.nodes])
    pairs = zip(_meaning(lower(frozen)), _meaning(ir), strict=True)
    problems = tuple(f"{key} is not that of the quantized model" for (_, a), (key, b) in pairs if a != b)
    return replace(border, mismatches=border.mismatches or (border.vectors if problems else 0), problems=problems)


def _alone(ir: KanIR, name: str) -> KanIR:
    """Return the program that consists of the layer `name` of `ir` alone."""
    layer = ir.node(name)
    t, n = ir.in_type(layer), ir.node(layer.inputs[0]).n_out
    host = HostSpec(Task.REGRESSION, tuple(f"x{i}" for i in range(n)), (0.0,) * n, (1.0,) * n)
    source = Quantize(name="alone", inputs=(), out_type=t, value_lsb=t.lsb, value_offset=0.0, size=n)
    return KanIR("alone", (source, replace(layer, inputs=("alone",))), name, host)


def _steps(ir: KanIR, name: str) -> list[IntArray]:
    """Return rows that show changes of the layer's constants by one LSB, if it has an edge-table form."""
    layer = ir.node(name)
    edges = edge_form(layer, ir.in_type(layer))
    if edges is None:
        return []
    rng = np.random.default_rng(0)
    reachable, integers = codes_to_integers(edges, ir.in_type(layer))
    codes, _ = boundary_rows(edges, reachable, rng)
    return [integers_of(codes, integers, rng)]


def alone_rows(ir: KanIR, seed: int) -> dict[str, IntArray]:
    """Return the integers (rows, n_in) that drive each layer alone: every code on every input, random rows, boundaries."""
    rng = np.random.default_rng(seed)
    rows = {}
    for layer in ir.nodes[1:]:
        t, n = ir.in_type(layer), layer.n_in
        levels = np.arange(t.min_int, t.max_int + 1, max(1, (1 << t.width) // 256), dtype=np.int64)
        rotated = levels[(np.arange(levels.size)[:, None] + np.arange(n)) % levels.size]
        random = rng.integers(t.min_int, t.max_int + 1, (_ALONE_RANDOM_ROWS, n))
        rows[layer.name] = np.concatenate([rotated, random, *_steps(ir, layer.name)])
    return rows


def layers_alone_border(ir: KanIR, frozen: FrozenKAN, seed: int) -> Border:
    """Drive every layer alone, torch against the reference of the IR, with every code on every input.

    A hidden layer inside the network sees only what the layers before it produce; alone it sees its whole input type.
    """
    check_model_matches_ir(frozen, ir)
    rows = alone_rows(ir, seed)
    vectors = mismatches = 0
    nodes: dict[str, int] = {}
    first = None
    for name, layer in frozen.named_layers():
        X = rows[name]
        got = layer.run(X)
        border = compare("layers_alone", {name: got}, Reference(_alone(ir, name)).run(X), [name])
        vectors += border.vectors
        mismatches += border.mismatches
        nodes |= border.nodes
        first = first or border.first
    return Border("layers_alone", vectors, mismatches, nodes, first)


def csim_border(
    ir: KanIR, project: Path, X: IntArray, expected: Mapping[str, IntArray], threads: int | None = None
) -> tuple[Border, IntArray]:
    """Compile the hls4ml project as it is now, run it, and compare every layer; also return its output integers."""
    from sim._csim_job import run_csim

    return _csim_border(ir, project, run_csim(project, X, threads=threads), X, expected)


def csim_borders(
    ir: KanIR, project: Path, X: IntArray, expected: Mapping[str, IntArray], seed: int
) -> tuple[Border, Border]:
    """Compare the C++ as :func:`csim_border` does, and every one of its layers driven alone with :func:`alone_rows`."""
    from sim._csim_job import run_csim

    rows = alone_rows(ir, seed)
    count = max(len(part) for part in rows.values())
    first, inject = X[:1], {}
    for layer in ir.nodes[1:]:  # all layers run at once, so shorter lists of rows start again
        part = rows[layer.name][np.arange(count) % len(rows[layer.name])]
        if layer.inputs[0] == ir.input.name:
            first = part
        else:
            inject[layer.inputs[0]] = part
    answer = run_csim(project, X, alone=(first, inject))
    border, _ = _csim_border(ir, project, answer, X, expected)
    vectors = sum(len(part) for part in rows.values())
    if answer.problems:
        return border, Border("csim_layers_alone", vectors, vectors, {}, None, answer.problems)
    mismatches, difference = 0, None
    nodes: dict[str, int] = {}
    for name, part in rows.items():
        wanted = Reference(_alone(ir, name)).run(part)
        one = compare("csim_layers_alone", {name: answer.alone[name][: len(part)]}, wanted, [name])
        mismatches += one.mismatches
        nodes |= one.nodes
        difference = difference or one.first
    return border, Border("csim_layers_alone", vectors, mismatches, nodes, difference)


def _csim_border(
    ir: KanIR, project: Path, answer: CsimAnswer, X: IntArray, expected: Mapping[str, IntArray]
) -> tuple[Border, IntArray]:
    if answer.problems:  # tables that wrap silently or read foreign memory, or a crash: there is nothing to compare
        nothing = np.zeros((0, expected[ir.output].shape[1]), dtype=np.int64)
        return Border("csim_vs_reference", X.shape[0], X.shape[0], {}, None, answer.problems), nothing
    names = [node.name for node in ir.nodes[1:]]
    missing = [name for name in names if name not in answer.values or answer.values[name].shape != expected[name].shape]
    if missing:
        raise ModelError(f"the C++ in {project} lacks the layers {missing} of the IR's shape; build the model again")
    border = compare("csim_vs_reference", answer.values, expected, names)
    return border, answer.values[ir.output]


def rtl_border(
    rtl_dir: Path,
    X: IntArray,
    rows: IntArray,
    expected: Mapping[str, IntArray],
    seed: int,
    work_dir: Path | None = None,
) -> tuple[Border, CosimResult]:
    """Co-simulate one engine's RTL as it is now and compare every layer that it does not collapse.

    Args:
        rtl_dir: the engine's folder.
        X: input integers of all vectors.
        rows: indices of the vectors to simulate.
        expected: integers of every node for all vectors.
        seed: of bubbles and stalls.
        work_dir: keeps the compiled simulator.
    """
    from sim.cosim import cosim

    part = {name: values[rows] for name, values in expected.items()}
    result = cosim(rtl_dir, X[rows], part, seed=seed, work_dir=work_dir)
    border = result.border(f"rtl_vs_reference.{rtl_dir.name}")
    if result.axis is None and not result.stream:  # every engine has one, so signals.json hides it
        problem = f"{SIGNALS_FILE} names no AXI4-Stream wrapper"
        border = replace(border, mismatches=border.mismatches + 1, problems=(*border.problems, problem))
    if border.first is not None:  # name the vector by its place among all
        border = replace(border, first=replace(border.first, vector=int(rows[border.first.vector])))
    return border, result


@dataclass(frozen=True)
class Verification:
    """What :func:`verify` found: one border per pair of stations."""

    borders: tuple[Border, ...]

    @property
    def equal(self) -> bool:
        """True if every border is equal."""
        return all(border.equal for border in self.borders)

    @property
    def first_failure(self) -> Border | None:
        """The first border with a mismatch."""
        return next((border for border in self.borders if not border.equal), None)


def _engines(root: Path, asked: Sequence[str]) -> list[Path]:
    """Return the folders of the engines that were asked for, and of others that are there.

    Raises:
        DataError: if one that was asked for is missing: passing without it would prove nothing of it.
    """
    for name in asked:
        if not (root / name).is_dir():
            raise DataError(
                f"the RTL folder {root / name} is missing, but hardware.rtl asks for it; build the model again"
            )
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def verify(
    folder: Path,
    engines: Sequence[str],
    *,
    n_vectors: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Verification:
    """Re-run all equivalence checks of a build from the files in `folder` as they are now.

    Args:
        folder: a build.
        engines: RTL engines that the build must have (`hardware.rtl` of its configuration).
        n_vectors: rows that `vectors.npz` must hold (as the report counts them), so that none was taken out; None
            takes what there is.
        seed: of bubbles, stalls and the rows that drive layers alone.
        progress: called with the name of each stage.

    Raises:
        Kan4mlError: if a file is missing or malformed, or a tool is absent.
    """
    tell = progress or (lambda _: None)
    ir = load_ir(folder / "ir")
    rtl_dirs = _engines(folder / "rtl", engines)
    frozen = load_frozen(folder / "model" / "quantized.safetensors")
    stored = load_vectors(folder / "vectors.npz", ir)
    if n_vectors is not None and stored.X.shape[0] != n_vectors:
        raise IRError(f"vectors.npz holds {stored.X.shape[0]} rows, the report {n_vectors}; build the model again")
    tell("numba reference")
    expected = Reference(ir).run(stored.X)
    tell("torch")
    borders = [torch_border(ir, frozen, stored.X, expected), layers_alone_border(ir, frozen, seed)]
    with ThreadPoolExecutor(max_workers=1) as pool:
        # The compilers of csim and RTL run as processes, so two threads keep both cores busy.
        tell("csim" + "".join(f", RTL ({path.name})" for path in rtl_dirs))
        csim = pool.submit(csim_borders, ir, folder / "hls", stored.X, expected, seed)
        rtl = [rtl_border(path, stored.X, stored.rtl_rows, expected, seed)[0] for path in rtl_dirs]
        borders += [*csim.result(), *rtl]
    return Verification(tuple(borders))
