"""What stands beside a traced array, in every case: lists, arrays refilled later, complex numbers; and odd options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from calculus._traced_cases import NUMBERED, arguments, central, scalar, weights_of
from pillars import CapabilityError, DTypeError, ShapeError
from pillars.calculus import grad, vjp
from pillars.measure.audit.cases import Case

X = np.asarray([1.0, 2.0, 3.0])
V = np.asarray([1.0, 2.0, 4.0, 7.0, 11.0])
SEVERAL = [p for p in NUMBERED if len(p.values[0].draws) > 1]


# ------------------------------------------------------------------------------------------------------------- lists
@pytest.mark.parametrize("case", SEVERAL)
def test_a_list_is_an_array(case: Case) -> None:
    seed, args = arguments(case)
    for place, x in enumerate(args):
        given = [a if i == place else a.tolist() for i, a in enumerate(args)]
        try:
            wanted = case.f(np, *given)
        except (AttributeError, TypeError, IndexError, ValueError):  # NumPy takes no list there
            continue
        found, _ = vjp(lambda x, p=place, g=given: case.f(np, *g[:p], x, *g[p + 1 :]), x)
        np.testing.assert_allclose(
            found, wanted, rtol=1e-13, atol=1e-14, err_msg=f"argument {place}, seed {seed}"
        )


# ----------------------------------------------------------------------------------------------------------- refilled
def _plain(x: Any) -> Any:
    return x


def _read_only(x: Any) -> Any:
    view = x.view()
    view.flags.writeable = False
    return view


def _strided(x: Any) -> Any:
    """A view whose base is an object of NumPy's own, not an array."""
    return np.lib.stride_tricks.as_strided(x, writeable=False)


def _of_a_buffer(x: Any) -> Any:
    """A read-only view of memory that an object with a buffer lends."""
    return np.frombuffer(memoryview(x).cast("B").toreadonly(), dtype=x.dtype).reshape(x.shape)


@pytest.mark.parametrize("lend", [_plain, _read_only, _strided, _of_a_buffer])
@pytest.mark.parametrize("case", SEVERAL)
def test_refilling_what_was_captured_changes_no_gradient(case: Case, lend: Callable[[Any], Any]) -> None:
    seed, args = arguments(case)
    w = weights_of(case, args, seed)
    for place, x in enumerate(args):
        own = [np.asarray(a).copy() for a in args]
        given = [lend(a) for a in own]

        def f(x: Any, beside: list[Any], place: int = place) -> Any:
            return scalar(case, np, w, *beside[:place], x, *beside[place + 1 :])

        wanted = grad(f)(x, args)
        _, pull = vjp(lambda x, f=f, given=given: f(x, given), x)
        for i, a in enumerate(own):
            if i != place:
                a[...] = np.arange(1.0, a.size + 1.0).reshape(a.shape) ** 2
        np.testing.assert_array_equal(
            pull(np.float64(1.0))[0], wanted, err_msg=f"argument {place}, seed {seed}"
        )


def test_memory_that_nobody_can_write_to_is_not_copied() -> None:
    from pillars.backends import backend
    from pillars.calculus.autodiff._aliasing import freeze
    from pillars.calculus.autodiff._namespace import space_of

    trace = space_of(backend("numpy")).constants
    fixed = np.frombuffer(X.tobytes())
    assert freeze(trace, fixed) is fixed
    lent = np.frombuffer(memoryview(bytearray(X.tobytes())).toreadonly())
    assert freeze(trace, lent) is not lent


def test_what_a_rule_keeps_is_no_array_of_the_caller_s() -> None:
    shift = np.asarray([1, 0])
    w = np.arange(6.0).reshape(2, 3)
    _, pull = vjp(lambda x: np.sum(np.roll(x, shift, axis=(0, 1)) * w), w)
    shift[...] = 0, 2
    np.testing.assert_array_equal(pull(1.0)[0], np.roll(w, (-1, 0), axis=(0, 1)))


# ------------------------------------------------------------------------------------------------------------ complex
@pytest.mark.parametrize("case", NUMBERED)
def test_through_complex_numbers(case: Case) -> None:
    if case.rule == "astype":
        pytest.skip("not applicable: a rounded function has no differences")
    seed, args = arguments(case)
    rng = np.random.default_rng(seed + 2)
    z = [a + 0.4j * rng.standard_normal(a.shape) for a in args]
    try:
        with np.errstate(all="ignore"):
            y = case.f(np, *z)
    except (TypeError, ValueError, np.exceptions.ComplexWarning):
        pytest.skip("not applicable: NumPy has it for real numbers alone")
    w = rng.standard_normal(np.shape(y)) + 1j * rng.standard_normal(np.shape(y))
    for place in range(len(args)):

        def f(t: Any, place: int = place) -> Any:
            given = [one * t if i == place else one for i, one in enumerate(z)]
            return np.sum(np.real(case.f(np, *given) * w))

        t = np.ones_like(args[place])
        try:
            found = grad(f)(t)
        except CapabilityError as error:
            assert "complex" in str(error)  # noqa: PT017 - either a right gradient or a refusal that says why
            continue
        # h² f‴/6 + eps |f| / h, with |f| and f‴ of order 100 where two complex numbers meet
        wanted = central(f, [t], 0)
        np.testing.assert_allclose(
            found, wanted, rtol=1e-6, atol=2e-7, err_msg=f"argument {place}, seed {seed}"
        )


