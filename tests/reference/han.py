"""The hierarchical attention network the slow, obvious way: one sample at a time, in loops over what is there.

It knows no masks, no tables and no padding: what is not there is left out of the loops. It also computes in complex
numbers, and that gives its gradient without any calculus: for a function f that is analytic and real on the real line,
f(x + ih) = f(x) + ih f'(x) + O(h^2), so Im f(x + ih) / h is the derivative, exact to rounding for a tiny h.
"""

import jax
import numpy as np

from tests.reference.groups import LOGITS, group
from tests.reference.layers import attention, gru, sigmoid, vectors  # noqa: F401


def gated(layer, items, times):
    """States of the unit with a gate of time, T = sigmoid(W_x x + b + sigmoid(W_t t)), of the new content."""
    width = layer["kernel"].shape[0]
    reset, update, new, gate = (slice(i * width, (i + 1) * width) for i in range(4))
    hidden, states = np.zeros(width), []
    for item, time in zip(items, times, strict=True):
        projected = item @ layer["input_kernel"] + layer["input_bias"]
        recurrent = hidden @ layer["kernel"] + layer["bias"]
        r = sigmoid(projected[reset] + recurrent[reset])
        z = sigmoid(projected[update] + recurrent[update])
        n = np.tanh(projected[new] + r * recurrent[new])
        hidden = (1 - z) * sigmoid(projected[gate] + sigmoid(time @ layer["time_kernel"])) * n + z * hidden
        states.append(hidden)
    return states


def recurrent(layer, items, times):
    """States of a recurrent layer of any kind; ``times`` is a list of as many vectors, or None."""
    if "forward" in layer:
        back = recurrent(layer["backward"], items[::-1], times and times[::-1])[::-1]
        return [np.concatenate(both) for both in zip(recurrent(layer["forward"], items, times), back, strict=True)]
    if "time_kernel" in layer:
        return gated(layer, items, times)
    if times:
        items = [np.concatenate(joined) for joined in zip(items, times, strict=True)]
    return gru(layer, [item @ layer["input_kernel"] + layer["input_bias"] for item in items])


def period(activity, ids, gaps=None):
    """Encoding of one period's activities, without padding, and of the gaps before them (negative: the first ever)."""
    layer = activity["gru"].get("forward", activity["gru"])
    joined = 0 if gaps is None or "time_kernel" in layer else 2
    table = activity.get("embedding", np.eye(len(layer["input_kernel"]) - joined))
    times = None if gaps is None else [np.array([0.0, 1.0] if gap < 0 else [gap, 0.0]) for gap in gaps]
    return attention(activity["pool"], recurrent(activity["gru"], [table[i] for i in ids], times))


def person(params, window, categories, levels, *, logits, gaps=None, volumes=None, ages=None, numbers=None):
    """What the individual layer makes of a window [W, L] of ids, of the static categories, and of all else there is."""
    periods = []
    for w, ids in enumerate(window):
        if not ids.any():
            continue
        there = np.flatnonzero(ids)
        parts = []
        if "activity" in params:
            parts.append(period(params["activity"], ids[there], None if gaps is None else gaps[w, there])[0])
        if volumes is not None:
            parts.append(volumes[w])
        if ages is not None:
            parts.append([np.log(1 + ages[w])])
        periods.append(np.concatenate(parts))
    features = [attention(params["window"]["pool"], recurrent(params["window"]["gru"], periods, None))[0]]
    for category, level in enumerate(categories):
        features.append(params["individual"]["categories"][sum(levels[:category]) + level])
    if numbers is not None:
        features.append(numbers)
    joined = np.concatenate(features) @ params["individual"]["linear"]["kernel"]
    joined = joined + params["individual"]["linear"]["bias"]
    return joined if logits else np.tanh(joined)


def logits(params, sequences, members, individuals, accounts, *, levels, aggregator, **others):
    """Log-odds [B, H] of dense samples, shares [B, K] and individuals' own log-odds [B, K, H].

    What ``person`` may be told besides, as dense tensors, too: gaps [B, K, W, L], volumes [B, K, W, V] (on the scale on
    which they enter), ages [B, K, W] and numbers [B, K, N].
    """

    def answer(people, account):
        logit, share = group(params.get("aggregate"), people, account, aggregator=aggregator)
        if "account_head" in params:
            head = params["account_head"]
            logit = np.concatenate([logit, account]) @ head["kernel"] + head["bias"]
        return logit, share

    out, shares, alone = [], np.zeros(members.shape), None
    for b in range(len(sequences)):
        there = np.flatnonzero(members[b])
        people = []
        for k in there:
            besides = {name: array[b, k] for name, array in others.items()}
            known = sequences[b, k], individuals[b, k], levels
            people.append(person(params, *known, logits=aggregator in LOGITS, **besides))
        logit, share = answer(people, accounts[b])
        out.append(logit)
        shares[b, there] = np.real(share)
        alone = np.zeros((*members.shape, len(logit))) if alone is None else alone
        for k, one in zip(there, people, strict=True):
            alone[b, k] = answer([one], accounts[b])[0].real
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
