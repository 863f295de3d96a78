"""The function of a gradient check as one vector's: between trees of arrays on a backend and float64 on the host."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from pillars._errors import DTypeError, one_line
from pillars.backends import Backend, backend as backend_of, dtype_kind, dtype_name, tree_leaves

__all__ = ["LONGEST", "Subject", "floating_parts"]

LONGEST = 140  # characters of a reason in a table


class Subject:
    """A function of some floating arrays, everything else about its call being fixed.

    Parameters
    ----------
    backend : the arrays' backend.
    leaves : the arrays, as they are at the point of the check.
    function : list of arrays -> output, an array or a tree of them.
    gradient : (list of arrays, list of cotangents) -> list of arrays: the gradient to be checked.
    autodiff : the same by automatic differentiation; None where that is what is checked.
    complex_function : what to call with complex arrays; None: `function`.
    seed : of cotangents, directions and perturbations.
    names : of the arrays, for messages; None: they have none.
    """

    def __init__(
        self,
        backend: Backend,
        leaves: Sequence[Any],
        function: Callable[[list[Any]], Any],
        gradient: Callable[[list[Any], list[Any]], list[Any]],
        autodiff: Callable[[list[Any], list[Any]], list[Any]] | None,
        complex_function: Callable[[list[Any]], Any] | None = None,
        seed: int = 0,
        names: Sequence[str] | None = None,
    ) -> None:
        self.backend = backend
        self.leaves = list(leaves)
        self.seed = seed
        self.names = list(names) if names is not None else [f"array {i}" for i in range(len(self.leaves))]
        self.host = backend_of("numpy").xp
        self.function = _compiled(backend, lambda leaves: _floating(backend, function(leaves)))
        self.gradient = _compiled(backend, gradient)
        self.autodiff = None if autodiff is None else _compiled(backend, autodiff)
        self.complex_function = _compiled(backend, complex_function or function)
        self.sizes = [math.prod(leaf.shape) for leaf in self.leaves]
        self.x = self.flat(self.leaves)
        result = self.function(self.leaves)
        self.y = self.flat(result)
        random = self.host.random.default_rng(seed)
        scalar = len(result) == 1 and result[0].shape == ()
        self.weights = self.host.ones(1) if scalar else random.standard_normal(self.y.shape)
        self.random = random
        self.cotangents = []
        start = 0
        for y in result:
            part = self.weights[start : start + math.prod(y.shape)].reshape(y.shape)
            self.cotangents.append(backend.asarray(part, dtype=y.dtype, device=backend.device_beside(y)))
            start += math.prod(y.shape)
        self.weights = self.flat(self.cotangents)
        self.eps = max(float(backend.xp.finfo(x.dtype).eps) for x in [*self.leaves, *result])
        self.tiny = max(float(backend.xp.finfo(x.dtype).smallest_normal) for x in [*self.leaves, *result])
        self.depth = 26 if self.eps < 1e-10 else 20
        # its square vanishes beside 1, itself does not underflow
        self.imaginary = 1e-30 if self.eps < 1e-10 else 1e-15

    def named(self, entry: int) -> str:
        """Where an entry of all arrays in a row is: ``['w'][0, 2]``."""
        for leaf, name, size in zip(self.leaves, self.names, self.sizes, strict=True):
            if entry < size:
                at = self.host.unravel_index(entry, tuple(leaf.shape))
                return name + (f"[{', '.join(str(int(i)) for i in at)}]" if at else "")
            entry -= size
        raise IndexError(entry)

    def flat(self, leaves: Sequence[Any]) -> Any:
        """Arrays end to end, float64 on the host."""
        parts = [
            self.host.asarray(self.backend.to_numpy(x), dtype=self.host.float64).reshape(-1) for x in leaves
        ]
        return self.host.concatenate(parts) if parts else self.host.zeros(0)

    def place(self, vector: Any, *, complex_numbers: bool = False) -> list[Any]:
        """A vector as arrays like the leaves."""
        made, start = [], 0
        for leaf, size in zip(self.leaves, self.sizes, strict=True):
            part = vector[start : start + size].reshape(leaf.shape)
            dtype = leaf.dtype
            if complex_numbers:
                dtype = (
                    self.backend.xp.complex64
                    if dtype_name(dtype) == "float32"
                    else self.backend.xp.complex128
                )
            else:
                part = part.astype(dtype_name(dtype))
            made.append(self.backend.asarray(part, dtype=dtype, device=self.backend.device_beside(leaf)))
            start += size
        return made

    def outputs(self, vector: Any) -> tuple[Any, Any]:
        """The vector as it arrived, and the outputs there."""
        leaves = self.place(vector)
        return self.flat(leaves), self.flat(self.function(leaves))

    def gradient_at(self, vector: Any, gradient: Any) -> Any:
        """A gradient contracted with the cotangents, as one vector."""
        return self.flat(gradient(self.place(vector), self.cotangents))

    def nearby(self, number: int) -> list[Any]:
        """The point, shaken by a few units in the last place."""
        n = self.x.shape[0]
        return [
            self.x * (1 + self.eps * self.random.integers(1, 4, n) * self.random.choice([-1.0, 1.0], n))
            for _ in range(number)
        ]

    def around(self) -> list[tuple[float, Any]]:
        """(how far, the point shaken by up to as much of itself): so far that rounding there is another."""
        n = self.x.shape[0]
        ways = [self.eps**power for power in (0.6, 0.4, 0.25)] + [1 / 16]
        return [(way, self.x * (1 + way * self.random.uniform(-1, 1, n))) for way in ways]

    def complex_slope(self, point: Any, direction: Any) -> float | str:
        """The contracted derivative at a point along a direction, from an imaginary step; or why there is none."""
        h = self.imaginary
        leaves = self.place(point + 1j * h * direction, complex_numbers=True)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="Casting complex")
                result = floating_parts(self.complex_function(leaves))
        except Exception as error:  # whatever a function makes of complex numbers, it is its answer
            return f"it refuses complex numbers: {one_line(error, LONGEST)}"
        total, start = 0.0, 0
        for y in result:
            if not hasattr(y, "dtype") or dtype_kind(y.dtype) != "complex":
                return "it gives real numbers for complex ones: the imaginary part was dropped"
            part = self.host.asarray(self.backend.to_numpy(y)).reshape(-1)
            total += float(
                self.host.sum(self.weights[start : start + part.size] * (part.imag.astype("float64") / h))
            )
            start += part.size
        return total


def floating_parts(found: Any) -> list[Any]:
    """A result's leaves; integers beside others are left out, as nothing changes them."""
    leaves = tree_leaves(found)
    parts = [y for y in leaves if not _counts(y)]
    return parts or leaves


