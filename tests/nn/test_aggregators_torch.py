"""The set transformer's attention, against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hanjax.nn.attention_aggregators import AttentionBlock

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def test_attention_block_equals_pytorch_s_transformer_layer():
    width, heads, rng = 8, 4, np.random.default_rng(0)
    queries, items = rng.normal(size=(2, width)), rng.normal(size=(5, width))
    where = np.array([True, True, False, True, False])
    with jax.enable_x64(True):
        block = AttentionBlock(width, heads, rngs=nnx.Rngs(0))
        structure, params = nnx.split(block, nnx.Param)
        params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), nnx.to_pure_dict(params))
        got = nnx.merge(structure, params)(jnp.asarray(queries), jnp.asarray(items), where=jnp.asarray(where))

    def tensor(array):
        return torch.tensor(np.array(array), dtype=torch.float64)

    def linear(layer, x):
        return torch.nn.functional.linear(x, tensor(layer["kernel"]).T, tensor(layer["bias"]))

    def norm(layer, x):
        return torch.nn.functional.layer_norm(x, (width,), tensor(layer["scale"]), tensor(layer["bias"]), eps=1e-6)

    layer = params["attention"]
    attention = torch.nn.MultiheadAttention(width, heads, batch_first=True, dtype=torch.float64)
    layer["key"]["bias"] = rng.normal(size=width)  # any: it cancels
    names = ("query", "key", "value")
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([tensor(layer[name]["kernel"]).T for name in names]))
        attention.in_proj_bias.copy_(torch.cat([tensor(layer[name]["bias"]) for name in names]))
        attention.out_proj.weight.copy_(tensor(layer["output"]["kernel"]).T)
        attention.out_proj.bias.copy_(tensor(layer["output"]["bias"]))
        x, y = tensor(queries)[None], tensor(items)[None]
        read, weights = attention(x, y, y, key_padding_mask=torch.tensor(~where)[None])
        hidden = norm(params["first_norm"], x + read)
        more = linear(params["narrow"], torch.relu(linear(params["wide"], hidden)))
        value = norm(params["second_norm"], hidden + more)
    np.testing.assert_allclose(got.value, value[0].numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(got.weights, weights[0].numpy(), rtol=1e-10, atol=1e-12)
