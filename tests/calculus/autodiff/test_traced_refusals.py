"""What a traced array protects the gradient from, and what it refuses."""

from __future__ import annotations

import gc
import math
import pickle
import subprocess
import sys
import weakref
from typing import Any

import array_api_strict
import numpy as np
import pytest

from pillars import BackendError, CapabilityError, DTypeError
from pillars.calculus import grad, vjp
from pillars.probability import log_softmax


# ----------------------------------------------------------------------------------------------------------- safety
def test_a_buffer_refilled_in_a_loop_does_not_corrupt_the_gradient() -> None:
    buffer = np.zeros(2)

    def f(w: Any) -> Any:
        total = 0.0
        for k in range(3):
            buffer[:] = [k + 1.0, 10.0 * k]
            total = total + np.sum(w * buffer) + np.sum(np.maximum(buffer, w)) + buffer @ w
        return total

    np.testing.assert_array_equal(grad(f)(np.asarray([2.5, 0.5])), [2 * 6 + 2, 2 * 30 + 1])


def test_refilled_indices_conditions_and_operands_of_operations() -> None:
    index, mask, logits = np.zeros(1, int), np.zeros(2, bool), np.zeros(2)

    def f(w: Any) -> Any:
        total = 0.0
        for k in range(2):
            index[:], mask[:], logits[:] = k, [k == 0, k == 1], [k, 2.0 * k]
            total = (
                total
                + np.sum(w[index] * (k + 1))
                + np.sum(np.where(mask, w, 0.0))
                + np.sum(np.take(w, index))
            )
            total = total + np.sum(log_softmax(logits, temperature=w[0]) * [1.0, 0.0])
        index[:], mask[:], logits[:] = 0, True, 100.0
        return total

    w = np.asarray([1.5, 2.0])
    h = 1e-6
    wanted = [(float(f(w + h * e)) - float(f(w - h * e))) / (2 * h) for e in np.eye(2)]
    np.testing.assert_allclose(grad(f)(w), wanted, rtol=1e-8)


def test_vjp_is_not_fooled_by_a_refilled_argument() -> None:
    x = np.asarray([1.0, 2.0])
    _, pullback = vjp(lambda x: x**2, x)
    x[:] = 100.0
    np.testing.assert_array_equal(pullback(np.ones(2))[0], [2.0, 4.0])


def test_other_arguments_arrive_read_only_and_uncopied() -> None:
    data, seen = np.ones((3, 2)), []

    def f(w: Any, batch: Any) -> Any:
        seen.append(batch["x"])
        return np.sum(batch["x"] @ w)

    grad(f)(np.ones(2), {"x": data, "name": "train"})
    assert not seen[0].flags.writeable
    assert np.shares_memory(seen[0], data)
    assert data.flags.writeable


def test_inputs_may_be_read_only_and_are_unchanged() -> None:
    x = np.asarray([1.0, 2.0])
    x.flags.writeable = False
    np.testing.assert_array_equal(grad(lambda x: np.sum(x * x))(x), [2.0, 4.0])


def test_a_dead_branch_is_collected() -> None:
    died = []

    def f(x: Any) -> Any:
        branch = np.exp(x)
        weakref.finalize(branch._value, died.append, True)
        del branch
        gc.collect()
        assert died, "a branch that nobody holds must not be kept by the trace"
        return np.sum(x)

    grad(f)(np.ones(3))


