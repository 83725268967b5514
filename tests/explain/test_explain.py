"""`explain_scores`, from tables to sentences: against scores, the ranking's influence, and doing it by hand."""

import dataclasses
from functools import cache

import jax
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.api import explain_scores
from hanjax.errors import ConfigError, DataError, RunError
from hanjax.evaluation.calibration import Calibration
from hanjax.explain.levels import Reference
from hanjax.types import Tables
from tests import trained

RULES = [{"text": "Large ({value:,.0f})", "when": {"input": "account:employees", "at_least": 1000}}]
ASPECTS = {
    "affinity": ["activity:click email", "activity:open email", "activity:send email"],
    "sales": ["activity:*sales*"],
    "growth": {"inputs": ["account:*", "feature:*"], "describe": RULES},
    "people": ["member:*"],
    "usage": [],
}


@cache
def explained():
    return explain_scores(trained.trained(), trained.market(), aspects=ASPECTS)


def parts(found):
    return found.table[["starting_point", *found.aspects]].sum(axis=1)


def test_the_parts_add_up_to_the_score_like_those_of_the_members():
    table = explained().table.set_index("account_id")
    ranking = hanjax.rank(trained.trained(), trained.market(), influence=100)
    likely = ranking.accounts.set_index("account_id")
    assert set(table.index) == set(likely.index) and table["probability"].is_monotonic_decreasing
    np.testing.assert_allclose(table["probability"], likely["probability"].loc[table.index], atol=1e-6)
    np.testing.assert_allclose(table["log_odds"], np.log(table["probability"] / (1 - table["probability"])), atol=1e-5)
    np.testing.assert_allclose(table["baseline"] + parts(explained()).to_numpy(), table["log_odds"], atol=1e-5)
    of_members = ranking.individuals.groupby("account_id")["influence"].sum().loc[table.index]
    np.testing.assert_allclose(parts(explained()), of_members, atol=1e-5)
    assert (table["tier"] == likely["tier"].loc[table.index]).all()
    assert table["affinity"].abs().max() > 1e-4 and (table["usage"] == 0).all()


def test_scores_and_levels_compare_accounts():
    table, there = explained().table, explained().table["people_level"] != "No data"
    p = table["probability"].to_numpy()
    np.testing.assert_allclose(table["score"], [100 * (p < own).mean() for own in p])
    upper = table["people"][there].quantile(0.75) + 1e-6
    assert (table["people_level"][there & (table["people"] > upper)] == "High").all()
    assert set(table["usage_level"]) == {"No data"}


def test_values_are_those_of_the_tables_and_rules_speak_of_them():
    table, inputs = explained().table.set_index("account_id"), explained().inputs
    cutoff = table["cutoff"].iloc[0]
    accounts = trained.market().accounts
    accounts = accounts[accounts["known_at"] < cutoff].sort_values("known_at", kind="stable")
    employees = accounts.groupby("account_id")["employees"].last().loc[table.index]
    found = inputs[inputs["input"] == "account:employees"].set_index("account_id")["value"]
    np.testing.assert_array_equal(found.loc[table.index].astype(float), employees)
    said = table["growth_level"].str.startswith("Large (")
    assert (said == (employees >= 1000)).all() and said.any() and not said.all()
    assert table["growth_level"][said].iloc[0] == f"Large ({employees[said].iloc[0]:,.0f})"
    features = trained.market().account_features
    features = features[features["known_at"] < cutoff].sort_values("known_at")
    budget = features.groupby("account_id")["budget"].last().reindex(table.index)
    found = inputs[inputs["input"] == "feature:budget"].set_index("account_id")["value"].loc[table.index]
    np.testing.assert_array_equal(found.astype(float), budget)
    so_far = inputs[inputs["input"] == "number:periods_observed"]["value"].astype(float)
    assert (so_far == so_far.round()).all() and so_far.max() > 2
    assert set(inputs[inputs["input"] == "member:source_of_arrival"]["value"].dropna()) > {"another"}


def test_activities_are_counted_as_the_samples_hold_them():
    panel = trained.panel()
    inputs = explained().inputs
    last = panel.samples["cutoff"].max()
    for row in np.flatnonzero(panel.samples["cutoff"] == last)[:5]:
        sequences = panel.batch.sequences[panel.batch.windows[panel.batch.member_windows[row]]]
        of_account = inputs[inputs["account_id"] == panel.samples["account_id"][row]].set_index("input")["value"]
        for i, name in enumerate(trained.trained().encoding.activities, start=2):
            assert of_account[f"activity:{name}"] == (sequences == i).sum()


def test_where_nobody_did_anything_there_are_no_data():
    inputs = explained().inputs.query("aspect == 'sales'")
    quiet = inputs.groupby("account_id")["value"].sum().astype(float) == 0
    levels = explained().table.set_index("account_id")["sales_level"]
    assert ((levels.loc[quiet.index] == "No data") == quiet).all() and quiet.any() and not quiet.all()


