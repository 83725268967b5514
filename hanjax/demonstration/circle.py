"""The story: a score is made, watched, challenged and defended, on a company whose truth is known."""

import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hanjax import api, plot
from hanjax.cli.showing import save, without_screen
from hanjax.config import Config
from hanjax.demonstration.faults import show_faults
from hanjax.demonstration.selling import (
    CUSTOMERS,
    FEATURES,
    MODELS,
    NETWORK,
    OWNER,
    PURCHASE,
    UPSELL,
    aspects_of,
    mart_of,
    tables_of,
)
from hanjax.evaluation.lift import tiers
from hanjax.explain.inputs import inputs_of
from hanjax.features import Mart
from hanjax.labels import GoldSet, audit, freeze, make_labels
from hanjax.monitoring import DriftReport, Reference, check_drift, monitoring_page, performance_over_time, reference_of
from hanjax.monitoring.impact import win_rate
from hanjax.monitoring.proportions import required_sample
from hanjax.registry import Registry, Score
from hanjax.report.material import named_by
from hanjax.run import Run
from hanjax.simulation.company import Company, simulate_company, write_company
from hanjax.tabular import Tabular
from hanjax.tabular.run import AnyRun
from hanjax.types import Tables

TURN, SECOND, TRACKER, WEEKS = 78, 130, 144, 156
"""Weeks: the first model is trained when the market turns (and nobody knows), challengers two thirds into what follows;
then the feed of usage gets a new tracker."""

DECK = {
    "account propensity": {"AUROC": 0.64, "High vs Avg": 1.7, "Medium vs Avg": None},
    "upsell propensity": {"AUROC": 0.84, "High vs Avg": 2.7, "Medium vs Avg": 1.7},
}
"""What Guo and Di report of LinkedIn's own models."""
DECK_POINTS = 0.053
"""By how much more often prioritized opportunities were won there."""


class Made(NamedTuple):
    """What the first half of the story leaves to the second."""

    company: Company
    mart: Mart
    champion: Run
    registry: Registry
    gold: GoldSet
    figures: pd.DataFrame


def show_circle(out: Path, *, quick: bool = False, seed: int = 0) -> Made:
    """Tells the whole story, and writes what it makes.

    Args:
        out: the folder; it is made. What an earlier telling left there is replaced.
        quick: a smaller company and fewer epochs, to see that it works.
        seed: of the company.

    Returns:
        What was made.
    """
    begun = time.perf_counter()
    without_screen()
    if (out / "company" / "truth.parquet").exists():  # else folders of these names are not of an earlier telling
        for name in ("features", "gold", "models"):  # to which a new one would add
            _free(out / name)
    company = simulate_company(
        accounts=500 if quick else 2500, weeks=WEEKS, turn=TURN, new_tracker=TRACKER, upsell_strength=1.5, seed=seed
    )
    company = company._replace(tables=company.tables._replace(folds=_folds(company, seed)))
    write_company(company, out / "company", overwrite=True)
    _chapter("A company", f"{company!r}; its systems lie in {out / 'company'}.")
    network = NETWORK.replace(epochs=2) if quick else NETWORK
    mart, then = mart_of(company, out / "features"), company.day(TURN)

    gold = _labels(company, then, out)
    tables = tables_of(company, mart, gold["account propensity"].labels)
    _features(mart, tables, then, out)
    runs = _models(tables, network, out)
    upsell, upsell_tables = _upsell(company, mart, gold["upsell propensity"], network, out)
    figures = _figures(
        {"account propensity": (runs["network"], tables), "upsell propensity": (upsell, upsell_tables)}, out
    )
    _segments(runs["network"], tables, company, out)
    _reasons(runs["network"], tables, then, out)
    registry = _register(gold, then, out)

    _chapter("A year later", "The market has turned, which nobody has said: growth counts the other way round.")
    recent = _watch(company, mart, runs["network"], out)
    _challenge(company, mart, recent, registry, network, out)
    _worth(api.load(registry.path("account-propensity")), recent)
    _drift(company, mart, out)
    show_faults(company, mart, gold["account propensity"], registry, out)
    print(f"\nAll of it lies in {out}/. {time.perf_counter() - begun:.0f} seconds.")
    return Made(company, mart, runs["network"], registry, gold["account propensity"], figures)


def _folds(company: Company, seed: int) -> pd.DataFrame:
    """Two in five accounts are never trained on, by any model, so that all can be compared on them."""
    ids = company.tables.accounts["account_id"]
    test = np.random.default_rng([seed, 1]).random(len(ids)) < 0.4
    return pd.DataFrame({"account_id": ids, "fold": test.astype(int)})


