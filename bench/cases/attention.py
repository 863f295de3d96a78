"""Attention: plain, causal and masked, its gradient, and how much memory length 8192 takes, on NumPy and on JAX."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from speed import Case, Contest

from cases._support import jax_ways, torch_ways
from pillars import calculus
from pillars.algorithms import attention

__all__ = ["CASES"]

MEASURE = "largest |got - true| over the largest |true|; true: float64"
HEADS, LENGTH, WIDTH = 8, 2048, 64
KINDS = ("plain", "causal", "masked", "padded")

# What a call adds to the resident memory at its peak, in a process of its own: compiled before, never run before.
_PEAK = """
import gc
import numpy as np
import pillars
from pillars.algorithms import attention

def memory(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key)) / 1024

rng = np.random.default_rng(0)
arrays = [rng.standard_normal((1, 8, {length}, 64)).astype(np.float32) for _ in range(3)]
{prepare}
gc.collect()
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
before = memory("VmRSS")
result = run(*arrays)
{wait}
print(memory("VmHWM") - before)
"""
_ON_NUMPY = "run = attention; attention(*[x[:, :, :512] for x in arrays])"
_ON_JAX = """
import jax
arrays = [jax.numpy.asarray(x) for x in arrays]
total = lambda *given: (attention(*given) ** 2).sum()
run = jax.jit({function}).lower(*arrays).compile()
"""


def _extra_memory(length: int, prepare: str, wait: str = "") -> float:
    """Megabytes, result included; NaN where the system does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    code = _PEAK.format(length=length, prepare=prepare, wait=wait)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return round(float(done.stdout), 1)


def _arrays(length: int) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((1, HEADS, length, WIDTH)).astype(np.float32) for _ in range(3)]


def _mask(kind: str) -> Any:
    """A fifth of all scores hidden, at random, so that no tile is all hidden or all seen; or the last 768 keys."""
    if kind == "padded":
        return (np.arange(LENGTH) < LENGTH - 768)[None, None, None, :]
    return np.random.default_rng(1).random((LENGTH, LENGTH)) < 0.8


