"""Fingerprints are equal only where a function reads equal values, and unknown where that cannot be told."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import random
import types
from typing import Any

import numpy as np
import pytest

import pillars
from pillars.backends import fingerprint, forced_kernels
from pillars.calculus import mean_squared_error

FACTOR = 2.0


def make(value: Any) -> Any:
    return lambda x: x * value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 2.0),
        (1, 1.0),
        (0.0, -0.0),
        (True, 1),
        ("a", "b"),
        ((1, 2), (1, 3)),
        ([1, 2], (1, 2)),
        ({"a": 1}, {"a": 2}),
        (np.float64(1.0), np.float64(2.0)),
        (make(1.0), make(2.0)),
        (functools.partial(make, 1), functools.partial(make, 2)),
    ],
)
def test_what_a_closure_holds_counts_by_value(one: Any, other: Any) -> None:
    assert fingerprint(make(one)) == fingerprint(make(one)) is not None
    assert fingerprint(make(one)) != fingerprint(make(other))


def test_an_array_that_may_be_refilled_is_unknown() -> None:
    assert fingerprint(make(np.zeros(3))) is None


def test_globals_and_defaults_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any, power: float = 2.0) -> Any:
        return sum(y * FACTOR for y in (x,)) ** power

    before = fingerprint(f)
    assert before is not None
    monkeypatch.setitem(f.__globals__, "FACTOR", 3.0)
    assert fingerprint(f) != before
    monkeypatch.undo()
    assert fingerprint(f) == before
    f.__defaults__ = (3.0,)
    assert fingerprint(f) != before


def test_code_counts() -> None:
    assert fingerprint(lambda x: x + 1) != fingerprint(lambda x: x + 2)


def test_helpers_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        return make(FACTOR)(x)

    before = fingerprint(f)
    assert before is not None
    monkeypatch.setitem(f.__globals__, "FACTOR", 3.0)
    assert fingerprint(f) != before


def test_functions_that_call_themselves_end() -> None:
    def f(n: int) -> Any:
        return 1 if n == 0 else f(n - 1)

    assert fingerprint(f) is not None


@dataclasses.dataclass(frozen=True)
class Plain:
    scale: float
    name: str = "plain"


@dataclasses.dataclass(slots=True)
class Slotted:
    scale: float


@dataclasses.dataclass(frozen=True)
class Frozen:
    scale: float

    def scaled(self, x: Any) -> Any:
        return x * self.scale * FACTOR


@dataclasses.dataclass
class Made:
    scale: Any = dataclasses.field(default_factory=list)


class Open:
    scale = 1.0

    def method(self, x: Any) -> Any:
        return x * self.scale


class Loud(float):
    """A number that carries more than its repr shows."""


Bare = collections.namedtuple("Bare", "scale")


class Rich(Bare):
    def scaled(self, x: Any) -> Any:
        return x * self.scale * FACTOR


@functools.wraps(np.mean)
def borrowed(x: Any) -> Any:
    return FACTOR * np.mean(x)


def test_frozen_dataclasses_of_the_package_count_by_value() -> None:
    assert (
        fingerprint(pillars.calculus.adam(0.1).update)
        == fingerprint(pillars.calculus.adam(0.1).update)
        is not None
    )
    assert fingerprint(pillars.calculus.adam(0.1).update) != fingerprint(
        pillars.calculus.adam(0.1, beta1=0.5).update
    )


def test_bare_named_tuples_count_by_value_and_their_class_is_known() -> None:
    assert fingerprint(make(Bare(1.0))) == fingerprint(make(Bare(1.0))) is not None
    assert fingerprint(make(Bare(1.0))) != fingerprint(make(Bare(2.0)))
    assert fingerprint(make(Bare)) is not None


@pytest.mark.parametrize("kind", [Plain, Slotted])
def test_bare_dataclasses_count_by_value_and_their_class_is_known(kind: Any) -> None:
    assert fingerprint(make(kind(1.0))) == fingerprint(make(kind(1.0))) is not None
    assert fingerprint(make(kind(1.0))) != fingerprint(make(kind(2.0)))
    assert fingerprint(make(kind)) is not None


def test_a_borrowed_name_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(make(borrowed))
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert before is None or fingerprint(make(borrowed)) != before


def test_a_record_of_ones_own_hides_nothing() -> None:
    def with_record(value: float) -> Any:
        f = make(value)
        f.record = "anything"
        return f

    assert fingerprint(with_record(1.0)) != fingerprint(with_record(2.0))


def test_what_looks_elsewhere_is_unknown() -> None:
    assert fingerprint(lambda x: x * float(os.environ["S"])) is None
    assert fingerprint(lambda x: x * globals()["FACTOR"]) is None


@pytest.mark.parametrize(
    "held",
    [
        Open(),
        Open,
        Frozen(1.0),
        Frozen,
        Made(1.0),
        Made,
        Rich(1.0),
        Rich,
        Loud(1.0),
        Open().method,
        np.random.default_rng(0),
        np.random.RandomState(0),
        types.ModuleType("mine"),
        iter([1]),
        object(),
        {1, 2},
        collections.deque([1]),
        types.SimpleNamespace(scale=1.0),
        np.poly1d([1.0]),
        np.random.normal,
        random.random,
        np.asarray([object()]),
    ],
    ids=lambda held: type(held).__name__,
)
def test_what_cannot_be_told_is_unknown(held: Any) -> None:
    assert fingerprint(make(held)) is None


def test_libraries_stay_what_they_are() -> None:
    def f(x: Any) -> Any:
        return np.sum(mean_squared_error(x, x)) + pillars.softmax(x)

    assert fingerprint(f) == fingerprint(f) is not None


def test_modes_and_defaults_count() -> None:
    f = make(1.0)
    before = fingerprint(f)
    with forced_kernels():
        assert fingerprint(f) != before
    with pillars.using("numpy", dtype="float32"):
        assert fingerprint(f) != before


def test_jax_arrays_count_by_identity_and_jitted_functions_by_what_they_wrap() -> None:
    jax = pytest.importorskip("jax")
    one = jax.numpy.asarray(1.0)
    assert fingerprint(make(one)) == fingerprint(make(one)) is not None
    assert fingerprint(make(one)) != fingerprint(make(jax.numpy.asarray(1.0)))
    assert fingerprint(jax.jit(make(1.0))) == fingerprint(jax.jit(make(1.0))) is not None
    assert fingerprint(jax.jit(make(1.0))) != fingerprint(jax.jit(make(2.0)))
    assert fingerprint(make(jax.nn.relu)) is not None
    rule = jax.custom_vjp(make(1.0))
    assert fingerprint(make(rule)) is None
    mapped = fingerprint(jax.vmap(make(1.0)))
    assert mapped is None or mapped != fingerprint(jax.vmap(make(2.0)))
