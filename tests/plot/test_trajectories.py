"""Pictures carry the right data, whatever their size."""

import numpy as np
import pandas as pd
import pytest

from hanjax import plot
from hanjax.errors import DataError
from hanjax.types import Scores
from tests.plot.drawn import assert_nothing_cut_off

plt = pytest.importorskip("matplotlib.pyplot")
dates = pytest.importorskip("matplotlib.dates")


COLUMNS = ["account_id", "individual_id", "cutoff", "score"]


def market(members=4, weeks=8, *, spread=1.0, zone="America/New_York"):
    """Scores of account "a1", with individuals who arrive one after the other, and of a second account."""
    rng = np.random.default_rng(0)
    cutoffs = pd.date_range("2025-12-07", periods=weeks, freq="7D", tz=zone)
    accounts, individuals = [], []
    for account in ("a1", "a2"):
        probability = 0.02 + 0.03 * rng.random(weeks)
        accounts.append(pd.DataFrame({"account_id": account, "cutoff": cutoffs, "probability": probability}))
        for i in range(members):
            since = cutoffs[min(i, weeks - 1) :]
            score = probability[-len(since) :] * np.exp(-spread * rng.random(len(since)))
            name = f"{account}-{i:02d}"
            individuals.append(
                pd.DataFrame({"account_id": account, "individual_id": name, "cutoff": since, "score": score})
            )
    order = rng.permutation(2 * weeks)  # rows in no order
    everyone = pd.concat(individuals, ignore_index=True) if individuals else pd.DataFrame(columns=COLUMNS)
    return Scores(pd.concat(accounts).iloc[order], everyone)


def drawn(ax):
    ax.figure.canvas.draw()
    return {line.get_label(): line for line in ax.lines}


@pytest.mark.parametrize("zone", ["America/New_York", "UTC", None])
def test_trajectory_draws_the_account_and_its_individuals(zone):
    scores = market(zone=zone)
    lines = drawn(plot.trajectory(scores, "a1"))
    assert set(lines) == {"account", "a1-00", "a1-01", "a1-02", "a1-03"}
    for label, line in lines.items():
        table = scores.accounts if label == "account" else scores.individuals
        key, value = ("account_id", "probability") if label == "account" else ("individual_id", "score")
        rows = table[table[key] == ("a1" if label == "account" else label)].sort_values("cutoff")
        days = [stamp.replace(tzinfo=None) for stamp in rows["cutoff"]]  # wall time of the panel
        np.testing.assert_allclose(line.get_xdata(orig=False), dates.date2num(days))
        np.testing.assert_array_equal(line.get_ydata(), rows[value])
    thin = [line for label, line in lines.items() if label != "account"]
    assert all(lines["account"].get_linewidth() > 2 * line.get_linewidth() for line in thin)
    assert all(line.get_marker() not in ("", "None") for line in thin)
    assert len({line.get_color() for line in thin}) == len({line.get_marker() for line in thin}) == 4


def test_few_cutoffs_are_labeled_by_date_and_many_by_month():
    ax = plot.trajectory(market(weeks=5), "a1")
    ax.figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["Dec 7\n2025", "Dec 14", "Dec 21", "Dec 28", "Jan 4\n2026"]
    ax = plot.trajectory(market(weeks=35), "a1")
    ax.figure.canvas.draw()
    assert 4 <= len(ax.get_xticks()) <= 10
    assert_nothing_cut_off(ax)


def test_a_single_cutoff():
    ax = plot.trajectory(market(weeks=1), "a1")
    lines = drawn(ax)
    assert all(len(line.get_xdata()) == 1 and line.get_marker() != "None" for line in lines.values())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Dec 7\n2025"]
    low, high = ax.get_xlim()
    assert high - low == pytest.approx(6)
    assert_nothing_cut_off(ax)
    low, high = plot.trajectory(market(weeks=1), "a1", converted_at="2025-12-27").get_xlim()
    assert high - low == pytest.approx(26)


@pytest.mark.parametrize(("members", "named"), [(0, 0), (1, 1), (8, 8), (9, 5), (30, 5)])
def test_many_individuals_only_the_top_ones_have_a_name_and_a_color(members, named):
    scores = market(members, weeks=35)
    ax = plot.trajectory(scores, "a1")
    lines, of_account = drawn(ax), scores.individuals[scores.individuals["account_id"] == "a1"]
    assert len(lines) == members + 1
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    top = of_account.groupby("individual_id")["score"].max().sort_values(ascending=False).index[:named]
    others = [f"{members - named} others"] if members > named else []
    assert legend == ["account", *top, *others]
    assert len({lines[name].get_color() for name in top}) == named
    gray = [line for label, line in lines.items() if label not in ("account", *top)]
    assert {line.get_color() for line in gray} <= {"#BBBBBB"} and len(gray) == members - named
    assert_nothing_cut_off(ax)


