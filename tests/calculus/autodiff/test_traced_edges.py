"""Gradients at edges: what must not go wrong in silence, matrices, cotangents, far points."""

from __future__ import annotations

import copy
import itertools
from functools import partial
from typing import Any

import array_api_strict
import numpy as np
import pytest

from pillars import BackendError, CapabilityError, DTypeError, ShapeError
from pillars.backends import namespace
from pillars.calculus import grad, gradient_descent, hvp, jacobian, value_and_grad, vjp
from pillars.linalg import eigh
from pillars.probability import softmax


# ------------------------------------------------------------------------------- what must not go wrong in silence
def test_writing_into_a_result_leaves_its_pullback_alone() -> None:
    for f in (np.exp, np.tanh, np.sqrt, softmax, lambda x: x):
        x = np.asarray([0.25, 1.0, 2.0])
        out, pullback = vjp(f, x)
        before = pullback(np.ones(3))[0]
        out -= np.asarray([1.0, 2.0, 3.0])
        np.testing.assert_array_equal(pullback(np.ones(3))[0], before)


def test_the_value_is_not_the_callers_array() -> None:
    x = np.asarray(2.0)
    value, _ = value_and_grad(lambda x: x)(x)
    value += 1.0
    assert x == 2.0


@pytest.mark.parametrize("argnums", [(0, 0), (0, -2)])
def test_an_argument_is_named_once(argnums: Any) -> None:
    with pytest.raises(ShapeError, match="names argument 0 twice"):
        grad(lambda a, b: np.sum(a * b), argnums)(np.ones(2), np.ones(2))


@pytest.mark.parametrize("argnums", [1.0, None, "0", (0, "1")])
def test_what_cannot_number_arguments(argnums: Any) -> None:
    with pytest.raises(DTypeError, match="expected an integer or a tuple of them"):
        grad(lambda a, b: np.sum(a * b), argnums)
    with pytest.raises(ShapeError, match="argnums is empty"):
        grad(lambda a: a, ())


def test_numbers_of_arguments_may_be_numpy_s() -> None:
    assert grad(lambda a, b: a * b, np.int64(1))(2.0, 3.0) == 2.0
    jnp = pytest.importorskip("jax").numpy
    assert grad(lambda a, b: a * b, np.int64(1))(jnp.asarray(2.0), jnp.asarray(3.0)) == 2.0


@pytest.mark.parametrize("view", [np.diagonal, lambda b: np.broadcast_to(b, (2, 2, 2))[0, 0]])
def test_a_read_only_view_of_a_refilled_buffer(view: Any) -> None:
    buffer = np.zeros((2, 2))

    def loss(w: Any) -> Any:
        total = 0.0
        for i in range(3):
            buffer[:] = i
            total = total + np.sum(w * view(buffer))
        return total

    np.testing.assert_array_equal(grad(loss)(np.ones(2)), [3.0, 3.0])


@pytest.mark.parametrize("which", [0, 1])
def test_an_argument_that_is_refilled_during_the_call_is_noticed(which: int) -> None:
    args, number = [np.ones((40, 3)), np.full((40, 3), 2.0)], itertools.count(5)

    def loss(w: Any, x: Any) -> Any:
        total = 0.0
        for _ in range(2):
            args[which][:] = next(number)
            total = total + np.sum(w * x)
        return total

    with pytest.raises(CapabilityError, match=r"shape \(40, 3\) whose memory changed during the call"):
        grad(loss)(*args)
    with pytest.raises(CapabilityError, match="memory changed"):
        jacobian(loss, *args)


def test_arguments_are_not_copied() -> None:
    data = np.ones((300, 300))
    kept: list[Any] = []

    def loss(w: Any, x: Any) -> Any:
        y = x[:200] @ w
        kept.append(next(each for each in y._node.saved if type(each) is np.ndarray and each.ndim == 2))
        return np.sum(y)

    grad(loss)(np.ones(300), data)
    assert np.shares_memory(kept[0], data)


def test_a_traced_array_that_left_its_trace_is_no_value() -> None:
    def leak(x: Any) -> Any:
        box: list[Any] = []
        grad(lambda y: (box.append(y * x), y * x)[1])(2.0)
        return box[0]

    with pytest.raises(CapabilityError, match="outside the call that traced it"):
        value_and_grad(leak)(3.0)
    with pytest.raises(CapabilityError, match="outside the call that traced it"):
        vjp(leak, 3.0)


