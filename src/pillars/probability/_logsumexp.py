"""The logarithm of a sum of exponentials: of all of them, of some, or weighted, with a sign."""

from __future__ import annotations

from typing import Any, NamedTuple

from pillars._errors import ShapeError
from pillars._typing import AnyArray, Array
from pillars.backends import (
    Call,
    Draw,
    dtype_name,
    dtype_range,
    namespace,
    operation,
    per_entry,
    summed,
    unbroadcast,
)
from pillars.probability._softmax import softmax
from pillars.probability._softmax_terms import (
    axes_of,
    check_axes,
    check_where,
    counted,
    draw_logits,
    draw_where,
    log_total,
    only,
)

__all__ = ["SignedLog", "logsumexp"]


class SignedLog(NamedTuple):
    """A number by the logarithm of its size and its sign: 1, −1, or 0 where the logarithm is −inf."""

    log: Any
    sign: Any


def logits_and_axes(draw: Draw) -> Call:
    """Logits, and one axis, several, or all of them; sometimes weights of one sign a slice, a mask, or the sign."""
    x = draw_logits(draw)
    axis = draw.choice((-1, 0, None, tuple(range(x.ndim))))
    options: dict[str, Any] = {"axis": axis, "keepdims": draw.choice((True, False))}
    if draw.choice((True, False, False)):
        # of one sign: a sum that cancels has no digits to compare
        options["b"] = draw.positive(*x.shape) * (-1.0 if draw.choice((True, False)) else 1.0)
        options["return_sign"] = True
    if draw.choice((True, False, False)):
        options["where"] = draw_where(draw, x.shape, one=True)
    return Call((x,), options)


@operation(domain=logits_and_axes, jax_derivative="jvp")
def logsumexp(
    x: Array,
    /,
    *,
    axis: int | tuple[int, ...] | None = -1,
    keepdims: bool = False,
    b: Array | None = None,
    return_sign: bool = False,
    where: AnyArray | None = None,
) -> Array | SignedLog:
    r"""Logarithm of a sum of exponentials, without overflow: log Σⱼ bⱼ·exp(xⱼ).

    m + log1p(Σ' exp(xⱼ − m)), with m = maxⱼ xⱼ and Σ' the sum without that largest term.

    Parameters
    ----------
    x : array, real.
    axis : axis or axes of the sum; None: all.
    keepdims : leave summed axes with length 1.
    b : array, real; `x` and `b` broadcast together. Weights of the exponentials, negative ones too; what has weight 0
        is left out, be it infinite or NaN. None: all 1.
    return_sign : whether to return the sign of the sum beside the logarithm of its size.
    where : boolean or integer array that broadcasts to `x` and `b` together: which terms count; None: all.

    Returns
    -------
    array of the dtype and device of the arguments, without the summed axes. Within (max |x − m| + 8 + √k)·eps of the
    true value, relative to it or, where m and the logarithm cancel or weights do, to them. With `return_sign`
    SignedLog(log, sign): log of the sum's size and its sign, 1, −1 or 0, of the same dtype.

    Raises
    ------
    ShapeError : no such axis, the same axis twice, an empty sum, weights or a mask that do not fit.
    DTypeError : a floating mask; complex numbers, objects, masked arrays.

    Notes
    -----
    Cost: one exponential an element. logsumexp(x + c) = logsumexp(x) + c. A slice with NaN gives NaN; one of all −inf,
    or of which nothing counts, is a sum of nothing: −inf (sign 0); one with +inf gives +inf; all as SciPy, JAX and
    torch have it. A negative sum has no logarithm: NaN, unless its sign is asked for; +inf with weights of both signs
    is NaN.
    The gradient in `x` is the softmax. It is 0 for all that does not count; where the value is infinite there is
    none: NaN, as JAX and torch have it at −inf. A weight has one at 0 too.

    References
    ----------
    Blanchard, Higham, Higham (2021), Accurately computing the log-sum-exp and softmax functions, eq. (1.3), and
    section 4 for log1p.

    Examples
    --------
    >>> import numpy as np
    >>> logsumexp(np.asarray([1000.0, 1000.0])).round(4)
    np.float64(1000.6931)
    >>> logsumexp(np.asarray([0.0, -40.0]))
    array(4.24835426e-18)
    >>> log, sign = logsumexp(np.asarray([1.0, 2.0]), b=np.asarray([1.0, -1.0]), return_sign=True)
    >>> log.round(4), sign  # e − e²
    (np.float64(1.5413), array(-1.))
    """
    xp = namespace(x)
    if b is None:
        x = only(x, where, -xp.inf)
        y = _log_sum(x, axis)
        sign = xp.where(xp.isnan(y), y, xp.astype(y > -xp.inf, y.dtype)) if return_sign else None
    else:
        y, sign = _weighted(x, b, axis, where)
        if not return_sign:
            y = xp.where(sign < 0, xp.nan, y)
    if not keepdims:
        axes = axes_of(x if b is None else _broadcast(x, b)[0], axis)
        y, sign = (None if part is None else xp.squeeze(part, axis=axes) for part in (y, sign))
    return SignedLog(y, sign) if return_sign else y


