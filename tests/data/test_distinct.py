"""Distinct rows and look-ups as of a cut-off, against NumPy's and against loops."""

import numpy as np
import pytest

from hanjax.data.distinct import AsOf, distinct_rows, joined, lexicographic_order


@pytest.mark.parametrize(
    ("rows", "columns", "largest", "dtype"),
    [
        (300, 3, 3, np.uint8),
        (200, 9, 12, np.uint8),
        (200, 20, 250, np.uint8),  # wider than one integer
        (100, 4, 2**31 - 1, np.int32),  # three columns fill one
        (50, 40, 65535, np.uint16),
        (40, 2, 0, np.int32),
        (1, 1, 5, np.int64),
    ],
)
def test_distinct_rows_are_those_of_numpy(rows, columns, largest, dtype):
    rng = np.random.default_rng(0)
    given = rng.integers(0, largest, (rows, columns), endpoint=True).astype(dtype)
    given = given[rng.integers(0, rows, 2 * rows)]  # repetitions
    table, index = distinct_rows(given)
    assert table.dtype == given.dtype
    np.testing.assert_array_equal(table[index], given)
    expected = np.unique(np.concatenate([np.zeros((1, columns), dtype), given]), axis=0)
    np.testing.assert_array_equal(table, expected)  # the row of zeros comes first, whether it occurs or not


def test_nothing_has_one_distinct_row():
    for shape in ((0, 3), (4, 0), (0, 0)):
        table, index = distinct_rows(np.zeros(shape, np.int32))
        assert table.shape == (1, shape[1]) and index.tolist() == [0] * shape[0]


def test_rows_do_not_depend_on_their_order():
    given = np.random.default_rng(1).integers(0, 5, (80, 6))
    table, index = distinct_rows(given)
    again, reverse = distinct_rows(given[::-1])
    np.testing.assert_array_equal(table, again)
    np.testing.assert_array_equal(index, reverse[::-1])


@pytest.mark.parametrize("largest", [3, 2**31 - 1])  # one integer holds a row, or not
def test_joined_tables_are_the_distinct_rows_of_all(largest):
    given = np.random.default_rng(2).integers(0, largest, (90, 5), endpoint=True).astype(np.int32)
    given[30:60] = given[:30]
    tables = [distinct_rows(part)[0] for part in (given[:40], given[40:41], given[41:])]
    table, index = joined(tables)
    np.testing.assert_array_equal(table, distinct_rows(given)[0])
    np.testing.assert_array_equal(table[index], np.concatenate(tables))


@pytest.mark.parametrize("columns", [1, 4])
def test_the_lexicographic_order_is_that_of_numpy(columns):
    rows = np.random.default_rng(3).choice([0, 5, 2**31 - 1], (50, columns))
    np.testing.assert_array_equal(lexicographic_order(rows), np.lexsort(rows.T[::-1]))


def test_a_number_that_would_overflow_is_refused():
    with pytest.raises(AssertionError, match="too large"):
        distinct_rows(np.full((2, 2), 2**62))


def test_as_of_finds_the_latest_version_known():
    rng = np.random.default_rng(0)
    versions = sorted({(int(e), int(c)) for e, c in zip(rng.integers(0, 6, 20), rng.integers(0, 9, 20), strict=True)})
    entity, cutoff = np.array(versions).T
    find = AsOf(entity, cutoff, 10)
    asked = np.array([(e, c) for e in range(8) for c in range(10)])
    expected = [max((i for i, (a, b) in enumerate(versions) if a == e and b <= c), default=-1) for e, c in asked]
    assert find(asked[:, 0], asked[:, 1]).tolist() == expected
    assert -1 in expected and len(set(expected)) == len(versions) + 1


def test_as_of_finds_only_versions():
    find = AsOf(np.array([1, 2, 5]), np.array([3, 0, 4]), 10)
    asked = np.array([(e, c) for e in range(8) for c in range(6)])
    expected = [{1: 0, 2: 1, 5: 2}[e] if (e, c) >= (e, {1: 3, 2: 0, 5: 4}.get(e, 99)) else -1 for e, c in asked]
    assert find(asked[:, 0], asked[:, 1]).tolist() == expected


def test_as_of_nothing_finds_nothing():
    empty = np.zeros(0, np.int32)
    assert AsOf(empty, empty, 5)(np.array([0, 1]), np.array([3, 3])).tolist() == [-1, -1]
