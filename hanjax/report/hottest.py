"""The likeliest accounts now: their ranking, and for the first of them who and what is behind it."""

from typing import Any

import numpy as np
import pandas as pd

from hanjax import plot
from hanjax.errors import ConfigError, DataError
from hanjax.report.blocks import Details, Heading, Section, Table, Text, percent, picture, plural
from hanjax.report.contributions import Contributions, contributions
from hanjax.report.material import Material, account_names, picture_names
from hanjax.scoring.deletion import deletion_test
from hanjax.scoring.influence import shapley_values
from hanjax.scoring.ranking import Ranking, ranked
from hanjax.types import Scores

_LISTED, _PEOPLE, _MOMENTS = 20, 12, 8
"""Accounts in the ranking, people of an account, and moments of these people, at most."""
_DELETED = 100
"""Samples of the deletion test."""
_SEEN = {"train": "trained on", "validation": "chose the epoch", "test": "not seen", "": "not seen"}


def hottest_section(material: Material, *, accounts: int) -> Section:
    """The ranking of the latest cut-off, and the first accounts of it one by one."""
    whole, material = material, material.by_unit()
    scores, run, latest = material.scores, material.run, material.latest
    ranking = ranked(scores)
    every, step = ranking.accounts, material.period_name
    names = dict(zip(every["account_id"], account_names(every), strict=True))
    end = material.starts[material.starts > latest][0]
    if material.outcomes:
        about = (
            f"As of {latest:%Y-%m-%d}, the latest cut-off at which the table of outcomes asks, "
            f"{plural(len(every), 'row')} of it can be scored: their probability is that of the outcome 1."
        )
    else:
        about = (
            f"As of {latest:%Y-%m-%d}, the latest cut-off of the data, {plural(len(every), 'account')} can be scored: "
            f"their probability is that of converting before {end:%Y-%m-%d}. Accounts that have converted, or are no "
            "longer watched, are not among them."
        )
    blocks: list[Any] = [
        Text(about),
        _ranking_table(material, ranking, names),
        picture(
            lambda: plot.ranking(every.assign(account_id=picture_names(every)), top=_LISTED),
            "ranking of the likeliest accounts",
            f"Filled: now; hollow: a {step} before; the color is the tier.",
        ),
    ]
    top = every["account_id"].iloc[:accounts].tolist()
    if top:
        rows = _rows(material, top)
        raw = scores.accounts["raw_score"].to_numpy(float)
        weight = run.positive_weight
        base = _log_odds((raw / (raw + weight * (1 - raw))).mean())
        influence = shapley_values(material.panel, run.network, run.params, rows, positive_weight=weight, baseline=base)
        influence = influence.set_index(["account_id", "individual_id"])
        for account, row in zip(top, rows, strict=True):
            blocks += _account(material, ranking, account, int(row), names[account], influence.loc[[account]], base)
        blocks += [Heading("How far to believe these shares"), *_believe(whole)]
    lead = "Whom to turn to first, and who and what is behind it."
    return Section("hottest", "The hottest accounts now", lead, blocks)


def _rows(material: Material, accounts: list[Any]) -> np.ndarray:
    """The samples of some accounts at the latest cut-off, in this order."""
    samples = material.panel.samples
    now = samples[samples["cutoff"] == material.latest]
    return pd.Series(now.index, index=now["account_id"]).loc[accounts].to_numpy()


def _ranking_table(material: Material, ranking: Ranking, names: dict[Any, str]) -> Table:
    people = ranking.individuals.drop_duplicates("account_id").set_index("account_id")
    parts = dict(zip(material.panel.samples["account_id"], material.parts, strict=True))
    rows = []
    for row in ranking.accounts.head(_LISTED).itertuples():
        person = people.loc[row.account_id]
        change = "new" if pd.isna(row.change) else f"×{row.change:.2f}"
        rows.append(
            [str(row.rank), names[row.account_id], f"{person['individual_id']} ({percent(person['score'])})", row.tier,
             percent(row.probability), percent(row.probability_before), change, str(row.n_members),
             _SEEN[parts[row.account_id]]]
        )  # fmt: skip
    step = material.period_name
    columns = ["Rank", "Account", "Likeliest person (own score)", "Tier", "Probability", f"A {step} before", "Change"]
    caption = (
        "A person's own score is the probability of an account that consists of that person alone. Where the last "
        "column does not say “not seen”, the score may be too sure, as training knew how the account had fared so far."
    )
    return Table([*columns, "Members", "In training"], rows, caption, left=4)


