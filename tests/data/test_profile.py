"""The profile of a data set against the same figures counted with pandas, from the user's tables."""

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.data.profile import pick_length
from tests import trained


@pytest.fixture(scope="module")
def market():
    return hanjax.simulate(accounts=60, weeks=16, conversions=0.3, seed=4).tables


def test_figures_are_those_of_the_tables(market):
    figures = hanjax.describe(market).figures["here"]
    events, people = market.events, market.individuals
    week = events["timestamp"].dt.tz_localize(None).dt.to_period("W-SAT").map(lambda one: one.ordinal)
    cells = events.groupby([events["individual_id"], week]).size()
    spans = week.groupby(events["individual_id"]).agg(lambda weeks: weeks.max() - weeks.min() + 1)
    size = people.groupby("account_id").size()
    expected = {
        "accounts": 60,
        "individuals": len(people),
        "events": len(events),
        "activities, kinds": events["activity"].nunique(),
        "individuals of an account: fewest": size.min(),
        "individuals of an account: mean": size.mean(),
        "individuals of an account: most": size.max(),
        "activities a period: fewest": cells.min(),
        "activities a period: 90th percentile": np.percentile(cells, 90),
        "activities a period: share up to 9": (cells <= 9).mean(),
        "activities a period: most": cells.max(),
        "periods from first to last activity: fewest": spans.min(),
        "periods from first to last activity: 90th percentile": np.percentile(spans, 90),
        "periods from first to last activity: most": spans.max(),
        "accounts that convert": market.accounts["converted_at"].notna().sum(),
    }
    np.testing.assert_allclose(figures[list(expected)], list(expected.values()))
    panel = hanjax.encode(market)
    label = panel.batch.label[:, 0]
    assert figures["samples"] == len(label) and figures["samples without a label"] == np.isnan(label).sum()
    assert figures["conversions among the samples"] == (label == 1).sum()
    known = (~np.isnan(label)).sum() / (label == 1).sum()
    assert figures["samples per conversion"] == pytest.approx(known)


def test_the_paper_stands_beside_it(market):
    paper = hanjax.describe(market).figures["paper"]
    assert paper["accounts"] == 2516 and paper["individuals"] == 11567 and paper["months"] == 8
    assert paper["activities a period: share up to 9"] == 0.96


def test_activities_stand_in_order_of_frequency(market):
    counts = hanjax.describe(market).activities
    expected = market.events["activity"].value_counts()
    assert counts.to_dict() == expected.to_dict() and counts.is_monotonic_decreasing


def test_what_is_left_out_is_shown(market):
    profile = hanjax.describe(market)
    panel = hanjax.encode(market)
    assert list(profile.left_out.itertuples(index=False, name=None)) == [tuple(row) for row in panel.left_out]
    text = repr(profile)
    assert text == str(profile)
    for word in ("paper", "send email", "beyond the 9 activities kept of a period", "have no label"):
        assert word in text
    assert "nan" not in text.lower()


def test_an_opt_out_that_never_happens_is_noted(market):
    notes = [
        hanjax.describe(market, hanjax.PanelConfig(opt_out_activity=name)).notes for name in ("gone", "send email")
    ]
    note = "opt_out_activity: no event has the activity 'gone'"
    assert note in notes[0] and not any("opt_out_activity" in other for other in notes[1])


def test_every_sample_conversion_and_event_is_accounted_for():
    panel = hanjax.encode(trained.market(), trained.CONFIG.panel)
    label = panel.batch.label[:, 0]
    converted = trained.market().accounts.groupby("account_id")["converted_at"].max().notna().sum()
    lost = sum(row.rows for row in panel.left_out if row.reason.startswith("converted before"))
    assert (label == 1).sum() + lost == converted


@pytest.mark.parametrize("share", [0.5, 0.9, 0.96, 1.0])
def test_the_length_picked_is_the_shortest_that_holds_the_share(share):
    counts = np.random.default_rng(0).geometric(0.3, 500)
    found = pick_length(counts, share)
    assert (counts <= found).mean() >= share > (counts <= found - 1).mean()


def test_a_market_like_the_papers_has_its_figures():
    figures = hanjax.describe(hanjax.simulate(accounts=600, seed=2).tables).figures
    for name in ("individuals of an account: mean", "activities a period: share up to 9"):
        assert figures["here"][name] == pytest.approx(figures["paper"][name], rel=0.1)
    assert isinstance(figures, pd.DataFrame)
