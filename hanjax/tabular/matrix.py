"""Named columns, one row a sample, of what a network is given of the same samples."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool

from hanjax.config import PanelConfig
from hanjax.data.counts import account_counts, activity_counts, level_shares, mean_and_maximum
from hanjax.data.encoding import MISSING, Encoding, Scale
from hanjax.errors import DataError
from hanjax.types import OF_SAMPLES, Panel

_COUNTS = {
    "activities": "activities in the window",
    "latest": "activities in the last period",
    "active_members": "active members",
    "members": "members",
}
_RECENCY = "periods since the latest activity"


def matrix_of(
    panel: Panel,
    encoding: Encoding,
    config: PanelConfig,
    *,
    segments: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """The samples of a panel as a table of numbers, from exactly what a network is given of them.

    Counts are log(1 + n): of each activity in the window and in its last period, summed over the members (untruncated
    volumes if the panel has them, else what stands in the sequences), of all activities, of members, and of those who
    were active. Numbers of accounts and members are standardized, as the network is given them.

    Args:
        panel: the samples.
        encoding: what they were encoded with.
        config: the settings of the data.
        segments: the levels of columns of ``panel.samples`` that are given, too, each level as a column of 0 and 1; see
            ``segment_levels``. None for none, as a network is not given them either.

    Returns:
        One row a sample, float32, no value missing. The columns depend on the encoding, the settings and the segments
        alone: "activities in the window", "activities in the last period", "active members", "members", "periods since
        the latest activity" (one more than the window has where there was none; not where windows hold active periods
        of unknown age); "X in the window" and "X in the last period" for each activity X; numbers of accounts, static,
        dated and counted as of the cut-off, by their names, each with "X missing" if that occurs in training; "mean X"
        and "highest X" of the members' numbers; "C = level" and "C unknown", the share of members with each level of
        each category C; "S = level" of each segment S. Where two would have one name, the source is added to both.

    Raises:
        DataError: if the panel was encoded with something else, or lacks a segment.

    Example:
        >>> import hanjax
        >>> from hanjax.data.encoding import fit_encoding
        >>> from hanjax.data.panel import make_panel
        >>> from hanjax.data.tables import check
        >>> config = hanjax.PanelConfig()
        >>> log = check(hanjax.simulate(accounts=20, seed=0).tables, config)
        >>> panel, encoding = make_panel(log, config, fit_encoding(log, config))
        >>> matrix_of(panel, encoding, config).columns[:5].tolist()
        ['activities in the window', 'activities in the last period', 'active members', 'members', ...]
    """
    batch, blocks = panel.batch, []

    def add(source: str, names: Sequence[str], values: np.ndarray) -> None:
        if len(names) != values.shape[1]:
            raise DataError(
                f"panel: {source} has {values.shape[1]} columns, the encoding {len(names)}. Give the encoding and the "
                "settings that the panel was made with."
            )
        blocks.append((source, list(names), values))

    counts = account_counts(panel)
    add("counts", list(_COUNTS.values()), np.log1p(counts[list(_COUNTS)].to_numpy()))
    if config.window_kind == "calendar" or batch.window_ages is not None:
        add("counts", [_RECENCY], counts[["recency"]].to_numpy())
    known = activity_counts(batch, vocabulary=encoding.vocabulary)[
        :, :, 2:
    ]  # what was unknown in training says nothing
    add("events", [f"{name} in the window" for name in encoding.activities], np.log1p(known.sum(axis=1)))
    add("events", [f"{name} in the last period" for name in encoding.activities], np.log1p(known[:, -1]))
    add("accounts", _scaled(encoding.numbers), batch.accounts[batch.account])
    of_cutoff = np.zeros((len(counts), 0)) if batch.account_numbers is None else batch.account_numbers
    dated = _scaled(encoding.features)
    add("account_features", dated, of_cutoff[:, : len(dated)])
    add("account_numbers", _scaled(encoding.as_of or ()), of_cutoff[:, len(dated) :])
    for how, values in zip(("mean", "highest"), mean_and_maximum(batch), strict=False):
        add("members", [f"{how} {name}" for name in _scaled(encoding.of_members or ())], values)
    levels = [
        f"{name} = {level}" if level else f"{name} unknown"
        for name, of_category in encoding.categories
        for level in (None, *of_category)
    ]
    add("individuals", levels, level_shares(batch, encoding.levels))
    for name, of_segment in (segments or {}).items():
        held = _segment(panel.samples, name).to_numpy()[:, None] == np.array(list(of_segment), object)
        add("segments", [f"{name} = {level}" for level in of_segment], held)

    names = [name for _, own, _ in blocks for name in own]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    named = [f"{name} ({source})" if name in twice else name for source, own, _ in blocks for name in own]
    values = np.concatenate([np.asarray(values, np.float32) for _, _, values in blocks], axis=1)
    return pd.DataFrame(values, columns=named)


def segment_levels(samples: pd.DataFrame, segments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The levels of segments, from the samples that are trained on.

    Args:
        samples: some rows of ``panel.samples``.
        segments: names of its columns.

    Returns:
        The levels of each, sorted; "(missing)" is one if it occurs.

    Raises:
        DataError: if there is no such segment.

    Example:
        >>> import pandas as pd
        >>> from hanjax.tabular.matrix import segment_levels
        >>> segment_levels(pd.DataFrame({"region": ["north", None, "east"]}), ["region"])
        {'region': ('(missing)', 'east', 'north')}
    """
    return {name: tuple(sorted(_segment(samples, name).unique())) for name in segments}


