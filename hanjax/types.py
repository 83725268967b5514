"""The nouns of hanjax: what a user brings, what a model sees, and what comes out.

Axis letters, used in every annotation: B samples, K members of a group, W periods of a window, L activities
kept of a period, V vocabulary, S distinct sequences, M distinct windows, C distinct counts, I distinct versions of
individuals, A distinct versions of accounts, F, G, N features, H horizons, Q factors of segments, D width.

A *sample* is one account at one *cut-off* (the start of a period). Row 0 of every table is the empty one, so that
an index of 0 always means "nothing here":

* ``members == 0``: no such member;
* ``members > 0`` and ``member_windows == 0``: a member who was quiet for the whole window;
* ``windows == 0`` inside a window: a quiet period.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Array, Bool, Float, Int, UInt

from hanjax.errors import DataError
from hanjax.notebook import html_of


class Tables(NamedTuple):
    """What a user brings: DataFrames of pandas, polars or pyarrow, or what ``hanjax.read`` found in a folder.

    Args:
        events: ``account_id, individual_id, timestamp, activity``; optional ``count`` (integer >= 1), ``known_at``
            (the row is used only from then on) and ``order`` (ties).
        individuals: ``individual_id, account_id``; optional ``arrived_at`` (default: first event) and ``known_at``;
            every other column is a static category.
        accounts: ``account_id``; optional ``observed_from, observed_to, converted_at`` (empty: has not), ``name``
            and ``known_at``; other numeric columns are static numbers, text columns are segments.
        account_features: optional ``account_id, known_at`` and numeric columns: numbers that change over time.
        folds: optional ``account_id, fold``.
        outcomes: optional ``account_id, as_of, label`` (1 or 0, in between if not sure, empty where not known);
            optional ``known_at`` (default: the end of the period that holds ``as_of``); text columns, such as region or
            product, are segments, by which rows of one account and period are told apart. If given, the samples are
            its rows, each at the start of the period that holds ``as_of``, and ``converted_at`` is not used.
    """

    events: Any
    individuals: Any
    accounts: Any
    account_features: Any = None
    folds: Any = None
    outcomes: Any = None

    def __repr__(self) -> str:
        """Says how many rows each table has."""
        given = {name: table for name, table in self._asdict().items() if table is not None}
        sized = {name: f"{len(t):,} rows" if hasattr(t, "__len__") else type(t).__name__ for name, t in given.items()}
        return f"Tables({', '.join(f'{name}: {size}' for name, size in sized.items())})"


class LeftOut(NamedTuple):
    """Rows that were not used, and why.

    Args:
        table: the table that they belong to ("samples" for samples that were not made).
        reason: why, in words.
        rows: how many.
        first: up to five of them, by id.
    """

    table: str
    reason: str
    rows: int
    first: tuple = ()


def hard_label(label: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Outcomes as 0 or 1, NaN where unknown: one that is not sure counts as a conversion from 0.5 on.

    Example:
        >>> import numpy as np
        >>> from hanjax.types import hard_label
        >>> hard_label(np.array([0.0, 0.4, 0.5, np.nan])).tolist()
        [0.0, 0.0, 1.0, nan]
    """
    return np.where(np.isnan(label), label, label >= 0.5)


REACH = 4
"""How many chunks behind it the parent of a prefix may lie, at most."""


class Prefixes(NamedTuple):
    """The distinct beginnings of a table's rows, each of which extends another one, its parent, by one item.

    They are laid out in C chunks of R, each behind its parent, so that one loop over the chunks computes the state of
    a recurrent layer after every one of them.

    Args:
        cells: ``[C, R]`` a place of the table, counted row by row, whose item is the last one of the prefix.
        parents: ``[C, R]`` the parent, counted from 1 at the beginning of the ``REACH`` chunks before the prefix's own;
            0 is the empty prefix.
        paths: ``[S, L]`` the prefix that ends with each item of the table, counted from 1; 0 where nothing is.
    """

    cells: Int[Array, "C R"]
    parents: Int[Array, "C R"]
    paths: Int[Array, "S L"]


OF_SAMPLES = (
    "members", "member_windows", "account", "label", "mask", "account_numbers", "member_numbers", "segments",
)  # fmt: skip
"""The fields of a batch that have one row a sample; those of the others are looked up."""


