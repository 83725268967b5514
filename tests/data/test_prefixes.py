"""Beginnings that rows share: all of them, each once, computed from one another chunk by chunk."""

import numpy as np
import pytest

from hanjax.data.prefixes import make_forest, plan_prefixes
from hanjax.types import REACH


def table(rows=60, length=5, *, levels=4, seed=0):
    """Random rows of items with holes, and a second number for each item; the first row is empty."""
    rng = np.random.default_rng(seed)
    where = rng.random((rows, length)) < 0.7
    where[0] = False
    return np.where(where, rng.integers(1, levels, (rows, length)), 0), rng.integers(0, 2, (rows, length)), where


def beginnings(items, more, where):
    """For each place, what the row holds up to it, as a tuple; None where nothing is."""
    found = []
    for row in zip(items, more, where, strict=True):
        so_far, places = (), []
        for item, second, there in zip(*row, strict=True):
            so_far = (*so_far, (int(item), int(second))) if there else so_far
            places.append(so_far if there else None)
        found.append(places)
    return found


@pytest.mark.parametrize("shape", [(60, 5), (300, 9), (1, 3), (40, 1)])
def test_every_distinct_beginning_is_one_node_and_knows_its_parent(shape):
    items, more, where = table(*shape)
    forest = make_forest(items, more, where=where)
    nodes = {}
    for row, path in zip(beginnings(items, more, where), forest.paths, strict=True):
        for prefix, node in zip(row, path, strict=True):
            assert (prefix is None) == (node == 0)
            if prefix is not None:
                assert nodes.setdefault(prefix, node) == node
    assert sorted(nodes.values()) == list(range(1, len(forest.parents)))
    for prefix, node in nodes.items():
        assert forest.parents[node] == (nodes[prefix[:-1]] if len(prefix) > 1 else 0)
        assert forest.starts[len(prefix) - 1] <= node < forest.starts[len(prefix)]


@pytest.mark.parametrize(("rows", "levels", "size"), [(60, 4, None), (2000, 4, None), (3000, 200, None), (7, 4, 16)])
def test_a_loop_over_chunks_meets_every_parent_before_its_children(rows, levels, size):
    items, more, where = table(rows, 6, levels=levels)
    forest, rng = make_forest(items, more, where=where), np.random.default_rng(1)
    steps = [np.concatenate([[0], np.sort(rng.permutation(np.arange(1, rows))[: rows // k])]) for k in (2, 3, 1)]
    places = max(map(len, steps)) + 5
    plan = plan_prefixes(forest, steps, places)
    assert plan.paths.shape == (3, places, 6) and (size is None or plan.cells.shape[2] == size)
    chunks, size = plan.cells.shape[1:]
    for t, used in enumerate(steps):
        own = [table[used] for table in (items, more, where)]
        cells = [(int(item), int(second)) for item, second in zip(own[0].ravel(), own[1].ravel(), strict=True)]
        # As in the compiled loop: only the latest chunks are at hand, behind an empty prefix.
        latest, states = [()] * (1 + REACH * size), []
        for chunk in range(chunks):
            here = [
                (*latest[parent], cells[cell])
                for cell, parent in zip(plan.cells[t, chunk], plan.parents[t, chunk], strict=True)
            ]
            latest, states = [(), *latest[1 + size :], *here], [*states, *here]
        for row, path in zip(beginnings(*own), plan.paths[t], strict=False):
            assert [None if place == 0 else states[place - 1] for place in path] == row
        assert not plan.paths[t, len(used) :].any()
        # No state is computed twice.
        reached = np.unique(plan.paths[t][plan.paths[t] > 0])
        assert len({states[place - 1] for place in reached}) == len(reached)


def test_few_places_are_left_empty():
    items, more, where = table(20_000, 9, levels=10)
    forest = make_forest(items, where=where)
    plan = plan_prefixes(forest, [np.arange(20_000)], 20_000)
    assert forest.starts[-1] - 1 <= plan.cells[0].size < 1.7 * forest.starts[-1]
    assert plan.cells.shape[1] < 40  # so that the loop is short


def test_nothing_at_all_is_one_chunk_of_nothing():
    items, more, where = table()
    plan = plan_prefixes(make_forest(items, more, where=where), [np.zeros(1, int)], 3)
    assert plan.cells.shape[:2] == (1, plan.cells.shape[1]) and not any(array.any() for array in plan)