@logsumexp.check
def _(x: Any, /, *, axis: Any, keepdims: bool, b: Any, return_sign: bool, where: Any) -> None:
    if b is None and where is None:
        check_axes("logsumexp", x, axis)
        return
    shape = tuple(x.shape)
    if b is not None:
        shape = _together(shape, tuple(b.shape))
    check_axes("logsumexp", _Shape(shape), axis)
    if where is not None:
        check_where("logsumexp", where, shape, "x" if b is None else "x and b together")


class _Shape:
    """What the check of axes asks of an array."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.ndim = shape, len(shape)


def _together(x: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of x and b broadcast together."""
    n = max(len(x), len(b))
    pairs = list(zip((1,) * (n - len(x)) + x, (1,) * (n - len(b)) + b, strict=True))
    if any(p != q and 1 not in (p, q) for p, q in pairs):
        raise ShapeError(
            f"logsumexp: x has shape {x} and b has {b}, expected shapes that broadcast together: lengths that are "
            "equal or 1, counted from the last axis. A weight a class is b of the last axis' length alone."
        )
    return tuple(q if p == 1 else p for p, q in pairs)


# maximum, difference, exponential, sum; then a difference, an exponential, a product
logsumexp.flops(per_entry(4, 7))


@logsumexp.vjp
def _(
    g: Any,
    y: Any,
    x: Any,
    /,
    *,
    axis: Any,
    keepdims: bool,
    b: Any,
    return_sign: bool,
    where: Any,
    needs: Any,
) -> Any:
    xp = namespace(x)
    g = g[0] if return_sign else g
    if not keepdims:
        whole = x if b is None else _broadcast(x, b)[0]
        for one in sorted(one % whole.ndim for one in axes_of(whole, axis)):
            g = xp.expand_dims(g, axis=one)
    if b is None:
        return g * softmax(x, axis=axis, where=where), None, None
    dx, db = _slopes(x, b, axis, where, return_sign)
    return (
        unbroadcast(only(g * dx, where, 0.0), tuple(x.shape)) if needs.x else None,
        unbroadcast(only(g * db, where, 0.0), tuple(b.shape)) if needs.b else None,
        None,
    )


@logsumexp.jvp
def _(
    tangents: Any, y: Any, x: Any, /, *, axis: Any, keepdims: bool, b: Any, return_sign: bool, where: Any
) -> Any:
    if b is None:
        moved = tangents.x * softmax(x, axis=axis, where=where)
    else:
        dx, db = _slopes(x, b, axis, where, return_sign)
        parts = [t * d for t, d in ((tangents.x, dx), (tangents.b, db)) if t is not None]
        moved = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    change = summed(only(moved, where, 0.0), axis, keepdims=keepdims)
    return SignedLog(change, namespace(x).zeros_like(change)) if return_sign else change


def _log_sum(x: Any, axis: Any) -> Any:
    """m + log Σ exp(x − m). An infinite m is only added: what is subtracted of it is the largest number."""
    xp = namespace(x)
    m = xp.max(x, axis=axis, keepdims=True)
    largest = xp.full_like(m, dtype_range(dtype_name(x.dtype))[1])
    z = xp.minimum(x - xp.maximum(xp.minimum(m, largest), -largest), xp.zeros_like(x))
    return m + log_total(z, axis)[1]


