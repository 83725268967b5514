"""hanjax's parameters by the names, and in the layout, of the PyTorch modules."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from benchmarks.peers.model import Peer
from hanjax.nn.functional import Params

_GRU = {"weight_ih_l0": "input_kernel", "weight_hh_l0": "kernel", "bias_ih_l0": "input_bias", "bias_hh_l0": "bias"}
_LINEAR = {"weight": "kernel", "bias": "bias"}
_LEVELS = {"activity": "activity", "window": "window", "member": "aggregate"}


def by_torch_names(params: Params) -> dict[str, Float[np.ndarray, "..."]]:
    """Arranges parameters of the paper's network, or their gradients, as those of a peer are.

    Args:
        params: the nested dictionary of hanjax.

    Returns:
        Arrays by the names that ``named_parameters`` gives them. A matrix of PyTorch is the transpose of a kernel.
    """
    found: dict[str, Any] = {}
    for theirs, ours in _LEVELS.items():
        layer = params[ours]
        found |= {f"{theirs}_gru.{name}": layer["gru"][of] for name, of in _GRU.items()}
        found |= {f"{theirs}_attention.key.{name}": layer["pool"]["key"][of] for name, of in _LINEAR.items()}
        found[f"{theirs}_attention.query"] = layer["pool"]["query"]
    found |= {f"individual.{name}": params["individual"]["linear"][of] for name, of in _LINEAR.items()}
    found |= {f"head.{name}": params["aggregate"]["head"]["output"][of] for name, of in _LINEAR.items()}
    arrays = {name: np.array(array).T for name, array in found.items()}
    arrays["categories.weight"] = np.array(params["individual"]["categories"])
    return arrays


def load_params(model: Peer, params: Params) -> None:
    """Copies hanjax's parameters into a peer.

    Args:
        model: a peer of the same settings and sizes.
        params: parameters of the paper's network.

    Raises:
        RuntimeError: if they do not fit each other.
    """
    model.load_state_dict({name: torch.tensor(array) for name, array in by_torch_names(params).items()})
