"""Layers: normalisation and a linear layer with its activation, on NumPy and on JAX; an embedding beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from speed import Case, Contest

from cases._support import jax_ways, relative_to, torch_ways
from pillars import layers

__all__ = ["CASES"]

MEASURE = "largest |got - true| over the largest |true|; true: float64"


def _normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _norm(name: str) -> tuple[list[Any], Any, float]:
    """x, weight (and bias), what they must give, and the epsilon."""
    centred = name == "layer_norm"
    x, epsilon = _normal(0, 8192, 4096), 1e-5 if centred else 1e-6
    arrays = [x, *(1 + 0.1 * _normal(seed, 4096) for seed in ((1, 2) if centred else (1,)))]
    z = x.astype(np.float64)
    z -= z.mean(-1, keepdims=True) if centred else 0.0
    z /= np.sqrt((z * z).mean(-1, keepdims=True) + epsilon)
    z *= arrays[1]
    return arrays, z + arrays[2] if centred else z, epsilon


def _plain_norm(jax: Any, name: str, epsilon: float) -> Callable[..., Any]:
    jnp = jax.numpy

    def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
        mean, variance = jnp.mean(x, -1, keepdims=True), jnp.var(x, -1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + epsilon) * weight + bias

    def rms_norm(x: Any, weight: Any) -> Any:
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + epsilon) * weight

    made: Callable[..., Any] = jax.jit({"layer_norm": layer_norm, "rms_norm": rms_norm}[name])
    return made


def _norm_on_numpy(name: str) -> Contest:
    arrays, true, epsilon = _norm(name)
    ours = getattr(layers, name)

    def in_torch(torch: Any) -> dict[str, Any]:
        x, *given = map(torch.from_numpy, arrays)
        theirs = getattr(torch.nn.functional, name)
        return {"torch": lambda: theirs(x, (4096,), *given, eps=epsilon)}

    def in_jax(jax: Any) -> dict[str, Any]:
        f, given = _plain_norm(jax, name, epsilon), [jax.numpy.asarray(a) for a in arrays]
        return {"jax": lambda: f(*given).block_until_ready()}

    ways = {"pillars": lambda: ours(*arrays), **torch_ways(in_torch), **jax_ways(in_jax)}
    return Contest(ways, relative_to(true), MEASURE)


def _norm_on_jax(name: str) -> Contest:
    import jax

    arrays, true, epsilon = _norm(name)
    ours, plain = getattr(layers, name), _plain_norm(jax, name, epsilon)
    given = [jax.numpy.asarray(a) for a in arrays]
    ways = {"pillars": lambda: ours(*given), "jax": lambda: plain(*given)}
    return Contest(ways, relative_to(true), MEASURE, jax.block_until_ready)


def _affine() -> tuple[Any, Any, Any]:
    return _normal(0, 2048, 1024), _normal(1, 1024, 4096) / 32, _normal(2, 4096)


def _true_affine(x: Any, w: Any, b: Any) -> Any:
    return np.maximum(x.astype(np.float64) @ w.astype(np.float64) + b, 0.0)


def _plain_linear(jax: Any) -> Callable[..., Any]:
    made: Callable[..., Any] = jax.jit(lambda x, w, b: jax.nn.relu(x @ w + b))
    return made


def _linear_on_numpy() -> Contest:
    x, w, b = _affine()

    def in_torch(torch: Any) -> dict[str, Any]:
        tx, tw, tb = (torch.from_numpy(np.ascontiguousarray(a)) for a in (x, w.T, b))
        return {"torch": lambda: torch.relu(torch.nn.functional.linear(tx, tw, tb))}

    def in_jax(jax: Any) -> dict[str, Any]:
        f, given = _plain_linear(jax), [jax.numpy.asarray(a) for a in (x, w, b)]
        return {"jax": lambda: f(*given).block_until_ready()}

    ways = {
        "pillars": lambda: layers.linear(x, w, b, activation="relu"),
        "plain NumPy": lambda: np.maximum(x @ w + b, 0),
        **torch_ways(in_torch),
        **jax_ways(in_jax),
    }
    return Contest(ways, relative_to(_true_affine(x, w, b)), MEASURE)


def _linear_on_jax() -> Contest:
    import jax

    x, w, b = _affine()
    given, plain = [jax.numpy.asarray(a) for a in (x, w, b)], _plain_linear(jax)
    ways = {
        "pillars": lambda: layers.linear(*given, activation="relu"),
        "jax": lambda: plain(*given),
    }
    return Contest(ways, relative_to(_true_affine(x, w, b)), MEASURE, jax.block_until_ready)


def _embedding_on_numpy() -> Contest:
    table, tokens = _normal(0, 32000, 512), np.random.default_rng(1).integers(0, 32000, (16, 1024))

    def in_torch(torch: Any) -> dict[str, Any]:
        t, i = torch.from_numpy(table), torch.from_numpy(tokens)
        return {"torch": lambda: torch.nn.functional.embedding(i, t)}

    ways = {
        "pillars": lambda: layers.embedding(table, tokens),
        "plain NumPy": lambda: table[tokens],
        **torch_ways(in_torch),
    }
    return Contest(ways, relative_to(table[tokens]), MEASURE)


CASES = [
    Case("layer_norm 8192 x 4096, NumPy", {"fastest": 1.1}, lambda: _norm_on_numpy("layer_norm")),
    Case("rms_norm 8192 x 4096, NumPy", {}, lambda: _norm_on_numpy("rms_norm")),
    Case("linear 2048 x 1024 x 4096, bias and relu, NumPy", {"fastest": 1.0}, _linear_on_numpy),
    Case("embedding 16384 of 32000 x 512, NumPy", {}, _embedding_on_numpy),
    Case("layer_norm 8192 x 4096, JAX", {"jax": 1.0}, lambda: _norm_on_jax("layer_norm")),
    Case("rms_norm 8192 x 4096, JAX", {}, lambda: _norm_on_jax("rms_norm")),
    Case("linear 2048 x 1024 x 4096, bias and relu, JAX", {"jax": 1.0}, _linear_on_jax),
]
