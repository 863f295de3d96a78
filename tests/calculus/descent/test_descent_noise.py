"""Divergence in mini-batches: growth is told from the noise of the batches, and divergence is still called so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars.backends import available, backend, namespace
from pillars.calculus import gradient_descent, learning_rate_sweep, sgd
from pillars.calculus.descent._judge import judge
from pillars.calculus.descent._status import RUNNING, STEPS

ROWS, COLUMNS = 64, 3
EVERYWHERE = pytest.mark.parametrize(
    "name", [*(name for name, state in available().items() if state.usable), "strict"]
)


def loss(w: Any, x: Any, y: Any) -> Any:
    return namespace(w).mean((x @ w - y) ** 2)


def regression(seed: int) -> tuple[Any, Any, Any, float]:
    """Data, the optimum, and the largest stable rate on all rows."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(ROWS, COLUMNS))
    y = x @ draw.normal(size=COLUMNS) + draw.normal(size=ROWS)
    return x, y, np.linalg.lstsq(x, y, rcond=None)[0], ROWS / np.linalg.eigvalsh(x.T @ x)[-1]


def runs(seeds: int, steps: int, batch: int, part: float, start: float) -> list[tuple[Any, float]]:
    """Losses of batches, and of all rows at the end, of plain descents at a part of the limit."""
    found = []
    for seed in range(seeds):
        x, y, w, limit = regression(seed)
        draw = np.random.default_rng(seed)
        w, losses = w + start * draw.normal(size=COLUMNS), []
        for t in range(steps):
            if t % (ROWS // batch) == 0:
                order = draw.permutation(ROWS)
            rows = order[t % (ROWS // batch) * batch :][:batch]
            rest = x[rows] @ w - y[rows]
            losses.append(np.mean(rest**2))
            w = w - part * limit * 2 * x[rows].T @ rest / batch
        found.append((np.asarray(losses), float(np.mean((x @ w - y) ** 2))))
    return found


def diverged(losses: Any, after: float) -> bool:
    last = np.asarray(len(losses) - 1, np.int32)
    code = np.asarray(RUNNING, np.int32)
    verdict = judge(
        code, losses, np.full_like(losses, 0.1), last, lambda growth, rate: None, np.asarray(after)
    )
    return int(verdict.code) != STEPS


@pytest.mark.parametrize("steps", [4, 5, 6, 8, 12, 30])
@pytest.mark.parametrize("batch", [2, 4, 8, 16])
def test_a_healthy_run_at_the_optimum_is_not_called_diverged(steps: int, batch: int) -> None:
    """Three rises to the highest of four losses come once in 24 by chance."""
    alarms = sum(diverged(*run) for run in runs(400, steps, batch, 0.02, 0.0))
    assert alarms <= 1


@pytest.mark.parametrize(
    ("part", "steps", "least"), [(4.0, 4, 0.95), (4.0, 12, 1.0), (2.0, 12, 0.97), (1.5, 30, 0.97)]
)
def test_one_that_diverges_still_is(part: float, steps: int, least: float) -> None:
    found = [diverged(*run) for run in runs(200, steps, 8, part, 3.0)]
    assert np.mean(found) >= least


@EVERYWHERE
def test_the_whole_descent_says_the_same(name: str) -> None:
    home = backend(name)
    for seed in range(6):
        x, y, w, limit = regression(seed)
        given = [home.asarray(part) for part in (x, y)]
        for part, start, status in ((0.02, 0.0, "steps"), (4.0, 3.0, "diverged")):
            found = gradient_descent(
                loss,
                home.asarray(w + start),
                *given,
                optimizer=sgd(part * limit),
                steps=12,
                batch_size=8,
                rng=seed,
            )
            assert found.status == status, (seed, found.advice)
        if name == "jax":  # inside a program of the user's own, too
            code = home.jit(
                lambda w, x, y, rate=4 * limit: (
                    gradient_descent(loss, w, x, y, optimizer=sgd(rate), steps=12, batch_size=8).status_code
                )
            )
            assert int(code(home.asarray(w + 3.0), *given)) == int(found.status_code)


def test_the_advice_says_what_was_seen() -> None:
    x, y, w, limit = regression(0)
    found = gradient_descent(loss, w + 1.0, x, y, optimizer=sgd(1.6 * limit), steps=60, batch_size=16)
    assert found.status == "diverged"
    rises = np.all(np.diff(found.history.loss[-3:]) > 0) and found.loss > found.history.loss[-1]
    assert ("each of the last ones raised it" in found.advice) == rises
    assert ("beyond what batches differ by" in found.advice) != rises


def test_a_sweep_in_batches_is_as_many_descents_of_the_same_batches() -> None:
    x, y, w, limit = regression(1)
    rates = (0.02 * limit, 0.2 * limit, 4 * limit)
    rows = learning_rate_sweep(loss, w + 1.0, x, y, rates=rates, steps=20, batch_size=8, rng=3)
    assert [row.status for row in rows] == ["steps", "steps", "diverged"]
    for row in rows:
        run = gradient_descent(
            loss, w + 1.0, x, y, optimizer=sgd(row.learning_rate), steps=20, batch_size=8, rng=3
        )
        assert row.loss == float(run.loss)  # of all rows, at the end
    # the start is nobody's but the caller's, and one generator's draw serves all rates
    kept = w.copy()
    same = learning_rate_sweep(
        loss, w, x, y, rates=(rates[0], rates[0]), steps=9, batch_size=8, rng=np.random.default_rng(0)
    )
    assert same[0] == same[1]
    np.testing.assert_array_equal(w, kept)
