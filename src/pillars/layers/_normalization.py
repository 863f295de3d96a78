"""Normalisation of features: to unit root mean square, and to zero mean and unit variance."""

from __future__ import annotations

from math import inf, prod
from typing import Any

from pillars._errors import DTypeError, ShapeError
from pillars._typing import Array, Name, Number
from pillars.backends import Call, Draw, Flops, averaged, namespace, operation, per_entry, summed

__all__ = ["layer_norm", "rms_norm"]

# A slice with a number above the first is multiplied by the second, which is exact, and one of numbers below the third
# by the inverse of the second, where epsilon is as small: its squares neither overflow then, nor do they vanish. By the
# bits of the dtype.
_SCALES = {32: (2.0**48, 2.0**-84, 2.0**-30), 64: (2.0**384, 2.0**-660, 2.0**-256)}


def _features(draw: Draw, parameters: int) -> Call:
    x = draw.normal(*draw.shape(draw.choice((1, 2, 3)))) + draw.number(-1.0, 1.0)
    axis = draw.choice((-1, 0, tuple(range(x.ndim)), (-1,)))
    shape = [x.shape[one] for one in _axes(axis, x.ndim)]
    arrays = [draw.normal(*shape) for _ in range(draw.choice(range(parameters + 1)))]
    options: dict[str, Any] = {"axis": axis}
    if draw.choice((True, False)):
        options["epsilon"] = draw.number(1e-3, 0.5)
    return Call((x, *arrays), options)


def features_and_weight(draw: Draw) -> Call:
    """Features on some axes, and sometimes a weight and an epsilon."""
    return _features(draw, 1)


def features_weight_and_bias(draw: Draw) -> Call:
    """Features on some axes, and sometimes a weight, a bias, and an epsilon."""
    return _features(draw, 2)


# JAX takes the rules of both: their kernel there has a loop, which has no reverse mode.
@operation(domain=features_and_weight, jax_derivative="jvp")
def rms_norm(
    x: Array,
    weight: Array | None = None,
    /,
    *,
    axis: int | tuple[int, ...] = -1,
    epsilon: Number = 1e-6,
    name: Name = None,
) -> Array:
    r"""Root mean square normalisation: x / √(mean x² + ε) · weight, over the features of each sample.

    Parameters
    ----------
    x : array, real.
    weight : array of the lengths of the normalised axes, in the order in which `x` has them; None: ones.
    axis : the axis of the features, or several.
    epsilon : ε ≥ 0, in the units of x².
    name : the layer's path, such as "encoder.2.norm", for error messages.

    Returns
    -------
    array like `x`: same shape, dtype, device. Within (8 + √n)·eps of the true value, relative, for n features.

    Raises
    ------
    ShapeError : no such axis or no features on it, a weight that does not fit (with the layer's name, both shapes and
        what to do), an epsilon below 0 or not finite (a traced one that is below 0 gives NaN).
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: reads `x` once, writes once; the gradient reads it again, nothing is kept for it. Half precision is computed
    in float32 and rounded once. rms_norm(c·x) = rms_norm(x) for c > 0, up to epsilon.
    Edges: zeros give 0 at every epsilon, since one below the smallest normal number counts as that. Squares neither
    overflow nor vanish: slices that reach beyond 2⁴⁸ (float64: 2³⁸⁴) are scaled first, and those below 2⁻³⁰ (2⁻²⁵⁶)
    where the root of epsilon is too. NaN makes its whole slice NaN, and no
    other; beside an infinity, which becomes NaN, all else is 0.
    The usual epsilon is 1e-6 or 1e-5; torch's is the dtype's eps.

    References
    ----------
    Zhang, Sennrich (2019), Root mean square layer normalization, eq. (4).

    Examples
    --------
    >>> import numpy as np
    >>> rms_norm(np.asarray([[3.0, 4.0], [0.0, 0.0]]), np.asarray([1.0, 2.0])).round(4)
    array([[0.8485, 2.2627],
           [0.    , 0.    ]])
    """
    return _scaled_and_shifted(_standard(x, axis, epsilon, centred=False)[0], weight, None, axis)


