"""Random KAN IRs and input integers, for fuzzing any station against any other.

`random_ir` draws everything the contract allows: KanLinear and EdgeTable layers in one chain, identity, per-layer and
per-input coders (negative and zero multipliers, any number of codes), separate base coders, layers without base
branch, pruned edges, dead layers, shift 0, negative rescale multipliers, sums near 2^53. The tables are random
integers, not splines: stations must agree on any table.
"""

from __future__ import annotations

from collections.abc import Sequence

import hypothesis.strategies as st
import numpy as np

from pymodel.ir import (
    AffineCoder,
    BaseBranch,
    Basis,
    BasisKind,
    BasisRom,
    BSplineArith,
    EdgeTable,
    FixedPoint,
    GramArith,
    HostSpec,
    IntArray,
    KanIR,
    KanLinear,
    Node,
    Quantize,
    RbfArith,
    Rescale,
    SplineBranch,
    Task,
)

__all__ = ["BASES", "corner_inputs", "kan_irs", "random_basis", "random_inputs", "random_ir"]

Rng = np.random.Generator


def _chance(rng: Rng, probability: float) -> bool:
    return bool(rng.random() < probability)


def _integers(rng: Rng, low: int, high: int, shape: tuple[int, ...]) -> IntArray:
    """Return integers in `[low, high]`: uniform, or (one time in four) extremes and zeros only."""
    if _chance(rng, 0.25):
        return rng.choice(np.array([low, high, 0], dtype=np.int64), size=shape)
    return rng.integers(low, high, size=shape, endpoint=True, dtype=np.int64)


