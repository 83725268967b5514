"""What models are given: features as they were known at each cut-off, and accounts that stay held out."""

import numpy as np
import pandas as pd

from hanjax.config import PanelConfig
from hanjax.data.reading import read
from hanjax.data.tables import check
from hanjax.labels import make_labels
from hanjax.types import Tables
from hanjax.workflow import read_workflow
from hanjax.workflow.material import digest_of, held_out, mart_of, versions_of, with_features
from tests.workflow import places


def test_features_are_those_known_before_the_week_of_each_outcome(tmp_path):
    workflow = read_workflow(places.place(tmp_path))
    tables, config = read(workflow.data), PanelConfig()
    labels = make_labels(workflow.opportunities, workflow.rule)
    log = check(tables, config)
    mart = mart_of(workflow, tables, config)
    assert list(versions_of(mart)) == ["employees", "connections"]
    found = with_features(tables._replace(outcomes=labels.outcomes), mart, log, config).account_features
    source = places.company().sources["headcount"]
    seen = 0
    for row in labels.table.sample(30, random_state=0).itertuples():
        sunday = row.as_of.normalize() - pd.Timedelta(days=(row.as_of.day_of_week + 1) % 7)
        since = source[["day", "known_at"]].max(axis=1)  # where known_at is empty, a row was known at its day
        known = source.loc[(source["account_id"] == row.account_id) & (since < sunday)].sort_values("day")
        known = known.loc[known["employees"].notna()]
        mine = found[(found["account_id"] == row.account_id) & (found["known_at"] == sunday - pd.Timedelta("1us"))]
        assert len(mine) == 1
        wanted = known["employees"].iloc[-1] if len(known) else np.nan
        np.testing.assert_equal(mine["employees"].item(), float(wanted))
        seen += len(known) > 0
    assert seen > 10


def test_accounts_stay_held_out_when_others_come(tmp_path):
    empty = pd.DataFrame()
    few = held_out(Tables(empty, empty, empty), pd.Index([f"a{n}" for n in range(50)]), 0.3).folds
    many = held_out(Tables(empty, empty, empty), pd.Index([f"a{n}" for n in range(400)]), 0.3).folds
    both = few.merge(many, on="account_id")
    assert (both["fold_x"] == both["fold_y"]).all() and 0.2 < (many["fold"] == 0).mean() < 0.4


def test_the_digest_knows_every_change_of_files_and_tables(tmp_path):
    (tmp_path / "accounts.csv").write_text("account_id\n1\n")
    (tmp_path / "notes.txt").write_text("not a table")
    empty = pd.DataFrame()
    tables = Tables(empty, empty, empty)
    first = digest_of(tmp_path, tables)
    (tmp_path / "notes.txt").write_text("another")
    assert digest_of(tmp_path, tables) == first
    outcomes = pd.DataFrame({"account_id": [1], "label": [1.0]})
    found = {digest_of(tmp_path, tables._replace(outcomes=table)) for table in (outcomes, outcomes.assign(label=0.0))}
    (tmp_path / "accounts.csv").write_text("account_id\n2\n")
    assert len(found | {first, digest_of(tmp_path, tables)}) == 4
