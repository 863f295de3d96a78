"""Divided differences of functions, at nodes that may coincide, and the derivatives of matrix functions that they make.

The k-th derivative of f(A) in symmetric directions E₁ ... Eₖ is, in a basis of eigenvectors, a sum over the orders of the
directions and over paths of products of their entries, times f[λ_i0, ..., λ_ik]. Its own derivative is the next such, so
that one operation is its own rule, to any order, and never divides by a gap between eigenvalues.
"""

from __future__ import annotations

from itertools import permutations
from math import prod
from typing import Any

from pillars._errors import ShapeError, shown
from pillars._typing import Array
from pillars.backends import Call, Draw, Flops, namespace, operation
from pillars.linalg._repeated import rounding

__all__ = ["FUNCTIONS", "definite", "directional", "require_function", "spectral", "spectrum"]

_POWERS = {"sqrt": 0.5, "inv_sqrt": -0.5}
# of positive numbers: nodes are near where they are within a factor
_POSITIVE = (*_POWERS, "log")
FUNCTIONS = ("sqrt", "inv_sqrt", "log", "exp", "sin", "cos")
_NEAR = 0.25


def spectral(values: Any, f: str) -> Any:
    """The function of eigenvalues; NaN where it has no real and finite value."""
    xp = namespace(values)
    if f not in _POSITIVE:
        return getattr(xp, f)(values)
    nan = xp.full_like(values, xp.nan)
    if f == "sqrt":
        # a value of 0 may have been rounded to below it
        least = rounding(values.dtype, values.shape[-1], xp) * xp.max(xp.abs(values), axis=-1, keepdims=True)
        values = xp.where((values < 0) & (values >= -least), xp.zeros_like(values), values)
        return xp.where(values < 0, nan, xp.sqrt(xp.where(values < 0, xp.ones_like(values), values)))
    fine = values > 0
    safe = xp.where(fine, values, xp.ones_like(values))
    return xp.where(fine, xp.log(safe) if f == "log" else 1.0 / xp.sqrt(safe), nan)


def _plain(x: Any, f: str) -> Any:
    xp = namespace(x)
    return 1.0 / xp.sqrt(x) if f == "inv_sqrt" else getattr(xp, f)(x)


def _coefficients(c: Any, f: str, order: int, terms: int) -> list[Any]:
    """f⁽ⁿ⁾(c)/n! times the n-th power of c (of sqrt, inv_sqrt, log) or alone, for n = order ... order + terms − 1."""
    xp = namespace(c)
    found = []
    one = xp.ones_like(c)
    if f in _POWERS:
        weight, whole = 1.0, _plain(c, f)
        for n in range(order + terms):
            if n >= order:
                found.append(weight * whole)
            weight *= (_POWERS[f] - n) / (n + 1)
    elif f == "log":
        found = [one * ((-1.0) ** (n + 1) / n) for n in range(order, order + terms)]
    else:
        cycle = [xp.exp(c)] if f == "exp" else [xp.sin(c), xp.cos(c), -xp.sin(c), -xp.cos(c)]
        start = 1 if f == "cos" else 0
        factorial = 1.0
        for n in range(order + terms):
            factorial *= max(n, 1)
            if n >= order:
                found.append(cycle[(n + start) % len(cycle)] / factorial)
    return found


def _near(nodes: list[Any], f: str, terms: int) -> Any:
    """f[nodes], ascending ones that lie close together: Taylor's series in complete symmetric polynomials."""
    xp = namespace(nodes[0])
    order = len(nodes) - 1
    c = 0.5 * (nodes[0] + nodes[-1])
    unit = c if f in _POSITIVE else xp.ones_like(c)
    offsets = [(x - c) / unit for x in nodes]
    sums = [xp.ones_like(c) for _ in offsets]
    total = xp.zeros_like(c)
    for coefficient in _coefficients(c, f, order, terms):
        total = total + coefficient * sums[-1]
        sums[0] = offsets[0] * sums[0]
        for i in range(1, len(offsets)):
            sums[i] = sums[i - 1] + offsets[i] * sums[i]
    return total / unit**order


def _divided(values: Any, f: str, order: int) -> Any:
    """f[λ_i0, ..., λ_ik] at [..., i0, ..., ik]."""
    xp = namespace(values)
    *lead, d = values.shape
    shape = (*lead, *[d] * (order + 1))
    axes = [
        xp.broadcast_to(xp.reshape(values, (*lead, *[d if i == j else 1 for j in range(order + 1)])), shape)
        for i in range(order + 1)
    ]
    ordered = xp.sort(xp.stack(axes, axis=-1), axis=-1)
    x = [ordered[..., i] for i in range(order + 1)]
    terms = 32 if float(xp.finfo(values.dtype).eps) < 1e-10 else 16
    # a factor common to all changes a logarithm by a constant, which no difference sees
    table = [_plain(each / x[-1] if f == "log" else each, f) for each in x]
    for width in range(1, order + 1):
        table = [
            _joined(x[i : i + width + 1], table[i], table[i + 1], f, terms) for i in range(order + 1 - width)
        ]
    return table[0]


