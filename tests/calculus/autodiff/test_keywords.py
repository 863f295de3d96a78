"""NumPy's functions under grad by its own argument names, and with all of its options by position."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import numpy as np
import pytest

from calculus._traced_cases import NUMBERED, arguments, scalar, weights_of
from calculus.autodiff.functions.test_rules import ALIASES
from pillars import CapabilityError
from pillars.calculus import grad
from pillars.calculus.autodiff.functions._table import FOURIER, FUNCTIONS, LINALG
from pillars.measure.audit.cases import Case


class Called:
    """NumPy, whose functions are called with every argument that their signature has, by name or by position."""

    __name__ = "numpy"

    def __init__(self, part: Any, how: str, seen: list[str]) -> None:
        self._part, self._how, self._seen = part, how, seen

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if inspect.ismodule(found):
            return Called(found, self._how, self._seen)
        if not callable(found) or isinstance(found, (type, np.ufunc)):
            return found
        try:
            signature = inspect.signature(found)
        except ValueError:  # of a function written in C, before NumPy 2.4
            self._seen.append(name)
            return found

        def call(*args: Any, **options: Any) -> Any:
            bound = signature.bind(*args, **options)
            bound.apply_defaults()
            several = any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())
            by_place: list[Any] = []
            by_name: dict[str, Any] = {}
            for key, value in bound.arguments.items():
                kind = signature.parameters[key].kind
                if kind is inspect.Parameter.VAR_POSITIONAL:
                    by_place.extend(value)
                elif kind is inspect.Parameter.VAR_KEYWORD:
                    by_name.update(value)
                elif kind is inspect.Parameter.POSITIONAL_ONLY or (
                    kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and (several or self._how == "position")
                ):
                    by_place.append(value)
                elif key != "like":  # another protocol
                    by_name[key] = value
            self._seen.append(name)
            return found(*by_place, **by_name)

        return call


@pytest.mark.parametrize("how", ["name", "position"])
@pytest.mark.parametrize("case", NUMBERED)
def test_every_option_said_aloud(case: Case, how: str) -> None:
    seed, args = arguments(case)
    w = weights_of(case, args, seed)
    called = Called(np, how, [])
    places = tuple(range(len(args)))
    found = grad(lambda *x: scalar(case, called, w, *x), places)(*args)
    wanted = grad(lambda *x: scalar(case, np, w, *x), places)(*args)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_function_of_numpy_is_called_so() -> None:
    seen: list[str] = []
    called = Called(np, "name", seen)
    for p in NUMBERED:
        case: Any = p.values[0]
        seed, args = arguments(case)
        scalar(case, called, weights_of(case, args, seed), *args)
    for part, table in ((np, FUNCTIONS), (np.linalg, LINALG), (np.fft, FOURIER)):
        names = {name for name in table if inspect.isroutine(getattr(part, name, None))}
        names = {name for name in names if not isinstance(getattr(part, name), np.ufunc)}
        # other names of functions that are called, and one that takes no traced array but its namespace's
        assert names - set(seen) - set(ALIASES) - {"full", "amax", "amin"} == set()


X = np.asarray([0.5, 2.0, 3.0])


@pytest.mark.parametrize(
    ("by_name", "plain"),
    [
        (lambda x: np.repeat(x, repeats=2), lambda x: np.repeat(x, 2)),
        (lambda x: np.partition(x, kth=1), lambda x: np.partition(x, 1)),
        (lambda x: np.tile(A=x, reps=2), lambda x: np.tile(x, 2)),
        (lambda x: np.moveaxis(x, source=0, destination=0), lambda x: x),
        (lambda x: np.quantile(x, q=0.3), lambda x: np.quantile(x, 0.3)),
        (lambda x: np.percentile(a=x, q=30), lambda x: np.percentile(x, 30)),
        (lambda x: np.pad(x, pad_width=1), lambda x: np.pad(x, 1)),
        (lambda x: np.take(x, indices=[0, 0]), lambda x: np.take(x, [0, 0])),
        (lambda x: np.take(x, [4, -1], mode="wrap"), lambda x: x[np.asarray([1, 2])]),
        (lambda x: np.take(x, [4, -1], mode="clip"), lambda x: x[np.asarray([2, 0])]),
        (lambda x: np.delete(x, obj=1), lambda x: np.delete(x, 1)),
        (lambda x: np.resize(x, new_shape=(2, 2)), lambda x: np.resize(x, (2, 2))),
        (lambda x: np.split(ary=x, indices_or_sections=3)[1], lambda x: x[1:2]),
        (lambda x: np.compress(condition=[True, False, True], a=x), lambda x: x[::2]),
        (
            lambda x: np.select(condlist=[x > 1], choicelist=[x], default=0.0),
            lambda x: np.where(x > 1, x, 0.0),
        ),
        (lambda x: np.diff(x, prepend=1.0, append=x[:2]), lambda x: np.diff(np.hstack([1.0, x, x[:2]]))),
        (lambda x: np.atleast_1d(x, x[0])[1] * np.atleast_2d(1.0, x)[1], lambda x: x[0] * x[None, :]),
        (lambda x: np.amax(a=x, axis=0) * np.amin(a=x), lambda x: np.max(x) * np.min(x)),
        (lambda x: np.hstack(tup=[x, x], dtype=np.float64), lambda x: np.concatenate([x, x])),
        (lambda x: np.full_like(x, x[0], shape=(2,)), lambda x: x[0] * np.ones(2)),
        (lambda x: np.fft.fftshift(x, 0), lambda x: np.fft.fftshift(x, axes=0)),
        (lambda x: np.sum(x, where=np.asarray([True, False, True])), lambda x: x[0] + x[2]),
        (lambda x: np.exp(x, where=True, casting="same_kind", dtype=None), np.exp),
        (lambda x: x.repeat(repeats=2), lambda x: np.repeat(x, 2)),
        (lambda x: x.take(indices=[0, 0]), lambda x: np.take(x, [0, 0])),
        (lambda x: x.astype(dtype=np.float64, copy=False) * x, lambda x: x * x),
        (lambda x: x.compress(condition=[True, False, True]), lambda x: x[::2]),
        (lambda x: x.sum(axis=0, dtype=None, keepdims=False), np.sum),
    ],
)
def test_names_and_options(by_name: Any, plain: Any) -> None:
    np.testing.assert_allclose(by_name(X), plain(X))
    np.testing.assert_allclose(
        grad(lambda x: np.sum(by_name(x) ** 2))(X), grad(lambda x: np.sum(plain(x) ** 2))(X)
    )


def test_row_stack() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if not hasattr(np, "row_stack"):
            pytest.skip("not applicable: NumPy has none any more")
        found = grad(lambda x: np.sum(np.vstack([x, 2.0 * x]) ** 2))(X)
    np.testing.assert_allclose(found, 10.0 * X)


@pytest.mark.parametrize("option", [{"weights": np.ones(3)}, {"method": "lower"}])
def test_an_option_without_a_rule_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(CapabilityError, match=r"quantile"):
        grad(lambda x: np.quantile(x, q=0.5, **option))(X)


# what NumPy makes a plain array of without asking, and what the message tells to write
WRITTEN: list[tuple[str, Any, str, Any]] = [
    ("np.array", lambda x: np.array([x[0], x[1]]), "np.stack([a, b])", lambda x: np.stack([x[0], x[1]])),
    ("np.asarray", lambda x: np.asarray([x[0], 1.0]), "np.stack([a, b])", lambda x: np.stack([x[0], 1.0])),
    (
        "nested",
        lambda x: np.array([[x[0], 1.0], [2.0, x[1]]]),
        "np.block([[a, b], [c, d]])",
        lambda x: np.block([[x[0], 1.0], [2.0, x[1]]]),
    ),
    ("np.r_", lambda x: np.r_[x, x], "np.hstack([a, b])", lambda x: np.hstack([x, x])),
    ("np.r_ numbers", lambda x: np.r_[x[0], 2.0, x], "np.hstack", lambda x: np.hstack([x[0], 2.0, x])),
    ("np.c_", lambda x: np.c_[x, x], "np.column_stack([a, b])", lambda x: np.column_stack([x, x])),
    ("np.full", lambda x: np.full((2,), x[0]), "np.broadcast_to", lambda x: np.broadcast_to(x[0], (2,))),
    ("list", lambda x: np.max([x[0], x[1]]), "np.stack([a, b])", lambda x: np.max(np.stack([x[0], x[1]]))),
    ("dot", lambda x: np.ones((2, 3)).dot(x), "x @ y", lambda x: np.ones((2, 3)) @ x),
]


@pytest.mark.parametrize(
    ("wrong", "told", "right"), [pytest.param(*rest, id=name) for name, *rest in WRITTEN]
)
def test_the_message_says_what_to_write(wrong: Any, told: str, right: Any) -> None:
    with pytest.raises(CapabilityError, match=re.escape(told)):
        grad(lambda x: np.sum(wrong(x)))(X)
    np.testing.assert_array_equal(right(X), wrong(X))
    assert np.isfinite(grad(lambda x: np.sum(right(x)))(X)).all()
