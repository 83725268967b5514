"""The hierarchical attention network the slow, obvious way: one sample at a time, in loops over what is there.

It knows no masks, no tables and no padding: what is not there is left out of the loops. It also computes in complex
numbers, and that gives its gradient without any calculus: for a function f that is analytic and real on the real line,
f(x + ih) = f(x) + ih f'(x) + O(h^2), so Im f(x + ih) / h is the derivative, exact to rounding for a tiny h.
"""

import jax
import numpy as np

from tests.reference.groups import LOGITS, group
from tests.reference.layers import attention, gru, vectors


def period(activity, ids):
    """Encoding of one period's activities, without padding."""
    table = activity["gru"]["input_kernel"]
    if "embedding" in activity:
        table = activity["embedding"] @ table
    return attention(activity["pool"], gru(activity["gru"], [table[i] + activity["gru"]["input_bias"] for i in ids]))


def person(params, window, categories, levels, *, logits):
    """What the individual layer makes of a window [W, L] of ids and of the static categories."""
    periods = [period(params["activity"], [i for i in ids if i])[0] for ids in window if ids.any()]
    features = [vectors(params["window"], periods)[0]]
    for category, level in enumerate(categories):
        features.append(params["individual"]["categories"][sum(levels[:category]) + level])
    joined = np.concatenate(features) @ params["individual"]["linear"]["kernel"]
    joined = joined + params["individual"]["linear"]["bias"]
    return joined if logits else np.tanh(joined)


def logits(params, sequences, members, individuals, accounts, *, levels, aggregator):
    """Log-odds [B, H] of dense samples, shares [B, K] and individuals' own log-odds [B, K, H]."""
    out, shares, alone = [], np.zeros(members.shape), None
    for b in range(len(sequences)):
        there = np.flatnonzero(members[b])
        people = [
            person(params, sequences[b, k], individuals[b, k], levels, logits=aggregator in LOGITS) for k in there
        ]
        logit, share = group(params.get("aggregate"), people, accounts[b], aggregator=aggregator)
        out.append(logit)
        shares[b, there] = np.real(share)
        alone = np.zeros((*members.shape, len(logit))) if alone is None else alone
        for k, one in zip(there, people, strict=True):
            alone[b, k] = group(params.get("aggregate"), [one], accounts[b], aggregator=aggregator)[0].real
    return np.array(out), shares, alone


def loss(logit, label):
    """Mean cross-entropy, written so that complex numbers pass through it."""
    return np.mean(np.log(1 + np.exp(logit)) - label * logit)


def gradient(function, params, *, step=1e-30):
    """Gradient of a function of a nested dict of parameters, one number at a time, by complex steps."""
    leaves, structure = jax.tree.flatten(jax.tree.map(lambda leaf: np.asarray(leaf, complex), params))
    gradients = [np.zeros(leaf.shape) for leaf in leaves]
    for leaf, slope in zip(leaves, gradients, strict=True):
        for place in np.ndindex(leaf.shape):
            leaf[place] += 1j * step
            slope[place] = function(jax.tree.unflatten(structure, leaves)).imag / step
            leaf[place] = leaf[place].real
    return jax.tree.unflatten(structure, gradients)
