"""Functions of symmetric matrices: f of the eigenvalues, in the basis of the eigenvectors, and its derivatives."""

from __future__ import annotations

from math import prod
from typing import Any

from pillars._errors import ShapeError
from pillars._typing import Array
from pillars.backends import Call, Draw, Flops, namespace, operation
from pillars.linalg._divided import (
    FUNCTIONS,
    POSITIVE,
    definite,
    directional,
    require_function,
    root_of_scale,
    spectral,
    spectrum,
)

__all__ = ["expm", "inv_sqrtm", "logm", "matrix_function", "sqrtm"]


def _definite(draw: Draw) -> Call:
    return Call.of(definite(draw))


def _symmetric(draw: Draw) -> Call:
    a = definite(draw)
    return Call.of(a - draw.number(0.0, 2.0) * namespace(a).eye(a.shape[-1]))


def _named(draw: Draw) -> Call:
    return Call.of(definite(draw), f=draw.choice(FUNCTIONS))


def _applied(a: Any, f: str) -> Any:
    xp = namespace(a)
    root = root_of_scale(a) if f in POSITIVE else None
    values, vectors, fine = spectrum(a if root is None else a / root / root)
    y = spectral(values, f)
    if root is not None:
        root = root[..., 0]
        y = y * root if f == "sqrt" else y / root if f == "inv_sqrt" else y + 2.0 * xp.log(root)
    result = xp.matmul(vectors * y[..., None, :], xp.matrix_transpose(vectors))
    return xp.where(fine, 0.5 * (result + xp.matrix_transpose(result)), xp.full_like(result, xp.nan))


@operation(domain=_definite, jax_derivative="jvp")
def sqrtm(a: Array, /) -> Array:
    """The square root of a symmetric positive semi-definite matrix: the one that is positive itself.

    Parameters
    ----------
    a : (..., d, d), symmetric and positive semi-definite; of another matrix the symmetric part (a + aᵀ)/2 is what
        counts, in the gradient too.

    Returns
    -------
    array like `a`, symmetric. An eigenvalue that is below 0 by more than rounding has no real root: NaN. One
    of 0 has a root, and an infinite slope: the gradient is NaN.

    Raises
    ------
    ShapeError : no square matrices; on a host, entries that are not finite. On a device these give NaN.

    Notes
    -----
    About 15·d³ operations; errors of some eps·max √λ, and of √eps of that where λ is 0.

    The gradient is right where eigenvalues are equal too, and so are further derivatives (on JAX see
    :func:`matrix_function`): the entries of Vᵀ ā V are those of Vᵀ ȳ V times
    (f(λᵢ) − f(λⱼ))/(λᵢ − λⱼ), which is f′ where the two are equal. The k-th order takes d^(k + 1) numbers of memory.

    References
    ----------
    Higham (2008), Functions of Matrices, chapter 6. Daleckii, Krein (1965), Integration and differentiation of
    functions of Hermitian operators.

    Examples
    --------
    >>> import numpy as np
    >>> sqrtm(np.asarray([[5.0, 4.0], [4.0, 5.0]])).round(12)
    array([[2., 1.],
           [1., 2.]])
    """
    return _applied(a, "sqrt")


@operation(domain=_definite, jax_derivative="jvp")
def inv_sqrtm(a: Array, /) -> Array:
    """The inverse square root of a symmetric positive definite matrix: what whitens a covariance.

    Parameters
    ----------
    a : (..., d, d), symmetric and positive definite; of another matrix the symmetric part (a + aᵀ)/2 is what counts, in
        the gradient too.

    Returns
    -------
    array like `a`, symmetric. NaN where an eigenvalue is 0 or below.

    Raises
    ------
    ShapeError : no square matrices; on a host, entries that are not finite. On a device these give NaN.

    Notes
    -----
    About 15·d³ operations; errors of some eps·√(λ₁/λ_d) of the result.

    The gradient is right where eigenvalues are equal too, and so are further derivatives (on JAX see
    :func:`matrix_function`): the entries of Vᵀ ā V are those of Vᵀ ȳ V times
    (f(λᵢ) − f(λⱼ))/(λᵢ − λⱼ), which is f′ where the two are equal. The k-th order takes d^(k + 1) numbers of memory.

    References
    ----------
    Higham (2008), Functions of Matrices, chapter 6. Daleckii, Krein (1965), Integration and differentiation of
    functions of Hermitian operators.

    Examples
    --------
    >>> import numpy as np
    >>> inv_sqrtm(np.asarray([[4.0, 0.0], [0.0, 0.25]]))
    array([[0.5, 0. ],
           [0. , 2. ]])
    """
    return _applied(a, "inv_sqrt")


@operation(domain=_symmetric, jax_derivative="jvp")
def expm(a: Array, /) -> Array:
    """The exponential of a symmetric matrix.

    Parameters
    ----------
    a : (..., d, d), symmetric; of another matrix the symmetric part (a + aᵀ)/2 is what counts, in the gradient too.

    Returns
    -------
    array like `a`, symmetric. Infinite, or NaN, where exp(λ) is beyond the dtype.

    Raises
    ------
    ShapeError : no square matrices; on a host, entries that are not finite. On a device these give NaN.

    Notes
    -----
    About 15·d³ operations; errors of some eps·(1 + max |λ|)·exp(max λ).

    The gradient is right where eigenvalues are equal too, and so are further derivatives (on JAX see
    :func:`matrix_function`): the entries of Vᵀ ā V are those of Vᵀ ȳ V times
    (f(λᵢ) − f(λⱼ))/(λᵢ − λⱼ), which is f′ where the two are equal. The k-th order takes d^(k + 1) numbers of memory.

    References
    ----------
    Higham (2008), Functions of Matrices, chapter 10. Daleckii, Krein (1965), Integration and differentiation of
    functions of Hermitian operators.

    Examples
    --------
    >>> import numpy as np
    >>> expm(np.zeros((2, 2)))
    array([[1., 0.],
           [0., 1.]])
    """
    return _applied(a, "exp")


