"""How far to believe contributions: without the aspects that contribute most, the score should fall as they said."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.errors import DataError
from hanjax.scoring.deletion import area_between
from hanjax.scoring.influence import all_subsets, shapley


@dataclass(frozen=True)
class Faithfulness:
    """What hiding aspects by their contributions does to the accounts' log-odds.

    Args:
        curves: one row for each number of aspects that are hidden (``deleted``): by how much the log-odds fall on
            average if those that contribute most go first (``top``), what their contributions say (``predicted``), the
            mean over all choices of so many aspects (``random``), if those that contribute least go first (``bottom``),
            and for the choice that lowers them most (``best``).
        faithfulness: (top - random) / (best - random), of the areas under the curves: 1 if contributions choose as well
            as trying out every choice, 0 if as well as chance, negative if worse; NaN where no choice matters.
        low: lower end of its 95 % interval, by quantiles over resampled accounts.
        high: upper end.
        agreement: the correlation of the predicted fall and that of ``top``, over accounts and numbers of aspects; NaN
            where one of them is constant.
        accounts: how many were altered.
    """

    curves: pd.DataFrame
    faithfulness: float
    low: float
    high: float
    agreement: float
    accounts: int

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        if np.isnan(self.faithfulness):
            return "Which aspects are hidden makes no difference to the log-odds, so there is nothing to believe."
        return (
            f"Hiding the aspects that contribute most goes {self.faithfulness:.0%} of the way from chance to the best "
            f"choice (95 % interval {self.low:.0%} to {self.high:.0%}), and by how much the log-odds fall correlates "
            f"with what the contributions said by {self.agreement:.2f}."
        )

    def __repr__(self) -> str:
        """The sentence and the curves."""
        return f"{self.sentence}\n{self.curves.to_string(index=False, float_format='{:.3g}'.format)}"


def faithfulness_of(worths: Float[np.ndarray, "coalitions n"], accounts: np.ndarray) -> Faithfulness:
    """Tests contributions by hiding aspects; nothing is drawn at random, as every coalition is known.

    Args:
        worths: ``[2^m, n]`` log-odds of n accounts in every coalition of m aspects, as
            ``hanjax.scoring.influence.shapley`` takes them.
        accounts: ``[n]`` ids of the accounts.

    Returns:
        The curves, the figures, and a sentence.

    Raises:
        DataError: if there are fewer than two aspects.

    Example:
        >>> import numpy as np
        >>> from hanjax.explain.deletion import faithfulness_of
        >>> faithfulness_of(np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.5], [4.0, 0.5]]), np.arange(2)).faithfulness
        1.0

    Source: DeYoung et al. 2020, ERASER, section 4 (comprehensiveness), and Samek et al. 2017, Evaluating the
    Visualization of What a Deep Neural Network Has Learned.
    """
    players, n = len(worths).bit_length() - 1, worths.shape[1]
    if players < 2:
        raise DataError(f"aspects: a deletion test needs two with inputs at least, and there are {players}.")
    subsets, parts = all_subsets(players), shapley(worths)
    order = np.argsort(-parts, axis=0, kind="stable")
    fall = worths[-1] - worths  # of hiding everything that a coalition lacks
    # The place of what is left, by its bits, when the first k of an order are gone.
    left = lambda order: len(worths) - 1 - np.cumsum(1 << order, axis=0)[:-1]
    column = np.arange(n)
    hidden = players - subsets.sum(axis=1)
    several = range(1, players)
    curves = {
        "top": fall[left(order), column],
        "predicted": np.cumsum(np.take_along_axis(parts, order, axis=0), axis=0)[:-1],
        "random": np.stack([fall[hidden == k].mean(axis=0) for k in several]),
        "bottom": fall[left(order[::-1]), column],
        "best": np.stack([fall[hidden == k].max(axis=0) for k in several]),
    }
    found, low, high = area_between(curves, accounts)
    pair = curves["predicted"].ravel(), curves["top"].ravel()
    varies = min(one.std() for one in pair) > 1e-9
    return Faithfulness(
        curves=pd.DataFrame({"deleted": several, **{name: own.mean(axis=1) for name, own in curves.items()}}),
        faithfulness=found,
        low=low,
        high=high,
        agreement=float(np.corrcoef(*pair)[0, 1]) if varies else np.nan,
        accounts=n,
    )
