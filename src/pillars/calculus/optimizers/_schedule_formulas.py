"""The formulas of the schedules, each written once for Python's numbers, arrays and tracers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pillars._errors import DTypeError, shown
from pillars.backends import backend as backend_of, dtype_kind, dtype_name
from pillars.calculus.optimizers._float_namespace import scalars

__all__ = ["Constant", "Cosine", "Delayed", "Exponential", "Schedule", "Steps", "Warmup", "passed_of"]

_HALF_TURN = math.pi / 2


class Schedule:
    """A learning rate for every step: a frozen record of its numbers, called with the count of steps before."""

    def __call__(self, step: Any) -> Any:
        """The rate at `step`: a float of an int, else an array of rates."""
        if isinstance(step, bool) or not (hasattr(step, "shape") or hasattr(step, "__float__")):
            raise DTypeError(f"schedule: step is {shown(step)}, expected a count of steps.")
        if not hasattr(step, "shape"):
            if isinstance(step, float) and math.isnan(step):
                raise DTypeError("schedule: step is nan, expected a count of steps.")
            return self.rate(scalars, float, step)
        host = backend_of("numpy")
        if host.is_scalar(step):
            return self(step.item())
        backend = backend_of(step)
        kind = dtype_kind(step.dtype)
        if kind not in ("integer", "float"):
            raise DTypeError(
                f"schedule: step has dtype {dtype_name(step.dtype)}, expected integers: a count of steps."
            )

        if dtype_name(step.dtype) in ("int8", "int16", "uint8", "uint16"):
            # the schedule's own counts need not fit these
            step = backend.xp.astype(step, backend.xp.int32)

        def real(x: Any) -> Any:
            return x if dtype_kind(x.dtype) == "float" else backend.xp.astype(x, backend.default_float)

        with backend.quiet():
            result = self.rate(backend.xp, real, step)
            if kind == "float":
                result = backend.xp.where(
                    backend.xp.isnan(step), backend.xp.full_like(step, math.nan), result
                )
            return backend.as_arrays(result)

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """The formula; `real` makes a count floating, which is done late, so that large counts stay exact."""
        raise TypeError(f"{type(self).__name__} has no formula")


def passed_of(xp: Any, step: Any, first: int, steps: int) -> Any:
    """How many of the `steps` steps from `first` on lie behind; counts may be unsigned."""
    return xp.minimum(xp.maximum(step, first) - first, steps)


def _between(xp: Any, real: Callable[[Any], Any], low: Any, high: Any, passed: Any, steps: int) -> Any:
    """From `low` to `high` on a line, either end exactly, whatever a compiler makes of the division."""
    return xp.where(passed >= steps, high, low + (high - low) * (real(passed) / steps))


@dataclass(frozen=True)
class Constant(Schedule):
    """One rate."""

    learning_rate: Any

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """It, of the step's shape."""
        return self.learning_rate + 0.0 * real(step)


@dataclass(frozen=True)
class Warmup(Schedule):
    """A line up."""

    peak: Any
    steps: int
    start: float

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """From the start to the peak."""
        return _between(xp, real, self.start, self.peak, passed_of(xp, step, 0, self.steps), self.steps)


@dataclass(frozen=True)
class Cosine(Schedule):
    """A line up, where there is a warm-up, and half a cosine down."""

    peak: Any
    warmup_steps: int
    start: float
    steps: int
    final: float

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """(1 + cos(π·x))/2 is sin²(π/2·(1 − x)), whose digits do not cancel near x = 1."""
        decay = self.steps - self.warmup_steps
        passed = passed_of(xp, step, self.warmup_steps, decay)
        share = xp.sin(_HALF_TURN * (real(decay - passed) / decay)) ** 2
        down = xp.where(passed <= 0, self.peak, self.final + (self.peak - self.final) * share)
        if not self.warmup_steps:
            return down
        up = _between(
            xp, real, self.start, self.peak, passed_of(xp, step, 0, self.warmup_steps), self.warmup_steps
        )
        return xp.where(step < self.warmup_steps, up, down)


@dataclass(frozen=True)
class Exponential(Schedule):
    """A power of the factor."""

    peak: Any
    steps: int
    factor: float
    staircase: bool
    final: float

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """Whole steps are divided as integers, exactly."""
        passed = xp.maximum(step, 0)
        times = real(passed // self.steps) if self.staircase else real(passed) / self.steps
        return xp.maximum(self.peak * self.factor**times, self.final)


@dataclass(frozen=True)
class Steps(Schedule):
    """A power of the factor, at places."""

    peak: Any
    places: tuple[int, ...]
    factor: float

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """One factor for every place that is reached."""
        return self.peak * self.factor ** sum(real(step >= place) for place in self.places)


@dataclass(frozen=True)
class Delayed(Schedule):
    """Another schedule that begins later, and waits at its first rate."""

    after: Schedule
    delay: int

    def rate(self, xp: Any, real: Callable[[Any], Any], step: Any) -> Any:
        """The other's, with the count begun at the delay."""
        return self.after.rate(xp, real, xp.maximum(step, self.delay) - self.delay)
