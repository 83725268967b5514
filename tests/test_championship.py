"""Whether a challenger takes the champion's place: a model that has learned something does, one of noise does not."""

import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.config import Config
from hanjax.errors import ConfigError, RunError
from hanjax.registry import Registry, Rule
from hanjax.tabular import Tabular
from hanjax.types import Tables

CONFIG = Config().replace(test_fold=1, validation=0.2, exclude=["employees", "revenue"])


def sold(shuffled=None):
    """Accounts whose outcome one of four numbers foretells, unless the outcomes are shuffled."""
    random, n = np.random.default_rng(0), 400
    ids, day = np.arange(n), pd.Timestamp("2024-03-04", tz="UTC")
    budget = random.normal(size=n)
    label = (random.random(n) < 1 / (1 + np.exp(-2 * budget))).astype(float)
    if shuffled is not None:
        label = np.random.default_rng(shuffled).permutation(label)
    start = day - pd.Timedelta(weeks=6)
    whose, more = {"account_id": ids}, {name: random.normal(size=n) for name in "abc"}
    return Tables(
        pd.DataFrame({**whose, "individual_id": ids, "timestamp": day - pd.Timedelta(weeks=1), "activity": "visit"}),
        pd.DataFrame({**whose, "individual_id": ids, "arrived_at": start}),
        pd.DataFrame({**whose, "observed_from": start, "observed_to": day + pd.Timedelta(weeks=4)}),
        pd.DataFrame({**whose, "known_at": start, "budget": budget, **more}),
        pd.DataFrame({**whose, "fold": ids % 2}),
        pd.DataFrame({**whose, "as_of": day, "label": label, "known_at": day + pd.Timedelta(weeks=2)}),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three runs: ``good``, and ``noise`` and ``other`` of shuffled outcomes."""
    place = tmp_path_factory.mktemp("championship")
    model = Tabular("logistic_regression")
    for name, tables in (("good", sold()), ("noise", sold(1)), ("other", sold(2))):
        hanjax.fit(tables, place / name, config=CONFIG, model=model)
    return place


def registered(folder, *runs, problem="account propensity", until=("", "")):
    registry = Registry(folder)
    for run, day in zip(runs, until, strict=True):
        registry.register(run, "sales", problem=problem, owner="Ann", until=day)
    return registry


def test_the_better_one_is_promoted_and_noise_is_refused(place, tmp_path):
    registry = registered(tmp_path, place / "noise", place / "good")
    decision = hanjax.challenge(registry, "sales", sold())
    assert decision.promote and registry.aliases("sales") == {"champion": 2}
    assert decision.samples == decision.accounts == 200 and decision.conversions == sold().outcomes["label"][1::2].sum()
    assert decision.table.loc[decision.table["decides"], "measure"].item() == "log_loss"  # of its problem
    assert registry.history("sales")[-2]["reason"] == decision.reason
    registry.register(place / "other", "sales", problem="account propensity", owner="Ann")
    refused = hanjax.challenge(tmp_path, "sales", sold(), progress=True)  # the folder serves as well
    assert not refused.promote and registry.aliases("sales") == {"champion": 2}
    told = registry.history("sales")[-1]
    assert told["alias"] == "challenger" and not told["version"] and refused.reason in told["reason"]
    registry.verify()  # nothing was written into a version


def test_the_figures_are_those_of_the_comparison(place, tmp_path):
    registry = registered(tmp_path, place / "noise", place / "good", problem="renewal")
    decision = hanjax.challenge(registry, "sales", sold(), promote=False)
    assert registry.aliases("sales") == {"champion": 1, "challenger": 2}  # as it was
    good, noise = (hanjax.load(place / name) for name in ("good", "noise"))
    expected = hanjax.evaluate(good, sold(), against=noise).comparison.table.set_index("measure")
    found = decision.table.set_index("measure")
    assert found["decides"].idxmax() == "auc" and decision.promote
    np.testing.assert_allclose(found.loc["auc", "challenger"], expected.loc["auc", "first"])
    np.testing.assert_allclose(found.loc["log_loss", "better"], -expected.loc["log_loss", "difference"])


def test_a_model_of_older_data_is_refused_however_good_it_is(place, tmp_path):
    registry = registered(tmp_path, place / "noise", place / "good", until=("2024-02-01", "2024-01-01"))
    decision = hanjax.challenge(registry, "sales", sold())
    assert not decision.promote and "before 2024-01-01" in decision.reason
    assert registry.aliases("sales") == {"champion": 1}


def test_another_version_can_be_named(place, tmp_path):
    registry = registered(tmp_path, place / "noise", place / "other", place / "good", until=("", "", ""))
    hanjax.challenge(registry, "sales", sold(), challenger=2, rule=Rule(margin=0.1))
    assert registry.aliases("sales") == {"champion": 1, "challenger": 3}  # which still waits
    with pytest.raises(ConfigError, match="version 1 of 'sales' is the champion"):
        hanjax.challenge(registry, "sales", sold(), challenger=1)
    with pytest.raises(RunError, match="no version 7"):
        hanjax.challenge(registry, "sales", sold(), challenger=7)
    with pytest.raises(RunError, match="no version 7"):
        registry.refuse("sales", 7, reason="it is not there")