def _counts(y: Any) -> bool:
    return isinstance(y, int) or dtype_kind(getattr(y, "dtype", None)) in ("integer", "bool")


def _floating(backend: Any, found: Any) -> list[Any]:
    dtype = backend.default_float
    leaves = [backend.asarray(y, dtype=dtype) if type(y) is float else y for y in floating_parts(found)]
    for leaf in leaves:
        if not hasattr(leaf, "dtype") or dtype_kind(leaf.dtype) != "float":
            kind = dtype_name(leaf.dtype) if hasattr(leaf, "dtype") else type(leaf).__name__
            raise DTypeError(
                f"check_gradient: f returned {kind}, expected float32 or float64 arrays. "
                "Half precision has too few digits for differences; integers have no derivative."
            )
    return leaves


def _compiled(backend: Backend, f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` compiled where the library compiles, or as it is where it looks at values."""
    fast = backend.jit(f)
    if fast is f:

        def quietly(*args: Any) -> Any:
            with backend.quiet():
                return f(*args)

        return quietly
    chosen: list[Callable[..., Any]] = []

    def call(*args: Any) -> Any:
        if not chosen:
            try:
                result = fast(*args)
            # the same call as it is tells whether that was the compiler's or the function's
            except Exception:
                result = f(*args)
                chosen.append(f)
                return result
            chosen.append(fast)
            return result
        return chosen[0](*args)

    return call
