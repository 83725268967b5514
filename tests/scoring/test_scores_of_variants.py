"""Scores in chunks are those of the whole, too, where the model reads all that there is, and is several networks."""

import jax
import numpy as np

from hanjax.config import Config
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.nn import Sizes, ensemble, network
from hanjax.scoring import scores as scoring
from tests import trained
from tests.nn.examples import drawn

CONFIG = Config().replace(
    **trained.SIZES,
    **trained.WIDTHS,
    opt_out_activity="unsubscribe email",
    volumes=True,
    gaps=True,
    window_ages=True,
    member_numbers=("periods_since_arrival", "activities"),
    period_input="both",
    time="gated",
    bidirectional=True,
    aggregator="maximum",
    account_head=True,
)


def test_chunks_of_all_fields_equal_the_whole(monkeypatch):
    monkeypatch.setattr(scoring, "_ON_A_CPU", (64, 32))
    log = check(trained.market(), CONFIG.panel)
    panel, _ = make_panel(log, CONFIG.panel, fit_encoding(log, CONFIG.panel))
    batch = panel.batch
    for name in ("counts", "count_windows", "gaps", "window_ages", "member_numbers"):
        assert np.any(getattr(batch, name)), name
    assert len(batch.windows) > 2 * 64 and len(batch.mask) > 2 * 32 and len(batch.sequences) > 64
    several = ensemble(network(CONFIG.model, Sizes.of(batch)), 2)
    params = drawn(jax.eval_shape(several.init, jax.random.key(0)))
    found = scoring.score_panel(panel, several, params, positive_weight=1.0)
    output, alone = jax.jit(lambda p, b: (several.apply(p, b), several.individual_logits(p, b)))(params, batch)
    sigmoid = lambda logit: 1 / (1 + np.exp(-np.asarray(logit, float)))
    b, k = np.nonzero(batch.members)
    np.testing.assert_allclose(found.accounts["probability"], sigmoid(output.logit[:, 0]), atol=1e-6)
    np.testing.assert_allclose(found.individuals["score"], sigmoid(alone[b, k, 0]), atol=1e-6)
    np.testing.assert_allclose(found.individuals["share"], output.member_share[b, k], atol=1e-6)
    attention = np.stack(found.individuals["attention"])
    np.testing.assert_allclose(attention, output.period_share[batch.member_windows[b, k]], atol=1e-6)
