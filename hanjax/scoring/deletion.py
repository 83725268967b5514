"""How far attention can be believed: what is deleted with much of it should move the score more than anything else.

Attention is a share, not an effect: a network can attend to what it then ignores. Here members, periods or activities
are taken out of the data, and the account is scored anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import jax
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int, PyTree

from hanjax.data.batches import Plan, gather, plan_epoch
from hanjax.data.distinct import distinct_rows
from hanjax.errors import ConfigError, DataError
from hanjax.evaluation.intervals import account_weights
from hanjax.nn.functional import Network
from hanjax.scoring.scores import score_samples
from hanjax.types import OF_SAMPLES, Batch, Output, Panel

Level = Literal["member", "period", "activity"]

DELETED = (0.1, 0.2, 0.3, 0.5)
"""Shares of a sample's items that are deleted, at least one item. Of more, it is the rest that would be tested."""
_DRAWS = 3
"""Random orders for each sample."""
_SAMPLES = 1024
"""Samples at a time whose attention is found."""


@dataclass(frozen=True)
class Deletion:
    """What deleting by attention does to the accounts' log-odds, and so how far to believe it.

    Args:
        level: what was deleted.
        curves: one row for each share ``deleted``: the mean absolute change of log-odds when the items with most
            attention go first (``top``), in random order (``random``), with least first (``bottom``), and those first
            whose deletion alone changes most (``best``, which is the best order where effects add up).
        faithfulness: (top - random) / (best - random), of the areas under the curves: 1 if attention is as good as
            trying out every deletion, 0 if it is as good as chance, negative if worse; NaN where no order matters.
        low: lower end of its 95 % interval, by quantiles over resampled accounts.
        high: upper end.
        rank_correlation: Spearman's, of attention and the absolute change when an item alone is deleted, within each
            sample of at least three items, averaged over them; 0 for a sample whose attention is equal.
        compared: how many samples that is.
        samples: how many samples were altered.
        items: how many items they have.
        left_out: samples that were given and have fewer than two items.
    """

    level: Level
    curves: pd.DataFrame
    faithfulness: float
    low: float
    high: float
    rank_correlation: float
    compared: int
    samples: int
    items: int
    left_out: int = 0

    @property
    def sentence(self) -> str:
        """How far to believe the attention, in plain words.

        Not at all unless ``low`` is above 0; fairly if both ``faithfulness`` and ``rank_correlation`` are at least 1/2.
        """
        areas = self.curves[["top", "random"]].mean()
        items = {"member": "members", "period": "periods", "activity": "activities"}[self.level]
        if np.isnan(self.faithfulness):
            return f"Which {items} are deleted makes no difference here, so attention over them cannot be judged."
        if not self.low > 0:
            verdict = "as a measure of importance it is not to be believed"
        elif not min(self.faithfulness, self.rank_correlation) >= 0.5:
            verdict = "it is a hint, not a ranking"
        else:
            verdict = "it is a fair guide to what matters"
        return (
            f"Deleting the {items} with most attention moves the log-odds {areas['top'] / areas['random']:.2f} times "
            f"as far as deleting random ones ({self.faithfulness:.0%} of the way from chance to the best order, 95 % "
            f"interval {self.low:.0%} to {self.high:.0%}), and the rank correlation with the effect of each alone is "
            f"{self.rank_correlation:.2f}: {verdict}."
        )

    def __repr__(self) -> str:
        """The sentence, the curves, and the counts."""
        return (
            f"{self.sentence}\n{self.curves.to_string(index=False, float_format='{:.3g}'.format)}\n"
            f"{self.samples:,} samples with {self.items:,} items; rank correlation over {self.compared:,} of them"
        )


