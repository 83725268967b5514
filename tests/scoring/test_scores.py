"""Scores are what the network says of the whole panel at once, whatever is scored beside, and in which chunks."""

import chex
import jax
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.data.distinct import capacity
from hanjax.errors import DataError
from hanjax.evaluation.calibration import Calibration
from hanjax.nn import ensemble
from hanjax.scoring import scores as scoring
from tests import trained


@pytest.fixture(scope="module")
def run():
    return trained.trained()


@pytest.fixture(scope="module")
def scores(run):
    return hanjax.score(run, trained.market())


@pytest.fixture(scope="module")
def whole(run):
    """The network's answer on the whole panel: logits, shares, attention, and logits of individuals."""
    apply = jax.jit(
        lambda params, batch: (run.network.apply(params, batch), run.network.individual_logits(params, batch))
    )
    return jax.device_get(apply(run.params, trained.panel().batch))


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))


def test_scores_are_the_networks_on_the_whole_panel(run, scores, whole):
    output, alone = whole
    raw = sigmoid(output.logit[:, 0])
    w = run.positive_weight
    assert w > 2
    np.testing.assert_allclose(scores.accounts["raw_score"], raw, atol=1e-6)
    np.testing.assert_allclose(scores.accounts["probability"], raw / (raw + w * (1 - raw)), atol=1e-6)
    b, k = np.nonzero(trained.panel().batch.members)
    raw = sigmoid(alone[b, k, 0])
    np.testing.assert_allclose(scores.individuals["score"], raw / (raw + w * (1 - raw)), atol=1e-6)
    np.testing.assert_allclose(scores.individuals["share"], output.member_share[b, k], atol=1e-6)


def test_attention_is_the_networks(scores, whole):
    batch, output = trained.panel().batch, whole[0]
    b, k = np.nonzero(batch.members)
    np.testing.assert_allclose(
        np.stack(scores.individuals["attention"]), output.period_share[batch.member_windows[b, k]], atol=1e-6
    )
    mean = np.zeros((len(batch.mask), trained.SIZES["window"]))
    np.add.at(mean, b, output.member_share[b, k, None] * output.period_share[batch.member_windows[b, k]])
    np.testing.assert_allclose(np.stack(scores.accounts["attention"]), mean, atol=1e-6)


def test_rows_carry_the_right_names(scores):
    panel = trained.panel()
    pd.testing.assert_frame_equal(scores.accounts[["account_id", "cutoff"]], panel.samples[["account_id", "cutoff"]])
    assert list(scores.accounts) == [
        "account_id", "cutoff", "probability", "raw_score", "rank", "n_members", "attention", "name", "industry"
    ]  # fmt: skip
    assert list(scores.individuals) == [
        "account_id", "individual_id", "cutoff", "score", "share", "rank_in_account", "attention"
    ]  # fmt: skip
    owner = trained.market().individuals.drop_duplicates("individual_id").set_index("individual_id")["account_id"]
    assert (scores.individuals["individual_id"].map(owner) == scores.individuals["account_id"]).all()
    size = scores.individuals.groupby(["account_id", "cutoff"]).size().to_numpy()
    np.testing.assert_array_equal(scores.accounts["n_members"], size)


def test_shares_sum_to_one_and_are_no_scores(scores):
    sums = scores.individuals.groupby(["account_id", "cutoff"])["share"].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-6)
    alone = scores.individuals.groupby(["account_id", "cutoff"])["share"].transform("size") == 1
    assert alone.any() and np.allclose(scores.individuals["share"][alone], 1)
    score = scores.individuals["score"]
    assert (score[alone] < 0.9).all() and score[alone].nunique() > 3  # where the share is always 1
    assert np.abs(score - scores.individuals["share"]).median() > 0.05


def test_whoever_is_alone_has_the_accounts_score(scores):
    both = scores.individuals.merge(scores.accounts, on=["account_id", "cutoff"])
    alone = both[both["n_members"] == 1]
    assert len(alone) > 5
    np.testing.assert_allclose(alone["score"], alone["probability"], rtol=1e-5)
    several = both[both["n_members"] > 1]
    assert not np.allclose(several["score"], several["probability"], rtol=1e-3)


def test_ranks_are_those_of_each_cut_off(scores):
    for _, group in scores.accounts.groupby("cutoff"):
        expected = [1 + (group["raw_score"] > one).sum() for one in group["raw_score"]]
        assert group["rank"].tolist() == expected
    for _, group in scores.individuals.groupby(["account_id", "cutoff"]):
        assert group["rank_in_account"].tolist() == [1 + (group["score"] > one).sum() for one in group["score"]]


