"""The PyTorch peers compute hanjax's function: log-odds, gradients, and a step of Adam, with hanjax's weights.

All in float64: some gradients are differences of almost equal numbers, of which float32 keeps fewer than five digits.
"""

import dataclasses
from functools import cache
from typing import NamedTuple

import jax
import numpy as np
import optax
import pytest

import hanjax
from hanjax.data.batches import gather, plan_epoch
from hanjax.data.encoding import fit_encoding
from hanjax.data.panel import make_panel
from hanjax.data.tables import check
from hanjax.training.losses import cross_entropy_loss
from tests.nn.examples import as_dtype, assert_close, on_device

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from benchmarks.peers import learning  # noqa: E402
from benchmarks.peers.decode import active_first, decode  # noqa: E402
from benchmarks.peers.packed import Packed, PackedData  # noqa: E402
from benchmarks.peers.padded import Padded, PaddedData  # noqa: E402
from benchmarks.peers.parameters import by_torch_names, load_params  # noqa: E402

CONFIG = hanjax.Config.paper().replace(max_members=8)  # so few that some groups have more
WEIGHT = CONFIG.train.positive_weight
PEERS = {"padded": (Padded, PaddedData), "packed": (Packed, PackedData)}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Several threads of PyTorch wait long for each other where tests run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def market():
    """Some samples of a small market, in an order that is not the panel's, and the sizes of their network."""
    log = check(hanjax.simulate(accounts=12, conversions=0.3).tables, CONFIG.panel)
    encoding = fit_encoding(log, CONFIG.panel)
    panel, encoding = make_panel(log, CONFIG.panel, encoding)
    sizes = hanjax.Sizes(
        vocabulary=encoding.vocabulary,
        levels=encoding.levels,
        numbers=encoding.width,
        max_members=encoding.max_members,
    )
    rows = np.random.default_rng(0).permutation(len(panel.samples))[:80]
    rows = np.union1d(rows, np.flatnonzero(~(panel.batch.label[:, 0] == 0)))  # few convert, or have no outcome
    plan = plan_epoch(panel.batch, rows, batch_size=len(rows), seed=np.zeros(1, np.uint32))
    return gather(panel.batch, jax.tree.map(lambda array: array[0], plan)), sizes


@cache
def params():
    """Random parameters, without zeros in biases and in the unknown's rows."""
    shapes, rng = jax.eval_shape(network().init, jax.random.key(0)), np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape) * leaf.shape[0] ** -0.5, shapes)


def network():
    return hanjax.network(CONFIG.model, market()[1])


class Results(NamedTuple):
    """What hanjax says of all samples; the gradient as the peers arrange it."""

    logit: np.ndarray
    individual_logits: np.ndarray
    loss: np.ndarray
    gradient: dict


@cache
def results():
    """The jitted function of (params, batch) that gives all of them; compiled once."""

    def loss(params, batch):
        logit = network().apply(params, batch).logit
        return cross_entropy_loss(logit, batch.label, positive_weight=WEIGHT, where=batch.label_mask), logit

    def all_of_it(params, batch):
        (value, logit), gradient = jax.value_and_grad(loss, has_aux=True)(params, batch)
        return Results(logit, network().individual_logits(params, batch), value, gradient)

    # It runs twice on little, so compiling fast is worth more than running fast.
    return jax.jit(all_of_it, compiler_options={"xla_backend_optimization_level": 0})


@cache
def from_hanjax(path):
    """hanjax's results, by the tables of distinct rows or by hanjax's own dense tensors."""
    batch, dense = market()[0], hanjax.Batch.from_dense(**decode(market()[0])._asdict())
    # Unused rows make the tables as large as dense ones, so that one compiled program does for both.
    tables = {name: getattr(batch, name) for name in ("sequences", "windows", "individuals", "accounts")}
    rows = {name: len(getattr(dense, name)) - len(table) for name, table in tables.items()}
    padded = batch._replace(**{name: np.pad(table, ((0, rows[name]), (0, 0))) for name, table in tables.items()})
    with jax.enable_x64(True):
        batch = on_device({"factored": padded, "dense": dense}[path])
        found = jax.device_get(results()(as_dtype(params(), "float64"), batch))
    assert found.logit.dtype == "float64"
    return found._replace(gradient=by_torch_names(found.gradient))


def peer(name):
    """A peer with hanjax's weights, and all samples as its minibatch."""
    kind, data = PEERS[name]
    model = kind(CONFIG.model, market()[1]).double()
    load_params(model, params())
    dense = decode(market()[0])
    return model, data(dense).batch(torch.arange(len(dense.label)))


