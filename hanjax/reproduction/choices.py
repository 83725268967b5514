"""Where the paper is silent or contradicts itself: each choice, its default, and its other answers."""

from dataclasses import dataclass
from typing import Any

from hanjax.reproduction.rows import Row


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One question that the paper leaves open, and one other answer to it.

    Args:
        name: short name of the other answer.
        question: what is open.
        default: what is done unless told otherwise.
        option: the other answer.
        changes: the settings that give it.
        base: aggregation and other settings with which both answers are tried.
    """

    name: str
    question: str
    default: str
    option: str
    changes: tuple[tuple[str, Any], ...] = ()
    base: tuple[tuple[str, Any], ...] = (("aggregator", "gru_attention"),)

    @property
    def reference(self) -> Row:
        """The row with the default answer."""
        named = "-".join(str(value) for _, value in self.base)
        return Row(name=f"reference-{named}", title=f"default, {named}", table="choices", changes=self.base)

    @property
    def row(self) -> Row:
        """The row with the other answer."""
        changes = tuple({**dict(self.base), **dict(self.changes)}.items())
        return Row(name=f"choice-{self.name}", title=self.option, table="choices", changes=changes)


def _choice(name: str, question: str, default: str, option: str, **changes: Any) -> Choice:
    base = changes.pop("base", (("aggregator", "gru_attention"),))
    return Choice(
        name=name, question=question, default=default, option=option, changes=tuple(changes.items()), base=base
    )


_COUNTS = (("aggregator", "gru_attention"), ("period_input", "counts"), ("volumes", True))

CHOICES: tuple[Choice, ...] = (
    _choice("window-6", 'periods of a window ("we use six weeks as well")', "4", "6", window=6),
    _choice("weight-750", "weight of a conversion in the loss, from {500, 750}", "500", "750", positive_weight=750.0),
    _choice("width-56", "hidden size of the activity layer, from {40, 56}", "40", "56", activity_width=56),
    _choice("epochs-50", "epochs, from [20, 50]", "20", "50", epochs=50),
    _choice(
        "early-stopping",
        "which epoch is kept (not said)",
        "the last of a fixed number",
        "the one with the best AUC on 15 % of the training accounts, at most 50, patience 10",
        validation=0.15,
        patience=10,
        epochs=50,
    ),
    _choice(
        "bidirectional",
        "direction of the recurrent layers (the text says GRU, its reference runs both ways)",
        "forward",
        "both ways",
        bidirectional=True,
    ),
    _choice(
        "active-window",
        '"contiguous periods of activity"',
        "the last 4 calendar weeks; quiet ones are passed over",
        "the last 4 active weeks of each individual, however old",
        window_kind="active",
    ),
    _choice(
        "active-members",
        "who is a member at a cut-off (not said)",
        "whoever has arrived",
        "whoever was active within the window",
        membership="active",
    ),
    _choice(
        "keep-first",
        "which end of a week with more than 9 activities is kept (not said)",
        "the latest 9",
        "the first 9",
        keep="first",
    ),
    _choice(
        "opted-out-stay",
        'individuals who opt out are "not included", and their unsubscribing is an activity',
        "left out from the week after they unsubscribe",
        "they stay",
        opt_out_activity=None,
    ),
    _choice(
        "account-head",
        "account statics with a statistical aggregation (section 5.2 against 6.2; measured with the maximum)",
        "not used, as in 6.2",
        "a layer after the aggregation, as in 5.2",
        account_head=True,
        base=(("aggregator", "maximum"),),
    ),
    _choice(
        "time-gated",
        'what a "time-LSTM" is (measured with many-to-many GRU and attention)',
        "the time between activities is joined to each activity",
        "it gates the recurrent cell",
        time="gated",
        base=(("aggregator", "gru_attention"), ("time", "concatenated"), ("gaps", True)),
    ),
    _choice(
        "raw-counts",
        "scale of baseline 2's counts (not said)",
        "log(1 + n)",
        "n",
        count_scale="raw",
        base=_COUNTS,
    ),
)
"""Every choice that can be measured by training once more."""

STATED: tuple[tuple[str, str, str], ...] = (
    (
        '"specific to that individual" (the personalized layer)',
        "one layer, shared by all individuals: those of the test are new",
        "none",
    ),
    (
        "an individual's score where individuals are vectors",
        "the account's score if it consisted of that individual alone; for probabilities this is exactly their own",
        "none",
    ),
    (
        'what "normalized" means in baseline 1',
        "mean over the members",
        "sum, min-max within each period: a row of its own in table 2",
    ),
    (
        "the time between activities",
        "log(1 + hours) since the individual's previous activity, in any week, in steps of 1/4; the first is marked",
        "none",
    ),
    ("accounts of more than 25 members", "the 25 most recently active at the cut-off", "none"),
    (
        "opt-outs as a static feature",
        "the value as of the cut-off, never a later one",
        "none: a later one would give the future away",
    ),
)
"""Choices without a second training: question, what is done, and the other answer."""


def measured_rows(first: int | None = None) -> tuple[Row, ...]:
    """Every row that the choices need, each reference once, those with equal data together.

    Args:
        first: only those of so many choices; None for all.

    Returns:
        The rows.

    Example:
        >>> from hanjax.reproduction.choices import measured_rows
        >>> sum(row.name.startswith("reference") for row in measured_rows())
        4
    """
    rows = {row.name: row for choice in CHOICES[:first] for row in (choice.reference, choice.row)}
    return tuple(sorted(rows.values(), key=lambda row: repr(row.config().panel)))
