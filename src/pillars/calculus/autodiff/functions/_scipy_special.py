"""Derivatives of SciPy's special functions, which reach a traced array by NumPy's protocol of ufuncs.

Nothing here imports SciPy: who calls one of its functions has done so, and the other functions of its derivative stand
beside it. They are ufuncs themselves, so that these rules can be traced again.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from pillars.calculus.autodiff._rule import Rule

__all__ = ["SPECIAL", "special_rule"]

# (s, xp, g, y, *operands) -> cotangent; s is scipy.special. None: that operand has no rule
SPECIAL: dict[str, tuple[Callable[..., Any] | None, ...]] = {}
_MADE: dict[Any, Rule] = {}
_ROOT, _NORMAL = 2.0 / math.sqrt(math.pi), 1.0 / math.sqrt(2.0 * math.pi)


def _density(xp: Any, x: Any) -> Any:
    return _NORMAL * xp.exp(-0.5 * x * x)


def _erfcx_slope(xp: Any, y: Any, a: Any) -> Any:
    """2a·erfcx(a) − 2/√π, which cancels where a is large: by its asymptotic series there."""
    far = a > 25.0
    x = xp.where(far, a, xp.full_like(a, 25.0))
    t = 0.5 / (x * x)
    total = 1.0 - 15.0 * t
    for odd in (13.0, 11.0, 9.0, 7.0, 5.0, 3.0):
        total = 1.0 - odd * t * total
    return xp.where(far, -_ROOT * t * total, 2.0 * a * y - _ROOT)


def _hazard(s: Any, xp: Any, y: Any, a: Any) -> Any:
    """φ(a)/Φ(a), of log Φ = y: of a/√2 by erfcx where both vanish."""
    low = a < 0.0
    down = xp.where(low, a, xp.zeros_like(a))
    tail = math.sqrt(2.0 / math.pi) / s.erfcx(-down / math.sqrt(2.0))
    up = xp.where(low, xp.zeros_like(a), a)
    return xp.where(low, tail, _NORMAL * xp.exp(-0.5 * up * up - xp.where(low, xp.zeros_like(y), y)))


SPECIAL.update(
    # the error function and the normal distribution
    erf=(lambda s, xp, g, y, a: g * (_ROOT * xp.exp(-a * a)),),
    erfc=(lambda s, xp, g, y, a: -g * (_ROOT * xp.exp(-a * a)),),
    erfcx=(lambda s, xp, g, y, a: g * _erfcx_slope(xp, y, a),),
    erfinv=(lambda s, xp, g, y, a: g * (xp.exp(y * y) / _ROOT),),
    erfcinv=(lambda s, xp, g, y, a: -g * (xp.exp(y * y) / _ROOT),),
    ndtr=(lambda s, xp, g, y, a: g * _density(xp, a),),
    ndtri=(lambda s, xp, g, y, a: g / _density(xp, y),),
    log_ndtr=(lambda s, xp, g, y, a: g * _hazard(s, xp, y, a),),
    # the logistic function, logarithms and entropies
    expit=(lambda s, xp, g, y, a: g * (y * s.expit(-a)),),
    log_expit=(lambda s, xp, g, y, a: g * s.expit(-a),),
    logit=(lambda s, xp, g, y, a: g / (a * (1.0 - a)),),
    exp10=(lambda s, xp, g, y, a: g * (y * math.log(10.0)),),
    entr=(lambda s, xp, g, y, a: -g * (xp.log(a) + 1.0),),
    xlogy=(lambda s, xp, g, y, a, b: g * xp.log(b), lambda s, xp, g, y, a, b: g * (a / b)),
    xlog1py=(lambda s, xp, g, y, a, b: g * xp.log1p(b), lambda s, xp, g, y, a, b: g * (a / (1.0 + b))),
    # the gamma function and its kin
    gamma=(lambda s, xp, g, y, a: g * (y * s.psi(a)),),
    gammaln=(lambda s, xp, g, y, a: g * s.psi(a),),
    loggamma=(lambda s, xp, g, y, a: g * s.psi(a),),
    rgamma=(lambda s, xp, g, y, a: -g * (y * s.psi(a)),),
    psi=(lambda s, xp, g, y, a: g * s.zeta(2.0, a),),
    _zeta=(None, lambda s, xp, g, y, a, b: -g * (a * s.zeta(a + 1.0, b))),
    beta=(
        lambda s, xp, g, y, a, b: g * (y * (s.psi(a) - s.psi(a + b))),
        lambda s, xp, g, y, a, b: g * (y * (s.psi(b) - s.psi(a + b))),
    ),
    betaln=(
        lambda s, xp, g, y, a, b: g * (s.psi(a) - s.psi(a + b)),
        lambda s, xp, g, y, a, b: g * (s.psi(b) - s.psi(a + b)),
    ),
    gammainc=(None, lambda s, xp, g, y, a, b: g * xp.exp(s.xlogy(a - 1.0, b) - b - s.gammaln(a))),
    gammaincc=(None, lambda s, xp, g, y, a, b: -g * xp.exp(s.xlogy(a - 1.0, b) - b - s.gammaln(a))),
    betainc=(
        None,
        None,
        lambda s, xp, g, y, a, b, c: (
            g * xp.exp(s.xlogy(a - 1.0, c) + s.xlog1py(b - 1.0, -c) - s.betaln(a, b))
        ),
    ),
    # Bessel functions, of a fixed order
    i0=(lambda s, xp, g, y, a: g * s.i1(a),),
    i1=(lambda s, xp, g, y, a: g * (0.5 * (s.i0(a) + s.iv(2, a))),),
    iv=(None, lambda s, xp, g, y, a, b: g * (0.5 * (s.iv(a - 1, b) + s.iv(a + 1, b)))),
    j0=(lambda s, xp, g, y, a: -g * s.j1(a),),
    j1=(lambda s, xp, g, y, a: g * (0.5 * (s.j0(a) - s.jv(2, a))),),
    jv=(None, lambda s, xp, g, y, a, b: g * (0.5 * (s.jv(a - 1, b) - s.jv(a + 1, b)))),
    y0=(lambda s, xp, g, y, a: -g * s.y1(a),),
    y1=(lambda s, xp, g, y, a: g * (0.5 * (s.y0(a) - s.yn(2, a))),),
    yn=(None, lambda s, xp, g, y, a, b: g * (0.5 * (s.yn(a - 1, b) - s.yn(a + 1, b)))),
)


def _pull(
    pull: Callable[..., Any] | None, name: str, refuse: Callable[[str], Exception]
) -> Callable[..., Any]:
    def pulled(xp: Any, g: Any, y: Any, *operands: Any) -> Any:
        if pull is None:
            raise refuse(f"{name} with respect to its parameters")
        return pull(sys.modules["scipy.special"], xp, g, y, *operands)

    return pulled


def special_rule(ufunc: Any, refuse: Callable[[str], Exception]) -> Rule | None:
    """The rule of one of SciPy's ufuncs, or None; `refuse` makes the error for an operand without a derivative."""
    name = ufunc.__name__
    if name not in SPECIAL or "scipy.special" not in sys.modules:
        return None
    if ufunc not in _MADE:
        pulls = tuple(_pull(pull, name, refuse) for pull in SPECIAL[name])
        forward = lambda xp, *operands: ufunc(*operands)  # noqa: E731
        _MADE[ufunc] = Rule(name, pulls, "yabc", forward, None, elementwise=True, variadic=False, results=1)
    return _MADE[ufunc]