def test_the_samples_hold_every_kind_of_nothing():
    batch, sizes = market()
    size = batch.member_mask.sum(1)
    quiet = batch.member_mask & (batch.member_windows == 0)
    assert batch.members.shape[1] == sizes.max_members and (size == sizes.max_members).any()
    assert (size == 1).any()
    assert quiet.any() and (quiet.any(1) & ~quiet[:, 0] & (size > 1)).any()
    assert (quiet.sum(1) == size).any()  # nobody did anything
    active = batch.period_mask[batch.member_windows]
    assert (active[..., 0] & ~active[..., 1] & active[..., 2]).any()  # quiet in between
    assert (~active[..., 0] & active[..., 3]).any()  # and before
    assert (batch.label == 1).any() and (batch.label == 0).any() and np.isnan(batch.label).any()


@pytest.mark.parametrize("path", ["factored", "dense"])
@pytest.mark.parametrize("name", PEERS)
def test_log_odds_and_gradients_equal_hanjax_s(name, path):
    wanted, (model, batch) = from_hanjax(path), peer(name)
    logit = model(batch)
    loss = learning.cross_entropy_loss(logit, batch.label, positive_weight=WEIGHT)
    loss.backward()
    assert_close(logit.detach().numpy(), wanted.logit, relative=1e-12)
    assert_close(loss.item(), wanted.loss, relative=1e-12)
    gradient = {key: tensor.grad.numpy() for key, tensor in model.named_parameters()}
    assert_close(gradient, wanted.gradient, relative=1e-11)


@pytest.mark.parametrize("name", PEERS)
def test_a_step_of_adam_equals_optax_s(name):
    model, batch = peer(name)
    before, gradient = by_torch_names(params()), from_hanjax("factored").gradient
    with jax.enable_x64(True):
        optimizer = optax.adam(CONFIG.train.learning_rate)
        wanted, _ = jax.jit(lambda at, slope: optimizer.update(slope, optimizer.init(at), at))(before, gradient)
    loss = learning.learner(model, CONFIG.train, positive_weight=WEIGHT)(batch)
    assert_close(loss.item(), from_hanjax("factored").loss, relative=1e-12)
    change = {key: tensor.detach().numpy() - before[key] for key, tensor in model.named_parameters()}
    assert_close(change, jax.device_get(wanted), relative=1e-6)


@pytest.mark.parametrize("path", ["factored", "dense"])
def test_individuals_log_odds_equal_hanjax_s(path):
    model, batch = peer("packed")
    with torch.no_grad():
        accounts, individuals = model.score(batch)
    assert_close(accounts.numpy(), from_hanjax(path).logit, relative=1e-12)
    assert_close(individuals.numpy(), from_hanjax(path).individual_logits[market()[0].member_mask], relative=1e-12)


@pytest.mark.parametrize("name", PEERS)
def test_minibatches_are_the_same_samples(name):
    model, whole = peer(name)
    quiet = np.flatnonzero(~market()[0].member_windows.any(1))[:2]
    data = PEERS[name][1](decode(market()[0]))
    with torch.no_grad():
        wanted = model(whole).numpy()
        for rows in (np.array([7, 3, 40]), quiet):
            batch = data.batch(torch.from_numpy(rows))
            assert_close(model(batch).numpy(), wanted[rows], relative=1e-12)
            np.testing.assert_array_equal(batch.label, market()[0].label[rows])


def test_active_periods_move_to_the_front_in_order():
    windows = np.array([[[[0], [5], [0], [3]], [[0], [0], [0], [0]], [[2], [4], [1], [6]]]], np.uint8)
    assert active_first(windows)[0, ..., 0].tolist() == [[5, 3, 0, 0], [0, 0, 0, 0], [2, 4, 1, 6]]


def test_what_the_peers_do_not_read_is_refused():
    batch, sizes = market()
    with pytest.raises(ValueError, match="also has gaps"):
        decode(batch._replace(gaps=np.zeros(batch.sequences.shape)))
    with pytest.raises(ValueError, match="from the first on"):
        decode(batch._replace(members=batch.members[:, ::-1]))
    with pytest.raises(ValueError, match="no other settings"):
        Padded(dataclasses.replace(CONFIG.model, aggregator="gru"), sizes)
    with pytest.raises(ValueError, match="plain Adam"):
        learning.learner(peer("padded")[0], dataclasses.replace(CONFIG.train, weight_decay=0.1), positive_weight=1.0)
