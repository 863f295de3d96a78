"""Principal components: by the covariance, by the full decomposition, or by random projection."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any, NamedTuple

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import (
    Call,
    Draw,
    backend as backend_of,
    binary_scale,
    dtype_name,
    namespace,
    procedure,
    refuse_traced,
    single_threaded_blas,
)
from pillars.linalg._centred import Centred, centred, centred_mean
from pillars.linalg._components import PrincipalComponents, noise_variance
from pillars.linalg._covariance import mean_covariance
from pillars.linalg._eigh import leading_eigh
from pillars.linalg._inputs import Rows, finite_rows, large_enough, matrix
from pillars.linalg._number import checked_number, likeliest_number, number_of_share
from pillars.linalg._svd import leading_right, leading_svd
from pillars.reduce import fold, moments, row_blocks, threaded

__all__ = ["pca"]

_SOLVERS = ("auto", "covariance", "full", "randomized")
_SMALL = 1000  # columns
# The variances of float64 rows whose squares have all their digits.
_LEAST, _MOST = 2.0**-800, 2.0**900


def _rows(draw: Draw) -> Call:
    x = draw.normal(9, 4) * (1.0, 2.0, 3.0, 4.0)
    return Call.of(
        x, n_components=2, solver=draw.choice(("covariance", "full")), whiten=draw.choice((True, False))
    )


@procedure(domain=_rows)
def pca(
    x: Any,
    n_components: int | float | str | None = None,
    *,
    solver: str = "auto",
    whiten: bool = False,
    rng: Any = 0,
) -> PrincipalComponents:
    """Principal component analysis: orthogonal directions of largest variance.

    Parameters
    ----------
    x : (n, d), n of at least 2: rows are samples. They are centred, not scaled: standardise columns of different units.
        An array, a memory map, a list, or a data frame, whose columns count by position: their names are not kept, so
        `transform` expects the same order.
    n_components : k in 1 ... min(n, d); None: min(n, d). A share between 0 and 1, such as 0.95: as few as have more
        than this part of the variance. "mle": the likeliest number, 1 ... d − 1, after Minka; n of at least d.
    solver : "covariance": eigenvalues of the (d, d) covariance, by blocks of rows. "full": singular values of the
        centred rows. "randomized": leading singular values by random projection. "auto": by the shape alone,
        covariance where d <= 1000 and n >= 10·d, else randomized where min(n, d) > 1000 and k <= min(n, d)/10, else
        full.
    whiten : whether `transform` gives scores of variance 1. A component without variance, up to rounding, gives scores
        of 0.
    rng : int, key, NumPy Generator or None; for "randomized" alone.

    Returns
    -------
    PrincipalComponents(mean, components, explained_variance, explained_variance_ratio, singular_values, scale,
    noise_variance), in x's library, device and dtype, with the methods ``.transform(x)``,
    ``.inverse_transform(scores)``, ``.covariance()`` and ``.log_likelihood(x)``. ``components.shape[0]`` is the number
    of components kept. Half precision is computed in float32 and rounded once: a variance above 65,504 is inf in
    float16, and cast to float32 first it is not.

    Raises
    ------
    ShapeError : x is not (n, d), has one row, or (on a host) has rows that are not finite: they are named, as are
        numbers whose squares are too large or too small to be held (a device gives NaN); k outside its range; no such
        solver.
        A share or "mle" with "randomized", or where no column varies. DTypeError : no real numbers; k neither an
        integer nor a share; whiten no bool. CapabilityError : a share or "mle" under jit, vmap or grad, since the shape
        of what comes out depends on the numbers.

    Notes
    -----
    Cost: covariance n·d² + 10·d³, memory a few blocks and (d, d); full n·d·min(n, d), and a copy of x; randomized
    O(n·d·k), on a host without a copy. There integers and half precision are converted block by block, and a memory map
    is read so. Rows are centred before anything is multiplied, about a mean that is right to the last digit: a mean far
    from 0 costs what the numbers themselves have lost by it. Rows times a power of two have the same components to the
    last bit. The covariance squares the condition: a variance below eps·d of the largest is rounding, where "full" has
    twice the digits; "randomized" as :func:`randomized_svd`, twice its relative error in a variance; on a host float32
    rows are added up in float64. Equal variances define a subspace and any basis of it may come back. Runs under jit,
    vmap and grad on JAX ("auto" needs the shape alone); gradients of covariance and full are hand-derived, and NaN
    where a component that is used belongs to a variance that is repeated (or is 0 and rows leave several directions
    without any): its direction is any of a plane. On JAX all k components count as used: ask for no more than vary.

    References
    ----------
    Jolliffe (2002), Principal Component Analysis, 2nd edition, chapters 1 and 3. Halko, Martinsson, Tropp (2011),
    Finding structure with randomness. Minka (2000), Automatic choice of dimensionality for PCA.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> found = pca(x, 1)
    >>> found.components, found.explained_variance_ratio
    (array([[0.6, 0.8]]), array([1.]))
    >>> pca(x, 0.95).components.shape
    (1, 2)
    >>> np.allclose(found.inverse_transform(found.transform(x)), x)
    True
    """
    rows = matrix("pca", x)
    n, d = rows.x.shape
    if n < 2:
        raise ShapeError("pca: x has one row, expected at least 2: one row has no variance.")
    if not isinstance(whiten, bool):
        raise DTypeError(f"pca: whiten is {shown(whiten)}, expected True or False.")
    if not isinstance(solver, str) or solver not in _SOLVERS:
        raise ShapeError(f"pca: solver is {shown(solver)}, expected one of {', '.join(map(repr, _SOLVERS))}.")
    wanted = checked_number(n_components, rows.x.shape, solver)
    if not isinstance(wanted, int):
        refuse_traced(f"pca with n_components={wanted!r}", [rows.x])
    if solver == "auto":
        solver = _by_shape(n, d, wanted if isinstance(wanted, int) else min(n, d))
    backend = backend_of(rows.x)
    with backend.quiet():
        spectrum = _solve(rows, wanted if isinstance(wanted, int) else min(n, d), solver, rng)
        xp = namespace(spectrum.variances)
        all_variances = xp.where(
            spectrum.variances < 0, xp.zeros_like(spectrum.variances), spectrum.variances
        )
        unit = 1.0 / spectrum.scale
        finite_rows(
            "pca",
            rows,
            _cast(all_variances * unit * unit, rows.dtype),
            _cast(spectrum.total * unit * unit, rows.dtype),
        )
        large_enough("pca", rows, spectrum.total * unit * unit)
        k = wanted if isinstance(wanted, int) else _number(all_variances, wanted, rows)
        variances, components = all_variances[:k], spectrum.components[:k, :]
        scale = xp.ones_like(variances)
        if whiten:
            eps = float(xp.finfo(rows.dtype).eps)
            noise = eps * d if solver == "covariance" else (10.0 * eps) ** 2 * max(n, d)
            flat = variances <= noise * xp.max(variances, axis=-1)
            scale = xp.where(
                flat, xp.zeros_like(scale), spectrum.scale / xp.sqrt(xp.where(flat, scale, variances))
            )
        parts = PrincipalComponents(
            mean=spectrum.mean,
            components=components,
            explained_variance=variances * unit * unit,
            explained_variance_ratio=variances / spectrum.total,
            singular_values=xp.sqrt(variances * (n - 1)) * unit,
            scale=scale,
            noise_variance=noise_variance(all_variances, spectrum.total, k, min(n, d)) * unit * unit,
        )
        return PrincipalComponents(*(backend.as_arrays(rows.narrowed(part)) for part in parts))


def _number(variances: Any, wanted: float | str, rows: Rows) -> int:
    """The host decides: how many components a share of the variance takes, or how many are the likeliest."""
    backend = backend_of(variances)
    numbers = [float(value) for value in backend.to_numpy(variances)]
    if not all(map(math.isfinite, numbers)):
        raise ShapeError(
            f"pca: n_components is {wanted!r} and the variances of x are not finite, expected numbers whose squares "
            f"{dtype_name(rows.dtype)} holds. Drop rows that are not finite, or scale them, or say a number."
        )
    eps = float(backend.xp.finfo(rows.dtype).eps)
    if isinstance(wanted, str):
        return likeliest_number(numbers, rows.x.shape[0], eps)
    return number_of_share(numbers, wanted, eps)


def _cast(part: Any, dtype: Any) -> Any:
    return part if part.dtype == dtype else namespace(part).astype(part, dtype)


def _by_shape(n: int, d: int, k: int) -> str:
    if d <= _SMALL and n >= 10 * d:
        return "covariance"
    return "randomized" if min(n, d) > 1000 and 10 * k <= min(n, d) else "full"


class _Spectrum(NamedTuple):
    """The mean; the components of scale·(x − mean), their variances, and the variance of all columns."""

    mean: Any
    components: Any
    variances: Any
    total: Any
    scale: Any


def _solve(rows: Rows, k: int, solver: str, rng: Any) -> _Spectrum:
    """The leading k components, and all variances that there are; of "randomized" k."""
    if solver == "covariance":
        return _by_covariance(rows, k)
    x = rows.x
    n = x.shape[0]
    mean, rest = centred_mean(x, rows.dtype)
    if solver == "full":
        z, scale = centred(x, mean, rest)
        s, vh = leading_right(z, k=k)
        scale = _long(scale)
        squares = _long(s) ** 2
        return _Spectrum(mean + rest, vh, squares / (n - 1), namespace(s).sum(squares) / (n - 1), scale)
    squares, scale = (_squares if backend_of(x).host else backend_of(x).jit(_squares))(x, mean, rest)
    total, scale = squares / (n - 1), _long(scale)
    _, s, vh = leading_svd(x, mean, rest, k, rng)
    return _Spectrum(mean + rest, vh, (_long(s) * scale) ** 2 / (n - 1), total, scale)


def _squares(x: Any, mean: Any, rest: Any) -> tuple[Any, Any]:
    """Σ z² of the centred rows, scaled, and the scale."""
    z = Centred.of(x, mean, rest)
    return z.squares(), z.scale


def _by_covariance(rows: Rows, k: int) -> _Spectrum:
    """The scale is 1 on a host where the squares are neither too large nor too small without one: it costs a pass."""
    x = rows.x
    xp, host = namespace(x), backend_of(x).host
    scale = None if host else binary_scale(x)
    mean, covariance = _moments(rows, scale)
    total = xp.sum(xp.linalg.diagonal(covariance), axis=-1)
    if host and dtype_name(x.dtype) == "float64" and not bool((total > _LEAST) & (total < _MOST)):
        scale = binary_scale(x)
        mean, covariance = _moments(rows, scale)
        total = xp.sum(xp.linalg.diagonal(covariance), axis=-1)
    finite_rows("pca", rows, covariance)
    # the same bits on any number of threads; and BLAS threads that spin on would slow the next call's blocks; on a
    # CPU the limit must hold until LAPACK is done, which may be after eigh returned
    with single_threaded_blas() if x.shape[1] <= _SMALL else nullcontext():
        values, vectors = leading_eigh(covariance, k=k)
        backend = backend_of(values)
        if getattr(backend.device_of(values), "platform", None) == "cpu":
            backend.synchronize(values)
    components = xp.matrix_transpose(xp.flip(vectors, axis=-1))
    variances = xp.flip(values, axis=-1)[: min(x.shape)]
    return _Spectrum(mean, components, variances, total, xp.ones_like(total) if scale is None else scale)


def _moments(rows: Rows, scale: Any) -> Any:
    """Mean and covariance; of rows in another machine's order of bytes, block by block."""
    x = rows.x
    if backend_of(x).native_dtype(x.dtype) == x.dtype:
        return mean_covariance(x, scale)
    result = fold(moments(), row_blocks(x), runner=threaded)
    return result.mean, result.covariance


def _long(x: Any) -> Any:
    """On a host in float64, where the squares of float32 neither overflow nor vanish."""
    return _cast(x, namespace(x).float64) if backend_of(x).host else x
