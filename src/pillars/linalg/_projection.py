"""Rows and their coordinates along components: there and back, of one fit or a stack of them."""

from __future__ import annotations

from typing import Any

from pillars._errors import ShapeError
from pillars._typing import Array
from pillars.backends import Call, Draw, namespace, operation

__all__ = ["check_rows", "inverse_transform", "transform"]


def _fit(draw: Draw) -> tuple[Any, Any, Any]:
    """Mean, components and scale, of one fit or of three."""
    d = draw.size(2, 5)
    lead = draw.choice(((), (3,)))
    k = draw.size(1, d)
    return draw.normal(*lead, d), draw.normal(*lead, k, d), draw.positive(*lead, k)


def _rows_and_fit(draw: Draw) -> Call:
    mean, components, scale = _fit(draw)
    return Call.of(draw.normal(*mean.shape[:-1], draw.size(), mean.shape[-1]), mean, components, scale)


def _scores_and_fit(draw: Draw) -> Call:
    mean, components, scale = _fit(draw)
    return Call.of(draw.normal(*scale.shape[:-1], draw.size(), scale.shape[-1]), mean, components, scale)


@operation(domain=_rows_and_fit)
def transform(x: Array, mean: Array, components: Array, scale: Array, /) -> Array:
    """Scores (..., n, k) of rows (..., n, d): coordinates along the components (..., k, d), times the scale."""
    xp = namespace(x, components)
    return xp.matmul(x - mean[..., None, :], xp.matrix_transpose(components)) * scale[..., None, :]


@transform.check
def _(x: Any, mean: Any, components: Any, scale: Any, /) -> None:
    check_rows("transform", "x", x, components.shape[-1], mean, components, scale)


@operation(domain=_scores_and_fit)
def inverse_transform(scores: Array, mean: Array, components: Array, scale: Array, /) -> Array:
    """The rows (..., n, d) that have these scores (..., n, k), and nothing beside the components.

    A scale of 0 gives nothing back, and its derivative is that of changes which keep it 0, as pinv's: 0.
    """
    xp = namespace(scores, components)
    none = scale == 0
    back = xp.where(none, xp.zeros_like(scale), 1.0 / xp.where(none, xp.ones_like(scale), scale))
    return xp.matmul(scores * back[..., None, :], components) + mean[..., None, :]


@inverse_transform.check
def _(scores: Any, mean: Any, components: Any, scale: Any, /) -> None:
    check_rows("inverse_transform", "scores", scores, scale.shape[-1], mean, components, scale)


def check_rows(where: str, name: str, x: Any, width: int, mean: Any, components: Any, scale: Any) -> None:
    """Rows of that width, beside a fit whose parts belong together."""
    *lead, k, d = components.shape
    if mean.shape != (*lead, d) or scale.shape != (*lead, k):
        raise ShapeError(
            f"{where}: mean {tuple(mean.shape)}, components {tuple(components.shape)} and scale {tuple(scale.shape)} "
            "are no fit, expected (..., d), (..., k, d) and (..., k). Take them from one pca."
        )
    if len(x.shape) < 2:
        one = f" Use {name}[None, :] for one row." if tuple(x.shape) == (width,) else ""
        raise ShapeError(
            f"{where}: {name} has shape {tuple(x.shape)}, expected (..., n, {width}), rows of {width} columns.{one}"
        )
    if x.shape[-1] != width:
        whose = "that pca was fitted on" if name == "x" else "that scores have, one for each component"
        raise ShapeError(
            f"{where}: {name} has {x.shape[-1]} columns, expected the {width} {whose}: shape {tuple(x.shape)}, "
            f"expected (..., n, {width})."
        )
    for mine, theirs in zip(reversed(x.shape[:-2]), reversed(lead), strict=False):
        if 1 not in (mine, theirs) and mine != theirs:
            raise ShapeError(
                f"{where}: {name} has shape {tuple(x.shape)} and the fit leading axes {tuple(lead)}, expected those to "
                "broadcast. Map over one of them with vmap."
            )
