"""Probabilistic PCA: the covariance that components and a noise variance stand for, and the log-density of rows."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import ShapeError
from pillars._typing import Array
from pillars.backends import Call, Draw, backend, namespace, operation
from pillars.linalg._projection import check_rows

__all__ = ["log_likelihood", "model_covariance"]


def _fit(draw: Draw) -> tuple[Any, Any, Any]:
    """Orthonormal components, falling variances, and a noise variance below them."""
    d = draw.size(2, 5)
    k = draw.size(1, d)
    noise = draw.normal(d, d)
    basis = namespace(noise).linalg.qr(noise)[0]
    return basis[:k, :], draw.uniform(1.0, 3.0, k), draw.uniform(0.25, 0.75)


def _components(draw: Draw) -> Call:
    return Call.of(*_fit(draw))


def _rows(draw: Draw) -> Call:
    components, variances, noise = _fit(draw)
    d = components.shape[-1]
    return Call.of(draw.normal(draw.size(), d), draw.normal(d), components, variances, noise)


@operation(domain=_components)
def model_covariance(components: Array, variances: Array, noise: Array, /) -> Array:
    """Σ (λᵢ − σ²) vᵢ vᵢᵀ + σ² I of orthonormal components (..., k, d), variances (..., k), a noise variance (...)."""
    xp = namespace(components)
    noise = noise[..., None]
    more = variances - noise
    # A variance below the noise is rounding, or no maximum of the likelihood.
    more = xp.where(more < 0, xp.zeros_like(more), more)
    turned = xp.matrix_transpose(components) * more[..., None, :]
    eye = xp.eye(
        components.shape[-1], dtype=components.dtype, device=backend(components).device_of(components)
    )
    return xp.matmul(turned, components) + noise[..., None] * eye


@model_covariance.check
def _(components: Any, variances: Any, noise: Any, /) -> None:
    _check_fit("model_covariance", components, variances, noise)


@operation(domain=_rows)
def log_likelihood(x: Array, mean: Array, components: Array, variances: Array, noise: Array, /) -> Array:
    """Log-density (..., n) of rows (..., n, d) under the normal distribution of mean (..., d) and that covariance.

    By the components' scores and what is left of a row beside them: no matrix is inverted, no square subtracted. NaN
    where the least variance is within d·eps of the largest.
    """
    xp = namespace(x, components)
    *_, k, d = components.shape
    noise = noise[..., None]
    # As in the covariance: no variance is below the noise.
    variances = xp.where(variances < noise, noise, variances)
    z = x - mean[..., None, :]
    scores = xp.matmul(z, xp.matrix_transpose(components))
    least = xp.min(variances, axis=-1) if k == d else noise[..., 0]
    singular = ~(least > float(xp.finfo(variances.dtype).eps) * d * xp.max(variances, axis=-1))[..., None]
    variances = xp.where(singular, xp.ones_like(variances), variances)
    distance = xp.sum((scores / xp.sqrt(variances)[..., None, :]) ** 2, axis=-1)
    volume = xp.sum(xp.log(variances), axis=-1)[..., None]
    if k < d:
        noise = xp.where(singular, xp.ones_like(noise), noise)
        beside = (z - xp.matmul(scores, components)) / xp.sqrt(noise)[..., None, :]
        distance = distance + xp.sum(beside**2, axis=-1)
        volume = volume + (d - k) * xp.log(noise)
    density = -0.5 * (d * math.log(2.0 * math.pi) + volume + distance)
    return xp.where(singular, xp.full_like(density, xp.nan), density)


@log_likelihood.check
def _(x: Any, mean: Any, components: Any, variances: Any, noise: Any, /) -> None:
    _check_fit("log_likelihood", components, variances, noise)
    check_rows("log_likelihood", "x", x, components.shape[-1], mean, components, variances)


def _check_fit(where: str, components: Any, variances: Any, noise: Any) -> None:
    """Components with a variance each, and one for the noise."""
    fit = len(components.shape) >= 2 and 0 not in components.shape
    if not fit or (variances.shape, noise.shape) != (components.shape[:-1], components.shape[:-2]):
        raise ShapeError(
            f"{where}: components {tuple(components.shape)}, variances {tuple(variances.shape)} and noise "
            f"{tuple(noise.shape)} are no fit, expected (..., k, d), (..., k) and (...). Take them from one pca."
        )
