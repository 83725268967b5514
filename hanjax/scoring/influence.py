"""How much each individual moves their account's score: Shapley values of the members of a group.

An individual's score says how likely the account would convert if that individual were all of it; the influence says
how much of the account's own log-odds is due to the individual, beside all the others.
"""

import functools
from collections.abc import Callable, Iterable
from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Bool, Float, Int, PyTree

from hanjax.data.batches import Plan, gather, plan_epoch
from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.calibration import unweight
from hanjax.nn.functional import Network
from hanjax.scoring.scores import score_panel
from hanjax.types import OF_SAMPLES, Batch, Panel

_SAMPLES, _SUBSETS = 64, 4096
"""Samples that are encoded at a time, and subsets of their members that are scored at a time."""
_MOST_EXACT = 16


def shapley_values(
    panel: Panel,
    network: Network,
    params: PyTree,
    samples: Iterable[int],
    *,
    positive_weight: float,
    baseline: float | None = None,
    exact_up_to: int = 10,
    permutations: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Divides the log-odds of accounts among their members.

    phi_k = sum over S without k of |S|! (K - |S| - 1)! / K! (v(S + k) - v(S)),  sum_k phi_k = v(all) - v(nobody)

    v(S) is the account's log-odds, without the class weight, if only the members S had arrived, in the order in which
    they did; the account's own numbers stay. All aggregations close up the places of members who are not there, so
    one that goes by places, such as ``fnn``, sees S as any other group of that size.

    The network has never seen a group without members, so v(nobody) is a convention: another ``baseline`` that is
    higher by c lowers every influence of an account by c / K, and changes no difference between members.

    Larger groups are sampled: the mean over random orders of arrival, each beside its reverse, of what a member adds
    to those before. The sum is exact there, too. By Chebyshev's inequality a value is off by more than 4.5 of its
    standard errors in at most 5 % of cases (by more than 2, if its error is normal); four times the permutations halve
    it.

    Args:
        panel: the samples.
        network: the model, as pure functions.
        params: its parameters.
        samples: rows of ``panel.samples``.
        positive_weight: w of the loss it was trained with, which is taken out.
        baseline: v(nobody), log-odds. None for those of the mean probability of all samples of the panel, which are
            scored for it: influences then say what makes an account differ from the average one.
        exact_up_to: groups of more members are sampled; the cost doubles with each member.
        permutations: orders for each sample of a larger group; even.
        seed: of the orders. They depend on it and on the sample's row, not on what else is asked for.

    Returns:
        One row a member, in order of arrival: account_id, individual_id, cutoff, influence (log-odds; first horizon),
        standard_error (0 where exact), baseline, and the segments of outcomes.

    Raises:
        DataError: if there is no such sample.
        ConfigError: if a setting cannot work.

    Example:
        >>> import hanjax
        >>> from hanjax.config import ModelConfig
        >>> from hanjax.nn import Sizes, network
        >>> from hanjax.scoring.influence import shapley_values
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> model = network(ModelConfig(activity_width=4, window_width=4), Sizes.of(panel.batch))
        >>> found = shapley_values(panel, model, model.init(jax.random.key(0)), [7], positive_weight=1.0, baseline=0.0)
        >>> len(found) == panel.samples["n_members"][7]
        np.True_

    Source: Shapley 1953, A Value for n-Person Games; sampled as by Castro et al. 2009 and, with each order beside its
    reverse, Mitchell et al. 2022, Sampling Permutations for Shapley Value Estimation.
    """
    if not 1 <= exact_up_to <= _MOST_EXACT:
        raise ConfigError(f"exact_up_to: expected 1 to {_MOST_EXACT} members, got {exact_up_to}.")
    if permutations < 4 or permutations % 2:
        raise ConfigError(f"permutations: expected an even number, at least 4, got {permutations}.")
    rows = _rows(samples, len(panel.samples))
    if baseline is None:
        baseline = average_log_odds(panel, network, params, positive_weight=positive_weight)
    batch = panel.batch
    members, found = np.asarray(batch.member_mask)[rows].sum(axis=1), {}

    def worths(which: Bool[np.ndarray, " n"], subsets: Callable[[int], np.ndarray], places: int) -> Iterable[Any]:
        at = np.flatnonzero(which)
        logits = _logits(batch, network, params, rows[at], [subsets(i) for i in at], places)
        return zip(at, (unweight(logit, positive_weight=positive_weight) for logit in logits), strict=True)

    exact, most = members <= exact_up_to, batch.members.shape[1]
    for i, worth in worths(exact, lambda i: all_subsets(members[i]), min(exact_up_to, most)):
        worth[0] = baseline
        found[i] = shapley(worth), np.zeros(members[i])
    place = {i: _places(members[i], permutations, [seed, int(rows[i])]) for i in np.flatnonzero(~exact)}
    for i, worth in worths(~exact, lambda i: _beginnings(place[i]), most):
        found[i] = _sampled(worth, place[i], baseline)
    b = np.repeat(rows, members)
    k = np.concatenate([np.flatnonzero(batch.member_mask[row]) for row in rows])
    return pd.DataFrame(
        {
            "account_id": panel.samples["account_id"].to_numpy()[b],
            "individual_id": panel.individual_ids.to_numpy()[panel.member_ids[b, k]],
            "cutoff": panel.samples["cutoff"].array[b],
            "influence": np.concatenate([found[i][0] for i in range(len(rows))]),
            "standard_error": np.concatenate([found[i][1] for i in range(len(rows))]),
            "baseline": baseline,
            **{name: panel.samples[name].array[b] for name in panel.unit or ()},
        }
    )


def average_log_odds(panel: Panel, network: Network, params: PyTree, *, positive_weight: float) -> float:
    """The log-odds of the mean probability of all samples of a panel, without the class weight: the average account.

    Args:
        panel: the samples.
        network: the model, as pure functions.
        params: its parameters.
        positive_weight: w of the loss it was trained with, which is taken out.
    """
    mean = score_panel(panel, network, params, positive_weight=positive_weight).accounts["probability"].mean()
    return float(np.log(mean) - np.log1p(-mean))


def shapley(worth: Float[np.ndarray, "subsets ..."]) -> Float[np.ndarray, "n ..."]:
    """The exact Shapley values of a game of n players.

    phi_k = sum over S without k of |S|! (n - |S| - 1)! / n! (v(S + k) - v(S))

    Args:
        worth: ``[2^n]`` v of every subset, which the bits of its place name: player k is in it if bit k is set; or
            ``[2^n, games]`` of several games.

    Returns:
        ``[n]`` or ``[n, games]`` each player's part; they sum to the last worth less the first.

    Example:
        >>> import numpy as np
        >>> from hanjax.scoring.influence import shapley
        >>> shapley(np.array([0.0, 1.0, 2.0, 5.0])).tolist()
        [2.0, 3.0]

    Source: Shapley 1953, A Value for n-Person Games.
    """
    n, subset = len(worth).bit_length() - 1, np.arange(len(worth))
    size = (subset[:, None] >> np.arange(n) & 1).sum(axis=1)
    weight = np.array([1 / (n * comb(n - 1, s)) for s in range(n)])
    found = np.zeros((n, *worth.shape[1:]))
    for k in range(n):
        without = subset[subset >> k & 1 == 0]
        found[k] = weight[size[without]] @ (worth[without | 1 << k] - worth[without])
    return found


def _rows(samples: Iterable[int], n: int) -> Int[np.ndarray, " rows"]:
    """The samples asked for, checked."""
    rows = np.asarray(list(samples))
    if len(rows) == 0 or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n:
        raise DataError(f"samples: expected rows of the panel, 0 to {n - 1}, got {rows.tolist()[:5]}.")
    return rows


def all_subsets(members: int) -> Bool[np.ndarray, "subsets members"]:
    """Every subset, at the place that its bits name."""
    return (np.arange(1 << members)[:, None] >> np.arange(members) & 1).astype(bool)


def _places(members: int, permutations: int, seed: list[int]) -> Int[np.ndarray, "permutations members"]:
    """Each member's place in random orders of arrival, the second half of which are the first ones reversed."""
    random = np.random.default_rng(seed)
    place = random.permuted(np.tile(np.arange(members), (permutations // 2, 1)), axis=1)
    return np.concatenate([place, members - 1 - place])


def _beginnings(place: Int[np.ndarray, "permutations members"]) -> Bool[np.ndarray, "subsets members"]:
    """All members, and then the first one of each order, the first two and so on, up to all but one."""
    members = place.shape[1]
    begun = (place[:, None, :] <= np.arange(members - 1)[:, None]).reshape(-1, members)
    return np.concatenate([np.ones((1, members), bool), begun])


def _sampled(
    worth: Float[np.ndarray, " subsets"], place: Int[np.ndarray, "permutations members"], baseline: float
) -> tuple[Float[np.ndarray, " members"], Float[np.ndarray, " members"]]:
    """What members add on average to those before, and its standard error: an order and its reverse are one draw."""
    begun = worth[1:].reshape(len(place), -1)
    added = np.diff(begun, axis=1, prepend=baseline, append=worth[0])
    added = np.take_along_axis(added, place, axis=1)
    pairs = (added[: len(place) // 2] + added[len(place) // 2 :]) / 2
    return pairs.mean(axis=0), pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))


@functools.lru_cache(maxsize=8)
def _programs(network: Network) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The encodings of a batch's windows; and the log-odds of groups made of some members of its samples."""

    def encode(params: PyTree, batch: Batch) -> Array:
        return network.encode_windows(params, network.encode_periods(params, batch).value, batch).value

    def score(
        params: PyTree, windows: Array, batch: Batch, sample: Int[Array, " n"], chosen: Bool[Array, "n K"]
    ) -> Float[Array, " n"]:
        of_samples = {name: getattr(batch, name) for name in OF_SAMPLES if getattr(batch, name) is not None}
        groups = {name: array[sample] for name, array in of_samples.items()}
        groups["members"] = jnp.where(chosen, groups["members"], 0)
        return network.score(params, windows, batch._replace(blocks=None, **groups)).logit[:, 0]

    return jax.jit(encode), jax.jit(score)


def _logits(
    batch: Batch,
    network: Network,
    params: PyTree,
    rows: Int[np.ndarray, " n"],
    subsets: list[Bool[np.ndarray, "subsets members"]],
    places: int,
) -> list[Float[np.ndarray, " subsets"]]:
    """The first horizon's log-odds of groups made of subsets of samples' members; each window is encoded once."""
    if not len(rows):
        return []
    encode, score = _programs(network)
    plan = plan_epoch(batch, rows, batch_size=_SAMPLES, seed=None)
    found: list[Any] = [None] * len(rows)
    for t in range(len(plan.samples)):
        step: Plan = jax.tree.map(lambda array, t=t: array[t], plan)
        here = jax.tree.map(jnp.asarray, _packed(gather(batch, step), places))
        windows, real = encode(params, here), np.flatnonzero(step.mask)
        some = [subsets[i] for i in step.order[real]]
        sizes = [len(one) for one in some]
        sample = np.repeat(real, sizes)
        chosen = np.concatenate([np.pad(one, ((0, 0), (0, places - one.shape[1]))) for one in some])
        parts = []
        for begin in range(0, len(sample), _SUBSETS):
            short = max(begin + _SUBSETS - len(sample), 0)
            one = np.pad(sample[begin : begin + _SUBSETS], (0, short))
            those = np.pad(chosen[begin : begin + _SUBSETS], ((0, short), (0, 0)))
            parts.append(score(params, windows, here, one, those))
        logit = np.concatenate(jax.device_get(parts))[: len(sample)].astype(np.float64)
        for i, own in zip(step.order[real], np.split(logit, np.cumsum(sizes)[:-1]), strict=True):
            found[i] = own
    return found


def _packed(batch: Batch, places: int) -> Batch:
    """Samples whose members stand in the first places, without the others."""
    order = np.argsort(~np.asarray(batch.member_mask), axis=1, kind="stable")[:, :places]
    take = lambda array: np.take_along_axis(array, order.reshape(*order.shape, *[1] * (array.ndim - 2)), axis=1)
    return batch._replace(
        members=take(batch.members),
        member_windows=take(batch.member_windows),
        member_numbers=None if batch.member_numbers is None else take(batch.member_numbers),
        blocks=None,
    )