def test_equal_scores_share_a_rank(run):
    flat = jax.tree.map(np.zeros_like, run.params)
    scores = hanjax.score(hanjax.run.Run(**{**vars(run), "params": flat}), trained.market())
    assert scores.accounts["probability"].nunique() == 1 and set(scores.accounts["rank"]) == {1}
    assert set(scores.individuals["rank_in_account"]) == {1}


def test_raw_leaves_the_weight_in(run, scores):
    raw = hanjax.score(run, trained.market(), raw=True)
    np.testing.assert_array_equal(raw.accounts["probability"], scores.accounts["raw_score"])
    np.testing.assert_array_equal(raw.accounts["raw_score"], scores.accounts["raw_score"])
    assert (raw.individuals["score"] > scores.individuals["score"]).all()
    assert raw.accounts["rank"].tolist() == scores.accounts["rank"].tolist()


def test_chunks_do_not_matter(run, scores, monkeypatch):
    monkeypatch.setattr(scoring, "_ON_A_CPU", (64, 32))
    counted = []
    arguments = dict(positive_weight=run.positive_weight, progress=counted.append)
    assert len(trained.panel().batch.windows) > 2 * 64 and len(trained.panel().samples) > 4 * 32
    found = scoring.score_panel(trained.panel(), run.network, run.params, **arguments)
    trained.assert_same_scores(found, scores, tolerance=1e-6)
    assert found.accounts["rank"].tolist() == scores.accounts["rank"].tolist()
    assert sum(counted) == len(trained.panel().samples) and len(counted) == 5


def test_panels_of_similar_sizes_share_the_compiled_programs(run, scores):
    parts = {"encode_periods": 1, "encode_windows": 1, "score": 2}  # small groups, and all others
    once = {name: chex.assert_max_traces(getattr(run.network, name), n=n) for name, n in parts.items()}
    network, panel = run.network._replace(**once), trained.panel()
    tables = ("sequences", "windows", "individuals", "accounts")
    longer = {name: np.pad(getattr(panel.batch, name), ((0, 1), (0, 0))) for name in tables}
    for name in tables[1:]:
        assert capacity(len(longer[name])) == capacity(len(longer[name]) - 1)
    chex.clear_trace_counter()
    for one in (panel, panel._replace(batch=panel.batch._replace(**longer)), panel):
        found = scoring.score_panel(one, network, run.params, positive_weight=run.positive_weight)
        trained.assert_same_scores(found, scores)


def test_other_accounts_do_not_matter(run, scores):
    data = trained.market()
    few = set(sorted(data.accounts["account_id"].unique())[5:11])
    alone = hanjax.score(run, data._replace(**{
        name: table[table["account_id"].isin(few)] for name, table in data._asdict().items() if table is not None
    }))  # fmt: skip
    expected = [table[table["account_id"].isin(few)] for table in scores]
    trained.assert_same_scores(alone, expected, tolerance=1e-6)


