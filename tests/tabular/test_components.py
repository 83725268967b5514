"""Component models: columns dealt to aspects, weights against scikit-learn and SciPy, shares that add up."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

import hanjax
from hanjax.api.fitting import encode_training
from hanjax.data.splits import deal
from hanjax.errors import ConfigError
from hanjax.tabular import Tabular, component_shares
from hanjax.tabular.components import Aspect, aspects_of, combine
from hanjax.tabular.estimators import fit_estimator, log_odds
from tests import trained

ASPECTS = {"size": ["employees*", "*members"], "web": ["*website*"]}


def two(n=400, **given):
    """Log-odds of two components, of which the second one is worth three times the first, and outcomes."""
    random = np.random.default_rng(0)
    components = random.normal(size=(n, 2))
    label = (random.random(n) < expit(0.3 + components @ [0.5, 1.5])).astype(float)
    tabular = Tabular(components={"a": ["x"], "b": ["y"]}, **given)
    return tabular, (Aspect("a", (0,)), Aspect("b", (1,))), components, label


def test_columns_are_dealt_to_aspects():
    columns = ["web visits", "web [x]", "size", "web [y]"]
    found = aspects_of(columns, {"size": ["s?ze"], "web": ["web [x]", "web v*"]})
    assert [tuple(one) for one in found] == [("size", (2,)), ("web", (0, 1)), ("other", (3,))]
    assert [one.name for one in aspects_of(columns, {"all": ["*"]})] == ["all"]
    assert aspects_of(columns, {"other": ["size"]}) == (Aspect("other", (0, 1, 2, 3)),)
    assert aspects_of(columns, {}) == (Aspect("", (0, 1, 2, 3)),)
    with pytest.raises(ConfigError, match=r"'web visit' is not among the columns .*components\['a'\].*'web visits'"):
        aspects_of(columns, {"a": ["web visit"]})
    with pytest.raises(ConfigError, match="the column 'size' is in 'a' and in 'b'"):
        aspects_of(columns, {"a": ["size"], "b": ["s*"]})


def test_weights_of_log_odds_are_those_of_logistic_regression():
    tabular, aspects, components, label = two(non_negative=False)
    found = combine(tabular, aspects, components, label)
    model = LogisticRegression(tol=1e-10, max_iter=1000).fit(components, label)
    np.testing.assert_allclose(found.weights, model.coef_[0], atol=1e-5)
    assert found.intercept == pytest.approx(model.intercept_[0], abs=1e-5)
    np.testing.assert_allclose(found.logit(components), model.decision_function(components), atol=1e-4)


def test_weights_are_not_negative_unless_that_is_allowed():
    _, aspects, components, label = two()
    worse = components * [-1, 1]
    tabular = two()[0]
    found = combine(tabular, aspects, worse, label)
    alone = LogisticRegression(tol=1e-10).fit(worse[:, 1:], label)
    assert found.weights[0] == 0 and found.weights[1] == pytest.approx(alone.coef_[0, 0], abs=1e-5)
    assert combine(two(non_negative=False)[0], aspects, worse, label).weights[0] < -0.2


def test_weights_of_probabilities_are_the_likeliest_mixture():
    tabular, aspects, components, label = two(combine="probability")
    found = combine(tabular, aspects, components, label)
    p = expit(components)
    loss = lambda w: -np.log(np.where(label == 1, p @ [w[0], 1 - w[0]], 1 - p @ [w[0], 1 - w[0]])).mean()
    best = minimize(loss, [0.5], bounds=[(0, 1)]).x[0]
    assert found.weights[0] == pytest.approx(best, abs=1e-3) and sum(found.weights) == pytest.approx(1)
    assert found.intercept == 0
    np.testing.assert_allclose(expit(found.logit(components)), p @ np.array(found.weights))


def test_given_weights_are_kept_and_the_intercept_makes_the_rate_right():
    tabular, aspects, components, label = two(weights={"b": 0.2, "a": 3})
    found = combine(tabular, aspects, components, label)
    assert found.weights == (3.0, 0.2)
    assert expit(found.logit(components)).mean() == pytest.approx(label.mean(), abs=1e-6)
    for weights, message in ({"a": 1.0}, "none is given for b"), ({"a": 1, "b": 1, "c": 1}, "'c' is not among the asp"):
        with pytest.raises(ConfigError, match=message):
            combine(two(weights=weights)[0], aspects, components, label)


@pytest.mark.parametrize("how", ["log odds", "probability"])
def test_a_run_s_components_are_models_of_their_columns_and_shares_add_up(how):
    tabular = Tabular("logistic_regression", components=ASPECTS, combine=how, folds=3, seed=4)
    run = hanjax.fit(trained.market(), config=trained.CONFIG, model=tabular)
    found = encode_training(trained.market(), trained.CONFIG)
    table, matrix = run.table(found.panel), run.matrix(found.panel)
    label, accounts = found.panel.batch.label[:, 0], found.panel.samples["account_id"].to_numpy()
    aspects = {one.name: list(one.columns) for one in run.models[0].aspects}
    assert list(aspects) == ["size", "web", "other"] and sorted(sum(aspects.values(), [])) == list(
        range(len(run.columns))
    )
    assert [matrix.columns[c] for c in aspects["web"]] == [name for name in matrix if "website" in name]
    # By hand: out-of-fold log-odds of each component, folds of whole accounts, and the weights.
    rows = np.flatnonzero(found.training & ~np.isnan(label))
    part = deal(accounts[rows], label[rows] == 1, 3, seed=4)
    kept = np.empty((len(rows), 3))
    for a, columns in enumerate(aspects.values()):
        for one in range(3):
            mine, others = rows[part == one], rows[part != one]
            model = fit_estimator(Tabular("logistic_regression"), table[others][:, columns], label[others])
            kept[part == one, a] = log_odds(model, table[mine][:, columns])
    expected = combine(tabular, run.models[0].aspects, kept, label[rows])
    np.testing.assert_allclose(run.models[0].combination.weights, expected.weights, atol=1e-6)

    shares = component_shares(run, found.panel)
    score = shares.groupby(["account_id", "cutoff"], sort=False)
    total = score["share"].sum().to_numpy() + score["baseline"].first().to_numpy()
    np.testing.assert_allclose(total, score["score"].first(), rtol=0, atol=1e-12)
    said = run.logits(found.panel)[:, 0]
    np.testing.assert_allclose(total, said if how == "log odds" else expit(said), rtol=0, atol=1e-9)
    own = shares[shares["aspect"] == "web"]["component"].to_numpy()
    model = fit_estimator(Tabular("logistic_regression"), table[rows][:, aspects["web"]], label[rows])
    web = log_odds(model, table[:, aspects["web"]])
    np.testing.assert_allclose(own if how == "log odds" else logit(own), web, atol=1e-6)
    assert len(shares) == 3 * len(found.panel.samples)


def test_a_run_without_components_has_one_share():
    run = hanjax.fit(trained.market(), config=trained.CONFIG, model=Tabular("logistic_regression"))
    panel = hanjax.encode(trained.market(), run.config.panel, encoding=run.encoding)
    shares = component_shares(run, panel)
    assert shares["aspect"].unique().tolist() == [""] and (shares["weight"] == 1).all()
    np.testing.assert_array_equal(shares["share"], run.logits(panel)[:, 0])
