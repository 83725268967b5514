"""Numbers of members and accounts as of a cut-off, and ages of periods: cases with the answer beside them."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from hanjax.api import encode
from hanjax.config import MEMBER_NUMBERS, PanelConfig
from hanjax.data.encoding import Encoding, fit_encoding
from hanjax.data.panel import fingerprint, make_panel
from hanjax.data.tables import check
from tests.data.test_panel import EVERYTHING, make_tables, unscaled
from tests.data.test_samples import account, tables


def raw(data, **settings):
    """The batch under some settings, in which counted numbers are not scaled."""
    config = PanelConfig(**{"account_numbers": (), **settings})
    log = check(data, config)
    return make_panel(log, config, unscaled(fit_encoding(log, config), config))[0].batch


# Cut-offs: 01-10, 01-17, 01-24, 01-31, 02-07.
EVENTS = [(0, "01-05", "open"), (0, "01-06", "open"), (0, "01-21", "open"), (1, "01-13", "quit"), (1, "01-13", "open")]
DATA = tables(account(arrivals=("01-05", "01-12", "01-18"), events=EVENTS, observed_to="02-13"))
DATA = DATA._replace(events=DATA.events.assign(count=[1, 5, 1, 1, 2]))


def test_numbers_of_members_by_hand():
    found = raw(DATA, member_numbers=MEMBER_NUMBERS).member_numbers
    assert found.dtype == np.float32
    # periods since arrival, since the latest activity, active periods, activities
    assert found[:, 0].tolist() == [[1, 1, 1, 6], [2, 2, 1, 6], [3, 1, 2, 7], [4, 2, 2, 7], [5, 3, 2, 7]]
    assert found[:, 1].tolist() == [[0, 0, 0, 0], [1, 1, 1, 3], [2, 2, 1, 3], [3, 3, 1, 3], [4, 4, 1, 3]]
    never = [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [2, 2, 0, 0], [3, 3, 0, 0]]  # since the arrival
    assert found[:, 2].tolist() == never


def test_what_becomes_known_late_counts_from_then_on():
    stamps = ["2021-01-05", "2021-01-25", "2021-01-21", "2021-01-29", "2021-01-13"]
    data = DATA._replace(events=DATA.events.assign(known_at=pd.to_datetime(stamps, utc=True)))
    found = raw(data, member_numbers=("activities", "active_periods"), account_numbers=("activities",), window=9)
    assert found.member_numbers[:, 0].tolist() == [[1, 1], [1, 1], [2, 2], [7, 2], [7, 2]]
    assert found.member_numbers[:, 1].tolist() == [[0, 0], [2, 1], [2, 1], [3, 1], [3, 1]]
    assert found.account_numbers[:, 0].tolist() == [1, 3, 4, 10, 10]


@pytest.mark.parametrize("kind", ["calendar", "active"])
@pytest.mark.parametrize("places", [1, 25])
def test_numbers_of_accounts_by_hand(kind, places):
    settings = dict(
        window=2, window_kind=kind, max_members=places, account_numbers=("active_individuals", "activities")
    )
    assert raw(DATA, **settings).account_numbers.tolist() == [[1, 6], [2, 9], [2, 4], [1, 1], [0, 0]]
    # Who has left is no member any more; what was done stays done.
    left = raw(DATA, **settings, opt_out_activity="quit").account_numbers.tolist()
    assert left == [[1, 6], [1, 9], [1, 4], [1, 1], [0, 0]]


def test_ages_of_calendar_windows_are_their_places_and_quiet_ones_have_none():
    batch = raw(DATA, window_ages=True, window=3)
    assert batch.window_ages.dtype == np.int16 and not batch.window_ages[0].any()
    ages = batch.window_ages[batch.member_windows[:, 0]]
    assert ages.tolist() == [[0, 0, 1], [0, 2, 0], [3, 0, 1], [0, 2, 0], [3, 0, 0]]


def test_ages_of_active_windows_tell_equal_ones_apart():
    batch = raw(DATA, window_ages=True, window=3, window_kind="active")
    ages = batch.window_ages[batch.member_windows[:, 0]]
    assert ages.tolist() == [[0, 0, 1], [0, 0, 2], [0, 3, 1], [0, 4, 2], [0, 5, 3]]
    assert len(batch.windows) > len(raw(DATA, window=3, window_kind="active").windows)
    np.testing.assert_array_equal(batch.window_ages > 0, batch.windows > 0)


def test_numbers_stand_in_the_order_of_the_setting():
    every = raw(DATA, member_numbers=MEMBER_NUMBERS).member_numbers
    some = raw(DATA, member_numbers=("activities", "periods_since_arrival")).member_numbers
    np.testing.assert_array_equal(some, every[..., [3, 0]])


def test_members_numbers_are_standardized_on_the_training_accounts_members():
    data = make_tables(2)
    config = PanelConfig(member_numbers=MEMBER_NUMBERS)
    log = check(data, config)
    training = np.arange(len(log.account_ids)) >= 2
    panel, encoding = make_panel(log, config, fit_encoding(log, config, accounts=training), training=training)
    mine = training[log.account_ids.get_indexer(panel.samples["account_id"])]
    there, plain = panel.batch.member_mask, raw(data, member_numbers=MEMBER_NUMBERS)
    assert encoding.member_width == panel.batch.member_numbers.shape[2] == 4
    for column, scale in enumerate(encoding.of_members):
        values = plain.member_numbers[plain.member_mask & mine[:, None]][:, column].astype(float)
        values = np.log1p(values) if scale.logged else values
        np.testing.assert_allclose([scale.mean, scale.sd], [values.mean(), values.std()])
        standard = panel.batch.member_numbers[there & mine[:, None]][:, column]
        np.testing.assert_allclose([standard.mean(), standard.std()], [0, 1], atol=1e-5)
    assert not panel.batch.member_numbers[~there].any()

    # More activity of the accounts outside of training changes nothing that is fitted.
    first = data.events[data.events["account_id"] == log.account_ids[0]]
    more = check(data._replace(events=pd.concat([data.events, first])), config)
    again = make_panel(more, config, fit_encoding(more, config, accounts=training), training=training)[1]
    everyone = [make_panel(each, config, fit_encoding(each, config))[1] for each in (log, more)]
    assert again == encoding and everyone[0] != everyone[1]
    assert Encoding.from_dict(json.loads(json.dumps(encoding.to_dict()))) == encoding


def test_a_stored_encoding_gives_the_same_numbers_to_a_part_of_the_accounts():
    data, config = make_tables(3, late=True, counts=True), PanelConfig(**EVERYTHING)
    log = check(data, config)
    panel, encoding = make_panel(log, config, fit_encoding(log, config))
    names = sorted(set(panel.samples["account_id"]))[:3]
    part = data._replace(**{n: t[t["account_id"].isin(names)] for n, t in zip(data._fields, data[:3], strict=False)})
    found = make_panel(check(part, config), config, encoding)[0]
    mine = panel.samples["account_id"].isin(names).to_numpy()
    np.testing.assert_array_equal(found.batch.member_numbers, panel.batch.member_numbers[mine])
    np.testing.assert_array_equal(found.batch.account_numbers, panel.batch.account_numbers[mine])


def test_nothing_is_there_unless_asked_for_and_the_fingerprint_tells():
    data, names = make_tables(0), ("gaps", "window_ages", "member_numbers")
    plain = encode(data)
    assert all(getattr(plain.batch, name) is None for name in names)
    log = check(data, PanelConfig())
    encoding = fit_encoding(log, PanelConfig())
    prints = [fingerprint(plain, encoding)]
    for name in names:
        panel = encode(data, dataclasses.replace(PanelConfig(), **{name: EVERYTHING[name]}))
        prints.append(fingerprint(panel, encoding))
        changed = getattr(panel.batch, name).copy()
        changed.flat[-1] += 1
        prints.append(fingerprint(panel._replace(batch=panel.batch._replace(**{name: changed})), encoding))
        assert [one.tobytes() for one in (panel.samples["n_members"].to_numpy(), panel.member_ids)] == [
            one.tobytes() for one in (plain.samples["n_members"].to_numpy(), plain.member_ids)
        ]
        assert panel.left_out == plain.left_out and panel.notes == plain.notes
    assert len(set(prints)) == len(prints)
