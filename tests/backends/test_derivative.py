"""A value and its hand-derived pullback, outside any tape: needs, dtypes, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import pillars
from backends._toys import make_power_sum, scaled
from pillars.backends import forward_and_pullback

X = np.asarray([0.5, 1.5])
COUNTS = np.asarray([1, 2])


@pytest.fixture
def record():
    return make_power_sum("body").record


def values(record, x=X, **options):
    return record.bind((x, COUNTS), options)


def test_value_and_pullback(record):
    y, pullback = forward_and_pullback(record, values(record))
    dx, dcounts, dexponent = pullback(np.asarray(1.0))
    np.testing.assert_allclose(y, 0.25 + 2 * 2.25)
    np.testing.assert_allclose(dx, [1.0, 6.0])
    assert dcounts is None
    np.testing.assert_allclose(dexponent, np.sum(COUNTS * X**2 * np.log(X)))


def test_needs_leave_the_rest_out(record):
    _, pullback = forward_and_pullback(
        record, values(record), record.needs(x=True, counts=False, exponent=False)
    )
    assert [one is None for one in pullback(np.asarray(1.0))] == [False, True, True]


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_cotangents_have_their_primal_s_dtype(record, name):
    y, pullback = forward_and_pullback(record, values(record, X.astype(name)))
    dx, _, dexponent = pullback(np.ones((), name))
    assert {y.dtype.name, dx.dtype.name, dexponent.dtype.name} == {name}
    assert dexponent.shape == ()


def test_lists_and_integers_are_arrays_first(record):
    y, pullback = forward_and_pullback(record, record.bind((np.asarray([1, 2]), COUNTS), {}))
    assert y == 9.0
    assert pullback(np.asarray(1.0))[0] is None  # integers have no tangent


def test_without_a_rule_it_says_so():
    with pytest.raises(pillars.CapabilityError, match=r"scaled: has no hand-derived gradient.*pillars\.grad"):
        forward_and_pullback(scaled.record, scaled.record.bind((X,), {}))
