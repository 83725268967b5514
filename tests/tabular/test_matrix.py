"""The matrix against slow loops over the panel, and what it must not depend on."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.checks import check_no_future
from hanjax.config import ACCOUNT_NUMBERS, MEMBER_NUMBERS
from hanjax.data.counts import activity_counts
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.errors import DataError
from hanjax.tabular import Tabular
from hanjax.tabular.matrix import alone, matrix_of, segment_levels, some
from tests import trained

SETTINGS = {
    "plain": {},
    "everything": dict(volumes=True, account_numbers=ACCOUNT_NUMBERS, member_numbers=MEMBER_NUMBERS),
    "active": dict(window_kind="active", account_numbers=()),
    "active with ages": dict(window_kind="active", window_ages=True),
}


def encoded(**settings):
    config = trained.CONFIG.replace(**settings).panel
    log = check(trained.market(), config)
    panel, encoding = make_panel(log, config, fit_encoding(log, config))
    return panel, encoding, config


def scales(encoding, which):
    return [name for s in getattr(encoding, which) for name in [s.column, f"{s.column} missing"][: 1 + s.indicator]]


def slow(panel, encoding, row):
    """One row of the matrix, member by member, period by period and activity by activity."""
    batch, found = panel.batch, {}
    periods = batch.windows.shape[1]
    window, latest = dict.fromkeys(encoding.activities, 0.0), dict.fromkeys(encoding.activities, 0.0)
    members, active, every, last, recency = 0, 0, 0.0, 0.0, periods + 1
    levels, numbers = [], []
    for k in range(batch.members.shape[1]):
        if not batch.members[row, k]:
            continue
        members, own = members + 1, 0.0
        levels.append(batch.individuals[batch.members[row, k]])
        numbers.append(None if batch.member_numbers is None else batch.member_numbers[row, k])
        for w in range(periods):
            sequence = batch.windows[batch.member_windows[row, k], w]
            if batch.counts is None:
                done = [int(a) for a in batch.sequences[sequence] if a]
            else:
                volumes = batch.counts[batch.count_windows[batch.member_windows[row, k], w]]
                done = [a for a, n in enumerate(volumes) for _ in range(int(n))]
            for a in done:
                own, last = own + 1, last + (w == periods - 1)
                if a > 1:
                    window[encoding.activities[a - 2]] += 1
                    latest[encoding.activities[a - 2]] += w == periods - 1
            if sequence:
                ages = batch.window_ages
                age = periods - w if ages is None else ages[batch.member_windows[row, k], w]
                recency = min(recency, age)
        every, active = every + own, active + (own > 0)
    counts = {"activities in the window": every, "activities in the last period": last, "active members": active}
    found |= {name: math.log1p(n) for name, n in {**counts, "members": members}.items()}
    found["periods since the latest activity"] = recency
    found |= {f"{name} in the window": math.log1p(n) for name, n in window.items()}
    found |= {f"{name} in the last period": math.log1p(n) for name, n in latest.items()}
    found |= dict(zip(scales(encoding, "numbers"), batch.accounts[batch.account[row]], strict=True))
    of_cutoff = [] if batch.account_numbers is None else batch.account_numbers[row]
    found |= dict(zip(scales(encoding, "features") + scales(encoding, "as_of"), of_cutoff, strict=True))
    for c, name in enumerate(scales(encoding, "of_members")):
        found[f"mean {name}"] = sum(own[c] for own in numbers) / members
        found[f"highest {name}"] = max(own[c] for own in numbers)
    for f, (name, known) in enumerate(encoding.categories):
        of = {f"{name} unknown": 1, **{f"{name} = {level}": i for i, level in enumerate(known, start=2)}}
        found |= {column: sum(own[f] == i for own in levels) / members for column, i in of.items()}
    return found


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_the_matrix_is_that_of_slow_loops(settings):
    panel, encoding, config = encoded(**settings)
    matrix = matrix_of(panel, encoding, config)
    assert len(matrix) == len(panel.samples) and matrix.columns.is_unique and not matrix.isna().any().any()
    rows = range(0, len(matrix), 7)
    expected = pd.DataFrame([slow(panel, encoding, row) for row in rows])
    if settings == SETTINGS["active"]:
        expected = expected.drop(columns="periods since the latest activity")
    assert set(expected) == set(matrix) and {"employees", "budget", "budget missing"} <= set(matrix)
    own = matrix.iloc[list(rows)].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, expected[list(matrix)].astype(np.float32), atol=1e-6, rtol=1e-5)
    assert (matrix.nunique() > 1).sum() > 15


def test_no_volumes_and_volumes_agree_where_no_sequence_is_cut():
    panels = [encoded(volumes=volumes, max_activities=60)[0] for volumes in (False, True)]
    vocabulary = panels[1].batch.counts.shape[1]
    plain, volumes = (activity_counts(panel.batch, vocabulary=vocabulary) for panel in panels)
    np.testing.assert_array_equal(plain[..., 1:], volumes[..., 1:])
    assert plain.sum() > 100 and not plain[..., 0].any()


def test_a_member_alone_is_the_sample_without_the_others():
    panel, encoding, config = encoded(**SETTINGS["everything"])
    single, there = alone(panel)
    matrix = matrix_of(single, encoding, config)
    assert len(matrix) == there.sum() == panel.samples["n_members"].sum()
    rows = np.argwhere(there)
    for i in range(0, len(rows), 23):
        b, k = rows[i]
        members = np.where(np.arange(there.shape[1]) == k, panel.batch.members[b], 0)
        one = some(panel, [b])
        one = one._replace(batch=one.batch._replace(members=members[None]))
        expected = slow(one, encoding, 0)
        np.testing.assert_allclose(matrix.iloc[i], [expected[name] for name in matrix], rtol=1e-5, atol=1e-6)
        assert single.individual_ids[single.member_ids[i, 0]] == panel.individual_ids[panel.member_ids[b, k]]


def test_columns_are_the_encoding_s_whatever_the_samples():
    panel, encoding, config = encoded()
    whole, one = matrix_of(panel, encoding, config), matrix_of(some(panel, slice(5, 6)), encoding, config)
    pd.testing.assert_frame_equal(one, whole.iloc[5:6].reset_index(drop=True))
    assert list(matrix_of(some(panel, slice(0)), encoding, config)) == list(whole)


def test_segments_become_columns_of_known_levels():
    panel, encoding, config = encoded()
    region = np.where(np.arange(len(panel.samples)) % 3, "north", "a = b").astype(object)
    region[4] = None
    panel = panel._replace(samples=panel.samples.assign(region=region))
    levels = segment_levels(panel.samples, ["region"])
    assert levels == {"region": ("(missing)", "a = b", "north")}
    matrix = matrix_of(panel, encoding, config, segments=levels)
    np.testing.assert_array_equal(matrix["region = north"], region == "north")
    assert matrix["region = (missing)"].tolist() == [float(i == 4) for i in range(len(matrix))]
    fewer = matrix_of(panel, encoding, config, segments={"region": ("south",)})
    assert not fewer["region = south"].any()
    for strange in ("planet", "account_id", "n_members"):
        with pytest.raises(DataError, match=f"no '{strange}' among the accounts' text columns"):
            segment_levels(panel.samples, [strange])


def test_names_that_occur_twice_say_where_they_are_from():
    panel, encoding, config = encoded()
    same = dataclasses.replace(
        encoding, features=tuple(s._replace(column=encoding.numbers[0].column) for s in encoding.features)
    )
    name = encoding.numbers[0].column
    matrix = matrix_of(panel, same, config)
    assert {f"{name} (accounts)", f"{name} (account_features)"} <= set(matrix) and name not in matrix


def test_a_panel_of_another_encoding_is_refused():
    panel, encoding, config = encoded()
    with pytest.raises(DataError, match="Give the encoding and the settings that the panel was made with"):
        matrix_of(panel, dataclasses.replace(encoding, numbers=()), config)


def test_nothing_of_the_future_is_in_it():
    run = hanjax.fit(trained.market(), config=trained.CONFIG, model=Tabular("decision_tree"))
    verdict = check_no_future(run, trained.market(), cutoffs=2)
    assert verdict.passed and "scores at most" in verdict.checked, verdict


def test_a_segment_that_changes_is_told_as_of_the_cutoff():
    market = trained.market()
    first = market.accounts.drop_duplicates("account_id").assign(known_at=pd.Timestamp("2000-01-01", tz="UTC"))
    later = first.assign(known_at=market.events["timestamp"].median(), industry="sold since")
    dated = market._replace(accounts=pd.concat([first, later], ignore_index=True))
    tree = Tabular("decision_tree", segments=("industry",))
    run = hanjax.fit(dated, config=trained.CONFIG, model=tree)
    panel = hanjax.encode(dated, trained.CONFIG.panel, encoding=run.encoding)
    early = (panel.samples["cutoff"] < later["known_at"].iloc[0]).to_numpy()
    sold = run.matrix(panel)["industry = sold since"].to_numpy()
    assert not sold[early].any() and sold[~early].all() and early.any() and not early.all()
    assert check_no_future(run, dated, cutoffs=2).passed