def test_deep_chains_neither_recurse_nor_crash_when_they_die() -> None:
    script = (
        "import numpy as np\n"
        "from pillars.calculus import grad, vjp\n"
        "def chain(x):\n"
        "    y = x\n"
        "    for _ in range(10_000):\n"
        "        y = y * 1.0001\n"
        "    return y\n"
        "print(float(grad(chain)(1.0)))\n"
        "y, pullback = vjp(chain, 1.0)\n"
        "del y, pullback\n"
        "print(float(grad(grad(chain))(1.0)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.split()
    assert float(first) == pytest.approx(1.0001**10_000, rel=1e-10)
    assert float(second) == 0.0


# ----------------------------------------------------------------------------------------------------------- errors
BUFFER = np.zeros(3)


def _assign(x: Any) -> Any:
    BUFFER[0] = x[0]
    return np.sum(x)


def _assign_slice(x: Any) -> Any:
    BUFFER[:2] = x[:2]
    return np.sum(x)


def _assign_into(x: Any) -> Any:
    x[0] = 1.0
    return np.sum(x)


def _add_into(x: Any) -> Any:
    a = np.zeros(3)
    a += x
    return np.sum(a)


REFUSED = {
    "float": (lambda x: float(x[0]), "a float"),
    "int": (lambda x: int(x[0]), "an int"),
    "item": (lambda x: x[0].item(), "item"),
    "index": (lambda x: [1, 2, 3][x[0]], "an index"),
    "list in sum": (lambda x: np.sum([x[0], x[1]]), "stack"),
    "np.array": (lambda x: np.sum(np.array([x, x])), "stack"),
    "np.asarray": (lambda x: np.sum(np.asarray(x)), "array functions"),
    "ndarray.dot": (lambda x: np.ones(3).dot(x), "x @ y"),
    "assigned element": (_assign, "assigned into an element"),
    "assigned slice": (_assign_slice, "instead of assigning"),
    "assigned into": (_assign_into, "where"),
    "augmented": (_add_into, r"a = a \+ b"),
    "out": (lambda x: np.sum(np.exp(x, out=np.zeros(3))), "in-place"),
    "unique": (lambda x: np.sum(np.unique(x)), "unique.*argsort"),
    "sort method": (lambda x: x.sort(), "method sort, which writes into"),
    "fill method": (lambda x: x.fill(1.0), "method fill, which writes into"),
    "put": (lambda x: np.put(x, [0], 1.0), "got put.*writes into an array"),
    "put into": (lambda x: np.put(np.zeros(3), [0], x), "got put.*writes into an array"),
    "copyto": (lambda x: np.copyto(np.zeros(3), x), "copyto.*writes into an array"),
    "add.at": (lambda x: np.add.at(np.zeros(3), [0], x), "add.at"),
    "pickle": (pickle.dumps, "pickle"),
    "math": (lambda x: math.exp(x[0]), "a float"),
    "builtin sum of floats": (math.fsum, "a float"),
    "vectorize": (np.vectorize(lambda t: 2 * t), "stack"),
    "masked operand": (lambda x: np.ma.masked_array([1.0, 2.0, 3.0], [1, 0, 0]) * x, "masked"),
    "svd": (lambda x: np.sum(np.linalg.svd(x[None, :])[1]), "full_matrices=False"),
    "qr": (lambda x: np.sum(np.linalg.qr(x[:, None], mode="complete")[1]), "'reduced'"),
    "lstsq": (lambda x: np.linalg.lstsq(np.eye(3), x)[0][0], "lstsq.*pinv"),
    "quantile method": (lambda x: np.quantile(x, 0.5, method="nearest"), "linear"),
    "quantile's share": (lambda x: np.quantile(np.ones(3), x[0] / 9), "plain numbers"),
    "complex sign": (lambda x: np.sum(np.abs(np.sign(x * 1j))), "sign of complex numbers"),
    "complex cholesky": (
        lambda x: np.abs(np.linalg.cholesky(x[:1, None] * (1 + 0j)))[0, 0],
        "complex matrices",
    ),
    "polynomial": (lambda x: np.polyfit(x, x, 1)[0], "polyfit"),
    "ufunc": (lambda x: np.sum(np.frexp(x)[0]), "frexp"),
    "ufunc where": (lambda x: np.sum(np.exp(x, where=x > 0)), "options"),
    "order": (lambda x: np.sum(np.reshape(x, (3, 1), order="F")), "order"),
    "ufunc method": (lambda x: np.sum(np.add.reduceat(x, [0, 1])), "add.reduceat"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_lose_the_gradient_is_refused(what: str) -> None:
    f, words = REFUSED[what]
    with pytest.raises(CapabilityError, match=words) as caught:
        grad(f)(np.asarray([1.0, 2.0, 3.0]))
    assert "got" in str(caught.value)
    assert "expected" in str(caught.value)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    assert grad(lambda x: np.sum(x) * (1.0 + hasattr(x, "toarray")))(np.ones(2))[0] == 1.0


@pytest.mark.parametrize(
    "f",
    [
        array_api_strict.exp,
        array_api_strict.sum,
        lambda x: array_api_strict.sum(array_api_strict.where(x > 0, x, 0 * x)),
    ],
)
def test_functions_of_a_library_that_does_not_dispatch_are_told_what_does(f: Any) -> None:
    with pytest.raises(CapabilityError, match=r"strict's own on a traced array .*namespace\(x\)"):
        grad(f)(array_api_strict.asarray([1.0, 2.0]))


class Metres(np.ndarray):
    """A subclass, as units and matrices are."""


def test_strangers_are_refused() -> None:
    x = np.ones(2)
    with pytest.raises(BackendError, match="array_api_strict"):
        grad(lambda x: np.sum(x + array_api_strict.ones(2)))(x)
    with pytest.raises(BackendError, match="numpy and strict"):
        grad(lambda x, y: np.sum(x))(x, array_api_strict.ones(2))
    with pytest.raises(DTypeError, match="masked"):
        grad(lambda x: np.sum(x * np.ma.masked_array([1.0, 2.0], [True, False])))(x)
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    for f in (
        lambda x: np.sum(x[masked > 0]),
        lambda x: np.sum(np.where(masked > 0, x, 0.0)),
        lambda x: masked @ x,
        lambda x: np.sum(np.concatenate([x, masked])),
    ):
        with pytest.raises(DTypeError, match=r"masked.*Fill it"):
            grad(f)(x)
    with pytest.raises(DTypeError, match=r"got a Metres beside a traced array.*asarray"):
        grad(lambda x: np.sum(x @ np.eye(2).view(Metres)))(x)
    with pytest.raises(DTypeError, match=r"returned dtype complex128.*take the real part"):
        grad(lambda x: np.sum(x * 1j))(x)
    with pytest.raises(TypeError):
        grad(lambda x: np.sum(x + "word"))(x)


def test_a_traced_array_that_escaped_is_refused() -> None:
    kept: list[Any] = []
    grad(lambda x: kept.append(x) or np.sum(x))(np.ones(2))
    with pytest.raises(CapabilityError, match="outside the call"):
        kept[0] * 2.0
    with pytest.raises(CapabilityError, match="outside the call"):
        np.exp(kept[0])


def test_an_error_of_the_function_passes_through() -> None:
    def f(x: Any) -> Any:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        grad(f)(np.ones(2))
