"""A table of outcomes: which samples its rows become, with which labels, against a slow construction row by row."""

import numpy as np
import pandas as pd
import polars
import pytest

from hanjax.config import PanelConfig, TrainConfig
from hanjax.data.encoding import fit_encoding
from hanjax.data.log import NEVER
from hanjax.data.panel import NoSampleError, make_panel
from hanjax.data.profile import profile
from hanjax.data.reading import read
from hanjax.data.splits import TRAIN, deal_accounts, known_before, split_accounts, take_accounts
from hanjax.data.tables import check
from hanjax.errors import ConfigError, DataError
from hanjax.types import Panel
from tests import trained
from tests.data.small import small

PANEL = trained.CONFIG.panel


def asked(n=400, seed=0):
    """Random rows about the shared market, some of them before or after everything."""
    market, random = trained.market(), np.random.default_rng(seed)
    first, last = market.events["timestamp"].min(), market.events["timestamp"].max()
    span = (last - first).total_seconds()
    as_of = first + pd.to_timedelta(random.uniform(-0.2 * span, 1.2 * span, n).round(3), unit="s")
    rows = pd.DataFrame(
        {
            "account_id": random.choice(market.accounts["account_id"].unique(), n),
            "as_of": as_of,
            "label": random.choice([0.0, 1.0, 0.3, np.nan], n),
            "known_at": pd.Series(as_of + pd.Timedelta(days=20)).where(random.random(n) < 0.5).to_numpy(),
            "region": random.choice(["north", "south", None], n),
            "n_deals": 1,
            "product": random.choice(["basic", "pro"], n),
        }
    )
    return rows[~rows.assign(start=starts(rows["as_of"])).duplicated(["account_id", "start", "region", "product"])]


def starts(times):
    """The Sundays on which the weeks of some times begin."""
    days = times.dt.normalize()
    return days - pd.to_timedelta((days.dt.day_of_week + 1) % 7, unit="D")


def encoded(outcomes, config=PANEL, **tables):
    """The panel of the shared market with outcomes, under the shared model's encoding."""
    log = check(trained.market()._replace(outcomes=outcomes, **tables), config)
    return make_panel(log, config, trained.trained().encoding)[0]


def slow_reason(row, start, market):
    """Why a row can be no sample, found with plain pandas; None if it can."""
    account = market.accounts[market.accounts["account_id"] == row.account_id].iloc[0]
    people = market.individuals[market.individuals["account_id"] == row.account_id]
    people = people.groupby("individual_id")["arrived_at"].last()
    events = market.events[market.events["account_id"] == row.account_id]
    leaving = events[events["activity"] == "unsubscribe email"]
    left = leaving[["timestamp", "known_at"]].max(axis=1).groupby(leaving["individual_id"]).min()
    if not account["observed_from"] < start:
        return "at or before the beginning of its account's observation"
    ends = account["observed_to"]
    if start > ends:
        return "after the end of its account's observation"
    there = (people < start) & ~(left.reindex(people.index) < start)
    return None if there.any() else "nobody is a member at the cut-off"


def test_each_row_is_a_sample_with_what_its_account_was_at_that_cutoff():
    market, rows = trained.market(), asked()
    market = market._replace(accounts=market.accounts.drop(columns="converted_at"))
    every = check(market, PANEL)
    end = pd.Timestamp(int(every.observed_to.max()), unit="us", tz="UTC")
    market = market._replace(accounts=market.accounts.assign(observed_to=market.accounts["observed_to"].fillna(end)))
    plain = trained.decoded(make_panel(check(market, PANEL), PANEL, trained.trained().encoding)[0])
    expected, reasons = [], []
    for row, start in zip(rows.itertuples(), starts(rows["as_of"]), strict=True):
        reason = slow_reason(row, start, market)
        reasons.append(reason)
        if reason is None:
            region = "~" if pd.isna(row.region) else row.region
            expected.append((row.account_id, start, region, row.product, row.label))
    expected.sort(key=lambda one: one[:4])
    panel = encoded(rows)
    samples = panel.samples
    found = zip(
        samples["account_id"], samples["cutoff"], samples["region"].fillna("~"), samples["product"], strict=True
    )
    assert list(found) == [one[:4] for one in expected] and len(expected) > 100
    np.testing.assert_array_equal(panel.batch.label[:, 0], np.float32([one[4] for one in expected]))
    assert list(samples)[-3:] == ["industry", "region", "product"] and panel.unit == ("region", "product")
    assert samples.duplicated(["account_id", "cutoff"]).sum() > 20

    alone = panel._replace(samples=samples.assign(account_id=np.arange(len(samples))))
    for content, one in zip(trained.decoded(alone).values(), expected, strict=True):
        assert content == plain[one[0], one[1]]
    counted = {row.reason: row.rows for row in panel.left_out if row.table == "outcomes"}
    assert counted == pd.Series(reasons).value_counts().to_dict() and len(counted) == 3
    assert any("n_deals" in note for note in panel.notes)


