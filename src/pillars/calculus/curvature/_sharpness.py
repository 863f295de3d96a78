"""Products with a loss's Hessian, and its largest eigenvalue."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from pillars._errors import ShapeError
from pillars.backends import Backend, procedure, refuse_traced, tree_leaves, tree_map
from pillars.calculus._parameters import backend_of_parameters, start, with_data
from pillars.calculus.autodiff import hvp
from pillars.linalg import Lanczos, lanczos

__all__ = ["Sharpness", "Subject", "sharpness", "subject", "top"]

_MOST = 300  # products: what has not converged then says so by its residual
_TOLERANCE = {"float32": 1e-4, "float64": 1e-7}  # of the residual; the eigenvalue is off by about its square

Tree = Any


class Sharpness(NamedTuple):
    """The largest eigenvalue of a loss's Hessian.

    Attributes
    ----------
    value : float; negative where the loss curves downwards in every direction.
    residual : ‖H·v − λ·v‖ for the unit vector v that belongs to it: an eigenvalue lies within it.
    """

    value: float
    residual: float

    def __str__(self) -> str:
        return f"largest eigenvalue of the Hessian {self.value:.6g} ± {self.residual:.1e}"


class Subject(NamedTuple):
    """A loss at a point: everything that a verdict on it asks for."""

    backend: Backend
    params: Tree
    value: Callable[[Tree], Any]  # the loss, at any parameters
    gradient: Callable[[Tree], Tree]  # at any parameters
    product: Callable[[Tree, Tree], Tree]  # (parameters, v) -> H·v


def subject(where: str, loss: Callable[..., Any], params: Any, data: tuple[Any, ...]) -> Subject:
    """The loss on its data, its gradient and Hessian products, compiled where the library compiles."""
    backend = backend_of_parameters(where, params, data)
    params = start(where, params, data, backend)
    data = with_data(where, params, data, backend)
    refuse_traced(where, tree_leaves((params, data)))
    if not sizes(params):
        raise ShapeError(f"{where}: params has no entries, expected at least one number to move.")

    # the data are arguments, not captured: there every library's arrays work beside traced ones
    def value(p: Tree, *data: Any) -> Any:
        with backend.explaining():
            return loss(p, *data)

    slope = backend.grad(value)
    return Subject(
        backend,
        params,
        backend.jit(lambda p: value(p, *data)),
        backend.jit(lambda p: slope(p, *data)),
        _product(backend, value, data),
    )


def sizes(tree: Tree) -> int:
    """How many numbers there are in all leaves."""
    return sum(math.prod(leaf.shape) for leaf in tree_leaves(tree))


def _product(
    backend: Backend, value: Callable[..., Any], data: tuple[Any, ...]
) -> Callable[[Tree, Tree], Tree]:
    compiled = backend.jit(lambda p, v: hvp(value, p, v, *data))
    # arithmetic on 0-d arrays leaves scalars on NumPy
    return lambda p, v: backend.as_arrays(compiled(backend.as_arrays(p), backend.as_arrays(v)))


def top(
    given: Subject, scale: Tree = None, *, params: Tree = None, rng: Any = 0, tolerance: float | None = None
) -> Lanczos:
    """Ritz pairs of S·H·S, S the diagonal `scale` (None: 1), until the largest is known."""
    at = given.params if params is None else params

    def matvec(v: Tree) -> Tree:
        if scale is None:
            return given.product(at, v)
        return tree_map(lambda s, w: s * w, scale, given.product(at, tree_map(lambda s, w: s * w, scale, v)))

    leaves, n = tree_leaves(at), sizes(at)
    close = _TOLERANCE.get(str(leaves[0].dtype), 1e-4) if tolerance is None else tolerance
    return lanczos(matvec, at, steps=min(n, _MOST), rng=rng, tolerance=close)


@procedure(
    unsupported=dict.fromkeys(
        ("jit", "vmap", "grad"), "it ends by the numbers it meets: call it outside jit, vmap and grad"
    )
)
def sharpness(loss: Callable[..., Any], params: Any, *data: Any, rng: Any = 0) -> Sharpness:
    r"""The largest eigenvalue of a loss's Hessian, by Hessian products and Lanczos' method.

    Parameters
    ----------
    loss : ``loss(params, *data) -> 0-d``, twice differentiable at `params`.
    params : floating array, float, or tree of them: n numbers in all.
    data : arrays and trees of arrays, handed to `loss` as they are.
    rng : int, key, NumPy Generator or None: Lanczos' start.

    Returns
    -------
    Sharpness(value, residual), floats.

    Raises
    ------
    As :func:`gradient_descent` for what the loss and the parameters must be. CapabilityError : inside jit, vmap or
    grad, or a loss that cannot be differentiated twice.

    Notes
    -----
    Cost: at most min(n, 300) Hessian products, some tens for most losses, each about two gradients; memory as many
    vectors of n. On plain gradient descent the loss falls steadily only while the learning rate is below 2/λ: see
    :func:`stable_learning_rate`.

    References
    ----------
    Cohen, Kaur, Li, Kolter, Talwalkar (2021), Gradient descent on neural networks typically occurs at the edge of
    stability. Pearlmutter (1994), Fast exact multiplication by the Hessian.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.asarray([1.0, 2.0, 3.0, 4.0, 5.0]), np.asarray([2.1, 3.9, 6.2, 7.8, 10.1])
    >>> found = sharpness(lambda w, x, y: np.mean((w * x - y) ** 2), 0.0, x, y)
    >>> round(found.value, 9)
    22.0
    >>> print(found)
    largest eigenvalue of the Hessian 22 ± ...
    """
    given = subject("sharpness", loss, params, data)
    result = top(given, rng=rng)
    if not math.isfinite(float(given.value(given.params))):  # whose derivatives may be finite
        return Sharpness(math.nan, math.nan)
    return Sharpness(float(result.eigenvalues[-1]), float(result.residuals[-1]))