def _labels(company: Company, now: pd.Timestamp, out: Path) -> dict[str, GoldSet]:
    """Labels as they could be made at a date, audited and frozen."""
    _chapter("Labels", f"Of opportunities, as known on {now:%Y-%m-%d}; each with its evidence.")
    found = {}
    for rule in (PURCHASE, UPSELL):
        labels = make_labels(company.opportunities, rule, observed_to=now, candidates=rule is PURCHASE)
        checks = audit(labels, company.opportunities)
        folder = out / "gold" / f"{rule.name.replace(' ', '-')}-{now:%Y-%m-%d}"
        found[rule.name] = freeze(labels, folder, name=folder.name, problem=rule.name, owner=OWNER)
        print(f"{labels!r}\n  audited: {checks['looked_at'].sum():,} things looked at, {checks['wrong'].sum()} wrong")
        print(f"  frozen: {folder}, content {found[rule.name].manifest['content'][:12]}")
    flipped = make_labels(company.opportunities, PURCHASE.replace(retries="flip", retry_within=180), observed_to=now)
    print(f"With 'try until won', which counts an attempt that fails before one that is won:\n{flipped!r}")
    return found


def _features(mart: Mart, tables: Tables, now: pd.Timestamp, out: Path) -> None:
    """What the mart holds."""
    _chapter("Features", f"{mart!r}, as of each label's date; kept in {out / 'features'}.")
    catalog = mart.catalog()
    _show(catalog[["name", "aspect", "entity", "granularity", "look_back", "version"]])
    profile = mart.profile([now])
    profile.to_csv(out / "features.csv", index=False)
    _show(profile.iloc[:, :6])
    print(f"  {len(tables.account_features):,} rows of dated numbers enter the model")


def _models(tables: Tables, network: Config, out: Path) -> dict[str, Any]:
    """One network and three tabular models, on the same accounts, and who is best on the others."""
    _chapter("Models", "The same labels, features and accounts; compared on accounts that none of them has seen.")
    runs: dict[str, Any] = {"network": api.fit(tables, _free(out / "runs" / "network"), config=network)}
    for name, model in MODELS.items():
        runs[name] = api.fit(tables, _free(out / "runs" / name.replace(" ", "-")), config=network, model=model)
    board = api.leaderboard(runs, tables, measure="log_loss", resamples=500).reset_index()
    board.to_csv(out / "leaderboard.csv", index=False)
    _show(board[["model", "auc", "auc_low", "auc_high", "log_loss", "top", "difference", "p"]])
    return runs


def _upsell(company: Company, mart: Mart, gold: GoldSet, network: Config, out: Path) -> tuple[Any, Tables]:
    """The model of upsells, which sees the product and how it is used."""
    tables = tables_of(company, mart, gold.labels)
    run = api.fit(tables, _free(out / "runs" / "upsell"), config=network.replace(segments=()), model=CUSTOMERS)
    return run, tables


def _figures(models: dict[str, tuple[Any, Tables]], out: Path) -> pd.DataFrame:
    """The figures that the deck reports, of this company."""
    _chapter("How good", "On unseen accounts, beside what LinkedIn reports of its own (other data, so no contest).")
    rows = []
    for name, (run, tables) in models.items():
        found = api.evaluate(run, tables)
        lift, area = found.lift().set_index("tier"), found.intervals(resamples=500).set_index("measure")
        values = {"AUROC": area.loc["auc", ["value", "low", "high"]]}
        values |= {f"{tier} vs Avg": lift.loc[tier, ["lift", "low", "high"]] for tier in ("High", "Medium")}
        for measure, (value, low, high) in values.items():
            rows.append([name, measure, value, low, high, DECK[name][measure]])
    table = pd.DataFrame(rows, columns=["problem", "measure", "here", "low", "high", "deck"])
    table.to_csv(out / "figures.csv", index=False)
    _show(table)
    return table


def _segments(run: Run, tables: Tables, company: Company, out: Path) -> None:
    """What the network has learned of segments, beside the truth."""
    _chapter("Segments", "Small regions borrow from all; the truth is known here.")
    effects = api.segment_effects(run, tables)
    both = effects.merge(company.effects, on=["factor", "level"], suffixes=("", "_true"))
    both.to_csv(out / "segments.csv", index=False)
    save(plot.segments(effects), out / "segments.png")
    regions = both[both["factor"] == "region"].nlargest(len(both), "samples")
    _show(regions[["level", "samples", "intercept", "sd", "intercept_true", "shrinkage"]])
    fit = np.corrcoef(regions["intercept"], regions["intercept_true"])[0, 1]
    print(f"  correlation of the regions' effects with the truth: {fit:.2f}")


def _reasons(run: Run, tables: Tables, now: pd.Timestamp, out: Path) -> None:
    """From score to action, for opportunities that are open."""
    _chapter("Reasons", "Why each open opportunity has its score, and what to do.")
    inputs = [one.name for one in inputs_of(run.encoding)]
    as_of = tables.outcomes["as_of"]
    found = api.explain_scores(run, tables, aspects=aspects_of(inputs), as_of=as_of[as_of <= now].max())
    found.write(out / "reasons")
    save(plot.aspects(named_by(found.long, found.unit)), out / "reasons" / "aspects.png")
    columns = ["account_id", "score", *(f"{name}_level" for name in found.aspects if f"{name}_level" in found.table)]
    _show(found.table[columns].head(5))
    for sentence in found.table["sentence"].head(3):
        print(f"  {sentence}")


