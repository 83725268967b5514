"""A small world whose model reads everything that there is, and what tests of reasons do by hand with it."""

from functools import cache

import jax
import numpy as np

from hanjax.config import Config
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.explain.inputs import FIELDS, inputs_of
from hanjax.nn import Sizes, network
from tests import trained
from tests.nn.examples import drawn

EVERYTHING = dict(
    volumes=True, gaps=True, window_ages=True, period_input="both", time="gated", aggregator="gru",
    member_numbers=("periods_since_arrival", "activities"),
)  # fmt: skip
W = 3.0
"""The class weight."""


@cache
def world():
    """A panel, its encoding, its inputs, and a network with parameters for which it is far from linear."""
    config = Config().replace(**trained.SIZES, **trained.WIDTHS, **EVERYTHING)
    log = check(trained.market(), config.panel)
    panel, encoding = make_panel(log, config.panel, fit_encoding(log, config.panel))
    net = network(config.model, Sizes.of(panel.batch))
    return panel, encoding, inputs_of(encoding), net, drawn(jax.eval_shape(net.init, jax.random.key(0)))


@cache
def applied(net):
    return jax.jit(net.apply)


def log_odds(batch, row, inputs, known, fill, net, params):
    """The log-odds of one sample of which some inputs are known: its tables are made anew on the host, row by row."""
    gone = {one.at for one, there in zip(inputs, known, strict=True) if one.kind == "activity" and not there}
    k = batch.members.shape[1]
    w, length = batch.windows.shape[1], batch.sequences.shape[1]
    tables = {
        "sequences": np.zeros((k * w + 1, length), batch.sequences.dtype),
        "gaps": np.zeros((k * w + 1, length), np.float32),
        "counts": np.zeros((k * w + 1, batch.counts.shape[1]), np.float32),
        "windows": np.zeros((k + 1, w), np.int32),
        "window_ages": np.zeros((k + 1, w), batch.window_ages.dtype),
        "individuals": np.zeros((k + 1, batch.individuals.shape[1]), np.int32),
    }
    members, member_windows = np.zeros((1, k), np.int32), np.zeros((1, k), np.int32)
    for place in range(k):
        if not batch.members[row, place]:
            continue
        members[0, place] = place + 1
        tables["individuals"][place + 1] = batch.individuals[batch.members[row, place]]
        window = batch.member_windows[row, place]
        for p in range(w):
            old = batch.windows[window, p]
            kept = [i for i in range(length) if batch.sequences[old, i] and batch.sequences[old, i] not in gone]
            counts = [0 if i in gone else n for i, n in enumerate(batch.counts[batch.count_windows[window, p]])]
            if kept or any(counts):
                new = 1 + place * w + p
                member_windows[0, place] = place + 1
                tables["windows"][place + 1, p] = new
                tables["window_ages"][place + 1, p] = batch.window_ages[window, p]
                for name in ("sequences", "gaps"):
                    tables[name][new, : len(kept)] = getattr(batch, name)[old][kept]
                tables["counts"][new] = counts
    accounts = np.stack([np.zeros(batch.accounts.shape[1]), batch.accounts[batch.account[row]]]).astype(np.float32)
    samples = {name: getattr(batch, name)[[row]].copy() for name in ("account_numbers", "member_numbers")}
    fields = {**tables, "accounts": accounts, **samples}
    for one, there in zip(inputs, known, strict=True):
        if one.kind != "activity" and not there:
            fields[FIELDS[one.kind]][..., one.at : one.at + one.width] = fill[one.name]
    small = batch._replace(
        **fields, members=members, member_windows=member_windows, count_windows=tables["windows"],
        account=np.ones(1, np.int32), label=batch.label[[row]], mask=batch.mask[[row]],
    )  # fmt: skip
    return float(applied(net)(params, small).logit[0, 0]) - np.log(W)