def test_what_has_changed_is_what_the_explanation_before_says():
    found, table = explained(), explained().table
    before = explain_scores(
        trained.trained(),
        trained.market(),
        aspects=ASPECTS,
        as_of=table["cutoff"].iloc[0] - pd.Timedelta(days=7),
        reference=found.reference,
        previous=False,
    ).table.set_index("account_id")
    shared = table.set_index("account_id").loc[lambda t: t.index.isin(before.index)]
    long = found.long.set_index(["account_id", "aspect"])
    for account, row in shared.iterrows():
        change = {name: row[name] - before.loc[account, name] for name in found.aspects}
        for name, moved in change.items():
            assert long.loc[(account, name), "change"] == pytest.approx(moved, abs=1e-5)
        largest = max(change, key=lambda name: abs(change[name]))
        assert row["changed"] == largest and row["changed_by"] == pytest.approx(change[largest], abs=1e-5)
        assert row["score_before"] == pytest.approx(
            100 * (before["probability"] < before["probability"][account]).mean()
        )
    new = table[~table["account_id"].isin(before.index)]
    assert new["changed"].isna().all() and new["score_before"].isna().all() and len(shared) > 5
    assert before["changed"].isna().all() and before["changed_by"].isna().all()


def test_with_a_reference_that_was_kept_levels_stay(tmp_path):
    found = explained()
    folder = found.write(tmp_path / "reasons")
    assert Reference.read(folder) == found.reference
    pd.testing.assert_frame_equal(pd.read_csv(folder / "aspects.csv")[["aspect"]], found.long[["aspect"]])
    market = trained.market()
    few = found.table["account_id"][::3]
    alone = Tables(*(None if t is None else t[t["account_id"].isin(few)] for t in market[:4]))._replace(
        events=market.events[market.events["account_id"].isin(few)]
    )
    again = explain_scores(
        trained.trained(), alone, aspects=ASPECTS, reference=folder, as_of=found.table["cutoff"].iloc[0]
    )
    columns = ["score", *(f"{name}_level" for name in found.aspects)]
    expected = found.table.set_index("account_id").loc[again.table["account_id"]]
    pd.testing.assert_frame_equal(again.table.set_index("account_id")[columns], expected[columns])
    with pytest.raises(RunError, match="made of the aspects"):
        explain_scores(trained.trained(), market, reference=folder)


def test_the_strongest_input_moves_the_score_as_its_aspect_does():
    found = explained()
    known = found.inputs[found.inputs["value"].notna() & (found.inputs["value"] != 0)]
    effects = known.set_index(["account_id", "input"])["effect"]
    told = found.long[(found.long["input"] != "") & (found.long["aspect"] != "starting point")]
    for row in told.itertuples():
        own = effects.loc[row.account_id]
        own = own[own.index.isin(found.aspects[row.aspect])] * np.sign(row.contribution)
        assert own[row.input] > 0 and own[row.input] == own.max()
    assert len(told) > 10


def test_sentences_actions_and_what_is_shown():
    actions = pd.DataFrame({"aspect": ["usage"], "level": ["No data"], "action": ["Ask <b>."]})
    found = explain_scores(
        trained.trained(), trained.market(), aspects=ASPECTS, actions=actions, previous=False, scale="probability",
        template="{{ account }}|{{ score }}|{{ action }}",
    )  # fmt: skip
    first = found.table.iloc[0]
    assert first["sentence"] == f"{first['name']}|{int(100 * first['probability'])}|Ask <b>."
    assert "Ask <b>." in repr(found) and "&lt;b&gt;" in found._repr_html_() and "<b>." not in found._repr_html_()
    assert found.faithfulness().accounts == len(found.table)
    assert "since the week before" in explained().table["sentence"].str.cat()


def test_with_a_calibration_the_log_odds_are_those_before_it():
    run = dataclasses.replace(trained.trained(), calibrations=(Calibration("platt", slope=0.5, intercept=-1.0),))
    found = explain_scores(run, trained.market(), aspects=ASPECTS, previous=False).table
    np.testing.assert_allclose(found["log_odds"], explained().table["log_odds"], atol=1e-6)
    p = found["probability"]
    np.testing.assert_allclose(np.log(p / (1 - p)), 0.5 * found["log_odds"] - 1, atol=1e-5)


def test_a_reference_of_another_model_of_the_same_data_is_refused():
    run, kept = trained.trained(), explained().reference
    params = jax.tree.map(lambda leaf: leaf + 0.01, run.params)
    calibrations = (Calibration("platt", slope=0.5),)
    for other in (dict(params=params), dict(calibrations=calibrations), dict(positive_weight=2.0)):
        with pytest.raises(RunError, match="made with another run"):
            explain_scores(dataclasses.replace(run, **other), trained.market(), aspects=ASPECTS, reference=kept)


def test_what_cannot_be_is_an_error():
    run, market = trained.trained(), trained.market()
    with pytest.raises(ConfigError, match="did you mean 'account:employees'"):
        explain_scores(run, market, aspects={"a": ["account:employes"]})
    with pytest.raises(RunError, match="no trained parameters"):
        explain_scores(dataclasses.replace(run, params=None), market)
    with pytest.raises(DataError, match="as_of"):
        explain_scores(run, market, as_of="1999-01-01")
