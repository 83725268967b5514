"""Proofs that a user can run on their own data and model: each looks for a way to fool oneself, and says what it saw.

``check_no_future``: nothing at or after a cut-off changes what goes into a score. ``check_mask_invariance``: padding
and batch mates change nothing. ``check_split``: nobody stands on both sides of the split.
"""

from collections.abc import Iterator

from hanjax.checks.features import check_mart
from hanjax.checks.future import check_no_future
from hanjax.checks.masks import check_mask_invariance
from hanjax.checks.splits import check_split
from hanjax.checks.verdict import Verdict
from hanjax.run import Run
from hanjax.run.base import BaseRun
from hanjax.types import Tables

__all__ = ["Verdict", "check_all", "check_mart", "check_mask_invariance", "check_no_future", "check_split"]


def check_all(run: BaseRun, tables: Tables) -> Iterator[Verdict]:
    """Runs every check, one after the other.

    Args:
        run: a trained model.
        tables: the data.

    Yields:
        The verdicts on the split, on masks (of a network) and on the future, which takes longest.

    Raises:
        DataError: if the tables are not what they should be.
        ConfigError: if the run is not trained.

    Example:
        >>> import hanjax
        >>> from hanjax.checks import check_all
        >>> market = hanjax.simulate(accounts=60, conversions=0.4, seed=1)
        >>> run = hanjax.fit(market.tables, config=hanjax.Config().replace(epochs=1, test=0.2))
        >>> next(check_all(run, market.tables)).name
        'check_split'
    """
    yield check_split(run, tables)
    if isinstance(run, Run):  # the others have no masks
        yield check_mask_invariance(run)
    yield check_no_future(run, tables)
