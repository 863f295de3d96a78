"""SciPy's special functions of traced arrays: against differences, in second order, and what has no rule."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import special

from pillars import CapabilityError
from pillars.calculus import grad, hvp
from pillars.calculus.autodiff.functions._scipy_special import SPECIAL

POSITIVE = np.asarray([0.3, 0.9, 1.7, 4.2])
UNIT = np.asarray([0.1, 0.35, 0.6, 0.93])
ANY = np.asarray([-2.5, -0.4, 0.7, 3.1])
CASES: dict[str, tuple[Any, ...]] = {
    **{
        name: (getattr(special, name), ANY)
        for name in ("erf", "erfc", "erfcx", "ndtr", "log_ndtr", "expit", "log_expit")
    },
    **{name: (getattr(special, name), ANY) for name in ("exp10", "i0", "i1", "j0", "j1", "gamma", "rgamma")},
    **{
        name: (getattr(special, name), POSITIVE)
        for name in ("entr", "gammaln", "loggamma", "psi", "y0", "y1")
    },
    **{name: (getattr(special, name), UNIT) for name in ("erfinv", "erfcinv", "ndtri", "logit")},
    **{
        name: (getattr(special, name), POSITIVE, POSITIVE[::-1].copy())
        for name in ("xlogy", "xlog1py", "beta", "betaln")
    },
    **{
        name: (lambda x, name=name: getattr(special, name)(1.5, x), POSITIVE)
        for name in ("gammainc", "gammaincc")
    },
    "betainc": (lambda x: special.betainc(1.5, 2.5, x), UNIT),
    "_zeta": (lambda x: special.zeta(2.0, x), POSITIVE),
    "iv": (lambda x: special.iv(1.5, x), POSITIVE),
    "jv": (lambda x: special.jv(1.5, x), POSITIVE),
    "yn": (lambda x: special.yn(3, x), POSITIVE),
}


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == set(SPECIAL)


@pytest.mark.parametrize("name", CASES)
def test_against_differences(name: str) -> None:
    f, *args = CASES[name]
    h = 1e-6
    for place, x in enumerate(args):

        def along(t: Any, place: int = place) -> Any:
            return f(*args[:place], t, *args[place + 1 :])

        found = grad(lambda t: np.sum(along(t)))(x)
        np.testing.assert_allclose(found, (along(x + h) - along(x - h)) / (2 * h), rtol=1e-6, atol=1e-9)
        slope = grad(lambda t: np.sum(along(t)))
        curvature = hvp(lambda t: np.sum(along(t)), x, np.ones(4))
        # by the gradient that has just been checked
        np.testing.assert_allclose(curvature, (slope(x + h) - slope(x - h)) / (2 * h), rtol=1e-6, atol=1e-7)


def test_what_has_no_rule_says_so() -> None:
    with pytest.raises(CapabilityError, match="gammainc with respect to its parameters"):
        grad(lambda a: special.gammainc(a, 2.0))(1.5)
    with pytest.raises(CapabilityError, match="got ellipk"):
        grad(special.ellipk)(0.5)


def test_dtypes_stay() -> None:
    found = grad(lambda x: np.sum(special.expit(x)))(np.ones(2, np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, special.expit(1.0) * special.expit(-1.0), rtol=1e-6)


@pytest.mark.parametrize("x", [-1e8, -40.0, -5.0, 0.0, 0.7, 24.9, 25.1, 30.0])
def test_the_normal_tail_keeps_its_digits_in_both_derivatives(x: float) -> None:
    with mpmath.workdps(60):
        a = mpmath.mpf(x)
        if x < -1e3:
            # φ/Φ far out, by its asymptotic series
            hazard = -a * (1 + 1 / a**2 - 2 / a**4)
        else:
            hazard = 2 * mpmath.npdf(a) / mpmath.erfc(-a / mpmath.sqrt(2))
        slope, curvature = float(hazard), float(-hazard * (hazard + a))
    at = np.asarray(x)
    # exp(−a²/2) rounds to some a² units
    close = {"rel": 1e-13, "abs": 1e-300}
    assert float(grad(special.log_ndtr)(at)) == pytest.approx(slope, **close)
    assert float(grad(grad(special.log_ndtr))(at)) == pytest.approx(curvature, **close)


@pytest.mark.parametrize("x", [0.5, 10.0, 24.9, 25.1, 1e4, 1e8])
def test_the_scaled_error_function_far_out(x: float) -> None:
    with mpmath.workdps(60):
        a = mpmath.mpf(x)
        series = [(-1) ** n * mpmath.fac2(2 * n + 1) / (2 * a * a) ** n for n in range(9)]
        far = -mpmath.fsum(series) / (mpmath.sqrt(mpmath.pi) * a * a)
        near = 2 * a * mpmath.erfc(a) * mpmath.exp(a * a) - 2 / mpmath.sqrt(mpmath.pi) if x < 100 else far
    assert float(grad(special.erfcx)(np.asarray(x))) == pytest.approx(float(near), rel=1e-12)
