"""The compiled programs of descents that were run: kept for those that do the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from threading import Lock, local
from typing import Any

from pillars.backends import TreeDef, fingerprint, tree_flatten
from pillars.calculus.descent._plan import Plan

__all__ = ["keeper", "programs"]

_MOST = 64
programs: OrderedDict[Any, _Kept] = OrderedDict()
_lock = Lock()


class _Kept:
    """A compiled program that may be traced again, for other shapes: then from the function at hand.

    The function that it was first compiled from may have changed since, and no longer be what the key says.
    """

    def __init__(self, plan: Plan) -> None:
        self.at_hand = local()
        self.program = plan.backend.jit(self._traced)

    def _traced(self, *args: Any) -> Any:
        return self.at_hand.function(*args)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The program's result, `function` being what it would be traced from."""
        self.at_hand.function = function
        try:
            return self.program(*args)
        finally:
            del self.at_hand.function


def _node_types(treedef: TreeDef) -> list[Any]:
    """The classes of a tree's nodes, whose methods a loss may call; a node that only JAX knows stands for itself."""
    mine: list[Any] = {"named": [treedef.data], "jax": [treedef]}.get(treedef.kind, [])
    if treedef.kind == "dataclass":
        mine = [treedef.data.kind, *(value.value for _, value in treedef.data.static)]
    return mine + [kind for child in treedef.children for kind in _node_types(child)]


def keeper(plan: Plan, trees: Any) -> Callable[[str, Callable[..., Any]], Callable[..., Any]]:
    """What compiles the programs of a plan, or finds those of a plan that does the same."""
    nodes = _node_types(tree_flatten(trees)[1])
    mark = fingerprint(plan.loss, plan.gradient, plan.optimizer.update, plan.monitors, *nodes)

    def compiled(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
        if mark is None:
            return plan.backend.jit(f)
        key = (name, plan.steps, plan.rows, plan.batch_size, mark)
        with _lock:
            kept = programs.get(key)
            if kept is None:
                kept = programs[key] = _Kept(plan)
            programs.move_to_end(key)
            while len(programs) > _MOST:
                programs.popitem(last=False)
        return partial(kept.call, f)

    return compiled
