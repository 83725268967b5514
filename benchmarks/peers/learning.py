"""How the peers learn: the weighted cross-entropy of the paper, and Adam."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.peers.model import Peer
from hanjax.config import TrainConfig


def cross_entropy_loss(logit: Tensor, label: Tensor, *, positive_weight: float) -> Tensor:
    """The mean cross-entropy over known outcomes, as ``hanjax.training.losses.cross_entropy_loss``.

    Args:
        logit: ``[B, H]`` log-odds of conversion.
        label: ``[B, H]`` 1 converted, 0 not, NaN unknown.
        positive_weight: w, the weight of a conversion.
    """
    known = ~label.isnan()
    weight = torch.as_tensor(positive_weight, dtype=logit.dtype, device=logit.device)
    loss = functional.binary_cross_entropy_with_logits(
        logit, label.nan_to_num().to(logit.dtype), weight=known.to(logit.dtype), reduction="sum", pos_weight=weight
    )
    return loss / known.sum().clamp(min=1)


def learner(model: Peer, config: TrainConfig, *, positive_weight: float) -> Callable[[Any], Tensor]:
    """Makes a step of training: a function of a minibatch that updates the model, and returns the loss before it.

    Args:
        model: the peer, where its minibatches are.
        config: the settings of training: plain Adam.
        positive_weight: w, the weight of a conversion.

    Raises:
        ValueError: if the settings ask for more than plain Adam.
    """
    if config.weight_decay or config.ema_epochs or config.gradient_clip is not None or config.loss != "account":
        raise ValueError("The peers learn by plain Adam on the accounts' loss.")
    # PyTorch's default goes through the parameters one by one; fused, all are updated by one kernel.
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)

    def step(batch: Any) -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy_loss(model(batch), batch.label, positive_weight=positive_weight)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
