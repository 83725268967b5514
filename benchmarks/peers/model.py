"""What both peers consist of: the layers and their parameters, and the way from an individual to the log-odds."""

from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

from hanjax.config import ModelConfig
from hanjax.nn import Sizes


class Attention(nn.Module):
    """Weighs vectors by learned relevance: softmax(u . tanh(W x + b)), as ``hanjax.nn.pooling.AttentionPool``.

    Args:
        width: size of each vector.
    """

    def __init__(self, width: int):
        """Draws the parameters."""
        super().__init__()
        self.key = nn.Linear(width, width)
        self.query = nn.Parameter(torch.randn(width) * width**-0.5)

    def relevance(self, items: Tensor) -> Tensor:
        """How relevant each of the ``items [..., d]`` is, up to the softmax: ``[...]``."""
        return torch.tanh(self.key(items)) @ self.query


class Peer(nn.Module):
    """The paper's network with its GRU over members and attention; a subclass says how it goes through a batch.

    Args:
        config: the model's settings: widths are read from it; one-hot activities, and nothing beyond the paper.
        sizes: what the data say of its size.

    Raises:
        ValueError: if the settings ask for another network.
    """

    def __init__(self, config: ModelConfig, sizes: Sizes):
        """Draws the parameters, as PyTorch does by default."""
        super().__init__()
        widths = ("activity_width", "window_width", "member_width", "category_width")
        same = {name: getattr(config, name) for name in widths}
        if config != ModelConfig(**same) or not sizes.levels or sizes.member_numbers or sizes.window_ages:
            raise ValueError("The peers are the paper's network: other widths are possible, but no other settings.")
        activity, window, member = config.activity_width, config.window_width, config.member_width
        self.activity_gru = nn.GRU(sizes.vocabulary, activity, batch_first=True)
        self.activity_attention = Attention(activity)
        self.window_gru = nn.GRU(activity, window, batch_first=True)
        self.window_attention = Attention(window)
        self.categories = nn.Embedding(sum(sizes.levels), config.category_width)
        self.individual = nn.Linear(window + config.category_width * len(sizes.levels), member)
        self.member_gru = nn.GRU(member, member, batch_first=True)
        self.member_attention = Attention(member)
        self.head = nn.Linear(member + sizes.numbers, sizes.horizons)
        self.register_buffer("vectors", torch.eye(sizes.vocabulary), persistent=False)
        # All categories share one table, each with its own rows.
        self.register_buffer("offsets", torch.tensor([*accumulate((0, *sizes.levels))][:-1]), persistent=False)

    def one_hot(self, ids: Tensor) -> Tensor:
        """One-hot vectors of the ``ids [...]``, by a look-up: PyTorch's ``one_hot`` makes int64, and checks them."""
        return functional.embedding(ids, self.vectors)

    def people(self, windows: Tensor, categories: Tensor) -> Tensor:
        """Joins what individuals did, ``[..., d]``, with their static ``categories [..., F]``."""
        embedded = self.categories(categories + self.offsets).flatten(-2)
        return torch.tanh(self.individual(torch.cat([windows, embedded], -1)))

    def log_odds(self, groups: Tensor, numbers: Tensor) -> Tensor:
        """The last layer, of ``groups [B, d]`` and their accounts' ``numbers [B, G]``."""
        return self.head(torch.cat([groups, numbers], -1))
