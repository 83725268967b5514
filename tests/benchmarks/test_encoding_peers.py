"""What the benchmark asks of polars and DuckDB is what hanjax does."""

import numpy as np
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("polars")

import hanjax
from benchmarks import encoding_peers as benchmark
from hanjax.config import PanelConfig
from hanjax.data.tables import check
from hanjax.simulation import write


@pytest.mark.parametrize("source", ["codes", "ids"])
@pytest.mark.parametrize("who", benchmark.PEERS)
def test_a_peer_gives_each_cell_the_sequence_of_hanjax(who, source, tmp_path):
    write(hanjax.simulate(accounts=60), tmp_path, overwrite=True)
    tables, config = hanjax.read(tmp_path), PanelConfig(max_activities=4)
    log = check(tables, config)
    made, activities = benchmark.group_by_hanjax(log, config)
    events = benchmark.codes_of(log) if source == "codes" else benchmark.ids_of(tables.events)
    grouped = benchmark.PEERS[who](events, benchmark.task_of(log, config))

    names = benchmark.names_of(made.table, activities)
    theirs = grouped.names(log.activities)
    assert len(set(theirs)) == len(theirs)
    assert set(theirs) == set(names)
    who_did = made.cells.individual if source == "codes" else log.individual_ids[made.cells.individual]
    expected = {
        (individual, int(period)): names[sequence - 1]
        for individual, period, sequence in zip(who_did, made.cells.period, made.cells.sequence, strict=True)
    }
    found = {(row["individual"], row["period"]): theirs[row["index"]] for row in grouped.rows.to_pylist()}
    assert len(grouped.rows) == len(expected) and found == expected
    assert np.max([len(sequence) for sequence in names]) == 4
