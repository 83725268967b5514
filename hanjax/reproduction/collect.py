"""From finished rows to the tables of the report."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hanjax.evaluation.intervals import Difference, difference, resampled_auc
from hanjax.evaluation.metrics import auc
from hanjax.reproduction.choices import CHOICES, STATED
from hanjax.reproduction.jobs import Job
from hanjax.reproduction.learn import Scored
from hanjax.reproduction.measures import (
    BANDS,
    Measured,
    as_record,
    compare,
    known,
    measure,
    normalized,
    on_common_samples,
    weights_for,
)
from hanjax.reproduction.orderings import CLAIMS, judged
from hanjax.reproduction.rows import NORMALIZED, REFERENCE, Row
from hanjax.reproduction.store import Finished, Store

Table = list[dict[str, Any]]

TESTS = ("test", "fresh")


class Results:
    """The finished rows of one world.

    Args:
        jobs: what was to be trained there.
        store: where it lies.
        accounts: number of accounts of each test.
        resamples: how often the accounts are drawn.
    """

    def __init__(self, jobs: Sequence[Job], store: Store, accounts: dict[str, int], resamples: int):
        """Reads nothing yet but what each row says of itself."""
        self.store, self.resamples, self.accounts = store, resamples, accounts
        self.jobs: dict[str, list[Job]] = {}
        self.rows: dict[str, Row] = {}
        self.finished: dict[str, list[Finished]] = {}
        for job in jobs:
            self.jobs.setdefault(job.row.name, []).append(job)
            self.rows[job.row.name] = job.row
            if (done := store.read(job.key, scores=False)) is not None:
                self.finished.setdefault(job.row.name, []).append(done)
        self.weights = {test: weights_for(count, resamples) for test, count in accounts.items()}
        self._measured: dict[tuple[str, str], Measured | None] = {}

    def scores(self, name: str, test: str) -> list[Scored]:
        """A row's scores on a test, by seed; those of failed seeds are missing."""
        found = []
        for job in self.jobs.get(name, []):
            done = self.store.read(job.key)
            if done is not None and not done.error and test in done.scores:
                found.append(done.scores[test])
        return found

    def measured(self, name: str, test: str) -> Measured | None:
        """A row's figures on a test; None if there are none."""
        if (name, test) not in self._measured:
            if name == NORMALIZED.name:
                scores = [normalized(one) for one in self.scores("baseline-1", test)]
            else:
                scores = self.scores(name, test)
            there = test in self.weights and bool(scores)
            found = measure(scores, self.weights[test], periods=test == "test") if there else None
            self._measured[name, test] = found
        return self._measured[name, test]

    def failures(self) -> Table:
        """What failed, and why."""
        return [
            {"row": name, "seed": one.key.seed, "world": one.key.world, "error": one.error}
            for name, all_seeds in self.finished.items()
            for one in all_seeds
            if one.error
        ]


def experiment_table(results: Results, rows: Sequence[Row]) -> Table:
    """The paper's tables 2 to 4 and the rows beyond: one record a row.

    Args:
        results: of the whole world.
        rows: in the order wanted; baseline 1's normalization is put after it.

    Returns:
        Paper's AUC, ours with intervals, spread over seeds, mean over periods, bands of account sizes and the
        difference to experiment 3 and what is lacking of the log oracle, each on the frozen test and, with ``fresh_``,
        on fresh accounts.
    """
    table: Table = []
    for row in rows:
        group = [row, NORMALIZED] if row.name == "baseline-1" else [row]
        for one in group:
            trained = results.finished.get("baseline-1" if one is NORMALIZED else one.name, [])
            done = [finished for finished in trained if not finished.error]
            record: dict[str, Any] = {
                "row": one.name, "title": one.title, "table": one.table, "paper": one.paper,
                "seeds": len(done), "failed": sum(bool(finished.error) for finished in trained),
                "seconds": float(np.mean([f.seconds for f in done])) if done and one is not NORMALIZED else None,
                "train_samples": done[0].samples if done else None,
                "train_conversions": done[0].conversions if done else None,
            }  # fmt: skip
            for test in TESTS:
                record |= _on_test(results, one.name, test, "" if test == "test" else "fresh_")
            table.append(record)
    return table


def _on_test(results: Results, name: str, test: str, prefix: str) -> dict[str, Any]:
    found, reference = results.measured(name, test), results.measured(REFERENCE, test)
    if found is None:
        return {}
    record = as_record(found.auc, f"{prefix}auc") | {
        f"{prefix}spread": found.spread,
        f"{prefix}samples": found.samples,
        f"{prefix}conversions": found.conversions,
        f"{prefix}periods": found.periods,
        f"{prefix}one_class": found.one_class,
    }
    record |= as_record(found.period_auc, f"{prefix}period_auc")
    record |= {f"{prefix}auc_{low}_to_{high}": value for (low, high), value in zip(BANDS, found.bands, strict=True)}
    if reference is not None and name != REFERENCE:
        record |= as_record(compare(found, reference), f"{prefix}difference")
    oracle = results.measured("log-oracle", test)
    if oracle is not None and name != "log-oracle":
        record |= as_record(compare(oracle, found), f"{prefix}gap")
    return record


def ordering_table(results: Results, test: str) -> Table:
    """The paper's orderings, judged on a test."""
    differences = {}
    for first, second in {pair for claim in CLAIMS for pair in claim.pairs}:
        one, other = results.measured(first, test), results.measured(second, test)
        if one is not None and other is not None:
            differences[first, second] = compare(one, other)
    return judged(CLAIMS, differences)


