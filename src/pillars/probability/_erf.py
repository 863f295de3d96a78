"""The error function and the normal distribution function, branch-free, within a few ulp in their own dtype.

Coefficients are derived, and their errors printed, by bench/derive/erf_coefficients.py; highest power first.
"""

from __future__ import annotations

import math
from typing import Any

from pillars._typing import Array
from pillars.backends import Call, Draw, namespace, operation

__all__ = ["TAIL_DOUBLE", "TAIL_SINGLE", "erf", "ndtr"]

# erf(x)/x − 1 in x², |x| ≤ 1
# fmt: off
_INNER_SINGLE = (
    7.853873e-05, -0.00080102094, 0.005188331, -0.026853815, 0.112835854, -0.37612626, 0.12837917,
)
_INNER_DOUBLE = (
    -7.779462971761597e-10, 1.3710988704190523e-08, -1.6206318752969208e-07, 1.6447132699786621e-06,
    -1.4924712439534814e-05, 0.0001205529358693695, -0.0008548325929766244, 0.005223977606130842,
    -0.026866170643113415, 0.112837916709442, -0.3761263890318352, 0.12837916709551256,
)
# exp(a²)·erfc(a) = P(a)/Q(a), from a = 1 to where erf rounds to 1; single precision up to 4, double up to 6
_OUTER_SINGLE = (
    (0.0042262073, 0.5221322, 1.2552137),
    (1.0, 1.9031888, 1.2634171),
)
_OUTER_DOUBLE = (
    (
        0.5641852188569731, 5.328794687160673, 23.60215745803083, 59.985561963022114, 87.84849883918862,
        63.173529323956956,
    ),
    (
        1.0, 9.444795960270596, 42.33749087652737, 111.0077882294639, 176.3737792288996,
        159.13212608415802, 63.1735364633468,
    ),
)
# (a + k)·exp(a²/2)·Φ(−a) in (a − k)/(a + k), from a = 0 to where Φ(−a) underflows; k is 1.75 and 3.5
TAIL_SINGLE = (
    -4.7538608e-05, 5.3437874e-05, 0.0005381129, 0.0006073295, -0.0010048723, -0.0039125048,
    -0.0033639811, 0.010658559, 0.033684082, -0.018740207, -0.26782838, 0.64831084,
)
TAIL_DOUBLE = (
    1.4970400686586197e-09, 4.932357268083121e-09, -3.876060952265236e-09, -3.6406669869006716e-08,
    -3.010062473419819e-08, 1.2398714212892455e-07, 2.943886739422368e-07, -1.432271895494415e-07,
    -1.4791484469933705e-06, -1.1650551466965897e-06, 5.651902093062261e-06, 1.1506663678494522e-05,
    -1.8788893752843846e-05, -7.558467466015233e-05, 6.703323124382935e-05, 0.000476657105417392,
    -0.00044501295002636384, -0.0031891010487351264, 0.006476218919873085, 0.017407832602070586,
    -0.11605092871407843, 0.3154249698879521, -0.565561816053779, 0.7444160754359381,
)
# fmt: on


def _line(draw: Draw) -> Call:
    """Numbers about zero and into both tails."""
    return Call.of(draw.normal(*draw.shape(draw.choice((0, 1, 2))), scale=2.0))


def _is_single(xp: Any, x: Any) -> bool:
    return bool(x.dtype == xp.float32)


def _polynomial(t: Any, coefficients: tuple[float, ...]) -> Any:
    y = coefficients[0] * t + coefficients[1]
    for c in coefficients[2:]:
        y = y * t + c
    return y


def _within(xp: Any, x: Any, scale: float) -> Any:
    """`x`, held where exp(−scale·x²) has long underflowed: beyond, infinities would meet in ∞ − ∞."""
    reach = ((106.0 if _is_single(xp, x) else 760.0) / scale) ** 0.5
    return xp.clip(x, -reach, reach)


def _gaussian(xp: Any, x: Any, scale: float, factor: Any) -> Any:
    """factor·exp(−scale·x²) for scale 1 or 1/2 and x within reach, accurate to exp's own rounding.

    x² rounded would shift the exponent by up to 700 times half an ulp. Cody's way out: h, the leading half of x's bits,
    has an exact square, and x² − h² = (x − h)(x + h) is small. One exponential takes their sum; what that sum rounds
    off is so small that it enters to first order, through the factor, because beside exp it could underflow.
    """
    steps = 2.0**8 if _is_single(xp, x) else 2.0**20
    # towards 0: |h| ≤ |x|, so that the slope of the rest, (x + h) + (x − h), is right for tiny x too
    h = xp.trunc(x * steps) * (1.0 / steps)
    leading = h * h * -scale
    rest = (x - h) * (x + h) * scale
    exponent = leading - rest
    lost = (leading - exponent) - rest
    return xp.exp(exponent) * (factor + factor * lost)


