"""What a function gives beside the value that is differentiated."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import namespace
from pillars.calculus import grad, hvp, value_and_grad


class Beside(NamedTuple):
    largest: Any
    words: Any


def f(x: Any, scale: Any) -> Any:
    xp = namespace(x)
    y = xp.exp(x) * scale
    return xp.sum(y), {"y": y, "deep": Beside(xp.max(x), ["a word", None, 3]), "scale": scale}


def plain(variant: Variant, x: Any) -> Any:
    assert variant.backend.owns(type(x)), f"a {type(x).__name__}"
    return variant.to_numpy(x)


def test_what_comes_beside_the_value(variant: Variant) -> None:
    x, scale = variant.asarray([0.0, 1.0, -2.0]), variant.asarray([1.0, 2.0, 3.0])
    expected = np.exp([0.0, 1.0, -2.0]) * [1.0, 2.0, 3.0]
    eps = float(np.finfo(variant.default_float).eps)
    for gradient, value, aux in (
        *[(g, v, a) for (v, a), g in [value_and_grad(f, has_aux=True)(x, scale)]],
        *[(g, None, a) for g, a in [grad(f, has_aux=True)(x, scale)]],
    ):
        np.testing.assert_allclose(plain(variant, gradient), expected, rtol=8 * eps)
        np.testing.assert_allclose(plain(variant, aux["y"]), expected, rtol=8 * eps)
        if value is not None:
            np.testing.assert_allclose(plain(variant, value), expected.sum(), rtol=16 * eps)
        assert plain(variant, aux["deep"].largest) == 1.0
        assert aux["deep"].words == ["a word", None, 3]
        np.testing.assert_array_equal(plain(variant, aux["scale"]), [1.0, 2.0, 3.0])


def test_several_arguments_and_trees(variant: Variant) -> None:
    def loss(p: Any, q: Any) -> Any:
        y = p["w"] * q
        return namespace(y).sum(y * y), y

    p, q = {"w": variant.asarray([1.0, 2.0])}, variant.asarray([3.0, 4.0])
    (value, aux), (dp, dq) = value_and_grad(loss, (0, 1), has_aux=True)(p, q)
    assert float(value) == 73.0
    np.testing.assert_array_equal(plain(variant, aux), [3.0, 8.0])
    np.testing.assert_array_equal(plain(variant, dp["w"]), [18.0, 64.0])
    np.testing.assert_array_equal(plain(variant, dq), [6.0, 32.0])


def test_under_jit(variant: Variant) -> None:
    def step(x: Any) -> Any:
        return value_and_grad(lambda x: (namespace(x).sum(x**3), x * 2.0), has_aux=True)(x)

    (value, aux), gradient = variant.backend.jit(step)(variant.asarray([1.0, 2.0]))
    assert float(value) == 9.0
    np.testing.assert_array_equal(plain(variant, aux), [2.0, 4.0])
    np.testing.assert_array_equal(plain(variant, gradient), [3.0, 12.0])


def test_inside_another_gradient_it_has_slopes(variant: Variant) -> None:
    def outer(x: Any) -> Any:
        slope, aux = grad(lambda x: (namespace(x).sum(x**3), x**2), has_aux=True)(x)
        return namespace(x).sum(slope * aux)  # 3 x⁴

    found = grad(outer)(variant.asarray([1.0, 2.0]))
    np.testing.assert_allclose(plain(variant, found), [12.0, 96.0], rtol=1e-6)
    curved = hvp(lambda x: namespace(x).sum(outer(x)), variant.asarray([1.0]), variant.asarray([1.0]))
    np.testing.assert_allclose(plain(variant, curved), [36.0], rtol=1e-6)


def test_arrays_that_come_out_are_the_caller_s_own() -> None:
    x, w = np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])
    _, (seen, given) = grad(lambda x, w: (np.sum(x * w), (x, w)), has_aux=True)(x, w)
    for one, original in ((seen, x), (given, w)):
        assert one.flags.writeable
        one[:] = 0.0
        assert original.all()


def test_refusals(variant: Variant) -> None:
    x = variant.asarray([1.0, 2.0])
    for more in ((), (1, 2)):
        with pytest.raises(ShapeError, match=r"expected a tuple \(value, aux\)"):
            grad(lambda x, more=more: (namespace(x).sum(x), *more), has_aux=True)(x)
    with pytest.raises(ShapeError, match=r"expected a tuple \(value, aux\)"):
        grad(lambda x: namespace(x).sum(x), has_aux=True)(x)
    with pytest.raises(ShapeError, match="has_aux=True"):
        value_and_grad(lambda x: (namespace(x).sum(x), 1))(x)
    with pytest.raises(DTypeError, match="has_aux"):
        grad(lambda x: x, has_aux=1)  # type: ignore[arg-type]
