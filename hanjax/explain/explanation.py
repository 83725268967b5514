"""The reasons of accounts' scores, as tables."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from hanjax.explain.deletion import Faithfulness, faithfulness_of
from hanjax.explain.levels import Reference
from hanjax.notebook import html_of


@dataclass(frozen=True, repr=False)
class Explanation:
    """Why accounts have the scores that they have.

    log_odds = baseline + starting_point + sum of the aspects' contributions

    Args:
        table: one row an account, the highest score first: account_id, name (if the data have it), cutoff, score (0 to
            100), tier, probability, log_odds (before any calibration), baseline (log-odds of the average account, the
            same as that of the members' influence in ``hanjax.rank``), starting_point, for each aspect its contribution
            ``<aspect>`` and ``<aspect>_level`` (a text of the user's rules in its place), score_before, changed (the
            aspect whose contribution changed most since the cut-off before) and changed_by, action, sentence.
        long: one row an account and aspect, the starting point first: account_id, aspect, contribution, level, text,
            input (the one that matters most within the aspect), because, contribution_before, change, and the account's
            score, baseline and log_odds.
        inputs: one row an account and input: account_id, aspect, input, value, effect (by how much the log-odds would
            fall if it alone were hidden).
        aspects: the inputs of each aspect.
        reference: what they were compared with; give it to the next explanation for levels to mean the same.
        worths: ``[2^m, n]`` log-odds of each account of ``table`` in each coalition of the m aspects with inputs.
        unit: the segments of outcomes, which stand behind ``account_id`` in every table; none without outcomes.
    """

    table: pd.DataFrame
    long: pd.DataFrame
    inputs: pd.DataFrame
    aspects: dict[str, list[str]]
    reference: Reference
    worths: Float[np.ndarray, "coalitions n"]
    unit: tuple[str, ...] = ()

    def faithfulness(self) -> Faithfulness:
        """How far to believe the contributions: does the score fall as they say when aspects are hidden?

        Raises:
            DataError: if there are fewer than two aspects with inputs.
        """
        return faithfulness_of(self.worths, self.table["account_id"].to_numpy())

    def write(self, folder: str | Path) -> Path:
        """Writes accounts.csv, aspects.csv, inputs.csv and reference.json.

        Args:
            folder: where; it is made.

        Returns:
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in (("accounts", self.table), ("aspects", self.long), ("inputs", self.inputs)):
            table.to_csv(folder / f"{name}.csv", index=False)
        self.reference.write(folder / "reference.json")
        return folder

    def __repr__(self) -> str:
        """The sentences of the first ten accounts."""
        return "\n".join([self._title, *self.table["sentence"].head(10)])

    def _repr_html_(self) -> str:
        """For notebooks: the first ten accounts, with their levels and sentences."""
        levels = [f"{name}_level" for name in self.aspects]
        return html_of(
            self._title, self.table.head(10)[["account_id", *self.unit, "score", "tier", *levels, "sentence"]]
        )

    @property
    def _title(self) -> str:
        cutoff = f"{self.table['cutoff'].iloc[0]:%Y-%m-%d}"
        one, many = ("row of outcomes", "rows of outcomes") if self.unit else ("account", "accounts")
        rows = f"{len(self.table):,} {one if len(self.table) == 1 else many}"
        return f"Reasons of {rows} as of {cutoff}, by {', '.join(self.aspects)}"
