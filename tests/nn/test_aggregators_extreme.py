"""Functions of probabilities where probabilities themselves are 0 or 1 to rounding: against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hanjax import masked

LONG = np.longdouble
RANGES = [(-80, 80), (-80, -70), (70, 80), (-15, 10), (-12, -8), (8, 12), (-1, 1), (-200, -150), (150, 200)]
SIZES = [1, 2, 25, 1000]


def log_sigmoid(z):
    return -np.logaddexp(LONG(0), -z)


def at_least_one(z):
    """Log-odds and their derivatives p_k / P."""
    none = log_sigmoid(-z).sum()
    return np.log(-np.expm1(none)) - none, np.exp(log_sigmoid(z) - np.log(-np.expm1(none)))


def geometric_mean(z):
    """Log-odds and their derivatives (1 - p_k) / (1 - P) / K."""
    log_mean = log_sigmoid(z).mean()
    not_mean = np.log(-np.expm1(log_mean))
    return log_mean - not_mean, np.exp(log_sigmoid(-z) - not_mean) / len(z)


def mean_probability(z):
    """Log-odds and their derivatives p_k (1 - p_k) / (P (1 - P)) / K."""
    p, q = np.exp(log_sigmoid(z)), np.exp(log_sigmoid(-z))
    return np.log(p.mean()) - np.log(q.mean()), p * q / (p.mean() * q.mean()) / len(z)


FORMS = [at_least_one, geometric_mean, mean_probability]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_right_to_rounding_wherever_the_log_odds_lie(form, dtype, tolerance):
    rng = np.random.default_rng(0)
    function = getattr(masked, form.__name__)
    with jax.enable_x64(dtype == "float64"):

        @jax.jit
        def both(z, where):
            return jax.value_and_grad(lambda z: function(z[:, None], where=where)[0])(z)

        for size in SIZES:
            for low, high in RANGES:
                z = np.zeros(SIZES[-1], dtype)
                z[:size] = rng.uniform(low, high, size)
                value, slope = both(z, np.arange(len(z)) < size)
                wanted, wanted_slope = form(z[:size].astype(LONG))
                value, slope = np.asarray(value), np.asarray(slope)
                case = f"{size} in {low}..{high}"
                assert value.dtype == dtype and abs(value - wanted) <= tolerance * max(1, abs(wanted)), case
                error = np.linalg.norm(slope[:size] - wanted_slope)
                assert error <= tolerance * np.linalg.norm(wanted_slope), case
                assert not slope[size:].any()


@pytest.mark.parametrize("form", FORMS)
def test_losses_of_either_outcome_have_finite_gradients(form):
    function = getattr(masked, form.__name__)

    @jax.jit
    @jax.value_and_grad
    def loss(z, label):
        logit = function(z, where=jnp.ones(len(z), bool))[0]
        return jnp.logaddexp(0.0, logit) - label * logit

    for level in (-1e4, -88.5, -20.0, 0.0, 20.0, 88.5, 1e4):
        for label in (0.0, 1.0):
            value, slope = loss(jnp.full((25, 1), level), label)
            assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize("form", FORMS)
def test_one_event_alone_keeps_its_log_odds(form):
    for level in (-200.0, -9.3, -9.2, -1e-3, 0.5, 80.0):
        got = getattr(masked, form.__name__)(jnp.full((1, 1), level), where=jnp.ones(1, bool))
        np.testing.assert_allclose(got, [level], rtol=1e-6, atol=1e-7)


def test_noisy_or_of_many_grows_by_the_logarithm_of_their_number():
    for size in SIZES:
        got = masked.at_least_one(jnp.full((size, 1), -60.0), where=jnp.ones(size, bool))
        np.testing.assert_allclose(got, [-60 + np.log(size)], rtol=1e-6)