@pytest.mark.parametrize(
    ("f", "at"),
    [
        (lambda x: np.sqrt(x) ** 2, 0.0),
        (lambda x: 1 / (1 / x + 0.5), 0.0),
        (lambda x: np.exp(np.log(x)), 0.0),
        (lambda x: np.log1p(np.exp(x)), np.float32(100.0)),
    ],
)
def test_zero_times_infinity_is_not_zero(f: Any, at: Any) -> None:
    """The first three have slope 1 there: 0 would be a wrong number, NaN says that the rules cannot tell."""
    with np.errstate(all="ignore"):
        assert np.isnan(grad(f)(at))


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: np.sum(np.where(x > 0, np.log(x), 0.0)), [0.0, 1.0, 0.5]),
        (lambda x: np.sum(np.where(x > 0, np.sqrt(x * x), 0.0).reshape(3, 1)[:, 0]), [0.0, 1.0, 1.0]),
        (lambda x: np.mean(np.stack([np.where(x > 0, 1 / x, 0.0), x])), [1 / 6, 0.0, 1 / 8]),
        (lambda x: np.max(np.where(x > 0, np.log(x), -np.inf)), [0.0, 0.0, 0.5]),
        (lambda x: np.sum(np.exp(np.where(x > 0, np.log(x), 0.0)) @ np.eye(3)), [0.0, 1.0, 1.0]),
        (lambda x: np.sum(np.clip(1 / x, 0.1, 5.0)), [0.0, -1.0, -0.25]),
    ],
)
def test_what_a_selection_leaves_out_has_gradient_zero(f: Any, expected: Any) -> None:
    x = np.asarray([0.0, 1.0, 2.0])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(grad(f)(x), expected, rtol=4 * float(np.finfo(np.float64).eps))


def test_the_slope_in_the_divisor_counts_whole_periods() -> None:
    assert grad(lambda b: np.remainder(6.0, b))(0.1) == -59.0  # 6 / 0.1 rounds up to 60


def test_axes_of_length_one_are_repeated_by_einsum() -> None:
    b = np.asarray([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(grad(lambda x: np.einsum("i,i->", x, b))(np.ones(1)), [6.0])


def test_copies_and_formats_of_traced_arrays() -> None:
    assert grad(lambda x: copy.copy(x) * copy.deepcopy(x))(3.0) == 6.0
    np.testing.assert_array_equal(
        grad(lambda x: np.sum(np.roll(x, [1, 1], axis=[0, 1]) * np.asarray([[1.0, 2.0], [3.0, 4.0]])))(
            np.ones((2, 2))
        ),
        [[4.0, 3.0], [2.0, 1.0]],
    )
    with pytest.raises(ValueError, match="could not convert"):
        grad(lambda x: x * float(f"{x:.3f}"))(3.0)


def test_floats_follow_the_device_beside_them() -> None:
    device = array_api_strict.Device("device1")
    x = array_api_strict.asarray([1.0, 2.0], device=device)
    g = grad(lambda p, s: namespace(p).sum(p * s), (0, 1))(x, 2.0)
    assert g[0].device == g[1].device == device


# ------------------------------------------------------------------------------------------------- matrices at edges
def test_the_determinant_of_a_singular_matrix_has_a_gradient() -> None:
    a = np.outer([1.0, 2.0, 0.5], [3.0, 4.0, 1.0]) + np.outer([0.0, 1.0, 1.0], [1.0, 0.0, 2.0])
    cofactors = np.linalg.det(a + np.eye(3)) * 0.0 + np.asarray(
        [
            [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, axis=0), j, axis=1)) for j in range(3)]
            for i in range(3)
        ]
    )
    np.testing.assert_allclose(grad(np.linalg.det)(a), cofactors, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(grad(np.linalg.det)(np.zeros((3, 3))), np.zeros((3, 3)))
    assert grad(lambda x: np.linalg.det(x * np.eye(4)))(2.0) == pytest.approx(4 * 8)


def test_functions_of_the_subspace_of_equal_eigenvalues_are_right_where_the_caller_says_that_they_are() -> (
    None
):
    rng = np.random.default_rng(3)
    q, w, direction = (
        np.linalg.qr(rng.normal(size=(4, 4)))[0],
        rng.normal(size=(4, 4)),
        rng.normal(size=(4, 4)),
    )
    a, direction, h = (q * [1.0, 2.0, 2.0, 5.0]) @ q.T, direction + direction.T, 1e-5

    def projector(a: Any, **options: Any) -> Any:
        pair = eigh(a, **{"repeated": "subspace", **options})[1][:, 1:3]
        return np.sum(w * (pair @ pair.T))

    slope = (projector(a + h * direction) - projector(a - h * direction)) / (2 * h)
    assert np.sum(grad(projector)(a) * direction) == pytest.approx(slope, rel=1e-7)
    # a function that needs more than the subspace has the same cotangents
    assert np.isnan(grad(partial(projector, repeated="nan"))(a)).any()
    np.testing.assert_allclose(grad(lambda a: np.sum(np.linalg.svdvals(a)))(np.eye(3)), np.eye(3), atol=1e-14)


def test_the_median_with_a_nan_is_nan_and_so_is_its_gradient() -> None:
    x = np.asarray([[3.0, 1.0, np.nan], [1.0, 2.0, 4.0]])
    value, found = value_and_grad(lambda x: np.sum(np.median(x, axis=1)))(x)
    assert np.isnan(value)
    assert np.isnan(found[0]).any()
    np.testing.assert_array_equal(found[1], [0.0, 1.0, 0.0])
    first, second = jacobian(lambda x: np.quantile(x, 0.5, axis=1), x)
    assert np.isnan(first[0]).any()
    np.testing.assert_array_equal(second[1], [0.0, 1.0, 0.0])


def test_a_matrix_without_an_inverse_says_so() -> None:
    for f in (np.linalg.inv, lambda a: np.linalg.solve(a, a)):
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            grad(lambda a, f=f: np.sum(f(a)))(np.zeros((2, 2)))


def test_results_have_the_standard_s_names() -> None:
    a = np.asarray([[2.0, 1.0], [1.0, 3.0]])

    def named(x: Any) -> Any:
        sign, size = np.linalg.slogdet(x).sign, np.linalg.slogdet(x).logabsdet
        return (
            sign * size + np.linalg.eigh(x).eigenvalues[0] + np.linalg.svd(x).S[1] - np.linalg.qr(x).R[0, 0]
        )

    def unnamed(x: Any) -> Any:
        sign, size = np.linalg.slogdet(x)
        return sign * size + np.linalg.eigh(x)[0][0] + np.linalg.svd(x)[1][1] - np.linalg.qr(x)[1][0, 0]

    np.testing.assert_array_equal(grad(named)(a), grad(unnamed)(a))


# ------------------------------------------------------------------------------------- cotangents, vectors, far points
@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (1j * np.ones(3), DTypeError, "is complex"),
        (np.ma.masked_array(np.ones(3), [1, 0, 0]), DTypeError, "is a MaskedArray"),
        (np.asarray([1, None, 2], dtype=object), DTypeError, "of object"),
        ("abc", DTypeError, "is a str"),
    ],
    ids=["complex", "masked", "object", "words"],
)
def test_a_cotangent_that_would_lose_something_is_refused(
    given: Any, error: type[Exception], said: str
) -> None:
    x = np.asarray([1.0, 2.0, 3.0])
    with pytest.raises(error, match=f"vjp: the cotangent .*{said}"):
        vjp(lambda a: a**2, x)[1](given)
    with pytest.raises(error, match=f"hvp: v .*{said}"):
        hvp(lambda a: np.sum(a**2), x, given)