@rms_norm.check
def _(x: Any, weight: Any, /, *, axis: Any, epsilon: Any, name: str | None) -> None:
    _check("rms_norm", name, x, axis, epsilon, weight=weight)


@rms_norm.flops
def _(x: Any, weight: Any, /, *, axis: Any, epsilon: Any) -> Flops:
    """Square, sum, scaled; then ĝ·x̂, its sum, x̂·mean, a difference, scaled. A weight: once, then g·w, g·x̂, its sum."""
    w = weight is not None
    return per_entry(3 + w, 8 + 4 * w)(x)


@rms_norm.vjp
def _(g: Any, y: Any, x: Any, weight: Any, /, *, axis: Any, epsilon: Any, needs: Any) -> Any:
    dx, dweight, _, depsilon = _pullback(g, x, weight, axis, epsilon, needs, centred=False)
    return dx, dweight, depsilon


@rms_norm.jvp
def _(tangents: Any, y: Any, x: Any, weight: Any, /, *, axis: Any, epsilon: Any) -> Any:
    return _pushed(tangents, y, x, weight, axis, epsilon, centred=False)


@operation(domain=features_weight_and_bias, jax_derivative="jvp")
def layer_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    /,
    *,
    axis: int | tuple[int, ...] = -1,
    epsilon: Number = 1e-5,
    name: Name = None,
) -> Array:
    r"""Layer normalisation: (x − mean) / √(variance + ε) · weight + bias, over the features of each sample.

    Parameters
    ----------
    x : array, real.
    weight, bias : arrays of the lengths of the normalised axes, in the order in which `x` has them; None: ones, zeros.
    axis : the axis of the features, or several.
    epsilon : ε ≥ 0, in the units of x².
    name : the layer's path, such as "encoder.2.norm", for error messages.

    Returns
    -------
    array like `x`: same shape, dtype, device. The normalised x is within (8 + √n)·eps·(1 + |y| + |y₀|) of the true y
    for n features of which the first one's is y₀, however far from 0 their mean is; along contiguous last axes on
    NumPy without |y₀|.

    Raises
    ------
    ShapeError : no such axis or no features on it, a weight or bias that does not fit (with the layer's name, both
        shapes and what to do), an epsilon below 0 or not finite (a traced one that is below 0 gives NaN).
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: reads `x` once, writes once; the gradient reads it again, nothing is kept for it. Half precision is computed
    in float32 and rounded once. The variance is the mean of squares, without Bessel's correction, and squares are
    taken after the shift. layer_norm(c·x + a) = layer_norm(x) for c > 0, up to epsilon.
    Edges: a constant slice, such as one feature alone, gives the bias at every epsilon, since one below the smallest
    normal number counts as that. Squares neither overflow nor vanish: slices that reach beyond 2⁴⁸ (float64: 2³⁸⁴) are
    scaled first, and those below 2⁻³⁰ (2⁻²⁵⁶) where the root of epsilon is too. NaN or an infinity makes its whole
    slice NaN, and no other.

    References
    ----------
    Ba, Kiros, Hinton (2016), Layer normalization, eq. (4).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    >>> layer_norm(x, np.asarray([1.0, 1.0, 2.0]), np.asarray([0.0, 0.5, 0.0])).round(4)
    array([[-1.2247,  0.5   ,  2.4495],
           [ 0.    ,  0.5   ,  0.    ]])
    >>> layer_norm(np.ones((784, 10)), np.ones(784), name="encoder.2.norm")
    Traceback (most recent call last):
        ...
    pillars._errors.ShapeError: layer_norm 'encoder.2.norm': x has 10 features on axis -1 but weight (784,) takes ...
    """
    return _scaled_and_shifted(_standard(x, axis, epsilon, centred=True)[0], weight, bias, axis)


@layer_norm.check
def _(x: Any, weight: Any, bias: Any, /, *, axis: Any, epsilon: Any, name: str | None) -> None:
    _check("layer_norm", name, x, axis, epsilon, weight=weight, bias=bias)


