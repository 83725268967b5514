"""Shares of a score, against the attention of the whole network followed step by step."""

import jax
import numpy as np
import pandas as pd
import pytest

from hanjax.api.scoring import score_encoded
from hanjax.report.contributions import contributions
from tests import trained


@pytest.fixture(scope="module")
def scores():
    return score_encoded(trained.trained(), trained.panel())


@pytest.fixture(scope="module")
def output():
    run = trained.trained()
    return jax.device_get(jax.jit(run.network.apply)(run.params, trained.panel().batch))


def found(scores, row):
    run = trained.trained()
    return contributions(
        trained.panel(),
        scores,
        run.network,
        run.params,
        row,
        activities=run.encoding.activities,
        periods=["oldest", "middle", "latest"],
    )


def slow(output, row):
    """Loops over members, periods and activities."""
    panel, names = trained.panel(), ["", "(unknown activity)", *trained.trained().encoding.activities]
    batch, cells, activities = panel.batch, [], []
    for k in range(batch.members.shape[1]):
        window = batch.member_windows[row, k]
        for w, period in enumerate(["oldest", "middle", "latest"]):
            sequence = batch.windows[window, w]
            if not batch.members[row, k] or not sequence:
                continue
            weight = output.member_share[row, k] * output.period_share[window, w]
            pairs = zip(batch.sequences[sequence], output.activity_share[sequence], strict=True)
            kept = [(names[a], s) for a, s in pairs if a]
            person = panel.individual_ids[panel.member_ids[row, k]]
            cells.append((person, period, weight, len(kept), ", ".join(name for name, _ in kept)))
            activities += [(name, weight * share) for name, share in kept]
    return pd.DataFrame(cells), pd.DataFrame(activities)


@pytest.mark.parametrize("place", [0, 0.3, 0.7, 1])
def test_shares_are_those_of_the_network(scores, output, place):
    batch = trained.panel().batch
    active = np.flatnonzero(batch.windows[batch.member_windows].any((1, 2)))
    row = int(active[round(place * (len(active) - 1))])
    one, (cells, activities) = found(scores, row), slow(output, row)
    for mine, theirs in ((one.cells, cells), (one.activities, activities)):
        for name, column in zip(mine, theirs, strict=True):
            if name == "weight":
                np.testing.assert_allclose(mine[name], theirs[column], rtol=1e-5, atol=1e-7)
            else:
                assert mine[name].tolist() == theirs[column].tolist(), name
    total = one.cells["weight"].sum() + one.quiet
    assert total == pytest.approx(1, abs=1e-5) and one.activities["weight"].sum() + one.quiet == pytest.approx(total)


def test_an_account_in_which_nobody_was_active_has_no_cells(scores):
    batch = trained.panel().batch
    quiet = np.flatnonzero(~batch.windows[batch.member_windows].any((1, 2)))
    assert len(quiet), "the market has no such sample"
    one = found(scores, int(quiet[0]))
    assert one.cells.empty and one.activities.empty and one.quiet == pytest.approx(1)
