"""Derivatives of a body without any rule: central differences, the complex step, JAX's autodiff."""

from __future__ import annotations

import importlib.util
from typing import Any, NamedTuple

import numpy as np

from contracts._support import (
    NotApplicable,
    draw,
    dynamic,
    float_positions,
    leaves,
    not_applicable,
    place,
    reference,
    refill,
    rounded,
)
from contracts._tolerance import agree, conditioning
from contracts._variants import Variant, x64
from pillars._errors import PillarsError
from pillars.backends import Record, dtype_kind
from pillars.backends._operation import mode

__all__ = ["Slope", "autodiff", "complex_step", "slope", "weights"]

_STEP = 2.0**-10
# derivatives of fourth order: around a point, and from it to either side
_STENCILS = (
    ((-2, 1.0), (-1, -8.0), (1, 8.0), (2, -1.0)),
    ((0, -25.0), (1, 48.0), (2, -36.0), (3, 16.0), (4, -3.0)),
    ((0, 25.0), (-1, -48.0), (-2, 36.0), (-3, -16.0), (-4, 3.0)),
)
_IMAGINARY = 1e-30
_FLOOR = 2.0**-4  # a step does not shrink below that of a number of this size


class Slope(NamedTuple):
    """What a gradient must be: of Σ wᵢ·yᵢ with respect to each floating argument, and how far that is known."""

    values: list[Any]
    positions: list[int]
    weights: list[Any]
    gradients: list[Any]
    kappas: list[float]
    doubts: list[float]  # error of the differences: what halving their step changes, and rounding
    size: int

    def agree(self, position: int, got: Any, dtype: str, what: str, truth: Any = None) -> None:
        """Compare with the differences, or, without their doubt, with another method's answer."""
        index = self.positions.index(position)
        if truth is not None:
            agree(got, truth, dtype=dtype, size=self.size, kappa=self.kappas[index], what=what)
            return
        # the formula multiplies by at least that
        doubt = self.doubts[index] / (16.0 * float(np.finfo(dtype).eps))
        agree(
            got,
            self.gradients[index],
            dtype=dtype,
            size=self.size,
            kappa=self.kappas[index] + doubt,
            what=what,
        )

    def agree_along(
        self, position: int, got: Any, dtype: str, what: str, truth: Any = None, direction: Any = None
    ) -> None:
        """The same for one number, the derivative along a direction (the gradient itself, where none is given)."""
        index = self.positions.index(position)
        gradient = self.gradients[index]
        along = gradient if direction is None else direction
        length = float(np.abs(along).sum())
        expected = np.sum(gradient * along) if truth is None else truth
        doubt = self.doubts[index] / (16.0 * float(np.finfo(dtype).eps)) if truth is None else 0.0
        kappa = (self.kappas[index] + float(np.abs(gradient).max(initial=0.0)) + doubt) * length
        agree(got, np.asarray(expected), dtype=dtype, size=self.size, kappa=kappa, what=what)


def weights(record: Record, values: list[Any]) -> list[Any]:
    """A cotangent for each array of the result."""
    rng = np.random.default_rng(1)
    return [rng.standard_normal(np.shape(y)) for y in leaves(reference(record, values))]


def slope(record: Record, seed: int, dtype: str) -> Slope:
    """The gradient by central differences of fourth order, in float64 on NumPy, on inputs as `dtype` rounds them."""
    if "grad" in record.unsupported:
        not_applicable(record.unsupported["grad"])
    values = rounded(record, draw(record, seed), dtype)
    positions = float_positions(record, values)
    if not positions:
        not_applicable("no floating argument to differentiate")
    if any(dtype_kind(np.asarray(y).dtype) != "float" for y in leaves(reference(record, values))):
        not_applicable("its result is of integers")
    w = weights(record, values)

    def gradients(inputs: list[Any], step: float = _STEP) -> list[Any]:
        return [_differences(record, inputs, position, w, step) for position in positions]

    found = gradients(values)
    finer = gradients(values, _STEP / 2)
    noise = _noise(record, values, w)
    doubts = [float(np.abs(a - b).max(initial=0.0)) + noise for a, b in zip(found, finer, strict=True)]
    size = sum(np.size(values[p.position]) for p in record.arrays if values[p.position] is not None)
    return Slope(values, positions, w, finer, conditioning(gradients, values), doubts, size)


def _total(record: Record, values: list[Any], w: list[Any]) -> float:
    return float(sum(np.sum(a * y) for a, y in zip(w, leaves(reference(record, values)), strict=True)))


