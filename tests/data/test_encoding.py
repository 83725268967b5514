"""What is fitted is fitted on the training accounts alone, stored whole, and met by anything at scoring time."""

import json

import numpy as np
import pandas as pd
import pytest

from hanjax.api import encode
from hanjax.config import PanelConfig
from hanjax.data.encoding import MISSING, Encoding, Scale, fit_encoding, fit_part, join_fits
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.errors import DataError
from hanjax.types import Tables
from tests import trained

CONFIG = PanelConfig()


def tables(n=12):
    """Accounts 0 to n - 1 with two individuals each, text, numbers (some missing), and dated numbers."""
    account = np.arange(n)
    person = np.arange(2 * n)
    day = lambda which: pd.Timestamp("2021-01-04", tz="UTC") + pd.to_timedelta(which, unit="D")
    return Tables(
        events=pd.DataFrame(
            {
                "account_id": person // 2,
                "individual_id": person,
                "timestamp": day(person % 6),
                "activity": np.where(person % 3, "open", "click"),
            }
        ),
        individuals=pd.DataFrame(
            {"individual_id": person, "account_id": person // 2, "arrived_at": day(0), "role": np.array(["x", "y"] * n)}
        ),
        accounts=pd.DataFrame(
            {
                "account_id": account,
                "observed_to": day(30),
                "employees": np.where(account % 4, 10.0 + account, np.nan),
                "revenue": 10.0 ** (account % 7 + (account == 4)),
            }
        ),
        account_features=pd.DataFrame(
            {"account_id": account, "known_at": day(account % 8 + 3), "visits": account * 1.0 - 4}
        ),
    )


def change(data, table, row, column, value):
    """The tables with another value in one row."""
    frame = getattr(data, table).copy()
    frame[column] = frame[column].astype(object if isinstance(value, str) else float)
    frame.loc[row, column] = value
    return data._replace(**{table: frame})


def fitted(data, training):
    log = check(data, CONFIG)
    return make_panel(log, CONFIG, fit_encoding(log, CONFIG, accounts=training), training=training)[1]


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        ("events", 0, "activity", "telex"),
        ("individuals", 1, "role", "z"),
        ("accounts", 0, "revenue", 1e30),
        ("accounts", 0, "employees", 1e9),
        ("accounts", 1, "employees", np.nan),
        ("account_features", 0, "visits", -1e9),
        ("individuals", 0, "arrived_at", "2021-01-01T00:00:00Z"),  # a number as of the cut-off
    ],
)
def test_accounts_outside_training_change_nothing_that_is_fitted(table, row, column, value):
    training = np.arange(12) >= 2  # account 0 and 1 are for validation or test
    data = tables()
    if column == "arrived_at":
        individuals = data.individuals.assign(arrived_at=data.individuals["arrived_at"].astype(object))
        individuals.loc[row, column] = pd.Timestamp(value)
        changed = data._replace(individuals=individuals)
    else:
        changed = change(data, table, row, column, value)
    assert fitted(changed, training) == fitted(data, training)
    everyone = np.ones(12, bool)
    assert fitted(changed, everyone) != fitted(data, everyone)  # so that it can be told apart


def test_a_large_group_outside_training_makes_no_more_places():
    data = tables()
    more = data.individuals.iloc[[0] * 5].assign(individual_id=range(100, 105))
    log = check(data._replace(individuals=pd.concat([data.individuals, more])), CONFIG)
    assert fit_encoding(log, CONFIG, accounts=log.account_ids != 0).max_members == 2
    assert fit_encoding(log, CONFIG).max_members == 7
    assert fit_encoding(log, PanelConfig(max_members=4)).max_members == 4


def test_ids_follow_the_fitted_order_and_the_rest_is_unknown_not_padding():
    data = tables()
    training = np.arange(12) >= 2
    encoding = fitted(data, training)
    assert encoding.activities == ("click", "open") and encoding.categories == (("role", ("x", "y")),)
    new = change(change(data, "events", 0, "activity", "telex"), "individuals", 0, "role", "z")
    panel = make_panel(check(new, CONFIG), CONFIG, encoding)[0]
    first = panel.batch.members[0]
    assert panel.batch.individuals[first].ravel().tolist() == [1, 3]  # unknown, y
    window = panel.batch.windows[panel.batch.member_windows[0, 0]]
    assert panel.batch.sequences[window[-1]].tolist() == [1] + [0] * 8
    assert panel.batch.activity_mask[window[-1]].sum() == 1
    samples = int((panel.samples["account_id"] == 0).sum())
    assert "1 events have an activity that training never saw: telex" in panel.notes
    assert f"{samples} members have a category that training never saw, or that is not known yet" in panel.notes
    assert not any("never saw" in note for note in make_panel(check(data, CONFIG), CONFIG, encoding)[0].notes)


