"""Divided differences of functions, at nodes that may coincide, and the derivatives of matrix functions that they make.

The k-th derivative of f(A) in symmetric directions E₁ ... Eₖ is, in a basis of eigenvectors, a sum over the orders of
the directions and over paths, of products of their entries times f[λ_i0, ..., λ_ik]. Its own derivative is the next
such: one operation is its own rule, to any order, and never divides by a gap between eigenvalues.
"""

from __future__ import annotations

from itertools import combinations
from math import prod
from typing import Any

from pillars._errors import ShapeError, shown
from pillars._typing import Array
from pillars.backends import Call, Draw, Flops, namespace, operation
from pillars.linalg._repeated import rounding

__all__ = [
    "FUNCTIONS",
    "POSITIVE",
    "definite",
    "directional",
    "require_function",
    "root_of_scale",
    "spectral",
    "spectrum",
]

_POWERS = {"sqrt": 0.5, "inv_sqrt": -0.5}
# of positive numbers: nodes are near where they are within a factor
POSITIVE = (*_POWERS, "log")
FUNCTIONS = ("sqrt", "inv_sqrt", "log", "exp", "sin", "cos")
_NEAR = 0.25


def spectral(values: Any, f: str) -> Any:
    """The function of eigenvalues; NaN where it has no real and finite value."""
    xp = namespace(values)
    if f not in POSITIVE:
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
    result = []
    one = xp.ones_like(c)
    if f in _POWERS:
        weight, whole = 1.0, _plain(c, f)
        for n in range(order + terms):
            if n >= order:
                result.append(weight * whole)
            weight *= (_POWERS[f] - n) / (n + 1)
    elif f == "log":
        result = [one * ((-1.0) ** (n + 1) / n) for n in range(order, order + terms)]
    else:
        cycle = [xp.exp(c)] if f == "exp" else [xp.sin(c), xp.cos(c), -xp.sin(c), -xp.cos(c)]
        start = 1 if f == "cos" else 0
        factorial = 1.0
        for n in range(order + terms):
            factorial *= max(n, 1)
            if n >= order:
                result.append(cycle[(n + start) % len(cycle)] / factorial)
    return result


def _near(nodes: list[Any], f: str, terms: int) -> Any:
    """f[nodes], ascending ones that lie close together: Taylor's series in complete symmetric polynomials."""
    xp = namespace(nodes[0])
    order = len(nodes) - 1
    c = 0.5 * (nodes[0] + nodes[-1])
    unit = c if f in POSITIVE else xp.ones_like(c)
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
    terms = 32 if float(xp.finfo(values.dtype).eps) < 1e-10 else 16
    # a factor common to all changes a logarithm by a constant, which no difference sees
    table = _plain(ordered / ordered[..., -1:] if f == "log" else ordered, f)
    for width in range(1, order + 1):
        # of every run of `width` + 1 nodes, side by side
        runs = [ordered[..., i : i + order + 1 - width] for i in range(width + 1)]
        table = _joined(runs, table[..., :-1], table[..., 1:], f, terms)
    return table[..., 0]


def _joined(nodes: list[Any], low: Any, high: Any, f: str, terms: int) -> Any:
    """A quotient of two differences of one order less, but where the nodes are so close that it would cancel."""
    xp = namespace(low)
    first, last = nodes[0], nodes[-1]
    gap = last - first
    close = gap <= (_NEAR * (first + last) if f in POSITIVE else xp.ones_like(gap))
    quotient = (high - low) / xp.where(close, xp.ones_like(gap), gap)
    return xp.where(close, _near(nodes, f, terms), quotient)


def spectrum(a: Any) -> tuple[Any, Any, Any]:
    """Eigenvalues and eigenvectors of the symmetric part, and where it is finite: elsewhere they are those of zeros."""
    xp = namespace(a)
    a = 0.5 * a + 0.5 * xp.matrix_transpose(a)
    fine = xp.all(xp.isfinite(a), axis=(-2, -1), keepdims=True)
    # XLA makes numbers of exp(NaN) where it folds constants: NaN is put in at the end
    values, vectors = xp.linalg.eigh(xp.where(fine, a, xp.zeros_like(a)))
    return values, vectors, fine


def root_of_scale(a: Any) -> Any:
    """A power of two whose square is about the largest entry: eigenvalues near the ends of the range lose digits."""
    xp = namespace(a)
    most = xp.max(xp.abs(a), axis=(-2, -1), keepdims=True)
    usual = (most > 0) & xp.isfinite(most)
    half = xp.floor(0.5 * xp.log2(xp.where(usual, most, xp.ones_like(most))))
    return xp.where(usual, 2.0**half, xp.ones_like(most))


def definite(draw: Draw) -> Any:
    """A positive definite matrix, of eigenvalues apart: where they are not, nothing else differentiates the body."""
    noise = draw.normal(*[draw.size(1, 4)] * 2)
    xp = namespace(noise)
    values = 0.3 * xp.cumsum(draw.uniform(0.5, 2.0, noise.shape[0])) + 0.2
    basis = xp.linalg.qr(noise)[0]
    return (basis * values) @ basis.T


