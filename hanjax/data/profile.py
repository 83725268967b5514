"""What a data set holds, beside the figures that the paper gives of its own."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from hanjax.config import PanelConfig
from hanjax.data.log import Log
from hanjax.data.panel import calendar_of
from hanjax.types import LeftOut, Panel, hard_label


class Profile(NamedTuple):
    """A description of a data set; its repr shows all of it.

    Args:
        figures: by name, the value ``here`` and the ``paper``'s (missing where it gives none).
        activities: events by activity, most frequent first.
        left_out: every row that no sample uses, by ``table`` and ``reason``.
        notes: other things that a reader should know.
    """

    figures: pd.DataFrame
    activities: pd.Series
    left_out: pd.DataFrame
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        """All of it as text."""
        number = lambda value: f"{value:,.4g}" if value % 1 else f"{value:,.0f}"
        parts = [self.figures.to_string(formatters=dict.fromkeys(self.figures.columns, number), na_rep="")]
        shares = pd.DataFrame({"events": self.activities, "share": self.activities / max(1, self.activities.sum())})
        parts.append(shares.to_string(formatters={"events": "{:,}".format, "share": "{:.1%}".format}))
        listed = {"first": lambda ids: ", ".join(map(str, ids))}
        left = "nothing" if self.left_out.empty else self.left_out.to_string(index=False, formatters=listed)
        parts.append(f"Left out:\n{left}")
        parts += ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n\n".join(parts)


def profile(log: Log, config: PanelConfig, panel: Panel) -> Profile:
    """Describes a checked log and the panel made of it.

    Args:
        log: the checked log.
        config: the data's settings.
        panel: what ``make_panel`` made of the log.

    Returns:
        The profile.

    Source: section 4 of the paper and its table 1; sections 5.1 and 7.1.
    """
    calendar = calendar_of(log, config)
    periods = len(calendar.starts) - 1
    cells, counts = np.unique(
        log.event_individual.astype(np.int64) * periods + calendar.period_of(log.event_time), return_counts=True
    )
    begins = np.flatnonzero(np.diff(cells // periods, prepend=-1))
    ends = np.append(begins[1:], len(cells)) - 1
    duration = (cells % periods)[ends] - (cells % periods)[begins] + 1
    size = np.bincount(log.individual_account, minlength=len(log.account_ids))
    label = hard_label(panel.batch.label[:, 0])
    months = (int(log.event_time.max()) - int(log.event_time.min())) / (86_400e6 * 365.25 / 12)
    rows = {
        "accounts": (len(log.account_ids), 2135 + 381),
        "individuals": (len(log.individual_ids), 9767 + 1800),
        "events": (len(log.event_time), np.nan),
        "activities, kinds": (len(log.activities), 9),
        "months": (months, 8),
        "individuals of an account: fewest": (size.min(), 3),
        "individuals of an account: mean": (size.mean(), (9767 + 1800) / (2135 + 381)),
        "individuals of an account: most": (size.max(), 25),
        "activities a period: fewest": (counts.min(), 1),
        "activities a period: 90th percentile": (np.percentile(counts, 90), 8),
        f"activities a period: share up to {config.max_activities}": ((counts <= config.max_activities).mean(), 0.96),
        "activities a period: 96th percentile": (pick_length(counts, 0.96), 9),
        "activities a period: most": (counts.max(), 114),
        "periods from first to last activity: fewest": (duration.min(), 1),
        "periods from first to last activity: 90th percentile": (np.percentile(duration, 90), 27),
        "periods from first to last activity: most": (duration.max(), 35),
        "accounts that convert": (int(log.converts.sum()), np.nan),
        "samples": (len(label), np.nan),
        "samples without a label": (int(np.isnan(label).sum()), np.nan),
        "conversions among the samples": (np.nansum(label), np.nan),
        "samples per conversion": (np.sum(~np.isnan(label)) / max(1, np.nansum(label)), np.nan),
    }
    activities = pd.Series(np.bincount(log.event_activity, minlength=len(log.activities)), index=list(log.activities))
    return Profile(
        figures=pd.DataFrame.from_dict(rows, orient="index", columns=["here", "paper"]).astype(float),
        activities=activities.sort_values(ascending=False, kind="stable"),
        left_out=pd.DataFrame(panel.left_out, columns=list(LeftOut._fields)),
        notes=panel.notes,
    )


def pick_length(counts: np.ndarray, share: float) -> int:
    """The shortest length that holds a share of all active periods whole, as the paper picks 9 for 96 %.

    Args:
        counts: activities of each individual in each active period.
        share: between 0 and 1.

    Returns:
        The length, a setting for ``max_activities``.

    Example:
        >>> import numpy as np
        >>> from hanjax.data.profile import pick_length
        >>> pick_length(np.array([1, 1, 2, 9]), 0.75)
        2
    """
    return int(np.quantile(counts, share, method="inverted_cdf"))
