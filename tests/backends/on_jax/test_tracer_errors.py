"""What JAX cannot trace is said with a remedy, wherever a caller's function comes in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import CapabilityError
from pillars.calculus import grad, gradient_descent, hvp, jacobian, preflight, sgd, value_and_grad, vjp

jax = pytest.importorskip("jax")
X = jax.numpy.asarray([1.0, 2.0, 3.0])


def by_numpy(w: Any) -> Any:
    return np.sum(np.exp(w))


def to_a_float(w: Any) -> Any:
    return float(jax.numpy.sum(w))


def branching(w: Any) -> Any:
    return jax.numpy.sum(w) if w[0] * 1 > 0 else 0.0 * w[0]


@pytest.mark.parametrize(
    "call",
    [
        lambda f: grad(f)(X),
        lambda f: value_and_grad(f)(X),
        lambda f: vjp(f, X),
        lambda f: jacobian(f, X),
        lambda f: hvp(f, X, X),
        lambda f: gradient_descent(f, X, steps=3),
        lambda f: gradient_descent(f, X, steps=3, gradient=lambda w: w),
        lambda f: preflight(f, X, optimizer=sgd(0.1)),
    ],
    ids=["grad", "value_and_grad", "vjp", "jacobian", "hvp", "descent", "descent by hand", "preflight"],
)
@pytest.mark.parametrize(
    ("f", "said"), [(by_numpy, r"xp = pillars.backends.namespace\(x\)"), (to_a_float, r"got float\(\)")]
)
def test_what_cannot_be_traced_is_told_with_a_remedy(call: Any, f: Any, said: str) -> None:
    with pytest.raises(CapabilityError, match=said) as caught:
        call(f)
    assert isinstance(caught.value.__cause__, jax.errors.JAXTypeError)


def test_a_branch_inside_a_program_is_told_too() -> None:
    with pytest.raises(CapabilityError, match="if or while"):
        gradient_descent(branching, X, steps=3)
