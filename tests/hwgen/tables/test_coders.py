from __future__ import annotations

import numpy as np
import pytest

from hwgen.tables._coders import CoderForm, Index, plan_index
from pymodel.ir import AffineCoder, FixedPoint, IntArray, Interval
from tests.hwgen.tables.designs import coder


def _full(in_type: FixedPoint) -> Interval:
    return Interval(in_type.min_int, in_type.max_int)


def _slice(index: Index, in_type: FixedPoint, X: IntArray) -> IntArray:
    """Return the index of each input, from its bits."""
    assert index.form is CoderForm.SLICE
    return (X & ((1 << in_type.width) - 1)) >> index.low_bit


@pytest.mark.parametrize(
    ("in_type", "coder", "low_bit"),
    [
        (FixedPoint(8, 2, signed=True), coder(1, 128, 4, 16), 4),
        (FixedPoint(8, 2, signed=True), coder(4, 512, 6, 16), 4),
        (FixedPoint(8, 2, signed=False), coder(1, 0, 4, 16), 4),
        (FixedPoint(8, 2, signed=True), coder(-1, 127, 4, 16), 4),  # falling: the order of the entries
        (FixedPoint(4, 4, signed=False), coder(1, 0, 0, 16), 0),
        (FixedPoint(4, 4, signed=False), coder(1, 0, 0, 11), 0),  # clips at 10: repeated entries
        (FixedPoint(4, 4, signed=False), coder(13, 5, 4, 16), 0),  # any function of 4 bits
        (FixedPoint(16, 4, signed=True), coder(2, 65536, 13, 16), 12),
        (FixedPoint(20, 4, signed=False), coder(1, 0, 16, 16), 16),
    ],
)
def test_a_coder_that_reads_upper_bits_only_costs_nothing(
    in_type: FixedPoint, coder: AffineCoder, low_bit: int
) -> None:
    index = plan_index(coder, 0, in_type, _full(in_type))
    assert (index.form, index.low_bit) == (CoderForm.SLICE, low_bit)
    assert index.reachable.all()
    X = np.unique(np.linspace(in_type.min_int, in_type.max_int, 5000).astype(np.int64))
    assert np.array_equal(index.codes[_slice(index, in_type, X)], coder.codes(X[:, None])[:, 0])


@pytest.mark.parametrize(
    ("in_type", "coder", "form"),
    [
        (FixedPoint(8, 2, signed=True), coder(13, 1700, 8, 16), CoderForm.ROM),
        (FixedPoint(8, 2, signed=True), coder(1, 136, 4, 16), CoderForm.ROM),  # rounds: a carry from the low bits
        (FixedPoint(12, 2, signed=True), coder(13, 1700, 12, 16), CoderForm.ROM),
        (FixedPoint(13, 2, signed=True), coder(13, 1700, 13, 16), CoderForm.AFFINE),
        (FixedPoint(16, 4, signed=True), coder(1, 32770, 12, 16), CoderForm.AFFINE),
        (FixedPoint(16, 4, signed=True), coder(-1, 32767, 12, 16), CoderForm.AFFINE),
    ],
)
def test_other_coders_compute_the_code(in_type: FixedPoint, coder: AffineCoder, form: CoderForm) -> None:
    index = plan_index(coder, 0, in_type, _full(in_type))
    assert (index.form, index.width, index.low_bit) == (form, 4, 0)
    assert index.codes.tolist() == list(range(16))


def test_each_input_has_its_own_constants() -> None:
    in_type = FixedPoint(8, 2, signed=True)
    per_input = coder([1, 13], [128, 1700], 4, 16)
    assert plan_index(per_input, 0, in_type, _full(in_type)).form is CoderForm.SLICE
    second = plan_index(per_input, 1, in_type, _full(in_type))
    assert (second.form, second.mult, second.offset) == (CoderForm.ROM, 13, 1700)


def test_only_codes_of_inputs_that_can_occur_are_reachable() -> None:
    index = plan_index(coder(1, 0, 0, 16), 0, FixedPoint(4, 4, signed=False), Interval(3, 9))
    assert np.flatnonzero(index.reachable).tolist() == list(range(3, 10))
    wide = plan_index(coder(3, 0, 9, 16), 0, FixedPoint(13, 4, signed=False), Interval(0, 1000))
    assert np.flatnonzero(wide.reachable).tolist() == list(range(3000 // 512 + 1))
    signed = plan_index(coder(1, 4, 0, 8), 0, FixedPoint(3, 4, signed=True), Interval(-1, 1))
    assert np.flatnonzero(signed.reachable).tolist() == [0, 1, 7]
