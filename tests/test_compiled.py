"""Compiled functions count their compilations, and programs that are hardly optimized are gone afterwards."""

import jax
import jax.numpy as jnp
import pytest

from hanjax.compiled import Compiled, hardly_optimized


def test_it_is_compiled_once_for_each_shape():
    double = Compiled(lambda values: 2 * values)
    assert [double(jnp.ones(n)).sum() for n in (3, 3, 5, 3)] == [6, 6, 10, 6]
    assert double.compilations == 2


def test_what_was_compiled_fast_is_compiled_anew():
    name = "jax_disable_most_optimizations"
    of_the_tests, function = jax.config.read(name), Compiled(lambda values: values + 1)
    jax.config.update(name, False)
    try:
        with pytest.raises(KeyError), hardly_optimized():
            assert jax.config.read(name)
            function(jnp.ones(3))
            raise KeyError
        assert not jax.config.read(name)
    finally:
        jax.config.update(name, of_the_tests)
    function(jnp.ones(3))
    assert function.compilations == 2