def alone(panel: Panel) -> tuple[Panel, Bool[np.ndarray, "B K"]]:
    """Every member of every sample as a group of their own: the account's numbers stay, the other members are gone.

    Args:
        panel: the samples.

    Returns:
        A panel with one sample for each member, sample by sample; and which places of the samples they had.

    Example:
        >>> import hanjax
        >>> from hanjax.tabular.matrix import alone
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> len(alone(panel)[0].samples) == panel.samples["n_members"].sum()
        np.True_
    """
    there = np.asarray(panel.batch.member_mask)
    b, k = np.nonzero(there)
    of_samples = {name: getattr(panel.batch, name) for name in OF_SAMPLES if getattr(panel.batch, name) is not None}
    fields = {name: array[b] for name, array in of_samples.items()}
    for name in ("members", "member_windows", "member_numbers"):
        if name in of_samples:
            fields[name] = of_samples[name][b, k][:, None]
    single = panel._replace(
        batch=panel.batch._replace(**fields, blocks=None),
        samples=panel.samples.iloc[b].assign(n_members=1).reset_index(drop=True),
        member_ids=panel.member_ids[b, k][:, None],
    )
    return single, there


def some(panel: Panel, rows: np.ndarray | slice) -> Panel:
    """Some samples of a panel, in their order, with the tables of distinct rows as they are.

    Args:
        panel: the samples.
        rows: positions, a mask or a slice.

    Example:
        >>> import hanjax
        >>> from hanjax.tabular.matrix import some
        >>> panel = hanjax.encode(hanjax.simulate(accounts=20, seed=0).tables)
        >>> len(some(panel, slice(3)).samples)
        3
    """
    of_samples = {name: getattr(panel.batch, name) for name in OF_SAMPLES if getattr(panel.batch, name) is not None}
    batch = panel.batch._replace(**{name: array[rows] for name, array in of_samples.items()}, blocks=None)
    samples = panel.samples.iloc[rows].reset_index(drop=True)
    return panel._replace(batch=batch, samples=samples, member_ids=panel.member_ids[rows])


def _scaled(scales: Sequence[Scale]) -> list[str]:
    """The names of the columns that scales make."""
    return [name for s in scales for name in ([s.column, f"{s.column} missing"] if s.indicator else [s.column])]


def _segment(samples: pd.DataFrame, name: str) -> pd.Series:
    own = samples.columns.difference(["account_id", "cutoff", "period", "n_members"])
    if name not in own:
        raise DataError(
            f"segments: there is no {name!r} among the accounts' text columns ({', '.join(own) or 'none'})."
        )
    return samples[name].astype(object).where(samples[name].notna(), MISSING).astype(str).astype(object)
