"""The result of a principal component analysis, and what it says of rows."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._errors import BackendError
from pillars.backends import asarray, backend, dtype_kind, namespace
from pillars.linalg._likelihood import log_likelihood, model_covariance
from pillars.linalg._projection import inverse_transform, transform
from pillars.reduce import row_blocks

__all__ = ["PrincipalComponents", "noise_variance"]


class PrincipalComponents(NamedTuple):
    """The directions in which rows vary most, and by how much.

    Attributes
    ----------
    mean : (d,).
    components : (k, d), orthonormal rows, by falling variance; in each the largest |loading| is positive (of several
        that are as large within 1 part in 2,900, √eps of float32, the first, in every dtype and by every solver).
    explained_variance : (k,), with divisor n − 1.
    explained_variance_ratio : (k,), of the variance of all d columns; NaN where no column varies.
    singular_values : (k,), of the centred rows.
    scale : (k,), what `transform` multiplies scores by: ones, or 1/√explained_variance after ``whiten=True``.
    noise_variance : (), the mean of the other min(n, d) − k variances; 0 where there are none.
    """

    mean: Any
    components: Any
    explained_variance: Any
    explained_variance_ratio: Any
    singular_values: Any
    scale: Any
    noise_variance: Any

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
        """Scores (..., n, k) of rows (..., n, d), such as pca takes: coordinates along the components.

        Columns count by position, as in the rows of the fit: the names of a data frame's are not compared. A row with a
        NaN gets NaN scores, and no other row does.
        """
        x = self._rows(x)
        if _in_blocks(x):
            parts = [transform(block, self.mean, self.components, self.scale) for block in row_blocks(x)]
            return namespace(parts[0]).concat(parts)
        return transform(x, self.mean, self.components, self.scale)

    def inverse_transform(self, scores: Any) -> Any:
        """Rows (..., n, d) that have these scores (..., n, k) and nothing beside the components."""
        return inverse_transform(self._rows(scores), self.mean, self.components, self.scale)

    def covariance(self) -> Any:
        """The covariance (..., d, d) of probabilistic PCA: that of the components, and the noise variance beside them.

        C = Σ (λᵢ − σ²) vᵢ vᵢᵀ + σ² I, after Tipping, Bishop (1999), Probabilistic principal component analysis, eq. (5)
        with its maximum-likelihood estimates.
        """
        return model_covariance(self.components, self.explained_variance, self.noise_variance)

    def log_likelihood(self, x: Any) -> Any:
        """Log-density (..., n), in nats, of rows (..., n, d) under the normal distribution of that covariance.

        A row with a NaN gets NaN, and leaves the others as they are. All are NaN where the covariance is singular, as
        with fewer rows than columns and all components: there is no density.
        """
        return log_likelihood(
            self._rows(x), self.mean, self.components, self.explained_variance, self.noise_variance
        )

    def _rows(self, x: Any) -> Any:
        """Frames and tensors as arrays beside the fit; arrays and lists as they are."""
        if isinstance(x, (list, tuple)):
            return x
        try:
            namespace(x)
        except BackendError:
            return asarray(x, backend=backend(self.mean).name)
        return x


def _in_blocks(x: Any) -> bool:
    """Whether rows on a host are to be converted: a block at a time then."""
    if isinstance(x, (list, tuple)) or len(x.shape) != 2 or x.shape[0] == 0:
        return False
    return backend(x).host and dtype_kind(x.dtype) in ("integer", "half", "bool")


def noise_variance(variances: Any, total: Any, k: int, number: int) -> Any:
    """The mean of what is left of `number` variances beside the first k, all given or only those k."""
    xp = namespace(variances)
    if k == number:
        return xp.zeros_like(total)
    if variances.shape[-1] > k:
        return xp.sum(variances[..., k:number], axis=-1) / (number - k)
    left = total - xp.sum(variances, axis=-1)
    return xp.where(left < 0, xp.zeros_like(left), left) / (number - k)