def same(one: Panel, other: Panel):
    pd.testing.assert_frame_equal(one.samples, other.samples)
    for name, array in one.batch._asdict().items():
        if array is not None:
            np.testing.assert_array_equal(array, getattr(other.batch, name), err_msg=name)
    np.testing.assert_array_equal(one.member_ids, other.member_ids)


@pytest.mark.parametrize("changed", [{}, dict(window_kind="active", window_ages=True), dict(membership="active")])
def test_rows_made_of_the_conversions_give_the_same_panel(changed):
    config = trained.CONFIG.replace(**changed).panel
    log = check(trained.market(), config)
    encoding = fit_encoding(log, config)
    plain, fitted = make_panel(log, config, encoding)
    rows = plain.samples[["account_id"]].assign(as_of=plain.samples["cutoff"], label=plain.batch.label[:, 0])
    log = check(trained.market()._replace(outcomes=rows), config)
    panel, again = make_panel(log, config, encoding)
    same(plain, panel)
    assert fitted == again and panel.unit == () and (log.converted_at == NEVER).all()
    assert any("converted_at: not used" in note for note in panel.notes)


def test_the_order_of_the_rows_does_not_matter_nor_who_made_the_table():
    rows = asked(150)
    panel = encoded(rows)
    same(panel, encoded(rows.sample(frac=1, random_state=1)))
    same(panel, encoded(rows.sample(frac=1, random_state=1).reset_index(drop=True).astype({"product": "category"})))
    same(panel, encoded(polars.from_pandas(rows)))


def test_events_that_no_window_holds_are_counted():
    rows = asked(30)
    panel, log = encoded(rows), check(trained.market(), PANEL)
    assert "no row of outcomes is theirs" in {one.reason for one in panel.left_out if one.table == "accounts"}
    span = trained.market().accounts.groupby("account_id")[["observed_from", "observed_to"]].last()
    span = span["observed_from"].loc[rows["account_id"]].array, span["observed_to"].loc[rows["account_id"]].array
    begins = starts(rows["as_of"])
    within = (span[0] < begins) & (begins <= span[1])
    inside = set(zip(rows["account_id"][within], begins[within], strict=True))
    ids = log.account_ids[log.individual_account[log.event_individual]]
    weeks = starts(pd.Series(log.event_time.view("M8[us]")).dt.tz_localize("UTC"))
    later = [pd.Timedelta(weeks=n) for n in range(1, PANEL.window + 1)]
    held = [any((a, week + step) in inside for step in later) for a, week in zip(ids, weeks, strict=True)]
    (unseen,) = (one.rows for one in panel.left_out if one.reason == "in no window before an outcome")
    assert unseen == len(held) - sum(held) and 0 < sum(held) < len(held)


def labels(**columns):
    rows = {"account_id": [10, 10, 20], "as_of": ["2024-01-17"] * 3, "label": [1, 0, None], "region": ["a", "b", "a"]}
    return pd.DataFrame({**rows, **columns})


def panel_of(outcomes, config=None, **tables):
    config = PanelConfig() if config is None else config
    log = check(small(**tables)._replace(outcomes=outcomes), config)
    return make_panel(log, config, fit_encoding(log, config))[0]


def test_two_regions_at_one_cutoff_are_two_samples_of_the_same_members():
    panel = panel_of(labels())
    assert panel.samples["account_id"].tolist() == [10, 10, 20] and panel.samples["region"].tolist() == ["a", "b", "a"]
    np.testing.assert_array_equal(panel.batch.label[:, 0], [1, 0, np.nan])
    np.testing.assert_array_equal(panel.batch.members[0], panel.batch.members[1])
    np.testing.assert_array_equal(panel.member_ids[0], panel.member_ids[1])
    assert "without an outcome" in panel._repr_html_() and "1 conversions" in repr(panel)
    with pytest.raises(DataError, match=r"outcomes.account_id, as_of: stands more than once within a period \(1 row;"):
        panel_of(labels(as_of=["2024-01-17", "2024-01-20", "2024-01-17"]).drop(columns="region"))
    with pytest.raises(DataError, match="account_id, as_of, region: stands more than once"):
        panel_of(labels(region=None, as_of=["2024-01-17", "2024-01-20", "2024-01-17"]).astype({"region": "str"}))


