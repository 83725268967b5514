"""Each aggregation the slow, obvious way: a list of individuals, without masks or padding, becomes log-odds and shares.

All of it works on complex numbers, too, so that complex steps give its gradients. Probabilities are multiplied as they
are, which moderate log-odds allow.
"""

import numpy as np

from tests.reference.layers import gru, sigmoid, vectors

LOGITS = {"maximum", "at_least_one", "geometric_mean", "mean_probability", "mean_log_odds"}
"""The aggregations that are given individuals' log-odds, and not representations."""


def linear(params, x):
    return x @ params["kernel"] + params.get("bias", 0)


def head(params, group, account):
    """Log-odds of a group's representation with the account's numbers."""
    joined = np.concatenate([group, account])
    return linear(params["output"], np.tanh(linear(params["hidden"], joined)) if "hidden" in params else joined)


def parts(sizes):
    sizes = np.real(np.array(sizes))
    return sizes / sizes.sum()


def fnn(params, people, account):
    width = len(people[0])
    kernel = params["first"]["kernel"]
    empty = np.zeros(len(kernel) - len(account) - width * len(people))
    hidden = np.tanh(linear(params["first"], np.concatenate([*people, empty, account])))
    group = np.tanh(linear(params["second"], hidden))
    came = [np.abs(np.real(x @ kernel[k * width : (k + 1) * width])).sum() for k, x in enumerate(people)]
    return head(params["head"], group, account), parts(came)


def last_state(params, people, account):
    layer = params["gru"]
    states = gru(layer, [x @ layer["input_kernel"] + layer["input_bias"] for x in people])
    wrote = []  # what is left of each member's writing, as it goes
    before = np.zeros_like(states[0])
    for x, state in zip(people, states, strict=True):
        gates = x @ layer["input_kernel"] + layer["input_bias"] + before @ layer["kernel"] + layer["bias"]
        update = sigmoid(gates[len(state) : 2 * len(state)])
        wrote = [update * w for w in wrote] + [state - update * before]
        before = state
    np.testing.assert_allclose(sum(wrote), states[-1], rtol=1e-10)
    return head(params["head"], states[-1], account), parts([np.abs(w.real).sum() for w in wrote])


def gru_attention(params, people, account):
    group, share = vectors(params, people)
    return head(params["head"], group, account), share


def maximum(params, people, account):
    rows = np.array(people)
    best = rows.real.argmax(axis=0)
    share = [np.mean(best == k) for k in range(len(people))]
    return np.array([rows[k, h] for h, k in enumerate(best)]), share


def at_least_one(params, people, account):
    p = sigmoid(np.array(people))
    none = np.prod(1 - p, axis=0)
    return np.log(1 - none) - np.log(none), np.mean(np.real(p / p.sum(axis=0)), axis=1)


def geometric_mean(params, people, account):
    p = sigmoid(np.array(people))
    mean = np.exp(np.log(p).mean(axis=0))
    return np.log(mean) - np.log(1 - mean), np.mean(np.real((1 - p) / (1 - p).sum(axis=0)), axis=1)


def mean_probability(params, people, account):
    p = sigmoid(np.array(people))
    mean = p.mean(axis=0)
    return np.log(mean) - np.log(1 - mean), np.mean(np.real(p / p.sum(axis=0)), axis=1)


def mean_log_odds(params, people, account):
    return np.array(people).mean(axis=0), np.full(len(people), 1 / len(people))


def gated_attention(params, people, account):
    scores = [
        (np.tanh(linear(params["value"], x)) * sigmoid(linear(params["gate"], x))) @ params["query"] for x in people
    ]
    share = np.exp(scores) / np.exp(scores).sum()
    return head(params["head"], sum(a * x for a, x in zip(share, people, strict=True)), account), share


def norm(params, x):
    centered = x - x.mean()
    return centered / np.sqrt((centered**2).mean() + 1e-6) * params["scale"] + params["bias"]


def block(params, query, items, heads):
    """One query's attention to a list of vectors, then the feed-forward layer; and the mean of the heads' weights."""
    layer, read, weights = params["attention"], [], []
    for part in np.split(np.arange(len(query)), heads):
        q = linear(layer["query"], query)[part]
        scores = [q @ linear(layer["key"], y)[part] / np.sqrt(len(part)) for y in items]
        weights.append(np.exp(scores) / np.exp(scores).sum())
        read.append(sum(a * linear(layer["value"], y)[part] for a, y in zip(weights[-1], items, strict=True)))
    hidden = norm(params["first_norm"], query + linear(layer["output"], np.concatenate(read)))
    wide = linear(params["wide"], hidden)
    more = linear(params["narrow"], np.where(wide.real > 0, wide, 0))
    return norm(params["second_norm"], hidden + more), np.mean(weights, axis=0)


def set_transformer(params, people, account):
    heads = next(n for n in (4, 2, 1) if len(people[0]) % n == 0)
    people = [block(params["members"], x, people, heads)[0] for x in people]
    group, share = block(params["pool"], params["query"][0], people, heads)
    return head(params["head"], group, account), share


GROUPS = {
    "fnn": fnn,
    "gru": last_state,
    "gru_attention": gru_attention,
    "maximum": maximum,
    "at_least_one": at_least_one,
    "geometric_mean": geometric_mean,
    "mean_probability": mean_probability,
    "mean_log_odds": mean_log_odds,
    "gated_attention": gated_attention,
    "set_transformer": set_transformer,
}
"""The aggregations by name."""


def group(params, people, account, *, aggregator):
    """Log-odds [H] of a list of individuals, and each one's share."""
    return GROUPS[aggregator](params, people, account)