def deletion_test(
    panel: Panel,
    network: Network,
    params: PyTree,
    *,
    level: Level = "member",
    samples: int | Int[np.ndarray, " n"] = 200,
    seed: int = 0,
) -> Deletion:
    """Deletes what got most attention, beside random and opposite orders, and measures how far the log-odds move.

    Without a member, the account is scored as if that individual had never arrived; a period that is deleted is a quiet
    one; an activity's followers move up, and it leaves the period's volumes. (Times between activities stay those that
    they were.) The attention of an item is what reaches it through the levels above: that of an activity is the
    member's share times the period's times its own.

    Args:
        panel: the samples.
        network: the model, as pure functions.
        params: its parameters; the first horizon's log-odds count.
        level: what is deleted: "member", "period" (of one member) or "activity" (of one member and period).
        samples: how many samples to draw, of those with at least two items; or rows of ``panel.samples``.
        seed: of the draw and of the random orders; ties are broken at random, too.

    Returns:
        The curves, the figures, and a sentence.

    Raises:
        ConfigError: if there is no such level, or the network has no attention at it.
        DataError: if there is no sample with two items, or a row lies outside the panel.

    Example:
        >>> import hanjax
        >>> from hanjax.config import ModelConfig
        >>> from hanjax.nn import Sizes, network
        >>> from hanjax.scoring.deletion import deletion_test
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> model = network(ModelConfig(activity_width=4, window_width=4), Sizes.of(panel.batch))
        >>> found = deletion_test(panel, model, model.init(jax.random.key(0)), samples=20)
        >>> found.samples, list(found.curves)
        (20, ['deleted', 'top', 'random', 'bottom', 'best'])

    Source: DeYoung et al. 2020, ERASER, section 4 (comprehensiveness), and Samek et al. 2017, Evaluating the
    Visualization of What a Deep Neural Network Has Learned; Jain and Wallace 2019, Attention is not Explanation, for
    why to test, and the rank correlation.
    """
    if level not in get_args(Level):
        raise ConfigError(f"level: expected one of {', '.join(get_args(Level))}, got {level!r}.")
    random = np.random.default_rng(seed)
    rows, left_out = _chosen(panel.batch, level, samples, random)
    items, before = _items(panel.batch, network, params, rows, level)
    n = len(rows)

    def moved(sample: Int[np.ndarray, " r"], alteration: Int[np.ndarray, " d"], item: Int[np.ndarray, " d"]):
        """How far the log-odds of samples move, in each alteration, when some items are deleted in it."""
        gone = _Items._make(array[item] for array in items)
        batch = _altered(panel.batch, rows[sample], alteration, gone, level)
        plan = plan_epoch(batch, np.arange(len(sample)), batch_size=len(sample), seed=None)
        batch = gather(batch, jax.tree.map(lambda array: array[0], plan))  # the rows of tables that are in use
        scored, _ = score_samples(panel._replace(batch=batch._replace(blocks=None)), network, params)
        return np.abs(plan.restored(scored.logit[None, :, 0]) - before[sample])

    every = np.arange(len(items.sample))
    alone = moved(items.sample, every, every)
    orders = [items.attention, *random.random((_DRAWS, len(every))), -items.attention, alone]
    count = np.bincount(items.sample)
    first = np.cumsum(count) - count
    alterations, deleted = [], []
    for order in orders:
        place = np.empty(len(every), int)
        place[np.lexsort((random.random(len(every)), -order, items.sample))] = every - first[items.sample]
        for share in DELETED:
            gone = np.flatnonzero(place < np.clip(np.ceil(share * count), 1, count - 1)[items.sample])
            alterations.append(len(alterations) * n + items.sample[gone])
            deleted.append(gone)
    sample = np.tile(np.arange(n), len(alterations))
    found = moved(sample, np.concatenate(alterations), np.concatenate(deleted)).reshape(len(orders), len(DELETED), n)
    by_order = {"top": found[0], "random": found[1:-2].mean(axis=0), "bottom": found[-2], "best": found[-1]}
    curves = pd.DataFrame({"deleted": DELETED} | {name: own.mean(axis=1) for name, own in by_order.items()})
    correlations = _rank_correlations(items, alone)
    faithfulness, low, high = area_between(by_order, panel.samples["account_id"].to_numpy()[rows])
    return Deletion(
        level=level,
        curves=curves,
        faithfulness=faithfulness,
        low=low,
        high=high,
        rank_correlation=float(correlations.mean()) if len(correlations) else np.nan,
        compared=len(correlations),
        samples=n,
        items=len(every),
        left_out=left_out,
    )


class _Items(NamedTuple):
    """Members, periods of a member, or activities of a period, sample by sample; what does not apply is 0.

    Args:
        sample: place of the sample among those that are altered.
        member: place of the member.
        period: place of the period in the member's window.
        activity: place of the activity in the period.
        attention: what reaches the item; sums to 1 over a sample's, but for what goes to members who were quiet.
    """

    sample: Int[np.ndarray, " n"]
    member: Int[np.ndarray, " n"]
    period: Int[np.ndarray, " n"]
    activity: Int[np.ndarray, " n"]
    attention: Float[np.ndarray, " n"]


