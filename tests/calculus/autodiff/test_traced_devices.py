"""What other libraries' arrays meet under grad: NumPy's scalars, functions that one lacks, a device's walk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calculus._traced_cases import central
from contracts._variants import Variant
from pillars.backends import backend, namespace
from pillars.calculus import grad, vjp
from pillars.calculus.autodiff import _backward


@pytest.fixture
def library(variant: Variant) -> Variant:
    if variant.library == "jax":
        pytest.skip("not applicable: JAX differentiates by itself")
    return variant


def test_numpy_s_scalars_beside_a_traced_array(library: Variant) -> None:
    for dtype in library.floats:
        x = library.asarray([1.0, 2.0], dtype)

        def f(x: Any) -> Any:
            return namespace(x).sum(np.float32(3.0) * x * np.sqrt(2.0))

        g = grad(f)(x)
        assert g.dtype == x.dtype
        np.testing.assert_allclose(library.to_numpy(g), 3.0 * np.sqrt(2.0), rtol=1e-6)
        out, _ = vjp(lambda x: x * np.float64(2.0), x)
        assert "float64" in str(out.dtype)  # as NumPy promotes


@pytest.mark.parametrize(
    ("left", "right"),
    [((5, 3, 3), (3, 2)), ((3, 3), (5, 3, 2)), ((5, 3, 3), (3,)), ((4, 1, 3, 3), (5, 3, 2)), ((3, 3), (3,))],
)
def test_solve_broadcasts_batches(library: Variant, left: Any, right: Any) -> None:
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal(left) + 3.0 * np.eye(3), rng.standard_normal(right)

    def f(a: Any, b: Any) -> Any:
        y = np.linalg.solve(a, b)
        return np.sum(y * y)

    found = grad(f, (0, 1))(library.asarray(a, "float64"), library.asarray(b, "float64"))
    for place, g in enumerate(found):
        np.testing.assert_allclose(library.to_numpy(g), central(f, [a, b], place), rtol=1e-6, atol=1e-7)


NAN = float("nan")


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@pytest.mark.parametrize("row", [[1.0, NAN, 2.0, 0.5], [3.0, 1.0, 4.0, 4.0], [NAN, 1.0], [2.0], []])
def test_running_extremes(name: str, row: list[float]) -> None:
    x = np.asarray(row)
    ufunc = getattr(np, name)
    found, pullback = vjp(ufunc.accumulate, x)
    np.testing.assert_array_equal(found, ufunc.accumulate(x))  # NaN from the first one on
    assert pullback(np.ones_like(x))[0].sum() == x.size


@pytest.mark.gpu
def test_functions_that_cupy_has_in_part() -> None:
    cupy = backend("cupy")
    host = np.random.default_rng(0).standard_normal((3, 4))

    def several(x: Any) -> Any:
        y = np.sum(np.partition(x, kth=1)[:, 0]) + np.sum(np.maximum.accumulate(x, axis=1) ** 2)
        for options in ({}, {"mode": "edge"}, {"mode": "reflect"}):
            y = y + np.sum(np.pad(x, ((1, 0), (0, 2)), **options) ** 2)
        return y + np.sum(x.astype(dtype=x.dtype) ** 3)

    found = cupy.to_numpy(grad(several)(cupy.asarray(host)))
    np.testing.assert_allclose(found, grad(several)(host), rtol=1e-13)


@pytest.mark.parametrize(
    ("width", "options"),
    [
        (1, {}),
        ((1, 2), {}),
        (((1, 2),), {}),
        (((1, 2), (0, 3)), {"mode": "edge"}),
        (np.asarray([[1], [2]]), {"mode": "wrap"}),
        ([(1, 0), (0, 2)], {"mode": "reflect"}),
        (2, {"constant_values": (1.0, 2.0)}),
        (2, {"constant_values": ((1.0,), (2.0,))}),
        (1, {"constant_values": np.asarray([[1.0, 2.0], [3.0, 4.0]])}),
    ],
)
def test_pad_takes_what_numpy_takes(width: Any, options: dict[str, Any]) -> None:
    x = np.random.default_rng(1).standard_normal((3, 4))
    np.testing.assert_array_equal(
        vjp(lambda x: np.pad(x, width, **options), x)[0], np.pad(x, width, **options)
    )


def test_a_device_takes_the_plain_walk_where_nothing_selects(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = backend("strict")
    walks: list[bool] = []
    walk = _backward._walk

    def told(*args: Any, careful: bool) -> Any:
        walks.append(careful)
        return walk(*args, careful=careful)

    monkeypatch.setattr(_backward, "_walk", told)
    monkeypatch.setattr(type(strict), "host", False, raising=False)
    x = strict.asarray(np.asarray([0.0, 1.0]))

    def smooth(x: Any) -> Any:
        return namespace(x).sum(namespace(x).tanh(x) * x)

    def selecting(x: Any) -> Any:
        xp = namespace(x)
        return xp.sum(xp.where(x > 0, xp.log(x), xp.zeros_like(x)))

    with np.errstate(divide="ignore"):
        grad(smooth)(x)
        found = grad(selecting)(x)
    assert walks == [False, True]
    np.testing.assert_array_equal(strict.to_numpy(found), [0.0, 1.0])
