"""What moves the parameters in a loop in Python: the optimiser's state, private and in place where the library allows.

The parameters themselves are new arrays after every step: a loss or a callback may keep those it was shown.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from pillars.backends import dtype_kind, pool_map, single_threaded_blas, tree_leaves, tree_unflatten
from pillars.calculus._norms import norm_of_leaves
from pillars.calculus._parameters import rate_dtype
from pillars.calculus.descent._plan import Plan
from pillars.calculus.optimizers import PlateauUpdate, Schedule, Update, refuse_rate, scalars, scheduled

__all__ = ["Moves", "moves_of"]

_JOINED = 2**14  # elements up to which a leaf is worth a copy of its gradient: calls would cost more
_SPAN = 2**18  # elements that one thread moves at a time: fewer wait for each other at every call
_TINY = 1e-30  # below it squares may have underflowed in float32


class Moves:
    """The parameters' leaves, and one step of any optimiser by its public update.

    Attributes
    ----------
    leaves : the current parameters.
    """

    def __init__(self, plan: Plan, leaves: list[Any], treedef: Any) -> None:
        self.backend = plan.backend
        self.xp = plan.backend.xp
        self.leaves = leaves
        self.treedef = treedef
        self.dtype = rate_dtype(self.xp, leaves)
        self.plan = plan
        self.state = plan.optimizer.init(tree_unflatten(treedef, leaves))
        self.grads: list[Any] = []
        self.dot = getattr(self.xp, "vdot", None)

    def params(self) -> Any:
        """The current parameters as a tree."""
        return tree_unflatten(self.treedef, self.leaves)

    def take(self, grads: list[Any]) -> float:
        """Hold a gradient, whose norm this is."""
        self.grads = grads
        return self.norm(grads)

    def clip(self, limit: float) -> None:
        """Bring the gradient held into [−limit, limit], entry by entry."""
        self.grads = [self.xp.clip(g, -limit, limit) for g in self.grads]

    def norm(self, arrays: list[Any]) -> float:
        """The 2-norm of all of them."""
        total = sum(self.square(x) for x in arrays)
        if _TINY < total < math.inf:
            return math.sqrt(total)
        return float(norm_of_leaves(self.xp, arrays, self.dtype))

    def square(self, x: Any) -> float:
        """The sum of squares, roughly: it may overflow or underflow."""
        return float(self.dot(x, x) if self.dot else self.xp.sum(x * x))

    def finite(self) -> bool:
        """Whether all parameters are finite."""
        return self.all_finite(self.leaves)

    def all_finite(self, arrays: list[Any]) -> bool:
        """Whether all entries are; squares overflow before numbers do."""
        if all(math.isfinite(self.square(x)) for x in arrays):
            return True
        return all(bool(self.xp.all(self.xp.isfinite(x))) for x in arrays)

    def step(self, factor: float | None, loss: float) -> float:
        """Move along the gradient held, times `factor`; the rate used."""
        grads = self.grads if factor is None else [factor * g for g in self.grads]
        made = self.plan.update(tree_unflatten(self.treedef, grads), self.state, self.params(), loss)
        self.state = made.state
        self.leaves = tree_leaves(made.params)
        return float(made.learning_rate)

    def saved(self) -> Any:
        """A tree of all that the next steps depend on beside the parameters."""
        return {"state": self.state}

    def restore(self, saved: Any) -> None:
        """Go on from what :meth:`saved` gave, with parameters of then."""
        self.state = saved["state"]


class _ByRule(Moves):
    """One step by the rule of one of pillars' own optimisers; its scalars are Python's floats."""

    def __init__(self, plan: Plan, leaves: list[Any], treedef: Any) -> None:
        super().__init__(plan, leaves, treedef)
        update: Any = plan.optimizer.update
        self.rule, self.schedule = update.rule, update.schedule
        self.plateau = update if isinstance(update, PlateauUpdate) else None
        own = self.state if self.plateau is None else self.state.inner
        trees = own[2 : 2 + self.rule.slots]
        self.slots: list[tuple[Any, ...]] = list(zip(*map(tree_leaves, trees), strict=True)) or [()] * len(
            leaves
        )
        # an init of the caller's own may begin anywhere, with a rate that its state says
        self.rate, self.taken, self.began = float(self.state.learning_rate), int(self.state.step), False
        # the scale of the rate, the best loss, how long it has been the best, and for how long none counts
        self.level = [1.0, math.inf, 0, 0] if self.plateau is None else [*map(float, self.state[2:6])]

    def advance(self, loss: float) -> int:
        """Count the next step, from 1, and set its rate."""
        if self.schedule is not None and self.began:
            count = self.taken if isinstance(self.schedule, Schedule) else self.xp.asarray(self.taken)
            result = scheduled(self.rule, self.schedule, count)
            refuse_rate(self.rule, result, self.backend)
            self.rate = float(result) * self.level[0]
        if self.plateau is not None:
            self.rate, *self.level = self.plateau.lowered(scalars, loss, self.rate, *self.level)
        self.taken, self.began = self.taken + 1, True
        return self.taken

    def step(self, factor: float | None, loss: float) -> float:
        grads = self.grads if factor is None else [factor * g for g in self.grads]
        scalars, moved = self.rule.scalars(self.advance(loss), self.rate, math.expm1), []
        for i, (p, g) in enumerate(zip(self.leaves, grads, strict=True)):
            after, kept = self.rule.leaf(self.xp, p, g, self.slots[i], scalars)
            self.slots[i] = tuple(self.backend.as_arrays(s) for s in kept)
            moved.append(self.backend.as_arrays(after))
        self.leaves = moved
        return self.rate

    def saved(self) -> Any:
        return {"slots": self.slots, "rate": self.rate, "taken": self.taken, "level": self.level}

    def restore(self, saved: Any) -> None:
        self.slots, self.rate, self.taken, self.level = (
            saved[name] for name in ("slots", "rate", "taken", "level")
        )
        self.began = True


class _Part:
    """Leaves that move together: one large one, or all small ones of a dtype, joined end to end.

    Attributes
    ----------
    places : which leaves.
    p, g : the parameters, and the gradient; of joined ones a buffer of the loop's own.
    slots, scratch : the optimiser's arrays, and room for two intermediates.
    """

    def __init__(self, xp: Any, leaves: list[Any], slots: list[tuple[Any, ...]], places: list[int]) -> None:
        self.xp = xp
        self.places = places
        shapes = [leaves[i].shape for i in places]
        ends = [0]
        for shape in shapes:
            ends.append(ends[-1] + math.prod(shape))
        self.cuts = [(slice(a, b), shape) for a, b, shape in zip(ends, ends[1:], shapes, strict=False)]
        self.joined = len(places) > 1
        if self.joined:
            self.p = xp.concat([xp.reshape(leaves[i], (-1,)) for i in places])
            self.slots = [
                xp.concat([xp.reshape(slots[i][k], (-1,)) for i in places]) for k in range(len(slots[0]))
            ]
            self.g = xp.empty_like(self.p)
            self.parts = self.views(self.g)
        else:
            self.p = leaves[places[0]]
            # an init of the caller's own may hand out what it keeps
            self.slots = [xp.asarray(s, dtype=self.p.dtype, copy=True) for s in slots[places[0]]]
        self.scratch = xp.empty_like(self.p), xp.empty_like(self.p)

    def views(self, whole: Any) -> list[Any]:
        """A joined array as the leaves."""
        return [whole[cut].reshape(shape) for cut, shape in self.cuts]

    def take(self, grads: list[Any]) -> Any:
        """The gradient of these leaves as one array."""
        if not self.joined:
            self.g = grads[self.places[0]]
        else:
            for view, place in zip(self.parts, self.places, strict=True):
                self.xp.copyto(view, grads[place])
        return self.g


class _InPlace(_ByRule):
    """:class:`_ByRule`, with few calls: small leaves joined, and everything but the parameters written in place."""

    def __init__(self, plan: Plan, leaves: list[Any], treedef: Any) -> None:
        super().__init__(plan, leaves, treedef)
        xp = self.xp
        small: dict[Any, list[int]] = {}
        groups = []
        for i, p in enumerate(leaves):
            if math.prod(p.shape) > _JOINED:
                groups.append([i])
            else:
                small.setdefault(str(p.dtype), []).append(i)
        self.parts = [_Part(xp, leaves, self.slots, places) for places in (*groups, *small.values())]
        for part in self.parts:
            for slot, scale in zip(part.slots, self.rule.scales, strict=True):
                xp.multiply(slot, scale, slot)
        self.numbers = [
            [xp.asarray(0.0, dtype=part.p.dtype) for _ in self.rule.numbers(1, self.rate)]
            for part in self.parts
        ]
        self.slots = []
        self.squares: list[float] | None = None

    def take(self, grads: list[Any]) -> float:
        self.grads = [part.take(grads) for part in self.parts]
        return self.norm(self.grads)

    def finite(self) -> bool:
        if self.squares is not None and all(map(math.isfinite, self.squares)):
            return True
        return self.all_finite([part.p for part in self.parts])

    def step(self, factor: float | None, loss: float) -> float:
        xp, leaves, self.squares = self.xp, list(self.leaves), []
        values = self.rule.numbers(self.advance(loss), self.rate)
        for part, g, numbers in zip(self.parts, self.grads, self.numbers, strict=True):
            for number, value in zip(numbers, values, strict=True):
                number[()] = value
            g = g if factor is None else factor * g  # noqa: PLW2901 - clipped
            after = xp.empty_like(part.p)
            self.squares.append(self._write(part, g, numbers, after))
            part.p = after
            for place, leaf in zip(part.places, part.views(after) if part.joined else (after,), strict=True):
                leaves[place] = leaf
        self.leaves = leaves
        return self.rate

    def _write(self, part: _Part, g: Any, numbers: Any, after: Any) -> float:
        """One part's step, and the sum of squares after it: of a large one by spans, on threads: they change no bit."""
        arrays = (part.p, g, after, *part.slots, *part.scratch)
        if not self.backend.host or part.p.size < 2 * _SPAN or not all(x.flags.c_contiguous for x in arrays):
            self.rule.write(self.xp, part.p, g, part.slots, numbers, part.scratch, after)
            return self.square(after)
        flat = [x.reshape(-1) for x in arrays]
        size, count = part.p.size, 2 * -(-part.p.size // (2 * _SPAN))
        cuts = [size * i // count for i in range(count + 1)]

        def work(between: tuple[int, int]) -> float:
            p, g, after, *rest = (x[slice(*between)] for x in flat)
            slots, scratch = rest[: len(part.slots)], rest[len(part.slots) :]
            self.rule.write(self.xp, p, g, slots, numbers, scratch, after)
            return self.square(after)

        with single_threaded_blas():
            return sum(pool_map(work, pairwise(cuts)))

    def saved(self) -> Any:
        return {**super().saved(), "slots": [part.slots for part in self.parts]}

    def restore(self, saved: Any) -> None:
        super().restore({**saved, "slots": []})
        for part, slots in zip(self.parts, saved["slots"], strict=True):
            part.slots = slots


def moves_of(plan: Plan, leaves: list[Any], treedef: Any) -> Moves:
    """What moves these parameters by this plan's optimiser."""
    update: Any = plan.optimizer.update
    if isinstance(update, PlateauUpdate):
        update = update.inner
    halves = any(dtype_kind(p.dtype) == "half" for p in leaves)
    if type(update) is not Update or halves or getattr(update.rule, "moment_dtype", None):
        return Moves(plan, leaves, treedef)
    # the strict namespace writes nothing in place
    return (_InPlace if hasattr(plan.backend.xp, "copyto") else _ByRule)(plan, leaves, treedef)
