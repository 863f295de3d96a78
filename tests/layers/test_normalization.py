"""layer_norm and rms_norm: what they promise of each slice, their identities, edges, and torch beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import Draw
from pillars.layers import layer_norm, rms_norm
from running import ONCE, eps, on, pullback

NAN, INF = float("nan"), float("inf")
BOTH = pytest.mark.parametrize("f", [layer_norm, rms_norm], ids=lambda f: f.__name__)
AXES = pytest.mark.parametrize("axis", [-1, 0, 1, (-1,), (1, 2), (-1, 0), (2, 0, 1)], ids=str)


def written_out(f: Any, x: Any, axis: Any, epsilon: float) -> tuple[Any, Any]:
    """The normalised x in long double, and the factor by which its error may grow: 1 + |mean|/σ."""
    z = x.astype(np.longdouble)
    mean = z.mean(axis=axis, keepdims=True)
    centred = z - mean if f is layer_norm else z
    sigma = np.sqrt((centred**2).mean(axis=axis, keepdims=True) + epsilon)
    return centred / sigma, 1 + np.abs(mean) / sigma * (f is layer_norm)


def bound(variant: Variant, n: int, dtype: str | None = None) -> float:
    return (8 + n**0.5) * eps(variant, dtype)


@AXES
@BOTH
def test_closed_form(variant: Variant, draw: Draw, f: Any, axis: Any) -> None:
    x = (draw.normal(4, 3, 5) + 0.5).astype(variant.default_float)
    n = int(np.prod([x.shape[one] for one in np.atleast_1d(axis)]))
    for epsilon in (1e-5, 0.3):
        true, growth = written_out(f, x, axis, epsilon)
        y = on(variant, f, x, axis=axis, epsilon=epsilon)
        assert y.shape == x.shape
        assert np.all(np.abs(y - true) <= bound(variant, n) * growth * (1 + np.abs(true)))


@AXES
@BOTH
def test_weights_lie_along_the_normalised_axes(variant: Variant, draw: Draw, f: Any, axis: Any) -> None:
    x = draw.normal(4, 3, 5)
    axes = sorted(one % 3 for one in np.atleast_1d(axis))
    shape = [x.shape[one] for one in axes]
    beside = [n if i in axes else 1 for i, n in enumerate(x.shape)]
    weight, bias = draw.normal(*shape), draw.normal(*shape)
    given = (weight, bias) if f is layer_norm else (weight,)
    y, plain = on(variant, lambda a, *w: (f(a, *w, axis=axis), f(a, axis=axis)), x, *given)
    expected = plain * weight.reshape(beside) + (bias.reshape(beside) if f is layer_norm else 0)
    assert np.allclose(y, expected, rtol=4 * eps(variant), atol=4 * eps(variant))


def test_a_bias_without_a_weight(variant: Variant, draw: Draw) -> None:
    x, bias = draw.normal(3, 4), draw.normal(4)
    y, plain = on(variant, lambda a, b: (layer_norm(a, None, b), layer_norm(a)), x, bias)
    assert np.allclose(y, plain + bias, rtol=0, atol=4 * eps(variant))


@BOTH
def test_mean_square_one_and_mean_zero(variant: Variant, draw: Draw, f: Any) -> None:
    x = draw.normal(6, 50, scale=3.0) + 2.0
    y = on(variant, f, x, epsilon=0.0).astype(np.float64)
    assert np.abs((y * y).mean(-1) - 1).max() <= 4 * bound(variant, 50)
    if f is layer_norm:
        assert np.abs(y.mean(-1)).max() <= 4 * bound(variant, 50)


@BOTH
def test_identities(variant: Variant, draw: Draw, f: Any) -> None:
    x = np.round(draw.normal(5, 8) * 64) / 64  # exact under the shift and the scale, in float32 too
    order = draw.integers(0, 8, 8).argsort()

    def ways(a: Any) -> Any:
        return f(a, epsilon=0.0), f(4 * a, epsilon=0.0), f(-a, epsilon=0.0), f(a + 16, epsilon=0.0)

    y, scaled, turned, shifted = on(variant, ways, x)
    permuted = on(variant, f, x[:, order], epsilon=0.0)
    close: dict[str, Any] = {"rtol": 0, "atol": 4 * 18 * bound(variant, 8)}  # 18: (|mean| of the shifted)/σ
    assert np.array_equal(scaled, y)
    assert np.array_equal(turned, -y)
    assert np.allclose(permuted, y[:, order], **close)
    if f is layer_norm:
        assert np.allclose(shifted, y, **close)
    else:
        assert not np.allclose(shifted, y, **close)


@BOTH
def test_a_slice_is_normalised_by_itself(variant: Variant, draw: Draw, f: Any) -> None:
    x = draw.normal(4, 3, 6)
    whole = on(variant, f, x)
    parts = [on(variant, f, x[i, j]) for i in range(4) for j in range(3)]
    assert np.allclose(whole.reshape(12, 6), parts, rtol=0, atol=4 * bound(variant, 6))


def _far_from_zero(draw: Draw, n: int, dtype: str) -> Any:
    x = (draw.normal(50, n) + draw.uniform(-1e4, 1e4, 50, 1)).astype(dtype)
    x[0, 0] = 1e4  # an outlier, far from all the rest
    return x


@pytest.mark.parametrize("n", [7, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_numpy_a_large_mean_costs_no_digits(draw: Draw, dtype: str, n: int) -> None:
    x = _far_from_zero(draw, n, dtype)
    true, _ = written_out(layer_norm, x, -1, 1e-5)
    for y in (layer_norm(x), layer_norm.reference(x), layer_norm(np.asfortranarray(x))):
        assert np.all(np.abs(y - true) <= (8 + n**0.5) * np.finfo(dtype).eps * (1 + np.abs(true)))


@pytest.mark.parametrize("n", [7, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axis", [0, 1])
def test_elsewhere_it_costs_those_of_the_first_feature(
    variant: Variant, draw: Draw, dtype: str, n: int, axis: int
) -> None:
    if dtype == "float64" and not variant.wide:
        pytest.skip("not applicable: float64 does not exist here")
    x = np.moveaxis(_far_from_zero(draw, n, dtype), 1, axis)
    true, _ = written_out(layer_norm, x, axis, 1e-5)
    first = np.abs(np.take(true, [0], axis=axis))
    y = on(variant, layer_norm, x, dtype=dtype, axis=axis)
    assert np.all(np.abs(y - true) <= bound(variant, n, dtype) * (1 + np.abs(true) + first))


@pytest.mark.parametrize("epsilon", [0.0, 1e-5])
def test_constant_slices(variant: Variant, draw: Draw, epsilon: float) -> None:
    bias = draw.normal(3)
    x = np.asarray([[0.0] * 3, [2.0] * 3, [-8.0] * 3, [1.0, 2.0, 3.0]])
    y = on(variant, layer_norm, x, np.ones(3), bias, epsilon=epsilon)
    assert np.array_equal(y[:3], np.tile(bias, (3, 1)).astype(y.dtype))
    zeros = on(variant, rms_norm, x, epsilon=epsilon)
    assert np.array_equal(zeros[0], np.zeros(3))
    assert np.allclose(zeros[1], 1.0, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [7, 1000])
# with nothing to be scaled, and with numbers whose squares overflow
@pytest.mark.parametrize("most", [12, 30])
def test_constant_slices_of_any_value_are_zero(variant: Variant, draw: Draw, n: int, most: int) -> None:
    x = np.repeat(draw.normal(60, 1) * 10.0 ** draw.uniform(-most, most, 60, 1), n, axis=1)
    for epsilon in (0.0, 1e-5):
        assert np.array_equal(on(variant, layer_norm, x, epsilon=epsilon), np.zeros((60, n)))
        assert np.array_equal(layer_norm.reference(x.astype(np.float32), epsilon=epsilon), np.zeros((60, n)))
        both = on(variant, layer_norm, x.reshape(60, n, 1), axis=(1, 2), epsilon=epsilon)
        assert np.array_equal(both, np.zeros((60, n, 1)))


def test_one_feature(variant: Variant) -> None:
    x = np.asarray([[3.0], [-0.5], [0.0]])
    assert np.array_equal(on(variant, layer_norm, x), np.zeros((3, 1)))
    assert np.allclose(on(variant, rms_norm, x, epsilon=0.0), np.sign(x), rtol=0, atol=4 * eps(variant))
    assert np.array_equal(on(variant, layer_norm, np.asarray([2.0]), axis=(0,)), [0.0])


def test_no_samples(variant: Variant) -> None:
    assert on(variant, layer_norm, np.ones((0, 4)), np.ones(4)).shape == (0, 4)
    assert on(variant, rms_norm, np.ones((2, 0, 4))).shape == (2, 0, 4)


@BOTH
def test_nan_and_infinities_stay_in_their_slice(variant: Variant, draw: Draw, f: Any) -> None:
    x = draw.normal(5, 6)
    clean = on(variant, f, x)
    x[1, 2], x[2, 3], x[3, 0] = NAN, INF, -INF
    y = on(variant, f, x)
    assert np.allclose(y[[0, 4]], clean[[0, 4]], rtol=0, atol=4 * eps(variant))
    assert np.all(np.isnan(y[1]))
    if f is layer_norm:
        assert np.all(np.isnan(y[2:4]))
    else:
        assert np.isnan(y[2, 3])
        assert np.isnan(y[3, 0])
        assert np.array_equal(np.delete(y[2], 3), np.zeros(5))
        assert np.array_equal(y[3, 1:], np.zeros(5))


@BOTH
def test_squares_that_overflow(variant: Variant, draw: Draw, f: Any) -> None:
    top = 1e38 if variant.default_float == "float32" else 1e308
    x = draw.normal(6, 9)
    small = on(variant, f, x, epsilon=0.0)
    x[1] = np.where(x[1] >= 0, top, -top)
    x[2] *= top / 100
    y = on(variant, f, x, epsilon=1e-5)
    true, growth = written_out(f, x.astype(variant.default_float), -1, 1e-5)
    assert np.all(np.abs(y - true) <= 4 * bound(variant, 9) * growth * (1 + np.abs(true)))
    assert np.allclose(y[2], small[2], rtol=0, atol=40 * bound(variant, 9) * growth[2])


@BOTH
def test_padding_beside_large_numbers(variant: Variant, f: Any) -> None:
    """Zeros look like overflow to the kernel on JAX, which must then look again."""
    x = np.zeros((3, 4))
    x[0] = [1.0, 2.0, -3.0, 4.0]
    for large in (1.0, 1e30):
        y = on(variant, f, x * large)
        true, growth = written_out(
            f, x.astype(variant.default_float) * large, -1, 1e-5 if f is layer_norm else 1e-6
        )
        assert np.all(np.abs(y - true) <= 4 * bound(variant, 4) * growth * (1 + np.abs(true)))
        assert np.array_equal(y[1:], np.zeros((2, 4)))


@BOTH
def test_tiny_numbers_lie_below_epsilon(variant: Variant, f: Any) -> None:
    y = on(variant, f, np.asarray([[1e-30, -1e-30, 2e-30]]))
    assert np.all(np.abs(y) <= 1e-26)


@ONCE
@pytest.mark.parametrize("axis", [-1, 0, (0, 2)], ids=str)
@BOTH
def test_hand_derived_gradients(variant: Variant, draw: Draw, f: Any, axis: Any) -> None:
    x = draw.normal(3, 2, 4)
    axes = sorted(one % 3 for one in np.atleast_1d(axis))
    shape = [x.shape[one] for one in axes]
    arrays = [x, *(draw.normal(*shape) for _ in range(2 if f is layer_norm else 1))]
    g, options = draw.normal(3, 2, 4), {"axis": axis, "epsilon": 0.1}
    found = pullback(variant, f, g, *arrays, **options)
    step = 1e-5
    for place, array in enumerate(arrays):
        slope = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            sides = []
            for side in (step, -step):
                moved = [a.copy() for a in arrays]
                moved[place][index] += side
                sides.append(np.sum(g * f.reference(*moved, **options)))
            slope[index] = (sides[0] - sides[1]) / (2 * step)
        assert np.allclose(found[place], slope, rtol=0, atol=1e-7 + 100 * eps(variant))
    change = [np.sum(g * f.reference(*arrays, axis=axis, epsilon=0.1 + side)) for side in (step, -step)]
    got = found[-1]
    if got is not None:
        assert np.allclose(got, (change[0] - change[1]) / (2 * step), rtol=0, atol=1e-6 + 100 * eps(variant))


@ONCE
def test_the_gradient_is_orthogonal_to_what_changes_nothing(variant: Variant, draw: Draw) -> None:
    x, g = draw.normal(4, 7), draw.normal(4, 7)
    dx = pullback(variant, layer_norm, g, x, epsilon=0.0)[0]
    assert np.abs(dx.sum(-1)).max() <= 200 * eps(variant)
    assert np.abs((dx * (x - x.mean(-1, keepdims=True))).sum(-1)).max() <= 200 * eps(variant)
    dx = pullback(variant, rms_norm, g, x, epsilon=0.0)[0]
    assert np.abs((dx * x).sum(-1)).max() <= 200 * eps(variant)


@ONCE
@BOTH
def test_the_gradient_of_huge_and_constant_slices_is_finite(variant: Variant, f: Any) -> None:
    x = np.asarray([[1e37, -2e37, 3e37], [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    dx = pullback(variant, f, np.asarray([[1.0, -2.0, 3.0]] * 3), x)[0]
    assert np.all(np.isfinite(dx))


@pytest.mark.parametrize("biased", [True, False])
def test_layer_norm_in_torch(draw: Draw, biased: bool) -> None:
    torch = pytest.importorskip("torch")
    x, w, b, g = draw.normal(5, 3, 8) + 1.0, draw.normal(3, 8), draw.normal(3, 8), draw.normal(5, 3, 8)
    given = [torch.tensor(a, requires_grad=True) for a in ((x, w, b) if biased else (x, w))]
    theirs = torch.nn.functional.layer_norm(given[0], (3, 8), *given[1:], eps=1e-5)
    theirs.backward(torch.from_numpy(g))
    arrays = (x, w, b) if biased else (x, w, None)
    assert np.allclose(layer_norm(*arrays, axis=(-2, -1)), theirs.detach().numpy(), rtol=0, atol=1e-14)
    host = Variant("numpy", "numpy")
    found = pullback(host, layer_norm, g, *arrays, axis=(-2, -1), epsilon=1e-5)
    for got, leaf in zip(found, given, strict=False):
        assert np.allclose(got, leaf.grad.numpy(), rtol=0, atol=1e-13)


def test_rms_norm_in_torch(draw: Draw) -> None:
    torch = pytest.importorskip("torch")
    x, w, g = draw.normal(5, 8), draw.normal(8), draw.normal(5, 8)
    given = [torch.tensor(a, requires_grad=True) for a in (x, w)]
    theirs = torch.nn.functional.rms_norm(given[0], (8,), given[1], eps=1e-6)
    theirs.backward(torch.from_numpy(g))
    assert np.allclose(rms_norm(x, w), theirs.detach().numpy(), rtol=0, atol=1e-14)
    found = pullback(Variant("numpy", "numpy"), rms_norm, g, x, w)
    for got, leaf in zip(found, given, strict=False):
        assert np.allclose(got, leaf.grad.numpy(), rtol=0, atol=1e-13)


@BOTH
def test_half_precision_is_computed_wide(draw: Draw, f: Any) -> None:
    x = (300 * draw.normal(3, 4000)).astype(np.float16)  # whose squares float16 cannot hold
    y = f(x)
    assert y.dtype == np.float16
    assert np.array_equal(y, f(x.astype(np.float32)).astype(np.float16))


def test_forward_and_second_derivatives_on_jax(draw: Draw) -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(draw.normal(5), "float32")
    for f in (layer_norm, rms_norm):
        plain = jax.hessian(
            lambda v, f=f: f.record.body(v, *[None] * (len(f.record.arrays) - 1), axis=-1, epsilon=0.1)[0]
        )
        ours = jax.hessian(lambda v, f=f: f(v, epsilon=0.1)[0])
        assert np.allclose(ours(x), plain(x), rtol=0, atol=2e-5)
        slope = jax.jacfwd(lambda e, f=f: f(x, epsilon=e))(0.1)
        assert np.allclose(slope, (f(x, epsilon=0.11) - f(x, epsilon=0.09)) / 0.02, rtol=0, atol=1e-2)


def test_a_traced_epsilon_below_zero_has_no_answer() -> None:
    jax = pytest.importorskip("jax")
    for f in (layer_norm, rms_norm):
        assert bool(jax.numpy.isnan(f(jax.numpy.ones((2, 3)), epsilon=jax.numpy.asarray(-1.0))).all())


@pytest.mark.parametrize("epsilon", [-1e-5, NAN, INF, -INF])
@BOTH
def test_an_epsilon_outside_its_range(variant: Variant, f: Any, epsilon: float) -> None:
    with pytest.raises(
        ShapeError, match=rf"^{f.__name__} 'norm\.1': epsilon is .*expected a finite number, 0 or above"
    ):
        on(variant, f, np.ones((2, 3)), epsilon=epsilon, name="norm.1")


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (
            ((32, 10), (784,)),
            {"name": "encoder.2.norm"},
            (
                r"^layer_norm 'encoder\.2\.norm': x has 10 features on axis -1 but weight \(784,\) takes 784\. x has "
                r"shape \(32, 10\)\. The layer before must give 784 features, or this weight have shape \(10,\)\."
            ),
        ),
        (
            ((784, 10), (784,)),
            {},
            r"^layer_norm: .*If the features are on axis 0, say axis=0, or pass x\.T\.",
        ),
        (((2, 784, 10), (784,)), {}, r"If the features are on axis 1, say axis=1\."),
        (
            ((5, 3, 4), (4, 3)),
            {"axis": (1, 2)},
            r"x has 3×4 features on axis \(1, 2\) but weight \(4, 3\) takes 4×3",
        ),
        (((5, 3, 4), (4, 3)), {"axis": (1, 2)}, r"Pass weight\.T, of shape \(3, 4\)\."),
        (((5, 3, 4), (3, 4)), {}, r"To normalise over the last 2 axes, say axis=\(-2, -1\)\."),
        (((5, 4), (1, 4)), {}, r"Reshape weight to \(4,\)\."),
        (((5, 4), ()), {}, r"weight \(\) takes one number"),
        (((5, 4), (4,), (5,)), {"name": "out"}, r"'out': .* but bias \(5,\) takes 5\. .*say axis=0"),
        (((5, 4),), {"axis": 2}, r"axis is 2, expected one in \[-2, 2\): x has shape \(5, 4\)"),
        (((5, 4),), {"axis": (0, -3)}, r"axis is \(0, -3\), expected one in \[-2, 2\)"),
        (((5, 4),), {"axis": ()}, r"axis is \(\), expected one axis or more of x, each once"),
        (((5, 4),), {"axis": (1, -1)}, r"axis is \(1, -1\), expected one axis or more of x, each once"),
        (((),), {}, r"expected an array of at least one axis: x has shape \(\)"),
        (((5, 0),), {}, r"x has shape \(5, 0\), expected at least one feature on axis -1"),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit(variant: Variant, shapes: Any, options: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        on(variant, layer_norm, *map(np.ones, shapes), **options)


def test_a_word_for_an_axis() -> None:
    with pytest.raises(DTypeError, match=r"rms_norm: axis names 'a', expected integers"):
        rms_norm(np.ones(3), axis=("a",))  # type: ignore[arg-type]


def test_epsilons_compile_nothing() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones((2, 3))
    layer_norm(x, name="first")
    compiled = layer_norm.record.cache["jit"]._cache_size()
    for turn in range(5):
        layer_norm(x, epsilon=1e-3 * (turn + 1), name=f"layer.{turn}")
    assert layer_norm.record.cache["jit"]._cache_size() == compiled
