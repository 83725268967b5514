"""Segments that borrow strength: effects are recovered and shrunk as in a mixed model, from tables to the report."""

import dataclasses
import json
import warnings
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special

import hanjax
from hanjax.api import append_scores, prepare, segment_effects
from hanjax.api.scoring import score_encoded
from hanjax.checks import check_no_future
from hanjax.data.splits import TEST, TRAIN
from hanjax.errors import ConfigError, RunError
from hanjax.nn import Sizes, network
from hanjax.population import fit_population
from hanjax.training.fit import fit_panel
from hanjax.training.losses import cross_entropy_loss, expected_cross_entropy_loss, penalty_weight
from hanjax.training.population import Member, fit_members
from tests import trained
from tests.data.test_segments import regions
from tests.segmented import TINY, batch_of, small_world, trained_on, world


def log_loss(label, log_odds):
    return np.logaddexp(0, np.where(label == 1, -log_odds, log_odds))


# Effects are recovered, and samples that training never saw are better predicted


@cache
def pooled():
    train, _ = small_world()
    return trained_on(batch_of(train.label, train.segment, x=train.x), epochs=60, learning_rate=0.02)


def test_known_effects_are_recovered_and_small_segments_shrunk():
    train, _ = small_world()
    [found] = pooled().posteriors
    large, small = train.size > 300, train.size < 40
    assert large.sum() >= 5 and small.sum() >= 8
    mean, sd = found.mean[:, :, 0], found.sd[:, :, 0]
    for kind, truth in ((0, train.intercept), (1, train.slope)):
        assert np.corrcoef(mean[:, kind], truth)[0, 1] > 0.8
        assert np.abs(mean[large, kind] - truth[large]).max() < 0.3
        inside = np.abs(mean[:, kind] - truth) < 2 * sd[:, kind]
        assert inside.mean() > 0.85 and (sd[small, kind].min() > sd[large, kind].max())
        np.testing.assert_allclose(found.tau[kind, 0], truth.std(), rtol=0.35)
        assert np.abs(mean[small, kind]).mean() < np.abs(truth[small]).mean()
    assert found.tau[2, 0] < 0.15  # there is no scale to be found


def regression(world):
    """Intercept and slope of a logistic regression, with just enough of a penalty to be finite."""
    x = np.stack([np.ones_like(world.x), world.x], 1)
    return optimize.minimize(lambda b: log_loss(world.label, x @ b).sum() + 0.01 * b @ b, np.zeros(2)).x


def test_samples_that_training_never_saw_are_predicted_better_than_without_segments_and_than_apart():
    train, test = small_world()
    batch, numbers = batch_of(test.label, test.segment, x=test.x), np.stack([np.ones_like(test.x), test.x], 1)
    mine = log_loss(test.label, pooled().log_odds(batch))
    apart, plain = np.zeros(len(mine)), log_loss(test.label, numbers @ regression(train))
    assert mine.mean() < plain.mean() - 0.01
    for segment in range(len(train.intercept)):
        there = test.segment == segment
        own = regression(train.rows(train.segment == segment))
        apart[there] = log_loss(test.label[there], numbers[there] @ own)
    small = train.size[test.segment] < 60
    assert small.sum() > 200
    assert mine[small].mean() < apart[small].mean() - 0.02 and mine[small].mean() < plain[small].mean()
    assert mine[~small].mean() < apart[~small].mean() + 0.003


def test_levels_that_training_never_saw_get_the_global_model():
    _, test = small_world()
    some = slice(50)
    missing = batch_of(test.label[some], np.full(50, -1), x=test.x[some])
    unknown = missing._replace(segments=np.ones((50, 1), np.int32))
    np.testing.assert_array_equal(pooled().log_odds(missing), pooled().log_odds(unknown))
    params = {**pooled().fitted.params}
    params["segments"] = {**params["segments"], "mean": 0 * params["segments"]["mean"]}
    without = pooled()._replace(fitted=pooled().fitted._replace(params=params))
    known = batch_of(test.label[some], test.segment[some], x=test.x[some])
    np.testing.assert_array_equal(pooled().log_odds(missing), without.log_odds(known))


