"""From a data set to a training problem: held-out rows, standardised features, a step size with a proof."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars.backends import backend
from pillars.measure.data import DataError, Dataset
from pillars.random import key, permutation

__all__ = ["Problem", "prepare", "smoothness", "split"]

_LARGEST = 1e150


class Problem(NamedTuple):
    """A standardised classification problem in host memory.

    Attributes
    ----------
    x, y : (n, d) float32 and (n,) int64, the training rows; x_held_out, y_held_out: the others.
    constant : column numbers of `x` without variance.
    smoothness : L, an upper bound on the Hessian's largest eigenvalue at any parameters.
    """

    x: Any
    y: Any
    x_held_out: Any
    y_held_out: Any
    classes: int
    constant: tuple[int, ...]
    smoothness: float


def split(y: Any, *, held_out: float = 0.25, rng: int = 0) -> tuple[Any, Any]:
    """Row numbers for training and for testing, each class in proportion.

    Of a class with m rows, round(m · held_out) are held out and at least one is kept for training. The order comes from
    ``pillars.random``: the same rows on every machine.

    Returns
    -------
    (train, held_out): sorted int64 arrays that share no row.
    """
    xp = backend("numpy").xp
    n = y.shape[0]
    shuffled = permutation(key(rng, like=y), n)
    # a stable sort by class keeps the shuffled order within each class
    ordered = shuffled[xp.argsort(y[shuffled], kind="stable")]
    _, begins, sizes = xp.unique(y[ordered], return_index=True, return_counts=True)
    taken = xp.minimum(xp.round(sizes * held_out).astype(xp.int64), sizes - 1)
    rank = xp.arange(n) - xp.repeat(begins, sizes)
    chosen = rank < xp.repeat(taken, sizes)
    return xp.sort(ordered[~chosen]), xp.sort(ordered[chosen])


def prepare(data: Dataset, *, held_out: float = 0.25, rng: int = 0) -> Problem:
    """Hold rows out, and standardise all features by the training rows' mean and standard deviation (ddof 0).

    A feature that is constant on the training rows is centred and left unscaled: it is 0 there, so its weights stay 0.

    Raises
    ------
    DataError : too few rows to hold any out, or a column of numbers whose squares overflow.
    """
    xp = backend("numpy").xp
    train, test = split(data.y, held_out=held_out, rng=rng)
    if not test.shape[0]:
        raise DataError(
            f"prepare: got {data.y.shape[0]} rows of {len(data.classes)} classes in '{data.name}', expected "
            f"enough to hold {held_out:.0%} of a class out. Add rows."
        )
    wide = xp.flatnonzero(xp.max(xp.abs(data.x), axis=0) > _LARGEST)
    if wide.size:
        raise DataError(
            f"prepare: got numbers of {xp.max(xp.abs(data.x)):.3g} in column '{data.features[int(wide[0])]}' of "
            f"'{data.name}', expected at most {_LARGEST:g}: their squares overflow. Scale that column, or drop it."
        )
    mean = xp.mean(data.x[train], axis=0)
    deviation = xp.std(data.x[train], axis=0)
    # a constant column's deviation is rounding noise about its mean's size, not always 0
    constant = deviation <= 1e-12 * xp.maximum(xp.abs(mean), 1e-300)
    x = ((data.x - mean) / xp.where(constant, 1.0, deviation)).astype(xp.float32)
    x[:, constant] = xp.where(data.x[:, constant] == data.x[train[0], constant], 0, x[:, constant])
    return Problem(
        x=x[train],
        y=data.y[train],
        x_held_out=x[test],
        y_held_out=data.y[test],
        classes=len(data.classes),
        constant=tuple(int(i) for i in xp.flatnonzero(constant)),
        smoothness=smoothness(x[train]),
    )


def smoothness(x: Any) -> float:
    r"""An upper bound L on the curvature of the mean cross-entropy of softmax(x·W + b), at any W and b.

    The Hessian of one sample is (diag(p) − p·pᵀ) ⊗ z·zᵀ with z = (x, 1), and ‖diag(p) − p·pᵀ‖₂ ≤ 1/2, so
    L = λmax(ZᵀZ/n)/2. Gradient descent with a rate of 1/L then never increases the loss, whatever the data.

    Parameters
    ----------
    x : (n, d) array.

    Notes
    -----
    An eigenvalue problem of size min(n, d + 1) up to 1024; beyond that the row-sum norm of the Gram matrix, which is
    an upper bound too, for O(n·d·min(n, d)).

    References
    ----------
    Böhning (1992), Multinomial logistic regression algorithm, Ann. Inst. Stat. Math. 44, 197-200.
    """
    xp = backend("numpy").xp
    z = xp.concatenate([x, xp.ones((x.shape[0], 1), dtype=x.dtype)], axis=1).astype(xp.float64)
    gram = (z.T @ z if z.shape[1] <= z.shape[0] else z @ z.T) / z.shape[0]
    if gram.shape[0] <= 1024:
        return float(xp.linalg.eigvalsh(gram)[-1]) / 2
    return float(xp.max(xp.sum(xp.abs(gram), axis=1))) / 2
