"""The front door: training reads no test account, evaluation reads nothing else, and defaults are what they say."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

import hanjax
from hanjax.api import prepare
from hanjax.data.dates import parse_date
from hanjax.data.splits import deal_accounts
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.run import Run
from tests import trained


def only(data, accounts):
    """The tables of some accounts."""
    return hanjax.Tables(*(None if t is None else t[t["account_id"].isin(set(accounts))] for t in data))


def part(*names):
    split = trained.trained().split
    return split.index[split.isin(names)]


def copy(**changed):
    """The trained run with something changed; it belongs to no folder."""
    return Run(**{**vars(trained.trained()), "metrics": {}, **changed})


@pytest.fixture(scope="module")
def evaluation():
    return hanjax.evaluate(copy(), trained.market())


def test_training_reads_no_test_account():
    """Test accounts are made unrecognizable (but for their outcome, by which the split is drawn)."""
    data, test = trained.market(), part("test")
    events = data.events.copy()
    mine = events["account_id"].isin(test)
    events["activity"] = events["activity"].astype(object).mask(mine, "never seen")
    people = data.individuals.copy()
    mine = people["account_id"].isin(test)
    people["source_of_arrival"] = people["source_of_arrival"].astype(object).mask(mine, "never seen")
    accounts = data.accounts.copy()
    mine = accounts["account_id"].isin(test)
    accounts["employees"] = accounts["employees"].mask(mine, 10**9)
    changed = data._replace(events=events, individuals=people, accounts=accounts)
    run, panel = prepare(changed, trained.CONFIG)
    expected = trained.trained()
    assert run.encoding == expected.encoding and run.fingerprint == expected.fingerprint
    assert run.positive_weight == expected.positive_weight and run.split.equals(expected.split)
    assert not set(panel.samples["account_id"]) & set(test) and not any("never saw" in note for note in panel.notes)


def test_validation_accounts_do_not_change_what_is_fitted():
    data, mine = trained.market(), part("validation")
    events = data.events.assign(
        activity=data.events["activity"].astype(object).mask(data.events["account_id"].isin(mine), "never seen")
    )
    run, panel = prepare(data._replace(events=events), trained.CONFIG)
    assert run.encoding == trained.trained().encoding and run.fingerprint != trained.trained().fingerprint
    assert any("training never saw: never seen" in note for note in panel.notes)


def test_the_balanced_weight_is_that_of_the_training_samples():
    panel = trained.panel()
    label = panel.batch.label[panel.samples["account_id"].isin(part("train")), 0]
    assert trained.trained().positive_weight == pytest.approx((label == 0).sum() / (label == 1).sum())
    run, _ = prepare(trained.market(), trained.CONFIG.replace(positive_weight=7.0))
    assert run.positive_weight == 7.0


def test_validation_figures_are_those_of_the_kept_epoch():
    run = trained.trained()
    best = run.history.loc[run.history["validation_auc"].idxmax()]
    assert run.metrics["validation"]["auc"] == best["validation_auc"]
    assert run.metrics["validation"]["epoch"] == best["epoch"] and list(run.metrics) == ["validation"]
    panel = trained.panel()
    scores = hanjax.score(run, trained.market()).accounts
    label = panel.batch.label[:, 0]
    mine = panel.samples["account_id"].isin(part("validation")).to_numpy() & ~np.isnan(label)
    auc = metrics.roc_auc_score(label[mine], scores["probability"][mine])
    assert auc == pytest.approx(best["validation_auc"], abs=1e-9)
    loss = metrics.log_loss(label[mine], scores["probability"][mine])
    assert loss == pytest.approx(best["validation_log_loss"], rel=1e-4)


@pytest.mark.slow
def test_networks_validate_each_other_on_all_training_accounts():
    config = trained.CONFIG.replace(ensemble=2, cross_validation=True, epochs=3, aggregator="maximum")
    run = hanjax.fit(trained.market(), config=config)
    assert set(run.split) == {"train", "test"}
    assert run.metrics["validation"]["auc"] == run.history["validation_auc"].max()
    # The same from the parameters: each training sample is scored by the network that did not learn from it.
    _, panel = prepare(trained.market(), config)
    own = jax.jit(run.network.train)(run.params, panel.batch, None).logit[..., 0]
    part, label = deal_accounts(panel, 2, seed=config.train.seed), panel.batch.label[:, 0]
    known = ~np.isnan(label)
    auc = metrics.roc_auc_score(label[known], own[part, np.arange(len(part))][known])
    assert auc == pytest.approx(run.metrics["validation"]["auc"], abs=1e-6)


def test_training_twice_gives_the_same_bits():
    again = hanjax.fit(trained.market(), config=trained.CONFIG)
    scores = [hanjax.score(run, trained.market()) for run in (again, trained.trained())]
    trained.assert_same_scores(*scores)


def test_progress_is_shown_if_asked_for(capsys):
    hanjax.fit(trained.market(), config=trained.CONFIG, progress=True)
    assert "auc=" in capsys.readouterr().err
    hanjax.score(trained.trained(), trained.market(), progress=True)
    assert f"{len(trained.panel().samples)}/{len(trained.panel().samples)}" in capsys.readouterr().err
    hanjax.score(trained.trained(), trained.market())
    assert capsys.readouterr() == ("", "")


def test_evaluation_is_of_the_test_accounts_alone(evaluation):
    accounts = evaluation.scores.accounts
    assert set(accounts["account_id"]) == set(part("test"))
    alone = hanjax.evaluate(copy(), only(trained.market(), part("test")))
    assert alone.metrics == pytest.approx(evaluation.metrics)
    expected = hanjax.score(trained.trained(), trained.market()).accounts
    expected = expected[expected["account_id"].isin(part("test"))]
    np.testing.assert_allclose(accounts["probability"], expected["probability"], atol=1e-6)


def test_figures_are_those_of_scikit_learn_on_the_scores(evaluation):
    known = evaluation.scores.accounts.dropna(subset="label")
    label, probability = known["label"], known["probability"]
    found = evaluation.metrics
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(label, probability))
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(label, probability))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(label, probability))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(label, probability))
    assert found["samples"] == len(known) and found["conversions"] == label.sum() > 0
    assert len(known) < len(evaluation.scores.accounts)  # some have no outcome yet
    by_cutoff = known.groupby("cutoff").agg(samples=("label", "size"), conversions=("label", "sum"))
    over_time = evaluation.over_time.set_index("period")
    assert over_time["samples"].tolist() == by_cutoff["samples"].tolist()
    assert over_time["conversions"].tolist() == by_cutoff["conversions"].tolist()


def test_outcomes_are_those_of_the_tables(evaluation):
    converted = trained.market().accounts.groupby("account_id")["converted_at"].max()
    accounts = evaluation.scores.accounts
    own = accounts["account_id"].map(converted)
    positive = (own >= accounts["cutoff"]) & (own < accounts["cutoff"] + pd.Timedelta(days=7))
    np.testing.assert_array_equal(accounts["label"] == 1, positive)


def test_evaluation_says_its_figures(evaluation):
    text = repr(evaluation)
    assert f"auc                    {evaluation.metrics['auc']:.4f}" in text and "conversions" in text


def test_new_accounts_are_all_evaluated():
    data = trained.market()
    new = hanjax.Tables(*(t if t is None else t.assign(account_id="new " + t["account_id"]) for t in data))
    accounts = hanjax.evaluate(copy(), new).scores.accounts
    assert accounts["account_id"].nunique() == trained.panel().samples["account_id"].nunique()


def test_new_accounts_beside_known_ones_are_evaluated_alone():
    data, names = trained.market(), part("train", "validation")
    renamed = dict.fromkeys(names[:9])
    renamed = {name: f"new {name}" for name in renamed}
    mixed = [t if t is None else t.assign(account_id=t["account_id"].replace(renamed)) for t in only(data, names)]
    accounts = hanjax.evaluate(copy(), hanjax.Tables(*mixed)).scores.accounts
    assert set(accounts["account_id"]) == set(renamed.values())


def test_nothing_left_to_test_on_is_an_error():
    with pytest.raises(DataError, match="every account was used for training or validation"):
        hanjax.evaluate(copy(), only(trained.market(), part("train", "validation")))


def test_ids_that_are_numbers_are_known_again(tmp_path):
    """They are text in the run folder."""
    data = trained.market()
    number = {name: i for i, name in enumerate(sorted(data.accounts["account_id"].unique()))}
    numbered = hanjax.Tables(*(t if t is None else t.assign(account_id=t["account_id"].map(number)) for t in data))
    run = copy(split=trained.trained().split.rename(index=number))
    run.write(tmp_path / "run")
    for one in (run, tmp_path / "run"):
        found = hanjax.evaluate(one, numbered).scores.accounts["account_id"].unique()
        assert set(found) == {number[name] for name in part("test")}


def test_a_run_folder_gets_the_figures(tmp_path):
    copy().write(tmp_path / "run")
    found = hanjax.evaluate(tmp_path / "run", trained.market())
    stored = hanjax.load(tmp_path / "run").metrics
    assert stored == {"test": found.metrics}


def test_one_outcome_only_leaves_figures_undefined(tmp_path):
    data = trained.market()
    converted = data.accounts.groupby("account_id")["converted_at"].max().notna()
    quiet = [name for name in part("test") if not converted[name]]
    run = copy()
    found = hanjax.evaluate(run, only(data, quiet)).metrics
    assert found["auc"] is None and found["conversions"] == 0 and np.isfinite(found["log_loss"])
    assert "Run(" in repr(run)


UNTIL = "2021-02-21 12:00"


def test_until_a_date_everything_after_it_is_the_test():
    """The network is the same; only how the run says it was trained differs."""
    run = copy(config=trained.CONFIG.replace(until=UNTIL))
    found = hanjax.evaluate(run, trained.market()).scores.accounts
    everything = hanjax.score(trained.trained(), trained.market()).accounts
    expected = everything[everything["cutoff"] >= pd.Timestamp(UNTIL, tz="UTC")]
    assert found["cutoff"].min() == pd.Timestamp("2021-02-28", tz="UTC") and len(found) == len(expected)
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-6)
    on_time = copy(config=trained.CONFIG.replace(until="2021-02-28"))
    assert len(hanjax.evaluate(on_time, trained.market()).scores.accounts) == len(expected)


def test_until_is_in_the_time_zone_of_the_settings():
    cutoff = lambda **more: parse_date("2021-02-28", trained.CONFIG.replace(**more).panel.timezone, name="until")
    assert cutoff(timezone="America/New_York") - cutoff() == 5 * 3_600_000_000
    havana = trained.CONFIG.replace(timezone="America/Sao_Paulo").panel
    moment = parse_date("2018-11-04", havana.timezone, name="until")  # a day without midnight
    assert pd.Timestamp(moment, unit="us") == pd.Timestamp("2018-11-04 03:00")


@pytest.mark.parametrize("until", ["soon", "2021-02-31"])
def test_what_is_no_date_is_refused(until):
    with pytest.raises(ConfigError, match=f"until: '{until}' is not a date"):
        prepare(trained.market(), trained.CONFIG.replace(until=until))


def test_data_are_tables_or_a_folder(tmp_path):
    market = hanjax.simulate(accounts=12, weeks=8, conversions=0.3, seed=3)
    hanjax.simulation.write(market, tmp_path / "market")
    for path in (tmp_path / "market", str(tmp_path / "market")):
        from_folder = hanjax.encode(path)
        expected = hanjax.encode(market.tables)
        assert trained.decoded(from_folder) == trained.decoded(expected)
    assert str(hanjax.describe(tmp_path / "market")) == str(hanjax.describe(market.tables))


def test_arguments_of_another_kind_are_refused():
    tables, config = trained.market(), trained.trained().config
    with pytest.raises(DataError, match=r"data: expected hanjax.Tables\(.*\) or a folder, got dict"):
        hanjax.describe(tables._asdict())
    with pytest.raises(ConfigError, match="config: expected a PanelConfig, got Config. Give its `panel`."):
        hanjax.describe(tables, config)
    with pytest.raises(ConfigError, match=r"config: expected a Config, got PanelConfig. Make one with Config\(panel="):
        hanjax.fit(tables, config=config.panel)
    with pytest.raises(RunError, match="run: expected a Run or its folder, got Tables. The run comes before the data."):
        hanjax.score(tables, trained.trained())
    with pytest.raises(RunError, match="resume: there is nothing to continue without a folder. Name it with `out`."):
        hanjax.fit(tables, config=config, resume=True)


def test_encoding_with_a_fitted_encoding_is_that_of_the_run():
    found = hanjax.encode(trained.market(), trained.CONFIG.panel, encoding=trained.trained().encoding)
    assert trained.decoded(found) == trained.decoded(trained.panel())
    assert repr(found).startswith(f"Panel({len(found.samples)} samples of 24 accounts, ")


def test_all_public_names_are_there():
    for name in hanjax.__all__:
        assert getattr(hanjax, name) is not None
    assert dataclasses.is_dataclass(hanjax.Config)


# The ASF Incubator: projects as accounts, their contributors as individuals


@pytest.mark.parametrize(("period", "rate"), [("W-SAT", 0.008), ("M", None)])
def test_incubator_samples(asfi_folder, period, rate):
    panel = hanjax.encode(asfi_folder, hanjax.PanelConfig(period=period))
    label = panel.batch.label[:, 0]
    assert panel.samples["account_id"].nunique() == 207
    assert np.nansum(label) == 164
    if rate is not None:
        assert np.nanmean(label) == pytest.approx(rate, abs=0.0005)


def test_incubator_groups_are_large(asfi_folder):
    panel = hanjax.encode(asfi_folder, hanjax.PanelConfig(membership="active", max_members=500))
    assert (panel.samples["n_members"] > 25).mean() == pytest.approx(0.18, abs=0.01)
    events = hanjax.read(asfi_folder).events.to_pandas()
    for row in panel.samples.sample(20, random_state=0).itertuples():  # counted by hand
        its = events[events["account_id"] == row.account_id]
        recent = its["timestamp"].between(row.cutoff - pd.Timedelta(weeks=4), row.cutoff, inclusive="left")
        assert its["individual_id"][recent].nunique() == row.n_members


@pytest.mark.slow
@pytest.mark.parametrize("period", ["W-SAT", "M"])
def test_incubator_models_are_trained(asfi_folder, period):
    tables = hanjax.Tables(*(None if t is None else t.to_pandas() for t in hanjax.read(asfi_folder)))
    few = only(tables, sorted(tables.accounts["account_id"])[::6])
    config = hanjax.Config().replace(**trained.WIDTHS, period=period, epochs=1, test_fold=0, validation=0.3)
    run = hanjax.fit(few, config=config)
    assert np.isfinite(run.history["loss"]).all()
    found = hanjax.evaluate(run, few).scores.accounts
    fold = few.folds.set_index("account_id")["fold"]
    assert set(found["account_id"]) == set(fold.index[fold == 0])
