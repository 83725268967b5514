"""Functions compiled by JAX, by settings that suit loops of small steps, which count how often they were compiled."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax


class Compiled:
    """A function compiled by JAX that counts its compilations: one for each new set of shapes.

    Args:
        function: a pure function.
        options: options of ``jax.jit``.
    """

    def __init__(self, function: Callable[..., Any], **options: Any):
        """Compiles nothing yet: that happens at the first call."""
        self.compilations = 0

        def traced(*args: Any) -> Any:
            self.compilations += 1  # runs only while JAX traces
            return function(*args)

        self._jitted = jax.jit(traced, compiler_options=_compiler_options(), **options)

    def __call__(self, *args: Any) -> Any:
        """Calls the function."""
        return self._jitted(*args)


@functools.cache
def _compiler_options() -> dict[str, bool]:
    """What XLA is asked for beside its defaults."""
    if jax.default_backend() != "cpu":
        return {}
    # Its newer way to fuse operations on a CPU takes up to half of the time of compiling, and gains nothing here.
    options = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0, compiler_options=options)()
    except jax.errors.JaxRuntimeError:  # a version that has no choice any more
        return {}
    return options


@contextlib.contextmanager
def hardly_optimized() -> Iterator[None]:
    """Compiles fast within it: for programs that run so shortly that optimizing them would take longer."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    try:
        yield
    finally:
        jax.config.update(name, before)
        jax.clear_caches()  # others are to get the fast ones
