"""Cross-entropy with class weights, ignored samples, masks and another axis, against each loss written out."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import special

from contracts._variants import Variant
from pillars import DTypeError, ShapeError, explain, grad
from pillars.backends import Draw
from pillars.calculus import jacobian
from pillars.probability import cross_entropy
from running import ONCE, eps, on, pullback

NAN, INF = float("nan"), float("inf")
REDUCTIONS = ("mean", "sum", "none")


def written_out(
    logits: Any, labels: Any, weight: Any, counts: Any, smoothing: float, reduction: str
) -> tuple[Any, Any]:
    """The loss and its gradient, sample by sample: a mean of class numbers divides by the weights of their classes."""
    k = logits.shape[-1]
    hard = labels.dtype.kind in "iu"
    weight = np.ones(k) if weight is None else weight
    losses, slopes, share = np.zeros(counts.shape), np.zeros(logits.shape), 0.0
    for at in np.ndindex(counts.shape):
        if not counts[at]:
            continue
        own = np.eye(k)[labels[at]] if hard else labels[at]
        q = weight * ((1 - smoothing) * own + smoothing / k)
        log_p = special.log_softmax(logits[at])
        losses[at], slopes[at] = -(q * log_p).sum(), np.exp(log_p) * q.sum() - q
        share += weight[labels[at]] if hard else 1.0
    if reduction == "none":
        return losses, slopes
    by = share if reduction == "mean" else 1.0
    return losses.sum() / by, slopes / by


CASES = [
    (kind, weighted, ignored, masked)
    for kind, weighted, ignored, masked in product(
        ("numbers", "rows"), (False, True), (None, -100, 2), (False, True)
    )
    if (kind == "numbers" or ignored is None) and (weighted or masked or ignored is not None)
]


def arguments(draw: Draw, kind: str, weighted: bool, ignored: int | None, masked: bool) -> Any:
    logits, weight = draw.normal(4, 3, 5, scale=3.0), draw.positive(5) if weighted else None
    labels = draw.integers(0, 5, 4, 3) if kind == "numbers" else draw.positive(4, 3, 5)
    counts = np.ones((4, 3), dtype=bool)
    where = np.asarray([[True], [False], [True], [True]]) if masked else None
    if ignored is not None:
        labels[:, 1] = ignored
        counts &= labels != ignored
    return logits, labels, weight, counts if where is None else counts & where, where


@pytest.mark.parametrize(("kind", "weighted", "ignored", "masked"), CASES, ids=str)
def test_values_and_gradients_on_the_host(
    draw: Draw, kind: str, weighted: bool, ignored: int | None, masked: bool
) -> None:
    logits, labels, weight, counts, where = arguments(draw, kind, weighted, ignored, masked)
    for smoothing, reduction in product((0.0, 0.2), REDUCTIONS):
        options: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing, "weight": weight}
        options |= {"ignore_index": ignored, "where": where}
        loss, slope = written_out(logits, labels, weight, counts, smoothing, reduction)
        assert np.allclose(cross_entropy(logits, labels, **options), loss, rtol=1e-12, atol=1e-13)
        total = grad(lambda z, o=options: np.sum(cross_entropy(z, labels, **o)))(logits)
        assert np.allclose(total, slope, rtol=1e-12, atol=1e-13)
        moved = labels if kind == "numbers" else np.moveaxis(labels, -1, 1)
        first = cross_entropy(np.moveaxis(logits, -1, 1), moved, axis=1, **options)
        assert np.allclose(first, loss, rtol=1e-12, atol=1e-13)
        total = grad(lambda z, o=options, m=moved: np.sum(cross_entropy(z, m, axis=1, **o)))(
            np.ascontiguousarray(np.moveaxis(logits, -1, 1))
        )
        assert np.allclose(np.moveaxis(total, 1, -1), slope, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["numbers", "rows"])
def test_everywhere(variant: Variant, draw: Draw, kind: str) -> None:
    logits, labels, weight, counts, where = arguments(
        draw, kind, True, -100 if kind == "numbers" else None, True
    )
    ignored = {"ignore_index": -100} if kind == "numbers" else {}

    def every(z: Any, y: Any, w: Any, m: Any) -> Any:
        return [
            cross_entropy(z, y, weight=w, where=m, label_smoothing=0.1, reduction=way, **ignored)
            for way in REDUCTIONS
        ]

    got = on(variant, every, logits, labels, weight, where.astype("int8"))
    for loss, reduction in zip(got, REDUCTIONS, strict=True):
        expected = written_out(logits, labels, weight, counts, 0.1, reduction)[0]
        assert np.allclose(loss, expected, rtol=60 * eps(variant), atol=60 * eps(variant))


@ONCE
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("kind", ["numbers", "rows"])
def test_gradients_in_everything(variant: Variant, draw: Draw, kind: str, reduction: str) -> None:
    logits, labels, weight, counts, where = arguments(
        draw, kind, True, -100 if kind == "numbers" else None, True
    )
    options: dict[str, Any] = {"ignore_index": -100} if kind == "numbers" else {}
    options |= {"where": variant.asarray(where), "reduction": reduction, "label_smoothing": 0.2}
    options["weight"] = variant.asarray(weight, variant.default_float)
    g = np.ones(()) if reduction == "mean" else draw.normal(4, 3)
    found = pullback(variant, cross_entropy, g, logits, labels, **options)

    def loss(**changed: Any) -> Any:
        at = {"logits": logits, "labels": labels, "weight": weight, "smoothing": 0.2} | changed
        y = written_out(at["logits"], at["labels"], at["weight"], counts, at["smoothing"], reduction)[0]
        return np.sum(g * y)

    h = 1e-6
    steps = {"weight": (4, weight)} | ({} if kind == "numbers" else {"labels": (1, labels)})
    for name, (place, x) in steps.items():
        slope = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            move = np.zeros(x.shape)
            move[at] = h
            slope[at] = (loss(**{name: x + move}) - loss(**{name: x - move})) / (2 * h)
        assert np.allclose(
            found[place], slope, rtol=1e-7 + 100 * eps(variant), atol=1e-7 + 100 * eps(variant)
        )
    slope = (loss(smoothing=0.2 + h) - loss(smoothing=0.2 - h)) / (2 * h)
    assert np.allclose(found[2], slope, rtol=1e-7 + 100 * eps(variant), atol=1e-7 + 200 * eps(variant))


def test_what_does_not_count_may_hold_anything(variant: Variant) -> None:
    good = [0.0, 1.0, 2.0]
    logits = np.asarray([good, [NAN] * 3, [-INF] * 3, [INF, 0.0, NAN]])
    by_label, by_mask = np.asarray([2, -100, -100, -100]), np.asarray([True, False, False, False])

    def ways(z: Any, y: Any, n: Any, m: Any) -> Any:
        ignored = [cross_entropy(z, y, ignore_index=-100, reduction=way) for way in REDUCTIONS]
        return ignored + [cross_entropy(z, n, where=m, reduction=way) for way in REDUCTIONS]

    got = on(variant, ways, logits, by_label, np.asarray([2, 0, 0, 0]), by_mask)
    loss = -special.log_softmax(good)[2]
    for mean, total, none in (got[:3], got[3:]):
        assert mean == total == none[0] == pytest.approx(loss, rel=8 * eps(variant))
        assert np.all(none[1:] == 0)
    for labels, options in (
        (by_label, {"ignore_index": -100}),
        (np.asarray([2, 7, -5, 0]), {"where": by_mask}),
    ):
        placed = {name: variant.asarray(v) if name == "where" else v for name, v in options.items()}
        dlogits, _, dsmoothing, dtemperature, *_ = pullback(
            variant, cross_entropy, 1.0, logits, labels, **placed
        )
        assert np.all(dlogits[1:] == 0)
        assert np.allclose(dlogits[0], special.softmax(good) - [0, 0, 1], atol=8 * eps(variant))
        assert np.isfinite(dsmoothing)
        assert np.isfinite(dtemperature)


def test_the_mean_of_none_is_nan_and_their_sum_0(variant: Variant) -> None:
    logits, labels, weight = np.zeros((2, 3)), np.asarray([-1, -1]), np.ones(3)

    def ways(z: Any, y: Any, w: Any, m: Any) -> Any:
        found = [cross_entropy(z, y, ignore_index=-1, reduction=way) for way in ("mean", "sum")]
        found += [cross_entropy(z, y, ignore_index=-1, weight=w, label_smoothing=0.1)]
        return [*found, cross_entropy(z, z, where=m), cross_entropy(z, 0 * y, weight=0 * w)]

    got = on(variant, ways, logits, labels, weight, np.zeros(2, dtype=bool))
    assert np.array_equal(np.isnan(got), [True, False, True, True, True])
    assert got[1] == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("options", [{}, {"ignore_index": 1}, {"where": np.asarray([True, False, True])}])
def test_the_mean_of_what_has_no_weight_is_nan(variant: Variant, options: Any, smoothing: float) -> None:
    options = {key: variant.asarray(x) if key == "where" else x for key, x in options.items()}
    labels = variant.asarray(np.asarray([0, 1, 0] if options else [0, 0, 0]))
    logits, weight = variant.asarray(np.asarray([[1.0, -2.0]] * 3)), variant.asarray(np.asarray([0.0, 1.0]))

    def loss(logits: Any, weight: Any, reduction: str = "mean") -> Any:
        return cross_entropy(
            logits, labels, weight=weight, label_smoothing=smoothing, reduction=reduction, **options
        )

    # smoothed, the other class has a share and a loss, which nothing divides
    assert np.isnan(variant.backend.to_numpy(loss(logits, weight)))
    assert np.isfinite(variant.backend.to_numpy(loss(logits, weight, "sum")))
    if variant.id != "jax-jit":
        for g in grad(loss, (0, 1))(logits, weight):
            assert np.isnan(variant.backend.to_numpy(g)[0]).all()


def test_ignored_samples_beside_weights_and_smoothing_are_as_good_as_absent(draw: Draw) -> None:
    logits, labels, weight = (
        draw.normal(6, 3),
        np.asarray([0, -100, 2, 1, -100, 0]),
        np.asarray([0.2, 0.3, 5.0]),
    )
    kept = labels != -100
    for smoothing, reduction in product((0.0, 0.3), ("mean", "sum")):
        options: dict[str, Any] = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
        with_them = cross_entropy(logits, labels, ignore_index=-100, **options)
        assert with_them == pytest.approx(cross_entropy(logits[kept], labels[kept], **options), rel=1e-14)


def test_a_class_without_weight_that_cannot_be(variant: Variant) -> None:
    logits, weight = np.asarray([[0.0, -INF, 1.0]]), np.asarray([1.0, 0.0, 1.0])
    rows = np.asarray([[0.25, 0.5, 0.25]])

    def ways(z: Any, y: Any, q: Any, w: Any) -> Any:
        return [
            cross_entropy(z, v, weight=w, reduction="sum", label_smoothing=s)
            for v in (y, q)
            for s in (0.0, 0.3)
        ]

    got = on(variant, ways, logits, np.asarray([1]), rows, weight)
    assert got[0] == 0
    assert np.all(np.isfinite(got))


def test_second_derivatives_with_weights(draw: Draw) -> None:
    logits, weight, labels = draw.normal(3), draw.positive(3), np.asarray(1)
    p = special.softmax(logits)
    hessian = jacobian(
        grad(lambda z: cross_entropy(z, labels, weight=weight, reduction="sum", label_smoothing=0.2)), logits
    )
    q = weight * (0.8 * np.eye(3)[1] + 0.2 / 3)
    assert np.allclose(hessian, q.sum() * (np.diag(p) - np.outer(p, p)), rtol=1e-12, atol=1e-15)


def test_jax_differentiates_by_the_rule_in_both_modes() -> None:
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(3)
    z, w = jax.numpy.asarray(rng.standard_normal((4, 3))), jax.numpy.asarray([0.5, 2.0, 1.0])
    y = jax.numpy.asarray([0, -100, 2, 1])

    def peer(z: Any, w: Any) -> Any:
        counts, own = y != -100, jax.nn.one_hot(y, 3)
        losses = -(w * (0.9 * own + 0.1 / 3) * jax.nn.log_softmax(z)).sum(-1)
        return jax.numpy.where(counts, losses, 0).sum() / (own * w).sum()

    def ours(z: Any, w: Any) -> Any:
        return cross_entropy(z, y, weight=w, ignore_index=-100, label_smoothing=0.1)

    @jax.jit
    def derivatives(z: Any, w: Any) -> Any:
        ways = (jax.jacrev, jax.jacfwd)
        return [[way(f, place)(z, w) for way in ways for place in (0, 1)] for f in (ours, peer)]

    for got, expected in zip(*derivatives(z, w), strict=True):
        assert np.allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_an_ignored_class_number_that_no_label_can_be(draw: Draw, dtype: str) -> None:
    logits, labels = draw.normal(4, 3), np.asarray([0, 1, 2, 1], dtype=dtype)
    for ignored in (-1, 255, 2**40, 2**80):
        assert cross_entropy(logits, labels, ignore_index=ignored) == pytest.approx(
            float(cross_entropy(logits, labels)), rel=1e-14
        )


def test_refusals(variant: Variant) -> None:
    logits, labels = np.zeros((4, 3)), np.zeros(4, int)

    def run(y: Any = labels, **arrays: Any) -> Any:
        return on(
            variant,
            lambda z, v, *rest: cross_entropy(z, v, **dict(zip(arrays, rest, strict=True))),
            logits,
            y,
            *arrays.values(),
        )

    with pytest.raises(ShapeError, match=r"weight has shape \(4,\), expected \(3,\): one number a class"):
        run(weight=np.ones(4))
    with pytest.raises(
        ShapeError,
        match=r"where has shape \(3,\), expected one that broadcasts to that of the samples, \(4,\)",
    ):
        run(where=np.ones(3, dtype=bool))
    with pytest.raises(DTypeError, match="where has dtype float"):
        run(where=np.ones(4))
    with pytest.raises(ShapeError, match=r"ignore_index is 1 and labels are probabilities.*where="):
        on(variant, cross_entropy, logits, logits, ignore_index=1)
    with pytest.raises(ShapeError, match=r"axis is 2, expected one in \[-2, 2\)"):
        on(variant, cross_entropy, logits, labels, axis=2)
    with pytest.raises(ShapeError, match="say axis=1"):
        on(variant, cross_entropy, np.zeros((4, 3, 2)), np.zeros((4, 2), int))


def test_labels_that_count_are_looked_at_on_the_host() -> None:
    logits, labels = np.zeros((4, 3)), np.asarray([0, -100, 3, 7])
    with pytest.raises(ShapeError, match=r"labels\[2\] is 3, .*\(1 of 4 are outside\).*ignore_index="):
        cross_entropy(logits, labels, ignore_index=-100, where=np.asarray([True, True, True, False]))
    assert cross_entropy(logits, labels, where=np.asarray([1, 0, 0, 0])) == pytest.approx(np.log(3))


def test_a_label_that_counts_is_nan_on_a_device(variant: Variant) -> None:
    if variant.backend.host:
        pytest.skip("not applicable: an error on the host")
    labels = np.asarray([0, -100, 3, -1])
    got = on(variant, cross_entropy, np.zeros((4, 3)), labels, reduction="none", ignore_index=-100)
    assert np.array_equal(np.isnan(got), [False, False, True, True])


def test_no_kernel_serves_them() -> None:
    x, labels = np.ones((128, 100)), np.zeros(128, dtype=np.int64)
    for options in ({"weight": np.ones(100)}, {"ignore_index": 0}, {"where": labels == 0}):
        found = explain(cross_entropy, x, labels, **options)
        assert found.kernel == "body"
        assert "weight=, ignore_index=, where= or axis= is given" in found.reason
