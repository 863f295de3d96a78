"""Cross-entropy: class numbers and probabilities, smoothing, temperature, and what it states at every edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from contracts._variants import Variant
from pillars import DTypeError, ShapeError
from pillars.backends import Draw
from pillars.probability import cross_entropy
from running import ONCE, eps, on, pullback

NAN, INF = float("nan"), float("inf")


def one_hot(labels: Any, k: int) -> Any:
    return np.eye(k)[labels]


def closed_form(logits: Any, q: Any, smoothing: float = 0.0, temperature: float = 1.0) -> Any:
    """−Σ q log p over the last axis, in float64."""
    k = logits.shape[-1]
    return -(((1 - smoothing) * q + smoothing / k) * special.log_softmax(logits / temperature, axis=-1)).sum(
        -1
    )


@pytest.mark.parametrize("shape", [(5,), (2, 3, 5)], ids=str)
@pytest.mark.parametrize("kind", ["numbers", "probabilities"])
def test_closed_form(variant: Variant, draw: Draw, kind: str, shape: tuple[int, ...]) -> None:
    logits = draw.normal(*shape, scale=3.0)
    labels = draw.integers(0, 5, *shape[:-1])
    q = one_hot(labels, 5)
    if kind == "probabilities":
        labels = q = special.softmax(draw.normal(*shape), axis=-1)
    options = {"label_smoothing": 0.1, "temperature": 1.5}

    def all_ways(z: Any, y: Any) -> Any:
        ways = [{"reduction": "none"}, {"reduction": "sum"}, {}, {"reduction": "none", **options}]
        return [cross_entropy(z, y, **way) for way in ways]  # type: ignore[arg-type]

    none, total, mean, tuned = on(variant, all_ways, logits, labels)
    expected = closed_form(logits, q)
    bound = {"rtol": 40 * eps(variant), "atol": 40 * eps(variant)}
    assert none.shape == shape[:-1]
    assert np.allclose(none, expected, **bound)
    assert np.allclose(total, expected.sum(), **bound)
    assert np.allclose(mean, expected.mean(), **bound)
    assert total.shape == mean.shape == ()
    assert np.allclose(tuned, closed_form(logits, q, 0.1, 1.5), **bound)


def test_class_numbers_are_one_hot_rows(variant: Variant, draw: Draw) -> None:
    logits, labels = draw.normal(20, 6, scale=5.0), draw.integers(0, 6, 20)

    def both(z: Any, y: Any, q: Any, s: Any) -> Any:
        return [cross_entropy(z, v, reduction="none", label_smoothing=s) for v in (y, q)]

    for smoothing in (0.0, 0.2):
        numbers, rows = on(variant, both, logits, labels, one_hot(labels, 6), np.asarray(smoothing))
        assert np.allclose(numbers, rows, rtol=0, atol=40 * eps(variant) * max(1.0, float(numbers.max())))


def test_shifts_and_permutations(variant: Variant, draw: Draw) -> None:
    logits, labels = np.round(draw.normal(8, 5) * 64) / 64, draw.integers(0, 5, 8)
    order = np.asarray([2, 0, 4, 1, 3])
    place = np.argsort(order)  # where each class went
    runs = [(logits, labels), (logits + 1024.0, labels), (logits[:, order], place[labels])]
    flat = [array for run in runs for array in run]
    plain, moved, permuted = on(variant, lambda *a: [cross_entropy(*a[i : i + 2]) for i in (0, 2, 4)], *flat)
    # log Σ exp x − x of a row that needed no shift rounds as the larger of the two does, and as a sum of five does
    largest = np.log(5) + 2 * np.abs(logits).max()
    assert moved == pytest.approx(float(plain), rel=0, abs=eps(variant) * (largest + 4))
    assert permuted == pytest.approx(float(plain), rel=20 * eps(variant), abs=0)


def test_knowing_nothing_costs_log_k(variant: Variant) -> None:
    for labels in (np.asarray([0, 9]), np.full((2, 10), 0.1)):
        got = on(variant, cross_entropy, np.zeros((2, 10)), labels, label_smoothing=0.3)
        assert got == pytest.approx(np.log(10), rel=8 * eps(variant), abs=0)


def test_large_logits(variant: Variant) -> None:
    logits = np.asarray([[1e4, -1e4], [1e4, -1e4], [500.0, -500.0], [-1e38, 1e38]])
    got = on(variant, cross_entropy, logits, np.asarray([0, 1, 1, 1]), reduction="none")
    assert np.allclose(got, [0.0, 2e4, 1000.0, 0.0], rtol=1e-6, atol=0)


def test_accuracy_in_float32(variant: Variant, draw: Draw) -> None:
    logits = draw.normal(50, 1000, scale=5.0).astype(np.float32).astype(np.float64)
    labels = draw.integers(0, 1000, 50)
    got = on(variant, cross_entropy, logits, labels, dtype="float32", reduction="none")
    reach = np.abs(logits - logits.max(-1, keepdims=True)).max()
    error = np.abs(got - closed_form(logits, one_hot(labels, 1000)))
    assert error.max() <= eps(variant, "float32") * (reach + 8 + np.sqrt(1000))


@pytest.mark.parametrize(
    "row", [[NAN, 0.0, 1.0], [INF, 0.0, 1.0], [INF, 0.0, INF], [-INF, -INF, -INF]], ids=str
)
def test_a_sample_without_an_answer_is_nan_and_alone(variant: Variant, row: list[float]) -> None:
    logits = np.asarray([[0.0, 1.0, 2.0], row])

    def both(z: Any, y: Any, q: Any) -> Any:
        return [cross_entropy(z, v, reduction="none") for v in (y, q)]

    for got in on(variant, both, logits, np.asarray([0, 1]), np.full((2, 3), 1 / 3)):
        assert np.isfinite(got[0])
        assert np.isnan(got[1])


def test_a_class_that_cannot_be(variant: Variant) -> None:
    logits = np.asarray([[0.0, -INF, 1.0], [0.0, -INF, 1.0]])
    q = np.asarray([[0.5, 0.0, 0.5], [0.5, 0.25, 0.25]])

    def ways(z: Any, y: Any, q: Any) -> Any:
        plain = [cross_entropy(z, v, reduction="none") for v in (y, q)]
        return [*plain, *(cross_entropy(z, v, reduction="none", label_smoothing=0.1) for v in (y, q))]

    numbers, rows, *smoothed = on(variant, ways, logits, np.asarray([2, 1]), q)
    log_p = special.log_softmax([0.0, 1.0])
    assert numbers[0] == pytest.approx(-log_p[1], rel=8 * eps(variant), abs=0)
    assert rows[0] == pytest.approx(-log_p.mean(), rel=8 * eps(variant), abs=0)
    assert numbers[1] == rows[1] == INF
    assert np.all(np.asarray(smoothed) == INF)


@ONCE
def test_gradients_where_a_class_cannot_be(variant: Variant) -> None:
    logits = np.asarray([[0.0, -INF, 1.0]])
    for labels in (np.asarray([2]), np.asarray([[0.0, 0.0, 1.0]])):
        dlogits, dlabels, _, dtemperature = pullback(variant, cross_entropy, 1.0, logits, labels)[:4]
        p = special.softmax([0.0, 1.0])
        assert np.allclose(dlogits, [[p[0], 0.0, p[1] - 1]], atol=8 * eps(variant))
        assert np.isfinite(dtemperature)
        assert dlabels is None or np.isfinite(dlabels).all()


@ONCE
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_hand_derived_gradients(variant: Variant, draw: Draw, reduction: str) -> None:
    logits, s, t = draw.normal(2, 3, 4, scale=2.0), 0.15, 1.7
    numbers, rows = draw.integers(0, 4, 2, 3), draw.positive(2, 3, 4)  # rows that do not sum to 1
    weight = {"mean": np.full((2, 3), 1 / 6), "sum": np.ones((2, 3)), "none": draw.normal(2, 3)}[reduction]
    g = weight if reduction == "none" else np.ones(())
    log_p = special.log_softmax(logits / t, axis=-1)
    close = {"rtol": 60 * eps(variant), "atol": 60 * eps(variant)}
    for labels, given in ((numbers, one_hot(numbers, 4)), (rows, rows)):
        options = {"reduction": reduction, "label_smoothing": s, "temperature": t}
        found = pullback(variant, cross_entropy, g, logits, labels, **options)
        dlogits, dlabels, dsmoothing, dtemperature = found[:4]
        q = (1 - s) * given + s / 4
        dz = weight[..., None] * (np.exp(log_p) * q.sum(-1, keepdims=True) - q)
        assert np.allclose(dlogits, dz / t, **close)
        assert np.all(np.abs(dlogits.sum(-1)) <= 60 * eps(variant))
        assert np.allclose(dsmoothing, (weight[..., None] * (given - 1 / 4) * log_p).sum(), **close)
        assert np.allclose(dtemperature, -(dz * logits).sum() / t**2, **close)
        if labels is rows:
            assert np.allclose(dlabels, -(1 - s) * weight[..., None] * log_p, **close)
        else:
            assert dlabels is None


@ONCE
def test_the_slope_in_the_smoothing_where_there_is_none(variant: Variant, draw: Draw) -> None:
    logits, labels = draw.normal(6, 4), draw.integers(0, 4, 6)
    slope = pullback(variant, cross_entropy, 1.0, logits, labels)[2]
    log_p = special.log_softmax(logits, axis=-1)
    expected = ((one_hot(labels, 4) - 1 / 4) * log_p).sum() / 6
    assert slope == pytest.approx(expected, rel=60 * eps(variant), abs=0)


def test_jax_has_that_slope_too() -> None:
    jax = pytest.importorskip("jax")
    z, y = jax.numpy.asarray([[0.5, -1.0, 2.0], [0.0, 0.25, 0.5]]), jax.numpy.asarray([0, 2])
    losses = (cross_entropy, cross_entropy.record.body)
    slopes = jax.jit(lambda s: [jax.grad(lambda s, f=f: f(z, y, label_smoothing=s))(s) for f in losses])(0.0)
    log_p = special.log_softmax(np.asarray(z), axis=-1)
    assert np.allclose(slopes, ((one_hot(y, 3) - 1 / 3) * log_p).sum() / 2, rtol=1e-5, atol=0)


@ONCE
def test_large_logits_have_exact_gradients(variant: Variant) -> None:
    dlogits = pullback(variant, cross_entropy, 1.0, 1e4 + np.asarray([[0.0, 1.0, 2.0]]), np.asarray([0]))[0]
    expected = special.softmax([0.0, 1.0, 2.0]) - [1, 0, 0]
    assert np.allclose(dlogits, expected, rtol=0, atol=10 * eps(variant))


@pytest.mark.parametrize("dtype", ["int8", "uint64"])
def test_any_integer_labels(variant: Variant, draw: Draw, dtype: str) -> None:
    if not variant.wide and dtype in ("int64", "uint64"):
        pytest.skip("not applicable: 64-bit integers do not exist here")
    logits, labels = draw.normal(5, 300), np.asarray([0, 5, 17, 100, 127])
    got = on(variant, cross_entropy, logits, labels.astype(dtype))
    assert got == pytest.approx(
        closed_form(logits, one_hot(labels, 300)).mean(), rel=20 * eps(variant), abs=0
    )
    dlogits = pullback(variant, cross_entropy, 1.0, logits, labels.astype(dtype))[0]
    assert np.array_equal(np.argmin(dlogits, axis=-1), labels)


@pytest.mark.parametrize("bad", [-1, 3, 1000])
def test_a_class_number_outside_the_classes_is_an_error_on_the_host(bad: int) -> None:
    logits, labels = np.zeros((2, 2, 3)), np.asarray([[0, 2], [bad, bad]])
    message = rf"labels\[1, 0\] is {bad}, expected a class number in \[0, 3\) \(2 of 4 are outside\)"
    with pytest.raises(ShapeError, match=message):
        cross_entropy(logits, labels)
    with pytest.raises(ShapeError, match=f"cross_entropy: the label is {bad}"):
        cross_entropy(logits[0, 0], bad)


def test_a_class_number_outside_the_classes_is_nan_on_a_device(variant: Variant) -> None:
    if variant.backend.host:
        pytest.skip("not applicable: an error on the host")
    logits, labels = np.zeros((5, 3)), np.asarray([0, -1, 3, 1000, 2])
    got = on(variant, cross_entropy, logits, labels, reduction="none")
    assert np.array_equal(np.isnan(got), [False, True, True, True, False])
    dlogits = pullback(variant, cross_entropy, np.ones(5), logits, labels, reduction="none")[0]
    assert np.array_equal(np.isnan(dlogits).all(-1), np.isnan(got))
    assert np.isfinite(dlogits[[0, 4]]).all()


def test_one_sample_and_a_plain_label() -> None:
    assert cross_entropy(np.asarray([2.0, 1.0, 0.1]), 0) == pytest.approx(0.41703, abs=1e-5)
    assert cross_entropy([2.0, 1.0, 0.1], [0.0, 1.0, 0.0]) == pytest.approx(1.41703, abs=1e-5)


def test_no_samples(variant: Variant) -> None:
    logits, labels = np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    with pytest.raises(
        ShapeError, match=r"logits have shape \(0, 3\), expected at least one sample.*reduction='sum'"
    ):
        on(variant, cross_entropy, logits, labels)
    assert on(variant, cross_entropy, logits, labels, reduction="sum") == 0
    assert on(variant, cross_entropy, logits, labels, reduction="none").shape == (0,)
    assert pullback(variant, cross_entropy, 1.0, logits, labels, reduction="sum")[0].shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            np.zeros((4, 1), int),
            r"have shape \(4, 1\) .*expected class numbers of shape \(4,\).*labels\[\.\.\., 0\]",
        ),
        (np.zeros((4, 3), int), r"one-hot rows to a floating dtype, or take their argmax"),
        (np.zeros(4), r"expected probabilities of shape \(4, 3\).*convert them to integers"),
        (np.zeros(5, int), r"labels have shape \(5,\) and dtype int(32|64), .*Each sample needs one label"),
        (np.zeros((3, 4)), r"labels have shape \(3, 4\)"),
    ],
    ids=["column", "one-hot integers", "floating numbers", "too many", "transposed"],
)
def test_labels_of_the_wrong_shape(variant: Variant, labels: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        on(variant, cross_entropy, np.zeros((4, 3)), labels)


def test_refusals(variant: Variant) -> None:
    logits, labels = np.zeros((4, 3)), np.zeros(4, int)
    with pytest.raises(
        DTypeError, match=r"labels have dtype bool.* expected integer class numbers or floating"
    ):
        on(variant, cross_entropy, logits, np.zeros((4, 3), bool))
    with pytest.raises(ShapeError, match="reduction is 'average', expected one of 'mean', 'sum', 'none'"):
        on(variant, cross_entropy, logits, labels, reduction="average")
    with pytest.raises(ShapeError, match=r"logits have shape \(4, 0\), expected \(\.\.\., k\)"):
        on(variant, cross_entropy, np.zeros((4, 0)), labels)
    with pytest.raises(ShapeError, match=r"logits have shape \(\)"):
        on(variant, cross_entropy, np.asarray(1.0), np.asarray(0))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 1.5, NAN])
def test_a_smoothing_outside_its_range(smoothing: float) -> None:
    with pytest.raises(ShapeError, match=r"label_smoothing is .*expected a number in \[0, 1\)"):
        cross_entropy(np.zeros((4, 3)), np.zeros(4, int), label_smoothing=smoothing)


@pytest.mark.parametrize("temperature", [0.0, -1.0, NAN, INF])
def test_a_temperature_outside_its_range(temperature: float) -> None:
    with pytest.raises(ShapeError, match=r"cross_entropy: temperature is .*expected a finite number above 0"):
        cross_entropy(np.zeros((4, 3)), np.zeros(4, int), temperature=temperature)


def test_no_row_is_expanded(draw: Draw) -> None:
    """Class numbers cost no array of one-hot rows: next to nothing once the sums of exp(z) are there."""
    import tracemalloc

    from pillars.probability import _cross_entropy_terms as terms

    logits, labels = draw.normal(200, 5000), draw.integers(0, 5000, 200)
    options = {"temperature": 1.0, "weight": None, "ignore_index": None, "where": None, "axis": -1}
    peaks = []
    tracemalloc.start()
    samples = terms.samples(logits, labels, **options)
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    terms.losses(samples, 0.0)
    peaks.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    # z, exp z, its ones, and the rest
    assert peaks[0] < 4.2 * logits.nbytes
    assert peaks[1] < 0.1 * logits.nbytes


def test_jax_differentiates_by_the_rule_in_both_modes_and_twice() -> None:
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(11)
    z, y = jax.numpy.asarray(rng.standard_normal((3, 4))), jax.numpy.asarray([0, 3, 1])
    q = jax.nn.softmax(jax.numpy.asarray(rng.standard_normal((3, 4))))

    def peer(z: Any, q: Any) -> Any:
        return -(q * jax.nn.log_softmax(z)).sum(-1).mean()

    @jax.jit
    def derivatives(z: Any, q: Any) -> Any:
        hot = jax.nn.one_hot(y, 4)
        pairs = [
            (transform(lambda z: cross_entropy(z, y))(z), transform(lambda z: peer(z, hot))(z))
            for transform in (jax.jacfwd, jax.grad, jax.hessian)
        ]
        return [*pairs, (jax.grad(cross_entropy, 1)(z, q), jax.grad(peer, 1)(z, q))]

    for got, expected in derivatives(z, q):
        assert np.allclose(got, expected, atol=1e-6)
