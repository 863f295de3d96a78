"""Clipping a gradient by the norm of all of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars.backends import procedure, tree_flatten, tree_unflatten
from pillars.calculus._norms import scale_and_root, wide
from pillars.calculus._numbers import rate
from pillars.calculus._parameters import check_leaves, home_of, number_on, rate_dtype

__all__ = ["Clipped", "clip_by_global_norm"]


class Clipped(NamedTuple):
    """The gradient, its norm no larger than what was asked; and the norm that it had, 0-d."""

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
    home = home_of(where, grads, ())
    check_leaves(where, grads, "grads")
    leaves, treedef = tree_flatten(grads)
    xp, dtype = home.xp, rate_dtype(home.xp, leaves)
    bound = number_on(
        home, rate(where, max_norm, "max_norm", finite=False), dtype, home.device_beside(leaves[0])
    )
    with home.quiet():
        scale, root = scale_and_root(xp, leaves, dtype)
        norm = scale * root
        over = (norm > bound) & xp.isfinite(root)
        # in two parts: the norm itself may be beyond the dtype, and its reciprocal too small for it
        share = bound / xp.where(over, root, xp.ones_like(root))
        made = []
        for g in leaves:
            scaled = xp.astype(wide(xp, g), dtype, copy=False) / scale * share
            made.append(xp.where(over, xp.astype(scaled, g.dtype), g))
    return Clipped(tree_unflatten(treedef, [home.as_arrays(g) for g in made]), home.as_arrays(norm))