def _coder(rng: Rng, in_type: FixedPoint, n_in: int, n_codes: int, *, per_input: bool, identity: bool) -> AffineCoder:
    """Return a coder whose codes cover 0 … n_codes - 1 more or less, beyond both ends included."""
    n = n_in if per_input else 1
    if identity:
        return AffineCoder(np.ones(n, np.int64), np.zeros(n, np.int64), 0, n_codes, 0.0, 1.0)
    mult = rng.integers(-30, 31, size=n)
    span = max(1, int(np.abs(mult).max()) * (in_type.max_int - in_type.min_int))
    shift = max(0, (span // n_codes).bit_length() - 1 + int(rng.integers(-1, 2)))
    if _chance(rng, 0.05):
        shift = 62
    middle = mult * ((in_type.max_int + in_type.min_int) // 2)
    jitter = rng.integers(-span // 4 - 1, span // 4 + 2, size=n)
    offset = (n_codes << min(shift, 30)) // 2 - middle + jitter
    return AffineCoder(mult, offset, shift, n_codes, -1.0, 2.0 / n_codes)


#: Basis units that `random_basis` makes: kind, implementation, and whether each input has a table of its own.
BASES = (
    "bspline_rom",
    "bspline_rom_per_input",
    "bspline_arith",
    "bspline_arith_per_input",
    "rbf_rom",
    "rbf_rom_per_input",
    "rbf_arith",
    "rbf_arith_per_input",
    "gram_rom",
    "gram_rom_per_input",
    "gram_arith",
)


def random_basis(rng: Rng, name: str, n_codes: int, n_in: int) -> Basis:
    """Return a basis unit with random constants (no splines, no Gaussians): stations must agree on any.

    Args:
        rng: the generator.
        name: one of :data:`BASES`.
        n_codes: C.
        n_in: number of inputs, for tables per input.
    """
    n_tables = n_in if name.endswith("per_input") else 1
    kind = BasisKind[name.split("_")[0].upper()]
    if "_rom" in name:
        window = int(rng.integers(1, 7))
        n_basis = window if kind is BasisKind.GRAM else window + int(rng.integers(0, 6))
        top = (1 << int(rng.integers(1, 9))) - 1
        bottom = 0 if _chance(rng, 0.7) and kind is not BasisKind.GRAM else -top - 1
        rows = n_tables * n_codes
        values = _integers(rng, bottom, top, (rows, window))
        start = rng.integers(0, n_basis - window + 1, size=rows)
        return BasisRom(kind, values, start, n_basis, 1.0 / (top + 1), window - 1, np.arange(3.0), n_tables)
    if kind is BasisKind.GRAM:
        degree, fraction = int(rng.integers(1, 6)), int(rng.integers(1, 10))
        unit = 1 << fraction
        return GramArith(
            n_codes=n_codes,
            lsb=0.125,
            knots=np.zeros(degree + 1),
            tanh=_integers(rng, -unit, unit, (n_codes,)),
            fraction=fraction,
            factors=_integers(rng, -40, 40, (degree + 1,)),
            factor_shift=int(rng.integers(0, 7)),
            silu=_integers(rng, -30, 60, (int(rng.integers(1, 40)),)),
            silu_offset=int(rng.integers(0, 2 * unit)),
            silu_shift=int(rng.integers(0, fraction + 1)),
        )
    fraction = int(rng.integers(1, 11))
    cells = int(rng.integers(1, 9))
    slope = max(1, (cells + 2) * (16 << fraction) // n_codes)
    mult = rng.integers(-slope, slope + 1, size=n_tables)
    # Position 0 of the grid at the first or the last code, more or less.
    offset = np.where(mult < 0, -mult * n_codes, 0) + rng.integers(-(32 << fraction), (16 << fraction), size=n_tables)
    position = np.column_stack((mult, offset))
    if kind is BasisKind.BSPLINE:
        order = int(rng.integers(1, 6))
        return BSplineArith(
            n_codes=n_codes,
            n_basis=cells + order,
            lsb=0.125,
            order=order,
            knots=np.zeros(1),
            position=position,
            position_shift=4,
            fraction=fraction,
            coefficients=_integers(rng, -200, 200, (order + 1, order + 1)),
            guard=int(rng.integers(0, 4)),
        )
    width = int(rng.integers(1, cells + 1))
    return RbfArith(
        n_codes=n_codes,
        n_basis=cells,
        lsb=0.125,
        knots=np.zeros(cells),
        scale=1.0,
        width=width,
        reach=int(rng.integers(0, width + 1)),
        position=position,
        position_shift=4,
        fraction=fraction,
        remainder=int(rng.integers(0, fraction + 1)),
        samples=_integers(rng, 0, 200, (int(rng.integers(2, 20)),)),
        guard=int(rng.integers(0, 3)),
    )


def _bias_and_shift(rng: Rng, sums: IntArray, out_type: FixedPoint, absolute: int) -> tuple[IntArray, int]:
    """Return a bias (N,) and a shift that spread the sums (samples, N) over the output type and somewhat beyond it.

    `absolute` bounds the sums of absolute values; one time in twenty the bias is as wide as that.
    """
    spread = int(np.ptp(sums, axis=0).max()) + 1
    shift = max(0, spread.bit_length() - out_type.width + int(rng.integers(-1, 2)))
    if _chance(rng, 0.05):
        wild = max(absolute, 1 << 20)
        return rng.integers(-wild, wild, size=(sums.shape[1],), dtype=np.int64), shift if _chance(rng, 0.5) else 0
    middle = (out_type.min_int + out_type.max_int) // 2 << shift
    jitter = rng.integers(-spread // 4 - 1, spread // 4 + 2, size=sums.shape[1])
    bias = np.asarray(middle - (sums.min(axis=0) + sums.max(axis=0)) // 2 + jitter, dtype=np.int64)
    return bias, shift


def _kan_linear(
    rng: Rng,
    name: str,
    source: str,
    in_type: FixedPoint,
    X: IntArray,
    out_type: FixedPoint,
    n_out: int,
    code_bits: int,
    basis_name: str | None,
) -> KanLinear:
    n_in = X.shape[1]

    def coder() -> AffineCoder:
        identity = not in_type.signed and in_type.width <= code_bits and _chance(rng, 0.6)
        n_codes = 1 << in_type.width if identity else int(rng.integers(1, (1 << code_bits) + 1))
        return _coder(rng, in_type, n_in, n_codes, per_input=_chance(rng, 0.3), identity=identity)

    spline_coder = coder()
    if basis_name is not None:
        basis = random_basis(rng, basis_name, spline_coder.n_codes, n_in)
        top, window, n_basis = int(np.abs(basis.values).max()), basis.window, basis.n_basis
    else:
        window = int(rng.integers(1, 5))
        n_basis = window + int(rng.integers(0, 6))
        top = (1 << int(rng.integers(1, 9))) - 1
        bottom = 0 if _chance(rng, 0.7) else -top - 1
        values = _integers(rng, bottom, top, (spline_coder.n_codes, window))
        start = rng.integers(0, n_basis - window + 1, size=spline_coder.n_codes)
        knots = np.linspace(-1.0, 1.0, n_basis + window)
        basis = BasisRom(BasisKind.BSPLINE, values, start, n_basis, 1.0 / (top + 1), window - 1, knots)
    weight = 1 << int(rng.integers(0, 8))
    weights = _integers(rng, -weight, weight - 1, (n_out, n_in, n_basis))
    keep = rng.random((n_out, n_in)) < rng.choice([0.0, 0.3, 0.7, 1.0], p=[0.02, 0.28, 0.3, 0.4])
    base, base_acc = None, 0
    base_keep = keep & (rng.random((n_out, n_in)) < 0.8)
    if _chance(rng, 0.7):
        base_coder = spline_coder if _chance(rng, 0.6) else coder()
        table = _integers(rng, -20, 60, (base_coder.n_codes,))
        base_weights = _integers(rng, -weight, weight, (n_out, n_in)) * base_keep
        base = BaseBranch(base_coder, "silu", table, 0.0625, base_weights)
        base_acc = 60 * weight * n_in
    acc = (top + 1) * weight * window * n_in
    wide = 51 - (acc + base_acc).bit_length()
    mult = (1 << (wide if _chance(rng, 0.15) else int(rng.integers(0, 11)))) - 1
    spline_mult = _integers(rng, -mult, mult, (n_out,))
    base_mult = _integers(rng, -mult, mult, (n_out,)) if base is not None else np.zeros(n_out, dtype=np.int64)
    weights *= keep[:, :, None]
    codes = spline_coder.codes(X)
    if basis.n_tables > 1:
        codes = codes + np.arange(n_in) * basis.n_codes
    values = basis.values
    windows = basis.start[codes][:, :, None] + np.arange(window)
    picked = weights[:, np.arange(n_in)[:, None], windows]  # (N, samples, I, K)
    sums = (picked * values[codes]).sum(axis=(2, 3)).T * spline_mult
    if base is not None:
        sums += base.table[base.coder.codes(X)] @ base.weights.T * base_mult
    bias, shift = _bias_and_shift(rng, sums, out_type, (acc + base_acc) * max(mult, 1))
    return KanLinear(
        name=name,
        inputs=(source,),
        out_type=out_type,
        value_lsb=out_type.lsb,
        value_offset=0.0,
        spline=SplineBranch(spline_coder, basis, weights),
        base=base,
        rescale=Rescale(spline_mult, base_mult, bias, shift),
    )


def _edge_table(
    rng: Rng, name: str, source: str, in_type: FixedPoint, X: IntArray, out_type: FixedPoint, n_out: int, code_bits: int
) -> EdgeTable:
    n_in = X.shape[1]
    identity = not in_type.signed and in_type.width <= code_bits and _chance(rng, 0.6)
    n_codes = 1 << in_type.width if identity else int(rng.integers(1, (1 << code_bits) + 1))
    coder = _coder(rng, in_type, n_in, n_codes, per_input=_chance(rng, 0.3), identity=identity)
    bits = 51 - n_in.bit_length() if _chance(rng, 0.15) else int(rng.integers(1, 12))
    tables = _integers(rng, -(1 << (bits - 1)), (1 << (bits - 1)) - 1, (n_in, n_codes, n_out))
    keep = rng.random((n_in, 1, n_out)) < rng.choice([0.0, 0.3, 0.7, 1.0], p=[0.02, 0.28, 0.3, 0.4])
    tables *= keep
    sums = tables[np.arange(n_in), coder.codes(X)].sum(axis=1)
    bias, shift = _bias_and_shift(rng, sums, out_type, n_in << bits)
    return EdgeTable(
        name=name,
        inputs=(source,),
        out_type=out_type,
        value_lsb=out_type.lsb,
        value_offset=0.0,
        coder=coder,
        tables=tables,
        bias=bias,
        shift=shift,
    )


def random_ir(
    seed_or_rng: int | Rng,
    *,
    widths: Sequence[int] = (5, 3, 2),
    edge_tables: float = 0.3,
    in_bits: int | None = None,
    code_bits: int = 6,
    out_bits: int | None = None,
    bases: Sequence[str] | None = None,
) -> KanIR:
    """Return a random valid program; the same seed gives the same program.

    Args:
        seed_or_rng: an integer seed, or a generator to go on with.
        widths: number of inputs, then outputs of each layer (so at least two numbers).
        edge_tables: probability that a layer is in edge-table form (0: none, 1: all).
        in_bits: width of the input type; random 1 … 10 by default.
        code_bits: at most so many bits per code, and per hidden activation.
        out_bits: width of the output type; random 2 … 20 by default.
        bases: names of :data:`BASES`, of which each KanLinear layer takes the next; B-spline ROMs by default.
    """
    rng = np.random.default_rng(seed_or_rng) if isinstance(seed_or_rng, int) else seed_or_rng
    width = in_bits if in_bits is not None else int(rng.integers(1, 11))
    in_type = FixedPoint(width, int(rng.integers(-2, width + 2)), signed=_chance(rng, 0.5))
    nodes: list[Node] = [Quantize("x", (), in_type, in_type.lsb, 0.0, widths[0])]
    for index, n_out in enumerate(widths[1:]):
        if index == len(widths) - 2:
            width = out_bits if out_bits is not None else int(rng.integers(2, 21))
            out_type = FixedPoint(width, int(rng.integers(1, width + 1)), signed=True)
        else:
            width = int(rng.integers(1, code_bits + 1))
            out_type = FixedPoint(width, width, signed=False)
        as_table = _chance(rng, edge_tables)
        X = rng.integers(in_type.min_int, in_type.max_int, size=(64, widths[index]), endpoint=True, dtype=np.int64)
        arguments = (rng, f"layers_{index}", nodes[-1].name, in_type, X, out_type, n_out, code_bits)
        basis_name = bases[index % len(bases)] if bases else None
        nodes.append(_edge_table(*arguments) if as_table else _kan_linear(*arguments, basis_name))
        in_type = out_type
    host = HostSpec(
        task=Task.CLASSIFICATION,
        features=tuple(f"f{i}" for i in range(widths[0])),
        feature_offset=(0.0,) * widths[0],
        feature_scale=(1.0,) * widths[0],
        classes=tuple(f"c{i}" for i in range(widths[-1])),
    )
    return KanIR(name="random", nodes=tuple(nodes), output=nodes[-1].name, host=host)


def random_inputs(ir: KanIR, n: int, rng: Rng) -> IntArray:
    """Return `n` rows of input integers, uniform over the input type: (n, n_in)."""
    t = ir.input.out_type
    return rng.integers(t.min_int, t.max_int, size=(n, ir.input.size), endpoint=True, dtype=np.int64)


def corner_inputs(ir: KanIR) -> IntArray:
    """Return the corners: all inputs, and all codes of the first layer, at minimum, maximum and alternating; (n, n_in)."""
    t, n_in = ir.input.out_type, ir.input.size
    even = np.arange(n_in) % 2 == 0
    rows = [np.full(n_in, value, dtype=np.int64) for value in (t.min_int, t.max_int, min(max(0, t.min_int), t.max_int))]
    pairs = [(rows[0], rows[1])]
    for node in ir.layers[:1]:
        mult = node.coders[0].mult
        falling = np.resize(mult < 0, n_in)  # a convolution has one coder per channel
        pairs.append((np.where(falling, t.max_int, t.min_int), np.where(falling, t.min_int, t.max_int)))
    for low, high in pairs:
        rows += [low, high, np.where(even, low, high), np.where(even, high, low)]
    return np.unique(np.array(rows, dtype=np.int64), axis=0)


def kan_irs(*, max_width: int = 5, max_layers: int = 3, edge_tables: float = 0.3) -> st.SearchStrategy[KanIR]:
    """Return a hypothesis strategy of random programs of up to `max_layers` layers; shrinks towards one 1x1 layer."""
    widths = st.lists(st.integers(1, max_width), min_size=2, max_size=max_layers + 1)
    return st.builds(
        lambda seed, widths: random_ir(seed, widths=widths, edge_tables=edge_tables), st.integers(0, 2**32 - 1), widths
    )
