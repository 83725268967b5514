"""Nothing at or after a cut-off changes what goes into a score: the future is changed, removed and added to."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.config import ACCOUNT_NUMBERS, MEMBER_NUMBERS, PanelConfig
from hanjax.data.encoding import Scale, fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.scoring.scores import score_panel
from hanjax.types import Tables
from tests import trained

HOWS = ["delete", "change", "add"]
EVERYTHING = trained.CONFIG.replace(
    gaps=True,
    window_ages=True,
    volumes=True,
    member_numbers=MEMBER_NUMBERS,
    account_numbers=ACCOUNT_NUMBERS,
)
CONFIGS = {
    "plain": trained.CONFIG,
    "everything": EVERYTHING,
    "everything, active periods": EVERYTHING.replace(window_kind="active", keep="first", window=2),
}


def alter(data, cutoff, how, seed=0):
    """The tables with everything at or after the cut-off removed, changed, or with more of it."""
    random = np.random.default_rng(seed)
    later = lambda n: cutoff + pd.to_timedelta(random.integers(0, 60 * 24, n), unit="h")
    arrived_at = data.individuals.drop_duplicates("individual_id").set_index("individual_id")["arrived_at"]
    known = data.events["known_at"] if "known_at" in data.events else data.events["timestamp"]
    future = (data.events["timestamp"] >= cutoff) | (known >= cutoff)
    past, coming = data.events[~future], data.events[future]
    there = data.individuals["arrived_at"] < cutoff

    if how == "delete":
        individuals = data.individuals[there & (_dated(data.individuals) < cutoff)]
        inhabited = data.accounts["account_id"].isin(individuals["account_id"])
        first = ~data.accounts.duplicated("account_id")
        accounts = data.accounts[inhabited & ((_dated(data.accounts) < cutoff) | first)]
        accounts = accounts.assign(
            observed_to=accounts["observed_to"].clip(upper=cutoff),
            converted_at=accounts["converted_at"].where(accounts["converted_at"] < cutoff),
        )
        features = data.account_features
        features = features[(features["known_at"] < cutoff) & features["account_id"].isin(accounts["account_id"])]
        return Tables(past, individuals, accounts, features)

    # Observation goes on, and conversions happen at other times or to others.
    end = cutoff + pd.Timedelta(days=70)
    accounts, converted = data.accounts.copy(), data.accounts["converted_at"]
    open_then = (accounts["observed_to"] >= cutoff) & ~(converted < cutoff)
    accounts["observed_to"] = accounts["observed_to"].where(~open_then, end)
    accounts["converted_at"] = converted.where(~open_then, end if how == "add" else pd.NaT)
    stays = set(accounts["account_id"][open_then])
    coming = coming[coming["account_id"].isin(stays)]
    if how == "change":
        coming = coming.assign(activity=random.permutation(["click email", "never seen"] * len(coming))[: len(coming)])
        moved = coming["timestamp"] >= cutoff
        coming["timestamp"] = coming["timestamp"].mask(moved, end - pd.Timedelta(hours=1))
    else:
        sampled = lambda table, n: table.sample(min(n, len(table)), random_state=seed)
        more = sampled(data.events[data.events["account_id"].isin(stays)], 200)
        more = more[more["individual_id"].map(arrived_at) < cutoff]
        more = more.assign(timestamp=later(len(more)))
        more.iloc[:5, list(more).index("timestamp")] = cutoff  # exactly then
        untold = sampled(past[past["account_id"].isin(stays)], 100)  # long ago, and not known yet
        coming = pd.concat(
            [coming, more.assign(known_at=more["timestamp"]), untold.assign(known_at=later(len(untold)))]
        )
    individuals, features = data.individuals.copy(), data.account_features.copy()
    unknown = _dated(individuals) >= cutoff
    if how == "change":
        individuals["source_of_arrival"] = individuals["source_of_arrival"].mask(unknown, "never seen")
        features["budget"] = features["budget"].where(features["known_at"] < cutoff, 1e9)
        late = _dated(accounts) >= cutoff
        accounts["employees"] = accounts["employees"].where(~late, 10**9)
        return Tables(pd.concat([past, coming]), individuals, accounts, features)
    names = sorted(stays)
    new = individuals[individuals["account_id"].isin(stays)].drop_duplicates("account_id")
    new = new.assign(individual_id="new " + new["individual_id"], arrived_at=cutoff, known_at=cutoff)
    told = individuals[there & individuals["account_id"].isin(stays)].drop_duplicates("individual_id")
    told = told.assign(known_at=cutoff, source_of_arrival="webinar")
    told = told[~told["individual_id"].isin(individuals["individual_id"][individuals["known_at"] == cutoff])]
    grown = accounts[accounts["account_id"].isin(stays)].drop_duplicates("account_id")
    grown = grown.assign(employees=10**9, known_at=cutoff + pd.Timedelta(seconds=1))
    dated = pd.DataFrame({"account_id": names, "known_at": cutoff + pd.Timedelta(seconds=2), "budget": 1e9})
    return Tables(
        pd.concat([past, coming]),
        pd.concat([individuals, new, told]),
        pd.concat([accounts, grown]),
        pd.concat([features, dated]),
    )


def _dated(table):
    return table["known_at"] if "known_at" in table else pd.Series(pd.Timestamp(0, tz="UTC"), table.index)


def upto(found, cutoff):
    return {key: value for key, value in found.items() if key[1] <= cutoff}


CUTOFFS = trained.panel().samples["cutoff"].sort_values().unique()


@functools.cache
def inputs(name):
    """What the network is given of the unaltered market, and the encoding, which is fitted once."""
    config = CONFIGS[name].panel
    log = check(trained.market(), config)
    panel, encoding = make_panel(log, config, fit_encoding(log, config))
    return trained.decoded(panel), encoding


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("number", range(1, len(CUTOFFS)))
def test_inputs_up_to_a_cut_off_are_the_same_bits(number, how):
    cutoff = CUTOFFS[number]
    log = check(alter(trained.market(), cutoff, how, seed=number), trained.CONFIG.panel)
    for name, config in CONFIGS.items():
        everything, encoding = inputs(name)
        expected = upto(everything, cutoff)
        found = upto(trained.decoded(trained.encoded(log, encoding, config)), cutoff)
        assert list(found) == list(expected) and len(found) > 3
        for key in expected:
            assert found[key] == expected[key], (name, key)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("how", HOWS)
def test_the_future_was_altered_so_that_later_inputs_differ(how, name):
    cutoff = CUTOFFS[4]
    expected, encoding = inputs(name)
    altered = trained.decoded(trained.encoded(alter(trained.market(), cutoff, how), encoding, CONFIGS[name]))
    after = [key for key in expected if key[1] > cutoff and expected[key] != altered.get(key)]
    assert len(after) > 20
    if name != "plain" and how == "add":  # each of the fields by itself
        both = [(expected[key], altered[key]) for key in after if key in altered]
        numbers = sum(one[2] != other[2] for one, other in both)
        pairs = [pair for one, other in both for pair in zip(one[0], other[0], strict=False)]
        gaps, ages, of_member = (sum(mine[i] != its[i] for mine, its in pairs) for i in (2, 3, 4))
        assert min(numbers, gaps, ages, of_member) > 20


@pytest.mark.parametrize("how", HOWS)
def test_scores_up_to_a_cut_off_are_the_same(how):
    run, cutoff = trained.trained(), CUTOFFS[5]
    pair = []
    for data in (trained.market(), alter(trained.market(), cutoff, how)):
        scores = hanjax.score(run, data)
        pair.append([table[table["cutoff"] <= cutoff] for table in scores])
    trained.assert_same_scores(*pair, tolerance=1e-6)
    as_of = hanjax.score(run, alter(trained.market(), cutoff, how), as_of=cutoff)
    trained.assert_same_scores([table[table["cutoff"] == cutoff] for table in pair[0]], as_of, tolerance=1e-6)


def test_scores_follow_the_last_moments_before_a_cut_off():
    """The counterpart: one more event a microsecond before the cut-off is seen, one at the cut-off is not."""
    run, data, cutoff = trained.trained(), trained.market(), CUTOFFS[5]
    row = trained.panel().samples.query("cutoff == @cutoff").iloc[0]
    b = row.name
    who = trained.panel().individual_ids[trained.panel().member_ids[b, 0]]
    moments = {"before": cutoff - pd.Timedelta(microseconds=1), "at": cutoff}
    found = {}
    for name, moment in moments.items():
        event = {"account_id": row["account_id"], "individual_id": who, "activity": "click email"}
        more = pd.DataFrame([{**event, "timestamp": moment, "known_at": moment}])
        panel = trained.encoded(data._replace(events=pd.concat([data.events, more])), run.encoding)
        found[name] = trained.decoded(panel)[row["account_id"], cutoff]
    expected = trained.decoded(trained.panel())[row["account_id"], cutoff]
    assert found["at"] == expected and found["before"] != expected


@pytest.mark.parametrize("number", range(2, len(CUTOFFS), 2))
def test_defaults_for_dates_do_not_tell_the_future(number):
    """Without arrivals and observation, these come from the events, of which some become known late."""
    data, cutoff = trained.market(), CUTOFFS[number]
    people = data.individuals.drop_duplicates("individual_id").drop(columns=["arrived_at", "known_at"])
    accounts = data.accounts.drop_duplicates("account_id").drop(columns=["observed_from", "observed_to", "known_at"])
    accounts["converted_at"] = pd.NaT

    def tables(events):
        there = people[people["individual_id"].isin(events["individual_id"])]
        its = lambda table: table[table["account_id"].isin(there["account_id"])]
        return Tables(events, there, its(accounts), its(data.account_features))

    past = data.events[data.events[["timestamp", "known_at"]].max(axis=1) < cutoff]
    panels = [trained.encoded(tables(events), trained.trained().encoding) for events in (data.events, past)]
    last = panels[1].samples["cutoff"].max()  # the log that ends early has its last cut-off before its end
    expected, found = (upto(trained.decoded(panel), last) for panel in panels)
    assert list(found) == list(expected) and len(found) > 3
    for key in expected:
        assert found[key] == expected[key], key


def test_a_late_row_does_not_begin_the_observation_before_it_is_known():
    event = lambda who, day, known: {"account_id": 1, "individual_id": who, "timestamp": day, "known_at": known,
                                     "activity": "open"}  # fmt: skip
    rows = [event(1, "2021-01-20", "2021-01-20"), event(1, "2021-02-20", "2021-02-20")]
    untold = event(2, "2021-01-04", "2021-02-11")  # long before the others, told after them
    people = pd.DataFrame({"individual_id": [1, 2], "account_id": [1, 1], "role": ["x", "y"]})
    accounts = pd.DataFrame({"account_id": [1]})
    found = []
    for known in (rows, [*rows, untold]):
        events = pd.DataFrame(known)
        data = Tables(events, people[people["individual_id"].isin(events["individual_id"])], accounts)
        encoding = fit_encoding(check(data), PanelConfig())
        encoding = dataclasses.replace(
            encoding, as_of=(Scale("periods_observed", False, 0.0, 1.0, False),), max_members=2, categories=()
        )
        config = trained.CONFIG.replace(account_numbers=("periods_observed",))
        found.append(trained.decoded(trained.encoded(data, encoding, config)))
    told = [key for key in found[0] if key[1] < pd.Timestamp("2021-02-11", tz="UTC")]
    assert len(told) == 3
    for key in told:
        assert found[0][key] == found[1][key]


def test_unknown_activities_are_seen_counted_and_are_not_padding():
    run, data, cutoff = trained.trained(), trained.market(), CUTOFFS[5]
    chosen = data.events.index[(data.events["timestamp"] < cutoff)][-3:]
    activity = data.events["activity"].astype(object)
    activity[chosen] = "telex"
    panel = trained.encoded(data._replace(events=data.events.assign(activity=activity)), run.encoding)
    assert "3 events have an activity that training never saw: telex" in panel.notes
    batch, before = panel.batch, trained.panel().batch
    length = lambda batch: batch.activity_mask.sum(1)[batch.windows].sum(1)[batch.member_windows].sum()
    assert length(batch) == length(before) and (batch.sequences == 1).any() and not (before.sequences == 1).any()
    scores = score_panel(panel, run.network, run.params, positive_weight=run.positive_weight)
    assert np.isfinite(scores.accounts["probability"]).all()