def _true(arrays: list[Any], seen: Any) -> tuple[Any, list[Any]]:
    """The output in float64, a head after the other, and the gradient of its product with the queries, summed."""
    outputs, slopes = [], [[], [], []]
    for q, k, v in zip(*(x[0].astype(np.float64) for x in arrays), strict=True):
        s = np.where(seen, q @ k.T / WIDTH**0.5, -np.inf)
        p = np.exp(s - s.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        outputs.append(p @ v)
        d = p * (q @ v.T - (q * outputs[-1]).sum(axis=-1, keepdims=True)) / WIDTH**0.5
        for found, slope in zip(slopes, (d @ k + outputs[-1], d.T @ q, p.T @ q), strict=True):
            found.append(slope)
    return np.stack(outputs)[None], [np.stack(found)[None] for found in slopes]


def _seen(kind: str, length: int = LENGTH) -> Any:
    if kind in ("masked", "padded"):
        return _mask(kind).reshape(-1, LENGTH)
    return np.tri(length, dtype=bool) if kind == "causal" else True


def _error(true: Any) -> Callable[[Any], float]:
    """Of one array or several; those with the length before the heads are turned round."""

    def one(got: Any, expected: Any) -> float:
        got = np.asarray(got, dtype=np.float64)
        got = got if got.shape == expected.shape else got.swapaxes(1, 2)
        return float(np.abs(got - expected).max() / np.abs(expected).max())

    def error(got: Any) -> float:
        several = isinstance(got, (tuple, list))
        return max(map(one, got, true)) if several else one(got, true)

    return error


def _options(kind: str, asarray: Callable[[Any], Any], causal: str, mask: str) -> dict[str, Any]:
    if kind in ("masked", "padded"):
        return {mask: asarray(_mask(kind))}
    return {causal: True} if kind == "causal" else {}


def _in_torch(arrays: list[Any], kind: str) -> Callable[[Any], dict[str, Any]]:
    def ways(torch: Any) -> dict[str, Any]:
        given = [torch.from_numpy(x) for x in arrays]
        options = _options(kind, torch.from_numpy, "is_causal", "attn_mask")
        return {"torch": lambda: torch.nn.functional.scaled_dot_product_attention(*given, **options)}

    return ways


def _jax_nn(jax: Any, kind: str) -> Callable[..., Any]:
    """jax.nn's, which wants the length before the heads."""
    options = _options(kind, jax.numpy.asarray, "is_causal", "mask")
    return lambda q, k, v: jax.nn.dot_product_attention(q, k, v, **options)


def _plain_spelling(jax: Any, kind: str) -> Callable[..., Any]:
    jnp, seen = jax.numpy, _seen(kind)

    def plain(q: Any, k: Any, v: Any) -> Any:
        s = q @ jnp.swapaxes(k, -1, -2) / WIDTH**0.5
        s = s if seen is True else jnp.where(jnp.asarray(seen), s, -jnp.inf)
        return jax.nn.softmax(s, axis=-1) @ v

    return plain


def _turned(jax: Any, arrays: list[Any]) -> list[Any]:
    return [jax.numpy.asarray(x.swapaxes(1, 2)) for x in arrays]


def _on_numpy(kind: str) -> Contest:
    arrays = _arrays(LENGTH)
    options = _options(kind, np.asarray, "causal", "mask")

    def in_jax(jax: Any) -> dict[str, Any]:
        f, given = jax.jit(_jax_nn(jax, kind)), _turned(jax, arrays)
        return {"jax.nn": lambda: f(*given).block_until_ready()}

    ways = {
        "pillars": lambda: attention(*arrays, **options),
        **torch_ways(_in_torch(arrays, kind)),
        **jax_ways(in_jax),
    }
    return Contest(ways, _error(_true(arrays, _seen(kind))[0]), MEASURE)


def _long_on_numpy() -> Contest:
    arrays = _arrays(4 * LENGTH)
    ways = {"pillars": lambda: attention(*arrays), **torch_ways(_in_torch(arrays, "plain"))}
    facts = {
        "pillars: peak extra MB, result (16.8) included": _extra_memory(4 * LENGTH, _ON_NUMPY),
        "one array of length squared, MB": HEADS * (4 * LENGTH) ** 2 * 4 / 1e6,
    }
    return Contest(ways, _error(_true(arrays, True)[0]), MEASURE, facts=facts)


def _gradient_on_numpy(kind: str) -> Contest:
    """Of the output times the queries, summed."""
    arrays = _arrays(LENGTH)
    options = _options(kind, np.asarray, "causal", "mask")
    ours = calculus.grad(lambda q, k, v: (q * attention(q, k, v, **options)).sum(), (0, 1, 2))

    def in_torch(torch: Any) -> dict[str, Any]:
        given = [torch.from_numpy(x).requires_grad_(True) for x in arrays]
        theirs = _options(kind, torch.from_numpy, "is_causal", "attn_mask")

        def gradient() -> Any:
            y = torch.nn.functional.scaled_dot_product_attention(*given, **theirs)
            return torch.autograd.grad((given[0] * y).sum(), given)

        return {"torch": gradient}

    ways = {"pillars": lambda: ours(*arrays), **torch_ways(in_torch)}
    return Contest(ways, _error(_true(arrays, _seen(kind))[1]), MEASURE)


def _on_jax(kind: str) -> Contest:
    import jax

    arrays = _arrays(LENGTH)
    given, turned = [jax.numpy.asarray(x) for x in arrays], _turned(jax, arrays)
    options = _options(kind, jax.numpy.asarray, "causal", "mask")
    nn, plain = jax.jit(_jax_nn(jax, kind)), jax.jit(_plain_spelling(jax, kind))
    ways = {
        "pillars": lambda: attention(*given, **options),
        "jax.nn": lambda: nn(*turned),
        "plain jitted": lambda: plain(*given),
    }
    return Contest(ways, _error(_true(arrays, _seen(kind))[0]), MEASURE, jax.block_until_ready)


def _gradient_on_jax(kind: str) -> Contest:
    """Of the output times the queries, summed; every way jitted whole."""
    import jax

    arrays = _arrays(LENGTH)
    given, turned = [jax.numpy.asarray(x) for x in arrays], _turned(jax, arrays)
    options = _options(kind, jax.numpy.asarray, "causal", "mask")

    def gradient(f: Callable[..., Any]) -> Callable[..., Any]:
        made: Callable[..., Any] = jax.jit(jax.grad(lambda q, k, v: (q * f(q, k, v)).sum(), (0, 1, 2)))
        return made

    ours = gradient(lambda q, k, v: attention(q, k, v, **options))
    nn, plain = gradient(_jax_nn(jax, kind)), gradient(_plain_spelling(jax, kind))
    ways = {
        "pillars": lambda: ours(*given),
        "jax.nn": lambda: nn(*turned),
        "plain jitted": lambda: plain(*given),
    }
    return Contest(ways, _error(_true(arrays, _seen(kind))[1]), MEASURE, jax.block_until_ready)


def _long_on_jax() -> Contest:
    import jax

    arrays = _arrays(4 * LENGTH)
    given, turned = [jax.numpy.asarray(x) for x in arrays], _turned(jax, arrays)
    nn = jax.jit(_jax_nn(jax, "plain"))
    wait = "jax.block_until_ready(result)"
    gradient = _ON_JAX.format(function="jax.grad(total, (0, 1, 2))")
    facts = {
        "pillars: peak extra MB, result (16.8) included": _extra_memory(
            4 * LENGTH, _ON_JAX.format(function="attention"), wait
        ),
        "pillars, gradient: peak extra MB, results (50.3) included": _extra_memory(
            4 * LENGTH, gradient, wait
        ),
        "asked of either, MB": 200.0,
        "one array of length squared, MB": HEADS * (4 * LENGTH) ** 2 * 4 / 1e6,
    }
    ways = {"pillars": lambda: attention(*given), "jax.nn": lambda: nn(*turned)}
    return Contest(ways, _error(_true(arrays, True)[0]), MEASURE, jax.block_until_ready, facts)


SHAPE = f"1 x {HEADS} x {LENGTH} x {WIDTH}"
LONG = f"1 x {HEADS} x {4 * LENGTH} x {WIDTH}"
CASES = [
    *(
        Case(
            f"attention {SHAPE}, {kind}, NumPy",
            {"torch": 0.9, "jax.nn": 3.0},
            lambda kind=kind: _on_numpy(kind),
        )
        for kind in KINDS
    ),
    Case(f"attention {LONG}, NumPy", {}, _long_on_numpy, rounds=2, samples=2),
    Case(f"attention gradient {SHAPE}, NumPy", {}, lambda: _gradient_on_numpy("plain"), rounds=3, samples=3),
    *(
        Case(
            f"attention {SHAPE}, {kind}, JAX",
            {"jax.nn": 2.5, "plain jitted": 1.6} if kind == "plain" else {},
            lambda kind=kind: _on_jax(kind),
        )
        for kind in KINDS
    ),
    *(
        Case(
            f"attention gradient {SHAPE}, {kind}, JAX",
            {"fastest": 1.8} if kind == "plain" else {},
            lambda kind=kind: _gradient_on_jax(kind),
            rounds=3,
            samples=3,
        )
        for kind in ("plain", "causal")
    ),
    Case(f"attention {LONG}, JAX", {}, _long_on_jax, rounds=2, samples=1),
]
