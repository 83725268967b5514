"""What is left out of a log for late cut-offs is what no sample there can see: their inputs are the same bits."""

import numpy as np
import pytest

from hanjax.data.encoding import fit_encoding
from hanjax.data.log import NEVER
from hanjax.data.panel import NoSampleError, calendar_of, make_panel
from hanjax.data.recent import take_recent
from hanjax.data.tables import check
from tests import trained
from tests.test_no_leaks import CONFIGS, EVERYTHING

SETTINGS = {
    **CONFIGS,
    "gaps": trained.CONFIG.replace(gaps=True, window=1),
    "recency": EVERYTHING.replace(member_numbers=("periods_since_activity", "periods_since_arrival"), window=2),
    "active periods": EVERYTHING.replace(member_numbers=(), window_kind="active", window=2, period="2D"),
    "active members": trained.CONFIG.replace(membership="active", max_members=2, window=2),
    "crowded": trained.CONFIG.replace(max_members=1, window=1, opt_out_activity=None),
    "days": EVERYTHING.replace(member_numbers=(), period="5D", window=2),
}


def counted(data, timely):
    """The market with counts and ties, and without late rows if asked for."""
    random = np.random.default_rng(3)
    events = data.events.assign(count=random.integers(1, 4, len(data.events)))
    events["timestamp"] = events["timestamp"].dt.floor("2h").clip(lower=events["timestamp"].dt.floor("D"))
    people = data.individuals.assign(arrived_at=data.individuals["arrived_at"].dt.floor("D"))
    accounts = data.accounts.assign(observed_from=data.accounts["observed_from"].dt.floor("D"))
    return data._replace(events=events.drop(columns="known_at") if timely else events, individuals=people,
                         accounts=accounts)  # fmt: skip


def cut(log, config, encoding, calendar, earliest):
    """The inputs from cut-offs on, made of the recent part of the log, and how many events that has."""
    recent, earliest = take_recent(log, calendar, config, earliest)
    times = np.append(calendar.starts, NEVER)[earliest]
    panel, _ = make_panel(recent, config, encoding, cutoffs=(times, NEVER), calendar=calendar)
    return trained.decoded(panel), len(recent.event_time)


@pytest.mark.parametrize("timely", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_inputs_are_the_same_bits(name, timely):
    config = SETTINGS[name].panel
    log = check(counted(trained.market(), timely), config)
    calendar = calendar_of(log, config)
    panel, encoding = make_panel(log, config, fit_encoding(log, config))
    whole = trained.decoded(panel)
    random, end = np.random.default_rng(0), len(calendar.starts)
    kept = []
    for trial in range(6):
        earliest = np.full(len(log.account_ids), end - 3 - trial) if trial < 3 else random.integers(0, end + 1, 24)
        found, events = cut(log, config, encoding, calendar, earliest)
        first = dict(zip(log.account_ids, np.append(calendar.starts, NEVER)[earliest], strict=True))
        expected = {key: value for key, value in whole.items() if key[1].value // 1000 >= first[key[0]]}
        assert list(found) == list(expected) and len(found) > 3
        for key in expected:
            assert found[key] == expected[key], key
        kept.append(events)
    counts_everything = {"activities", "active_periods"} & set(config.member_numbers)
    assert counts_everything or kept[0] < 0.8 * len(log.event_time)


def test_each_kind_of_what_stays_is_needed(monkeypatch):
    """With the last W periods alone, inputs differ in every way that the other rules are there for."""
    for name, extra in (("gaps", {}), ("recency", {}), ("active periods", {}), ("crowded", {}),
                        ("plain", {"opt_out_activity": "click email"})):  # fmt: skip
        config = SETTINGS[name].replace(**extra).panel
        log = check(trained.market(), config)
        calendar = calendar_of(log, config)
        panel, encoding = make_panel(log, config, fit_encoding(log, config))
        whole, earliest = trained.decoded(panel), np.full(24, len(calendar.starts) - 4)
        recent, _ = take_recent(log, calendar, config, earliest)
        only = calendar.period_of(recent.event_time) >= earliest[0] - config.window
        columns = ("event_individual", "event_time", "event_activity", "event_known")
        recent = recent._replace(**{column: getattr(recent, column)[only] for column in columns})
        panel, _ = make_panel(
            recent, config, encoding, cutoffs=(calendar.starts[earliest[0]], NEVER), calendar=calendar
        )
        found = trained.decoded(panel)
        assert any(found[key] != whole.get(key) for key in found), name


def test_accounts_without_events_can_be_encoded():
    data, config = trained.market(), trained.CONFIG.panel
    account = data.accounts["account_id"].iloc[0]
    data = data._replace(events=data.events[data.events["account_id"] != account])
    log = check(data, config)
    calendar = calendar_of(log, config)
    panel, encoding = make_panel(log, config, fit_encoding(log, config))
    earliest = np.where(log.account_ids == account, 0, len(calendar.starts))
    found, events = cut(log, config, encoding, calendar, earliest)
    assert found == {key: value for key, value in trained.decoded(panel).items() if key[0] == account} != {}
    assert 0 < events < len(log.event_time) / 10


def test_no_cut_off_wanted_is_no_sample():
    config = trained.CONFIG.panel
    log = check(trained.market(), config)
    calendar = calendar_of(log, config)
    with pytest.raises(NoSampleError, match="no sample can be made"):
        cut(log, config, fit_encoding(log, config), calendar, np.full(24, len(calendar.starts)))
