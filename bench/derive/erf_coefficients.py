"""Derive the coefficients of pillars/probability/_erf.py: ``python bench/derive/erf_coefficients.py`` (needs mpmath).

Remez exchange for rational functions (Cheney, Introduction to Approximation Theory, 1966, ch. 5): move the points of
an alternating error to its extrema until the ripples are level. Prints each fit's largest error in unit roundoffs of
the result, then its coefficients, highest power first. Degrees are the lowest whose error is well under half a unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

Real = Callable[[Any], Any]


def remez(f: Real, weight: Real, grid: list[Any], m: int, n: int) -> tuple[list[Any], list[Any], Any]:
    """Rising coefficients of P (degree m) and Q (degree n, Q(0) = 1), and max |P/Q - f|·weight on the grid."""
    count = m + n + 2
    values, weights = [f(x) for x in grid], [weight(x) for x in grid]
    points = [round((len(grid) - 1) * i / (count - 1)) for i in range(count)]
    level, q = mp.mpf(0), [mp.mpf(1)] + [mp.mpf(0)] * n
    for _ in range(40):
        for _ in range(12):  # level times Q is quadratic in the unknowns: Newton's steps in the level
            rows, right = mp.matrix(count, count), mp.matrix(count, 1)
            for i, k in enumerate(points):
                ripple = (-1) ** i / weights[k]
                powers = [grid[k] ** j for j in range(max(m, n) + 1)]
                right[i] = values[k] + ripple * level
                row = [*powers[: m + 1], *(-right[i] * power for power in powers[1 : n + 1])]
                rows[i, :] = mp.matrix([[*row, -ripple * mp.fdot(q, powers[: n + 1])]])
            solution = list(mp.lu_solve(rows, right))
            p, q, step = solution[: m + 1], [mp.mpf(1), *solution[m + 1 : -1]], solution[-1]
            level += step
            if abs(step) < abs(level) * mp.mpf("1e-8"):
                break
        error = [(mp.polyval(p[::-1], x) / mp.polyval(q[::-1], x) - y) * w
                 for x, y, w in zip(grid, values, weights, strict=True)]  # fmt: skip
        points = [0]
        for k, e in enumerate(error):
            if e * error[points[-1]] < 0:
                points.append(k)
            elif abs(e) > abs(error[points[-1]]):
                points[-1] = k
        while len(points) > count:
            points.pop(0 if abs(error[points[0]]) < abs(error[points[-1]]) else -1)
        if len(points) < count:
            raise ValueError(
                f"{len(points)} alternations, expected {count}. Try other degrees or a finer grid."
            )
        if max(map(abs, error)) < abs(level) * mp.mpf("1.01"):
            break
    return p, q, max(map(abs, error))


def grid(low: Any, high: Any) -> list[Any]:
    """Chebyshev's extrema: the error ripples fastest at the ends."""
    return [low + (high - low) * (1 - mp.cos(mp.pi * i / 1500)) / 2 for i in range(1501)]


def show(name: str, dtype: type[np.floating[Any]], error: Any, *coefficients: list[Any]) -> None:
    print(
        f"{name}, {dtype.__name__}: {mp.nstr(error / mp.mpf(float(np.finfo(dtype).eps)) * 2, 2)} unit roundoffs"
    )
    for rising in coefficients:
        print("   ", ", ".join(str(dtype(c)) for c in rising[::-1]))


def inner(dtype: type[np.floating[Any]], degree: int) -> None:
    """erf(x)/x − 1 in t = x², up to x = 1; the error is relative to erf."""

    def f(t: Any) -> Any:
        return mp.erf(mp.sqrt(t)) / mp.sqrt(t) if t else 2 / mp.sqrt(mp.pi)

    p, _, error = remez(f, lambda t: 1 / f(t), grid(mp.mpf(0), mp.mpf(1)), degree, 0)
    show("erf(x)/x - 1", dtype, error, [p[0] - 1, *p[1:]])


def outer(dtype: type[np.floating[Any]], top: int, m: int, n: int) -> None:
    """exp(a²)·erfc(a) from a = 1 to where erf rounds to 1, Q monic; the error is that of erf = 1 − erfc."""
    p, q, error = remez(
        lambda a: mp.exp(a * a) * mp.erfc(a), lambda a: mp.exp(-a * a), grid(mp.mpf(1), mp.mpf(top)), m, n
    )
    show("exp(a^2) erfc(a)", dtype, error, [c / q[-1] for c in p], [c / q[-1] for c in q])


def tail(dtype: type[np.floating[Any]], middle: str, top: str, degree: int) -> None:
    """(a + k)·exp(a²/2)·Φ(−a) in u = (a − k)/(a + k), from a = 0 to where Φ(−a) underflows; relative error.

    Small k favours rounding near a = 0, large k a low degree.
    """
    k, end = mp.mpf(middle), mp.mpf(top)

    def f(u: Any) -> Any:
        a = k * (1 + u) / (1 - u)
        return (a + k) * mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2

    p, _, error = remez(f, lambda u: 1 / f(u), grid(mp.mpf(-1), (end - k) / (end + k)), degree, 0)
    show(f"(a + {middle}) exp(a^2/2) Phi(-a)", dtype, error, p)


if __name__ == "__main__":
    mp.mp.dps = 50
    inner(np.float32, 6)
    inner(np.float64, 11)
    outer(np.float32, 4, 2, 2)
    outer(np.float64, 6, 5, 6)
    tail(np.float32, "1.75", "14.5", 11)
    tail(np.float64, "3.5", "39", 23)
