"""One function that the tracing array differentiates, and how its arguments are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pillars.backends import backend

__all__ = ["Case", "binary", "draw", "flat", "holed", "host", "numpy_case", "reduced", "unary"]

np = backend("numpy").xp
MASK = np.asarray([[True, False, True, True], [False, True, True, False], [True, True, False, True]])


class Case(NamedTuple):
    """A function of a namespace and arrays, and how its arguments are drawn."""

    name: str
    f: Callable[..., Any]
    draws: tuple[str, ...]
    rule: str | None = None
    strict: bool = True  # whether the standard has what the function uses
    linalg: bool = False
    smooth: bool = True  # whether the second derivative is compared too
    jax: bool = True  # whether JAX has the function with this meaning
    half: bool = True  # whether half precision is in reach of NumPy's function
    fourier: bool = False
    plain: bool = (
        True  # whether the standard's own function takes such arguments, and not the traced one alone
    )
    narrow: bool = True  # whether the result is of the arguments' dtype in any precision

    def __str__(self) -> str:
        return self.name


def draw(words: str, rng: Any) -> Any:
    """Inputs away from kinks and poles: "kind:shape"."""
    kind, _, shape = words.partition(":")
    lengths = tuple(int(n) for n in shape.split("x")) if shape else ()
    match kind:
        case "normal":
            return rng.standard_normal(lengths)
        case "positive":
            return np.exp(0.5 * rng.standard_normal(lengths))
        case "unit":
            return rng.uniform(-0.8, 0.8, lengths)
        case "above":
            return 1.2 + np.exp(0.5 * rng.standard_normal(lengths))
        case "apart":  # no two of them, and no two magnitudes, closer than 0.1, nor 0
            size = int(np.prod(lengths, dtype=int))
            spaced = 0.3 * (np.arange(size) - size // 2) + 0.2
            return rng.permutation(spaced).reshape(lengths)
    raise ValueError(words)


def unary(name: str, kind: str = "normal", **more: Any) -> Case:
    return Case(name, lambda xp, x: getattr(xp, name)(x), (f"{kind}:3x4",), name, **more)


def binary(name: str, first: str = "normal:3x4", second: str = "normal:4", **more: Any) -> Case:
    return Case(name, lambda xp, x, y: getattr(xp, name)(x, y), (first, second), name, **more)


def reduced(name: str, kind: str = "normal", *, axis: Any = 1, keepdims: bool = False, **more: Any) -> Case:
    rule = "cumulative_sum" if name in ("cumsum", "cumulative_sum") else name
    return Case(
        name,
        lambda xp, x: getattr(xp, name)(x, axis=axis, keepdims=keepdims),
        (f"{kind}:3x4x2",),
        rule,
        **more,
    )


def numpy_case(name: str, f: Any, *draws: str, rule: str | None = None, **more: Any) -> Case:
    """A function that NumPy has and the standard has not."""
    return Case(name, f, draws, rule, strict=False, **more)


def host(xp: Any, x: Any) -> Any:
    """Indices on the library that runs; constants of the program on JAX."""
    return xp.asarray(x) if xp.__name__ == "array_api_strict" or "traced" in repr(xp) else np.asarray(x)


def flat(xp: Any, parts: Any) -> Any:
    """Several results as one vector."""
    return xp.concat([xp.reshape(part, (-1,)) for part in parts])


def holed(xp: Any, x: Any) -> Any:
    """With NaN where the mask says so."""
    return xp.where(MASK, x, np.nan)