class Batch(NamedTuple):
    """Samples as a model sees them: tables of distinct rows, and indices into them.

    Args:
        sequences: ``[S, L]`` distinct activity sequences of one individual in one period, in order of time from the
            left; 0 is padding, 1 the unknown activity.
        windows: ``[M, W]`` distinct windows of one individual, oldest period first, as rows of ``sequences``.
        individuals: ``[I, F]`` distinct static categories of individuals; 0 is padding, 1 the unknown level.
        accounts: ``[A, G]`` distinct static numbers of accounts, standardized, with missing-value indicators.
        members: ``[B, K]`` each sample's individuals in order of arrival, as rows of ``individuals``.
        member_windows: ``[B, K]`` what each of them did, as rows of ``windows``.
        account: ``[B]`` row of ``accounts``.
        label: ``[B, H]`` 1 where the account converts within the horizon, 0 where not, in between if that is not sure,
            NaN where unknown.
        mask: ``[B]`` False for samples that only fill up a shape.
        counts: ``[C, V]`` distinct untruncated volumes of one individual in one period; None unless asked for.
        count_windows: ``[M, W]`` the volumes of each window's periods, as rows of ``counts``.
        account_numbers: ``[B, N]`` numbers of the account as of the cut-off, standardized; None unless asked for.
        gaps: ``[S, L]`` time since the individual's previous activity, in whichever period that was, as log(1 + hours)
            in steps of 1/4; -1 for an individual's first activity, 0 for padding; None unless asked for.
        window_ages: ``[M, W]`` how many periods back each period of a window lies, 1 for the latest before the cut-off;
            0 for quiet periods; None unless asked for.
        member_numbers: ``[B, K, N]`` numbers of each member as of the cut-off, standardized, 0 where no member is; None
            unless asked for.
        sequence_prefixes: the distinct beginnings of ``sequences``, so that each is encoded once; None for row by row.
        window_prefixes: those of ``windows``, quiet periods passed over; None for row by row.
        blocks: for each of the runs of samples that make up the batch, small groups and then the others, an array
            without content, whose shape says how many samples they are and how many members each of them has at most,
            so that fewer places are computed; None for one run.
        segments: ``[B, Q]`` the level of each factor that the sample belongs to; 0 is missing, 1 the unknown level;
            None unless asked for.
    """

    sequences: UInt[Array, "S L"]
    windows: Int[Array, "M W"]
    individuals: Int[Array, "I F"]
    accounts: Float[Array, "A G"]
    members: Int[Array, "B K"]
    member_windows: Int[Array, "B K"]
    account: Int[Array, " B"]
    label: Float[Array, "B H"]
    mask: Bool[Array, " B"]
    counts: Float[Array, "C V"] | None = None
    count_windows: Int[Array, "M W"] | None = None
    account_numbers: Float[Array, "B N"] | None = None
    gaps: Float[Array, "S L"] | None = None
    window_ages: Int[Array, "M W"] | None = None
    member_numbers: Float[Array, "B K N"] | None = None
    sequence_prefixes: Prefixes | None = None
    window_prefixes: Prefixes | None = None
    blocks: tuple[Bool[Array, "n k 0"], ...] | None = None
    segments: Int[Array, "B Q"] | None = None

    @property
    def activity_mask(self) -> Bool[Array, "S L"]:
        """Which places of a sequence hold an activity."""
        return self.sequences > 0

    @property
    def period_mask(self) -> Bool[Array, "M W"]:
        """Which periods of a window were active."""
        return self.windows > 0

    @property
    def member_mask(self) -> Bool[Array, "B K"]:
        """Which places of a group hold a member, active or quiet."""
        return self.members > 0

    @property
    def label_mask(self) -> Bool[Array, "B H"]:
        """Which outcomes are known, in samples that are real."""
        return self.mask[:, None] & (self.label == self.label)

    @classmethod
    def from_dense(
        cls,
        sequences: Int[np.ndarray, "B K W L"],
        *,
        members: Bool[np.ndarray, "B K"],
        individuals: Int[np.ndarray, "B K F"] | None = None,
        accounts: Float[np.ndarray, "B G"] | None = None,
        label: Float[np.ndarray, " B"] | Float[np.ndarray, "B H"] | None = None,
    ) -> "Batch":
        """Makes a batch from dense tensors: the tables then hold every row once per use.

        Args:
            sequences: ``[B, K, W, L]`` activity ids of each member, period and place; 0 is padding (right of the
                activities), 1 an unknown activity. A period of zeros is a quiet one.
            members: ``[B, K]`` True where there is a member.
            individuals: ``[B, K, F]`` static categories (0 is padding, 1 unknown); None for none.
            accounts: ``[B, G]`` static numbers; None for none.
            label: ``[B]`` or ``[B, H]`` outcomes, NaN where unknown; None where all are.

        Returns:
            The batch; a model gives the same values and gradients for it as for the factored batch of the same samples.

        Raises:
            DataError: if a shape, a dtype or a value does not fit, or a padded place comes before an activity.

        Example:
            >>> import numpy as np
            >>> from hanjax import Batch
            >>> batch = Batch.from_dense(np.ones((2, 3, 4, 9), int), members=np.ones((2, 3), bool))
            >>> batch.sequences.shape, batch.members.shape
            ((25, 9), (2, 3))
        """
        sequences, members = np.asarray(sequences), np.asarray(members)
        if sequences.ndim != 4 or sequences.dtype.kind not in "iu":
            raise DataError(f"sequences: expected integers [B, K, W, L], got {sequences.dtype}{list(sequences.shape)}.")
        b, k, w, length = sequences.shape
        if members.shape != (b, k) or members.dtype != bool:
            raise DataError(f"members: expected bool [{b}, {k}], got {members.dtype}{list(members.shape)}.")
        statics = _dense("individuals", np.zeros((b, k, 0), int) if individuals is None else individuals, (b, k))
        numbers = _dense("accounts", np.zeros((b, 0)) if accounts is None else accounts, (b,))
        outcome = np.full(b, np.nan) if label is None else np.asarray(label)
        outcome = _dense("label", outcome[:, None] if outcome.ndim == 1 else outcome, (b,))
        sequences = np.where(members[..., None, None], sequences, 0)  # anything may stand where no member is
        statics = np.where(members[..., None], statics, 0)
        _refuse("sequences", (sequences < 0) | (sequences > 65535), "activity ids must lie in 0..65535")
        gaps = (sequences[..., :-1] == 0) & (sequences[..., 1:] > 0)
        _refuse("sequences", gaps, "padding (0) must stand to the right of a period's activities")
        _refuse("individuals", (statics < 0) | (statics >= 2**31), "ids of categories must lie in 0..2147483647")
        _refuse("accounts", ~np.isfinite(numbers), "numbers must be finite; replace missing ones")
        _refuse("label", ~np.isnan(outcome) & (outcome != 0) & (outcome != 1), "must be 0, 1, or NaN where unknown")

        active = sequences.any(-1)
        rows = np.arange(1, b * k * w + 1, dtype=np.int32).reshape(b, k, w)
        slots = np.arange(1, b * k + 1, dtype=np.int32).reshape(b, k)
        flat = sequences.reshape(b * k * w, length)
        dtype = np.uint8 if flat.max(initial=0) < 256 else np.uint16
        return cls(
            sequences=np.pad(flat.astype(dtype), ((1, 0), (0, 0))),
            windows=np.pad(np.where(active, rows, 0).reshape(b * k, w), ((1, 0), (0, 0))),
            individuals=np.pad(statics.reshape(b * k, statics.shape[2]).astype(np.int32), ((1, 0), (0, 0))),
            accounts=np.pad(numbers, ((1, 0), (0, 0))),
            members=np.where(members, slots, 0),
            member_windows=np.where(active.any(-1), slots, 0),
            account=np.arange(1, b + 1, dtype=np.int32),
            label=outcome,
            mask=np.ones(b, bool),
        )


