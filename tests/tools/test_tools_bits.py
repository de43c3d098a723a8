from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardwire.errors import DataError, RangeError
from hardwire.tools.bits import from_planes, pack, to_planes, transpose64, unpack, words_per


@st.composite
def vectors(draw: st.DrawFn) -> tuple[list[int], list[bool], list[list[int]]]:
    widths = draw(st.lists(st.integers(1, 64), min_size=1, max_size=9))
    signed = draw(st.lists(st.booleans(), min_size=len(widths), max_size=len(widths)))
    # An unsigned element of 64 bits does not fit int64.
    signed = [flag or width == 64 for flag, width in zip(signed, widths, strict=True)]
    row = st.tuples(
        *(
            st.integers(-(1 << (w - 1)), (1 << (w - 1)) - 1) if s else st.integers(0, (1 << w) - 1)
            for w, s in zip(widths, signed, strict=True)
        )
    )
    return widths, signed, [list(values) for values in draw(st.lists(row, max_size=70))]


@given(vectors())
def test_packing_is_concatenation_and_unpacking_undoes_it(case: tuple[list[int], list[bool], list[list[int]]]) -> None:
    widths, signed, rows = case
    values = np.array(rows, np.int64).reshape(len(rows), len(widths))
    words = pack(values, widths)
    for row, packed in zip(rows, words, strict=True):
        number, low = 0, 0
        for value, width in zip(row, widths, strict=True):
            number |= (value & ((1 << width) - 1)) << low
            low += width
        assert sum(int(word) << (64 * i) for i, word in enumerate(packed)) == number
    np.testing.assert_array_equal(unpack(words, widths, signed), values)


@given(st.integers(1, 200), st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_planes_are_the_transposed_bits(width: int, count: int, seed: int) -> None:
    bits = np.random.default_rng(seed).integers(0, 2, (count, width)).astype(np.int64)
    words = pack(bits, [1] * width)
    planes = to_planes(words, width)
    assert planes.shape == (width, words_per(count))
    expected = pack(np.ascontiguousarray(bits.T), [1] * count) if count else np.zeros((width, 0), np.uint64)
    np.testing.assert_array_equal(planes, expected)
    np.testing.assert_array_equal(from_planes(planes, count), words)


@given(st.integers(0, 2**32 - 1))
def test_transposition_moves_every_bit(seed: int) -> None:
    block = np.random.default_rng(seed).integers(0, 2**64, 64, np.uint64, endpoint=False)
    before = [int(word) for word in block]
    transpose64(block)
    assert all((int(block[i]) >> j) & 1 == (before[j] >> i) & 1 for i in range(64) for j in range(64))


def test_wrong_shapes_and_widths_are_named() -> None:
    with pytest.raises(RangeError, match="element 1 is 65 bits wide"):
        pack(np.zeros((1, 2), np.int64), [1, 65])
    with pytest.raises(DataError, match=r"integers of shape \(N, 2\), not float64"):
        pack(np.zeros((1, 2)), [1, 1])
    with pytest.raises(DataError, match=r"shape \(N, 2\), not uint64 of shape \(3, 1\)"):
        unpack(np.zeros((3, 1), np.uint64), [64, 1], True)
    with pytest.raises(DataError, match="1 signs were given for 2 elements"):
        unpack(np.zeros((3, 1), np.uint64), [4, 1], [True])
    with pytest.raises(DataError, match="a bus of 65 bits"):
        to_planes(np.zeros((3, 1), np.uint64), 65)