def test_a_missing_level_is_a_level_where_training_had_some():
    data = tables()
    gone = data._replace(individuals=data.individuals.assign(role=[None, "y"] * 12))
    assert encode_with(gone, fitted(data, np.ones(12, bool))).batch.individuals.max(initial=0) == 3
    log = check(gone, CONFIG)
    encoding = fit_encoding(log, CONFIG)
    assert encoding.categories == (("role", (MISSING, "y")),)
    panel = make_panel(log, CONFIG, encoding)[0]
    assert panel.batch.individuals[panel.batch.members[0]].ravel().tolist() == [2, 3]


def test_a_number_that_is_not_known_yet_is_told_from_the_mean():
    data, first = tables(), pd.Timestamp("2021-01-04", tz="UTC")
    dated = lambda day: data._replace(accounts=data.accounts.assign(known_at=[first] * 3 + [day] + [first] * 8))
    late = dated(pd.Timestamp("2021-01-13", tz="UTC"))
    encoding = fitted(late, np.ones(12, bool))
    assert [(scale.column, scale.indicator) for scale in encoding.numbers] == [("employees", True), ("revenue", True)]
    panel = encode_with(late, encoding)
    mine = np.flatnonzero(panel.samples["account_id"] == 3)
    assert panel.samples["cutoff"][mine].dt.day.tolist() == [10, 17, 24, 31]
    numbers = panel.batch.accounts[panel.batch.account[mine]]
    assert numbers[:, 3].tolist() == [1, 0, 0, 0] and numbers[0, 2] == 0
    # What is known from the first individual on, or is late in accounts that are not learned from, changes nothing.
    assert fitted(dated(first), np.ones(12, bool)) == fitted(data, np.ones(12, bool))
    others = np.arange(12) != 3
    assert fitted(late, others) == fitted(data, others)
    halves = [fit_part(check(late, CONFIG), accounts=which) for which in (others, ~others)]
    assert [scale.indicator for scale in join_fits(halves, CONFIG).numbers] == [True, True]


def encode_with(data, encoding):
    return make_panel(check(data, CONFIG), CONFIG, encoding)[0]


def test_levels_that_are_not_known_yet_are_unknown():
    data = tables()
    known = data.individuals.assign(known_at=pd.Timestamp("2021-01-13", tz="UTC"))
    panel = encode_with(data._replace(individuals=known), fitted(data, np.ones(12, bool)))
    mine = np.flatnonzero(panel.samples["account_id"] == 3)
    ids = panel.batch.individuals[panel.batch.members[mine]][..., 0]
    assert panel.samples["cutoff"][mine].dt.day.tolist() == [10, 17, 24, 31]
    assert ids.tolist() == [[1, 1], [2, 3], [2, 3], [2, 3]]


def test_numbers_are_standardized_and_missing_ones_marked():
    data = tables()
    panel, encoding = make_panel(check(data, CONFIG), CONFIG, fit_encoding(check(data, CONFIG), CONFIG))
    given = data.accounts["employees"].to_numpy()
    there = given[~np.isnan(given)]
    found = panel.batch.accounts[panel.batch.account]
    for row, account in enumerate(panel.samples["account_id"]):
        value = given[account]
        expected = [0.0, 1.0] if np.isnan(value) else [(value - there.mean()) / there.std(), 0.0]
        np.testing.assert_allclose(found[row, :2], expected, rtol=1e-5, atol=1e-6)
    assert [(scale.column, scale.indicator) for scale in encoding.numbers] == [("employees", True), ("revenue", False)]
    assert encoding.width == found.shape[1] + panel.batch.account_numbers.shape[1] == 3 + 2 + 2


