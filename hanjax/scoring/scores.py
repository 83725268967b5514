"""Joint scores of accounts and individuals, from a panel: every distinct sequence and window is encoded once."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float, PyTree

from hanjax.data.batches import gather, plan_epoch
from hanjax.data.dealing import FEW, places_taken
from hanjax.data.distinct import capacity
from hanjax.errors import RunError
from hanjax.evaluation.calibration import Calibration, apply_calibration, probability, unweight
from hanjax.nn.functional import Network
from hanjax.nn.han import Scored
from hanjax.run import Run
from hanjax.tabular.run import AnyRun
from hanjax.types import OF_SAMPLES, Batch, Panel, Scores

_ON_A_CPU, _ON_AN_ACCELERATOR = (4096, 512), (65536, 8192)
"""Rows of a table, and samples, computed at a time: fixed, so that equal inputs give equal bits."""
_AT_A_TIME = 1024
"""Samples computed at a time where each network speaks for itself."""
_AHEAD = 8
"""Chunks that the device has to do, so that it never waits for the host."""


class _Stage(NamedTuple):
    """Which fields of a batch a stage of the network goes through, and which others it reads whole."""

    rows: tuple[str, ...]
    whole: tuple[str, ...] = ()


_SEQUENCES = _Stage(("sequences", "gaps"))
_WINDOWS = _Stage(("windows", "count_windows", "window_ages"), whole=("counts",))
_SAMPLES = _Stage(OF_SAMPLES, whole=("individuals", "accounts"))


def score_panel(
    panel: Panel,
    network: Network,
    params: PyTree,
    *,
    positive_weight: float,
    horizons: tuple[int, ...] = (1,),
    calibrations: Sequence[Calibration] | None = None,
    raw: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Scores:
    """Scores every sample of a panel, and each of its members.

    An individual's score is the account score of the group made of that individual alone.

    Args:
        panel: the samples.
        network: the model, as pure functions.
        params: its parameters.
        positive_weight: w of the loss it was trained with, which is taken out of the probabilities.
        horizons: periods ahead of each outcome; the first one's probability is called ``probability``, the others'
            ``probability_within_4`` and so on.
        calibrations: what maps the log-odds of each horizon, without the weight, to probabilities; those of individuals
            are mapped like their account's. None where the logistic function does.
        raw: leave the weight in, and calibrate nothing.
        progress: called with the number of samples just scored.

    Returns:
        ``accounts``: account_id, cutoff, probability, raw_score (with the weight left in), rank (1 is the most likely
        account of a cut-off; equal ones share a rank), n_members, attention (shares of the window's periods, oldest
        first, averaged over the members by their shares), then the accounts' segments and those of outcomes.
        ``individuals``: account_id, individual_id, cutoff, score (a probability), share (of the account's aggregation),
        rank_in_account, attention; and the segments of outcomes, which tell rows of one account and cut-off apart.
    """
    found, attention = score_samples(panel, network, params, progress=progress)
    return _frames(panel, found, attention, horizons, _probabilities(positive_weight, calibrations, raw))


def score_run(
    run: AnyRun, panel: Panel, *, raw: bool = False, progress: Callable[[int], object] | None = None
) -> Scores:
    """Scores every sample of a panel, and its members, with a trained run of either kind; see ``score_panel``.

    A tabular model has no shares: there, ``share`` and ``attention`` are NaN.

    Args:
        run: the model.
        panel: the samples, encoded with the run's encoding.
        raw: leave the class weight in, and calibrate nothing.
        progress: called with the number of samples just scored.

    Raises:
        RunError: if the run is not trained.
    """
    found, attention = run_samples(run, panel, progress=progress)
    probabilities = _probabilities(run.positive_weight, run.calibrations, raw)
    return _frames(panel, found, attention, run.config.panel.horizons, probabilities)


def run_samples(
    run: AnyRun, panel: Panel, *, progress: Callable[[int], object] | None = None
) -> tuple[Scored, Float[np.ndarray, "M W"]]:
    """Log-odds of every sample of a panel and of its members by a trained run of either kind; see ``score_samples``.

    Args:
        run: the model; a tabular one has no shares, which are NaN.
        panel: the samples, encoded with the run's encoding.
        progress: called with the number of samples just scored.

    Raises:
        RunError: if the run is not trained.
    """
    if not run.trained:
        raise RunError("The run holds no trained parameters. Train it with `fit` first.")
    if isinstance(run, Run):
        return score_samples(panel, run.network, run.params, progress=progress)
    scored = Scored(
        logit=run.logits(panel),
        member_share=np.full(panel.batch.members.shape, np.nan),
        member_logit=run.member_logits(panel),
    )
    if progress is not None:
        progress(len(panel.samples))
    return scored, np.full(panel.batch.windows.shape, np.nan)


def training_logits(run: AnyRun, panel: Panel) -> Float[np.ndarray, "n B H"]:
    """What each training of a run says of every sample: each network of an ensemble, or the one tabular model.

    Args:
        run: the model.
        panel: the samples, encoded with the run's encoding.

    Returns:
        Log-odds, with the weight of the loss still in them.
    """
    return network_logits(panel, run.network, run.params) if isinstance(run, Run) else run.logits(panel)[None]


def score_samples(
    panel: Panel, network: Network, params: PyTree, *, progress: Callable[[int], object] | None = None
) -> tuple[Scored, Float[np.ndarray, "M W"]]:
    """Log-odds of every sample of a panel and of each of its members, in chunks of fixed shapes.

    Args:
        panel: the samples.
        network: the model, as pure functions.
        params: its parameters.
        progress: called with the number of samples just scored.

    Returns:
        What the network says of each sample, with the weight of the loss still in it, as NumPy arrays; and the shares
        of the periods of each of the panel's windows.
    """
    batch, programs = panel.batch, _programs(network)
    some_rows, some_samples = _ON_A_CPU if jax.default_backend() == "cpu" else _ON_AN_ACCELERATOR
    periods = _whole(programs["periods"](params, chunk) for _, chunk in _chunks(batch, _SEQUENCES, some_rows))
    table = jnp.asarray(_padded(periods.value[: len(batch.sequences)], capacity(len(batch.sequences))))
    windows = _whole(programs["windows"](params, table, chunk) for _, chunk in _chunks(batch, _WINDOWS, some_rows))
    table = jnp.asarray(_padded(windows.value[: len(batch.windows)], capacity(len(batch.windows))))
    few = places_taken(batch) <= FEW
    parts, order = [], np.concatenate([np.flatnonzero(few), np.flatnonzero(~few)])
    for rows, places in ((order[: few.sum()], FEW), (order[few.sum() :], batch.members.shape[1])):
        chunks = _chunks(_of(batch, rows, places), _SAMPLES, some_samples)
        for begin, scored in _fetched((begin, programs["score"](params, table, chunk)) for begin, chunk in chunks):
            count = min(some_samples, len(rows) - begin)
            parts.append(jax.tree.map(lambda array, count=count: array[:count], _with_places(scored, batch)))
            if progress is not None:
                progress(count)
    return jax.tree.map(lambda array: array[np.argsort(order)], _whole(parts)), windows.weights


def network_logits(panel: Panel, network: Network, params: PyTree) -> Float[np.ndarray, "n B H"]:
    """What each network of an ensemble says of every sample, where the ensemble says their mean.

    Args:
        panel: the samples.
        network: a model, as pure functions.
        params: its parameters, those of an ensemble with the networks as leading axis.

    Returns:
        Log-odds, with the weight of the loss still in them; of a single network, n is 1.

    Example:
        >>> import hanjax
        >>> from hanjax.config import ModelConfig
        >>> from hanjax.nn import Sizes, ensemble, network
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> three = ensemble(network(ModelConfig(activity_width=4, window_width=4), Sizes.of(panel.batch)), 3)
        >>> network_logits(panel, three, three.init(jax.random.key(0))).shape == (3, len(panel.samples), 1)
        True
    """
    plan = plan_epoch(panel.batch, np.arange(len(panel.samples)), batch_size=_AT_A_TIME, seed=None)
    parts = []
    for t in range(len(plan.samples)):
        batch = gather(panel.batch, jax.tree.map(lambda array, t=t: array[t], plan))
        logit = _of_each(network)(params, batch)
        parts.append(np.moveaxis(np.asarray(logit, np.float64).reshape(-1, *logit.shape[-2:]), 0, 1))
    return np.moveaxis(plan.restored(np.stack(parts)), 1, 0)


def _probabilities(
    positive_weight: float, calibrations: Sequence[Calibration] | None, raw: bool
) -> Callable[[Float[np.ndarray, " n"], int], Float[np.ndarray, " n"]]:
    """What makes probabilities of a horizon's log-odds."""

    def probabilities(logit: Float[np.ndarray, " n"], horizon: int) -> Float[np.ndarray, " n"]:
        if raw:
            return probability(logit)
        unweighted = unweight(logit, positive_weight=positive_weight)
        return probability(unweighted) if calibrations is None else apply_calibration(calibrations[horizon], unweighted)

    return probabilities


def _of(batch: Batch, rows: np.ndarray, places: int) -> Batch:
    """Some samples, with the first places for members alone."""
    there = {name: getattr(batch, name)[rows] for name in OF_SAMPLES if getattr(batch, name) is not None}
    cut = {name: there[name][:, :places] for name in ("members", "member_windows", "member_numbers") if name in there}
    return batch._replace(**there | cut)


def _with_places(scored: Scored, batch: Batch) -> Scored:
    """Scores with zeros in the places that small groups were computed without."""
    share, logit = scored.member_share, scored.member_logit
    missing = (0, batch.members.shape[1] - share.shape[1])
    return scored._replace(
        member_share=np.pad(share, [(0, 0), missing]), member_logit=np.pad(logit, [(0, 0), missing, (0, 0)])
    )


@functools.lru_cache(maxsize=8)
def _programs(network: Network) -> dict[str, Callable[..., Any]]:
    return {
        "periods": jax.jit(network.encode_periods),
        "windows": jax.jit(network.encode_windows),
        "score": jax.jit(network.score),
    }


@functools.lru_cache(maxsize=8)
def _of_each(network: Network) -> Callable[..., Any]:
    return jax.jit(lambda params, batch: network.train(params, batch, None).logit)


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    return np.pad(array, [(0, size - len(array)), *[(0, 0)] * (array.ndim - 1)])


def _chunks(batch: Batch, cut: _Stage, size: int) -> Iterator[tuple[int, Batch]]:
    """Cuts some fields of a batch into chunks of one size; the last one is filled up with zeros.

    Fields that the stage reads whole are filled up to a rung of the ladder, and of the others goes only the first row:
    the shapes, and so the compiled programs and the bits, depend on no table that the stage does not read.
    """
    there = {name: np.asarray(array) for name, array in batch._asdict().items() if array is not None}
    rest = {
        name: jnp.asarray(_padded(array, capacity(len(array))) if name in cut.whole else array[:1])
        for name, array in there.items()
        if name not in cut.rows
    }
    for begin in range(0, len(there[cut.rows[0]]), size):
        some = {name: _padded(there[name][begin : begin + size], size) for name in cut.rows if name in there}
        yield begin, batch._replace(**rest, **some)


def _fetched(results: Iterable[Any]) -> Iterator[Any]:
    """Results on the host, each fetched while some of the next are being computed."""
    waiting = deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > _AHEAD:
            yield jax.device_get(waiting.popleft())
    yield from map(jax.device_get, waiting)


def _whole(parts: Iterable[Any]) -> Any:
    """The chunks' results, one below the other."""
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *_fetched(parts))