def _directions(draw: Draw) -> Call:
    a = definite(draw)
    others = draw.choice((None, draw.normal(1, *a.shape)))
    return Call.of(a, draw.normal(*a.shape), others, f=draw.choice(FUNCTIONS))


@operation(domain=_directions, jax_derivative="jvp")
def directional(a: Array, direction: Array, others: Array | None = None, /, *, f: str) -> Array:
    """The derivative of f(a) in a direction (..., d, d) and k others (k, ..., d, d): of whose order it does not depend.

    The one is apart from the others for JAX, which must see that the result is linear in it.
    """
    xp = namespace(a)
    directions, sizes = _parts(others), []
    if f in POSITIVE:
        # f[sλ, ...] is a power of s times f[λ, ...]: products of the numbers as they are would leave the range
        root, sizes = root_of_scale(a), [root_of_scale(each) for each in directions]
        a, directions = a / root / root, [e / r / r for e, r in zip(directions, sizes, strict=True)]
        for _ in range({"sqrt": 1, "log": 2, "inv_sqrt": 3}[f]):
            direction = direction / root
    directions.append(direction)
    values, vectors, fine = spectrum(a)
    turned = xp.matrix_transpose(vectors)
    inner = [
        xp.matmul(turned, xp.matmul(0.5 * (each + xp.matrix_transpose(each)), vectors)) for each in directions
    ]
    order, lead = len(inner), a.shape[:-2]
    total = _divided(values, f, order) * _paths(inner, len(lead))
    between = tuple(range(len(lead) + 1, len(lead) + order))
    total = xp.sum(total, axis=between) if between else total
    result = xp.matmul(vectors, xp.matmul(total, turned))
    for size in sizes:
        result = result * (size / root) * (size / root)
    return xp.where(fine, 0.5 * (result + xp.matrix_transpose(result)), xp.full_like(result, xp.nan))


def _paths(inner: list[Any], lead: int) -> Any:
    """Σ over the orders of the matrices of their entries' product along i0 ... ik, at [..., i0, ..., ik].

    The last matrix of a path is any of a set, before it stands a path of the others: 2ᵏ·k products, not k!·k.
    """
    xp, k, d = namespace(inner[0]), len(inner), inner[0].shape[-1]
    paths = {frozenset((j,)): each for j, each in enumerate(inner)}
    for length in range(2, k + 1):
        longer: dict[frozenset[int], Any] = {}
        for among in map(frozenset, combinations(range(k), length)):
            for last in among:
                step = xp.reshape(inner[last], (*inner[last].shape[:lead], *[1] * (length - 1), d, d))
                product = paths[among - {last}][..., None] * step
                longer[among] = longer[among] + product if among in longer else product
        paths = longer
    return paths[frozenset(range(k))]


@directional.check
def _(a: Any, direction: Any, others: Any = None, /, *, f: str) -> None:
    require_function("directional", f)
    shape = tuple(a.shape)
    further = () if others is None else tuple(others.shape)
    if len(shape) < 2 or tuple(direction.shape) != shape or further[1:] not in ((), shape):
        raise ShapeError(
            f"directional: a has shape {shape}, direction {tuple(direction.shape)} and others {further}, expected "
            "(..., d, d), the same, and (k, ..., d, d)."
        )


@directional.vjp
def _(g: Any, y: Any, a: Any, direction: Any, others: Any, /, *, f: str, needs: Any) -> Any:
    parts = _parts(others)
    da = directional(a, g, _joint(*parts, direction), f=f) if needs.a else None
    along = directional(a, g, others, f=f) if needs.direction else None
    if not (parts and needs.others):
        return da, along, None
    return da, along, _joint(*[directional(a, g, _with(parts, i, direction), f=f) for i in range(len(parts))])


@directional.jvp
def _(tangents: Any, y: Any, a: Any, direction: Any, others: Any, /, *, f: str) -> Any:
    parts, moved = _parts(others), []
    if tangents.a is not None:
        moved.append(directional(a, tangents.a, _joint(*parts, direction), f=f))
    if tangents.direction is not None:
        moved.append(directional(a, tangents.direction, others, f=f))
    if tangents.others is not None:
        moved += [
            directional(a, tangents.others[i, ...], _with(parts, i, direction), f=f)
            for i in range(len(parts))
        ]
    return sum(moved[1:], moved[0])


def _parts(others: Any) -> list[Any]:
    return [] if others is None else [others[i, ...] for i in range(others.shape[0])]


def _joint(*parts: Any) -> Any:
    return namespace(*parts).stack(parts)


def _with(parts: list[Any], place: int, direction: Any) -> Any:
    return _joint(*parts[:place], direction, *parts[place + 1 :])


def require_function(where: str, f: Any) -> None:
    """Refuse what is not the name of a function."""
    if f not in FUNCTIONS:
        raise ShapeError(f"{where}: f is {shown(f)}, expected one of {', '.join(map(repr, FUNCTIONS))}.")


@directional.flops
def _(a: Any, direction: Any, others: Any = None, /, *, f: str) -> Flops:
    """Eigenvectors, and the products."""
    order, d = 1 + len(_parts(others)), a.shape[-1]
    cubes = prod(a.shape[:-2]) * d**3
    return Flops((13 + 4 * order) * cubes, (13 + 8 * order) * cubes)
