"""What one step of an optimiser does to one leaf.

A rule's formula stands twice: as it is written, for `update` and for what compiles; and in place, on buffers that a
loop owns, with as few passes over them as there can be. They differ by rounding alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from pillars.backends import tree_leaves, tree_map

__all__ = ["Adam", "AdamState", "AdamW", "Rule", "Sgd", "SgdState", "Step"]


class Step(NamedTuple):
    """One update.

    Attributes
    ----------
    params, state : after it.
    grad_norm : 2-norm of the whole gradient, 0-d.
    learning_rate : the rate that this step used, 0-d.
    update_ratio : norm of the change over norm of the parameters before it; infinity where those were all zero.
        Around 1e-3 in healthy training.
    """

    params: Any
    state: Any
    grad_norm: Any
    learning_rate: Any
    update_ratio: Any


class SgdState(NamedTuple):
    """Steps taken, the rate of the next one, and the velocity like the parameters (None without momentum)."""

    step: Any
    learning_rate: Any
    velocity: Any


class AdamState(NamedTuple):
    """Steps taken, the rate of the next one, and the running means of the gradient and of its square.

    Attributes
    ----------
    largest_second_moment : with ``amsgrad`` the largest second moment so far, entry by entry; else None.
    """

    step: Any
    learning_rate: Any
    first_moment: Any
    second_moment: Any
    largest_second_moment: Any = None


class Rule(Protocol):
    """What one step does to one leaf."""

    slots: int  # arrays like the parameters that the state keeps
    state: type[Any]

    def scalars(self, step: Any, rate: Any, expm1: Callable[[Any], Any]) -> tuple[Any, ...]:
        """What the step has in common for all leaves; `step` counts from 1."""
        ...

    def leaf(
        self, xp: Any, p: Any, g: Any, slots: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """The leaf and its slots after the step."""
        ...

    scales: tuple[float, ...]  # what the slots are multiplied by before :meth:`write` takes them

    def numbers(self, step: int, rate: float) -> tuple[float, ...]:
        """What :meth:`write` needs beside arrays; `step` counts from 1."""
        ...

    def write(self, xp: Any, p: Any, g: Any, slots: Any, numbers: Any, scratch: Any, out: Any) -> None:
        """:meth:`leaf` into `out` and the slots themselves; `p` and `g` stay. Two arrays of scratch, numbers 0-d."""
        ...

    def implied(self, growth: Any, rate: Any) -> tuple[Any, Any] | None:
        """Curvature, and the rate's limit, of a quadratic whose error grows by `growth` a step; None: no formula."""
        ...

    preconditioned: bool  # whether its limit follows from the curvature between `scale` on both sides

    def stable(self, curvature: float) -> tuple[float, float, str]:
        """The largest stable rate for that curvature, what it may sink to with small batches, and the formula."""
        ...