def test_the_conversion_is_a_vertical_line():
    for date in ("2026-02-01", pd.Timestamp("2026-02-01 13:00", tz="America/New_York")):
        ax = plot.trajectory(market(), "a1", converted_at=date)
        line = drawn(ax)["converted 2026-02-01"]
        assert line.get_xdata()[0] == line.get_xdata()[1] == pd.Timestamp(date).tz_localize(None)
        low, high = ax.get_xlim()
        assert low < line.get_xdata(orig=False)[0] < high


def test_probabilities_that_span_orders_of_magnitude_get_a_logarithmic_axis():
    assert plot.trajectory(market(spread=1), "a1").get_yscale() == "linear"
    ax = plot.trajectory(market(spread=8), "a1")
    assert ax.get_yscale() == "log"
    ax.figure.canvas.draw()
    assert all(label.get_text().endswith(" %") for label in ax.get_yticklabels())
    scores = market(spread=8)
    scores.individuals.loc[0, "score"] = 0.0
    assert plot.trajectory(scores, "a1").get_yscale() == "linear"


def test_an_unknown_account_names_some_that_exist():
    with pytest.raises(DataError, match=r"no score for 'a7'; 2 accounts have one: '\w+', '\w+'"):
        plot.trajectory(market(), "a7")


def test_draws_on_given_axes_and_long_ids_leave_room():
    ax = plt.subplots(2)[1][1]
    assert plot.trajectory(market(), "a1", ax=ax) is ax
    scores = market()
    scores.individuals["individual_id"] = scores.individuals["individual_id"] + "-" * 60
    ax = plot.trajectory(scores, "a1")
    assert_nothing_cut_off(ax)
    assert ax.get_position().width > 0.5


def test_ids_may_hold_anything():
    scores, names = market(5), ["a$b$c", "_a", "two\nlines", "<b>&amp;\\frac{1}{2}^_", "%s{0}"]
    individuals = scores.individuals.replace({f"a1-{i:02d}": name for i, name in enumerate(names)})
    accounts, individuals = scores.accounts.replace({"a1": "$_x^$"}), individuals.replace({"a1": "$_x^$"})
    ax = plot.trajectory(Scores(accounts, individuals), "$_x^$")
    shown = [text.get_text().replace(r"\$", "$").strip() for text in ax.get_legend().get_texts()]
    assert set(shown) == {"account", *(name.replace("\n", " ") for name in names)}
    assert_nothing_cut_off(ax)


def epochs(n=6):
    auc = 0.8 - 0.01 * np.abs(np.arange(n) - 3)
    return pd.DataFrame({"epoch": np.arange(1, n + 1), "loss": 1 / np.arange(1, n + 1), "validation_auc": auc})


def test_history_draws_both_curves_and_marks_the_best_epoch():
    frame = epochs()
    ax = plot.history(frame)
    right = next(other for other in ax.figure.axes if other is not ax)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), frame[["epoch", "loss"]])
    np.testing.assert_array_equal(right.lines[0].get_xydata(), frame[["epoch", "validation_auc"]])
    assert list(right.lines[1].get_xdata()) == [4, 4]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["training loss", "validation AUC", "best: epoch 4, AUC 0.800"]
    assert_nothing_cut_off(ax)


@pytest.mark.parametrize("unknown", ["no column", "all empty"])
def test_history_without_validation_is_the_loss_alone(unknown):
    frame = epochs().drop(columns="validation_auc")
    ax = plot.history(frame if unknown == "no column" else frame.assign(validation_auc=np.nan))
    assert len(ax.figure.axes) == 1 and len(ax.lines) == 1


def test_history_of_one_epoch_none_and_some_without_auc():
    ax = plot.history(epochs(1))
    assert list(ax.get_xticks()) == [1]
    frame = epochs()
    frame.loc[3, "validation_auc"] = np.nan
    ax = plot.history(frame)
    assert ax.get_legend().get_texts()[-1].get_text() == "best: epoch 3, AUC 0.790"
    with pytest.raises(DataError, match="no epoch"):
        plot.history(frame[:0])