def _account(
    material: Material,
    ranking: Ranking,
    account: Any,
    row: int,
    name: str,
    influence: pd.DataFrame,
    baseline: float,
) -> list[Any]:
    """One account: its course, its people, and what they did when."""
    scores, run = material.scores, material.run
    here = ranking.accounts[ranking.accounts["account_id"] == account].iloc[0]
    of = lambda table: table[table["account_id"] == account].assign(account_id=name)
    course = Scores(of(scores.accounts), of(scores.individuals))
    change = "" if pd.isna(here["change"]) else f", {here['change']:.2f} times that of a {material.period_name} before"
    found = contributions(
        material.panel,
        scores,
        run.network,
        run.params,
        row,
        activities=run.encoding.activities,
        periods=_window(material, row),
    )
    return [
        Heading(f"{here['rank']}. {name}"),
        Text(
            f"Tier {here['tier']}: {percent(here['probability'])}{change}. "
            f"{plural(here['n_members'], 'member')}, "
            f"{plural(found.cells['individual_id'].nunique(), 'person', 'people')} active within the window."
        ),
        picture(
            lambda: plot.trajectory(course, name, converted_at=material.converted_at.get(account)),
            f"trajectory of {name}",
            "The thick black line is the account, the thin ones are its people, each scored as if alone.",
        ),
        *_people(ranking, account, influence, baseline),
        *_moments(material, found),
    ]


def _people(ranking: Ranking, account: Any, influence: pd.DataFrame, baseline: float) -> list[Any]:
    """The members, with what each adds to the account's log-odds."""
    people = ranking.individuals[ranking.individuals["account_id"] == account]
    effects = influence.loc[account]["influence"]
    total = effects.sum()
    rows = [
        [str(one.individual_id), percent(one.score), "new" if one.new else percent(one.score_before),
         percent(one.share), f"{effects.loc[one.individual_id]:+.3f}"]
        for one in people.head(_PEOPLE).itertuples()
    ]  # fmt: skip
    if len(people) > _PEOPLE:
        rest = people.iloc[_PEOPLE:]
        moved = effects.loc[rest["individual_id"]].sum()
        rows.append([f"{len(rest)} others together", "", "", percent(rest["share"].sum()), f"{moved:+.3f}"])
    caption = (
        "Score: alone (new: no member a period before). Share: of the attention, or of the weight in the aggregation. "
        "Influence: what the person moves, "
        "in log-odds beside all others (Shapley value; above 0 raises). The influences add up to the account's "
        f"log-odds less the baseline, which is those of the mean probability of all samples: "
        f"{baseline + total:+.3f} less {baseline:+.3f} is {total:+.3f}, before any calibration."
    )
    return [Table(["Person", "Score", "Score before", "Share", "Influence"], rows, caption)]


def _moments(material: Material, found: Contributions) -> list[Any]:
    """Which person, when, and which activities."""
    if found.cells.empty:
        return [Text("Nobody was active within the window: the score rests on who is there, not on what they did.")]
    active = material.run.config.panel.window_kind == "active"
    when = (
        "periods in which the person was active, -1 is the latest"
        if active
        else f"{material.period_name}s, by their first day"
    )
    left = f" {percent(found.quiet)} went to people who were quiet." if found.quiet > 0.0005 else ""
    blocks: list[Any] = [
        picture(
            lambda: plot.heat_map(found.cells[["individual_id", "period", "weight", "activities"]]),
            "share of the score by person and period",
            f"Rows are people, columns {when}. The darker, the more attention; the numbers within are how many "
            f"activities were read.{left}",
        )
    ]
    if found.activities.empty:
        return [*blocks, Text("This network does not attend to single activities, so they have no shares.")]
    shown = found.cells.nlargest(_MOMENTS, "weight")
    form = lambda period: f"{period:%Y-%m-%d}" if hasattr(period, "year") else str(period)
    rows = [[str(one.individual_id), form(one.period), one.what, percent(one.weight)] for one in shown.itertuples()]
    table = Table(["Person", "Period", "Activities, in their order", "Share"], rows, left=3)
    return [
        *blocks,
        picture(
            lambda: plot.activities(found.activities),
            "share of the score by kind of activity",
            "Share of the person times that of the period times that of the activity, added up by kind.",
        ),
        Details("What these people did", [table]),
    ]


def _window(material: Material, row: int) -> list[Any]:
    """What to call the periods of a sample's window, oldest first."""
    config, period = material.run.config.panel, int(material.panel.samples["period"].iloc[row])
    back = range(config.window, 0, -1)
    if config.window_kind == "active":
        return [-n for n in back]
    first = material.starts[0]
    local = lambda n: (
        material.starts[period - n] if period >= n else first - (n - period) * (material.starts[1] - first)
    )
    return [local(n).tz_localize(None) for n in back]


def _believe(material: Material) -> list[Text]:
    """What deleting things says of attention, level by level."""
    found = []
    for level in ("member", "period", "activity"):
        try:
            tested = deletion_test(
                material.panel, material.run.network, material.run.params, level=level, samples=_DELETED
            )
            found.append(Text(tested.sentence))
        except (ConfigError, DataError) as error:
            found.append(Text(f"Attention over what is called {level} cannot be tested. {error}"))
    intro = Text(
        "Shares are what the network attended to, which need not be what moved the score. The test takes out what got "
        f"most attention and scores anew, on {_DELETED} samples, and says level by level how far to believe it. The "
        "influences in the tables of people are such effects themselves."
    )
    return [intro, *found]


def _log_odds(probability: float) -> float:
    return float(np.log(probability) - np.log1p(-probability))