def test_what_says_where_an_outcome_comes_from_is_no_segment():
    evidence = dict(
        rule="won", season="mid-year", opportunity_ids=[["O1", "O2"], ["O3"], []], evidence="O1,O2", weight=1.0,
        created_at="2024-01-01", closed_at="2024-01-31", amount=[1.0, 2.0, None], team="x",
    )  # fmt: skip
    panel = panel_of(labels(**evidence), PanelConfig(exclude=("team",)))
    assert panel.unit == ("region", "season")
    [note] = [note for note in panel.notes if note.startswith("outcomes: not used")]
    assert all(name in note for name in ("rule", "opportunity_ids", "evidence", "weight", "created_at", "amount"))


def test_a_segment_of_outcomes_wins_over_the_accounts_and_none_may_be_called_like_a_score():
    panel = panel_of(labels(industry="own"))
    assert list(panel.samples)[4:] == ["name", "region", "industry"] and set(panel.samples["industry"]) == {"own"}
    assert any("accounts: not used, as outcomes have" in note and "industry" in note for note in panel.notes)
    for name in ("score", "period", "change"):
        with pytest.raises(DataError, match=f"outcomes.{name}: a column of the scores"):
            panel_of(labels(**{name: "x"}))


def test_other_names_of_columns():
    rows = labels().rename(columns={"as_of": "created", "label": "won"})
    panel = panel_of(rows, PanelConfig(columns=(("as_of", "created"), ("label", "won"))))
    assert len(panel.samples) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (labels(label=[1, 2, None]), r"outcomes.label: lies outside 0 to 1 \(1 row; first: 2 \(row 1\)\)"),
        (labels(label=["won", "lost", None]), "outcomes.label: is .*string, not a number"),
        (labels(as_of=["2024-01-17", None, "2024-01-17"]), "outcomes.as_of: is missing"),
        (labels(as_of=[1, 2, 3]), "outcomes.as_of: is int64, which is no date"),
        (labels(known_at="2024-01-13"), "outcomes.known_at: is before the period that holds as_of .*first: account 10"),
        (labels(account_id=[10, 99, 20]), r"outcomes.account_id: is not in the table accounts \(1 row; first: 99\)"),
        (labels().drop(columns="label"), "outcomes: the column 'label' is missing"),
        (labels()[:0], "outcomes: the table has no rows"),
        (labels(account_id=["10", "10", "20"]), "outcomes.account_id: is of another kind than in other tables"),
    ],
)
def test_what_a_table_of_outcomes_can_have_wrong(rows, message):
    with pytest.raises(DataError, match=message):
        panel_of(rows)


def test_unknown_accounts_may_be_left_out_and_counted():
    drop = PanelConfig(strays="drop")
    panel = panel_of(labels(account_id=[10, 99, 20]), drop)
    assert panel.samples["account_id"].tolist() == [10, 20]
    left = {(one.table, one.reason): (one.rows, one.first) for one in panel.left_out}
    assert left["outcomes", "account_id: is not in the table accounts"] == (1, (99,))
    with pytest.raises(DataError, match="outcomes: no row is left"):
        panel_of(labels(account_id=99), drop)
    empty = small().accounts
    empty = pd.concat([empty, empty[:1].assign(account_id=40)])
    panel = panel_of(labels(account_id=[10, 40, 20]), drop, accounts=empty)
    assert ("outcomes", "account_id: is an account that was left out") in {o[:2] for o in panel.left_out}


def test_there_is_one_horizon_and_something_must_be_left_to_ask():
    with pytest.raises(ConfigError, match=r"horizons: expected \(1,\), got \(1, 4\)"):
        panel_of(labels(), PanelConfig(horizons=(1, 4)))
    with pytest.raises(NoSampleError, match=r"outcomes: no sample can be made \(at or before the beginning .*: 3"):
        panel_of(labels(as_of="1999-01-01"))
    log = check(small()._replace(outcomes=labels()))
    times = (log.event_time.max() + 10**13,) * 2
    with pytest.raises(NoSampleError, match="3 rows, none of them at the dates wanted|no row of outcomes is theirs"):
        make_panel(log, PanelConfig(), fit_encoding(log, PanelConfig()), cutoffs=times)


