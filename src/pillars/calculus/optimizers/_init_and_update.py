"""The pair of functions that an optimiser's rule becomes: the first state, and one step of a whole tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pillars._errors import DTypeError, ShapeError
from pillars.backends import (
    Backend,
    backend as backend_of,
    dtype_kind,
    dtype_name,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from pillars.calculus._norms import norm_of_leaves, wide
from pillars.calculus._parameters import check_leaves, matching_leaves, number_on, rate_dtype
from pillars.calculus.optimizers._update_rules import Step

__all__ = ["Init", "Update", "refuse_rate", "scheduled"]


@dataclass(frozen=True)
class Init:
    """params -> the first state."""

    rule: Any
    learning_rate: Any
    schedule: Callable[[Any], Any] | None

    def __call__(self, params: Any) -> Any:
        leaves, treedef = tree_flatten(params)
        check_leaves("Optimizer.init", params)
        backend = backend_of(leaves[0])
        xp = backend.xp
        dtype, device = rate_dtype(xp, leaves), backend.device_beside(leaves[0])
        step = backend.asarray(0, dtype=xp.int32, device=device)
        rate = self.learning_rate
        if self.schedule is not None:
            rate = scheduled(self.rule, self.schedule, step)
            refuse_rate(self.rule, rate, backend)
        kept = [slot_dtype(self.rule, backend, place) for place in range(self.rule.slots)]
        zeros = [
            tree_unflatten(treedef, [xp.zeros_like(wide(xp, p), dtype=kind) for p in leaves]) for kind in kept
        ]
        slots = (*zeros, None)[: len(self.rule.state._fields) - 2]
        return self.rule.state(step, number_on(backend, rate, dtype, device), *slots)


@dataclass(frozen=True)
class Update:
    """(grads, state, params) -> Step."""

    rule: Any
    schedule: Callable[[Any], Any] | None

    def __call__(self, grads: Any, state: Any, params: Any) -> Step:
        backend = backend_of(tree_leaves(params)[0])
        with backend.quiet():
            return self._stepped(backend, grads, state, params)

    def _stepped(self, backend: Backend, grads: Any, state: Any, params: Any) -> Step:
        leaves, treedef = tree_flatten(params)
        xp = backend.xp
        refuse_another_state(self.rule, state, leaves, treedef)
        grad_leaves = matching_leaves("Optimizer.update: grads", grads, params, backend)
        rate = state.learning_rate
        if self.schedule is not None:
            refuse_rate(self.rule, rate, backend)
        step = state.step + 1
        scalars = self.rule.scalars(xp.astype(step, rate.dtype), rate, xp.expm1)
        slots = [tree_leaves(tree) for tree in state[2 : 2 + self.rule.slots]]
        moved, kept = [], []
        for p, g, *mine in zip(leaves, grad_leaves, *slots, strict=True):
            # in the widest dtype of the parameter and what is kept beside it; rounded once, at the end
            kind = xp.result_type(wide(xp, p), *(wide(xp, s) for s in mine))
            p_wide, g_wide, *wides = (xp.astype(x, kind, copy=False) for x in (p, g, *mine))
            fitted = tuple(_fit(xp, s, kind) for s in scalars)
            after, mine_after = self.rule.leaf(xp, p_wide, g_wide, tuple(wides), fitted)
            moved.append(backend.as_arrays(xp.astype(after, p.dtype, copy=False)))
            kept.append(
                [
                    backend.as_arrays(xp.astype(s, old.dtype, copy=False))
                    for s, old in zip(mine_after, mine, strict=True)
                ]
            )
        trees = [tree_unflatten(treedef, [mine[i] for mine in kept]) for i in range(self.rule.slots)]
        following = rate
        if self.schedule is not None:
            following = scheduled(self.rule, self.schedule, step)
            following = number_on(backend, following, rate.dtype, backend.device_beside(rate))
        old = norm_of_leaves(xp, leaves, rate.dtype)
        change = norm_of_leaves(
            xp, [wide(xp, b) - wide(xp, a) for a, b in zip(leaves, moved, strict=True)], rate.dtype
        )
        ratio = xp.where(
            old > 0, change / xp.where(old > 0, old, xp.ones_like(old)), xp.full_like(old, xp.inf)
        )
        grad_norm = norm_of_leaves(xp, grad_leaves, rate.dtype)
        after_state = (backend.as_arrays(step), following, *trees, None)[: len(state)]
        return Step(
            tree_unflatten(treedef, moved),
            self.rule.state(*after_state),
            *(backend.as_arrays(x) for x in (grad_norm, rate, ratio)),
        )


def scheduled(rule: Any, schedule: Callable[[Any], Any], step: Any) -> Any:
    """A schedule's rate, made sure to be one real number; its value is looked at only where it is used."""
    where, rate = f"{_name(rule)}: learning_rate, a schedule, returned", schedule(step)
    if not hasattr(rate, "shape"):
        if isinstance(rate, bool) or not hasattr(rate, "__float__"):
            raise DTypeError(f"{where} {rate!r}, expected a number.")
    elif rate.shape != ():
        raise ShapeError(
            f"{where} shape {tuple(rate.shape)}, expected one number, (). Index it, or take the mean."
        )
    elif dtype_kind(rate.dtype) not in ("float", "half", "integer"):
        raise DTypeError(f"{where} dtype {dtype_name(rate.dtype)}, expected a real number.")
    return rate


def refuse_another_state(rule: Any, state: Any, leaves: list[Any], treedef: Any) -> None:
    """Refuse a state that this rule's init has not made of such parameters."""
    if not isinstance(state, rule.state):
        raise DTypeError(
            f"{_name(rule)}: state is a {type(state).__name__}, expected the {rule.state.__name__} that init of this "
            "optimiser, or its last update, has returned."
        )
    for tree in state[2 : 2 + rule.slots]:
        result, structure = tree_flatten(tree)
        if structure != treedef or any(s.shape != p.shape for s, p in zip(result, leaves, strict=True)):
            raise ShapeError(
                f"{_name(rule)}: state has arrays of shapes {[tuple(s.shape) for s in result]!r:.80}, expected those "
                f"of the parameters, {[tuple(p.shape) for p in leaves]!r:.80}: it is of other parameters. "
                "Call init anew."
            )


def refuse_rate(rule: Any, rate: Any, backend: Backend) -> None:
    """Refuse a schedule's rate that is negative or NaN; 0 is what many end with. What is traced has no value."""
    if backend.is_tracer(type(rate)):
        return
    number = float(rate)
    if not number >= 0:
        raise ShapeError(
            f"{_name(rule)}: learning_rate, a schedule, returned {number:g}, expected a number of at least 0."
        )


def slot_dtype(rule: Any, backend: Backend, place: int) -> Any:
    """The dtype that the optimiser's array of this place is kept in; None: that of the steps."""
    name = getattr(rule, "moment_dtype", None) if place == 0 else None
    if name is None:
        return None
    dtype = getattr(backend.xp, name, None)
    if dtype is None or dtype_name(backend.stored_dtype(dtype)) != name:
        raise DTypeError(
            f"{_name(rule)}: moment_dtype is {name!r}, which {backend.name} does not have here, expected one that it "
            "has, such as 'float32'."
        )
    return dtype


def _name(rule: Any) -> str:
    return type(rule).__name__.lower()


def _fit(xp: Any, scalar: Any, dtype: Any) -> Any:
    return scalar if isinstance(scalar, float) or scalar.dtype == dtype else xp.astype(scalar, dtype)
