"""check_gradient: planted faults are caught, right gradients are not accused, kinks and domains are told apart."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import BackendError, DTypeError, ShapeError
from pillars.backends import Draw, namespace
from pillars.calculus import CheckRow, GradientCheck, check_gradient, mean_squared_error
from pillars.layers import linear
from pillars.probability import softmax
from running import ONCE

pytestmark = ONCE  # what is checked is compiled wherever the library compiles


def put(variant: Variant, x: Any) -> Any:
    return variant.asarray(x, variant.default_float)


def wave(z: Any) -> Any:
    xp = namespace(z)
    return xp.sum(z * xp.sin(z))


def wave_gradient(z: Any) -> Any:
    xp = namespace(z)
    return xp.sin(z) + z * xp.cos(z)


def numpy_only(variant: Variant) -> None:
    if variant.library != "numpy":
        pytest.skip("not applicable: said of NumPy arrays")


def by_method(check: GradientCheck) -> dict[str, CheckRow]:
    return {row.method: row for row in check.rows}


# ---------------------------------------------------------------------------------------------- right gradients hold
def test_a_right_gradient_holds_by_every_method(variant: Variant, draw: Draw) -> None:
    found = check_gradient(wave, put(variant, draw.normal(6)), gradient=wave_gradient)
    assert found.ok is True, str(found)
    assert found
    assert {method: row.ok for method, row in by_method(found).items()} == {
        "autodiff": True,
        "complex_step": True,
        "taylor": True,
        "central": True,
    }
    rows = by_method(found)
    assert rows["central"].error < (1e-7 if variant.wide else 1e-2)
    assert rows["central"].tolerance < (1e-6 if variant.wide else 5e-2)
    assert rows["complex_step"].error < (1e-13 if variant.wide else 1e-5)
    assert "order 2.0" in rows["taylor"].note or "order 1.9" in rows["taylor"].note
    for part in ("step", "truncation", "rounding", "6 entries"):
        assert part in rows["central"].note


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_right_gradients_at_any_scale_are_not_accused(variant: Variant, draw: Draw, scale: float) -> None:
    z = put(variant, scale * draw.away_from_zero(5))
    cases = [
        (lambda z: namespace(z).sum(namespace(z).sin(z)), lambda z: namespace(z).cos(z)),
        (lambda z: namespace(z).sum(z**3), lambda z: 3 * z**2),
        (lambda z: namespace(z).sum(namespace(z).log(namespace(z).abs(z))), lambda z: 1 / z),
        (lambda z: namespace(z).sum(z), lambda z: z * 0 + 1),
    ]
    for f, gradient in cases:
        found = check_gradient(f, z, gradient=gradient)
        assert found.ok is True, str(found)


def test_right_gradients_of_hard_functions_are_not_accused(variant: Variant, draw: Draw) -> None:
    v = put(variant, draw.normal(4))
    xp = namespace(v)
    edge = put(variant, np.asarray([1e-3, 4.0]))
    cases = [
        (lambda v: xp.sum(xp.sin(50 * v)), lambda v: 50 * xp.cos(50 * v), v),
        (lambda v: xp.sum(xp.sqrt(v)), lambda v: 0.5 / xp.sqrt(v), edge),
        (
            lambda v: xp.sum(xp.abs(v) ** 1.5),
            lambda v: 1.5 * xp.sqrt(xp.abs(v)) * xp.sign(v),
            put(variant, [0.0, 1.0]),
        ),
        (lambda v: xp.sum(v * v), lambda v: 2 * v, put(variant, [0.0, 0.0])),
        (lambda v: xp.sum(v * 0), lambda v: v * 0, v),
        (lambda v: xp.sum(xp.exp(v)), xp.exp, put(variant, [30.0, 0.0])),
        (lambda v: xp.sum(xp.abs(v)), xp.sign, put(variant, [1e-4, 1.0, -2.0])),
    ]
    for f, gradient, at in cases:
        found = check_gradient(f, at, gradient=gradient)
        assert found.ok is True, str(found)


def test_an_ill_conditioned_right_gradient_is_not_accused(variant: Variant, draw: Draw) -> None:
    matrix = np.diag(np.logspace(0, -6, 5)) @ np.linalg.qr(draw.normal(5, 5))[0]

    def f(v: Any, m: Any) -> Any:
        return namespace(v).sum((m @ v) ** 2)

    def gradient(v: Any, m: Any) -> Any:
        return 2 * (namespace(m).matrix_transpose(m) @ (m @ v))

    found = check_gradient(f, put(variant, draw.normal(5)), put(variant, matrix), gradient=gradient)
    assert found.ok is True, str(found)


def _sinc_gradient(w: Any) -> Any:
    xp = namespace(w)
    return xp.cos(w) / w - xp.sin(w) / w**2


def test_gradients_whose_formulas_round_are_not_accused(variant: Variant) -> None:
    numpy_only(variant)
    w = np.random.default_rng(0).standard_normal(40)
    z = np.random.default_rng(1).standard_normal(6) * 10.0 ** np.random.default_rng(1).integers(-3, 3, 6)
    cases: list[tuple[Any, Any, Any]] = [
        (lambda w: np.sum(np.tanh(100 * w)), lambda w: 100 * (1 - np.tanh(100 * w) ** 2), w),
        (lambda w: np.sum(np.sin(w) / w), _sinc_gradient, z),
        # rounds to 1.5e-8 inside, however small its result
        (lambda w: np.sum(np.sin(w) + 1e8 - 1e8), np.cos, np.full(3, 1e-7)),
        (lambda w: np.sum(np.sin(w) + 1e12 - 1e12), np.cos, w[:3]),
    ]
    for f, gradient, at in cases:
        found = check_gradient(f, at, gradient=gradient)
        assert found.ok is True, str(found)
        assert check_gradient(f, at, gradient=lambda w, right=gradient: 1.1 * right(w)).ok is False


def test_structure_far_below_one_is_seen(variant: Variant, draw: Draw) -> None:
    xp = variant.xp
    small = put(variant, 1e-7 * draw.normal(40))
    beside = put(variant, draw.normal(40))

    def norm(w: Any) -> Any:
        return xp.sqrt(xp.sum(w * w))

    def cosine(w: Any) -> Any:
        return xp.sum(w * beside) / (norm(w) * norm(beside))

    def cosine_gradient(w: Any) -> Any:
        return beside / (norm(w) * norm(beside)) - cosine(w) * w / norm(w) ** 2

    cases = [
        (lambda w: xp.sum(xp.abs(w)), xp.sign),
        (lambda w: xp.sum(xp.maximum(w, 0 * w) ** 2), lambda w: 2 * xp.maximum(w, 0 * w)),
        (norm, lambda w: w / norm(w)),
        (xp.std, lambda w: (w - xp.mean(w)) / (w.size * xp.std(w))),
        (cosine, cosine_gradient),
    ]
    for f, gradient in cases:
        found = check_gradient(f, small, gradient=gradient)
        assert found.ok is True, str(found)
    wrong = check_gradient(norm, small, gradient=lambda w: w / (2 * norm(w)), methods=["central"])
    assert wrong.ok is False, str(wrong)


@pytest.mark.parametrize(("scale", "n", "dtype"), [(1e-6, 40, np.float64), (1e-4, 50, np.float32)])
def test_absolute_values_of_small_numbers_are_not_accused(
    variant: Variant, scale: float, n: int, dtype: Any
) -> None:
    numpy_only(variant)
    for seed in range(5):
        w = (scale * np.random.default_rng(seed).standard_normal(n)).astype(dtype)
        found = check_gradient(lambda w: np.sum(np.abs(w)), w, gradient=np.sign)
        assert found.ok is True, f"seed {seed}: {found}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_kinks_nearby_are_not_a_wrong_gradient(variant: Variant, dtype: str) -> None:
    """Σ|x| with entries down to 1e-6: signed directions cross some kinks at every step that float32 resolves."""
    numpy_only(variant)
    for seed in range(150):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(30)
        x[:10] = rng.choice([-1.0, 1.0], 10) * 10.0 ** rng.uniform(-6, -2, 10)
        found = check_gradient(lambda x: np.sum(np.abs(x)), x.astype(dtype), gradient=np.sign)
        assert found.ok is True, f"seed {seed}: {found}"


# ------------------------------------------------------------------------------------------ drawn functions and faults
def _norm(w: Any) -> Any:
    return np.sqrt(np.sum(w * w))


def _softmax(w: Any) -> Any:
    return np.exp(w - np.max(w)) / np.sum(np.exp(w - np.max(w)))


FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "wave": (lambda w: np.sum(w * np.sin(w)), wave_gradient),
    "cube": (lambda w: np.sum(w**3), lambda w: 3 * w**2),
    "abs": (lambda w: np.sum(np.abs(w)), np.sign),
    "relu squared": (lambda w: np.sum(np.maximum(w, 0) ** 2), lambda w: 2 * np.maximum(w, 0)),
    "steep tanh": (lambda w: np.sum(np.tanh(100 * w)), lambda w: 100 * (1 - np.tanh(100 * w) ** 2)),
    "norm": (_norm, lambda w: w / _norm(w)),
    "logsumexp": (lambda w: np.max(w) + np.log(np.sum(np.exp(w - np.max(w)))), _softmax),
    "log": (lambda w: np.sum(np.log(np.abs(w))), lambda w: 1 / w),
    "max": (np.max, lambda w: (w == np.max(w)) * 1.0),
    "rational": (lambda w: np.sum(1 / (1 + w * w)), lambda w: -2 * w / (1 + w * w) ** 2),
    "offset": (lambda w: 3 * np.sum(w) + 1e6, lambda w: 0 * w + 3),
    "tiny": (lambda w: np.sum(1e-7 * w), lambda w: 0 * w + 1e-7),
}


def _drawn(seed: int) -> tuple[str, Any, Any, Any, Any]:
    """A function with its gradient, a point of a drawn size and scale, and a fault in one entry or in all."""
    random = np.random.default_rng(seed)
    name = str(random.choice(list(FUNCTIONS)))
    f, gradient = FUNCTIONS[name]
    n = int(random.choice([3, 16, 17, 40, 300]))
    w = float(random.choice([1e-7, 1e-4, 1e-2, 1, 10])) * random.standard_normal(n)
    w = w * 10.0 ** random.integers(-3, 3, n) if random.random() < 0.2 else w
    g = gradient(w)
    if not np.max(np.abs(g)) > 1e-9:  # saturated, where any fault is rounding
        w = 0.01 * random.standard_normal(n)
        g = gradient(w)
    i = random.choice(np.nonzero(np.abs(g) >= 0.1 * np.max(np.abs(g)))[0])
    one = np.arange(n) == i
    everywhere, there = random.choice([-1.0, 0.0, 0.5, 2.0]), random.choice([1.03, -1.0, 0.0])
    factor = np.where(one, there, 1.0) if random.random() < 0.5 else everywhere
    return f"{name}, {n} entries near {np.median(np.abs(w)):.0e}", f, gradient, w, factor


def test_drawn_gradients_are_judged_rightly(variant: Variant) -> None:
    numpy_only(variant)
    wrongly = []
    for seed in range(110):
        name, f, gradient, w, factor = _drawn(seed)
        right = check_gradient(f, w, gradient=gradient)
        wrong = check_gradient(f, w, gradient=lambda w, g=gradient, by=factor: by * g(w))
        if right.ok is not True:
            wrongly.append(f"seed {seed}: {name}, right\n{right}")
        if wrong.ok is not False:
            wrongly.append(f"seed {seed}: {name}, wrong\n{wrong}")
    assert not wrongly, "\n".join(wrongly)


def test_drawn_gradients_are_judged_by_differences_alone(variant: Variant) -> None:
    numpy_only(variant)
    for seed in range(110, 150):
        name, f, gradient, w, factor = _drawn(seed)
        for method in ("central", "taylor"):
            right = check_gradient(f, w, gradient=gradient, methods=[method])
            assert right.ok is not False, f"seed {seed}: {name}\n{right}"
        wrong = check_gradient(f, w, gradient=lambda w, g=gradient, by=factor: by * g(w), methods=["central"])
        assert wrong.ok is False, f"seed {seed}: {name}\n{wrong}"


# ------------------------------------------------------------------------------------------ planted faults are caught
FAULTS = {
    "sign": lambda g, n: -g,
    "factor 2 missing": lambda g, n: g / 2,
    "zero": lambda g, n: g * 0,
    "3% in one entry": lambda g, n: _one(g, n, 1.03),
    "a wrong sign in one entry": lambda g, n: _one(g, n, -1.0),
    "shifted by one": lambda g, n: namespace(g).roll(g, 1),
}


def _one(g: Any, n: int, factor: float) -> Any:
    xp = namespace(g)
    return xp.where(xp.arange(n, device=g.device) == n // 3, factor * g, g)


@pytest.mark.parametrize(
    ("fault", "n"),
    [
        *((fault, 5) for fault in FAULTS),
        ("zero", 600),
        ("3% in one entry", 600),
        ("a wrong sign in one entry", 600),
    ],
)
def test_planted_faults_are_caught(variant: Variant, draw: Draw, fault: str, n: int) -> None:
    z = put(variant, draw.normal(n))
    found = check_gradient(wave, z, gradient=lambda z: FAULTS[fault](wave_gradient(z), n))
    assert found.ok is False, str(found)
    assert not found
    rows = by_method(found)
    assert rows["autodiff"].ok is False
    if variant.wide or n == 5 or fault != "3% in one entry":  # which float32 loses in the sum of 600 terms
        assert rows["central"].ok is False
        assert rows["central"].error > rows["central"].tolerance
    if n == 5:
        # in float32 a slope that is 3% off may be beneath what the remainders can show: then they confirm nothing
        small = fault == "3% in one entry" and not variant.wide
        assert rows["taylor"].ok is not True if small else rows["taylor"].ok is False
        assert rows["complex_step"].ok is False


def test_a_small_fault_is_caught_at_every_draw_and_confirmed_by_no_method(variant: Variant) -> None:
    for seed in range(12):
        z = put(variant, Draw(seed).normal(5))
        found = check_gradient(wave, z, gradient=lambda z: FAULTS["3% in one entry"](wave_gradient(z), 5))
        assert found.ok is False, seed
        assert [row.method for row in found.rows if row.ok is True] == [], seed


@pytest.mark.parametrize("method", ["complex_step", "taylor", "central"])
@pytest.mark.parametrize("fault", ["sign", "factor 2 missing", "zero"])
def test_every_method_catches_gross_faults_alone(
    variant: Variant, draw: Draw, fault: str, method: str
) -> None:
    z = put(variant, draw.normal(600))
    found = check_gradient(wave, z, gradient=lambda z: FAULTS[fault](wave_gradient(z), 600), methods=[method])
    assert found.ok is False, str(found)
    assert [row.method for row in found.rows] == [method]


def test_a_zero_gradient_of_many_outputs_is_caught_in_float32(variant: Variant, draw: Draw) -> None:
    def f(x: Any) -> Any:
        return namespace(x).tanh(x) * x

    z = variant.asarray(draw.normal(1000), "float32")
    assert check_gradient(f, z).ok is not False
    xp = namespace(z)
    total = check_gradient(lambda z: xp.sum(f(z)), z, gradient=lambda z: z * 0)
    assert by_method(total)["central"].ok is False
    assert by_method(total)["taylor"].ok is False


def test_small_gradients_are_seen(variant: Variant, draw: Draw) -> None:
    z = put(variant, draw.normal(5))
    f = lambda z: namespace(z).sum(1e-7 * z)  # noqa: E731
    assert check_gradient(f, z, gradient=lambda z: z * 0 + 1e-7).ok is True
    assert check_gradient(f, z, gradient=lambda z: z * 0 + 2e-7).ok is False


def test_a_wrong_jacobian_is_seen(variant: Variant, draw: Draw) -> None:
    w = put(variant, draw.normal(4, 4))
    f = lambda w: namespace(w).sum(namespace(w).tanh(w) * w[:, :1])  # noqa: E731
    assert check_gradient(f, w).ok is True
    assert (
        check_gradient(
            f, w, gradient=lambda w: namespace(w).matrix_transpose(1 - namespace(w).tanh(w) ** 2)
        ).ok
        is False
    )


# -------------------------------------------------------------------------------------------------- kinks, NaN, domains
def test_a_kink_is_a_kink(variant: Variant) -> None:
    xp = variant.xp
    at = put(variant, [0.0, 1.0, -2.0])
    found = check_gradient(lambda z: xp.sum(xp.abs(z)), at, gradient=xp.sign)
    rows = by_method(found)
    for method in ("taylor", "central"):
        assert rows[method].ok is None
        assert "a kink along entry 0" in rows[method].note
    assert found.ok is not False
    wrong = check_gradient(lambda z: xp.sum(xp.abs(z)), at, gradient=lambda z: -xp.sign(z))
    assert wrong.ok is False  # the other entries have slopes


def test_a_jump_is_neither_right_nor_wrong(variant: Variant) -> None:
    xp = variant.xp
    for place, value in ((0.0, 1), (0.0, 0), (1.0, 1)):
        found = check_gradient(
            lambda w, place=place: xp.sum(xp.where(w > place, w + 1, w)),
            put(variant, [place]),
            gradient=lambda w, value=value: w * 0 + value,
        )
        assert found.ok is None, str(found)
        for method in ("taylor", "central"):
            assert "a jump along entry 0: the function changes by" in by_method(found)[method].note
    beside = put(variant, [0.0, 1.0, 2.0])
    f = lambda w: xp.sum(xp.where(w > 0, w + 1, w))  # noqa: E731
    assert check_gradient(f, beside, gradient=lambda w: w * 0 + 1).ok is None
    assert check_gradient(f, beside, gradient=lambda w: w * 0 + 1.1).ok is False


def test_kinks_do_not_hide_faults_in_other_entries(variant: Variant, draw: Draw) -> None:
    def relu(tree: list[Any]) -> Any:
        return functools.reduce(
            operator.add, [namespace(w).sum(namespace(w).maximum(w, 0 * w)) for w in tree]
        )

    def slope(by: float) -> Any:
        return lambda tree: [namespace(w).where(w > 0, w * 0 + by, w * 0) for w in tree]

    mixed = np.concatenate([np.zeros(30), 1 + np.abs(draw.normal(20))])
    np.random.default_rng(0).shuffle(mixed)
    points = [
        [put(variant, np.r_[np.zeros(8), np.ones(12)])],
        [put(variant, mixed)],
        [put(variant, np.r_[0.0, 1.0]) for _ in range(9)],
        [put(variant, np.zeros(3)), put(variant, np.ones(3))],
    ]
    for at in points if variant.library == "numpy" else points[3:]:  # the others are slow
        wrong = check_gradient(relu, at, gradient=slope(3.0))
        assert {row.method: row.ok for row in wrong.rows if row.method != "complex_step"} == {
            "autodiff": False,
            "taylor": False,
            "central": False,
        }, str(wrong)
        right = check_gradient(relu, at, gradient=slope(1.0))
        assert right.ok is not False, str(right)
        assert "a kink" in by_method(right)["central"].note
    if variant.library == "numpy":
        few = check_gradient(relu, points[0], gradient=slope(3.0))
        assert "entries at kinks left out" in by_method(few)["central"].note


def test_kinks_of_opposite_bends_do_not_cancel(variant: Variant) -> None:
    xp = variant.xp
    signs = put(variant, np.resize([1.0, -1.0], 20))
    found = check_gradient(
        lambda w: xp.sum(signs * xp.abs(w)), put(variant, np.zeros(20)), gradient=lambda w: w * 0
    )
    assert by_method(found)["central"].ok is None
    assert "a kink" in by_method(found)["central"].note


def test_what_rounding_hides_is_not_confirmed(variant: Variant) -> None:
    xp = variant.xp
    at = variant.asarray(np.ones(3), "float32")
    big = variant.asarray(1e8, "float32")
    for claimed in (-5.0, 0.0, 1.0):
        found = check_gradient(
            lambda w: xp.sum(w) + big,
            at,
            gradient=lambda w, c=claimed: w * 0 + c,
            methods=["complex_step", "central", "taylor"],
        )
        assert found.ok is None, str(found)
        assert (
            "confirms nothing: beside rounding it cannot tell slopes below"
            in by_method(found)["central"].note
        )
        assert "confirms nothing" in by_method(found)["taylor"].note


def test_an_empty_argument_has_nothing_to_check(variant: Variant) -> None:
    found = check_gradient(variant.xp.sum, put(variant, np.zeros(0)), gradient=lambda w: w)
    assert found.ok is None
    assert {row.note for row in found.rows} == {"nothing to check: the argument has 0 entries"}
    found = check_gradient(lambda w: w[:0], put(variant, np.ones(2)))
    assert found.ok is None
    assert {row.note for row in found.rows} == {"nothing to check: the function's result has 0 entries"}


def test_nan_in_a_gradient_is_wrong_where_the_function_has_a_slope(variant: Variant) -> None:
    def f(z: Any) -> Any:
        xp = namespace(z)
        return xp.sum(xp.where(z > 0, xp.log(xp.abs(z)), xp.zeros_like(z)))

    def gradient(z: Any, otherwise: float) -> Any:
        xp = namespace(z)
        return xp.where(z > 0, 1 / z, xp.full_like(z, otherwise))

    at = put(variant, [-1.0, 2.0, 0.5])
    naive = check_gradient(f, at, gradient=lambda z: gradient(z, math.nan))
    assert naive.ok is False
    assert "1 of 3 entries are not finite" in by_method(naive)["central"].note
    assert "finite in one of them alone" in by_method(naive)["autodiff"].note
    right = check_gradient(f, at, gradient=lambda z: gradient(z, 0.0))
    assert right.ok is True, str(right)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_in_a_gradient_is_seen_by_differences_alone(variant: Variant, draw: Draw, dtype: str) -> None:
    """Beside slopes of some size a slope of 0 is known well enough, in float32 too; an infinite one is none."""
    x = (draw.away_from_zero(20) - 0.1).astype(dtype)
    found = check_gradient(
        lambda x: np.sum(np.where(x > 0, np.log(np.abs(x)), np.zeros_like(x))),
        x,
        gradient=lambda x: np.where(x > 0, 1 / x, np.full_like(x, np.nan)),
        methods=("taylor", "central"),
    )
    assert found.ok is False, str(found)
    cusp = check_gradient(
        lambda x: np.sum(np.sqrt(np.abs(x))),
        np.asarray([0.0, 2.0, 3.0], dtype),
        gradient=lambda x: np.where(x > 0, 0.5 / np.sqrt(np.maximum(x, 1)), np.nan),
        methods=("taylor", "central"),
    )
    assert cusp.ok is not False, str(cusp)


def test_a_point_where_the_function_is_not_finite_is_not_judged(variant: Variant) -> None:
    xp = variant.xp
    found = check_gradient(lambda z: xp.sum(xp.log(z)), put(variant, [-1.0, 1.0]), gradient=lambda z: 1 / z)
    assert found.ok is None
    assert all("not finite at this point" in row.note for row in found.rows)


def test_the_edge_of_a_domain_is_not_judged_by_two_sides(variant: Variant) -> None:
    xp = variant.xp
    found = check_gradient(
        lambda z: z[0] * xp.sqrt(z[0]), put(variant, [0.0]), gradient=lambda z: 1.5 * xp.sqrt(z)
    )
    assert by_method(found)["central"].ok is None
    assert "both sides" in by_method(found)["central"].note


def test_functions_that_are_not_analytic_do_not_take_complex_steps(variant: Variant, draw: Draw) -> None:
    z = put(variant, draw.away_from_zero(4))
    for f in (
        lambda z: namespace(z).sum(namespace(z).abs(z) * z),
        lambda z: namespace(z).sum(namespace(z).abs(z)),
    ):
        row = by_method(check_gradient(f, z))["complex_step"]
        assert row.ok is None
        assert row.note
        assert math.isnan(row.error)


# ------------------------------------------------------------------------------------------------------ ways of calling
def test_operations_have_their_own_gradient_checked(
    variant: Variant, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = put(variant, draw.normal(3, 4))
    found = check_gradient(softmax, x)
    assert found.ok is True, str(found)
    assert by_method(found)["autodiff"].ok is True  # of the body: not the rule against itself
    right = softmax.record.rules.vjp
    monkeypatch.setattr(
        softmax.record.rules, "vjp", lambda *args, **more: (1.01 * right(*args, **more)[0], None, None)
    )
    wrong = check_gradient(softmax, x)
    assert wrong.ok is False
    assert by_method(wrong)["autodiff"].ok is False


def test_several_arguments_and_trees(variant: Variant, draw: Draw) -> None:
    x, w, b = (put(variant, draw.normal(*shape)) for shape in ((5, 3), (3, 2), (2,)))
    assert check_gradient(linear, x, w, b, argnums=(0, 1, 2)).ok is True
    assert check_gradient(linear, x, w, b, argnums=1).ok is True

    def loss(x: Any, p: Any) -> Any:
        return namespace(x).sum(namespace(x).tanh(x @ p["w"] + p["b"]))

    assert check_gradient(loss, x, {"w": w, "b": b}, argnums=-1).ok is True

    def forgot_to_sum(x: Any, p: Any) -> Any:
        d = 1 - namespace(x).tanh(x @ p["w"] + p["b"]) ** 2
        return {"w": namespace(x).matrix_transpose(x) @ d, "b": d[0, ...]}

    assert check_gradient(loss, x, {"w": w, "b": b}, argnums=1, gradient=forgot_to_sum).ok is False


def test_a_python_float_is_an_argument(variant: Variant) -> None:
    found = check_gradient(
        lambda w, x: namespace(x).sum(w * x), 2.0, put(variant, [1.0, 2.0]), gradient=lambda w, x: 3.0
    )
    assert found.ok is True, str(found)


def test_without_a_gradient_autodiff_is_what_is_checked(variant: Variant, draw: Draw) -> None:
    found = check_gradient(wave, put(variant, draw.normal(3)))
    assert found.ok is True
    assert by_method(found)["autodiff"].ok is None


def test_the_check_reads_as_a_report(variant: Variant, draw: Draw) -> None:
    z = put(variant, draw.normal(3))
    assert "gradient: right" in str(check_gradient(wave, z, gradient=wave_gradient))
    text = str(check_gradient(wave, z, gradient=lambda z: -wave_gradient(z)))
    assert "gradient: WRONG" in text
    assert text.count("tolerance") >= 3


def test_a_wrong_entry_is_named_with_both_numbers(variant: Variant) -> None:
    params = {"l1": {"w": put(variant, [[1.0, 1.0], [1.0, 1.0]])}, "l2": {"b": put(variant, [1.5, 2.0])}}

    def f(p: Any) -> Any:
        xp = namespace(p["l2"]["b"])
        return xp.sum(p["l1"]["w"] ** 2) + xp.sum(p["l2"]["b"] ** 3)

    def wrong(p: Any) -> Any:
        return {"l1": {"w": 2 * p["l1"]["w"]}, "l2": {"b": put(variant, [3.0, -3.0]) * p["l2"]["b"] ** 2}}

    found = by_method(check_gradient(f, params, gradient=wrong))["autodiff"]
    assert found.ok is False
    assert "most at ['l2']['b'][1]: -12, by autodiff 12" in found.note
    alone = check_gradient(f, params, gradient=wrong, methods=["autodiff"])
    assert "['l2']['b'][1]" in str(alone)


def test_what_cannot_be_checked_is_refused(variant: Variant) -> None:
    z = put(variant, [1.0, 2.0])
    xp = variant.xp
    with pytest.raises(ShapeError, match="'forward'"):
        check_gradient(wave, z, methods=["forward"])
    with pytest.raises(ShapeError, match="argnums names argument 1"):
        check_gradient(wave, z, argnums=1)
    for twice in ((0, 0), (0, -2)):
        with pytest.raises(ShapeError, match="argnums names argument 0 twice"):
            check_gradient(lambda a, b: xp.sum(a * b), z, z, gradient=lambda a, b: (b, b), argnums=twice)
    with pytest.raises(ShapeError, match=r"gradient has shape \(1,\), expected \(2,\)"):
        check_gradient(wave, z, gradient=lambda z: z[:1])
    with pytest.raises(ShapeError, match=r"f returned shape \(2,\) beside a gradient"):
        check_gradient(lambda z: z * 2, z, gradient=lambda z: z)
    with pytest.raises(DTypeError, match="has dtype int"):
        check_gradient(lambda z: z, variant.asarray([1, 2]))
    with pytest.raises(DTypeError, match="f returned"):
        check_gradient(lambda z: xp.argmax(z), z)  # noqa: PLW0108 - strict's argmax takes no jit


def test_half_precision_and_two_libraries_are_refused(variant: Variant) -> None:
    if variant.library != "numpy":
        pytest.skip("not applicable: said of NumPy arrays")
    with pytest.raises(DTypeError, match="float16"):
        check_gradient(wave, np.zeros(2, np.float16))
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(BackendError, match="expected one library"):
        check_gradient(mean_squared_error, np.zeros(2), jnp.zeros(2))
