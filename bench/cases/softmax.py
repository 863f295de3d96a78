"""The softmax family: large, with large logits, and ten numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special
from speed import Case, Contest

from cases._support import jax_ways, relative_to, torch_ways
from pillars import probability

__all__ = ["CASES"]

MEASURE = "largest |got - true| over the largest |true|; true: float64"


def _logits(rows: int, length: int, scale: float) -> Any:
    return (scale * np.random.default_rng(0).standard_normal((rows, length))).astype(np.float32)


def _on_numpy(name: str, scale: float) -> Contest:
    x = _logits(8192, 4096, scale)
    ours, theirs = getattr(probability, name), getattr(special, name)
    ways = {
        "pillars": lambda: ours(x),
        "scipy": lambda: theirs(x, axis=-1),
        **torch_ways(
            lambda torch: {"torch": lambda: getattr(torch.nn.functional, name)(torch.from_numpy(x), -1)}
        ),
    }
    return Contest(ways, relative_to(theirs(x.astype(np.float64), axis=-1)), MEASURE)


def _on_jax(name: str) -> Contest:
    import jax

    x = _logits(8192, 4096, 1.0)
    true = getattr(special, name)(x.astype(np.float64), axis=-1)
    given, ours, plain = jax.numpy.asarray(x), getattr(probability, name), jax.jit(getattr(jax.nn, name))
    ways = {"pillars": lambda: ours(given), "jax": lambda: plain(given)}
    return Contest(ways, relative_to(true), MEASURE, jax.block_until_ready)


def _mean_loss(x: Any, y: Any) -> float:
    z = x.astype(np.float64)
    return float(np.mean(special.logsumexp(z, axis=-1) - np.take_along_axis(z, y[:, None], -1)[:, 0]))


def _classes() -> tuple[Any, Any]:
    return _logits(4096, 32000, 1.0), np.random.default_rng(1).integers(0, 32000, 4096)


def _plain_cross_entropy(jax: Any) -> Any:
    jnp = jax.numpy

    def loss(logits: Any, labels: Any) -> Any:
        own = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - own)

    return jax.jit(loss)


def _cross_entropy_on_numpy() -> Contest:
    x, y = _classes()

    def in_jax(jax: Any) -> dict[str, Any]:
        f, a, b = _plain_cross_entropy(jax), jax.numpy.asarray(x), jax.numpy.asarray(y)
        return {"jax": lambda: f(a, b).block_until_ready()}

    def in_torch(torch: Any) -> dict[str, Any]:
        a, b = torch.from_numpy(x), torch.from_numpy(y)
        return {"torch": lambda: torch.nn.functional.cross_entropy(a, b)}

    ways = {
        "pillars": lambda: probability.cross_entropy(x, y),
        **torch_ways(in_torch),
        **jax_ways(in_jax),
    }
    return Contest(ways, relative_to(_mean_loss(x, y)), MEASURE)


def _cross_entropy_on_jax() -> Contest:
    import jax

    x, y = _classes()
    a, b, plain = jax.numpy.asarray(x), jax.numpy.asarray(y), _plain_cross_entropy(jax)
    ways = {"pillars": lambda: probability.cross_entropy(a, b), "jax": lambda: plain(a, b)}
    return Contest(ways, relative_to(_mean_loss(x, y)), MEASURE, jax.block_until_ready)


def _ten_numbers() -> Contest:
    x = np.random.default_rng(0).standard_normal(10).astype(np.float32)

    def four_lines() -> Any:
        z = x - x.max(axis=-1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=-1, keepdims=True)
        return e / total

    ways = {"pillars": lambda: probability.softmax(x), "four raw lines": four_lines}
    return Contest(ways, relative_to(special.softmax(x.astype(np.float64))), MEASURE)


CASES = [
    Case("softmax 8192 x 4096, NumPy", {"fastest": 1.3}, lambda: _on_numpy("softmax", 1.0)),
    Case("softmax 8192 x 4096, logits of 500, NumPy", {"fastest": 0.85}, lambda: _on_numpy("softmax", 500.0)),
    Case("log_softmax 8192 x 4096, NumPy", {"fastest": 1.3}, lambda: _on_numpy("log_softmax", 1.0)),
    Case(
        "log_softmax 8192 x 4096, logits of 500, NumPy",
        {"fastest": 0.85},
        lambda: _on_numpy("log_softmax", 500.0),
    ),
    Case("cross_entropy 4096 x 32000, NumPy", {"torch": 5.0, "jax": 1.1}, _cross_entropy_on_numpy),
    Case("softmax of 10 numbers, NumPy", {"four raw lines": 1 / 1.3}, _ten_numbers),
    Case("softmax 8192 x 4096, JAX", {"jax": 1.0}, lambda: _on_jax("softmax")),
    Case("log_softmax 8192 x 4096, JAX", {"jax": 1.0}, lambda: _on_jax("log_softmax")),
    Case("cross_entropy 4096 x 32000, JAX", {"jax": 1.0}, _cross_entropy_on_jax),
]
