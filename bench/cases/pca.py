"""Principal components: many rows of few columns, and a large matrix's leading ones by random projection."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from speed import Case, Contest

import pillars
from cases._support import jax_ways

__all__ = ["CASES"]

MEASURE = "largest relative error of the explained variances against float64's full decomposition"
PEAK = """
import sys
sys.path.insert(0, {here!r})
from cases.pca import rows
import pillars

def kilobytes(of):
    return int(open("/proc/self/status").read().partition(of + ":")[2].split()[0])

x = rows(200_000, 256)
{before}
open("/proc/self/clear_refs", "w").write("5")  # the peak so far, in which making x has its part, is forgotten
start = kilobytes("VmRSS")
{after}
print((kilobytes("VmHWM") - start) / 1024)
"""


def rows(n: int, d: int) -> Any:
    """Columns of falling scale, turned, about a mean that is not 0."""
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.standard_normal((d, d)))[0]
    scales = 1.0 / np.sqrt(1.0 + np.arange(d))
    x = random.standard_normal((n, d), dtype=np.float32)
    x *= scales.astype(np.float32)
    return (x @ turn.astype(np.float32)) + random.standard_normal(d).astype(np.float32)


def _truth(x: Any, k: int) -> Any:
    z = x.astype(np.float64)
    z -= z.mean(axis=0)
    return np.linalg.eigvalsh(z.T @ z / (len(x) - 1))[::-1][:k]


def _error(true: Any) -> Any:
    return lambda found: float(np.max(np.abs(np.asarray(_variances(found), dtype=np.float64) - true) / true))


def _variances(found: Any) -> Any:
    return getattr(found, "explained_variance_", None) if isinstance(found, PCA) else found[2]


def _extra_memory(before: str, after: str) -> float:
    """Megabytes by which a process of its own grows at its peak beyond its input, warmed up on a small one (Linux)."""
    code = PEAK.format(here=str(__import__("pathlib").Path(__file__).parents[1]), before=before, after=after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return round(float(done.stdout), 1)


def _many_rows(in_jax: bool) -> Contest:
    x, k = rows(200_000, 256), 10
    scikit = {
        f"scikit-learn {solver}": lambda solver=solver: PCA(k, svd_solver=solver, random_state=0).fit(x)
        for solver in ("covariance_eigh", "randomized")
    }
    fact = {}
    if not in_jax:
        small = "pillars.pca(x[:4096], 10)"
        fact["pillars: extra MB (input: 195)"] = _extra_memory(small, "pillars.pca(x, 10)")
        ways: dict[str, Any] = {"pillars": lambda: pillars.pca(x, k), **scikit}
    else:
        import jax

        jnp, given = jax.numpy, jax.numpy.asarray(x)

        @jax.jit
        def plain(x: Any) -> Any:
            mean = jnp.mean(x, axis=0)
            z = x - mean
            values, vectors = jnp.linalg.eigh(z.T @ z / (x.shape[0] - 1))
            return mean, vectors[:, ::-1][:, :k].T, values[::-1][:k]

        ways = {
            "pillars": lambda: pillars.pca(given, k),
            "plain jitted": lambda: plain(given),
            **scikit,
        }
    wait = jax_ways(lambda jax: {"": jax.block_until_ready}).get("")
    settle = (lambda found: found if isinstance(found, PCA) else wait(found)) if in_jax else None
    return Contest(ways, _error(_truth(x, k)), MEASURE, settle, fact)


def _randomized() -> Contest:
    x, k = rows(20_000, 2_000), 20
    ways = {
        "pillars": lambda: pillars.pca(x, k, solver="randomized"),
        "scikit-learn randomized": lambda: PCA(k, svd_solver="randomized", random_state=0).fit(x),
    }
    return Contest(ways, _error(_truth(x, k)), MEASURE)


CASES = [
    Case("pca 200,000 x 256, k = 10, NumPy", {"fastest": 1.25}, lambda: _many_rows(in_jax=False), 3, 3),
    Case("pca 200,000 x 256, k = 10, JAX", {"fastest": 1.2}, lambda: _many_rows(in_jax=True), 3, 3),
    Case(
        "randomized pca 20,000 x 2,000, k = 20, NumPy",
        {"scikit-learn randomized": 2.0},
        _randomized,
        2,
        2,
    ),
]