def _dense(name: str, array: Any, lead: tuple[int, ...]) -> np.ndarray:
    """One of the dense tensors besides the sequences, checked: axes in front as given, one more behind, numbers."""
    array, kind = np.asarray(array), "integers" if name == "individuals" else "numbers"
    if array.dtype.kind not in ("iu" if kind == "integers" else "biuf") or array.shape != (*lead, *array.shape[-1:]):
        expected = ", ".join([*map(str, lead), {"individuals": "F", "accounts": "G", "label": "H"}[name]])
        raise DataError(f"{name}: expected {kind} [{expected}], got {array.dtype}{list(array.shape)}.")
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused
        return array if kind == "integers" else array.astype(np.float32)


def _refuse(name: str, wrong: Bool[np.ndarray, "..."], rule: str) -> None:
    """Raises an error that names the first of the places that are wrong, if any is."""
    if wrong.any():
        first = ", ".join(str(i) for i in np.argwhere(wrong)[0])
        raise DataError(f"{name}: {rule} ({wrong.sum():,} wrong; first: [{first}]).")


class Panel(NamedTuple):
    """All samples of a data set: one large batch on the host, with the ids and dates that a model must not see.

    Args:
        batch: every sample, as NumPy arrays.
        samples: one row a sample, sorted by account and cut-off: ``account_id``, ``cutoff`` (start of the period,
            in the panel's time zone), ``period`` (its number), ``n_members``, the accounts' segments as of then (names
            are the latest), and those of the outcomes.
        member_ids: ``[B, K]`` positions in ``individual_ids``, -1 where there is no member.
        individual_ids: ids of the individuals.
        left_out: every row that was left out, by reason.
        notes: other things that a reader should know, one sentence each.
        unit: if the samples are rows of a table of outcomes, the columns of ``samples`` that are segments of these;
            None if they are every period of every account.
    """

    batch: Batch
    samples: pd.DataFrame
    member_ids: Int[np.ndarray, "B K"]
    individual_ids: pd.Index
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    unit: tuple[str, ...] | None = None

    @property
    def keys(self) -> list[str]:
        """The columns of ``samples`` by which each sample is told apart from all others."""
        return ["account_id", "cutoff", *(self.unit or ())]

    def __repr__(self) -> str:
        """Says how large the panel is, and how much sharing the distinct rows bring."""
        batch, n = self.batch, len(self.samples)
        slots = int((np.asarray(batch.members) > 0).sum())
        positive = int(np.nansum(hard_label(np.asarray(batch.label)[:, :1])))
        return (
            f"Panel({n:,} samples of {self.samples['account_id'].nunique():,} accounts, {positive:,} conversions; "
            f"{slots:,} members over {len(batch.windows) - 1:,} distinct windows and "
            f"{len(batch.sequences) - 1:,} distinct sequences)"
        )

    def _repr_html_(self) -> str:
        """For notebooks: sizes, the outcomes, and what was left out."""
        batch, cutoffs = self.batch, self.samples["cutoff"]
        label = np.asarray(batch.label)[:, 0]
        sizes = {
            "samples": len(label),
            "conversions": int(np.nansum(hard_label(label))),
            "without an outcome": int(np.isnan(label).sum()),
            "accounts": self.samples["account_id"].nunique(),
            "individuals": len(np.unique(self.member_ids[self.member_ids >= 0])),
            "cut-offs": cutoffs.nunique(),
            "distinct windows": len(batch.windows) - 1,
            "distinct sequences": len(batch.sequences) - 1,
        }
        left_out = pd.DataFrame(self.left_out, columns=["left out of", "because", "rows", "first"])
        left_out["first"] = [", ".join(map(str, ids)) for ids in left_out["first"]]
        span = f"Cut-offs from {cutoffs.min()} to {cutoffs.max()}." if len(cutoffs) else ""
        return html_of("Panel", pd.DataFrame(sizes, index=[0]), span, left_out, *self.notes)