@operation(domain=_line, jax_derivative="jvp")
def erf(x: Array, /) -> Array:
    r"""Error function.

    erf(x) = 2/√π · ∫₀ˣ exp(−t²) dt

    Parameters
    ----------
    x : array of any shape, real.

    Returns
    -------
    array like `x`: same shape, dtype, device. In [−1, 1], odd.

    Raises
    ------
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Within 1.5 ulp in float32 and float64, computed in that dtype; float16 and bfloat16 are computed in float32.
    Cost: one exponential, one division and some 50 additions and multiplications an element. erf(±∞) = ±1,
    erf(−0.0) = −0.0, erf(NaN) = NaN. The derivative, 2/√π · exp(−x²), keeps its relative accuracy until it underflows.

    Where the hardware flushes subnormal numbers to zero (XLA on a CPU), |x| below 8 times the smallest normal number
    loses digits. For 1 − erf(x) of a large x use ``2 * ndtr(-sqrt(2) * x)``: the difference has no digits left.

    References
    ----------
    Cody (1969), Rational Chebyshev approximations for the error function, Math. Comp. 23: |x| ≤ 1 has a form in x²,
    beyond it erf is 1 minus exp(−x²) times a rational function. The coefficients are our own.

    Examples
    --------
    >>> import numpy as np
    >>> erf(np.asarray([0.0, 0.5, -1.0, np.inf])).round(6)
    array([ 0.      ,  0.5205  , -0.842701,  1.      ])
    """
    xp = namespace(x)
    single = _is_single(xp, x)
    reach = 4.0 if single else 6.0
    numerator, denominator = _OUTER_SINGLE if single else _OUTER_DOUBLE
    x = xp.clip(x, -reach, reach)
    a, t = xp.abs(x), x * x
    inside = x + x * _polynomial(t, _INNER_SINGLE if single else _INNER_DOUBLE)
    outside = 1.0 - xp.exp(-t) * (_polynomial(a, numerator) / _polynomial(a, denominator))
    # −1, ±0 or 1: which form counts, with x's sign; on NumPy several times faster than where
    side = xp.trunc(xp.clip(x, -1.0, 1.0))
    return (1.0 - side * side) * inside + side * outside


@erf.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    xp = namespace(x)
    return (g * _gaussian(xp, _within(xp, x, 1.0), 1.0, 2.0 / math.sqrt(math.pi)),)


@erf.jvp
def _(tangents: Any, y: Any, x: Any, /) -> Any:
    xp = namespace(x)
    return tangents.x * _gaussian(xp, _within(xp, x, 1.0), 1.0, 2.0 / math.sqrt(math.pi))


@operation(domain=_line, jax_derivative="jvp")
def ndtr(x: Array, /) -> Array:
    r"""Distribution function of the standard normal distribution.

    Φ(x) = 1/√(2π) · ∫₋∞ˣ exp(−t²/2) dt = (1 + erf(x/√2))/2

    Parameters
    ----------
    x : array of any shape, real. In standard deviations from the mean.

    Returns
    -------
    array like `x`: same shape, dtype, device. In [0, 1].

    Raises
    ------
    DTypeError : complex numbers, objects, masked arrays.

    Notes
    -----
    Within 5 ulp in float32 and float64, the left tail included until it underflows (x = −37.5 in float64, −12.9 in
    float32), computed in that dtype; float16 and bfloat16 are computed in float32. Cost: one exponential, two
    divisions and some 50 (float32) or 75 (float64) additions and multiplications an element. Φ(−∞) = 0, Φ(∞) = 1,
    Φ(NaN) = NaN. For the right tail use ``ndtr(-x)``: 1 − Φ(x) has no digits left. The derivative, the density,
    keeps its relative accuracy until it underflows. The exact gelu is ``x * ndtr(x)``.

    References
    ----------
    Cody (1969), Rational Chebyshev approximations for the error function, Math. Comp. 23: the split exponential.
    Shepherd and Laframboise (1981), Chebyshev approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x < ∞, Math. Comp. 36:
    the variable (a − k)/(a + k). The coefficients are our own.

    Examples
    --------
    >>> import numpy as np
    >>> ndtr(np.asarray([-np.inf, -1.959964, 0.0, 1.959964])).round(6)
    array([0.   , 0.025, 0.5  , 0.975])
    >>> float(ndtr(np.asarray(-30.0)))
    4.906713927148...e-198
    """
    xp = namespace(x)
    single = _is_single(xp, x)
    k = 1.75 if single else 3.5
    x = _within(xp, x, 0.5)
    right = xp.astype(x >= 0.0, x.dtype)
    sign = 2.0 * right - 1.0
    a = x * sign  # not abs: libraries disagree on its derivative at 0
    shifted = a + k
    ratio = _polynomial((a - k) / shifted, TAIL_SINGLE if single else TAIL_DOUBLE) / shifted
    return right - sign * _gaussian(xp, x, 0.5, ratio)


@ndtr.vjp
def _(g: Any, y: Any, x: Any, /, *, needs: Any) -> Any:
    xp = namespace(x)
    return (g * _gaussian(xp, _within(xp, x, 0.5), 0.5, 1.0 / math.sqrt(2.0 * math.pi)),)


@ndtr.jvp
def _(tangents: Any, y: Any, x: Any, /) -> Any:
    xp = namespace(x)
    return tangents.x * _gaussian(xp, _within(xp, x, 0.5), 0.5, 1.0 / math.sqrt(2.0 * math.pi))
