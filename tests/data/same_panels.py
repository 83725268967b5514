"""Holds shards against the panel that the tables make in memory, sample by sample, with every table expanded."""

import numpy as np
import pandas as pd

from tests import trained


def assert_same_panels(shards, panel, encoding, *, tolerance=1e-6):
    """Samples, ids, sequences, counts, statics, labels, what was left out; scaled numbers within the tolerance."""
    if encoding is not None:
        found, expected = ({**e.to_dict(), **dict.fromkeys(SCALES)} for e in (shards.encoding, encoding))
        assert found == expected
        for name in SCALES:
            for one, other in zip(getattr(shards.encoding, name) or (), getattr(encoding, name) or (), strict=True):
                assert (one.column, one.logged, one.indicator) == (other.column, other.logged, other.indicator)
                np.testing.assert_allclose([one.mean, one.sd], [other.mean, other.sd], rtol=1e-12, atol=1e-12)
    panels = list(shards)
    samples = pd.concat([one.samples for one in panels if len(one.samples)])
    samples = samples.sort_values(["account_id", "cutoff"], kind="stable")
    pd.testing.assert_frame_equal(samples.reset_index(drop=True), panel.samples, check_index_type=False)
    expected, found, labels = trained.decoded(panel), {}, {}
    for one in panels:
        found |= trained.decoded(one)
        assert one.unit == panel.unit
        batch = one.batch
        labels |= dict(zip(_keys(one), _answers(batch), strict=True))
        assert [array.dtype for array in batch if array is not None] == [a.dtype for a in panel.batch if a is not None]
    assert found.keys() == expected.keys()
    for key, answer in zip(_keys(panel), _answers(panel.batch), strict=True):
        np.testing.assert_array_equal(labels[key], answer)
        members, statics, numbers = found[key]
        others, other_statics, other_numbers = expected[key]
        np.testing.assert_allclose(statics, other_statics, rtol=0, atol=tolerance)
        assert (numbers is None) == (other_numbers is None)
        if numbers is not None:
            np.testing.assert_allclose(numbers, other_numbers, rtol=0, atol=tolerance)
        assert len(members) == len(others)
        for one, other in zip(members, others, strict=True):
            assert one[:4] == other[:4] and one[5:] == other[5:]
            assert (one[4] is None) == (other[4] is None)
            if one[4] is not None:
                np.testing.assert_allclose(one[4], other[4], rtol=0, atol=tolerance)
    counted = lambda rows: {(row.table, row.reason): row.rows for row in rows}
    assert counted(shards.left_out) == counted(panel.left_out)


def _keys(panel):
    return panel.samples[panel.keys].itertuples(index=False, name=None)


def _answers(batch):
    """Labels and ids of segments, of which the order of the shards is no part."""
    return batch.label if batch.segments is None else np.concatenate([batch.label, batch.segments], axis=1)


SCALES = ("numbers", "features", "as_of", "of_members")