def _joined(nodes: list[Any], low: Any, high: Any, f: str, terms: int) -> Any:
    """A quotient of two differences of one order less, but where the nodes are so close that it would cancel."""
    xp = namespace(low)
    first, last = nodes[0], nodes[-1]
    gap = last - first
    close = gap <= (_NEAR * (first + last) if f in _POSITIVE else xp.ones_like(gap))
    quotient = (high - low) / xp.where(close, xp.ones_like(gap), gap)
    return xp.where(close, _near(nodes, f, terms), quotient)


def spectrum(a: Any) -> tuple[Any, Any]:
    """Eigenvalues and eigenvectors of the symmetric part; NaN of what is not finite."""
    xp = namespace(a)
    a = 0.5 * a + 0.5 * xp.matrix_transpose(a)
    fine = xp.all(xp.isfinite(a), axis=(-2, -1), keepdims=True)
    values, vectors = xp.linalg.eigh(xp.where(fine, a, xp.zeros_like(a)))
    return xp.where(fine[..., 0], values, xp.full_like(values, xp.nan)), vectors


def definite(draw: Draw) -> Any:
    """A positive definite matrix, two of whose eigenvalues may be the same."""
    d = draw.size(1, 4)
    basis = namespace(draw.normal(1)).linalg.qr(draw.normal(d, d))[0]
    values = draw.uniform(0.5, 2.0, d)
    values[: min(d, 2)] = values[0]
    return (basis * values) @ basis.T


def _directions(draw: Draw) -> Call:
    a = definite(draw)
    return Call.of(a, draw.normal(draw.size(1, 2), *a.shape), f=draw.choice(FUNCTIONS))


@operation(domain=_directions, jax_derivative="jvp")
def directional(a: Array, directions: Array, /, *, f: str) -> Array:
    """The k-th derivative of f(a) in the directions (k, ..., d, d), of whose order it does not depend."""
    xp = namespace(a)
    values, vectors = spectrum(a)
    turned = xp.matrix_transpose(vectors)
    inner = xp.matmul(turned, xp.matmul(0.5 * (directions + xp.matrix_transpose(directions)), vectors))
    order, (*lead, d, _) = directions.shape[0], a.shape
    differences = _divided(values, f, order)
    total: Any = None
    for places in permutations(range(order)):
        product = differences
        for step, place in enumerate(places):
            shape = (*lead, *[d if axis in (step, step + 1) else 1 for axis in range(order + 1)])
            product = product * xp.reshape(inner[place, ...], shape)
        total = product if total is None else total + product
    between = tuple(range(len(lead) + 1, len(lead) + order))
    total = xp.sum(total, axis=between) if between else total
    found = xp.matmul(vectors, xp.matmul(total, turned))
    return 0.5 * (found + xp.matrix_transpose(found))


@directional.check
def _(a: Any, directions: Any, /, *, f: str) -> None:
    require_function("directional", f)
    if len(a.shape) < 2 or tuple(directions.shape[1:]) != tuple(a.shape) or directions.shape[0] < 1:
        raise ShapeError(
            f"directional: a has shape {tuple(a.shape)} and directions {tuple(directions.shape)}, expected "
            "(..., d, d) and (k, ..., d, d)."
        )


@directional.vjp
def _(g: Any, y: Any, a: Any, directions: Any, /, *, f: str, needs: Any) -> Any:
    xp = namespace(a)
    da = directional(a, _with(directions, None, g), f=f) if needs.a else None
    if not needs.directions:
        return da, None
    parts = [directional(a, _with(directions, i, g), f=f) for i in range(directions.shape[0])]
    return da, xp.stack(parts)


@directional.jvp
def _(tangents: Any, y: Any, a: Any, directions: Any, /, *, f: str) -> Any:
    moved = [] if tangents.a is None else [directional(a, _with(directions, None, tangents.a), f=f)]
    if tangents.directions is not None:
        moved += [
            directional(a, _with(directions, i, tangents.directions[i, ...]), f=f)
            for i in range(directions.shape[0])
        ]
    return sum(moved[1:], moved[0])


def _with(directions: Any, place: int | None, direction: Any) -> Any:
    """The directions with one more, or with another in that place."""
    xp = namespace(directions, direction)
    parts = [directions[i, ...] for i in range(directions.shape[0])]
    if place is None:
        return xp.stack([*parts, direction])
    return xp.stack([*parts[:place], direction, *parts[place + 1 :]])


def require_function(where: str, f: Any) -> None:
    """Refuse what is not the name of a function."""
    if f not in FUNCTIONS:
        raise ShapeError(f"{where}: f is {shown(f)}, expected one of {', '.join(map(repr, FUNCTIONS))}.")


@directional.flops
def _(a: Any, directions: Any, /, *, f: str) -> Flops:
    """Eigenvectors, and the products."""
    order, d = directions.shape[0], a.shape[-1]
    cubes = prod(a.shape[:-2]) * d**3
    return Flops((13 + 4 * order) * cubes, (13 + 8 * order) * cubes)
