"""Functions compiled by JAX, which count how often they were."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax


class Compiled:
    """A function compiled by JAX that counts its compilations: one for each new set of shapes.

    Args:
        function: a pure function.
        of_small_steps: whether it is a loop of many small steps, forward and backward; see ``_of_small_steps``.
        options: options of ``jax.jit``.
    """

    def __init__(self, function: Callable[..., Any], *, of_small_steps: bool = False, **options: Any):
        """Compiles nothing yet: that happens at the first call."""
        self.compilations = 0

        def traced(*args: Any) -> Any:
            self.compilations += 1  # runs only while JAX traces
            return function(*args)

        self._jitted = jax.jit(traced, compiler_options=_of_small_steps() if of_small_steps else None, **options)

    def __call__(self, *args: Any) -> Any:
        """Calls the function."""
        return self._jitted(*args)


@functools.cache
def _of_small_steps() -> dict[str, bool] | None:
    """What XLA is asked for in such a loop, beside its defaults."""
    if jax.default_backend() != "cpu":
        return None
    # The newer way in which it fuses operations on a CPU takes up to half of the time of compiling. For training it
    # gains nothing, for scoring it does.
    options = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0, compiler_options=options)()
    except jax.errors.JaxRuntimeError:  # a version that has no choice any more
        return None
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