# The same as mixed models


def mixed_model(label, segment):
    """A random-intercept logistic regression of largest marginal likelihood, whose integrals are sums over a grid.

    Returns intercept, tau, and mean and standard deviation of each segment's effect given these.
    """
    size, won = np.bincount(segment), np.bincount(segment, label)
    grid = np.linspace(-6, 6, 2001)
    prior = -(grid**2) / 2 - special.logsumexp(-(grid**2) / 2)

    def joint(theta):
        log_odds = theta[0] + np.exp(theta[1]) * grid
        lost, all_lost = np.logaddexp(0, -log_odds), np.logaddexp(0, log_odds)
        return prior - won[:, None] * lost - (size - won)[:, None] * all_lost

    theta = optimize.minimize(lambda theta: -special.logsumexp(joint(theta), axis=1).sum(), [0.0, 0.0]).x
    weight = special.softmax(joint(theta), axis=1)
    effect = np.exp(theta[1]) * grid
    mean = weight @ effect
    return theta[0], np.exp(theta[1]), mean, np.sqrt(weight @ effect**2 - mean**2)


@cache
def intercepts():
    return world(25, 4000, seed=3, base=-1.0, slope=0.0, tau=0.8, tau_slope=0.0, smallest=0.03)


def alone(drawn, **settings):
    """Trained on segments alone."""
    settings = dict(epochs=120, batch_size=1000, learning_rate=0.03) | settings
    return trained_on(batch_of(drawn.label, drawn.segment), **settings)


@pytest.mark.parametrize("weight", [pytest.param(1.0, marks=pytest.mark.slow), None])
def test_effects_and_spread_are_those_of_a_mixed_model_whatever_the_class_weight(weight):
    drawn = intercepts()
    base, tau, mean, sd = mixed_model(drawn.label, drawn.segment)
    model, batch = alone(drawn, positive_weight=weight), batch_of(drawn.label, drawn.segment)
    [found] = model.posteriors
    np.testing.assert_allclose(found.tau[0, 0], tau, rtol=0.05)
    np.testing.assert_allclose(found.mean[:, 0, 0], mean - mean.mean(), atol=0.08)
    np.testing.assert_allclose(found.sd[:, 0, 0], sd, rtol=0.2)
    assert model.log_odds(batch._replace(segments=0 * batch.segments))[0] == pytest.approx(base, abs=0.05)


def test_effects_are_those_of_statsmodels():
    statsmodels = pytest.importorskip("statsmodels.genmod.bayes_mixed_glm")
    drawn = intercepts()
    design = (drawn.segment[:, None] == np.arange(25)).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixed = statsmodels.BinomialBayesMixedGLM(
            drawn.label.astype(float), np.ones((len(design), 1)), design, np.zeros(25, int), vcp_p=2
        ).fit_vb()
    _, tau, mean, _ = mixed_model(drawn.label, drawn.segment)  # what the network is held against is right itself
    np.testing.assert_allclose(mixed.vc_mean, mean, atol=0.02)
    [found] = alone(drawn).posteriors
    np.testing.assert_allclose(found.mean[:, 0, 0], mixed.vc_mean - mixed.vc_mean.mean(), atol=0.08)
    np.testing.assert_allclose(found.tau[0, 0], np.exp(mixed.vcp_mean[0]), rtol=0.07)


def test_without_any_difference_between_segments_the_spread_goes_to_zero():
    drawn = world(25, 4000, seed=5, tau=0.0, tau_slope=0.0, smallest=0.03)
    [found] = alone(drawn).posteriors
    assert found.tau[0, 0] < 0.15 and np.abs(found.mean[:, 0]).max() < 0.15 and np.isfinite(found.sd).all()