def _chosen(
    batch: Batch, level: Level, samples: int | Int[np.ndarray, " n"], random: np.random.Generator
) -> tuple[Int[np.ndarray, " n"], int]:
    """The samples to alter, and how many of those given have nothing to choose from."""
    of_window = {
        "member": np.ones(len(batch.windows), int),
        "period": batch.period_mask.sum(axis=1),
        "activity": batch.activity_mask.sum(axis=1)[batch.windows].sum(axis=1),
    }[level]
    enough = (of_window[batch.member_windows] * batch.member_mask).sum(axis=1) > 1
    if np.ndim(samples) == 0:
        rows, left_out = np.sort(random.permutation(np.flatnonzero(enough))[: int(samples)]), 0
    else:
        given = np.asarray(samples)
        if given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= len(enough)):
            raise DataError(f"samples: expected rows of the panel, 0 to {len(enough) - 1}, got {given[:5].tolist()}.")
        rows = given[enough[given]] if given.size else given
        left_out = len(given) - len(rows)
    if not len(rows):
        raise DataError(f"samples: none has two items of the level {level!r}, of which to delete one.")
    return rows, left_out


def _outputs(batch: Batch, network: Network, params: PyTree) -> Iterator[tuple[Plan, Output]]:
    """What a network says of all samples of a batch, some at a time, each beside which they are."""
    plan = plan_epoch(batch, np.arange(len(batch.mask)), batch_size=_SAMPLES, seed=None)
    apply = jax.jit(network.apply)
    for t in range(len(plan.samples)):
        step = jax.tree.map(lambda array, t=t: array[t], plan)
        yield step, jax.device_get(apply(params, gather(batch, step)))


def _items(
    batch: Batch, network: Network, params: PyTree, rows: Int[np.ndarray, " n"], level: Level
) -> tuple[_Items, Float[np.ndarray, " n"]]:
    """What can be deleted of samples, with its attention; and the samples' log-odds."""
    batch = batch._replace(**_of_samples(batch, rows))
    share = np.zeros(batch.members.shape)
    of_window, of_sequence = np.zeros(batch.windows.shape), np.zeros(batch.sequences.shape)
    logit = np.zeros(len(rows))
    for step, output in _outputs(batch, network, params):
        share[step.samples], logit[step.samples] = output.member_share, output.logit[:, 0]
        of_window[step.windows], of_sequence[step.sequences] = output.period_share, output.activity_share
    windows = batch.windows[batch.member_windows]
    there, attention = batch.member_mask, share
    if level != "member":
        there = there[..., None] & (windows > 0)
        attention = attention[..., None] * of_window[batch.member_windows]
    if level == "activity":
        there = there[..., None] & batch.activity_mask[windows]
        attention = attention[..., None] * of_sequence[windows]
    if not attention[there].any():
        raise ConfigError(f"level: the network has no attention at the level {level!r}.")
    attention = np.round(attention, 6)  # what is equal but for rounding is a tie
    at = np.nonzero(there)
    nothing = [np.zeros_like(at[0])] * (4 - len(at))
    return _Items._make([*at, *nothing, attention[at]]), logit


def _of_samples(batch: Batch, rows: Int[np.ndarray, " n"]) -> dict[str, Array | np.ndarray]:
    """What a batch says of some of its samples; copies."""
    return {name: getattr(batch, name)[rows] for name in OF_SAMPLES if getattr(batch, name) is not None}


