"""An operation on a variant, host arrays in and out: value, hand-derived gradient, rounding unit, compilations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from contracts._variants import GPU_VARIANTS, VARIANTS, Variant
from pillars.backends import forward_and_pullback

__all__ = ["ONCE", "compilations", "eps", "on", "pullback"]

# for hand-derived gradients, which are compiled wherever the library compiles: JAX once, not eager and jitted
ONCE = pytest.mark.parametrize(
    "variant",
    [
        pytest.param(one, id=one.id, marks=[pytest.mark.gpu] if one in GPU_VARIANTS else [])
        for one in VARIANTS
        if not one.jit
    ],
    indirect=True,
)


def _placed(variant: Variant, arrays: tuple[Any, ...], dtype: str | None) -> list[Any]:
    floats = dtype or variant.default_float
    return [
        None if x is None else variant.asarray(x, floats if np.asarray(x).dtype.kind == "f" else None)
        for x in arrays
    ]


def on(
    variant: Variant, f: Callable[..., Any], *arrays: Any, dtype: str | None = None, **options: Any
) -> Any:
    """`f` of host arrays, floating ones in `dtype`, as it runs on the variant."""
    run = variant.compiled(lambda *given: f(*given, **options))
    return variant.to_numpy(run(*_placed(variant, arrays, dtype)))


def eps(variant: Variant, dtype: str | None = None) -> float:
    """The distance from 1 to the next number of `dtype`."""
    return float(np.finfo(dtype or variant.default_float).eps)


def pullback(variant: Variant, f: Any, g: Any, *arrays: Any, **options: Any) -> tuple[Any, ...]:
    """The hand-derived cotangents of a call, one a parameter that can have one, None where it has none here."""

    def back(cotangent: Any, *given: Any) -> Any:
        found = forward_and_pullback(f.record, f.record.bind(given, options))[1](cotangent)
        places.extend(place for place, ct in enumerate(found) if ct is not None)
        return [ct for ct in found if ct is not None]

    places: list[int] = []
    placed = _placed(variant, (np.asarray(g, dtype=np.float64), *arrays), None)
    found = variant.to_numpy(variant.backend.jit(back)(*placed))
    by_place = dict(zip(places, found, strict=True))
    return tuple(by_place.get(place) for place in range(len(f.record.differentiable)))


def compilations(run: Any) -> int:
    """How many times JAX's compiler ran."""
    import jax

    seen: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **more: (
            seen.append(event) if event.endswith("backend_compile_duration") else None
        )
    )
    run()
    return len(seen)
