"""Loss and gradient in a loop in Python: what is the same in every step is found out once.

:func:`value_and_grad` asks at every call which library its arguments belong to and which of them it must guard. A loop
knows: its parameters are plain arrays of one library, and its data have been lent to it for as long as it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pillars._errors import CapabilityError, PillarsError
from pillars.backends import tree_leaves, tree_unflatten
from pillars.calculus._parameters import matching_leaves
from pillars.calculus.autodiff import (
    Node,
    Trace,
    TracedArray,
    backward,
    call,
    lending,
    outside,
    space_of,
    value_of,
)
from pillars.calculus.descent._plan import Plan

__all__ = ["Automatic", "ByHand", "gradients_of"]


def _shown(leaf: Any) -> Any:
    """A leaf as functions are to see it: what they would write into it, the descent would go on from."""
    flags = getattr(leaf, "flags", None)
    if flags is None or not hasattr(flags, "writeable"):
        return leaf
    view = leaf.view()
    view.flags.writeable = False
    return view


class ByHand:
    """The gradient that was given, and the loss beside it."""

    def __init__(self, plan: Plan, treedef: Any) -> None:
        self.plan, self.treedef = plan, treedef
        assert plan.gradient is not None
        self.gradient: Callable[..., Any] = plan.gradient

    @contextmanager
    def lent(self, data: Any) -> Iterator[Any]:
        """The data as the functions are to see them, for as long as this is entered."""
        yield data

    def batch(self, batch: Any) -> Any:
        """A batch as the functions are to see it."""
        return batch

    def __call__(self, leaves: list[Any], batch: Any) -> tuple[Any, list[Any]]:
        """The loss, and the gradient's leaves, like the parameters'."""
        params = tree_unflatten(self.treedef, [_shown(leaf) for leaf in leaves])
        try:
            grads = self.gradient(params, *batch)
            result = matching_leaves("gradient_descent: gradient", grads, params, self.plan.backend)
            return self.plan.value(params, *batch), result
        except ValueError as error:
            if "read-only" in str(error) and not isinstance(error, PillarsError):
                raise CapabilityError(
                    "gradient_descent: the gradient or the loss writes into its parameters (or another array that is "
                    "read-only), expected new arrays: p = 2 * p, not p *= 2. Copy what is to be changed."
                ).with_traceback(error.__traceback__) from None
            raise

    def again(self, grads: list[Any]) -> list[Any]:
        """The last gradient, in which something is not finite, with more care."""
        return grads


class Automatic(ByHand):
    """The gradient by the tracing array."""

    def __init__(self, plan: Plan, leaves: list[Any], treedef: Any) -> None:
        self.plan, self.treedef = plan, treedef
        self.space = space_of(plan.backend)
        # those of the parameters serve every step: numbers grow, so that what is computed from them comes after
        self.nodes = [Node(None, (), None, {}, leaf.shape, leaf.dtype) for leaf in leaves]
        self.last: tuple[Trace, list[Any], Any, Any] | None = None
        self.seed: Any = None

    @contextmanager
    def lent(self, data: Any) -> Iterator[Any]:
        arrays: list[Any] = []
        trace = Trace(self.space)
        seen = tuple(outside(trace, x, arrays) for x in data)
        with lending(arrays):
            yield seen

    def batch(self, batch: Any) -> Any:
        if self.space.wraps:
            return tuple(outside(Trace(self.space), x, []) for x in batch)
        for x in tree_leaves(batch):
            if type(x) is self.space.array_type and x.shape:
                x.flags.writeable = False  # the loop's own: nobody refills it, and no rule has to copy it
        return batch

    def __call__(self, leaves: list[Any], batch: Any) -> tuple[Any, list[Any]]:
        trace = Trace(self.space, "gradient_descent")
        made = [TracedArray(leaf, own, trace) for leaf, own in zip(leaves, self.nodes, strict=True)]
        result = call(trace, self.plan.loss, [tree_unflatten(self.treedef, made), *batch], {})
        value: Any
        node: Node | None
        if type(result) is TracedArray and result._trace is trace and result._node is not None:
            value, node = self.plan.checked(result._value), result._node
        else:
            value, node = value_of("gradient_descent", trace, self.plan.checked(result))
        self.last = trace, leaves, value, node
        return value, self._walked(careful=False)

    def _walked(self, *, careful: bool) -> list[Any]:
        assert self.last is not None
        trace, leaves, value, node = self.last
        result: dict[int, Any] = {}
        if node is not None:
            if self.seed is None or self.seed.dtype != value.dtype:
                self.seed = self.plan.backend.xp.ones_like(value)
            result = backward(trace, [(node, self.seed)], careful=careful)
        grads = []
        for leaf, own in zip(leaves, self.nodes, strict=True):
            g = result.get(own.number)
            if type(g) is not self.space.array_type:  # nothing came through, or a scalar of the library
                g = self.space.base.zeros_like(leaf) if g is None else self.space.base.asarray(g)
            grads.append(g)
        return grads

    def again(self, grads: list[Any]) -> list[Any]:
        return self._walked(careful=True)


def gradients_of(plan: Plan, leaves: list[Any], treedef: Any) -> ByHand:
    """What gives loss and gradient for parameters like these."""
    return Automatic(plan, leaves, treedef) if plan.gradient is None else ByHand(plan, treedef)