def _altered(
    batch: Batch, rows: Int[np.ndarray, " r"], alteration: Int[np.ndarray, " d"], gone: _Items, level: Level
) -> Batch:
    """Samples without some of their items; the tables get the rows that are new.

    Args:
        batch: every sample.
        rows: ``[R]`` the sample that each alteration begins with.
        alteration: ``[D]`` in which alteration each item is deleted.
        gone: ``[D]`` the items.
        level: what they are.
    """
    of_samples = _of_samples(batch, rows)
    if level == "member":
        of_samples["members"][alteration, gone.member] = 0
        return batch._replace(**of_samples)
    places = batch.members.shape[1]
    touched, which = np.unique(alteration * places + gone.member, return_inverse=True)
    r, k = np.divmod(touched, places)
    old = batch.member_windows[rows[r], k]
    sequences = batch.sequences[batch.windows[old]]
    drop = np.zeros(sequences.shape, bool)
    if level == "period":
        drop[which, gone.period] = True
    else:
        drop[which, gone.period, gone.activity] = True
    stays = (sequences > 0) & ~drop
    order = np.argsort(~stays, axis=-1, kind="stable")  # those that stay move up
    tables = [sequences] if batch.gaps is None else [sequences, batch.gaps[batch.windows[old]]]
    tables = [np.take_along_axis(np.where(stays, table, 0), order, axis=-1) for table in tables]
    # Equal numbers have equal bits.
    bits = [table if table.dtype.kind == "u" else table.astype(np.float32).view(np.uint32) for table in tables]
    distinct, index = distinct_rows(
        np.concatenate(bits, axis=-1).reshape(-1, len(bits) * sequences.shape[2]).astype(int)
    )
    windows = _after(batch.sequences, index).reshape(len(old), -1)
    fields = {"sequences": _appended(batch.sequences, distinct[:, : sequences.shape[2]])}
    if batch.gaps is not None:
        gaps = distinct[:, sequences.shape[2] :].astype(np.uint32).view(np.float32)
        fields["gaps"] = _appended(batch.gaps, gaps)
    columns = {"windows": windows}
    if batch.counts is not None and batch.count_windows is not None:
        counts = batch.counts[batch.count_windows[old]]
        if level == "activity":
            ids = sequences[which, gone.period, gone.activity]
            np.subtract.at(counts, (which, gone.period, ids), 1)
        counts = np.where(windows[..., None] > 0, counts, 0)
        volumes, index = distinct_rows(counts.reshape(-1, counts.shape[-1]).astype(int))
        fields["counts"] = _appended(batch.counts, volumes)
        columns["count_windows"] = _after(batch.counts, index).reshape(windows.shape)
    if batch.window_ages is not None:
        columns["window_ages"] = np.where(windows > 0, batch.window_ages[old], 0)
    distinct, index = distinct_rows(np.concatenate([*columns.values()], axis=1).astype(int))
    of_samples["member_windows"][r, k] = _after(batch.windows, index)
    for name, rows in zip(columns, np.split(distinct, len(columns), axis=1), strict=True):
        fields[name] = _appended(getattr(batch, name), rows)
    return batch._replace(**of_samples, **fields)


def _after(table: Array | np.ndarray, index: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Where rows of another table stand once that is appended; its first row is the empty one, and is there already."""
    return np.where(index > 0, len(table) - 1 + index, 0)


def _appended(table: Array | np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(table), rows[1:].astype(table.dtype)])


def area_between(moved: dict[str, Float[np.ndarray, "shares n"]], accounts: np.ndarray) -> tuple[float, float, float]:
    """Where an order of deletion lies between chance and the best one, with an interval from resampling accounts.

    Args:
        moved: how far each of n samples moves when so much of it is deleted: in the order ``top``, in a ``random`` one,
            and in the ``best``.
        accounts: ``[n]`` their accounts.

    Returns:
        (top - random) / (best - random) of the areas, and the ends of its 95 % interval; NaN where no order matters.
    """
    top, random, best = (moved[name].mean(axis=0) for name in ("top", "random", "best"))
    codes, ids = pd.factorize(accounts)
    weights = np.concatenate([np.ones((1, len(ids))), account_weights(len(ids))])
    gain, room, whole = (weights @ np.bincount(codes, area) for area in (top - random, best - random, best))
    # What is left of a difference is rounding where no order matters.
    ratio = np.divide(gain, room, out=np.full(len(weights), np.nan), where=room > 1e-5 * np.abs(whole))
    if np.isnan(ratio[0]):
        return np.nan, np.nan, np.nan
    low, high = np.nanquantile(ratio[1:], [0.025, 0.975])
    return float(ratio[0]), float(low), float(high)


def _rank_correlations(items: _Items, effect: Float[np.ndarray, " n"]) -> Float[np.ndarray, " samples"]:
    """Spearman's rank correlation of attention and effect within each sample in which there is one."""
    found = []
    for _, own in pd.DataFrame({"attention": items.attention, "effect": effect}).groupby(items.sample):
        x, y = own.rank().to_numpy().T - (len(own) + 1) / 2
        if len(own) > 2 and y.any():
            found.append(x @ y / np.sqrt((x @ x) * (y @ y)) if x.any() else 0.0)
    return np.array(found)