@pytest.mark.slow
def test_nested_factors_share_what_they_have_in_common():
    """Five regions of six industries each: the regions' effects are found beside those of the pairs."""
    random = np.random.default_rng(1)
    region, industry = random.integers(0, 5, 9000), random.integers(0, 6, 9000)
    of_region, of_pair = random.normal(0, 1.0, 5), random.normal(0, 0.3, (5, 6))
    of_region, of_pair = of_region - of_region.mean(), of_pair - of_pair.mean(axis=1, keepdims=True)
    log_odds = -1 + of_region[region] + of_pair[region, industry]
    label = (random.random(9000) < special.expit(log_odds)).astype(np.float32)
    batch = batch_of(label, region, 6 * region + industry)
    outer, inner = trained_on(batch, epochs=60, batch_size=1000, learning_rate=0.03).posteriors
    assert np.abs(outer.mean[:, 0, 0] - of_region).max() < 0.2
    assert np.corrcoef(inner.mean[:, 0, 0], of_pair.ravel())[0, 1] > 0.75
    assert outer.tau[0, 0] > 1.5 * inner.tau[0, 0]


# The loss


def test_the_loss_is_its_expectation():
    random = np.random.default_rng(0)
    logit, label, variance = random.normal(0, 2, 40), (random.random(40) < 0.5) * 1.0, random.uniform(0, 1, 40)
    label[:3], variance[:5], where = np.nan, 0, np.arange(40) >= 3
    draws = np.linspace(-8, 8, 4001)
    density = np.exp(-(draws**2) / 2) / np.exp(-(draws**2) / 2).sum()
    surprise = log_loss(label[:, None], logit[:, None] + np.sqrt(variance)[:, None] * draws) @ density
    expected = (np.where(label == 1, 3, 1) * surprise)[where].mean()
    logit, variance, label = map(jnp.float32, (logit, variance, label))
    found = expected_cross_entropy_loss(logit, variance, label, positive_weight=3.0, where=where)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    loss = lambda logit, variance: expected_cross_entropy_loss(logit, variance, label, where=where)
    gradients = jax.grad(loss, argnums=(0, 1))(logit, variance)
    assert all(np.isfinite(one).all() and not one[:3].any() for one in gradients)
    certain = cross_entropy_loss(logit, label, where=where)
    np.testing.assert_array_equal(loss(logit, None), certain)
    np.testing.assert_allclose(loss(logit, 0 * variance), certain, rtol=1e-6)


def test_the_weight_of_the_penalty_makes_up_for_what_the_class_weight_claims():
    label = np.array([[1, np.nan], [0, 1], [0, 0], [0, 0]], float)
    np.testing.assert_allclose(penalty_weight(label), 1 / 7)
    for w, h in ((5.0, 0), (5.0, 1), (0.5, 0)):
        y = label[:, h][~np.isnan(label[:, h])]
        curvature = []
        for weight in (w, 1.0):  # of the summed loss in a constant, by second differences around its minimum
            total = lambda b, weight=weight, y=y: (np.where(y == 1, weight, 1) * log_loss(y, b)).sum()
            best = np.log(weight * y.sum() / (len(y) - y.sum()))
            curvature.append((total(best + 1e-3) - 2 * total(best) + total(best - 1e-3)) / 1e-6)
        found = penalty_weight(label, positive_weight=w)[h]
        np.testing.assert_allclose(found, curvature[0] / curvature[1] / 7, rtol=1e-4)
    np.testing.assert_allclose(penalty_weight(label, share=0.5), 2 / 7)
    assert penalty_weight(label * np.array([1, np.nan]))[1] == 0


@pytest.mark.slow
def test_models_side_by_side_and_alone_learn_the_same():
    train, _ = small_world()
    batch = batch_of(train.label[:600], train.segment[:600], x=train.x[:600])
    config = hanjax.Config().replace(epochs=2, batch_size=200, weight_decay=0.1, positive_weight=2.0).train
    net, rows = network(TINY, Sizes.of(batch)), np.arange(600)
    members = [Member(dataclasses.replace(config, positive_weight=weight)) for weight in (2.0, 5.0)]
    together = fit_members(batch, rows, rows[:0], net, members)
    for member, one in zip(members, together.members, strict=True):
        alone = fit_panel(batch, rows, rows[:0], net, member.config)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one.params, alone.params)
        np.testing.assert_allclose(one.history["loss"], alone.history["loss"], rtol=1e-4)