@operation(domain=_definite, jax_derivative="jvp")
def logm(a: Array, /) -> Array:
    """The logarithm of a symmetric positive definite matrix.

    Parameters
    ----------
    a : (..., d, d), symmetric and positive definite; of another matrix the symmetric part (a + aᵀ)/2 is what counts, in
        the gradient too.

    Returns
    -------
    array like `a`, symmetric. NaN where an eigenvalue is 0 or below.

    Raises
    ------
    ShapeError : no square matrices; on a host, entries that are not finite. On a device these give NaN.

    Notes
    -----
    About 15·d³ operations; errors of some eps·λ₁/λ_d.

    The gradient is right where eigenvalues are equal too, and so are further derivatives (on JAX see
    :func:`matrix_function`): the entries of Vᵀ ā V are those of Vᵀ ȳ V times
    (f(λᵢ) − f(λⱼ))/(λᵢ − λⱼ), which is f′ where the two are equal. The k-th order takes d^(k + 1) numbers of memory.

    References
    ----------
    Higham (2008), Functions of Matrices, chapter 11. Daleckii, Krein (1965), Integration and differentiation of
    functions of Hermitian operators.

    Examples
    --------
    >>> import numpy as np
    >>> logm(np.eye(2))
    array([[0., 0.],
           [0., 0.]])
    """
    return _applied(a, "log")


@operation(domain=_named, jax_derivative="jvp")
def matrix_function(a: Array, /, *, f: str) -> Array:
    """A function of a symmetric matrix, V f(Λ) Vᵀ, with the right gradient at repeated eigenvalues too.

    Parameters
    ----------
    a : (..., d, d), symmetric; of another matrix the symmetric part (a + aᵀ)/2 is what counts, in the gradient too.
    f : "sqrt", "inv_sqrt", "log", "exp", "sin" or "cos".

    Returns
    -------
    array like `a`, symmetric; NaN where an eigenvalue has no real f, or an infinite one.

    Raises
    ------
    ShapeError : no square matrices; no such f; on a host, entries that are not finite. On a device these give NaN.

    Notes
    -----
    As :func:`sqrtm`. A function of one's own, V f(Λ) Vᵀ by :func:`eigh`, has the gradient NaN at repeated eigenvalues:
    the derivatives of f there cannot be told from its values. On JAX forward derivatives are right there in any order,
    reverse ones in the first; reverse and then any is NaN there.

    References
    ----------
    Higham (2008), Functions of Matrices, chapters 1 and 3. Daleckii, Krein (1965), Integration and differentiation of
    functions of Hermitian operators.

    Examples
    --------
    >>> import numpy as np
    >>> matrix_function(np.zeros((2, 2)), f="cos")
    array([[1., 0.],
           [0., 1.]])
    """
    return _applied(a, f)


@matrix_function.check
def _(a: Any, /, *, f: str) -> None:
    require_function("matrix_function", f)
    _square("matrix_function", a)


@matrix_function.vjp
def _(g: Any, y: Any, a: Any, /, *, f: str, needs: Any) -> Any:
    return directional(a, g, f=f)


@matrix_function.jvp
def _(tangents: Any, y: Any, a: Any, /, *, f: str) -> Any:
    return directional(a, tangents.a, f=f)


@matrix_function.check_values
def _(a: Any, /, *, f: str) -> None:
    _finite("matrix_function", a)


@matrix_function.flops
def _(a: Any, /, *, f: str) -> Flops:
    return _cubes(a)


def _square(where: str, a: Any) -> None:
    if len(a.shape) < 2 or a.shape[-1] != a.shape[-2] or a.shape[-1] < 1:
        raise ShapeError(
            f"{where}: a has shape {tuple(a.shape)}, expected (..., d, d) with d of at least 1. "
            "Take the Gram matrix of a rectangular one."
        )


def _finite(where: str, a: Any) -> None:
    xp = namespace(a)
    if not bool(xp.all(xp.isfinite(a))):
        raise ShapeError(
            f"{where}: a has entries that are NaN or infinite, expected finite numbers. Look where they come from."
        )


def _cubes(a: Any) -> Flops:
    """Golub and Van Loan's count of the eigenvectors; then a product, and four for the gradient beside them."""
    cubes = prod(a.shape[:-2]) * a.shape[-1] ** 3
    return Flops(11 * cubes, 28 * cubes)


def _derived(function: Any, f: str) -> None:
    """What the functions with a name of their own share with :func:`matrix_function`."""
    where = function.record.body.__name__
    function.check(lambda a, /: _square(where, a))
    function.check_values(lambda a, /: _finite(where, a))
    function.flops(_cubes)
    function.vjp(lambda g, y, a, /, *, needs: directional(a, g, f=f))
    function.jvp(lambda tangents, y, a, /: directional(a, tangents.a, f=f))


_derived(sqrtm, "sqrt")
_derived(inv_sqrtm, "inv_sqrt")
_derived(expm, "exp")
_derived(logm, "log")
