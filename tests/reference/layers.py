"""The layers that encoders and aggregations share, one vector at a time, without masks or padding."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(gru, projections):
    """States after each projected input (already W x + b), by PyTorch's equations."""
    width = gru["kernel"].shape[0]
    hidden, states = np.zeros(width), []
    for projected in projections:
        recurrent = hidden @ gru["kernel"] + gru["bias"]
        reset = sigmoid(projected[:width] + recurrent[:width])
        update = sigmoid(projected[width : 2 * width] + recurrent[width : 2 * width])
        new = np.tanh(projected[2 * width :] + reset * recurrent[2 * width :])
        hidden = (1 - update) * new + update * hidden
        states.append(hidden)
    return states


def attention(pool, items):
    """Weighted mean of a list of vectors, and the weights; zeros and no weights for an empty list."""
    if not items:
        return np.zeros(pool["query"].shape), []
    scores = [np.tanh(x @ pool["key"]["kernel"] + pool["key"]["bias"]) @ pool["query"] for x in items]
    weights = [np.exp(s) for s in scores]
    weights = [w / sum(weights) for w in weights]
    return sum(w * x for w, x in zip(weights, items, strict=True)), weights


def vectors(layer, items):
    """A GRU over vectors, then attention."""
    return attention(
        layer["pool"], gru(layer["gru"], [x @ layer["gru"]["input_kernel"] + layer["gru"]["input_bias"] for x in items])
    )
