"""How often do intervals from resampled accounts hold the truth, and how often is a difference found where none is?

Command:  JAX_PLATFORMS=cpu python -m benchmarks.coverage [--out FILE] [--quick]
Time:     ten minutes on one core, --quick half a minute
Prints:   for each simulated setting and measure, how often intervals at 95 % held the truth: the one that hanjax gives,
          and those it could have given instead; how often the difference between two models was found to be one at
          5 % where both are equally good; and how often its interval held the truth where they are not.

An account is followed for 1 to 52 weeks, and converts in the last of them or not at all. A score is a standard normal
number, half of whose variance stays with the account; in the week of a conversion it is larger by a shift, except for
the conversions that the model cannot see. So the truth is known in closed form, or as an integral over one number. The
number of conversions is random; with less than two there is no interval, and none is counted.

Found (``results/coverage.json``), per cent of 1,000 test sets with 13 conversions among 381 accounts (AUC .80; AUC .92;
AUC .81 where 30 % of the conversions cannot be seen) and of 300 with 100 among 2,000; plus or minus 0.7 and 1.3:

    held the truth at 95 %      what hanjax gives     percentiles           BCa
    AUC                         97, 96, 93; 96        89, 85, 87; 94        92, 90, 91; 95
    AUC, mean over periods      97, 96, 93; 96        89, 86, 87; 95        91, 90, 90; 95
    average precision           97, 96, 96; 95        92, 90, 88; 95        90, 88, 86; 94
    log-loss                    95, 95, 94; 95        94, 94, 93; 93        96, 95, 94; 94
    Brier score                 96, 95, 95; 95        94, 94, 93; 94        96, 95, 95; 95
    lift of the best tenth      95, 96, 94; 93        94, 93, 93; 94        -
    difference of two AUCs      95, 93, 96; 96        91, 89, 90; 94        -

    equally good, told apart    3.8, 3.1, 5.8; 6.0    8.3, 10.0, 10.5; 6.0  DeLong: 6.5, 6.0, 8.5; 6.3

Basic intervals are worse than percentiles throughout (AUC 79 to 86 at 13 conversions), normal ones no better (83 to
88).
Left as they are: differences at 13 conversions of average precision (96, 94, 92) and of Brier scores (86, 87, 89),
which depend on a few high probabilities.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import norm

from benchmarks.machine import describe_machine
from hanjax.evaluation.delong import delong_test
from hanjax.evaluation.intervals import account_weights, difference, interval
from hanjax.evaluation.lift import lift, tiers
from hanjax.evaluation.resampling import MEASURES, resampled, samples_of

WEEKS = 52
LEVEL = 0.95
STAYS = 0.5
"""Share of a score's variance that stays with the account."""
SHARED = 0.5
"""Share of it that two models have in common."""


class Setting(NamedTuple):
    """What is simulated.

    Args:
        name: of the setting.
        accounts: how many.
        conversions: how many of them are expected.
        shift: by which a conversion's score is larger.
        unseen: share of the conversions for which it is not.
        repeats: how many times it is simulated.
    """

    name: str
    accounts: int
    conversions: float
    shift: float
    unseen: float
    repeats: int


SETTINGS = (
    Setting("the paper's size, AUC .80", 381, 13, 1.2, 0.0, 1000),
    Setting("the paper's size, AUC .92", 381, 13, 2.0, 0.0, 1000),
    Setting("the paper's size, AUC .81, 30 % of the conversions unseen", 381, 13, 2.2, 0.3, 1000),
    Setting("2,000 accounts, 100 conversions, AUC .81, 30 % unseen", 2000, 100, 2.2, 0.3, 300),
)


class World(NamedTuple):
    """One simulated test set: scores of three models, of which the third is worse."""

    scores: np.ndarray
    labels: np.ndarray
    accounts: np.ndarray
    periods: np.ndarray


def simulate(setting: Setting, random: np.random.Generator) -> World:
    """Draws a test set."""
    weeks = random.integers(1, WEEKS + 1, setting.accounts)
    account = np.repeat(np.arange(setting.accounts), weeks)
    last = np.cumsum(weeks) - 1
    labels = np.zeros(len(account), int)
    labels[last[random.random(setting.accounts) < setting.conversions / setting.accounts]] = 1
    week = np.arange(len(account)) - (last - weeks + 1)[account]
    period = (random.integers(0, WEEKS, setting.accounts)[account] + week) % WEEKS

    def noise() -> np.ndarray:
        stays, comes = random.normal(size=setting.accounts), random.normal(size=len(account))
        return np.sqrt(STAYS) * stays[account] + np.sqrt(1 - STAYS) * comes

    common, scores = noise(), []
    for shift in shifts(setting):
        own = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * noise()
        scores.append(own + shift * labels * (random.random(len(account)) >= setting.unseen))
    return World(np.array(scores), labels, account, period)