@dataclass(frozen=True)
class Sgd:
    """Gradient descent, heavy-ball and Nesterov momentum, in torch's form: the rate multiplies the velocity."""

    momentum: float
    nesterov: bool
    weight_decay: float
    state: ClassVar[type[Any]] = SgdState
    preconditioned: ClassVar[bool] = False

    @property
    def slots(self) -> int:
        """One velocity, or none."""
        return 1 if self.momentum else 0

    def scalars(self, step: Any, rate: Any, expm1: Callable[[Any], Any]) -> tuple[Any, ...]:
        """The rate."""
        return (rate,)

    def leaf(
        self, xp: Any, p: Any, g: Any, slots: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """v ← βv + g; p ← p − η·v, or p − η·(g + βv) for Nesterov."""
        (rate,) = scalars
        if self.weight_decay:
            g = g + self.weight_decay * p
        if not self.momentum:
            return p - rate * g, ()
        velocity = self.momentum * slots[0] + g
        return p - rate * (g + self.momentum * velocity if self.nesterov else velocity), (velocity,)

    @property
    def scales(self) -> tuple[float, ...]:
        """The velocity is kept as it is."""
        return (1.0,) * self.slots

    def numbers(self, step: int, rate: float) -> tuple[float, ...]:
        """What :meth:`write` needs beside arrays."""
        return rate, self.momentum, self.weight_decay

    def write(self, xp: Any, p: Any, g: Any, slots: Any, numbers: Any, scratch: Any, out: Any) -> None:
        """:meth:`leaf` into `out` and the slots themselves; `p` and `g` stay."""
        (rate, momentum, weight_decay), (a, b) = numbers, scratch
        if self.weight_decay:
            xp.multiply(p, weight_decay, a)
            g = xp.add(g, a, a)
        if not self.momentum:
            xp.subtract(p, xp.multiply(g, rate, a), out)
            return
        velocity = xp.add(xp.multiply(slots[0], momentum, slots[0]), g, slots[0])
        if self.nesterov:
            velocity = xp.add(xp.multiply(velocity, momentum, b), g, b)
        xp.subtract(p, xp.multiply(velocity, rate, b), out)

    def implied(self, growth: Any, rate: Any) -> tuple[Any, Any]:
        """From the root z = −growth of the step's characteristic polynomial along one eigenvector."""
        beta = self.momentum
        if self.nesterov:
            curvature = (1 + growth**2 / ((1 + beta) * growth + beta)) / rate
            return curvature, (2 + 2 * beta) / ((1 + 2 * beta) * curvature)
        curvature = (1 + beta + growth + beta / growth) / rate
        return curvature, 2 * (1 + beta) / curvature

    def stable(self, curvature: float) -> tuple[float, float, str]:
        """From the characteristic polynomial's root at −1; a decay adds to the curvature."""
        beta, curved = self.momentum, curvature + self.weight_decay
        most, formula = 2 * (1 + beta), "2(1+β)/λ" if beta else "2/λ"
        if self.nesterov:
            most, formula = (2 + 2 * beta) / (1 + 2 * beta), "(2+2β)/((1+2β)λ)"
        if self.weight_decay:
            formula = formula.replace("λ", "(λ+decay)")
        if not curved > 0:
            return (math.inf, math.inf, formula) if curved <= 0 else (curved, curved, formula)
        return most / curved, min(most, 2 * (1 - beta)) / curved, formula

    def growth(self, share: float) -> float:
        """What a step at that share of the limit multiplies the sharpest direction of a quadratic by.

        The larger root of z² − Tz + D, T = 1 + β − ηλ and D = β; of Nesterov's, T = (1 + β)(1 − ηλ) and D = β(1 − ηλ).
        """
        beta, step = self.momentum, share * self.stable(1.0 - self.weight_decay)[0]
        turn, area = 1 + beta - step, beta
        if self.nesterov:
            turn, area = (1 + beta) * (1 - step), beta * (1 - step)
        inside = turn * turn - 4 * area
        return (abs(turn) + math.sqrt(inside)) / 2 if inside >= 0 else math.sqrt(area)


@dataclass(frozen=True)
class Adam:
    """Adam with bias correction."""

    beta1: float
    beta2: float
    epsilon: float
    amsgrad: bool = field(default=False, kw_only=True)
    moment_dtype: str | None = field(default=None, kw_only=True)
    state: ClassVar[type[Any]] = AdamState
    preconditioned: ClassVar[bool] = True

    @property
    def slots(self) -> int:
        """Two moments, and with amsgrad the largest of the second."""
        return 3 if self.amsgrad else 2

    def scalars(self, step: Any, rate: Any, expm1: Callable[[Any], Any]) -> tuple[Any, ...]:
        """The rate and the two bias corrections 1 − βᵗ, by expm1: in float32 the plain form loses three digits."""
        return rate, *(-expm1(step * math.log(beta)) if beta else 1.0 for beta in (self.beta1, self.beta2))

    def leaf(
        self, xp: Any, p: Any, g: Any, slots: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; p ← p − η·m̂/(√v̂ + ε), v the largest so far with amsgrad."""
        rate, correction1, correction2 = scalars
        first = self.beta1 * slots[0] + (1 - self.beta1) * g
        second = self.beta2 * slots[1] + (1 - self.beta2) * (g * g)
        kept: tuple[Any, ...] = (first, second)
        if self.amsgrad:
            kept = (first, second, xp.maximum(slots[2], second))
        return p - rate * (first / correction1) / (xp.sqrt(kept[-1] / correction2) + self.epsilon), kept

    @property
    def scales(self) -> tuple[float, ...]:
        """In place the sums are kept without their factors: m/(1 − β₁) and v/(1 − β₂)."""
        return (1 / (1 - self.beta1), *[1 / (1 - self.beta2)] * (self.slots - 1))

    def numbers(self, step: int, rate: float) -> tuple[float, ...]:
        """β₁, β₂, and what the factors and the bias corrections come to for the rate and for ε."""
        _, correction1, correction2 = Adam.scalars(self, step, rate, math.expm1)
        root = math.sqrt((1 - self.beta2) / correction2)
        return self.beta1, self.beta2, rate * (1 - self.beta1) / (correction1 * root), self.epsilon / root

    def write(self, xp: Any, p: Any, g: Any, slots: Any, numbers: Any, scratch: Any, out: Any) -> None:
        """:meth:`leaf` into `out` and the slots themselves; `p` and `g` stay."""
        multiply, add = xp.multiply, xp.add
        (beta1, beta2, pace, floor), (first, second, *largest), (a, _) = numbers, slots, scratch
        add(multiply(first, beta1, first), g, first)
        add(multiply(second, beta2, second), multiply(g, g, a), second)
        if largest:
            second = xp.maximum(largest[0], second, out=largest[0])
        add(xp.sqrt(second, a), floor, a)
        xp.subtract(p, multiply(xp.divide(first, a, a), pace, a), out)

    def implied(self, growth: Any, rate: Any) -> None:
        """The preconditioner changes along the way: the growth alone tells no curvature."""
        return

    def divisor(self, state: Any) -> Any:
        """The second moment that steps are divided by the root of."""
        return state.largest_second_moment if self.amsgrad else state.second_moment

    def scale(self, xp: Any, second: Any, step: int) -> Any:
        """P^(−1/2), P = √v̂ + ε, of the second moment after so many steps; next to nothing counts as a thousandth."""
        correction = 1 - self.beta2**step
        leaves = tree_leaves(second)
        size = sum(math.prod(leaf.shape) for leaf in leaves)
        mean = math.sqrt(sum(float(xp.sum(leaf)) for leaf in leaves) / size / correction)

        def inverse_root(v: Any) -> Any:
            root = xp.sqrt(v / correction)
            return 1.0 / xp.sqrt(xp.maximum(root, xp.full_like(root, 1e-3 * mean)) + self.epsilon)

        return tree_map(inverse_root, second)

    def stable(self, curvature: float) -> tuple[float, float, str]:
        """Its first moment is a heavy ball whose rate is 1 − β₁ times as large."""
        formula = "2(1+β₁)/((1−β₁)λ_P)"
        if not curvature > 0:
            return (math.inf, math.inf, formula) if curvature <= 0 else (curvature, curvature, formula)
        most = 2 * (1 + self.beta1) / ((1 - self.beta1) * curvature)
        return most, 2 / curvature, formula


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam beside a decay of the parameters that its moments do not see."""

    weight_decay: float

    def scalars(self, step: Any, rate: Any, expm1: Callable[[Any], Any]) -> tuple[Any, ...]:
        """Those of Adam, and what the decay leaves."""
        return *super().scalars(step, rate, expm1), 1.0 - rate * self.weight_decay

    def leaf(
        self, xp: Any, p: Any, g: Any, slots: tuple[Any, ...], scalars: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """p ← (1 − ηλ)·p, and Adam's step from there."""
        return super().leaf(xp, p * scalars[3], g, slots, scalars[:3])

    def numbers(self, step: int, rate: float) -> tuple[float, ...]:
        """Those of Adam, and what the decay leaves."""
        return *super().numbers(step, rate), 1.0 - rate * self.weight_decay

    def write(self, xp: Any, p: Any, g: Any, slots: Any, numbers: Any, scratch: Any, out: Any) -> None:
        """:meth:`leaf` into `out` and the slots themselves; `p` and `g` stay."""
        super().write(xp, xp.multiply(p, numbers[4], out), g, slots, numbers[:4], scratch, out)
