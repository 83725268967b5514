"""Dense tensors become a batch cell by cell, and what cannot be right is refused with a word."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from hanjax.errors import DataError
from hanjax.types import Batch, Scores, Tables

B, K, W, L, F, G = 2, 3, 2, 4, 2, 1


def dense(**changed):
    """Two accounts: one with three members (the last of them quiet), one with a single member."""
    rng = np.random.default_rng(0)
    sequences = np.where(np.arange(L) < rng.integers(1, L + 1, (B, K, W, 1)), rng.integers(1, 9, (B, K, W, L)), 0)
    sequences[0, 0, 1] = 0
    sequences[0, 2] = 0
    members = np.array([[True, True, True], [True, False, False]])
    return {
        "sequences": sequences,
        "members": members,
        "individuals": rng.integers(1, 5, (B, K, F)),
        "accounts": rng.normal(size=(B, G)),
        "label": np.array([1.0, np.nan]),
        **changed,
    }


def put(name, place, value):
    """One of the tensors with a value in one place."""
    array = np.array(dense()[name])
    array[place] = value
    return {name: array}


def test_every_cell_is_found_again():
    given = dense()
    batch = Batch.from_dense(**given)
    np.testing.assert_array_equal(batch.member_mask, given["members"])
    for b, k in np.ndindex(B, K):
        window = batch.windows[batch.member_windows[b, k]]
        seen = batch.sequences[window]
        np.testing.assert_array_equal(seen, given["sequences"][b, k] if given["members"][b, k] else np.zeros((W, L)))
        np.testing.assert_array_equal(window > 0, seen.any(-1))
        if given["members"][b, k]:
            np.testing.assert_array_equal(batch.individuals[batch.members[b, k]], given["individuals"][b, k])
    assert batch.members[0, 2] > 0 and batch.member_windows[0, 2] == 0  # quiet, and there
    for table in (batch.sequences, batch.windows, batch.individuals, batch.accounts):
        assert not table[0].any()
    np.testing.assert_array_equal(batch.accounts[batch.account], given["accounts"].astype(np.float32))
    np.testing.assert_array_equal(batch.label, [[1], [np.nan]])
    np.testing.assert_array_equal(batch.label_mask, [[True], [False]])
    assert batch.sequences.dtype == np.uint8 and batch.label.dtype == batch.accounts.dtype == np.float32


def test_whatever_stands_where_no_member_is_changes_nothing():
    given = dense()
    away = ~given["members"]
    dirty = {name: np.array(given[name]) for name in ("sequences", "individuals")}
    dirty["sequences"][away], dirty["individuals"][away] = [0, -9, 7, 70000], -1
    for clean, got in zip(Batch.from_dense(**given), Batch.from_dense(**{**given, **dirty}), strict=True):
        np.testing.assert_array_equal(got, clean)


def test_what_is_not_given_is_not_there():
    given = dense()
    batch = Batch.from_dense(jnp.asarray(given["sequences"]), members=given["members"].tolist())
    assert batch.individuals.shape == (B * K + 1, 0) and batch.accounts.shape == (B + 1, 0)
    assert batch.label.shape == (B, 1) and not batch.label_mask.any()
    horizons = Batch.from_dense(**dense(label=[[0, 1, 1], [0, 0, 1]]))
    np.testing.assert_array_equal(horizons.label, [[0, 1, 1], [0, 0, 1]])


def test_many_activities_take_two_bytes():
    for largest, dtype in ((255, np.uint8), (256, np.uint16), (65535, np.uint16)):
        sequences = Batch.from_dense(**dense(**put("sequences", (0, 1, 1, 0), largest))).sequences
        assert sequences.dtype == dtype and sequences.max() == largest


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sequences": np.ones((B, K, L), int)}, r"sequences: expected integers \[B, K, W, L\], got int64\[2, 3, 4\]"),
        ({"sequences": np.ones((B, K, W, L))}, r"sequences: expected integers .*, got float64\[2, 3, 2, 4\]"),
        ({"sequences": np.ones((B, K, W, L), bool)}, r"sequences: expected integers .*, got bool"),
        ({"members": np.ones((B, K + 1), bool)}, r"members: expected bool \[2, 3\], got bool\[2, 4\]"),
        ({"members": np.ones(B, bool)}, r"members: expected bool \[2, 3\], got bool\[2\]"),
        ({"members": np.ones((B, K), np.uint8)}, r"members: expected bool \[2, 3\], got uint8\[2, 3\]"),
        (put("sequences", (0, 1, 1, 0), -1), r"sequences: activity ids .*65535 \(1 wrong; first: \[0, 1, 1, 0\]"),
        (put("sequences", (1, 0, 0, 0), 65536), r"sequences: activity ids .*first: \[1, 0, 0, 0\]"),
        (put("sequences", (1, 0, 1), [2, 0, 3, 0]), r"sequences: padding .* to the right.*\[1, 0, 1, 1\]"),
        (put("sequences", (1, 0, 1), [0, 0, 0, 3]), r"sequences: padding .* to the right.*\[1, 0, 1, 2\]"),
        ({"individuals": np.ones((B, K), int)}, r"individuals: expected integers \[2, 3, F\], got int64\[2, 3\]"),
        ({"individuals": np.ones((B, K - 1, F), int)}, r"individuals: expected integers .*, got int64\[2, 2, 2\]"),
        ({"individuals": np.full((B, K, F), 1.5)}, r"individuals: expected integers \[2, 3, F\], got float64"),
        (put("individuals", (0, 2, 1), -1), r"individuals: ids of categories .*\(1 wrong; first: \[0, 2, 1\]\)"),
        (put("individuals", (0, 2, 1), 2**31), r"individuals: ids of categories must lie in 0\.\.2147483647"),
        ({"accounts": np.ones(B)}, r"accounts: expected numbers \[2, G\], got float64\[2\]"),
        ({"accounts": np.ones((B + 1, G))}, r"accounts: expected numbers \[2, G\], got float64\[3, 1\]"),
        ({"accounts": np.full((B, G), "1")}, r"accounts: expected numbers \[2, G\], got <U1"),
        (put("accounts", (1, 0), np.nan), r"accounts: numbers must be finite.*\(1 wrong; first: \[1, 0\]\)"),
        (put("accounts", (0, 0), -np.inf), "accounts: numbers must be finite"),
        (put("accounts", (0, 0), 1e300), "accounts: numbers must be finite"),  # too large for float32
        ({"label": np.ones(B + 1)}, r"label: expected numbers \[2, H\], got float64\[3, 1\]"),
        ({"label": np.ones((B, 1, 1))}, r"label: expected numbers \[2, H\], got float64\[2, 1, 1\]"),
        ({"label": 1.0}, r"label: expected numbers \[2, H\], got float64\[\]"),
        ({"label": np.array(["yes", "no"])}, r"label: expected numbers \[2, H\]"),
        (put("label", 0, 0.5), r"label: must be 0, 1, or NaN where unknown \(1 wrong; first: \[0, 0\]\)"),
        (put("label", 0, np.inf), "label: must be 0, 1, or NaN"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(changed, message):
    with pytest.raises(DataError, match=message):
        Batch.from_dense(**dense(**changed))


def test_tables_and_scores_say_their_sizes():
    one, many = pd.DataFrame({"account_id": [1]}), pd.DataFrame({"account_id": [1] * 2000})
    assert repr(Tables(many, one, one)) == "Tables(events: 2,000 rows, individuals: 1 rows, accounts: 1 rows)"
    assert repr(Tables(None, one, object())) == "Tables(individuals: 1 rows, accounts: object)"
    assert repr(Scores(one, many)) == "Scores(accounts: 1 rows, individuals: 2,000 rows)"
