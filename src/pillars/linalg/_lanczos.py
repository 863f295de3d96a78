"""Eigenvalues of a symmetric matrix that is known by its products alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import (
    backend as backend_of,
    binary_scale,
    dtype_kind,
    dtype_name,
    namespace,
    plain_int,
    procedure,
    refuse_traced,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from pillars.random import as_key, normal

__all__ = ["Lanczos", "lanczos"]

_ROWS = 16  # vectors of the basis in one block


class Lanczos(NamedTuple):
    r"""Ritz pairs of a symmetric matrix.

    Attributes
    ----------
    eigenvalues : (m,) float64 on the host, ascending.
    residuals : (m,), likewise: ‖A·v − λ·v‖₂ of each pair, and no less than what rounding makes of it, √n·eps of the
        largest \|λ\|. An eigenvalue of A lies within it.
    basis : (m, n) on the backend, orthonormal rows: the Ritz vector of each eigenvalue, entries in the order of the
        tree's leaves, each raveled.
    """

    eigenvalues: Any
    residuals: Any
    basis: Any


@procedure(
    unsupported=dict.fromkeys(
        ("jit", "vmap", "grad"), "it ends by the numbers it meets: call it outside jit, vmap and grad"
    )
)
def lanczos(
    matvec: Callable[[Any], Any], like: Any, *, steps: int, rng: Any = 0, tolerance: float = 0.0
) -> Lanczos:
    r"""Lanczos' method with full reorthogonalisation: extreme eigenvalues first, at a product each.

    Parameters
    ----------
    matvec : v -> A·v for a symmetric A; takes and returns what is built like `like`.
    like : array, or tree of arrays, of n entries in all and one floating dtype: what A works on. Its numbers do not
        count.
    steps : m, how many products at most; more than n are never done.
    rng : int, key, NumPy Generator or None: the start.
    tolerance : stop once the largest eigenvalue's residual is at most this part of the largest \|λ\|; 0: take all.

    Returns
    -------
    Lanczos(eigenvalues, residuals, basis). Fewer than m where the start's Krylov space is exhausted: the residuals are
    then rounding, and an eigenvalue whose vectors the start does not meet is missing (with a random start: of
    repeated eigenvalues all but one).

    Raises
    ------
    ShapeError : no entries, steps below 1, or a product of another structure or other shapes. DTypeError : what is not
        floating; leaves of several dtypes. CapabilityError : inside jit, vmap or grad.

    Notes
    -----
    Cost: m products, and 4·m²·n operations to keep the basis orthogonal, twice, so that no eigenvalue comes back as a
    ghost of itself; memory m·n. A product that is not finite gives NaN for everything.

    References
    ----------
    Parlett (1998), The Symmetric Eigenvalue Problem, chapter 13; residuals: theorem 4.5.1.

    Examples
    --------
    >>> import numpy as np
    >>> scale = np.asarray([1.0, 2.0, 5.0])
    >>> found = lanczos(lambda v: scale * v, np.zeros(3), steps=3)
    >>> found.eigenvalues.round(6)
    array([1., 2., 5.])
    """
    leaves, treedef = tree_flatten(like)
    backend = _checked(leaves)
    steps = _count(steps)
    xp, host = backend.xp, backend_of("numpy").xp
    n = sum(math.prod(leaf.shape) for leaf in leaves)
    dtype = leaves[0].dtype

    def product(vector: Any) -> Any:
        result = matvec(tree_unflatten(treedef, _split(xp, vector, leaves)))
        parts, got = tree_flatten(result)
        if got != treedef or [p.shape for p in parts] != [p.shape for p in leaves]:
            raise ShapeError(
                f"lanczos: matvec returned {_shapes(result)}, expected what `like` is: {_shapes(like)}."
            )
        return xp.astype(_joined(xp, parts), dtype, copy=False)

    v, _ = _unit(normal(as_key(rng, like=leaves[0]), (n,), dtype=dtype, like=leaves[0]))
    basis = _Basis(xp, v, min(steps, _ROWS))
    diagonal: list[float] = []
    beside: list[float] = []
    noise = float(xp.finfo(dtype).eps) * math.sqrt(n)
    with backend.quiet():
        while True:
            basis.add(v)
            w = product(v)
            diagonal.append(float(xp.sum(v * w)))
            w = basis.without(basis.without(w))
            w, length = _unit(w)
            values, rotation, residuals = _ritz(host, diagonal, beside, length)
            if not math.isfinite(length):
                values, rotation, residuals = (part * host.nan for part in (values, rotation, residuals))
                break
            size = float(host.max(host.abs(values)))
            residuals = host.maximum(residuals, noise * size)
            exhausted = len(diagonal) >= min(steps, n) or length <= noise * size
            if exhausted or float(residuals[-1]) <= tolerance * size:
                break
            beside.append(length)
            v = w
        turned = basis.turned(backend, host, rotation.T)
    return Lanczos(values, residuals, backend.as_arrays(turned))


def _unit(w: Any) -> tuple[Any, float]:
    """A vector of length 1, and the length, whose square need not be a number of the dtype."""
    xp = namespace(w)
    scale = binary_scale(w)
    scaled = w * scale
    length = xp.sqrt(xp.sum(scaled * scaled))
    # A vector of zeros stays one.
    unit = scaled / xp.where(length > 0, length, xp.ones_like(length))
    return unit, float(length) / float(scale)


class _Basis:
    """Orthonormal vectors as rows of blocks of one shape, the last one filled up with zeros.

    Shapes that do not grow are compiled once where the library compiles, and no step copies more than one block.
    """

    def __init__(self, xp: Any, like: Any, rows: int) -> None:
        from array_api_extra import at  # writes in place where the library does

        self.at = at
        self.xp, self.like, self.rows = xp, like, rows
        self.blocks: list[Any] = []
        self.count = 0

    def add(self, v: Any) -> None:
        """One more vector."""
        place = self.count % self.rows
        if place == 0:
            shape = (self.rows, v.shape[0])
            self.blocks.append(self.xp.zeros(shape, dtype=v.dtype, device=backend_of(v).device_beside(v)))
        self.blocks[-1] = self.at(self.blocks[-1])[place, ...].set(v)
        self.count += 1

    def without(self, w: Any) -> Any:
        """`w` less its parts along the vectors, up to rounding: twice is enough."""
        for block in self.blocks:
            w = w - (block @ w) @ block
        return w

    def turned(self, backend: Any, host: Any, rotation: Any) -> Any:
        """`rotation`, of the host, times the vectors."""
        wide = host.zeros((rotation.shape[0], len(self.blocks) * self.rows))
        wide[:, : rotation.shape[1]] = rotation
        like = self.like
        parts = [
            backend.asarray(part, dtype=like.dtype, device=backend.device_beside(like)) @ block
            for part, block in zip(host.split(wide, len(self.blocks), axis=1), self.blocks, strict=True)
        ]
        return sum(parts[1:], start=parts[0])


def _ritz(host: Any, diagonal: list[float], beside: list[float], length: float) -> tuple[Any, Any, Any]:
    """Eigenvalues and eigenvectors of the tridiagonal matrix, and the residuals that its next entry leaves."""
    matrix = host.diag(diagonal) + host.diag(beside, 1) + host.diag(beside, -1)
    if not host.all(host.isfinite(matrix)):
        return host.asarray(diagonal), host.eye(len(diagonal)), host.asarray(diagonal)
    values, rotation = host.linalg.eigh(matrix)
    return values, rotation, length * host.abs(rotation[-1])


def _checked(leaves: list[Any]) -> Any:
    if not leaves or not all(hasattr(leaf, "dtype") for leaf in leaves):
        raise ShapeError(f"lanczos: like is {leaves!r:.60}, expected an array or a tree of arrays.")
    backend = backend_of(leaves[0])
    refuse_traced("lanczos", leaves)
    kinds = {dtype_name(leaf.dtype) for leaf in leaves}
    if len(kinds) > 1 or dtype_kind(leaves[0].dtype) != "float":
        raise DTypeError(
            f"lanczos: like has dtypes {', '.join(sorted(kinds))}, expected one of float32, float64."
        )
    if not any(math.prod(leaf.shape) for leaf in leaves):
        raise ShapeError("lanczos: like has no entries, expected at least one.")
    return backend


def _count(steps: Any) -> int:
    number = plain_int(steps)
    if number is None or number < 1:
        raise ShapeError(f"lanczos: steps is {shown(steps)}, expected an int of at least 1.")
    return number


def _joined(xp: Any, parts: list[Any]) -> Any:
    return xp.concat([xp.reshape(part, (-1,)) for part in parts])


def _split(xp: Any, vector: Any, leaves: list[Any]) -> list[Any]:
    parts, at = [], 0
    for leaf in leaves:
        size = math.prod(leaf.shape)
        parts.append(xp.reshape(vector[at : at + size], leaf.shape))
        at += size
    return parts


def _shapes(tree: Any) -> str:
    result = [tuple(getattr(leaf, "shape", ())) for leaf in tree_leaves(tree)]
    return f"{type(tree).__name__} of {', '.join(map(str, result)) or 'nothing'}"