@layer_norm.flops
def _(x: Any, weight: Any, bias: Any, /, *, axis: Any, epsilon: Any) -> Flops:
    """As rms_norm, with a sum and a difference more each way; a bias: once, then its sum."""
    w, b = weight is not None, bias is not None
    return per_entry(5 + w + b, 12 + 4 * w + 2 * b)(x)


@layer_norm.vjp
def _(g: Any, y: Any, x: Any, weight: Any, bias: Any, /, *, axis: Any, epsilon: Any, needs: Any) -> Any:
    return _pullback(g, x, weight, axis, epsilon, needs, centred=True)


@layer_norm.jvp
def _(tangents: Any, y: Any, x: Any, weight: Any, bias: Any, /, *, axis: Any, epsilon: Any) -> Any:
    return _pushed(tangents, y, x, weight, axis, epsilon, centred=True)


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The normalised axes, counted from the front, in the array's order."""
    return tuple(sorted(one % ndim for one in (axis if isinstance(axis, tuple) else (axis,))))


def _check(function: str, name: str | None, x: Any, axis: Any, epsilon: Any, **parameters: Any) -> None:
    layer, shape = function if name is None else f"{function} {name!r}", tuple(x.shape)
    given = axis if isinstance(axis, tuple) else (axis,)
    for one in given:
        if not isinstance(one, int) or isinstance(one, bool):
            raise DTypeError(f"{layer}: axis names {one!r}, expected integers such as (-2, -1).")
        if not -x.ndim <= one < x.ndim:
            range_of = "an array of at least one axis" if x.ndim == 0 else f"one in [-{x.ndim}, {x.ndim})"
            raise ShapeError(f"{layer}: axis is {axis}, expected {range_of}: x has shape {shape}.")
    axes = _axes(axis, x.ndim)
    if not axes or len(set(axes)) != len(axes):
        raise ShapeError(f"{layer}: axis is {axis}, expected one axis or more of x, each once.")
    lengths = tuple(shape[one] for one in axes)
    if prod(lengths) == 0:
        raise ShapeError(
            f"{layer}: x has shape {shape}, expected at least one feature on axis {axis}. "
            "No features have no mean: drop such arrays, or normalise another axis."
        )
    for parameter, array in parameters.items():
        if array is not None and tuple(array.shape) != lengths:
            raise ShapeError(
                f"{layer}: x has {_words(lengths)} features on axis {axis} but {parameter} {tuple(array.shape)} takes "
                f"{_words(tuple(array.shape))}. x has shape {shape}. "
                + _remedy(parameter, tuple(array.shape), shape, lengths)
            )
    if isinstance(epsilon, float) and not 0.0 <= epsilon < inf:
        raise ShapeError(
            f"{layer}: epsilon is {epsilon}, expected a finite number, 0 or above. It is added to a mean of squares."
        )


def _words(lengths: tuple[int, ...]) -> str:
    return "×".join(map(str, lengths)) if lengths else "one number"


def _remedy(parameter: str, got: tuple[int, ...], shape: tuple[int, ...], lengths: tuple[int, ...]) -> str:
    if len(got) > 1 and got == lengths[::-1]:
        return f"Pass {parameter}.T, of shape {lengths}."
    if prod(got) == prod(lengths):
        return f"Reshape {parameter} to {lengths}."
    if len(got) == 1 == len(lengths) and got[0] in shape:
        other = shape.index(got[0])
        turned = ", or pass x.T" if len(shape) == 2 else ""
        return f"If the features are on axis {other}, say axis={other}{turned}."
    if len(got) > 1 and got == shape[-len(got) :]:
        return f"To normalise over the last {len(got)} axes, say axis={tuple(range(-len(got), 0))}."
    return f"The layer before must give {_words(got)} features, or this {parameter} have shape {lengths}."