def test_rows_in_any_order_give_the_same_bits(run, scores):
    shuffled = [t if t is None else t.sample(frac=1, random_state=i) for i, t in enumerate(trained.market())]
    found = hanjax.score(run, hanjax.Tables(*shuffled))
    for one, other in zip(found, scores, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_accounts_that_training_never_saw_are_scored(run):
    data = trained.market()
    new = [t if t is None else t.assign(account_id="new " + t["account_id"]) for t in data]
    found = hanjax.score(run, hanjax.Tables(*new))
    known = hanjax.score(run, data)
    np.testing.assert_array_equal(found.accounts["probability"], known.accounts["probability"])
    assert found.accounts["account_id"].str.startswith("new ").all()


def test_scoring_twice_gives_the_same_bits(run, scores):
    again = hanjax.score(run, trained.market())
    trained.assert_same_scores(again, scores)


CUTOFFS = trained.panel().samples["cutoff"].sort_values().unique()


@pytest.mark.parametrize("delay", ["0h", "1h", "6D 23h 59min"])
def test_as_of_is_the_start_of_the_period_that_holds_the_date(run, scores, delay):
    cutoff = CUTOFFS[4]
    found = hanjax.score(run, trained.market(), as_of=cutoff + pd.Timedelta(delay))
    assert set(found.accounts["cutoff"]) == set(found.individuals["cutoff"]) == {cutoff}
    expected = [table[table["cutoff"] == cutoff] for table in scores]
    trained.assert_same_scores(found, expected, tolerance=1e-6)


def test_as_of_takes_text_in_the_panels_zone(run):
    found = hanjax.score(run, trained.market(), as_of=f"{CUTOFFS[4]:%Y-%m-%d}")
    assert set(found.accounts["cutoff"]) == {CUTOFFS[4]}


def test_as_of_the_end_of_the_log_scores_whoever_is_still_observed(run):
    """Observation ends exactly with the last week; the cut-off after it can be scored, and knows all of the log."""
    data = trained.market()
    end = data.accounts["observed_to"].max()
    shorter = data.accounts.assign(observed_to=data.accounts["observed_to"].clip(upper=end - pd.Timedelta(hours=1)))
    events = data.events[data.events["timestamp"] < end - pd.Timedelta(hours=1)]
    shorter = data._replace(accounts=shorter, events=events)
    assert end not in set(hanjax.score(run, shorter).accounts["cutoff"])
    found = hanjax.score(run, shorter, as_of=end)
    open_ended = data.accounts.groupby("account_id")["converted_at"].max().isna()
    assert set(found.accounts["account_id"]) == set(open_ended.index[open_ended])
    assert set(found.accounts["cutoff"]) == {end}
    expected = hanjax.score(run, data._replace(events=events)).accounts.query("cutoff == @end")
    np.testing.assert_allclose(found.accounts["probability"], expected["probability"], atol=1e-6)


def test_as_of_the_end_also_where_a_conversion_is_later_than_everything_else(run):
    data = trained.market()
    accounts = data.accounts.drop(columns="observed_to")
    last = data.events["timestamp"].max()
    one = accounts["account_id"] == accounts["account_id"][accounts["converted_at"].notna()].iloc[0]
    accounts["converted_at"] = accounts["converted_at"].mask(one, last + pd.Timedelta(days=20))
    found = hanjax.score(run, data._replace(accounts=accounts), as_of=last + pd.Timedelta(days=4))
    assert found.accounts["account_id"].nunique() > 5


@pytest.mark.parametrize("date", ["2019-01-01", "2020-12-30", "2021-03-21", "2031-01-01"])
def test_dates_outside_the_log_are_an_error(run, date):
    with pytest.raises(DataError, match="as_of: .* lies outside the log, which can be scored from 2021-0"):
        hanjax.score(run, trained.market(), as_of=date)


@pytest.mark.parametrize("date", ["yesterday", "2021-13-01", float("nan"), object()])
def test_what_is_no_date_is_an_error(run, date):
    with pytest.raises(hanjax.errors.ConfigError, match="as_of: .* is not a date"):
        hanjax.score(run, trained.market(), as_of=date)


def test_each_horizon_has_a_column(run, monkeypatch):
    panel = trained.panel()
    scored = scoring.Scored(
        logit=np.array([[0.0, 1.0]] * len(panel.samples), np.float32),
        member_share=np.zeros(panel.batch.members.shape, np.float32),
        member_logit=np.zeros((*panel.batch.members.shape, 2), np.float32),
    )
    attention = np.zeros(panel.batch.windows.shape, np.float32)
    monkeypatch.setattr(scoring, "score_samples", lambda *_, progress: (scored, attention))
    given = (panel, run.network, run.params)
    accounts = scoring.score_panel(*given, positive_weight=3.0, horizons=(1, 4)).accounts
    assert np.allclose(accounts["probability"], 0.25)
    q = sigmoid(1.0)
    assert np.allclose(accounts["probability_within_4"], q / (q + 3 * (1 - q)))
    each = Calibration("platt", slope=2.0), Calibration("platt", intercept=1.0)
    mapped = scoring.score_panel(*given, positive_weight=3.0, horizons=(1, 4), calibrations=each).accounts
    assert np.allclose(mapped["probability"], sigmoid(-2 * np.log(3)))
    assert np.allclose(mapped["probability_within_4"], sigmoid(1 - np.log(3) + 1))


def test_each_network_of_an_ensemble_has_its_say(monkeypatch, run):
    monkeypatch.setattr(scoring, "_AT_A_TIME", 64)
    one, panel = run.network, trained.panel()
    three = ensemble(one, 3)
    params = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf, leaf**2]), run.params)
    found = scoring.network_logits(panel, three, params)
    assert len(panel.samples) > 2 * 64
    for n, own in enumerate(found):
        alone = jax.tree.map(lambda leaf, n=n: leaf[n], params)
        expected = scoring.score_samples(panel, one, alone)[0].logit
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scoring.network_logits(panel, one, run.params)[0], found[0], atol=1e-5)
    assert np.std(found, axis=0).min() > 1e-4
