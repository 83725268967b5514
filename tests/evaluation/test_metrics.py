"""Every measure against scikit-learn, against counting all pairs, and under jit, vmap and float64."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanjax.errors import DataError
from hanjax.evaluation import auc, average_precision, brier, log_loss

METRICS = [auc, average_precision, log_loss, brier]
RANKING = [auc, average_precision]


def reference(metric, scores, labels):
    oracle = pytest.importorskip("sklearn.metrics")
    compute = {
        auc: oracle.roc_auc_score,
        average_precision: oracle.average_precision_score,
        log_loss: functools.partial(oracle.log_loss, labels=[0, 1]),
        brier: oracle.brier_score_loss,
    }[metric]
    return compute(labels, scores)


def pairs(scores, labels):
    """The definition: every positive against every negative."""
    difference = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    return (np.sign(difference) + 1).mean() / 2


def sample(seed, n, *, values=None, rate=0.2):
    """Probabilities that know something, with heavy ties if `values` limits how many differ."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < rate
    labels[:2] = True, False
    scores = 1 / (1 + np.exp(-(rng.normal(size=n) + labels - 2)))
    if values is not None:
        scores = (np.round(scores * values) / values).clip(0.01, 0.99)
    return scores.astype(np.float32), labels


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("values", [None, 20, 3])
@pytest.mark.parametrize("n", [2, 50, 2000])
def test_equals_scikit_learn(metric, n, values):
    for seed in range(5):
        scores, labels = sample(seed, n, values=values)
        wanted = reference(metric, scores.astype(float), labels)
        assert float(metric(scores, labels)) == pytest.approx(wanted, abs=1e-13)
        assert float(jax.jit(metric)(jnp.asarray(scores), jnp.asarray(labels))) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "values", "rate"),
    [
        (100_000, None, 0.5),
        (100_000, None, 0.002),
        (100_000, 50, 0.5),
        pytest.param(1_000_000, None, 0.5, marks=pytest.mark.slow),
    ],
)
def test_float32_does_not_drift_on_large_data(n, values, rate):
    scores, labels = sample(0, n, values=values, rate=rate)
    wanted = reference(auc, scores, labels)
    assert float(auc(scores, labels)) == pytest.approx(wanted, abs=1e-13)
    found = jax.jit(auc)(jnp.asarray(scores), jnp.asarray(labels))
    assert found.dtype == jnp.float32
    assert float(found) == pytest.approx(wanted, abs=1e-7)
    perfect = jax.jit(auc)(jnp.asarray(labels, jnp.float32), jnp.asarray(labels))
    assert perfect == 1 and jax.jit(auc)(-jnp.asarray(labels, jnp.float32), jnp.asarray(labels)) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_float64(metric):
    scores, labels = sample(3, 5000)
    scores = scores + np.random.default_rng(0).random(5000) * 1e-9  # told apart by float64 only
    with jax.enable_x64(True):
        found = jax.jit(metric)(jnp.asarray(scores), jnp.asarray(labels))
        assert found.dtype == jnp.float64
        assert float(found) == pytest.approx(reference(metric, scores, labels), abs=1e-13)
    assert float(metric(scores, labels)) == pytest.approx(float(found), abs=1e-13)


few = st.lists(st.tuples(st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 2.0, np.inf]), st.booleans()), max_size=12)


@given(few)
@settings(max_examples=200, deadline=None)
def test_counts_pairs_with_ties_infinities_and_both_zeros(rows):
    scores = np.array([score for score, _ in rows], np.float32)
    labels = np.array([label for _, label in rows], bool)
    if 0 < labels.sum() < len(labels):
        finite = np.nan_to_num(scores, posinf=10, neginf=-10)  # inf - inf is no number, but a tie
        assert float(auc(scores, labels)) == pytest.approx(pairs(finite, labels), abs=1e-15)
    else:
        assert np.isnan(auc(scores, labels))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("garbage", [np.nan, np.inf, -np.inf, 0.5, 7.0])
