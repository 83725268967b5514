"""Padding, batch mates and the order of rows change nothing: neither a value nor a gradient."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from hanjax.checks.verdict import Verdict
from hanjax.compiled import Compiled
from hanjax.errors import ConfigError
from hanjax.nn.functional import Network, Params
from hanjax.nn.sizes import Sizes
from hanjax.run import Run
from hanjax.run.base import BaseRun
from hanjax.types import OF_SAMPLES, Batch, Output

_SAMPLES, _ROWS, _WINDOW, _LENGTH = 8, 12, 3, 4
_MORE = 2
"""Activities, and rows of each table, that a batch has room for and that nothing uses; and one period."""
_OF_SCORES, _OF_LOG_ODDS, _OF_GRADIENTS = 1e-6, 1e-5, 1e-5
_SMALL = 0.1
"""The gradient of a parameter that is a smaller part of the whole one counts as this part: it may be a difference of
numbers that are almost equal, of which float32 keeps few digits."""
_TINY = float(np.finfo(np.float32).tiny)
_OF_MEMBERS = ("members", "member_windows", "member_numbers")


def check_mask_invariance(
    model: Run | Network, params: Params | None = None, sizes: Sizes | None = None, *, batches: int = 2, seed: int = 0
) -> Verdict:
    """Alters what a network must not read, and looks whether it says anything else of the samples.

    With f the log-odds and the members' shares, p the probabilities, and P whatever must not matter to a sample b:

        |p(P batch)_b - p(batch)_b| <= 1e-6,   |f(P batch)_b - f(batch)_b| <= 1e-5 max(1, |f(batch)_b|),
        |g(P batch) - g(batch)| <= 1e-5 |g(batch)|   for the gradient g of each parameter

    Batches are drawn at random: with single members and groups of the largest size, members who were quiet all the
    time, quiet periods, and a sample without members whose mask is False. Then there are more places for members,
    samples, rows of tables, periods and activities than needed; anything stands where nothing is; members keep their
    order but stand in other places; rows of tables are permuted; samples stand beside others. Whatever the network says
    must be finite. The order of members is not altered: some aggregations depend on it.

    Args:
        model: a trained run, or a network as pure functions.
        params: the parameters of a network.
        sizes: the sizes of a network.
        batches: how many batches are drawn.
        seed: of what is drawn.

    Returns:
        The verdict. Compared are log-odds of samples and of each of their members alone, members' shares, and the
        gradients of the cross-entropy.

    Raises:
        ConfigError: if a network comes without parameters and sizes, the run is not trained, or no batch is drawn.

    Example:
        >>> import jax
        >>> from hanjax import ModelConfig
        >>> from hanjax.checks import check_mask_invariance
        >>> from hanjax.nn import Sizes, network
        >>> sizes = Sizes(vocabulary=5, max_members=3)
        >>> net = network(ModelConfig(activity_width=3, window_width=2, member_width=2), sizes)
        >>> check_mask_invariance(net, net.init(jax.random.key(0)), sizes, batches=1).passed
        True
    """
    window, length = _WINDOW, _LENGTH
    if isinstance(model, BaseRun):  # one without a network says so
        params, sizes = model.params, model.sizes
        window, length = model.config.panel.window, model.config.panel.max_activities
        model = model.network
    if params is None or sizes is None:
        raise ConfigError("params, sizes: expected those of the network (a run brings its own, once it is trained).")
    if batches < 1:
        raise ConfigError(f"batches: expected at least 1, got {batches}.")
    says = _says(model)
    problems, value, slope = [], 0.0, 0.0
    for number in range(batches):
        random = np.random.default_rng([seed, number])
        whole = _drawn(sizes, random, window=window, length=length)
        for name, alter in _ALTERATIONS.items():
            other = alter(whole, random)
            own = says(params, whole, np.isin(np.arange(_SAMPLES), other.of))
            its = says(params, other.batch, np.isin(np.arange(len(other.batch.mask)), other.at))
            wrong, *apart = _compared(whole, own, other, its)
            problems += [f"{name}: {text}" for text in wrong]
            value, slope = max(value, apart[0]), max(slope, apart[1])
    checked = (
        f"{batches} random batches, each altered in {len(_ALTERATIONS)} ways; "
        f"values at most {value:.1g} apart, gradients {slope:.1g}"
    )
    return Verdict("check_mask_invariance", not problems, checked, tuple(dict.fromkeys(problems)))


class _Said(NamedTuple):
    """What a network says of a batch, and the gradient of the cross-entropy of some of its samples."""

    logit: Float[Array, "B H"]
    share: Float[Array, "B K"]
    alone: Float[Array, "B K H"]
    gradient: Params


class _Altered(NamedTuple):
    """A batch in which some samples of another one stand.

    Args:
        batch: the batch.
        of: ``[n]`` the samples, as rows of the other batch.
        at: ``[n]`` where they stand in this one.
        places: ``[n, k]`` where each of their members stands.
    """

    batch: Batch
    of: Int[np.ndarray, " n"]
    at: Int[np.ndarray, " n"]
    places: Int[np.ndarray, "n k"]


def _says(network: Network) -> Callable[[Params, Batch, Bool[np.ndarray, " B"]], _Said]:
    """The function that is compared: of parameters, a batch, and which samples count in the cross-entropy."""

    def loss(params: Params, batch: Batch, counts: Bool[Array, " B"]) -> tuple[Array, Output]:
        output, there = network.apply(params, batch), counts[:, None] & batch.label_mask
        logit, label = (jnp.where(there, values, 0.0) for values in (output.logit, batch.label))
        return jnp.where(there, jnp.logaddexp(0.0, logit) - label * logit, 0.0).sum(), output

    def says(params: Params, batch: Batch, counts: Bool[Array, " B"]) -> _Said:
        gradient, output = jax.grad(loss, has_aux=True)(params, batch, counts)
        return _Said(output.logit, output.member_share, network.individual_logits(params, batch), gradient)

    return Compiled(says, of_small_steps=True)


def _compared(whole: Batch, own: _Said, other: _Altered, its: _Said) -> tuple[list[str], float, float]:
    """What is wrong, and how far values and gradients are apart at most."""
    own, its = jax.device_get((own, its))
    at, k = other.at[:, None], other.places.shape[1]
    there = np.asarray(whole.member_mask)[other.of, :k]
    pairs = {
        "log-odds of samples": (own.logit[other.of], its.logit[other.at]),
        "shares of members": (own.share[other.of, :k][there], its.share[at, other.places][there]),
        "log-odds of members": (own.alone[other.of, :k][there], its.alone[at, other.places][there]),
    }
    wrong, value, slope = [], 0.0, 0.0
    for (name, (mine, theirs)), everything in zip(pairs.items(), its[:3], strict=True):
        if not np.isfinite(everything).all():
            wrong.append(f"{name} are not finite.")
            continue
        apart = np.max(np.abs(mine - theirs) / np.maximum(1, np.abs(mine)), initial=0)
        score = np.max(np.abs(_probability(mine) - _probability(theirs)), initial=0) if "log-odds" in name else 0.0
        value = max(value, float(apart))
        if apart > _OF_LOG_ODDS or score > _OF_SCORES:
            wrong.append(f"{name} change, by up to {apart:.1g}.")

    gradients = zip(jax.tree.leaves_with_path(own.gradient), jax.tree.leaves(its.gradient), strict=True)
    norm = float(np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(own.gradient))))
    changed: dict[str, float] = {}
    for (path, mine), theirs in gradients:
        apart = float(np.linalg.norm(mine - theirs) / max(np.linalg.norm(mine), _SMALL * norm, _TINY))
        slope = np.fmax(slope, apart)
        if not apart <= _OF_GRADIENTS:
            changed[jax.tree_util.keystr(path, simple=True, separator="/")] = apart
    if changed:
        worst = max(changed, key=lambda name: np.nan_to_num(changed[name], nan=np.inf))
        how = "changes" if np.isfinite(changed[worst]) else "is not finite"
        more = f", and those by {len(changed) - 1} other parameters" if len(changed) > 1 else ""
        wrong.append(f"the gradient by {worst} {how}{more}.")
    return wrong, value, float(slope)


def _probability(logit: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.exp(-np.logaddexp(0, -logit.astype(np.float64)))


def _drawn(sizes: Sizes, random: np.random.Generator, *, window: int, length: int) -> Batch:
    """A random batch: all kinds of nothing, some rows that nobody uses, and room for more than there is."""
    rows, used, k = 1 + _ROWS + _MORE, 1 + _ROWS, sizes.max_members

    def some(*shape: int, most: int = used) -> Int[np.ndarray, "..."]:
        return random.integers(1, most, shape, dtype=np.int32)

    active = (random.random((rows, 1 + window)) < 0.5) & (np.arange(1 + window) > 0)
    active[np.arange(rows), random.integers(1, 1 + window, rows)] = True
    active[0] = False
    filled = random.integers(1, length + 1, rows) * (np.arange(rows) > 0)
    there = np.arange(length + _MORE) < filled[:, None]
    first = (random.random(rows) < 0.3)[:, None] & (np.arange(length + _MORE) == 0)
    size = random.integers(1, k + 1, _SAMPLES)
    size[:3], size[3], size[-1] = (k, 1, 1), random.integers(1, max(2, k // 2 + 1)), 0
    member = np.arange(k) < size[:, None]
    quiet = random.random(member.shape) < 0.3
    quiet[1, 0], quiet[2, 0] = False, True
    of_static, own = (sizes.numbers + 1) // 2, sizes.numbers // 2
    label = (random.random((_SAMPLES, sizes.horizons)) < 0.5).astype(np.float32)
    label[3, 0] = np.nan
    ages = np.where(active, some(*active.shape, most=window + 3), 0).astype(np.int16)
    numbers = random.normal(size=(*member.shape, sizes.member_numbers)) * member[..., None]
    below = np.arange(rows)[:, None] > 0  # row 0 is the empty one
    return Batch(
        sequences=np.where(there, some(*there.shape, most=sizes.vocabulary), 0).astype(np.uint16),
        windows=np.where(active, some(*active.shape), 0),
        individuals=np.array([some(rows, most=n) for n in sizes.levels], np.int32).reshape(-1, rows).T * below,
        accounts=random.normal(size=(rows, of_static)).astype(np.float32) * below,
        members=np.where(member, some(*member.shape), 0),
        member_windows=np.where(member & ~quiet, some(*member.shape), 0),
        account=some(_SAMPLES),
        label=label,
        mask=np.arange(_SAMPLES) < _SAMPLES - 1,
        counts=random.integers(0, 4, (rows, sizes.vocabulary)).astype(np.float32) * below,
        count_windows=np.where(active, some(*active.shape), 0),
        account_numbers=random.normal(size=(_SAMPLES, own)).astype(np.float32) if own else None,
        gaps=np.where(there, np.where(first, -1, random.integers(0, 20, there.shape) / 4), 0).astype(np.float32),
        window_ages=ages if sizes.window_ages else None,
        member_numbers=numbers.astype(np.float32) if sizes.member_numbers else None,
        segments=random.integers(0, sizes.segments, (_SAMPLES, len(sizes.segments))) if sizes.segments else None,
    )


def _fewer(whole: Batch, random: np.random.Generator) -> _Altered:
    """The small groups alone, in a batch without room for more than there is: then the whole one is the padded one."""
    places, of = max(1, whole.members.shape[1] // 2), np.arange(1, 4)  # as many in each batch, so of one shape
    short = _taken(whole, of)
    short = short._replace(**{name: getattr(short, name)[:, :places] for name in _OF_MEMBERS if _has(short, name)})
    cut = {
        "sequences": np.s_[:-_MORE, :-_MORE],
        "gaps": np.s_[:-_MORE, :-_MORE],
        "windows": np.s_[:-_MORE, 1:],
        "count_windows": np.s_[:-_MORE, 1:],
        "window_ages": np.s_[:-_MORE, 1:],
        "individuals": np.s_[:-_MORE],
        "accounts": np.s_[:-_MORE],
        "counts": np.s_[:-_MORE],
    }
    short = short._replace(**{name: getattr(short, name)[part] for name, part in cut.items() if _has(short, name)})
    return _Altered(short, of, np.arange(len(of)), np.broadcast_to(np.arange(places), (len(of), places)))


def _garbage(whole: Batch, random: np.random.Generator) -> _Altered:
    """Anything where nothing is: in rows that nobody uses, empty places and periods, and the sample that is masked."""
    real, member = whole.mask, np.asarray(whole.member_mask)
    active, there = np.asarray(whole.period_mask), np.asarray(whole.activity_mask)

    def unused(table: str, *rows: np.ndarray | int) -> Bool[np.ndarray, "n 1"]:
        return ~np.isin(np.arange(len(getattr(whole, table))), np.concatenate(list(map(np.ravel, rows))))[:, None]

    windows = unused("windows", whole.member_windows[member], 0)
    read = active & ~windows
    empty = {
        "sequences": unused("sequences", whole.windows[read], 0),
        "gaps": ~there,
        "windows": windows,
        "count_windows": ~active,
        "window_ages": ~active,
        "counts": unused("counts", np.asarray(whole.count_windows)[read]),
        "individuals": unused("individuals", whole.members[member]),
        "accounts": unused("accounts", whole.account[real]),
        "members": ~real[:, None],
        "member_windows": ~member,
        "member_numbers": ~member[..., None],
        "account": ~real,
        "account_numbers": ~real[:, None],
        "segments": ~real[:, None],
    }
    filled = {name: _filled(getattr(whole, name), where, random) for name, where in empty.items() if _has(whole, name)}
    return _in_place(whole._replace(**filled))


def _filled(values: np.ndarray, where: Bool[np.ndarray, "..."], random: np.random.Generator) -> np.ndarray:
    """Other values in some places: ids that occur in the same column, or large numbers."""
    if values.dtype.kind == "f":  # counts and times are never negative
        return np.where(where, random.uniform(0, 30, values.shape), values).astype(np.float32)
    most = values.max(axis=0, initial=1)
    return np.where(where, random.integers(1, most + 1, values.shape), values).astype(values.dtype)


def _spread(whole: Batch, random: np.random.Generator) -> _Altered:
    """Empty places between members, who keep their order."""
    member = np.asarray(whole.member_mask)
    at = random.permuted(np.broadcast_to(np.arange(member.shape[1]), member.shape), axis=1)
    # The places drawn for those who are there come first, in ascending order.
    at = np.sort(np.where(member, at, at + member.shape[1]), axis=1) % member.shape[1]
    spread = {name: np.zeros_like(getattr(whole, name)) for name in _OF_MEMBERS if _has(whole, name)}
    for name, values in spread.items():
        values[np.arange(len(at))[:, None], at] = getattr(whole, name)
    return _in_place(whole._replace(**spread), at)


def _permuted(whole: Batch, random: np.random.Generator) -> _Altered:
    """The rows of all tables in another order, but for the empty ones."""
    orders = [np.append(0, 1 + random.permutation(_ROWS + _MORE)) for _ in range(5)]
    sequences, windows, counts, individuals, accounts = orders
    order = {
        "sequences": sequences,
        "gaps": sequences,
        "windows": windows,
        "count_windows": windows,
        "window_ages": windows,
        "counts": counts,
        "individuals": individuals,
        "accounts": accounts,
    }
    batch = whole._replace(**{name: getattr(whole, name)[rows] for name, rows in order.items() if _has(whole, name)})
    place = [np.argsort(rows).astype(np.int32) for rows in orders]
    return _in_place(
        batch._replace(
            windows=place[0][batch.windows],
            member_windows=place[1][batch.member_windows],
            count_windows=place[2][batch.count_windows],
            members=place[3][batch.members],
            account=place[4][batch.account],
        )
    )


def _among_others(whole: Batch, random: np.random.Generator) -> _Altered:
    """Half of the samples, in another order and beside others: one of them, many times."""
    of, at = (random.permutation(_SAMPLES - 1)[: _SAMPLES // 2] for _ in range(2))
    rows = np.full(_SAMPLES, random.integers(_SAMPLES - 1))
    rows[at] = of
    return _Altered(_taken(whole, rows), of, at, _in_place(whole).places[: len(of)])


_ALTERATIONS: dict[str, Callable[[Batch, np.random.Generator], _Altered]] = {
    "With more places, samples, rows, periods and activities than needed": _fewer,
    "With anything where nothing is": _garbage,
    "With empty places between members": _spread,
    "With the rows of tables permuted": _permuted,
    "Beside other samples": _among_others,
}
"""What changes nothing, as a problem is told."""


def _has(batch: Batch, name: str) -> bool:
    return getattr(batch, name) is not None


def _taken(batch: Batch, rows: Int[np.ndarray, " n"]) -> Batch:
    """Some samples of a batch."""
    return batch._replace(**{name: getattr(batch, name)[rows] for name in OF_SAMPLES if _has(batch, name)})


def _in_place(batch: Batch, places: Int[np.ndarray, "B K"] | None = None) -> _Altered:
    """A batch in which all real samples stand where they stood, and their members too, unless places are given."""
    rows = np.flatnonzero(batch.mask)
    places = np.broadcast_to(np.arange(batch.members.shape[1]), batch.members.shape) if places is None else places
    return _Altered(batch, rows, rows, places[rows])