def resolution(results: Results, test: str) -> dict[str, Any]:
    """How far two AUCs must be apart to mean anything: from the resampled differences of the networks to experiment 3.

    Args:
        results: of the whole world.
        test: on which test.

    Returns:
        Half width of an AUC's interval; standard deviation of a paired difference (median over networks); the smallest
        difference that would be found in four of five such tests at the 5 % level, (1.96 + 0.84) of these; and the same
        for two models on two different tests of this size.
    """
    reference = results.measured(REFERENCE, test)
    if reference is None:
        return {}
    deviations = []
    for name, row in results.rows.items():
        other = results.measured(name, test)
        if row.kind == "network" and row.paper is not None and name != REFERENCE and other is not None:
            deviations.append(compare(other, reference).deviation)
    alone = reference.auc
    paired = float(np.nanmedian(deviations)) if deviations else float("nan")
    return {
        "accounts": results.accounts[test],
        "conversions": reference.conversions,
        "half_width": (alone.high - alone.low) / 2,
        "paired_deviation": paired,
        "detectable_paired": 2.8 * paired,
        "detectable_unpaired": 2.8 * float(np.sqrt(2)) * alone.deviation,
        "networks": len(deviations),
    }


def choice_table(results: Results) -> Table:
    """The reproduction card: each choice, its default, its option and the measured effect of the option."""
    table: Table = []
    for choice in CHOICES:
        record: dict[str, Any] = {
            "choice": choice.name, "question": choice.question, "default": choice.default, "option": choice.option,
        }  # fmt: skip
        default, other = (results.scores(row.name, "test") for row in (choice.reference, choice.row))
        if default and other:
            effect, reference = _effect(default[0], other[0], results)
            record |= {"reference_auc": reference, **as_record(effect, "effect")}
        table.append(record)
    return table + [{"choice": None, "question": q, "default": d, "option": o} for q, d, o in STATED]


def _effect(default: Scored, other: Scored, results: Results) -> tuple[Difference, float]:
    """AUC of the other answer less that of the default, on the samples that both have; and the default's."""
    pair = on_common_samples(default, other)
    rows = known(pair[0]) & known(pair[1])
    label, account = pair[0].label[rows], pair[0].account[rows]
    scores = [one.score[rows].astype(float) for one in pair]
    values = [float(auc(score, label)) for score in scores]
    resampled = [resampled_auc(score, label, account, results.weights["test"]) for score in scores]
    change = resampled[1] - resampled[0]
    return difference(values[1] - values[0], change, positives=int(label.sum())), values[0]


def static_table(results: Results, rows: Sequence[Row], test: str) -> Table:
    """The static task: precision, recall and F1 at the base rate as the threshold, and AUC."""
    table: Table = []
    for row in rows:
        found = results.measured(row.name, test)
        trained = [f for f in results.finished.get(row.name, []) if not f.error]
        if found is None or not trained:
            continue
        rate = trained[0].conversions / trained[0].samples
        figures = []
        for scored in results.scores(row.name, test):
            rows_known = known(scored)
            label = scored.label[rows_known] == 1
            chosen = scored.score[rows_known] >= np.log(rate) - np.log1p(-rate)
            hit = int((chosen & label).sum())
            precision, recall = hit / max(chosen.sum(), 1), hit / max(label.sum(), 1)
            f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
            figures.append((precision, recall, f1))
        precision, recall, f1 = np.mean(figures, axis=0).tolist()
        record = {"row": row.name, "title": row.title, "threshold": rate, "accounts": found.samples}
        record |= {"converting": found.conversions, "precision": precision, "recall": recall, "f1": f1}
        table.append(record | as_record(found.auc, "auc"))
    return table


def grid_table(by_rule: dict[str, Results], rows: Sequence[Row]) -> Table:
    """AUC of every row in every world, one record a row."""
    table: Table = []
    for row in rows:
        record: dict[str, Any] = {"row": row.name, "title": row.title, "kind": row.kind}
        for rule, results in by_rule.items():
            found = results.measured(row.name, "test")
            record[rule] = None if found is None else found.auc.value
        table.append(record)
    return table


def winners_table(by_rule: dict[str, Results], rows: Sequence[Row]) -> Table:
    """In every world, the best row that learns, and how it compares with the second and with the oracles."""
    table: Table = []
    for rule, results in by_rule.items():
        found = {row.name: results.measured(row.name, "test") for row in rows}
        learned = [row for row in rows if row.table != "oracle" and found[row.name] is not None]
        ranked = sorted(learned, key=lambda row: -found[row.name].auc.value)  # type: ignore[union-attr]
        if len(ranked) < 2:
            continue
        best, second = (found[row.name] for row in ranked[:2])
        assert best is not None and second is not None
        record: dict[str, Any] = {"rule": rule, "best": ranked[0].title, "second": ranked[1].title}
        record |= as_record(best.auc, "auc") | as_record(compare(best, second), "lead")
        tied = [
            row.title for row in ranked[1:] if (other := found[row.name]) is not None and compare(best, other).low <= 0
        ]
        record |= {"undecided_with": len(tied), "conversions": best.conversions}
        for name in ("log-oracle", "latent-oracle"):
            oracle = found.get(name)
            record[name.replace("-", "_")] = None if oracle is None else oracle.auc.value
        table.append(record)
    return table
