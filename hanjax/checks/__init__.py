"""Proofs that a user can run on their own data and model: each looks for a way to fool oneself, and says what it saw.

``check_no_future``: nothing at or after a cut-off changes what goes into a score. ``check_mask_invariance``: padding
and batch mates change nothing. ``check_split``: nobody stands on both sides of the split.
"""

from hanjax.checks.future import check_no_future
from hanjax.checks.masks import check_mask_invariance
from hanjax.checks.splits import check_split
from hanjax.checks.verdict import Verdict
from hanjax.run import Run
from hanjax.types import Tables

__all__ = ["Verdict", "check_all", "check_mask_invariance", "check_no_future", "check_split"]


def check_all(run: Run, tables: Tables) -> list[Verdict]:
    """Runs every check.

    Args:
        run: a trained model.
        tables: the data.

    Returns:
        The verdicts on the future, on masks and on the split, in this order.

    Raises:
        DataError: if the tables are not what they should be.
        ConfigError: if the run is not trained.

    Example:
        >>> import hanjax
        >>> from hanjax.checks import check_all
        >>> market = hanjax.simulate(accounts=20, weeks=20, conversions=0.4, seed=1)
        >>> small = dict(activity_width=3, window_width=2, member_width=2, max_members=4)
        >>> config = hanjax.Config().replace(epochs=1, test=0.2, validation=0.3, **small)
        >>> run = hanjax.fit(market.tables, config=config)
        >>> [verdict.passed for verdict in check_all(run, market.tables)]
        [True, True, True]
    """
    return [check_no_future(run, tables), check_mask_invariance(run), check_split(run, tables)]
