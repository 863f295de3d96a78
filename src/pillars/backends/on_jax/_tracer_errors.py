"""What JAX says of a function that it cannot trace, said with a remedy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax

from pillars._errors import CapabilityError

__all__ = ["explained", "explaining"]


@contextmanager
def explaining() -> Iterator[None]:
    """While entered, a traced value that is asked for as NumPy's or Python's own is told as such."""
    try:
        yield
    except jax.errors.TracerArrayConversionError as error:
        raise CapabilityError(
            "jax: got a function of NumPy's on an array that JAX traces, expected one that takes it: write "
            "xp = pillars.backends.namespace(x) and xp.exp(x), which runs on every backend, or use jax.numpy."
        ) from error
    except jax.errors.ConcretizationTypeError as error:  # of bool, int and float alike
        raise CapabilityError(
            "jax: got float(), int(), if or while on what JAX traces, expected array code: it has no value yet. Return "
            "0-d arrays as they are, and choose by xp.where of xp = pillars.backends.namespace(x)."
        ) from error


def explained(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` under :func:`explaining`."""

    @functools.wraps(f, assigned=(), updated=())
    def told(*args: Any, **options: Any) -> Any:
        with explaining():
            return f(*args, **options)

    return told