def _register(gold: dict[str, GoldSet], now: pd.Timestamp, out: Path) -> Registry:
    """The model goes to the registry, with what it was made of."""
    _chapter("Registry", "Versions under hashes, who is champion, and which score is the one to use.")
    registry = Registry(out / "models")
    for name, run in (("account propensity", "network"), ("upsell propensity", "upsell")):
        lineage = {
            "gold": gold[name].manifest["content"],
            "features": {feature.name: feature.version for feature in FEATURES},
        }
        model = name.replace(" ", "-")
        registry.register(
            out / "runs" / run, model, problem=name, owner=OWNER, until=f"{now:%Y-%m-%d}", lineage=lineage
        )
        registry.declare(Score(name=name, purpose=name, owner=OWNER, model=model))
    _show(registry.table())
    return registry


def _watch(company: Company, mart: Mart, run: Run, out: Path) -> Tables:
    """Outcomes have arrived: is the champion still what it was?"""
    labels = make_labels(company.opportunities, PURCHASE, observed_to=company.day(WEEKS))
    tables = tables_of(company, mart, labels)
    scores = api.evaluate(run, tables).scores.accounts
    quarters = scores["cutoff"].dt.tz_localize(None).dt.to_period("Q").dt.start_time
    watched = performance_over_time(
        scores.assign(quarter=quarters), period="quarter", reference=company.day(TURN).tz_localize(None), least=40,
        per_year=4, resamples=300,
    )  # fmt: skip
    watched.windows.to_csv(out / "performance.csv", index=False)
    save(plot.course(watched.windows), out / "performance.png")
    print(repr(watched))
    return tables_of(company, mart, labels, since=company.day(TURN))


def _challenge(company: Company, mart: Mart, recent: Tables, registry: Registry, network: Config, out: Path) -> None:
    """Two challengers: one that is newer and no better, and one that is."""
    now = company.day(SECOND)
    _chapter("Challengers", f"Trained on what was known on {now:%Y-%m-%d}, judged on accounts that nobody has seen.")
    labels = make_labels(company.opportunities, PURCHASE, observed_to=now)
    for name, model, since in (
        ("a tree, of all years", Tabular("decision_tree", options={"min_samples_leaf": 20}), None),
        ("the network, since the turn", None, company.day(TURN)),
    ):
        folder = _free(out / "runs" / name.replace(", ", "-").replace(" ", "-"))
        api.fit(tables_of(company, mart, labels, since=since), folder, config=network, model=model)
        registry.register(
            folder, "account-propensity", problem="account propensity", owner=OWNER, until=f"{now:%Y-%m-%d}"
        )
        print(f"{name}:\n{api.challenge(registry, 'account-propensity', recent)!r}\n")
    _show(registry.table())


def _worth(champion: AnyRun, tables: Tables) -> None:
    """What acting on the score would be worth, and how many opportunities it takes to know."""
    _chapter("Worth", "Had the likeliest tenth been worked on first; a trial by lot would say what it does.")
    scores = api.evaluate(champion, tables).known
    high = tiers(scores["probability"].to_numpy()) == "High"
    print(win_rate(scores["label"].to_numpy(), high))
    base = float(scores["label"].mean())
    needed = required_sample(base, 1 + DECK_POINTS / base).first
    print(f"To find the {100 * DECK_POINTS:.1f} points that LinkedIn reports: {needed:,} opportunities in each group.")


def _drift(company: Company, mart: Mart, out: Path) -> None:
    """Before scoring: are the features what they were?"""
    _chapter("Drift", f"In week {TRACKER} usage gets a new tracker; features are looked at before anything is scored.")
    reference = _reference(company, mart)
    reference.write(out / "reference")
    for week in (TRACKER - 4, TRACKER + 5):
        found = _checked(reference, company, mart, week)
        (out / f"drift-week-{week}.html").write_text(monitoring_page(found, title=f"Features in week {week}"))
        print(f"week {week}: {found.severity}")
        for alarm in found.alarms[:3]:
            print(f"  {alarm}")


def _reference(company: Company, mart: Mart) -> Reference:
    """The features of the quarter before the champion was trained again."""
    return reference_of({"features": _matrix(company, mart, range(SECOND - 12, SECOND + 1, 4))})


def _checked(reference: Reference, company: Company, mart: Mart, week: int) -> DriftReport:
    return check_drift(reference, {"features": _matrix(company, mart, [week])}, resamples=200, least=0.1)


def _matrix(company: Company, mart: Mart, weeks: Any) -> pd.DataFrame:
    """Every account's features as of some weeks."""
    return mart.compute([company.day(week) for week in weeks]).drop(columns="cutoff")


def _free(folder: Path) -> Path:
    """A folder for what is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _chapter(title: str, about: str) -> None:
    print(f"\n=== {title}\n{about}")


def _show(table: pd.DataFrame) -> None:
    with pd.option_context("display.max_colwidth", 32, "display.width", 160):
        print(table.to_string(index=False, float_format="{:.3g}".format, na_rep="-"))