def test_what_was_known_before_a_date():
    rows = pd.DataFrame(
        {
            "account_id": [10, 10, 10, 20, 20],
            "as_of": ["2024-01-08", "2024-01-14", "2024-01-21", "2024-01-08", "2024-01-14"],
            "label": [1, 0, 1, 0, 1],
            "known_at": [None, None, None, "2024-01-22", "2024-01-20"],
        }
    )
    log = check(small()._replace(outcomes=rows))
    for day, known in (("2024-01-21", [1, 0, np.nan, 1]), ("2024-01-20", [1, np.nan, np.nan, np.nan])):
        past = known_before(log, pd.Timestamp(day).value // 1000).outcomes
        np.testing.assert_array_equal(past.label, known)
        assert len(past.account) == 4  # a question that was asked stays, without its answer


def test_accounts_are_taken_with_their_outcomes():
    rows = asked()
    log = check(trained.market()._replace(outcomes=rows), PANEL)
    wanted = np.random.default_rng(0).random(len(log.account_ids)) < 0.5
    taken, names = take_accounts(log, wanted), log.account_ids[wanted]
    alone = check(trained.market()._replace(outcomes=rows[rows["account_id"].isin(names)]), PANEL)
    assert names[taken.outcomes.account].tolist() == log.account_ids[alone.outcomes.account].tolist()
    np.testing.assert_array_equal(taken.outcomes.label, alone.outcomes.label)
    pd.testing.assert_frame_equal(taken.outcomes.segments, alone.outcomes.segments)


def test_accounts_are_split_by_whether_any_outcome_of_theirs_is_a_conversion():
    rows, market = asked(), trained.market()
    codes = {name: place for place, name in enumerate(sorted(market.accounts["account_id"].unique()))}
    rows["label"] = [0.6 * (codes[name] % 3 == 0) for name in rows["account_id"]]
    log = check(market._replace(outcomes=rows), PANEL)
    part = split_accounts(log, TrainConfig(test=9, validation=0.4))
    converting = np.array([codes[name] % 3 == 0 for name in log.account_ids])
    share = pd.Series(converting).groupby(part.to_numpy()).mean()
    np.testing.assert_allclose(share, 1 / 3, atol=0.1)
    panel = encoded(rows)
    dealt = deal_accounts(panel, 2, seed=0)
    found = panel.samples.assign(part=dealt, converts=panel.batch.label[:, 0] >= 0.5)
    counts = found.groupby("account_id").agg(part=("part", "first"), converts=("converts", "any"))
    assert np.ptp(counts.groupby("part")["converts"].sum()) <= 1
    with pytest.raises(DataError, match=r"outcomes.label: the \d+ train accounts do not hold both outcomes \(0 conv"):
        split_accounts(check(market._replace(outcomes=rows.assign(label=0)), PANEL), TrainConfig())


def test_an_account_with_outcomes_of_both_kinds_can_be_learned_from():
    rows = pd.concat([labels(account_id=account) for account in (10, 20, 30)]).assign(label=[1, 0, 0] * 3)
    rows = rows.assign(region=["a", "b", "c"] * 3)
    part = split_accounts(check(small()._replace(outcomes=rows)), TrainConfig(test=1, validation=0.0))
    assert (part == TRAIN).sum() == 2


def test_a_folder_may_hold_outcomes(tmp_path):
    tables = small()._replace(outcomes=labels(opportunity_ids="O1,O2"))
    for name, table in tables._asdict().items():
        if table is not None:
            table.to_csv(tmp_path / f"{name}.csv", index=False)
    same(panel_of(read(tmp_path).outcomes), panel_of(tables.outcomes))
    labels().to_parquet(tmp_path / "outcomes.parquet", index=False)
    (tmp_path / "outcomes.csv").unlink()
    assert len(check(read(tmp_path)).outcomes.account) == 3


def test_the_profile_counts_outcomes():
    log = check(small()._replace(outcomes=labels(label=[0.5, 0.2, None])))
    panel = make_panel(log, PanelConfig(), fit_encoding(log, PanelConfig()))[0]
    figures = profile(log, PanelConfig(), panel).figures["here"]
    assert figures["accounts that convert"] == 1 and figures["conversions among the samples"] == 1
    assert figures["samples without a label"] == 1 and figures["samples per conversion"] == 2