def test_the_loss_of_individuals_is_refused():
    batch = batch_of(np.arange(8) % 2, np.arange(8) % 3)
    config = dataclasses.replace(TINY, aggregator="mean_probability")
    with pytest.raises(ConfigError, match="loss: 'individual' sees no effects of segments"):
        trained_on(batch, config, loss="individual", epochs=1)


# From tables to the report

CONFIG = trained.CONFIG.replace(
    segments=("region", "region:size"), horizons=(1, 4), epochs=3, validation=0.0, aggregator="maximum",
    period_input="counts", volumes=True,
)  # fmt: skip


@cache
def run(**settings):
    return hanjax.fit(regions(), config=CONFIG.replace(**settings))


def test_a_region_that_training_never_saw_is_scored_like_one_that_is_missing(tmp_path):
    tables = regions()
    scores = {}
    for name in ("atlantis", None):
        accounts = tables.accounts.assign(region=pd.array([name] * len(tables.accounts), dtype="string"))
        scores[name] = hanjax.score(run(), tables._replace(accounts=accounts))
    trained.assert_same_scores(scores["atlantis"], scores[None])
    own = hanjax.score(run(), tables)
    lost = own.accounts["region"].isna().to_numpy()
    columns = ["probability", "probability_within_4"]
    np.testing.assert_allclose(own.accounts.loc[lost, columns], scores[None].accounts.loc[lost, columns], atol=1e-6)
    assert (own.accounts.loc[~lost, columns] != scores[None].accounts.loc[~lost, columns]).to_numpy().any()
    run().write(tmp_path / "run")
    read = hanjax.load(tmp_path / "run")
    assert read.encoding == run().encoding and read.sizes == run().sizes and read.config == run().config
    trained.assert_same_scores(hanjax.score(read, tables), own)
    pd.testing.assert_frame_equal(segment_effects(tmp_path / "run"), segment_effects(run()))
    run().folder = None