def _broadcast(x: Any, b: Any) -> tuple[Any, Any]:
    x, b = namespace(x).broadcast_arrays(x, b)
    return x, b


def _counting(x: Any, b: Any, where: Any) -> tuple[Any, Any, Any]:
    """x and b of one shape, and which of their terms count."""
    x, b = _broadcast(x, b)
    counts = b != 0
    return x, b, counts if where is None else counts & counted(where)


def _shift(x: Any, b: Any, counts: Any, axis: Any) -> tuple[Any, Any]:
    """log |b·exp x| of what counts, −inf elsewhere, and its maximum."""
    xp = namespace(x)
    size = xp.log(xp.abs(xp.where(counts, b, xp.ones_like(b))))
    logs = xp.where(counts, x, -xp.inf) + size
    return logs, xp.max(logs, axis=axis, keepdims=True)


def _weighted(x: Any, b: Any, axis: Any, where: Any) -> tuple[Any, Any]:
    """log |Σ b·exp x| and the sum's sign: what is largest is counted, with its sign, and log1p sees the rest.

    The shift may be rounded: it is a number, subtracted and added. What it makes of the largest terms, 1 but for that
    rounding, goes with the rest. Where it has swallowed their log b, they are far from 1: then the sum is taken
    as it is.
    """
    xp = namespace(x)
    x, b, counts = _counting(x, b, where)
    logs, m = _shift(x, b, counts, axis)
    sign = xp.where(counts, xp.sign(b), xp.zeros_like(b))
    top = (logs == m) & (m > -xp.inf)
    infinite = xp.abs(m) == xp.inf
    exponent = xp.where(infinite & top, xp.zeros_like(x), xp.where(counts, x, -xp.inf) - m)
    exponent = xp.where(xp.isnan(exponent) & (m == -xp.inf), -xp.inf, exponent)
    terms = xp.where(counts, b * xp.exp(exponent), xp.zeros_like(b))
    terms = xp.where(infinite & top, sign, terms)
    ones = xp.where(top, sign, xp.zeros_like(sign))
    swallowed = xp.any(top & (xp.abs(terms) < 0.5), axis=axis, keepdims=True)
    plain = summed(terms, axis, keepdims=True)
    number = summed(ones, axis, keepdims=True)
    rest = summed(terms - ones, axis, keepdims=True)
    side = xp.where(number < 0, -xp.ones_like(number), xp.ones_like(number))
    beyond = (xp.abs(number) - 1.0) + side * rest
    near = beyond > -0.5
    size = xp.where(
        near, xp.log1p(xp.where(near, beyond, xp.zeros_like(beyond))), xp.log(xp.abs(1.0 + beyond))
    )
    total = xp.where(number == 0, rest, side * (1.0 + beyond))
    total = xp.where(swallowed, plain, total)
    y = m + xp.where(swallowed | (number == 0), xp.log(xp.abs(total)), size)
    mixed = (m == xp.inf) & (xp.abs(number) != summed(xp.abs(ones), axis, keepdims=True))
    y = xp.where(mixed | xp.isnan(m), xp.nan, y)
    sign = xp.where(m == xp.inf, side, xp.sign(total))
    return y, xp.where(xp.isnan(y), y, xp.where(y == -xp.inf, xp.zeros_like(y), sign))


def _slopes(x: Any, b: Any, axis: Any, where: Any, signed: bool) -> tuple[Any, Any]:
    """The derivatives of log |Σ b·exp x| in x and in b: b·exp x and exp x, over the sum. 0/0 where there is none."""
    xp = namespace(x)
    x, b, counts = _counting(x, b, where)
    m = _shift(x, b, counts, axis)[1]
    e = xp.exp(only(x, where, -xp.inf) - m)
    # a weight of 0 has a derivative: only what it leaves out by that, infinite or NaN, is taken out here
    terms = xp.where((b == 0) & ~xp.isfinite(e), xp.zeros_like(e), b * e)
    total = summed(terms, axis, keepdims=True)
    # no sum, no logarithm: then nothing has a derivative but what does not count
    none = (total == 0) | (m == xp.inf) if signed else ~(total > 0) | (m == xp.inf)
    total = xp.where(none, xp.nan, total)
    return terms / total, e / total
