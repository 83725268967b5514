"""Work in pieces gives what work at once would, also across the bounds of pieces."""

import numpy as np
import pytest

from hanjax.data import pieces as module
from hanjax.data.pieces import counted, padded, pieces


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(module, "PIECE", 7)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 20])
def test_pieces_are_the_whole_in_order(n):
    assert [row for part in pieces(n) for row in range(n)[part]] == list(range(n))


def test_codes_are_counted():
    codes = np.random.default_rng(0).integers(0, 5, 100).astype(np.uint8)
    assert counted(codes, 6).tolist() == np.bincount(codes, minlength=6).tolist()
    assert counted(codes[:0], 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("shape", [(), (2,)])
def test_runs_are_laid_into_rows(shape):
    random = np.random.default_rng(0)
    values = random.integers(1, 9, (60, *shape)).astype(np.int32)
    length = random.integers(0, 4, 20)
    start = random.integers(0, 56, 20)  # runs may overlap and stand in any order
    table = padded(values, start, length, 4, empty=-1)
    assert table.dtype == values.dtype and table.shape == (20, 4, *shape)
    for row, begin, n in zip(table, start, length, strict=True):
        np.testing.assert_array_equal(row[:n], values[begin : begin + n])
        assert (row[n:] == -1).all()
