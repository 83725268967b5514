"""Nobody stands on both sides of the split."""

import pandas as pd

from hanjax.checks.verdict import Verdict
from hanjax.data.frames import frames
from hanjax.data.ids import check_ids
from hanjax.data.splits import TEST, TRAIN, VALIDATION
from hanjax.run.base import BaseRun
from hanjax.types import Tables

_PARTS = (TRAIN, VALIDATION, TEST)


def check_split(run: BaseRun, tables: Tables | None = None) -> Verdict:
    """Looks whether each account, and each individual of the data, is in one part of the split alone.

    Args:
        run: a model, trained or not; its split says which accounts were for training, validation and the test.
        tables: the data; None to look at accounts alone.

    Returns:
        The verdict. Its notes count accounts that only the split or only the data have, and say if the test is by time.

    Raises:
        DataError: if the tables' ids are not what they should be.

    Example:
        >>> import hanjax
        >>> from hanjax.checks import check_split
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> check_split(run, market.tables)
        passed  check_split: 60 accounts (41 train, 7 validation, 12 test), 306 individuals
    """
    # A folder's split has ids as text, whatever they are in the data.
    split = pd.DataFrame({"account": run.split.index.astype(str), "part": run.split.to_numpy()}).drop_duplicates()
    counts = split["part"].value_counts()
    checked = f"{split['account'].nunique():,} accounts ({', '.join(f'{counts.get(p, 0):,} {p}' for p in _PARTS)})"
    problems, notes = [], []
    strange = split[~split["part"].isin(_PARTS)]
    if len(strange):
        problems.append(f"{_few(strange['account'])} in a part that there is not: {strange['part'].iloc[0]!r}.")
    if TRAIN not in counts:
        problems.append("No account is for training.")
    split = split[split["part"].isin(_PARTS)]
    problems += _in_several_parts("accounts", split["account"], split["part"])

    if run.config.train.until is not None:
        notes.append(
            f"The test is by time: training knew nothing from {run.config.train.until} on, and all accounts are tested "
            "on what came then."
        )
    elif TEST not in counts:
        notes.append("No account is for the test: it takes accounts that the split does not know.")
    if tables is not None:
        given = check_ids(frames(tables, run.config.panel))
        there = pd.Index(given.accounts["account_id"].to_pandas()).astype(str).unique()
        known = pd.Index(split["account"])
        for where, ids in (("data", there.difference(known)), ("split", known.unique().difference(there))):
            if len(ids):
                notes.append(f"In the {where} alone: {_few(ids)}.")
        columns = ["individual_id", "account_id"]
        pairs = [table.select(columns).to_pandas().drop_duplicates() for table in (given.events, given.individuals)]
        people = pd.concat([pair.astype(str) for pair in pairs]).drop_duplicates()
        people = people.merge(split, left_on="account_id", right_on="account")
        problems += _in_several_parts("individuals", people["individual_id"], people["part"])
        checked += f", {people['individual_id'].nunique():,} individuals"
    return Verdict("check_split", not problems, checked, tuple(problems), tuple(notes))


def _in_several_parts(what: str, ids: pd.Series, part: pd.Series) -> list[str]:
    """Says which ids occur in several parts."""
    pairs = pd.DataFrame({"id": ids, "part": part}).drop_duplicates()
    pairs = pairs[pairs["id"].duplicated(keep=False)]
    pairs = pairs.assign(order=pairs["part"].map(_PARTS.index)).sort_values("order")
    together = pairs.groupby("id")["part"].agg(" and ".join)
    return [f"{_few(own.index, what)} in {parts}." for parts, own in together.groupby(together)]


def _few(ids: pd.Index | pd.Series, what: str = "accounts") -> str:
    """How many there are, with the first of them."""
    first = ", ".join(map(repr, list(ids)[:5]))
    return f"{len(ids):,} {what if len(ids) > 1 else what[:-1]} ({first}{', ...' if len(ids) > 5 else ''})"