def _noise(record: Record, values: list[Any], w: list[Any]) -> float:
    """What rounding of the function's values, half a unit each, makes of a difference over the smallest step."""
    magnitude = sum(
        float(np.sum(np.abs(a * y))) for a, y in zip(w, leaves(reference(record, values)), strict=True)
    )
    shares = sum(abs(share) for _, share in _STENCILS[1]) / 12.0
    return float(np.finfo(np.float64).eps) / 2 * magnitude * shares / (_STEP / 2 * _FLOOR)


def _differences(record: Record, values: list[Any], position: int, w: list[Any], step: float) -> Any:
    x = np.asarray(values[position], dtype=np.float64)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        h = step * max(abs(float(x[index])), _FLOOR)
        for stencil in _STENCILS:
            try:
                gradient[index] = sum(
                    share
                    * _total(
                        record, refill(values, [position], [_moved(values[position], index, turn * h)]), w
                    )
                    for turn, share in stencil
                ) / (12.0 * h)
            except PillarsError:  # the other side of a limit of its domain: no smoothing is less than none
                continue
            break
    return gradient


def _moved(x: Any, index: Any, by: float) -> Any:
    if isinstance(x, float):
        return x + by
    moved = x.copy()
    moved[index] += by
    return moved


def complex_step(record: Record, known: Slope, position: int, direction: Any) -> float:
    """Σ w·∂y along a direction, from Im y(x + ih·v)/h: no subtraction, so every digit is right.

    Says "not applicable" where the body refuses complex numbers or is no analytic function of them: there the real and
    the imaginary direction of the same body disagree (Cauchy and Riemann), whatever any rule says.
    """
    x = known.values[position]
    moved = np.asarray(x, dtype=np.complex128) + 1j * _IMAGINARY * direction
    values = refill(known.values, [position], [moved if isinstance(x, np.ndarray) else complex(moved)])
    positional, options = record.split(values)
    try:
        with mode("reference"), np.errstate(all="ignore"):
            ys = [np.asarray(y) for y in leaves(record.body(*positional, **options))]
    except Exception as error:
        not_applicable(f"complex step: the body refuses complex numbers ({type(error).__name__})")
    if any(y.dtype.kind != "c" for y in ys):
        not_applicable("complex step: the body drops the imaginary part")
    found = float(sum(np.sum(w * y.imag) for w, y in zip(known.weights, ys, strict=True))) / _IMAGINARY
    straight, largest = _straight(record, known, position, direction)
    if not np.isclose(found, straight, rtol=1e-5, atol=1e-5 * largest):
        not_applicable("complex step: the body is no analytic function")
    return found


def _straight(record: Record, known: Slope, position: int, direction: Any) -> tuple[float, float]:
    """The same derivative without complex numbers, and the size of what was subtracted for it."""
    x = known.values[position]
    h = _STEP * max(float(np.abs(x).max(initial=0.0)), _FLOOR) / 4
    for stencil in _STENCILS:
        try:
            along = [
                share
                * _total(record, refill(known.values, [position], [x + turn * h * direction]), known.weights)
                for turn, share in stencil
            ]
        except PillarsError:
            continue
        return sum(along) / (12.0 * h), max(map(abs, along))
    raise NotApplicable("complex step: the domain is too narrow to tell whether the body is analytic")


def autodiff(record: Record, known: Slope) -> tuple[list[Any], str]:
    """JAX's derivative of the body, without rules, and the dtype that it was taken in."""
    if importlib.util.find_spec("jax") is None:
        not_applicable("JAX is not installed: no autodiff to compare with")
    import jax

    where, dtype = Variant("jax", "jax"), "float64" if x64() else "float32"
    placed = place(record, known.values, where, dtype)
    inside = [position for position in dynamic(record, known.values) if position in known.positions]
    given = [where.asarray(placed[position], dtype) for position in inside]

    def body(*xs: Any) -> list[Any]:
        return leaves(reference(record, refill(placed, inside, xs)))

    def pulled(*xs: Any) -> Any:
        ys, pullback = jax.vjp(body, *xs)
        return pullback([where.asarray(w, y.dtype.name) for w, y in zip(known.weights, ys, strict=True)])

    # in one program: one by one, its primitives would be compiled for minutes
    cotangents = jax.jit(pulled)(*given)
    by_position = dict(zip(inside, cotangents, strict=True))
    return [np.asarray(by_position[position], dtype=np.float64) for position in known.positions], dtype
