"""The game among aspects against its definition: all orders, with tables that are made anew for each coalition."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import hanjax
from hanjax.config import ModelConfig, PanelConfig
from hanjax.explain import game
from hanjax.explain.aspects import Aspects
from hanjax.explain.game import coalition_log_odds, fill_of, play, without_activities
from hanjax.nn import Sizes, ensemble, network
from hanjax.scoring.influence import average_log_odds, shapley_values
from hanjax.scoring.scores import score_panel
from tests.data.small import small
from tests.explain.examples import W, log_odds, world
from tests.nn.examples import drawn

ASPECTS = Aspects.of(
    {
        "email": ["activity:*email*"],
        "growth": ["account:*", "feature:*"],
        "people": ["member:*", "member_number:*"],
        "nothing": [],
    }
)


def rows_of(panel, n=3):
    """Samples of several members, of which some activity is known."""
    return np.flatnonzero(panel.samples["n_members"].to_numpy() > 1)[-n:]


@pytest.mark.parametrize("kept", [4, 1])
def test_every_coalition_of_inputs_is_what_tables_made_anew_give(kept):
    """Also where sequences are too short for most of what the volumes count."""
    panel, _, inputs, net, params = world()
    batch = panel.batch._replace(sequences=np.where(np.arange(4) < kept, panel.batch.sequences, 0))
    rows, random = rows_of(panel), np.random.default_rng(0)
    fill = fill_of(batch, rows, inputs)
    coalitions = random.random((40, len(inputs))) < np.linspace(0, 1, 40)[:, None]
    arguments = (batch, net, params, rows, inputs, coalitions, fill)
    found = coalition_log_odds(*arguments, positive_weight=W)
    at = [0, 7, 15, 22, 30, 39]
    expected = [[log_odds(batch, r, inputs, coalitions[c], fill, net, params) for r in rows] for c in at]
    np.testing.assert_allclose(found[at], expected, atol=1e-5)
    assert np.abs(found - found[-1]).max() > 0.01


def test_what_a_sequence_is_too_short_for_stays_in_the_volumes():
    """A week of call, call and four visits, of which the sequence holds the visits: without these, there were calls."""
    week = pd.DataFrame({"activity": ["call", "call", "visit", "visit", "visit", "visit"]})
    week = week.assign(account_id=10, individual_id=1, timestamp=[f"2024-01-09T1{i}:00:00Z" for i in range(6)])
    other = week.iloc[[2]].assign(timestamp="2024-01-16T10:00:00Z")
    config = PanelConfig(max_activities=4, window=2, volumes=True)
    panel = hanjax.encode(small(events=pd.concat([week, other])), config)
    now = panel.samples.index[(panel.samples["account_id"] == 10) & (panel.samples["cutoff"] == "2024-01-21")].item()
    place = panel.individual_ids[panel.member_ids[now]].tolist().index(1)
    call, visit = 2, 3  # the first ids, by name

    def held(*stay):
        batch = without_activities(panel.batch, jnp.isin(jnp.arange(4), jnp.array(stay, int)))
        window = batch.member_windows[now, place]
        weeks, volumes = batch.windows[window], batch.count_windows[window]
        return (weeks > 0).tolist(), batch.sequences[weeks].tolist(), batch.counts[volumes][:, 2:].tolist()

    assert held(call, visit) == ([True, True], [[visit] * 4, [visit, 0, 0, 0]], [[2, 4], [0, 1]])
    assert held(call) == ([True, False], [[0] * 4, [0] * 4], [[2, 0], [0, 0]])
    assert held(visit) == ([True, True], [[visit] * 4, [visit, 0, 0, 0]], [[0, 4], [0, 1]])
    assert held() == ([False, False], [[0] * 4, [0] * 4], [[0, 0], [0, 0]])


def test_contributions_are_the_means_over_all_orders():
    panel, _, inputs, net, params = world()
    rows = rows_of(panel, 2)
    names = [one.name for one in inputs]
    owners = ASPECTS.owners(names)
    fill = fill_of(panel.batch, rows, inputs)
    played = play(panel.batch, net, params, rows, inputs, owners, fill, positive_weight=W)
    parts = played.parts(owners)
    players = [name for name in owners if owners[name]]
    for i, row in enumerate(rows):
        worth = {}

        def value(group, row=row, worth=worth):
            if (key := frozenset(group)) not in worth:
                known = [any(one in owners[name] for name in key) for one in names]
                worth[key] = log_odds(panel.batch, row, inputs, known, fill, net, params)
            return worth[key]

        added = dict.fromkeys(players, 0.0)
        orders = list(itertools.permutations(players))
        for order in orders:
            for n, name in enumerate(order):
                added[name] += value(order[: n + 1]) - value(order[:n])
        for name in players:
            assert parts[name][i] == pytest.approx(added[name] / len(orders), abs=1e-5)
        assert sum(parts[name][i] for name in owners) == pytest.approx(value(players) - value(()), abs=1e-5)
        j = names.index("account:revenue")
        alone = log_odds(panel.batch, row, inputs, [one != "account:revenue" for one in names], fill, net, params)
        assert played.effects[j, i] == pytest.approx(value(players) - alone, abs=1e-5)
    assert (parts["nothing"] == 0).all()
    assert max(np.abs(parts[name]).max() for name in players) > 0.01


@pytest.mark.slow
def test_aspects_and_members_divide_the_same_difference():
    panel, _, inputs, net, params = world()
    rows = rows_of(panel)
    owners = ASPECTS.owners([one.name for one in inputs])
    played = play(panel.batch, net, params, rows, inputs, owners, fill_of(panel.batch, rows, inputs), positive_weight=W)
    baseline = average_log_odds(panel, net, params, positive_weight=W)
    members = shapley_values(panel, net, params, rows, positive_weight=W)
    of_members = members.groupby(["account_id", "cutoff"], sort=False)["influence"].sum()
    of_aspects = played.worths[0] - baseline + sum(played.parts(owners).values())
    np.testing.assert_allclose(of_aspects, of_members, atol=1e-5)
    assert (members["baseline"] == baseline).all()
    p = score_panel(panel, net, params, positive_weight=W).accounts["probability"].to_numpy()[rows]
    np.testing.assert_allclose(baseline + of_aspects, np.log(p / (1 - p)), atol=1e-5)


@pytest.mark.slow
def test_inputs_that_the_network_does_not_read_contribute_nothing():
    panel, _, inputs, _, _ = world()
    config = ModelConfig(aggregator="maximum", activity_width=3, window_width=3, member_width=3, category_width=2)
    net = network(config, Sizes.of(panel.batch))
    params = drawn(jax.eval_shape(net.init, jax.random.key(0)))
    names = [one.name for one in inputs]
    owners = Aspects.of({"read": ["activity:*", "member*:*"]}).owners(names)
    rows = rows_of(panel)
    played = play(panel.batch, net, params, rows, inputs, owners, fill_of(panel.batch, rows, inputs), positive_weight=W)
    np.testing.assert_allclose(played.parts(owners)["other"], 0, atol=1e-6)  # the accounts' numbers, which it ignores
    assert np.abs(played.parts(owners)["read"]).max() > 1e-3


@pytest.mark.slow
def test_it_is_compiled_once_for_all_chunks_of_accounts(monkeypatch):
    panel, _, inputs, net, params = world()
    monkeypatch.setattr(game, "_SAMPLES", 2)
    game._program.cache_clear()
    rows, fill = rows_of(panel, 6), fill_of(panel.batch, rows_of(panel, 6), inputs)
    owners, done = ASPECTS.owners([one.name for one in inputs]), []
    small = play(panel.batch, net, params, rows, inputs, owners, fill, positive_weight=W, progress=done.append)
    assert game._program(net)._cache_size() == 1 and sum(done) == 6 and len(done) == 3
    monkeypatch.undo()
    whole = play(panel.batch, net, params, rows[::-1], inputs, owners, fill, positive_weight=W)
    np.testing.assert_allclose(whole.worths[:, ::-1], small.worths, atol=1e-5)


@pytest.mark.slow
def test_an_ensemble_plays_as_one():
    panel, _, inputs, one, _ = world()
    net = ensemble(one, 2)
    params = drawn(jax.eval_shape(net.init, jax.random.key(0)))
    rows = rows_of(panel)
    fill = fill_of(panel.batch, rows, inputs)
    known = np.eye(len(inputs), dtype=bool)[:5]
    found = coalition_log_odds(panel.batch, net, params, rows, inputs, known, fill, positive_weight=W)
    each = [jax.tree.map(lambda leaf, n=n: leaf[n], params) for n in range(2)]
    alone = [coalition_log_odds(panel.batch, one, own, rows, inputs, known, fill, positive_weight=W) for own in each]
    np.testing.assert_allclose(found, np.mean(alone, axis=0), atol=1e-5)


def test_what_stands_in_for_hidden_inputs():
    panel, encoding, inputs, _, _ = world()
    rows = np.arange(len(panel.samples))
    fill, batch = fill_of(panel.batch, rows, inputs), panel.batch
    assert not any(name.startswith("activity:") for name in fill)
    for one in inputs:
        if one.kind == "member":
            ids = batch.individuals[batch.members[batch.members > 0], one.at]
            assert fill[one.name] == (float(np.unique(ids)[np.unique(ids, return_counts=True)[1].argmax()]),)
        elif one.kind == "feature":
            share = batch.account_numbers[:, one.at + 1].mean()
            assert 0 < share < 1 and fill[one.name] == (0.0, pytest.approx(share, abs=1e-6))
        elif one.width == 1 and one.kind != "activity":
            assert fill[one.name] == (0.0,)
    columns = [one for one in inputs if one.kind in ("feature", "number")]
    assert sum(one.width for one in columns) == batch.account_numbers.shape[1]
    assert sum(one.width for one in inputs if one.kind in ("account", "feature", "number")) == encoding.width
