"""The rows are the paper's, and each says what it is."""

import pytest

from hanjax.errors import ConfigError
from hanjax.reproduction.choices import CHOICES, measured_rows
from hanjax.reproduction.rows import ALL, GRID, RECOMMENDED, ROWS, STATIC, row_named
from hanjax.reproduction.store import Key

PAPER = {"2": [0.74, 0.82], "3": [0.86, 0.87, 0.87, 0.83, 0.67, 0.69], "4": [0.85, 0.85, 0.86]}


@pytest.mark.parametrize("table", PAPER)
def test_the_paper_s_figures_stand_in_its_order(table):
    assert [row.paper for row in ROWS if row.table == table] == PAPER[table]


def test_names_are_unique_and_known():
    names = [row.name for row in (*ALL, *STATIC, *measured_rows())]
    assert len(set(names)) == len(names)
    assert [row_named(name).name for name in GRID] == list(GRID)
    with pytest.raises(ConfigError, match="experiment-3"):
        row_named("experiment-33")


def test_every_row_differs_from_every_other_in_what_it_is_stored_under():
    rows = [row for row in (*ALL, *STATIC)]
    assert len({Key.of(row, row.config(), 0, "w", "d").digest for row in rows}) == len(rows)
    row = row_named("experiment-3")
    keys = {Key.of(row, row.config(), 0, "w", "d").digest, Key.of(row, row.config(), 1, "w", "d").digest}
    keys |= {Key.of(row, row.config(3), 0, "w", "d").digest, Key.of(row, row.config(), 0, "w", "e").digest}
    assert len(keys) == 4


def test_what_the_recommended_preset_has_to_beat_is_encoded_with_the_same_settings():
    assert len({row.config().panel for row in RECOMMENDED}) == 1
    assert {row.kind for row in RECOMMENDED} == {"network", "regression", "boosting"}


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_an_option_is_another_than_the_default(choice):
    assert choice.row.config() != choice.reference.config()


def test_fewer_epochs_keep_their_proportion():
    [longer] = [choice.row for choice in CHOICES if choice.name == "epochs-50"]
    assert longer.config().train.epochs == 50 and longer.config(2).train.epochs == 5
    assert row_named("experiment-3").config(2).train.epochs == 2