def shifts(setting: Setting) -> tuple[float, float, float]:
    """Of the three models."""
    return setting.shift, setting.shift, 0.7 * setting.shift


def base_rate(setting: Setting) -> float:
    """Expected conversions over expected samples."""
    return setting.conversions / setting.accounts / ((WEEKS + 1) / 2)


def probabilities(scores: np.ndarray, shift: float, rate: float) -> np.ndarray:
    """What a model says, that does not know of unseen conversions."""
    return expit(logit(rate) + shift * scores - shift**2 / 2)


def truth(shift: float, unseen: float, rate: float) -> dict[str, float]:
    """Every measure on infinitely many accounts."""
    x, step = np.linspace(-9, 13, 200_001, retstep=True)
    of_others = norm.pdf(x)
    of_conversions = unseen * of_others + (1 - unseen) * norm.pdf(x - shift)
    above, captured = ndtr(-x), unseen * ndtr(-x) + (1 - unseen) * ndtr(shift - x)
    p = probabilities(x, shift, rate)
    mean = lambda converting, other: float((rate * of_conversions * converting + (1 - rate) * of_others * other).sum())
    area = unseen / 2 + (1 - unseen) * float(ndtr(shift / np.sqrt(2)))
    precision = rate * captured / (rate * captured + (1 - rate) * above)
    contacted = rate * captured + (1 - rate) * above
    return {
        "auc": area,
        "auc_period_mean": area,
        "average_precision": float((of_conversions * precision).sum() * step),
        "log_loss": mean(-np.log(p), -np.log1p(-p)) * step,
        "brier": mean((1 - p) ** 2, p**2) * step,
        "lift": float(np.interp(-0.1, -contacted, captured)) / 0.1,
    }


def other_intervals(
    value: float, draws: np.ndarray, left_out: np.ndarray, positives: int
) -> dict[str, tuple[float, float]]:
    """Intervals that could have been given instead.

    Args:
        value: the measure.
        draws: ``[R]`` on resampled accounts.
        left_out: ``[A]`` without one account each, for the acceleration of BCa.
        positives: accounts that convert.
    """
    draws, tail = draws[~np.isnan(draws)], (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    deviation, plain = draws.std(ddof=1), difference(value, draws, level=LEVEL, positives=positives)
    below = np.clip(((draws < value).mean() + (draws <= value).mean()) / 2, 1 / len(draws), 1 - 1 / len(draws))
    away = left_out.mean() - left_out
    acceleration = (away**3).sum() / max(6 * (away**2).sum() ** 1.5, 1e-300)
    moved = ndtri(below) + ndtri([tail, 1 - tail])
    levels = ndtr(ndtri(below) + moved / (1 - acceleration * moved))
    return {
        "percentile": (low, high),
        "basic": (2 * value - high, 2 * value - low),
        "normal": (value + ndtri(tail) * deviation, value - ndtri(tail) * deviation),
        "student": (plain.low, plain.high),
        "bca": tuple(np.quantile(draws, np.clip(levels, 0, 1))),
    }


class Tally:
    """Counts of intervals above, around and below the truth, by measure and method."""

    def __init__(self) -> None:
        """Starts at nothing."""
        self.counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])

    def add(self, measure: str, method: str, ends: tuple[float, float], true: float) -> None:
        """Counts one interval."""
        self.counts[measure, method][0 if true < ends[0] else 1 if true <= ends[1] else 2] += 1

    def shares(self) -> dict[str, dict[str, dict[str, float]]]:
        """By measure and method: how often the truth was inside, below and above."""
        found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
        for (measure, method), (below, inside, above) in self.counts.items():
            n = below + inside + above
            found[measure][method] = {"inside": inside / n, "below": below / n, "above": above / n}
        return dict(found)


