"""Clipping a gradient, by the norm of all of it or entry by entry."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars.backends import procedure, rate, tree_flatten, tree_unflatten
from pillars.calculus._norms import scale_and_root, wide
from pillars.calculus._parameters import backend_of_parameters, check_leaves, number_on, rate_dtype

__all__ = ["Clipped", "clip_by_global_norm", "clip_by_value"]


class Clipped(NamedTuple):
    """The gradient within its bound, and the norm that it had before, 0-d."""

    grads: Any
    norm: Any


@procedure()
def clip_by_global_norm(grads: Any, max_norm: Any) -> Clipped:
    r"""Scale a gradient down to a norm, if its own is larger: by one factor, so that it keeps its direction.

    g·min(1, max_norm/‖g‖), with ‖g‖ the 2-norm of all entries of all leaves.

    Parameters
    ----------
    grads : a floating array, or a tree of them (dict, list, tuple, NamedTuple).
    max_norm : above 0, infinity for no bound; may be traced.

    Returns
    -------
    Clipped(grads, norm)
        grads like what came in: structure, shapes, dtypes, library, device; bit for bit where the norm is at most
        `max_norm`. norm is the one before, 0-d, of the leaves' widest dtype and float32 at least.

    Raises
    ------
    ShapeError : a bound that is 0, negative or NaN; no leaves.
    DTypeError : leaves that are no floating arrays, naming the leaf; a bound that is no number.
    BackendError : arrays of two libraries.

    Notes
    -----
    Reads the gradient twice and writes it once. Squares neither overflow nor underflow, and a finite gradient whose
    norm does (entries near the largest number there is) is scaled all the same: its `norm` is infinite then, its
    entries are not. A gradient with an entry that is NaN or infinite has no direction to keep: it comes back as it is,
    its `norm` is NaN or infinite, and what to do is the caller's to say; :func:`gradient_descent` stops there.
    torch divides by ‖g‖ + 1e-6, which clips a little lower.

    References
    ----------
    Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural networks, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> clip_by_global_norm({"w": np.asarray([3.0, 0.0]), "b": np.asarray([-4.0])}, 1.0)
    Clipped(grads={'b': array([-0.8]), 'w': array([0.6, 0. ])}, norm=array(5.))
    """
    where = "clip_by_global_norm"
    backend = backend_of_parameters(where, grads, ())
    check_leaves(where, grads, "grads")
    leaves, treedef = tree_flatten(grads)
    xp, dtype = backend.xp, rate_dtype(backend.xp, leaves)
    bound = number_on(
        backend, rate(where, max_norm, "max_norm", finite=False), dtype, backend.device_beside(leaves[0])
    )
    with backend.quiet():
        scale, root = scale_and_root(xp, leaves, dtype)
        norm = scale * root
        over = (norm > bound) & xp.isfinite(root)
        # in two parts: the norm itself may be beyond the dtype, and its reciprocal too small for it
        share = bound / xp.where(over, root, xp.ones_like(root))
        made = []
        for g in leaves:
            scaled = xp.astype(wide(xp, g), dtype, copy=False) / scale * share
            made.append(xp.where(over, xp.astype(scaled, g.dtype), g))
    return Clipped(tree_unflatten(treedef, [backend.as_arrays(g) for g in made]), backend.as_arrays(norm))


@procedure()
def clip_by_value(grads: Any, limit: Any) -> Clipped:
    r"""Bring every entry of a gradient into [−limit, limit]: entry by entry, so that its direction may change.

    Parameters
    ----------
    grads : a floating array, or a tree of them (dict, list, tuple, NamedTuple, dataclass).
    limit : above 0, infinity for no bound; may be traced. Rounded to each leaf's dtype.

    Returns
    -------
    Clipped(grads, norm)
        grads like what came in: structure, shapes, dtypes, library, device; entries within the limit bit for bit. norm
        is the 2-norm of all entries of all leaves before, 0-d, of the leaves' widest dtype and float32 at least.

    Raises
    ------
    ShapeError : a limit that is 0, negative or NaN; no leaves.
    DTypeError : leaves that are no floating arrays, naming the leaf; a limit that is no number.
    BackendError : arrays of two libraries.

    Notes
    -----
    Reads the gradient twice and writes it once. As with :func:`clip_by_global_norm`, a gradient with an entry that is
    NaN or infinite comes back as it is, and its `norm` says so: a finite number in the place of an infinite one would
    hide that the step has no direction. torch's ``clip_grad_value_`` and optax's ``clip`` make infinite entries the
    limit.

    References
    ----------
    Pascanu, Mikolov, Bengio (2013), On the difficulty of training recurrent neural networks, section 3.2, which
    compares both.

    Examples
    --------
    >>> import numpy as np
    >>> clip_by_value({"w": np.asarray([3.0, 0.5]), "b": np.asarray([-4.0])}, 1.0)
    Clipped(grads={'b': array([-1.]), 'w': array([1. , 0.5])}, norm=array(5.02493781))
    """
    where = "clip_by_value"
    backend = backend_of_parameters(where, grads, ())
    check_leaves(where, grads, "grads")
    leaves, treedef = tree_flatten(grads)
    xp, dtype = backend.xp, rate_dtype(backend.xp, leaves)
    bound = number_on(backend, rate(where, limit, "limit", finite=False), dtype, backend.device_of(leaves[0]))
    with backend.quiet():
        scale, root = scale_and_root(xp, leaves, dtype)
        sound = xp.isfinite(root)
        made = [xp.where(sound, within_bound(xp, g, xp.astype(bound, g.dtype)), g) for g in leaves]
        norm = scale * root
    return Clipped(tree_unflatten(treedef, [backend.as_arrays(g) for g in made]), backend.as_arrays(norm))


def within_bound(xp: Any, g: Any, bound: Any) -> Any:
    """The entries of `g` in [−bound, bound]."""
    return xp.minimum(xp.maximum(g, -bound), bound)