@pytest.mark.parametrize(
    "settings", [{}, pytest.param(dict(ensemble=2, cross_validation=True), marks=pytest.mark.slow)]
)
def test_effects_are_reported_with_what_they_rest_on(settings):
    table, bare = segment_effects(run(**settings), regions()), segment_effects(run(**settings))
    assert bare["samples"].isna().all() and bare["lift"].isna().all()
    assert list(table) == list(bare) and set(table["factor"]) == {"region", "region:size"}
    panel = trained.encoded(regions(), run().encoding, CONFIG)
    part = run().split.loc[panel.samples["account_id"]].to_numpy()
    assert set(part) == {TRAIN, TEST}
    samples = panel.samples.assign(one=panel.batch.label[:, 0], four=panel.batch.label[:, 1])[part == TRAIN]
    samples["region"] = samples["region"].fillna("(missing)")
    for horizon, label in ((1, "one"), (4, "four")):
        own = table[(table["factor"] == "region") & (table["horizon"] == horizon)].set_index("level")
        expected = samples.groupby("region")[label].agg(["count", "sum"])
        np.testing.assert_array_equal(own[["samples", "conversions"]], expected.loc[own.index])
        assert own.index[0] == "(missing)" and own.loc["(missing)", ["intercept", "sd", "lift", "scale"]].eq(0).all()
        assert own["shrinkage"].between(0, 1).all() and (own["tau"] == own["tau"].iloc[0]).all()
        np.testing.assert_allclose(
            own[["intercept", "scale", *[n for n in own if n.startswith("slope_")]]].sum(), 0, atol=1e-6
        )
    assert "slope_employees" in table and "slope_budget (missing)" in table
    known = table[~table["level"].isin(["(missing)", "(unknown)"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        known[bare.columns.drop(["samples", "conversions", "lift"])],
        bare.drop(columns=["samples", "conversions", "lift"]),
    )


def test_the_lift_is_what_is_left_of_the_scores():
    """Log-odds less those of the global model are, over the samples of a level, its offsets and its lifts."""
    config = CONFIG.replace(segments=("region",))
    one, panel = prepare(regions(), config)
    one.params = run_with_effects(one)
    table = segment_effects(one, regions())
    scores = [score_encoded(one, p, raw=True).accounts for p in (panel, blank(panel))]
    known = ~np.isnan(panel.batch.label[:, 1])
    logit = [special.logit(own["probability_within_4"].to_numpy()) for own in scores]
    apart = pd.Series(logit[0] - logit[1])[known].groupby(panel.batch.segments[known, 0]).mean()
    own = table[table["horizon"] == 4]
    np.testing.assert_allclose(own["intercept"] + own["lift"], apart, atol=2e-4)
    assert own["lift"].abs().max() > 0.05


def run_with_effects(run):
    """First parameters with large effects, as a training would take long to make them."""
    params, random = (
        jax.tree.map(np.asarray, run.network.init(jax.random.key(0), np.full(2, -2.0))),
        np.random.default_rng(0),
    )
    own = params["segments"]
    return {**params, "segments": {**own, "mean": random.normal(size=own["mean"].shape).astype(np.float32)}}


def blank(panel):
    return panel._replace(batch=panel.batch._replace(segments=np.zeros_like(panel.batch.segments)))


def test_what_cannot_be_reported():
    with pytest.raises(RunError, match="The model has no segments. Train it with the setting `segments`"):
        segment_effects(dataclasses.replace(prepare(trained.market(), trained.CONFIG)[0], params={}))
    with pytest.raises(RunError, match="no trained parameters"):
        segment_effects(prepare(regions(), CONFIG)[0])


@pytest.mark.slow
def test_models_that_read_different_segments_are_trained_on_the_same_accounts():
    config = CONFIG.replace(epochs=1, horizons=(1,), validation=0.3)
    found = fit_population(regions(), {"segments": [(), ("region",)]}, config=config)
    assert [run.sizes.segments for run in found.runs] == [(), (5,)] and found.table["error"].isna().all()
    assert segment_effects(found.runs[1])["level"].tolist() == ["north", "south", "west"]


def test_an_account_that_moves_is_scored_again(tmp_path):
    tables = regions()
    append_scores(run(), tables, tmp_path / "scores")
    moved = tables.accounts["account_id"].iloc[0]
    accounts = tables.accounts.assign(
        region=tables.accounts["region"].mask(tables.accounts["account_id"] == moved, "somewhere else")
    )
    later = tables._replace(accounts=accounts)
    appended = append_scores(run(), later, tmp_path / "scores")
    assert appended.counts.corrected == 1 and set(appended.scores.accounts["account_id"]) == {moved}
    found = pd.read_parquet(tmp_path / "scores" / "accounts.parquet")
    expected = hanjax.score(run(), later).accounts
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-6)


@pytest.mark.slow
def test_exported_programs_take_segments(tmp_path):
    export = pytest.importorskip("jax.export")
    pytest.importorskip("flatbuffers")
    from hanjax.scoring.export import export_scoring, scoring_inputs

    one, panel = prepare(regions(), CONFIG)
    one.params = run_with_effects(one)
    folder = export_scoring(one, tmp_path)
    program = export.deserialize(bytearray((folder / "scoring.bin").read_bytes()))
    about = json.loads((folder / "scoring.json").read_text())
    assert about["inputs"]["segments"]["shape"] == ["B", 2]
    assert about["encoding"]["segments"][0] == [["region"], [["north"], ["south"], ["west"]]]
    found = program.call(scoring_inputs(one, panel))
    scores = score_encoded(one, panel)
    np.testing.assert_allclose(found["probability"][:, 0], scores.accounts["probability"], atol=1e-6)


def test_segments_tell_nothing_of_the_future():
    """Regions that change with time are read as of each cut-off: no later version changes what goes in."""
    tables = regions()
    dated = tables.accounts["known_at"].notna()
    accounts = tables.accounts.assign(
        region=tables.accounts["region"].mask(dated & (tables.accounts.index % 2 == 0), "west")
    )
    verdict = check_no_future(run(), tables._replace(accounts=accounts), cutoffs=2, scores=False)
    assert verdict.passed, verdict