def study(setting: Setting, *, repeats: int, resamples: int, seed: int) -> dict[str, Any]:
    """Simulates a setting again and again.

    Returns:
        The truth, the coverage of single measures, the rate at which equal models are told apart, and the coverage of
        the difference to a worse one.
    """
    random, rate = np.random.default_rng(seed), base_rate(setting)
    true = [truth(shift, setting.unseen, rate) for shift in shifts(setting)]
    drawn = account_weights(setting.accounts, resamples=resamples, seed=seed)
    everyone = np.ones((1, setting.accounts))
    weights = np.concatenate([everyone, drawn, everyone - np.eye(setting.accounts)])
    alone, apart, told_apart, done = Tally(), Tally(), defaultdict(float), 0
    for _ in range(repeats):
        world = simulate(setting, random)
        given = samples_of(world.scores, world.labels, world.accounts, world.periods)
        if given.carriers < 2:
            continue
        done += 1
        measured = []
        for model, shift in enumerate(shifts(setting)):
            p = probabilities(world.scores[model], shift, rate)
            some = weights if model == 0 else weights[: resamples + 1]
            measured.append(resampled(p, world.labels, world.accounts, some, MEASURES, periods=world.periods))
        for measure in MEASURES:
            value, draws = measured[0][measure][0], measured[0][measure][1 : resamples + 1]
            found = interval(value, draws, level=LEVEL, positives=given.carriers, measure=measure)
            every = {"shipped": (found.low, found.high)}
            every |= other_intervals(value, draws, measured[0][measure][resamples + 1 :], given.carriers)
            for method, ends in every.items():
                alone.add(measure, method, ends, true[0][measure])
            for other in (1, 2):
                gap = measured[0][measure][: resamples + 1] - measured[other][measure]
                judged = difference(gap[0], gap[1:], level=LEVEL, positives=given.carriers)
                low, high = np.nanquantile(gap[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
                if other == 1:
                    told_apart[measure, "shipped"] += judged.p < 1 - LEVEL
                    told_apart[measure, "percentile"] += low > 0 or high < 0
                else:
                    expected = true[0][measure] - true[2][measure]
                    apart.add(measure, "shipped", (judged.low, judged.high), expected)
                    apart.add(measure, "percentile", (low, high), expected)
        for method, clusters in (("delong", None), ("delong, accounts", world.accounts)):
            tested = delong_test(world.scores[0], world.scores[1], world.labels, clusters)
            told_apart["auc", method] += tested.p < 1 - LEVEL
        add_lift(alone, world, drawn, true[0]["lift"])
    return {
        **setting._asdict(),
        "repeats": done,
        "truth": true[0],
        "coverage": alone.shares(),
        "told_apart_if_equal": {f"{measure}, {method}": n / done for (measure, method), n in told_apart.items()},
        "coverage_of_difference": apart.shares(),
    }


def add_lift(alone: Tally, world: World, drawn: np.ndarray, true: float) -> None:
    """Counts the interval of the lift of the tier "High", and the percentile interval beside it."""
    table = lift(world.scores[0], world.labels, world.accounts, world.periods, resamples=300)
    alone.add("lift", "shipped", (table["low"][0], table["high"][0]), true)
    positive, size = world.labels == 1, drawn.shape[1]
    high = positive & (tiers(world.scores[0], world.periods) == "High")
    converting = drawn @ np.bincount(world.accounts[positive], minlength=size)
    share = (drawn @ np.bincount(world.accounts[high], minlength=size))[converting > 0] / converting[converting > 0]
    low, up = np.quantile(share, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    alone.add("lift", "percentile", (low / 0.1, up / 0.1), true)


def markdown(found: dict[str, Any]) -> str:
    """One setting as text."""
    methods = list(found["coverage"]["auc"])
    lines = [f"### {found['name']} ({found['repeats']:,} test sets)", ""]
    lines += [f"| measure | truth | {' | '.join(methods)} | difference | equal ones told apart |"]
    lines += ["|---|--:|" + "--:|" * (len(methods) + 2)]
    for measure, by_method in found["coverage"].items():
        cells = [f"{by_method[m]['inside']:.1%}" if m in by_method else "–" for m in methods]
        pair = found["coverage_of_difference"].get(measure)
        cells.append(f"{pair['shipped']['inside']:.1%}" if pair else "–")
        sizes = found["told_apart_if_equal"]
        cells.append(f"{sizes[f'{measure}, shipped']:.1%}" if pair else "–")
        lines.append(f"| {measure} | {found['truth'][measure]:.4f} | {' | '.join(cells)} |")
    others = [f"{name} {share:.1%}" for name, share in found["told_apart_if_equal"].items() if "shipped" not in name]
    return "\n".join([*lines, "", "Equal ones told apart by others: " + "; ".join(others) + ".", ""])


def main() -> None:
    """Runs the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="forty test sets of each setting")
    parser.add_argument("--resamples", type=int, default=1000, help="of the accounts of a test set")
    parser.add_argument("--out", type=Path, help="write the figures there, as JSON")
    arguments = parser.parse_args()
    every = []
    for seed, setting in enumerate(SETTINGS):
        repeats = 40 if arguments.quick else setting.repeats
        every.append(study(setting, repeats=repeats, resamples=arguments.resamples, seed=seed))
        print(markdown(every[-1]), flush=True)
    if arguments.out:
        about = {"machine": describe_machine(), "level": LEVEL, "resamples": arguments.resamples, "settings": every}
        arguments.out.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main()
