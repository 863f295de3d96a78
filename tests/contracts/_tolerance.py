"""How far two computations of one thing may lie apart: from dtype, size and conditioning, never tuned by hand.

For a result y of n inputs, computed in a dtype with unit roundoff eps, and each array of the result by itself,

    |got − expected| ≤ 4·eps·(4 + √n)·(max|y| + κ) + 4·tiny,

- (4 + √n): the functions of a body, a handful, each right to some units in the last place (glibc and XLA promise 4),
  and sums, whose rounding errors grow like √n with a probability of all but 2·exp(−λ²/2), λ = 4: Higham, Mary (2019),
  A new approach to probabilistic rounding error analysis, theorem 2.4;
- κ: what a change of every input by one part in 2²⁰, up or down, changes the result by, times 2²⁰, in float64 - the
  condition of the problem in the norm that the error is measured in. The largest of eight random patterns of signs.
  A backward stable computation is the exact one of inputs perturbed by some eps: it stays within eps·κ;
- tiny: the smallest normal number, below which a dtype (or a backend that flushes to zero) has no digits.

Where the expected value is not finite the two must agree exactly: NaN with NaN, an infinity with itself. Integers and
booleans must agree exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pillars.backends import dtype_kind

__all__ = ["agree", "bound", "conditioning"]

_STEP = 2.0**-20
_PATTERNS = 8


def conditioning(f: Callable[[list[Any]], list[Any]], inputs: list[Any]) -> list[float]:
    """κ of each array that `f` returns, for relative changes of its floating inputs (arrays and floats)."""
    with np.errstate(all="ignore"):
        base = [np.asarray(y) for y in f(inputs)]
        worst = [0.0] * len(base)
        rng = np.random.default_rng(0)
        for _ in range(_PATTERNS):
            changed = f([_changed(x, rng) for x in inputs])
            for index, (y, other) in enumerate(zip(base, changed, strict=True)):
                if dtype_kind(y.dtype) != "float" or y.shape != np.shape(other):
                    continue
                moved = np.abs(np.asarray(other) - y)
                moved = moved[np.isfinite(moved)]
                worst[index] = max(worst[index], float(moved.max(initial=0.0)) / _STEP)
    return worst


def _changed(x: Any, rng: np.random.Generator) -> Any:
    if isinstance(x, float):
        return x * (1.0 + _STEP * float(rng.choice((-1.0, 1.0))))
    if isinstance(x, np.ndarray) and x.dtype == np.float64:
        return x * (1.0 + _STEP * rng.choice((-1.0, 1.0), x.shape))
    return x


def bound(dtype: Any, size: int, expected: Any, kappa: float) -> float:
    """The formula above, for one array of the result."""
    info = np.finfo(dtype)
    finite = np.abs(expected[np.isfinite(expected)])
    largest = float(finite.max(initial=0.0))
    return 4.0 * float(info.eps) * (4.0 + float(np.sqrt(size))) * (largest + kappa) + 4.0 * float(info.tiny)


def agree(got: Any, expected: Any, *, dtype: Any, size: int, kappa: float, what: str) -> None:
    """Assert that two host arrays are the same thing, computed in `dtype`.

    `got` is in its own dtype; `expected` is wider. Integers and booleans are compared exactly.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    kinds = dtype_kind(got.dtype), dtype_kind(expected.dtype)
    if "float" not in kinds and "half" not in kinds and "other" not in kinds:
        assert np.array_equal(got, expected), f"{what}: got {got}, expected {expected}"
        return
    with np.errstate(all="ignore"):
        wide = np.asarray(got, dtype=np.float64)
        own = got.dtype if kinds[0] in ("float", "half") else np.dtype(dtype)
        shown = expected.astype(own).astype(np.float64)  # what overflows the result's dtype is infinite in it
        tolerance = bound(dtype, size, expected, kappa)
        # an expected value within the tolerance of the largest number may be infinite or not
        edge = np.abs(np.abs(expected) - float(np.finfo(own).max)) <= tolerance
        same = (wide == shown) | (np.isnan(wide) & np.isnan(shown)) | edge
        error = np.where(same, 0.0, np.abs(wide - shown))
    odd = np.isnan(error) | np.isinf(error)
    assert not odd.any(), f"{what}: got {_some(got, odd)}, expected {_some(shown, odd)}"
    worst = float(error.max(initial=0.0))
    far = error > tolerance
    assert not far.any(), (
        f"{what}: off by {worst:.3g}, more than {tolerance:.3g} (dtype {np.dtype(dtype)}, {size} inputs, "
        f"condition {kappa:.3g}): got {_some(got, far)}, expected {_some(shown, far)}"
    )


def _some(x: Any, where: Any) -> str:
    return np.array2string(np.asarray(x)[where][:4], precision=17)
