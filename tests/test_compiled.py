"""Compiled functions count their compilations, and programs that are hardly optimized do not stay."""

import jax
import jax.numpy as jnp
import pytest

from hanjax.compiled import Compiled, hardly_optimized


def test_it_is_compiled_once_for_each_shape():
    double = Compiled(lambda values: 2 * values)
    assert [double(jnp.ones(n)).sum() for n in (3, 3, 5, 3)] == [6, 6, 10, 6]
    assert double.compilations == 2


def test_programs_that_are_hardly_optimized_are_for_nobody_else(monkeypatch):
    name, cleared = "jax_disable_most_optimizations", []
    of_the_tests = jax.config.read(name)
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(jax.config.read(name)))
    jax.config.update(name, False)
    try:
        with pytest.raises(KeyError), hardly_optimized():
            assert jax.config.read(name) and not cleared
            raise KeyError
        assert cleared == [False]
    finally:
        jax.config.update(name, of_the_tests)
