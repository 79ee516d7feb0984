"""Product and norm nodes for tests: random ones, and their formulas in plain Python integers."""

from __future__ import annotations

import numpy as np

from pymodel.ir import (
    AffineCoder,
    FixedPoint,
    HostSpec,
    IntArray,
    KanIR,
    Node,
    Norm,
    Product,
    Quantize,
    Task,
    rsqrt_table,
)


def host(n: int) -> HostSpec:
    return HostSpec(Task.REGRESSION, tuple(f"x{i}" for i in range(n)), (0.0,) * n, (1.0,) * n)


def alone(node: Node, in_type: FixedPoint) -> KanIR:
    source = Quantize("x", (), in_type, in_type.lsb, 0.0, size=node.n_in)
    return KanIR("alone", (source, node), node.name, host(node.n_in))


def random_product(
    rng: np.random.Generator, *, name: str = "p", source: str = "x", arity: list[int] | None = None
) -> Product:
    arity = arity or rng.integers(1, 5, rng.integers(1, 5)).tolist()
    n = len(arity)
    shift = int(rng.integers(0, 12))
    out = FixedPoint(int(rng.integers(1, 12)), 4, bool(rng.integers(2)))
    return Product(
        name=name,
        inputs=(source,),
        out_type=out,
        value_lsb=out.lsb,
        value_offset=0.0,
        arity=np.array(arity),
        mult=rng.integers(-40, 41, n),
        bias=rng.integers(-5000, 5001, n),
        shift=shift,
    )


def random_norm(
    rng: np.random.Generator,
    n: int,
    in_type: FixedPoint,
    *,
    name: str = "n",
    source: str = "x",
    out: FixedPoint | None = None,
) -> Norm:
    bits, fraction = 2 * int(rng.integers(2, 7)), int(rng.integers(1, 13))
    out = out or FixedPoint(int(rng.integers(4, 9)), 4, bool(rng.integers(2)))
    passed = None
    if rng.integers(2) or out.width < 4:
        shift = max(0, in_type.width - 3)
        passed = AffineCoder(np.array([1]), np.array([-in_type.min_int]), shift, 1 << min(in_type.width, 3), 0.0, 1.0)
    table_fraction = fraction + int(rng.integers(0, 4))
    return Norm(
        name=name,
        inputs=(source,),
        out_type=out,
        value_lsb=out.lsb,
        value_offset=0.0,
        gamma=rng.integers(-100, 101, n),
        beta=rng.integers(-1 << 14, 1 << 14, n),
        shift=int(rng.integers(0, 16)),
        epsilon=int(rng.choice([1, 2, 7, 500, 1 << 20])),
        table=rsqrt_table(bits, table_fraction),
        table_bits=bits,
        table_fraction=table_fraction,
        fraction=fraction,
        passed=passed,
    )


def saturated(total: int, shift: int, kind: FixedPoint) -> int:
    half = (1 << shift) // 2
    return min(max((total + half) // (1 << shift), kind.min_int), kind.max_int)


def products(node: Product, row: list[int]) -> tuple[list[int], dict[str, list[int]]]:
    """Return the outputs, and every partial product and sum."""
    Y, seen, first = [], {"product": [0], "total": [0]}, 0
    for arity, m, b in zip(node.arity.tolist(), node.mult.tolist(), node.bias.tolist(), strict=True):
        value = 1
        for x in row[first : first + arity]:
            value *= x
            seen["product"].append(value)
        first += arity
        seen["total"] += [value * m, value * m + b, value * m + b + node.half, b, node.half]
        Y.append(saturated(value * m + b, node.shift, node.out_type))
    return Y, seen


def normalised(node: Norm, row: list[int]) -> tuple[list[int], dict[str, list[int]]]:
    """Return the outputs, and the inner quantities by the names of `Norm.ranges`."""
    n = len(row)
    S, Q = sum(row), sum(x * x for x in row)
    V = n * Q - S * S + node.epsilon
    L = V.bit_length()
    e = -(node.table_bits - 2)
    while L - e > node.table_bits:
        e += 2
    u = V // 2**e if e >= 0 else V * 2**-e
    assert 2 ** (node.table_bits - 2) <= u < 2**node.table_bits
    R = int(node.table[u - 2 ** (node.table_bits - 2)])
    s = node.table_fraction + node.table_bits // 2 + e // 2 - node.fraction
    d = [n * x - S for x in row]
    t = [(v * R + (1 << s) // 2) // (1 << s) for v in d]
    totals = [v * g + b for v, g, b in zip(t, node.gamma.tolist(), node.beta.tolist(), strict=True)]
    Y = [saturated(total, node.shift, node.out_type) for total in totals]
    if node.passed is not None:
        c = node.passed
        Y += [min(max((x * int(c.mult[0]) + int(c.offset[0])) // 2**c.shift, 0), c.n_codes - 1) for x in row]
    seen = {
        "sum": [S, *(n * x for x in row)],
        "difference": d,
        "square": [Q],
        "scaled": [n * Q, S * S],
        "variance": [V],
        "length": [L],
        "exponent": [e],
        "down": [s],
        "product": [v * R for v in d] + [v * R + (1 << s) // 2 for v in d],
        "normal": t,
        "total": totals + [total + node.half for total in totals],
    }
    return Y, seen


def some_rows(rng: np.random.Generator, n: int, kind: FixedPoint, rows: int) -> IntArray:
    """Random rows, equal inputs, single spikes and extremes."""
    low, high = kind.min_int, kind.max_int
    X = rng.integers(low, high + 1, (rows, n))
    middle = rng.integers(low, high + 1, (rows, 1))
    near = np.clip(middle + rng.integers(-2, 3, (rows, n)), low, high)
    extreme = rng.choice([low, high], (rows, n))
    spike = np.broadcast_to(middle, (rows, n)).copy()
    spike[np.arange(rows), rng.integers(0, n, rows)] = high
    flat = np.broadcast_to(np.array([[low], [0 if low < 0 else 1], [high]]), (3, n))
    return np.concatenate([X, near, extreme, spike, flat]).astype(np.int64)
