"""First and second derivatives at 0, ties, singular matrices and the ends of the range: right, or NaN."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from contracts._variants import Variant
from pillars.backends import backend, namespace
from pillars.calculus import grad, hvp, jacobian, mean_absolute_error, preflight, sgd
from pillars.calculus.autodiff._rule import RULES
from pillars.linalg._projection import inverse_transform
from pillars.measure.audit._special_points import special_point
from pillars.measure.audit.cases import SPECIAL, Special
from pillars.probability import erf, ndtr

LN2, LN10 = mpmath.log(2), mpmath.log(10)
EPS, TINY = 2.0**-52, 2.0**-1022
ENDS = (0.0, 5e-324, -1e-310, 1e-160, -1e-8, 0.5, -1.0, 1.0, 2.0, 30.0, -1e8, 1e160, 1.7e308)


@pytest.fixture(params=["numpy", "strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def home(request: pytest.FixtureRequest) -> Any:
    where = Variant(request.param, request.param)
    reason = where.why_not()
    if reason is not None:
        pytest.skip(f"not run: {reason}")
    return where.backend


@pytest.mark.parametrize("number", [pytest.param(i, id=f"{p.name}-{i}") for i, p in enumerate(SPECIAL)])
def test_derivatives_at_special_points(number: int, home: Any) -> None:
    point: Special = SPECIAL[number]
    if not point.applies(home.name):
        pytest.skip(
            "not applicable: the library has not what the function uses, or means something else by it"
        )
    with np.errstate(all="ignore"):
        row = special_point(home, point)
    assert row.ok, row


# -------------------------------------------------------------------------------------------- rules of one number each
def _quotient(top: Any, bottom: Any) -> Any:
    """NaN where there is no such number; ∞ where the slope is vertical, from the right."""
    return top / bottom if bottom != 0 else (mpmath.nan if top == 0 else top * mpmath.inf)


def _inverse_root(x: Any, q: Any) -> Any:
    """1/√q for q ≥ 0."""
    return mpmath.nan if q < 0 else _quotient(mpmath.mpf(1), mpmath.sqrt(q))


M = mpmath
# f′ and f″ in many digits; beyond the domain of log and atanh the slopes of log(−x) and of their real continuation
UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "exp": (M.exp, M.exp),
    "exp2": (lambda x: M.power(2, x) * LN2, lambda x: M.power(2, x) * LN2**2),
    "expm1": (M.exp, M.exp),
    "log": (lambda x: _quotient(M.mpf(1), x), lambda x: -_quotient(M.mpf(1), x * x)),
    "log2": (lambda x: _quotient(1 / LN2, x), lambda x: -_quotient(1 / LN2, x * x)),
    "log10": (lambda x: _quotient(1 / LN10, x), lambda x: -_quotient(1 / LN10, x * x)),
    "log1p": (lambda x: _quotient(M.mpf(1), 1 + x), lambda x: -_quotient(M.mpf(1), (1 + x) ** 2)),
    "sqrt": (lambda x: _inverse_root(x, x) / 2, lambda x: -_inverse_root(x, x**3) / 4),
    "cbrt": (
        lambda x: _quotient(M.mpf(1), 3 * M.cbrt(abs(x)) ** 2),
        lambda x: -_quotient(M.mpf(2), 9 * M.sign(x) * M.cbrt(abs(x)) ** 5),
    ),
    "square": (lambda x: 2 * x, lambda x: M.mpf(2)),
    "reciprocal": (lambda x: -_quotient(M.mpf(1), x * x), lambda x: _quotient(M.mpf(2), x**3)),
    "sin": (M.cos, lambda x: -M.sin(x)),
    "cos": (lambda x: -M.sin(x), lambda x: -M.cos(x)),
    "tan": (lambda x: M.sec(x) ** 2, lambda x: 2 * M.tan(x) * M.sec(x) ** 2),
    "asin": (lambda x: _inverse_root(x, 1 - x * x), lambda x: x * _inverse_root(x, (1 - x * x) ** 3)),
    "acos": (lambda x: -_inverse_root(x, 1 - x * x), lambda x: -x * _inverse_root(x, (1 - x * x) ** 3)),
    "atan": (lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "sinh": (M.cosh, M.sinh),
    "cosh": (M.sinh, M.cosh),
    "tanh": (lambda x: M.sech(x) ** 2, lambda x: -2 * M.tanh(x) * M.sech(x) ** 2),
    "asinh": (lambda x: 1 / M.sqrt(1 + x * x), lambda x: -x / M.sqrt(1 + x * x) ** 3),
    "acosh": (
        lambda x: _inverse_root(x, x * x - 1) if x >= 1 else M.nan,
        lambda x: -x * _inverse_root(x, (x * x - 1) ** 3) if x >= 1 else M.nan,
    ),
    "atanh": (
        lambda x: _quotient(M.mpf(1), 1 - x * x),
        lambda x: _quotient(2 * x, (1 - x * x) ** 2),
    ),
    "deg2rad": (lambda x: M.pi / 180, lambda x: M.mpf(0)),
    "rad2deg": (lambda x: 180 / M.pi, lambda x: M.mpf(0)),
    "negative": (lambda x: M.mpf(-1), lambda x: M.mpf(0)),
    "positive": (lambda x: M.mpf(1), lambda x: M.mpf(0)),
    "abs": (M.sign, lambda x: M.mpf(0)),
}
# where digits are lost for good, and what is then right beside the largest value: 1 − tanh² has none of its own
ABSOLUTE = {"tanh": EPS}


def agrees(found: float, truth: Any, name: str, beside: Any = 0) -> bool:
    """Right to 64 roundings, or NaN; what overflows is infinite, what vanishes among the subnormal numbers."""
    if math.isnan(found):
        return True
    if M.isnan(truth):
        return not math.isfinite(found)
    if M.isinf(truth) or abs(truth) > M.mpf(2) ** 1024:
        return math.isinf(found)
    size = 64 * EPS * float(abs(truth)) + 4 * TINY + 4 * ABSOLUTE.get(name, 0.0)
    size += 64 * EPS * float(beside)
    return math.isfinite(found) and abs(found - float(truth)) <= size


def test_every_rule_of_one_number_is_here() -> None:
    assert {name for name, rule in RULES.items() if rule.elementwise and len(rule.pulls) == 1} <= set(UNARY)


@pytest.mark.parametrize("name", UNARY)
def test_both_derivatives_at_the_ends_of_the_range(name: str) -> None:
    with np.errstate(all="ignore"), mpmath.workdps(400):
        in_standard = name not in ("exp2", "cbrt", "deg2rad", "rad2deg")
        f = lambda x: getattr(namespace(x) if in_standard else np, name)(x)  # noqa: E731
        for end in (*ENDS, *(-x for x in ENDS)):
            if name in ("sin", "cos", "tan") and abs(end) > 1e8:
                continue
            x = np.asarray(end)
            for found, truth in zip((grad(f)(x), grad(grad(f))(x)), UNARY[name], strict=True):
                assert agrees(float(found), truth(M.mpf(end)), name), (name, end, found, truth(M.mpf(end)))


@pytest.mark.parametrize("xp_name", ["logaddexp", "hypot", "atan2", "divide"])
def test_pairs_at_the_ends_of_the_range(xp_name: str) -> None:
    """In the first of two, in closed form; a second derivative to roundings of the largest of all three."""
    numbers = (5e-324, 3e-200, 1e-8, 1.0, 3.0, 1e8, 2e150)
    truths = {
        "logaddexp": lambda a, b: (1 / (1 + M.exp(b - a)), M.exp(b - a) / (1 + M.exp(b - a)) ** 2),
        "hypot": lambda a, b: (a / M.hypot(a, b), b * b / M.hypot(a, b) ** 3),
        "atan2": lambda a, b: (b / (a * a + b * b), -2 * a * b / (a * a + b * b) ** 2),
        "divide": lambda a, b: (1 / b, M.mpf(0)),
    }
    with np.errstate(all="ignore"), mpmath.workdps(400):
        for a, b in itertools.product(numbers, numbers):
            f = lambda a, b=b: getattr(np, {"atan2": "arctan2"}.get(xp_name, xp_name))(a, b)  # noqa: E731
            if xp_name == "atan2" and min(a, b) < 1e-150:
                # its second derivative, of 1/r², overflows on the way there
                continue
            x = np.asarray(a)
            found = grad(f)(x), grad(grad(f))(x)
            largest = 1 / M.hypot(M.mpf(a), M.mpf(b)) if xp_name == "hypot" else 0
            truth = truths[xp_name](M.mpf(a), M.mpf(b))
            assert agrees(float(found[0]), truth[0], xp_name), (a, b, found, M.nstr(truth[0], 17))
            assert agrees(float(found[1]), truth[1], xp_name, largest), (a, b, found, M.nstr(truth[1], 17))


# --------------------------------------------------------------------------------------------------------- determinants
def test_the_third_derivative_of_a_determinant() -> None:
    """Against that of the same polynomial by traces; of matrices of rank 3, 2, 1 and 0."""
    rng = np.random.default_rng(4)
    eye, (u, v, w) = np.eye(3), rng.standard_normal((3, 3, 3))

    def by_traces(a: Any) -> Any:
        trace = lambda m: np.sum(m * eye)  # noqa: E731
        return (trace(a) ** 3 - 3 * trace(a) * trace(a @ a) + 2 * trace(a @ a @ a)) / 6

    def third(f: Any, a: Any) -> Any:
        second = lambda b: np.sum(grad(lambda c: np.sum(grad(f)(c) * u))(b) * v)  # noqa: E731
        return np.sum(grad(second)(a) * w)

    for a in (rng.standard_normal((3, 3)), np.arange(9.0).reshape(3, 3), np.ones((3, 3)), np.zeros((3, 3))):
        assert third(np.linalg.det, a) == pytest.approx(third(by_traces, a), rel=1e-12, abs=1e-12)


def test_determinants_side_by_side_and_complex_ones() -> None:
    stack = np.stack([np.arange(9.0).reshape(3, 3), np.eye(3), np.ones((3, 3))])
    together = jacobian(grad(lambda a: np.sum(np.linalg.det(a))), stack)
    for i, a in enumerate(stack):
        alone = jacobian(grad(np.linalg.det), a)
        np.testing.assert_allclose(together[i, :, :, i], alone, atol=1e-13)
        np.testing.assert_array_equal(np.delete(together[i], i, axis=2), 0.0)
    turned = np.asarray([[1.0, 2.0], [2.0, 4.0]])

    def real(a: Any) -> Any:
        return np.real(np.linalg.det(a + 1j * turned))

    # Re det(A + iB) = det A − det B for 2 × 2: linear in every entry still
    np.testing.assert_allclose(
        jacobian(grad(real), turned), jacobian(grad(np.linalg.det), turned), atol=1e-13
    )


def test_one_singular_matrix_takes_nothing_from_those_beside_it() -> None:
    stack = np.stack([np.ones((2, 2)), np.diag([2.0, 4.0])])
    g = grad(lambda a: np.sum(np.linalg.slogdet(a)[1]))(stack)
    assert np.isnan(g[0]).all()
    np.testing.assert_allclose(g[1], np.diag([0.5, 0.25]))


@pytest.mark.parametrize("order", [0.5, 1.5, 2, 3, -1])
def test_a_norm_of_zeros_has_no_curvature_of_any_order(order: float) -> None:
    x = np.asarray([[0.0, 0.0], [1.0, 2.0]])
    with np.errstate(all="ignore"):
        # the other slice keeps what it has
        alone = hvp(lambda x: np.linalg.norm(x, order), x[1], np.ones(2))
        g = grad(lambda x: np.sum(np.linalg.norm(x, order, axis=1)))(x)
        h = hvp(lambda x: np.sum(np.linalg.norm(x, order, axis=1)), x, np.ones((2, 2)))
        square = hvp(lambda x: np.sum(np.linalg.norm(x, order, axis=1) ** 2), x, np.ones((2, 2)))
    np.testing.assert_array_equal(g[0], 0.0)
    assert np.isnan(h[0]).all()
    np.testing.assert_allclose(h[1], alone, rtol=1e-13)
    np.testing.assert_array_equal(square[0], 2.0 if order == 2 else np.nan)


# ------------------------------------------------------------------------------------------------- what users are told
def test_a_rate_beyond_the_limit_is_seen_where_the_norm_is_zero() -> None:
    for f in (lambda x: np.linalg.norm(x) ** 2, lambda x: np.hypot(x[0], x[1]) ** 2):
        found = preflight(f, np.zeros(2), optimizer=sgd(5.0))
        assert found.verdict == "diverges"
        assert found.limit == pytest.approx(1.0)


def test_a_size_that_a_selection_keeps_away_makes_no_nan() -> None:
    x = np.asarray([[3.0, 4.0], [0.0, 0.0]])
    mask = np.asarray([True, False])
    found = hvp(lambda x: np.sum(np.where(mask, np.linalg.norm(x, axis=1), 0.0)), x, np.ones((2, 2)))
    np.testing.assert_allclose(found, [[0.032, -0.024], [0.0, 0.0]], rtol=1e-13)
    # a penalty of weights that are 0: the kink's curvature is that of its sides
    np.testing.assert_array_equal(
        hvp(lambda x: np.sum(np.abs(x)) + np.sum(x * x), np.zeros(2), np.ones(2)), [2.0, 2.0]
    )


@pytest.mark.parametrize("n", [2, 3, 7])
def test_ties_keep_their_shares_in_second_derivatives(n: int) -> None:
    w = np.random.default_rng(n).normal(size=n)

    def by_hand(x: Any) -> Any:
        # what comes back to max is 0 but for rounding, which must not make NaN of it
        e = np.exp(x - np.max(x))
        return np.sum(w * e / np.sum(e))

    smooth = jacobian(grad(lambda x: np.sum(w * np.exp(x) / np.sum(np.exp(x)))), np.zeros(n))
    np.testing.assert_allclose(jacobian(grad(by_hand), np.zeros(n)), smooth, atol=1e-15)
    # where it does not cancel, the documented even share: of x·y it would be [[0, 1], [1, 0]]
    product = lambda v: np.maximum(v[0], v[1]) * np.minimum(v[0], v[1])  # noqa: E731
    np.testing.assert_array_equal(grad(product)(np.asarray([2.0, 2.0])), [2.0, 2.0])
    np.testing.assert_array_equal(jacobian(grad(product), np.asarray([2.0, 2.0])), 0.5)


# ------------------------------------------------------------------------------------------------- counts of halves
def test_counts_do_not_live_in_the_data_s_dtype() -> None:
    n = 70_000
    x = np.ones(n, np.float16)
    truth = np.full(n, np.float16(1 / n))
    everywhere = np.ones(n, bool)
    for f in (
        np.mean,
        np.max,
        np.min,
        np.nanmean,
        np.nanmax,
        lambda x: np.mean(x, where=everywhere),
    ):
        g = grad(f)(x)
        assert g.dtype == np.float16
        np.testing.assert_array_equal(g, truth)
    half = np.where(np.arange(n) % 2 == 0, 1.0, 3.0).astype(np.float16)
    for f in (np.var, np.std, np.nanvar, np.nanstd):
        g = grad(f)(half).astype(float) * n
        # variance 1 about 2: slopes 2·(x − 2)/n and (x − 2)/n, in the half's last digits
        size = 2.0 if f in (np.var, np.nanvar) else 1.0
        np.testing.assert_allclose(g, size * (half.astype(float) - 2.0), atol=n * 2.0**-24)
    assert grad(lambda a: np.sum(np.linspace(a, 3.0, 5001)[2500]))(np.float16(1.0)) == 0.5


def test_counts_on_strict_have_single_precision() -> None:
    xp = backend("strict").xp
    g = grad(lambda x: namespace(x).max(x))(xp.ones(7, dtype=xp.float32))
    assert g.dtype == xp.float32
    np.testing.assert_array_equal(backend("strict").to_numpy(g), np.full(7, np.float32(1 / 7)))


# --------------------------------------------------------------------------------------------------------- operations
def test_an_exact_prediction_has_no_curvature_to_tell() -> None:
    t = np.asarray([1.0, 2.0])
    assert (hvp(lambda p: mean_absolute_error(p, t), t.copy(), np.ones(2)) == 0.0).all()
    # the square of one is (p − t)²: 2, which the sign at 0 does not know
    assert np.isnan(hvp(lambda p: mean_absolute_error(p, t[:1]) ** 2, t[:1].copy(), np.ones(1))).all()


def test_the_curvature_of_erf_and_the_normal_distribution_at_tiny_numbers() -> None:
    x = np.asarray([-3e-301, -1e-12, 1e-12, 3e-301])
    ones = np.ones(4)
    np.testing.assert_allclose(hvp(lambda x: np.sum(erf(x)), x, ones), -4.0 / np.sqrt(np.pi) * x, rtol=1e-14)
    np.testing.assert_allclose(hvp(lambda x: np.sum(ndtr(x)), x, ones), -x / np.sqrt(2 * np.pi), rtol=1e-14)


def test_a_scale_of_nothing_gives_nothing_back() -> None:
    scores, mean, components = np.ones((3, 2)), np.zeros(3), np.eye(3)[:2]
    g = grad(lambda scale: np.sum(inverse_transform(scores, mean, components, scale)))(np.asarray([2.0, 0.0]))
    np.testing.assert_allclose(g, [-0.75, 0.0])