# ------------------------------------------------------------------------------------------------- options, and edges
def test_interpolation_around_a_period() -> None:
    x = np.asarray([-180.0, -170, -185, 185, -10, -5, 0, 365]) + 1.3  # between the points
    xp, fp, w = np.asarray([190.0, -190, 350, -350]), np.asarray([5.0, 10, 3, 4]), np.arange(1.0, 9.0)

    def f(x: Any, xp: Any, fp: Any, period: Any) -> Any:
        return np.sum(w * np.interp(x, xp, fp, period=period))

    args = [x, xp, fp, np.asarray(360.0)]
    value, pull = vjp(f, *args)
    assert value == pytest.approx(float(f(*args)), rel=1e-14)
    for place, found in enumerate(pull(1.0)):
        np.testing.assert_allclose(found, central(f, args, place), rtol=1e-7, atol=1e-6)
    with pytest.raises(ShapeError, match="period"):
        grad(lambda x: f(x, xp, fp, 0.0))(x)


@pytest.mark.parametrize(
    "options",
    [{}, {"bins": 5, "range": (-1.0, 1.0)}, {"bins": [-1.0, 0.0, 0.5, 2.0]}, {"bins": 4, "density": True}],
)
def test_histograms_of_traced_weights_and_numbers(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(30), rng.uniform(0.5, 1.5, 30)

    def f(x: Any, w: Any) -> Any:
        counts, edges = np.histogram(x, weights=w, **options)
        u = np.arange(1.0, len(edges) + 1)
        return np.sum(counts * u[1:]) + np.sum(edges * u**2)

    value, pull = vjp(f, x, w)
    assert value == pytest.approx(float(f(x, w)), rel=1e-13)
    for place, found in enumerate(pull(1.0)):
        np.testing.assert_allclose(found, central(f, [x, w], place), rtol=1e-6, atol=1e-6)


def test_slopes_of_a_traced_spacing() -> None:
    for order in (1, 2):
        w = np.arange(1.0, 6.0)

        def f(h: Any, order: int = order, w: Any = w) -> Any:
            return np.sum(np.gradient(V, h, edge_order=order) * w)

        np.testing.assert_allclose(grad(f)(np.asarray(0.5)), central(f, [np.asarray(0.5)], 0), rtol=1e-7)


def test_ratios_of_negative_numbers() -> None:
    def f(a: Any) -> Any:
        return np.sum(np.geomspace(a, -8.0, 4) * np.arange(4.0))

    a = np.asarray(-1.0)
    np.testing.assert_allclose(grad(f)(a), central(f, [a], 0), rtol=1e-7)
    with pytest.raises(ShapeError, match="one sign"):
        grad(lambda a: np.sum(np.geomspace(a, 8.0, 4)))(a)


@pytest.mark.parametrize(
    ("f", "kind", "said"),
    [
        (lambda x: np.sum(np.pad(x, 2, mode="reflect", reflect_type="odd")), CapabilityError, "reflect_type"),
        (lambda x: np.histogram_bin_edges(x, "auto")[1], CapabilityError, "bins='auto'"),
        (lambda x: np.quantile(x, 1.5), ShapeError, r"\[0, 1\]"),
        (lambda x: np.percentile(x, -3), ShapeError, r"\[0, 1\]"),
        (lambda x: np.sum(np.gradient(x, [1.0, 2.0])), ShapeError, "spacing"),
        (lambda x: np.ma.masked, ShapeError, "MaskedConstant"),
    ],
)
def test_what_is_not_done_is_refused(f: Any, kind: Any, said: str) -> None:
    with pytest.raises(kind, match=said):
        grad(f)(X)


def test_an_element_of_a_flat_view_is_refused() -> None:
    def assigning(x: Any) -> Any:
        y = np.zeros(3)
        y.flat[0] = x[0]
        return np.sum(y)

    with pytest.raises(CapabilityError, match="assigned"):
        grad(assigning)(X)


def test_what_is_whole_is_a_constant() -> None:
    np.testing.assert_array_equal(grad(lambda x: np.sum(x, dtype=int) * x[0])(X), [6.0, 0.0, 0.0])
    np.testing.assert_array_equal(grad(lambda x: round(x[0] * 1.4) * x[1])(X), [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(grad(lambda x: np.sum(x[[]]))(X), np.zeros(3))


def test_nan_reaches_the_gradient_of_an_extreme() -> None:
    bad = np.asarray([[1.0, np.nan, 2.0], [2.0, 3.0, 1.0]])
    for f in (
        np.max,
        lambda x: np.linalg.norm(x, np.inf),
        lambda x: np.linalg.norm(x[0], np.inf),
        lambda x: np.sum(np.corrcoef(x)),
    ):
        assert np.isnan(grad(f)(bad)).any()


def test_a_function_is_asked_for() -> None:
    from pillars.calculus import check_gradient, hvp, jacobian

    for call in (lambda: grad(3), lambda: hvp(3, X, X), lambda: jacobian(3, X), lambda: check_gradient(3, X)):
        with pytest.raises(DTypeError, match="f is 3, expected a function"):
            call()
