"""What a descent refuses, and in which words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

import pillars
from calculus.descent._line import X, Y, descend, line_loss, mapped, value
from contracts._variants import Variant, variant as named
from pillars import BackendError, CapabilityError, DTypeError, PillarsError, ShapeError
from pillars.calculus import (
    Optimizer,
    grad,
    gradient_descent,
    mean_squared_error,
    sgd,
)


@pytest.fixture
def jnp() -> Any:
    return pytest.importorskip("jax.numpy")


# ----------------------------------------------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ShapeError, r"loss returned shape \(5,\)", lambda: gradient_descent(lambda w, x: w * x, 0.0, X)),
        (DTypeError, "complex128", lambda: gradient_descent(lambda w: w + 1j, 0.0, gradient=lambda w: w)),
        (DTypeError, "params is 0, an integer", lambda: gradient_descent(line_loss, 0, X, Y)),
        (DTypeError, r"params\['w'\] has dtype int64", lambda: gradient_descent(line_loss, {"w": np.zeros(2, int)})),
        (DTypeError, "params has dtype complex128", lambda: gradient_descent(line_loss, np.zeros(2, complex), X, Y)),
        (ShapeError, "no leaves", lambda: gradient_descent(line_loss, {}, X, Y)),
        (ShapeError, "steps is -1", lambda: gradient_descent(line_loss, 0.0, X, Y, steps=-1)),
        (DTypeError, "steps is 2.5", lambda: gradient_descent(line_loss, 0.0, X, Y, steps=2.5)),
        (ShapeError, "every is 0", lambda: gradient_descent(line_loss, 0.0, X, Y, every=0)),
        (ShapeError, "clip_norm is 0", lambda: gradient_descent(line_loss, 0.0, X, Y, clip_norm=0.0)),
        (ShapeError, "tolerance is nan", lambda: gradient_descent(line_loss, 0.0, X, Y, tolerance=float("nan"))),
        (ShapeError, "batch_size is 6", lambda: gradient_descent(line_loss, 0.0, X, Y, batch_size=6)),
        (ShapeError, "batch_size is 0", lambda: gradient_descent(line_loss, 0.0, X, Y, batch_size=0)),
        (ShapeError, "4 and 5 rows", lambda: gradient_descent(line_loss, 0.0, X[:4], Y, batch_size=2)),
        (ShapeError, "no data with rows", lambda: gradient_descent(lambda w: w**2, 0.0, batch_size=2)),
        (DTypeError, "optimizer is 0.1", lambda: gradient_descent(line_loss, 0.0, X, Y, optimizer=0.1)),
        (DTypeError, "loss is None", lambda: gradient_descent(None, 0.0, X, Y)),
        (
            ShapeError,
            r"gradient\['w'\] has shape \(2,\), expected \(5,\)",
            lambda: gradient_descent(
                lambda p, x: np.sum(p["w"] * x), {"w": np.zeros(5)}, X, gradient=lambda p, x: {"w": np.zeros(2)}
            ),
        ),
        (
            ShapeError,
            "structure",
            lambda: gradient_descent(
                lambda p, x: np.sum(p["w"] * x), {"w": np.zeros(5)}, X, gradient=lambda p, x: np.zeros(5)
            ),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(error: type[Exception], words: str, call: Any) -> None:
    with pytest.raises(error, match=words) as caught:
        call()
    assert isinstance(caught.value, PillarsError)


def test_of_data_frames_the_conversion_is_named() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    w = np.ones(2)
    for error, call in (
        (DTypeError, lambda: gradient_descent(lambda w, x: np.sum(x @ w), w, frame)),
        (DTypeError, lambda: grad(np.sum)(frame)),
        (CapabilityError, lambda: grad(lambda w, x: np.sum(x @ w))(w, frame)),
    ):
        with pytest.raises(error, match=r"data frame.*pillars\.asarray\(frame\)"):
            call()
    np.testing.assert_array_equal(grad(lambda w, x: np.sum(x @ w))(w, pillars.asarray(frame)), [3.0, 7.0])


@pytest.mark.parametrize("name", ["numpy", "strict", "jax"])
@pytest.mark.parametrize(
    ("error", "words", "change"),
    [
        (ShapeError, r"loss returned shape \(5,\)", {"loss": lambda p, x, y: p["w"] * x}),
        (DTypeError, "loss returned dtype complex", {"loss": lambda p, x, y: p["w"] * 1j, "gradient": lambda p, *_: p}),
        (DTypeError, "loss returned str", {"loss": lambda p, x, y: "low", "gradient": lambda p, x, y: p}),
        (DTypeError, "loss returned NoneType", {"loss": lambda p, x, y: None, "gradient": lambda p, x, y: p}),
        (ShapeError, r"gradient\['w'\] has shape \(5,\), expected \(\)", {"gradient": lambda p, x, y: {"w": x}}),
        (ShapeError, "the structure is not that of the parameters", {"gradient": lambda p, x, y: {"v": p["w"]}}),
        (ShapeError, "the structure is not that of the parameters", {"gradient": lambda p, x, y: p["w"]}),
        (DTypeError, r"gradient\['w'\] has dtype complex", {"gradient": lambda p, x, y: {"w": p["w"] * 1j}}),
        (DTypeError, r"params\['w'\] has dtype int32", {"params": {"w": np.asarray(1, np.int32)}}),
        (DTypeError, r"params\['w'\] has dtype bool", {"params": {"w": np.asarray(True)}}),
        (ShapeError, r"the data has shape \(0,\), expected at least one row", {"data": (X[:0], Y[:0])}),
        (ShapeError, r"the data has shape \(0,\)", {"data": (X[:0], Y[:0]), "batch_size": 2}),
        (ShapeError, "the data has no entries", {"data": ([], [])}),
    ],
)  # fmt: skip
def test_bad_input_is_refused_alike_on_every_backend(name: str, error: Any, words: str, change: Any) -> None:
    place = named(name).asarray
    given = {
        "loss": lambda p, x, y: line_loss(p["w"], x, y),
        "params": {"w": np.asarray(0.5)},
        "data": (X, Y),
        **change,
    }
    params = mapped(lambda a: place(a, None if a.dtype.kind in "ib" else "float32"), given.pop("params"))
    data = [place(x, "float32") if isinstance(x, np.ndarray) else x for x in given.pop("data")]
    with pytest.raises(error, match=words):
        gradient_descent(given.pop("loss"), params, *data, steps=3, **given)


@pytest.mark.parametrize("name", ["numpy", "strict", "jax"])
def test_a_loss_that_is_not_a_number_ends_the_run(name: str) -> None:
    w = named(name).asarray(np.asarray(1.0), "float32")
    found = gradient_descent(lambda w: w * float("nan"), w, steps=5)
    assert (found.status, int(found.steps)) == ("nonfinite", 0)
    assert float(found.params) == 1.0


def test_two_libraries_are_refused(jnp: Any) -> None:
    with pytest.raises(BackendError, match=r"params on jax and data\[0\] on numpy"):
        gradient_descent(line_loss, jnp.asarray(0.0), X, Y)
    with pytest.raises(BackendError, match="expected an array of numpy"):
        gradient_descent(line_loss, np.zeros(()), X, Y, gradient=lambda w, x, y: jnp.asarray(0.0))


def test_an_optimizer_of_ones_own(variant: Variant) -> None:
    made = sgd(0.01)
    mine = Optimizer(made.init, lambda g, s, p: made.update(grads=g, state=s, params=p))
    found = descend(variant, line_loss, np.asarray(0.0), X, Y, optimizer=mine, steps=50)
    assert np.isclose(float(value(variant, found.params)), 2.0036, rtol=1e-4)


def test_an_infinite_clip_norm_clips_nothing() -> None:
    for name in ("numpy", "jax"):
        if not pillars.available()[name].usable:
            continue
        w = pillars.move(np.zeros(2, np.float32), name)
        done = gradient_descent(
            lambda w: mean_squared_error(w, w * 0 + 1), w, steps=3, clip_norm=float("inf")
        )
        assert done.status == "steps"


def test_a_captured_buffer_that_is_refilled_is_seen_on_jax() -> None:
    jnp = pytest.importorskip("jax.numpy")
    captured = np.array([1.0], np.float32)

    def loss(w: Any) -> Any:
        return jnp.sum(captured * (w - 1) ** 2)

    ends = []
    for number in (1.0, 2.0, 3.0):
        captured[...] = number
        ends.append(float(gradient_descent(loss, jnp.asarray(0.0), steps=3, optimizer=sgd(0.1)).params))
    np.testing.assert_allclose(ends, [1 - (1 - 0.2 * value) ** 3 for value in (1, 2, 3)], rtol=1e-5)


def test_methods_of_the_parameters_are_followed_on_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    jnp = pytest.importorskip("jax.numpy")

    class Point(NamedTuple):
        w: Any

        def scaled(self) -> Any:
            return self.w * SCALE

    start = Point(jnp.asarray(2.0))
    losses = []
    for number in (1.0, 3.0):
        monkeypatch.setitem(globals(), "SCALE", number)
        losses.append(float(gradient_descent(lambda p: p.scaled() ** 2, start, steps=0).loss))
    assert losses == [4.0, 36.0]


SCALE = 1.0