def test_a_cotangent_of_another_library_is_refused() -> None:
    jnp = pytest.importorskip("jax").numpy
    with pytest.raises(BackendError, match="the cotangent is an array of jax, expected one of numpy"):
        vjp(lambda a: a**2, np.ones(3))[1](jnp.ones(3))


def test_what_has_no_inverse_has_a_gradient_of_nan() -> None:
    singular, broken = np.zeros((2, 2)), np.asarray([[np.nan, 1.0], [1.0, 1.0]])
    with np.errstate(all="ignore"):
        for f, a in ((lambda a: np.linalg.slogdet(a)[1], singular), (np.linalg.det, broken)):
            assert np.all(np.isnan(grad(f)(a)))
    np.testing.assert_array_equal(grad(np.linalg.det)(singular), singular)  # which has cofactors all the same


def test_slopes_at_infinity_that_are_known() -> None:
    assert grad(lambda a: np.logaddexp(a, 0.0))(np.inf) == 1.0
    assert grad(lambda a: np.logaddexp(a, 0.0))(-np.inf) == 0.0
    found = grad(lambda p: np.sum(p ** np.asarray([0.0, 1.0, 2.0])))(np.asarray([np.inf, 1.0, -2.0]))
    assert found.tolist() == [0.0, 1.0, -4.0]


@pytest.mark.parametrize(
    ("name", "differentiate"),
    [
        ("grad", lambda f, x: grad(f)(x)),
        ("value_and_grad", lambda f, x: value_and_grad(f)(x)),
        ("vjp", vjp),
        ("jacobian", jacobian),
        ("hvp", lambda f, x: hvp(f, x, x)),
        ("gradient_descent", gradient_descent),
    ],
)
def test_errors_begin_with_the_name_of_the_function_that_was_called(name: str, differentiate: Any) -> None:
    for f, error in (
        (lambda x: float(np.sum(x)), CapabilityError),
        (np.unpackbits, CapabilityError),
        (lambda x: np.sum(x, axis=7), ShapeError),
    ):
        with pytest.raises(error, match=rf"^{name}: "):
            differentiate(f, np.ones(2))
    # one call inside another: each has its own
    with pytest.raises(CapabilityError, match=rf"^{name}: "):
        differentiate(lambda x: float(np.sum(vjp(np.sin, x)[0])), np.ones(2))
    with pytest.raises(CapabilityError, match=r"^vjp: "):
        differentiate(lambda x: vjp(lambda y: float(np.sum(y)), x)[0], np.ones(2))
