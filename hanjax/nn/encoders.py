"""The three encoders below the aggregation: activities make a period, periods a window, a window an individual.

Source: section 5.2 of the paper, after Yang et al. 2016.
"""

from itertools import accumulate
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Integer

from hanjax.nn.pooling import AttentionPool, Pooled
from hanjax.nn.recurrent import GRU, BothWays, TimeGatedGRU
from hanjax.types import Prefixes

FIRST_KNOWN = 2
"""Ids below this one stand for padding (0) and for what the training data did not hold (1)."""


TIMES = 2
"""How many numbers tell of the time before an activity."""


class ActivityEncoder(nnx.Module):
    """Encodes what one individual did in one period: a GRU over activities, then attention.

    Args:
        vocabulary: number of activity ids, those of padding and the unknown activity included.
        width: size of the encoding; twice that where the GRU runs both ways.
        embedding: size of the activities' embedding; None for one-hot activities, as in the paper.
        time: what the time between activities does: nothing, joins each activity's vector (as in the paper's
            experiments 7-9), or gates what of it gets into the state.
        bidirectional: whether the GRU runs both ways.
        rngs: random streams of the initial parameters.

    Example:
        >>> encode = ActivityEncoder(11, 4, None, rngs=nnx.Rngs(0))
        >>> ids = jnp.array([5, 2, 0], jnp.uint8)
        >>> value, weights = encode(ids, where=ids > 0)
        >>> value.shape, weights.shape, float(weights[2])
        ((4,), (3,), 0.0)
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        embedding: int | None,
        *,
        time: Literal["none", "concatenated", "gated"] = "none",
        bidirectional: bool = False,
        rngs: nnx.Rngs,
    ):
        """Draws the parameters."""
        features = embedding or vocabulary
        layers = [
            TimeGatedGRU(features, width, times=TIMES, rngs=rngs)
            if time == "gated"
            else GRU(features + (TIMES if time == "concatenated" else 0), width, rngs=rngs)
            for _ in range(1 + bidirectional)
        ]
        self.time = time
        self.gru = BothWays(*layers) if bidirectional else layers[0]
        self.pool = AttentionPool(width * len(layers), rngs=rngs)
        if embedding:
            self.embedding = nnx.Param(known_only(nnx.initializers.normal(1.0)(rngs.params(), (vocabulary, embedding))))
        else:
            self.embedding = None
            for layer in layers:
                layer.input_kernel[...] = known_only(layer.input_kernel[...])

    def __call__(
        self, activities: Integer[Array, " l"], *, where: Bool[Array, " l"], gaps: Float[Array, " l"] | None = None
    ) -> Pooled:
        """Encodes the ``activities [l]`` that are there, in order of time, with the ``gaps [l]`` before them."""
        return self.pool(self.gru.over_ids(where=where, **self._read(activities, gaps)), where=where)

    def over_prefixes(
        self, activities: Integer[Array, "C R"], prefixes: Prefixes, *, gaps: Float[Array, "C R"] | None = None
    ) -> Pooled:
        """Encodes many rows that share their beginnings, each of which adds one of the ``activities [C, R]``."""
        states = self.gru.over_prefixes_of_ids(parents=prefixes.parents, **self._read(activities, gaps))
        return self.pool.along(states, prefixes.paths)

    def _read(self, activities: Integer[Array, "..."], gaps: Float[Array, "..."] | None) -> dict[str, Any]:
        """What the recurrent layer gets to see of activities, in any shape."""
        table = None if self.embedding is None else self.embedding[...]
        times = {} if self.time == "none" or gaps is None else {"times": time_numbers(gaps)}
        # As int32: one-hot vectors of a uint8 would wrap around beyond 255.
        return {"ids": activities.astype(jnp.int32), "table": table, **times}


def time_numbers(gaps: Float[Array, "*n"]) -> Float[Array, "*n 2"]:
    """The time before each activity as two numbers: how long it was, and whether there was no activity before.

    Args:
        gaps: any shape; as ``Batch.gaps``, negative for an individual's first activity.

    Example:
        >>> time_numbers(jnp.array([-1.0, 3.25])).tolist()
        [[0.0, 1.0], [3.25, 0.0]]
    """
    return jnp.stack([jnp.maximum(gaps, 0.0), (gaps < 0).astype(gaps.dtype)], axis=-1)


class WindowEncoder(nnx.Module):
    """Encodes one individual's window: a GRU over periods, then attention.

    The recurrent state is carried over quiet periods as it is, and attention skips them.

    Args:
        features: size of a period's encoding.
        width: size of the window's encoding; twice that where the GRU runs both ways.
        bidirectional: whether the GRU runs both ways.
        rngs: random streams of the initial parameters.
    """

    def __init__(self, features: int, width: int, *, bidirectional: bool = False, rngs: nnx.Rngs):
        """Draws the parameters."""
        layers = [GRU(features, width, rngs=rngs) for _ in range(1 + bidirectional)]
        self.gru = BothWays(*layers) if bidirectional else layers[0]
        self.pool = AttentionPool(width * len(layers), rngs=rngs)

    def __call__(self, periods: Float[Array, "w f"], *, where: Bool[Array, " w"]) -> Pooled:
        """Encodes the ``periods [w, f]`` that were active, the oldest first."""
        return self.pool(self.gru(periods, where=where), where=where)

    def over_prefixes(self, periods: Float[Array, "C R f"], prefixes: Prefixes) -> Pooled:
        """Encodes many windows that share their beginnings, each of which adds one of the ``periods [C, R, f]``."""
        return self.pool.along(self.gru.over_prefixes(periods, parents=prefixes.parents), prefixes.paths)


class IndividualLayer(nnx.Module):
    """Joins what an individual did with who they are.

    P_k = f(W [o_k, e_1, ..., e_F, n_k] + b)      (section 5.2, eq. 1), with the window's encoding o_k, the embeddings
    e of the static categories, and the numbers n_k of the individual as of the cut-off, if there are any. f is tanh
    where P_k is a representation, which keeps it on the scale of the encodings around it, and the identity where P_k is
    the individual's log-odds.

    Args:
        features: size of a window's encoding.
        levels: for each static category, its number of ids, those of padding and the unknown level included.
        category_width: size of the embedding of each category.
        width: size of the result.
        numbers: how many numbers there are.
        logits: whether the result is log-odds, and not a representation.
        initial_logit: where the log-odds start.
        rngs: random streams of the initial parameters.

    Example:
        >>> layer = IndividualLayer(4, (5, 3), category_width=2, width=6, rngs=nnx.Rngs(0))
        >>> layer(jnp.zeros(4), jnp.array([4, 2])).shape
        (6,)
    """

    def __init__(
        self,
        features: int,
        levels: tuple[int, ...],
        *,
        category_width: int,
        width: int,
        numbers: int = 0,
        logits: bool = False,
        initial_logit: float | Float[Array, "..."] = 0.0,
        rngs: nnx.Rngs,
    ):
        """Draws the parameters."""
        joined = features + category_width * len(levels) + numbers
        start = nnx.initializers.constant(initial_logit if logits else 0.0)
        self.linear = nnx.Linear(joined, width, bias_init=start, rngs=rngs)
        self.logits = logits
        # All categories share one table, each with its own rows. Without categories there is none: checkpoints
        # cannot hold an array of size zero.
        self.offsets = tuple(accumulate((0, *levels)))[:-1]
        table = nnx.initializers.normal(1.0)(rngs.params(), (sum(levels), category_width))
        self.categories = nnx.Param(known_only(table, starts=self.offsets)) if levels else None

    @property
    def joined_width(self) -> int:
        """Size of what is joined."""
        return self.linear.in_features

    def __call__(
        self,
        window: Float[Array, " d"],
        categories: Int[Array, " f"],
        numbers: Float[Array, " n"] | None = None,
        *,
        scale: Float[Array, " joined"] | None = None,
    ) -> Float[Array, " e"]:
        """Joins the encoding ``window [d]`` with the ids ``categories [f]`` and the ``numbers [n]``.

        Dropout multiplies what is joined by a ``scale [joined_width]``.
        """
        parts = [window]
        if self.categories is not None:
            parts.append(self.categories[...][categories + jnp.array(self.offsets, categories.dtype)].reshape(-1))
        if numbers is not None:
            parts.append(numbers)
        joined = jnp.concatenate(parts)
        joined = self.linear(joined if scale is None else joined * scale)
        return joined if self.logits else jnp.tanh(joined)


def known_only(table: Float[Array, "v d"], *, starts: tuple[int, ...] = (0,)) -> Float[Array, "v d"]:
    """The table with zeros for padding and the unknown, which training data rarely hold, so that they start neutral.

    Args:
        table: ``[v, d]`` one or several tables below each other.
        starts: the first row of each.
    """
    neutral = [start + i for start in starts for i in range(FIRST_KNOWN)]
    return table.at[jnp.array(neutral, int)].set(0.0)
