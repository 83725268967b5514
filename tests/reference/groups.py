"""Each aggregation the slow, obvious way: a list of individuals, without masks or padding, becomes log-odds and shares.

All of it works on complex numbers, too, so that complex steps give its gradients.
"""

import numpy as np

from tests.reference.layers import vectors

LOGITS = {"maximum"}
"""The aggregations that are given individuals' log-odds, and not representations."""


def head(params, group, account):
    """Log-odds of a group's representation with the account's numbers."""
    joined = np.concatenate([group, account])
    if "hidden" in params:
        joined = np.tanh(joined @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return joined @ params["output"]["kernel"] + params["output"]["bias"]


def gru_attention(params, people, account):
    group, share = vectors(params, people)
    return head(params["head"], group, account), share


def maximum(params, people, account):
    rows = np.array(people)
    best = rows.real.argmax(axis=0)
    share = [np.mean(best == k) for k in range(len(people))]
    return np.array([rows[k, h] for h, k in enumerate(best)]), share


GROUPS = {"gru_attention": gru_attention, "maximum": maximum}


def group(params, people, account, *, aggregator):
    """Log-odds [H] of a list of individuals, and each one's share."""
    return GROUPS[aggregator](params, people, account)
