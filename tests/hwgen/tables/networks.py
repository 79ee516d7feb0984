"""Random table networks: everything that the generator has a special case for, with equal probability."""

from __future__ import annotations

import numpy as np

from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, IntArray, KanIR
from tests.hwgen.tables.designs import coder, edge_table, program, unsigned

__all__ = ["random_network", "shared_layer"]

Rng = np.random.Generator


def _tables(rng: Rng, n_in: int, n_codes: int, n_out: int) -> IntArray:
    """Return tables (inputs, codes, outputs): dead, constant, smooth, steep, of one bit, shifted, shared."""
    tables = np.zeros((n_in, n_codes, n_out), dtype=np.int64)
    steps = np.arange(n_codes)
    for i in range(n_in):
        for o in range(n_out):
            span = 1 << int(rng.integers(1, 9))
            kind = int(rng.integers(0, 8))
            if kind == 0:
                continue
            if kind == 1:
                values = np.full(n_codes, int(rng.integers(-span, span)))
            elif kind == 2:  # neighbours differ by 2 at most
                values = np.cumsum(rng.integers(-2, 3, n_codes))
            elif kind == 3:
                values = rng.integers(0, 2, n_codes)
            elif kind == 4:
                values = (span * steps) // n_codes - span // 2
            elif kind == 5 and o:
                values = tables[i, :, o - 1] * int(rng.choice([1, 2, 4, -1])) + int(rng.integers(-3, 4))
            else:
                values = rng.integers(-span, span, n_codes) << int(rng.choice([0, 0, 0, 1, 3]))
            tables[i, :, o] = values
    if rng.random() < 0.3:
        tables[:, :, rng.integers(n_out)] = 0  # an empty output
    return tables


def _layer(rng: Rng, name: str, source: str, in_type: FixedPoint, n_in: int, n_out: int) -> EdgeTable:
    """Return a layer whose codes are its input integers, or the upper half of their range."""
    offset = -in_type.min_int
    drop = int(rng.integers(0, 2)) if in_type.width > 1 else 0
    n_codes = 1 << (in_type.width - drop)
    coder = AffineCoder(np.array([1]), np.array([offset]), drop, n_codes, 0.0, 1.0)
    tables = _tables(rng, n_in, n_codes, n_out)
    width, signed = int(rng.integers(1, 9)), bool(rng.integers(0, 2))
    out_type = FixedPoint(width + signed, width + signed, signed=signed)
    # The sum covers the range of the output, or goes beyond it on both sides.
    reach = int(np.abs(tables).max(axis=1).sum(axis=0).max()) + 1
    shift = max(0, reach.bit_length() - width - int(rng.integers(0, 3)))
    bias = rng.integers(-reach, reach + 1, n_out) // int(rng.choice([1, 4]))
    return edge_table(name, source, tables, out_type=out_type, coder=coder, bias=bias.tolist(), shift=shift)


def random_network(seed: int) -> KanIR:
    """Return a network of one to three layers; inputs of 1 to 8 bits, 1 to 24 of them, 1 to 6 outputs a layer."""
    rng = np.random.default_rng([17, seed])
    width, signed = int(rng.integers(1, 9)), bool(rng.integers(0, 2))
    in_type = FixedPoint(width, width, signed=signed)
    n_in = int(rng.choice([1, 2, 3, 5, 9, 16, 24]))
    layers: list[EdgeTable] = []
    kind, source = in_type, "x"
    for number in range(int(rng.integers(1, 4))):
        n_out = int(rng.integers(1, 7))
        layer = _layer(rng, f"l{number}", source, kind, n_in, n_out)
        layers.append(layer)
        kind, source, n_in = layer.out_type, layer.name, n_out
    return program(in_type, *layers)


def shared_layer(seed: int, n_in: int, n_out: int) -> KanIR:
    """Return a layer of 4-bit codes whose outputs tables saturate: narrow, wide, shifted and equal tables."""
    rng = np.random.default_rng(seed)
    span = 1 << rng.integers(1, 9, (n_in, 1, n_out))
    tables = rng.integers(0, span, (n_in, 16, n_out)) << rng.choice([0, 0, 0, 1, 2], (n_in, 1, n_out))
    tables[rng.integers(n_in)] = tables[0]
    total = int(tables.max(axis=1).sum(axis=0).max())
    shift = max(0, total.bit_length() - 5)
    node = edge_table(
        "a", "x", tables - int(rng.integers(0, 3)), out_type=unsigned(4), coder=coder(1, 0, 0, 16),
        bias=rng.integers(-total // 2, total // 2 + 1, n_out).tolist(), shift=shift,
    )  # fmt: skip
    return program(unsigned(4), node)
