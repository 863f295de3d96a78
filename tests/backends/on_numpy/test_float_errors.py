"""The cheap way to no warnings: NumPy's own state, set and put back, whatever happens in between."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest

from pillars import ShapeError, probability
from pillars.backends import backend, pool_map
from pillars.backends.on_numpy._float_errors import ERRORS, IGNORED, Quiet

BAD = np.asarray([0.0, -np.inf, 1e308, -1e308, 5e-324])
SIZES = pytest.mark.parametrize("size", [1, 4000], ids=["small", "kernel"])


def test_it_is_numpys_state() -> None:
    with Quiet():
        assert set(np.geterr().values()) == {"ignore"}
    with np.errstate(all="raise"):
        kept = np.geterr()
        token = ERRORS.set(IGNORED)
        assert set(np.geterr().values()) == {"ignore"}
        ERRORS.reset(token)
        assert np.geterr() == kept


def test_it_nests_and_survives_errors() -> None:
    before = np.geterr()
    with pytest.raises(KeyError), Quiet(), Quiet():
        raise KeyError
    assert np.geterr() == before
    with pytest.raises(ShapeError):
        probability.softmax(np.ones((2, 3)), axis=7)
    assert np.geterr() == before


@SIZES
@pytest.mark.parametrize("setting", ["warn", "raise", "call", "ignore"])
def test_no_operation_warns_or_raises_whatever_the_user_has_set(setting: Any, size: int) -> None:
    x = np.tile(BAD, (size, 1))
    with np.errstate(all=setting, call=lambda *_: pytest.fail("called")), warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in (probability.softmax, probability.log_softmax, probability.logsumexp, probability.sigmoid):
            f(x)
        probability.cross_entropy(x, np.zeros(len(x), dtype=np.int64))
        assert set(np.geterr().values()) == {setting}


def test_the_users_state_is_theirs_in_other_threads_and_tasks() -> None:
    seen: list[Any] = []

    def look(_: int) -> None:
        probability.softmax(BAD)
        seen.append(np.geterr()["over"])

    with np.errstate(over="raise"):
        pool_map(look, range(4))
    assert seen == ["raise"] * 4
    thread = threading.Thread(target=look, args=(0,))
    thread.start()
    thread.join()
    assert seen[-1] == "warn"


def test_workers_of_a_kernel_are_quiet_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from pillars.backends.on_numpy import _blocks

    monkeypatch.setattr(_blocks, "_THREADED", 1)
    monkeypatch.setenv("PILLARS_NUM_THREADS", "3")
    with np.errstate(all="raise"):
        p = probability.softmax(np.tile(BAD, (4000, 1)))
    assert np.array_equal(p, np.tile(probability.softmax(BAD), (4000, 1)))


def test_the_backends_own_context() -> None:
    with backend("numpy").quiet():
        assert np.isnan(np.asarray(np.inf) - np.inf)
