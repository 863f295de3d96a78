"""Principal components: by the covariance, by the full decomposition, or by random projection."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import Call, Draw, averaged, backend, namespace, procedure, single_threaded_blas, summed
from pillars.linalg._covariance import mean_covariance
from pillars.linalg._eigh import leading_eigh
from pillars.linalg._inputs import finite_rows, large_enough, matrix, rank, widened
from pillars.linalg._projection import inverse_transform, transform
from pillars.linalg._svd import leading_right, leading_svd
from pillars.reduce import row_blocks

__all__ = ["PrincipalComponents", "pca"]

_SOLVERS = ("auto", "covariance", "full", "randomized")
_SMALL = 1000  # columns


class PrincipalComponents(NamedTuple):
    """The directions in which rows vary most, and by how much.

    Attributes
    ----------
    mean : (d,).
    components : (k, d), orthonormal rows, by falling variance; in each the largest |loading| is positive.
    explained_variance : (k,), with divisor n − 1.
    explained_variance_ratio : (k,), of the variance of all d columns; NaN where no column varies.
    singular_values : (k,), of the centred rows.
    scale : (k,), what `transform` multiplies scores by: ones, or 1/√explained_variance after ``whiten=True``.
    """

    mean: Any
    components: Any
    explained_variance: Any
    explained_variance_ratio: Any
    singular_values: Any
    scale: Any

    def __repr__(self) -> str:
        """One line: the components of wide rows would fill the screen."""
        try:
            k, d = self.components.shape
            shares = ", ".join(f"{float(share):.3g}" for share in self.explained_variance_ratio[:5])
        except (AttributeError, TypeError, ValueError):  # traced, or mapped
            return f"PrincipalComponents(components of shape {getattr(self.components, 'shape', ())})"
        return (
            f"PrincipalComponents({k} of {d} columns, explained_variance_ratio: {shares}{', ...' * (k > 5)})"
        )

    def transform(self, x: Any) -> Any:
        """Scores (..., n, k) of rows (..., n, d): their coordinates along the components."""
        return transform(x, self.mean, self.components, self.scale)

    def inverse_transform(self, scores: Any) -> Any:
        """Rows (..., n, d) that have these scores (..., n, k) and nothing beside the components."""
        return inverse_transform(scores, self.mean, self.components, self.scale)


def _rows(draw: Draw) -> Call:
    x = draw.normal(9, 4) * (1.0, 2.0, 3.0, 4.0)
    return Call.of(
        x, n_components=2, solver=draw.choice(("covariance", "full")), whiten=draw.choice((True, False))
    )


@procedure(domain=_rows)
def pca(
    x: Any, n_components: int | None = None, *, solver: str = "auto", whiten: bool = False, rng: Any = 0
) -> PrincipalComponents:
    """Principal component analysis: orthogonal directions of largest variance.

    Parameters
    ----------
    x : (n, d), n of at least 2: rows are samples. They are centred, not scaled: standardise columns of different units.
    n_components : k in 1 ... min(n, d); None: min(n, d).
    solver : "covariance": eigenvalues of the (d, d) covariance, by blocks of rows. "full": singular values of the
        centred rows. "randomized": leading singular values by random projection. "auto": by the shape alone,
        covariance where d <= 1000 and n >= 10·d, else randomized where min(n, d) > 1000 and k <= min(n, d)/10, else
        full.
    whiten : whether `transform` gives scores of variance 1. A component without variance, up to rounding, gives scores
        of 0.
    rng : int, key, NumPy Generator or None; for "randomized" alone.

    Returns
    -------
    PrincipalComponents(mean, components, explained_variance, explained_variance_ratio, singular_values, scale), in x's
    library, device and dtype. Half precision is computed in float32 and rounded once: a variance above 65,504 is inf in
    float16, and cast to float32 first it is not.

    Raises
    ------
    ShapeError : x is not (n, d), has one row, or (on a host) has rows that are not finite: they are named, as are
        numbers whose squares are too large or too small to be held (a device gives NaN); k outside its range; no such
        solver.
        DTypeError : no real numbers; k no integer; whiten no bool.

    Notes
    -----
    Cost: covariance n·d² + 10·d³, memory a few blocks and (d, d); full n·d·min(n, d), and a copy of x; randomized
    O(n·d·k). The covariance squares the condition: a variance below eps·d of the largest is rounding, where "full" has
    twice the digits; "randomized" as :func:`randomized_svd`, twice its relative error in a variance; on a host float32
    rows are added up in float64. Equal variances define a subspace and any basis of it may come back. Runs under jit,
    vmap and grad on JAX ("auto" needs the shape alone); gradients of covariance and full are hand-derived, and NaN
    where a component that is used belongs to a variance that is repeated (or is 0 and rows leave several directions
    without any): its direction is any of a plane. On JAX all k components count as used: ask for no more than vary.

    References
    ----------
    Jolliffe (2002), Principal Component Analysis, 2nd edition, chapters 1 and 3. Halko, Martinsson, Tropp (2011),
    Finding structure with randomness.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> found = pca(x, 1)
    >>> found.components, found.explained_variance_ratio
    (array([[0.6, 0.8]]), array([1.]))
    >>> np.allclose(found.inverse_transform(found.transform(x)), x)
    True
    """
    x = matrix("pca", x)
    n, d = x.shape
    if n < 2:
        raise ShapeError("pca: x has one row, expected at least 2: one row has no variance.")
    k = min(n, d) if n_components is None else rank("pca", "n_components", n_components, x.shape)
    if not isinstance(whiten, bool):
        raise DTypeError(f"pca: whiten is {shown(whiten)}, expected True or False.")
    if not isinstance(solver, str) or solver not in _SOLVERS:
        raise ShapeError(f"pca: solver is {shown(solver)}, expected one of {', '.join(map(repr, _SOLVERS))}.")
    solver = _by_shape(n, d, k) if solver == "auto" else solver
    home = backend(x)
    with home.quiet():
        wide = widened(x)
        mean, components, variances, total = _solve(wide, k, solver, rng)
        finite_rows("pca", x, _cast(variances, wide.dtype), _cast(total, wide.dtype))
        large_enough("pca", x, total)
        xp = namespace(variances)
        variances = xp.where(variances < 0, xp.zeros_like(variances), variances)
        scale = xp.ones_like(variances)
        if whiten:
            eps = float(xp.finfo(wide.dtype).eps)
            noise = eps * d if solver == "covariance" else (10.0 * eps) ** 2 * max(n, d)
            flat = variances <= noise * xp.max(variances, axis=-1)
            scale = xp.where(flat, xp.zeros_like(scale), 1.0 / xp.sqrt(xp.where(flat, scale, variances)))
        parts = (mean, components, variances, variances / total, xp.sqrt(variances * (n - 1)), scale)
        return PrincipalComponents(*(home.as_arrays(_cast(part, x.dtype)) for part in parts))


def _cast(part: Any, dtype: Any) -> Any:
    return part if part.dtype == dtype else namespace(part).astype(part, dtype)


def _by_shape(n: int, d: int, k: int) -> str:
    if d <= _SMALL and n >= 10 * d:
        return "covariance"
    return "randomized" if min(n, d) > 1000 and 10 * k <= min(n, d) else "full"


def _solve(x: Any, k: int, solver: str, rng: Any) -> tuple[Any, Any, Any, Any]:
    """Mean, components, their variances, and the variance of all columns."""
    n = x.shape[0]
    if solver == "covariance":
        mean, covariance = mean_covariance(x)
        finite_rows("pca", x, covariance)
        # the same bits on any number of threads; and BLAS threads that spin on would slow the next call's blocks; on a
        # CPU the limit must hold until LAPACK is done, which may be after eigh returned
        with single_threaded_blas() if x.shape[1] <= _SMALL else nullcontext():
            values, vectors = leading_eigh(covariance, k=k)
            home = backend(values)
            if getattr(home.device_of(values), "platform", None) == "cpu":
                home.synchronize(values)
        xp = namespace(values)
        components = xp.matrix_transpose(xp.flip(vectors, axis=-1))[:k, :]
        return mean, components, xp.flip(values, axis=-1)[:k], xp.sum(xp.linalg.diagonal(covariance), axis=-1)
    mean = _mean(x)
    if solver == "full":
        z = x - mean
        rest = averaged(z, 0)  # what the mean was rounded by: its square would be added to every variance
        mean, z = mean + rest, z - rest
        s, vh = leading_right(z, k=k)
        squares = _long(s) ** 2
        return mean, vh[:k, :], squares[:k] / (n - 1), namespace(s).sum(squares) / (n - 1)
    _, s, vh = leading_svd(x, mean, k, rng)
    return mean, vh, _long(s) ** 2 / (n - 1), _squares(x, mean) / (n - 1)


def _long(x: Any) -> Any:
    """On a host in float64, where the sums and squares of float32 neither overflow nor vanish."""
    return _cast(x, namespace(x).float64) if backend(x).host else x


def _mean(x: Any) -> Any:
    """The mean of the columns."""
    if not backend(x).host:
        return averaged(x, 0)
    return _cast(sum(_long(summed(block, 0)) for block in row_blocks(x)) / x.shape[0], x.dtype)


def _squares(x: Any, mean: Any) -> Any:
    """Σ (x − mean)², on a host without a copy of the rows."""
    xp = namespace(x)
    if not backend(x).host:
        return summed((x - mean) ** 2)
    return sum(xp.sum(_long(block - mean) ** 2) for block in row_blocks(x))