class Output(NamedTuple):
    """What a model says of a batch.

    Args:
        logit: ``[B, H]`` log-odds of conversion within each horizon (of the weighted loss, so not yet corrected).
        member_share: ``[B, K]`` each member's share in the aggregation; sums to 1 over a sample's members.
        period_share: ``[M, W]`` attention over the periods of each window.
        activity_share: ``[S, L]`` attention over the activities of each sequence.
        member_logit: ``[B, K, H]`` the members' own log-odds, where the aggregation combines such; otherwise None.
        logit_variance: ``[B, H]`` variance of the log-odds, which training averages its loss over, as far as parameters
            have a distribution (those of segments); None where none has.
        penalty: ``[H]`` what that distribution costs in nats, whatever the data; None where there is none.
    """

    logit: Float[Array, "B H"]
    member_share: Float[Array, "B K"]
    period_share: Float[Array, "M W"]
    activity_share: Float[Array, "S L"]
    member_logit: Float[Array, "B K H"] | None = None
    logit_variance: Float[Array, "B H"] | None = None
    penalty: Float[Array, " H"] | None = None


_SAID_OF_SAMPLES = {
    "individual_id", "period", "n_members", "label", "probability", "raw_score", "rank", "attention", "score", "share",
    "rank_in_account",
}  # fmt: skip
"""Columns of scores that do not say of which sample they are."""


class Scores(NamedTuple):
    """Joint scores, as DataFrames.

    Args:
        accounts: one row per account and cut-off, or per row of a table of outcomes.
        individuals: one row per individual of each of these.
    """

    accounts: pd.DataFrame
    individuals: pd.DataFrame

    @property
    def keys(self) -> list[str]:
        """The columns that say of which sample a row is: account, cut-off, and segments that both tables have."""
        return [name for name in self.individuals if name in self.accounts and name not in _SAID_OF_SAMPLES]

    def __repr__(self) -> str:
        """Says how many scores there are."""
        return f"Scores(accounts: {len(self.accounts):,} rows, individuals: {len(self.individuals):,} rows)"

    def _repr_html_(self) -> str:
        """For notebooks: the likeliest accounts at the last cut-off, and who is the likeliest individual of each."""
        latest = self.accounts["cutoff"].max()
        accounts = self.accounts.loc[self.accounts["cutoff"] == latest].sort_values("probability", ascending=False)
        people = self.individuals.loc[self.individuals["cutoff"] == latest].sort_values("score", ascending=False)
        unit = [name for name in self.keys if name != "cutoff"]
        likeliest = people.drop_duplicates(unit)[[*unit, "individual_id", "score"]]
        shown = accounts.head(10)[[*unit, "probability"]].merge(likeliest, how="left", on=unit)
        which = f"The likeliest of {len(accounts):,} accounts at {latest}, and the likeliest individual of each."
        return html_of(repr(self), which if len(shown) else "", shown)