def test_dated_numbers_are_missing_before_their_first_date():
    data = tables()
    log = check(data, CONFIG)
    panel, encoding = make_panel(log, CONFIG, fit_encoding(log, CONFIG))
    visits = np.arange(12) - 4.0
    for row, (account, cutoff) in enumerate(zip(panel.samples["account_id"], panel.samples["cutoff"], strict=True)):
        known = pd.Timestamp("2021-01-04", tz="UTC") + pd.Timedelta(days=account % 8 + 3) < cutoff
        expected = [(visits[account] - visits.mean()) / visits.std(), 0.0] if known else [0.0, 1.0]
        np.testing.assert_allclose(panel.batch.account_numbers[row, :2], expected, rtol=1e-5, atol=1e-6)
    assert panel.batch.account_numbers[:, 1].any() and not panel.batch.account_numbers[:, 1].all()


def test_long_tails_are_logged_and_others_are_not():
    rng = np.random.default_rng(0)
    tail, plain = np.exp(rng.normal(0, 3, 400)), rng.normal(size=400)
    scale = Scale.fit("revenue", tail)
    assert scale.logged and not scale.indicator
    logged = np.log1p(tail)
    np.testing.assert_allclose(scale.apply(tail)[:, 0], (logged - logged.mean()) / logged.std(), rtol=1e-4, atol=1e-6)
    assert not Scale.fit("change", plain).logged and not Scale.fit("change", tail - tail.max()).logged
    assert np.isfinite(scale.apply(np.array([-5.0, 0.0, 1e300, np.nan]))).all()


@pytest.mark.parametrize("values", [[3.0] * 5, [0.0] * 5, [np.nan] * 5, [1e12] * 4, [0.1 + 0.2, 0.3]])
def test_constants_and_empty_columns_stay_finite(values):
    scale = Scale.fit("constant", np.array(values))
    assert scale.sd == 1.0 and (abs(scale.apply(np.array(values))[:, 0]) < 1e-3).all()
    assert scale.indicator == bool(np.isnan(values).any())


def test_json_holds_all_of_it():
    encoding = trained.trained().encoding
    assert encoding.as_of and encoding.features and encoding.numbers and encoding.categories
    again = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding and isinstance(again.numbers[0], Scale)
    log = check(tables(), CONFIG)
    fresh = fit_encoding(log, CONFIG)
    assert fresh.as_of is None and Encoding.from_dict(json.loads(json.dumps(fresh.to_dict()))) == fresh


@pytest.mark.parametrize(
    ("table", "column"), [("individuals", "role"), ("accounts", "revenue"), ("account_features", "visits")]
)
def test_a_column_of_training_that_is_gone_is_an_error(table, column):
    data = tables()
    encoding = fitted(data, np.ones(12, bool))
    frame = getattr(data, table).drop(columns=column)
    with pytest.raises(DataError, match=rf"{table}\.{column}: the model was trained with this column"):
        encode_with(data._replace(**{table: frame}), encoding)


def test_a_whole_table_of_training_that_is_gone_is_an_error():
    data = tables()
    with pytest.raises(DataError, match="account_features"):
        encode_with(data._replace(account_features=None), fitted(data, np.ones(12, bool)))


def test_a_new_column_is_left_alone():
    data = tables()
    encoding = fitted(data, np.ones(12, bool))
    more = data._replace(accounts=data.accounts.assign(floors=3), individuals=data.individuals.assign(floor="1"))
    assert trained.decoded(encode_with(more, encoding)) == trained.decoded(encode_with(data, encoding))


def test_more_than_256_activities_have_ids_of_two_bytes():
    data = tables(150)
    events = data.events.assign(activity=[f"kind {i:03d}" for i in range(300)])
    panel = encode(data._replace(events=events))
    assert panel.batch.sequences.dtype == np.uint16 and panel.batch.sequences.max() == 301


def test_rows_in_any_order_give_the_same_bits():
    config = trained.CONFIG.panel
    original = check(trained.market(), config)
    encoding = fit_encoding(original, config)
    expected, encoded_as = make_panel(original, config, encoding)
    for seed in range(3):
        shuffled = Tables(
            *(t if t is None else t.sample(frac=1, random_state=seed + i) for i, t in enumerate(trained.market()))
        )
        log = check(shuffled, config)
        found, fitted_again = make_panel(log, config, fit_encoding(log, config))
        assert fitted_again == encoded_as
        for name, array in expected.batch._asdict().items():
            if array is not None:
                np.testing.assert_array_equal(getattr(found.batch, name), array, err_msg=name)
        pd.testing.assert_frame_equal(found.samples, expected.samples)
        np.testing.assert_array_equal(found.member_ids, expected.member_ids)
        assert found.left_out == expected.left_out and found.notes == expected.notes
