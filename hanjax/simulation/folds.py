"""The frozen split of a market: which accounts are for the test."""

import numpy as np
from jaxtyping import Bool, Int

TEST_ACCOUNTS = 381 / 2516
"""The paper's share of accounts in the test (section 7.1)."""

TEST_INDIVIDUALS = 1800 / 11567
"""And of individuals."""


def draw_test(
    rng: np.random.Generator, size: Int[np.ndarray, " a"], converts: Bool[np.ndarray, " a"]
) -> Bool[np.ndarray, " a"]:
    """Draws the test accounts, the same share of those that convert and of the others.

    Other accounts are then swapped until the test's share of individuals is the paper's, as far as that goes.

    Args:
        rng: where randomness comes from.
        size: ``[A]`` individuals of each account.
        converts: ``[A]`` which of them convert.

    Returns:
        True for the test accounts.
    """
    test = np.zeros(len(size), dtype=bool)
    wanted = round(TEST_ACCOUNTS * len(size))
    converted = min(round(TEST_ACCOUNTS * converts.sum()), wanted)
    for outcome, n in ((True, converted), (False, wanted - converted)):
        test[rng.permutation(np.flatnonzero(converts == outcome))[:n]] = True
    target = round(TEST_INDIVIDUALS * int(size.sum()))
    order = rng.permutation(np.flatnonzero(~converts))
    while missing := target - int(size[test].sum()):
        inside, outside = order[test[order]], order[~test[order]]
        gain = np.subtract.outer(np.unique(size[outside]), np.unique(size[inside])).astype(float)
        gain[(gain * missing <= 0) | (abs(gain) > abs(missing))] = np.nan
        if np.isnan(gain).all():
            break
        # Small steps, so that the test keeps its mixture of sizes.
        row, column = np.unravel_index(np.nanargmin(abs(gain)), gain.shape)
        for side, sizes, place in ((inside, np.unique(size[inside]), column), (outside, np.unique(size[outside]), row)):
            test[side[size[side] == sizes[place]][0]] ^= True
    return test