def _standard(x: Any, axis: Any, epsilon: Any, *, centred: bool) -> tuple[Any, Any]:
    """x with mean 0 (if asked for) and mean square 1 up to epsilon, and the σ that it was divided by."""
    xp, axes = namespace(x), _axes(axis, x.ndim)
    if not isinstance(epsilon, (int, float)):  # nobody has looked at it
        epsilon = xp.where(epsilon >= 0, epsilon, xp.nan)

    def mean(z: Any) -> Any:
        return averaged(z, axes, keepdims=True)

    info = xp.finfo(x.dtype)
    limit, small, least = _SCALES[int(info.bits)]

    def scale_of(largest: Any) -> Any:
        tiny = (largest > 0) & (largest < least) & (epsilon < least * least)
        scale = xp.where(tiny, xp.full_like(largest, 1 / small), xp.ones_like(largest))
        return xp.where(largest > limit, xp.full_like(largest, small), scale)

    scale = scale_of(xp.max(xp.abs(x), axis=axes, keepdims=True))
    z = x * scale
    if centred:
        # first of all one of its own numbers: a constant slice is exactly 0 then, and a far mean costs no digits
        z = z - z[tuple(slice(1) if one in axes else slice(None) for one in range(x.ndim))]
        # what is squared is the deviation: epsilon is not to vanish beside numbers that are large and alike
        scale, before = scale_of(xp.max(xp.abs(z), axis=axes, keepdims=True) / scale), scale
        z = z * (scale / before)
        z = z - mean(z)
    root = xp.sqrt(mean(z * z) + xp.maximum(epsilon * scale * scale, float(info.smallest_normal)))
    return z / root, root / scale


def _beside(parameter: Any, x: Any, axis: Any) -> Any:
    """A weight or bias with an axis of length 1 for each of those of x that it does not have."""
    axes = _axes(axis, x.ndim)
    return namespace(x, parameter).reshape(
        parameter, tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
    )


def _scaled_and_shifted(z: Any, weight: Any, bias: Any, axis: Any) -> Any:
    z = z if weight is None else z * _beside(weight, z, axis)
    return z if bias is None else z + _beside(bias, z, axis)


def _pullback(
    g: Any, x: Any, weight: Any, axis: Any, epsilon: Any, needs: Any, *, centred: bool
) -> tuple[Any, Any, Any, Any]:
    """The cotangents of x, weight, bias and epsilon."""
    axes = _axes(axis, x.ndim)
    batch = tuple(i for i in range(x.ndim) if i not in axes)
    z, sigma = _standard(x, axis, epsilon, centred=centred)
    dx = dweight = dbias = depsilon = None
    if needs.weight:
        dweight = summed(g * z, batch)
    if centred and needs.bias:
        dbias = summed(g, batch)
    if needs.x or needs.epsilon:
        dz = g if weight is None else g * _beside(weight, x, axis)
        along = averaged(dz * z, axes, keepdims=True)
        dx = dz - z * along
        if centred:
            dx = dx - averaged(dz, axes, keepdims=True)
        dx = dx / sigma
        if needs.epsilon:
            length = prod(x.shape[one] for one in axes)
            depsilon = -0.5 * length * summed(along / sigma / sigma)
    return dx if needs.x else None, dweight, dbias, depsilon


def _pushed(tangents: Any, y: Any, x: Any, weight: Any, axis: Any, epsilon: Any, *, centred: bool) -> Any:
    """The tangent of the result."""
    xp, axes = namespace(x), _axes(axis, x.ndim)
    z, sigma = _standard(x, axis, epsilon, centred=centred)
    dz, dy = xp.zeros_like(z), xp.zeros_like(y)
    if tangents.x is not None:
        dz = tangents.x - z * averaged(z * tangents.x, axes, keepdims=True)
        if centred:
            dz = dz - averaged(tangents.x, axes, keepdims=True)
        dz = dz / sigma
    if tangents.epsilon is not None:
        dz = dz - 0.5 * tangents.epsilon * (z / sigma / sigma)
    if tangents.x is not None or tangents.epsilon is not None:
        dy = dz if weight is None else dz * _beside(weight, x, axis)
    if tangents.weight is not None:
        dy = dy + z * _beside(tangents.weight, x, axis)
    if centred and tangents.bias is not None:
        dy = dy + _beside(tangents.bias, x, axis)
    return dy
