"""Mean and covariance as a mergeable state."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

from pillars._errors import DTypeError, ShapeError, shown
from pillars._typing import Array
from pillars.backends import (
    Call,
    Draw,
    backend,
    common_backend,
    dtype_kind,
    dtype_name,
    host_number,
    namespace,
    operation,
    procedure,
)
from pillars.reduce._fold import Reducer

__all__ = ["Moments", "MomentsSummary", "chunk_moments", "finish_moments", "merge_moments", "moments"]


class Moments(NamedTuple):
    """What the rows so far amount to.

    Attributes
    ----------
    n : array (), floating. The number of rows. In float32 beyond 2²⁴ it is rounded, by 6e-8 of it a merge at most.
    mean : array (d,).
    m2 : array (d, d). Sum over rows of (x − mean)(x − mean)ᵀ.
    """

    n: Any
    mean: Any
    m2: Any


class MomentsSummary(NamedTuple):
    """What a `Moments` state says of the data.

    Attributes
    ----------
    n : array (). The number of rows.
    mean : array (d,).
    variance : array (d,). The diagonal of the covariance.
    covariance : array (d, d).
    """

    n: Any
    mean: Any
    variance: Any
    covariance: Any


def _rows(draw: Draw) -> Call:
    return Call.of(draw.normal(*draw.shape(2)))


@operation(domain=_rows, half="native")
def block_moments(x: Array, /) -> tuple[Any, Any, Any]:
    """n, mean and m2 of the rows of x: two passes, the mean corrected for its rounding."""
    xp = namespace(x)
    name = dtype_name(x.dtype)
    wide = xp.float64 if backend(x).host else x.dtype if name in ("float32", "float64") else xp.float32
    x = xp.astype(x, wide)
    n = max(x.shape[0], 1)
    mean = xp.sum(x, axis=0) / n
    # Corrected for its rounding: of a constant column it is the constant then, to the bit, and what is left is 0.
    mean = _corrected(xp, mean, xp.sum(x - mean, axis=0) / n)
    z = x - mean
    rest = xp.sum(z, axis=0) / n
    # Centred twice, so that no product is subtracted from another: no variance is negative.
    z = z - rest
    return xp.full_like(xp.sum(mean), x.shape[0]), _corrected(xp, mean, rest), xp.matmul(z.T, z)


def _corrected(xp: Any, mean: Any, rest: Any) -> Any:
    """The mean of an infinite column stays as it is: what is left of it is NaN."""
    return xp.where(xp.isfinite(rest), mean + rest, mean)


@block_moments.check
def _(x: Any, /) -> None:
    if len(x.shape) != 2:
        raise ShapeError(
            f"chunk_moments: x has shape {tuple(x.shape)}, expected (n, d): rows of d numbers. "
            "Use x[:, None] for one column."
        )


@procedure(domain=_rows)
def chunk_moments(x: Any) -> Moments:
    """The moments of one block of rows.

    Parameters
    ----------
    x : array (n, d), real; n may be 0.

    Returns
    -------
    Moments(n, mean (d,), m2 (d, d)): in float64 on NumPy, for float32 rows too; elsewhere in the dtype of x, half
    precision in float32. Without rows it is all zeros, which `merge_moments` leaves out.

    Raises
    ------
    ShapeError : x is not of two axes.

    Notes
    -----
    Several times over the block, so it should fit the cache: the mean, corrected for its rounding, then the products
    of what is left when it is taken away, and what that leaves of a mean too. The relative error of a variance is then
    some n·eps even where the mean is 1/√eps standard deviations from 0, where the difference of E[x²] and E[x]² has no
    digit left; no variance is negative, and that of a constant column is 0. O(n·d²) time, two copies of the block. NaN
    or an infinity in a column: its mean as usual, its products NaN.

    References
    ----------
    Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, eq. (1.7).

    Examples
    --------
    >>> import numpy as np
    >>> chunk_moments(np.array([[1.0], [3.0]]))
    Moments(n=array(2.), mean=array([2.]), m2=array([[2.]]))
    """
    return Moments(*block_moments(x))


def _check_state(where: str, name: str, state: Any) -> None:
    if not isinstance(state, Moments):
        raise DTypeError(
            f"{where}: {name} is a {type(state).__name__}, expected a Moments state. Make one with chunk_moments(rows)."
        )


def _number(where: str, ddof: Any) -> Any:
    number = host_number(ddof)
    # one number on a device, or traced, will do as well
    array = getattr(ddof, "shape", None) == () and dtype_kind(ddof.dtype) in ("float", "half", "integer")
    if number is None and not array:
        raise DTypeError(f"{where}: ddof is {shown(ddof)}, expected a number such as 1 or 0.")
    return ddof if number is None else number


@procedure()
def merge_moments(a: Moments, b: Moments) -> Moments:
    """The moments of the rows of `a` and `b` together.

    n = nₐ + n_b, mean = meanₐ + δ·n_b/n, m2 = m2ₐ + m2_b + δδᵀ·nₐ·n_b/n, with δ = mean_b − meanₐ.

    Parameters
    ----------
    a, b : Moments of as many columns, in one library, device and dtype. One without rows changes nothing, to the bit.

    Returns
    -------
    Moments, like a.

    Raises
    ------
    ShapeError : different numbers of columns. DTypeError : what is no Moments. BackendError : states of two libraries.

    Notes
    -----
    Associative and commutative but for rounding, which is that of the means: eps·|mean|/deviation, relatively. O(d²).

    References
    ----------
    Chan, Golub, LeVeque (1982), Updating formulae and a pairwise algorithm for computing sample variances, eq. (2.1).

    Examples
    --------
    >>> import numpy as np
    >>> merge_moments(chunk_moments(np.array([[1.0]])), chunk_moments(np.array([[3.0], [5.0]])))
    Moments(n=array(3.), mean=array([3.]), m2=array([[8.]]))
    """
    _check_state("merge_moments", "a", a)
    _check_state("merge_moments", "b", b)
    if a.mean.shape != b.mean.shape:
        raise ShapeError(
            f"merge_moments: got states of {a.mean.shape[-1]} and {b.mean.shape[-1]} columns, expected as many. "
            "Blocks must have the same columns."
        )
    owner = common_backend("merge_moments", a=a.mean, b=b.mean)
    # a state from the host inside somebody's trace is a constant there
    a, b = (s if backend(s.mean).name == owner.name else Moments(*map(owner.asarray, s)) for s in (a, b))
    xp = namespace(a.mean, b.mean)
    with owner.quiet():
        n = a.n + b.n
        weight = b.n / xp.where(n > 0, n, xp.ones_like(n))
        delta = b.mean - a.mean
        # An infinite mean stays one: inf − inf would make it NaN.
        mean = xp.where(xp.isfinite(delta), a.mean + delta * weight, a.mean + b.mean)
        m2 = a.m2 + b.m2 + delta[:, None] * delta[None, :] * (a.n * weight)
        return Moments(*owner.as_arrays((n, mean, m2)))


@procedure()
def finish_moments(state: Moments, *, ddof: float = 1) -> MomentsSummary:
    """Mean, variance and covariance of a state.

    Parameters
    ----------
    state : Moments.
    ddof : the divisor is n − ddof: 1 estimates a population's covariance without bias, 0 is that of these rows.

    Returns
    -------
    MomentsSummary(n, mean, variance, covariance), in the state's library, device and dtype. With n <= ddof variance
    and covariance are NaN; without rows the mean is too.

    Raises
    ------
    DTypeError : `state` is no Moments, or `ddof` no number.

    Notes
    -----
    It divides d² sums: the data is not read again.

    References
    ----------
    Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance.

    Examples
    --------
    >>> import numpy as np
    >>> finish_moments(chunk_moments(np.array([[1.0], [3.0]]))).covariance
    array([[2.]])
    """
    _check_state("finish_moments", "state", state)
    ddof = _number("finish_moments", ddof)
    xp = namespace(state.mean)
    owner = backend(state.mean)
    nan = xp.full_like(state.n, math.nan)
    covariance = state.m2 / xp.where(state.n > ddof, state.n - ddof, nan)
    mean = xp.where(state.n > 0, state.mean, nan)
    summary = (state.n, mean, xp.linalg.diagonal(covariance), covariance)
    return MomentsSummary(*owner.as_arrays(summary))


@procedure()
def moments(*, ddof: float = 1) -> Reducer[Any, Moments, MomentsSummary]:
    """The reducer of mean and covariance: ``fold(moments(), row_blocks(x))``.

    Parameters
    ----------
    ddof : as in `finish_moments`.

    Returns
    -------
    Reducer of blocks (n, d) into a MomentsSummary.

    Raises
    ------
    DTypeError : `ddof` is no number, before any data is read.

    Notes
    -----
    One pass over the data, nd² multiplications and additions as one product a block, and memory for d² sums and one
    block, whatever n. Deviations are taken from each block's own mean, so that a large common offset costs no digits.

    References
    ----------
    Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance.

    Examples
    --------
    >>> import numpy as np
    >>> from pillars.reduce import fold, row_blocks
    >>> fold(moments(ddof=0), row_blocks(np.array([[1.0, 2.0], [3.0, 6.0]]), 1)).covariance
    array([[1., 2.],
           [2., 4.]])
    """
    return Reducer(chunk_moments, merge_moments, partial(finish_moments, ddof=_number("moments", ddof)))