def test_masked_entries_are_never_read(metric, garbage):
    scores, labels = sample(1, 300, values=10)
    where = np.random.default_rng(2).random(300) < 0.6
    dirty = np.where(where, scores, garbage).astype(np.float32)
    for outcome in (labels, np.where(where, labels, np.nan)):
        wanted = metric(scores[where], labels[where])
        assert metric(dirty, outcome, where=where) == pytest.approx(wanted, abs=1e-14)
        found = jax.jit(metric)(jnp.asarray(dirty), jnp.asarray(outcome), where=jnp.asarray(where))
        assert float(found) == pytest.approx(float(wanted), abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_vmap_equals_a_loop_and_compiles_once(metric):
    chex.clear_trace_counter()
    rows = [sample(seed, 200, values=15) for seed in range(4)]
    scores, labels = (jnp.stack([jnp.asarray(row[i]) for row in rows]) for i in (0, 1))
    where = jnp.asarray(np.random.default_rng(0).random((4, 200)) < 0.7)
    single = jax.jit(chex.assert_max_traces(lambda s, y, w: metric(s, y, where=w), n=1))
    apart = [single(*row) for row in zip(scores, labels, where, strict=True)]
    together = jax.jit(jax.vmap(lambda s, y, w: metric(s, y, where=w)))(scores, labels, where)
    np.testing.assert_allclose(together, np.array(apart), rtol=3e-7)


@pytest.mark.parametrize("where", [None, np.zeros(4, bool), np.array([True, False, True, False])])
@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("library", [np, jnp])
def test_one_class_has_no_auc(library, label, where):
    scores, labels = library.asarray([0.1, 0.2, 0.3, 0.4]), library.full(4, label)
    where = where if where is None else library.asarray(where)
    assert np.isnan(auc(scores, labels, where=where))
    assert np.isnan(auc(scores[:0], labels[:0]))
    nobody = where is not None and not where.any()
    assert np.isnan(average_precision(scores, labels, where=where)) == (nobody or not label)
    assert np.isnan(log_loss(scores, labels, where=where)) == nobody
    assert np.isnan(brier(scores, labels, where=where)) == nobody


@pytest.mark.parametrize("value", [0.0, 0.3, -np.inf, np.inf, 1e-30])
@pytest.mark.parametrize("n", [2, 7, 999, 300_001])
def test_a_constant_score_gives_exactly_one_half(n, value):
    _, labels = sample(n, n, rate=0.01)
    assert auc(np.full(n, value), labels) == 0.5
    assert jax.jit(auc)(jnp.full(n, value), jnp.asarray(labels)) == 0.5


@pytest.mark.parametrize("metric", RANKING)
def test_neither_the_order_of_the_rows_nor_the_scale_of_the_scores_matters(metric):
    scores, labels = sample(5, 1000, values=30)
    order = np.random.default_rng(1).permutation(1000)
    compiled = jax.jit(metric)
    first = compiled(jnp.asarray(scores), jnp.asarray(labels))
    if metric is auc:
        assert compiled(jnp.asarray(scores[order]), jnp.asarray(labels[order])) == first
        assert float(auc(-scores, labels)) == pytest.approx(1 - float(auc(scores, labels)), abs=1e-15)
    assert float(metric(scores[order], labels[order])) == pytest.approx(float(metric(scores, labels)), abs=1e-15)
    assert float(metric(100 * np.log(scores), labels)) == pytest.approx(float(metric(scores, labels)), abs=1e-15)


@pytest.mark.parametrize("metric", METRICS)
def test_unknown_scores_and_outcomes_that_count_are_not_hidden(metric):
    scores, labels = np.array([0.1, 0.4, 0.8]), np.array([0.0, 1.0, 1.0])
    for library in (np, jnp):
        assert np.isfinite(metric(library.asarray(scores), library.asarray(labels)))
        for row in range(3):
            unknown = np.where(np.arange(3) == row, np.nan, 0)
            assert np.isnan(metric(library.asarray(scores + unknown), library.asarray(labels)))
            assert np.isnan(metric(library.asarray(scores), library.asarray(labels + unknown)))


def test_log_loss_of_a_certain_mistake_is_large_but_finite():
    oracle = pytest.importorskip("sklearn.metrics")
    for dtype in (np.float32, np.float64):
        scores, labels = np.array([1, 0, 0.5], dtype), np.array([0, 1, 1])
        assert float(log_loss(scores, labels)) == pytest.approx(oracle.log_loss(labels, scores), rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("library", [np, jnp])
def test_shapes_that_would_broadcast_are_refused(metric, library):
    scores, labels = library.zeros(3), library.ones(3)
    for arguments, where in [
        ((scores[:, None], labels[:, None]), None),
        ((scores, labels[:1]), None),
        ((scores, labels), library.ones(1, bool)),
        ((scores, labels), library.ones(3)),
    ]:
        with pytest.raises(DataError, match=r"must be \[N\]"):
            metric(*arguments, where=where)


def test_lists_and_integers_are_welcome():
    assert auc([1, 2, 3], [0, 0, 1]) == 1
    assert auc(jnp.arange(3), jnp.array([0, 0, 1])) == 1
    assert brier([0, 1, 1], [False, True, False]) == pytest.approx(1 / 3)