def _frames(
    panel: Panel,
    scored: Scored,
    attention: Float[np.ndarray, "M W"],
    horizons: tuple[int, ...],
    probabilities: Callable[[Float[np.ndarray, " n"], int], Float[np.ndarray, " n"]],
) -> Scores:
    """Lays scores out as DataFrames."""
    batch, samples = panel.batch, panel.samples
    logit = scored.logit.astype(np.float64)
    of_member = attention[batch.member_windows]
    head, raw = samples[["account_id", "cutoff"]], probability(logit[:, 0])
    segments = samples.columns.difference(["account_id", "cutoff", "period", "n_members"], sort=False)
    accounts = head.assign(
        probability=probabilities(logit[:, 0], 0),
        raw_score=raw,
        rank=pd.Series(raw).groupby(samples["cutoff"]).rank(ascending=False, method="min").astype(int),
        n_members=samples["n_members"],
        **{f"probability_within_{n}": probabilities(logit[:, h], h) for h, n in enumerate(horizons) if h},
        attention=list(np.einsum("bk,bkw->bw", scored.member_share, of_member)),
        **{str(name): samples[name] for name in segments},
    )
    b, k = np.nonzero(batch.member_mask)
    alone = scored.member_logit[b, k, 0].astype(np.float64)
    individuals = pd.DataFrame(
        {
            "account_id": samples["account_id"].to_numpy()[b],
            "individual_id": panel.individual_ids.to_numpy()[panel.member_ids[b, k]],
            "cutoff": samples["cutoff"].array[b],
            "score": probabilities(alone, 0),
            "share": scored.member_share[b, k],
            "rank_in_account": pd.Series(alone).groupby(b).rank(ascending=False, method="min").astype(int),
            "attention": list(of_member[b, k]),
            **{name: samples[name].array[b] for name in panel.unit or ()},
        }
    )
    return Scores(accounts, individuals)
