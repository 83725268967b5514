"""Columns in pieces are what they are in one piece: mean, deviation, skewness, against NumPy, pandas and SciPy."""

from functools import reduce

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from hanjax.data.encoding import Scale
from hanjax.data.moments import Column, Moments

COLUMNS = {
    "normal": lambda random: random.normal(3, 2, 500),
    "long tail": lambda random: np.exp(random.normal(0, 2, 500)),
    "counts": lambda random: random.poisson(0.3, 500).astype(float),
    "far from zero": lambda random: 1e9 + random.normal(size=500),
    "constant": lambda random: np.full(500, 7.0),
    "two": lambda random: np.array([1.0, 4.0]),
    "one": lambda random: np.array([5.0]),
    "negative": lambda random: -np.exp(random.normal(0, 1, 500)),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_moments_are_those_of_numpy_and_pandas(name):
    values = COLUMNS[name](np.random.default_rng(0))
    moments = Moments.of(values)
    assert moments.mean == values.mean() and moments.sd == values.std()  # to the bit
    rtol = 1e-6 if name == "far from zero" else 1e-9
    if name == "constant":
        assert moments.skewness == 0  # of which pandas says NaN or 0, by its version
    else:
        np.testing.assert_allclose(moments.skewness, pd.Series(values).skew(), rtol=rtol)
    if len(values) > 2 and name != "constant":
        np.testing.assert_allclose(moments.skewness, scipy.stats.skew(values, bias=False), rtol=rtol)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_pieces_together_are_the_whole(name, pieces):
    random = np.random.default_rng(1)
    values = COLUMNS[name](random)
    values[random.random(len(values)) < 0.1] = np.nan
    cuts = np.sort(random.integers(0, len(values) + 1, pieces - 1))
    parts = [Column.of(name, part) for part in np.split(values, cuts)]
    joined, whole = reduce(Column.with_that_of, parts), Column.of(name, values)
    assert (joined.name, joined.missing, joined.least) == (whole.name, whole.missing, whole.least)
    for one, other in ((joined.plain, whole.plain), (joined.logged, whole.logged)):
        assert one.n == other.n
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-13, atol=1e-13)
        if one.n:
            np.testing.assert_allclose(one.sd, other.sd, rtol=1e-7 if name == "far from zero" else 1e-12, atol=1e-12)
    np.testing.assert_allclose(joined.plain.skewness, whole.plain.skewness, rtol=1e-4, atol=1e-9)
    if pieces == 1:
        assert joined == whole
    found, expected = Scale.of(joined), Scale.of(whole)
    assert (found.logged, found.indicator) == (expected.logged, expected.indicator)


def test_nothing_is_a_column_too():
    nothing = Column.of("x", np.array([np.nan, np.nan]))
    some = Column.of("x", np.array([1.0, 2.0]))
    assert nothing.plain.n == 0 and nothing.missing == 2 and nothing.least == np.inf
    joined = nothing.with_that_of(some)
    assert joined == some.with_that_of(nothing) and joined.missing == 2 and joined.plain == some.plain
    assert Scale.of(nothing) == Scale("x", False, 0.0, 1.0, True)
