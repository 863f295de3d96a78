"""Small leaves end to end in a compiled descent."""

from __future__ import annotations

import math
from typing import Any

from pillars.backends import dtype_kind, tree_flatten, tree_leaves, tree_unflatten
from pillars.calculus.descent._plan import Plan
from pillars.calculus.optimizers import Update

__all__ = ["Packing"]

_JOINED = 2**14  # elements up to which a leaf is joined with others


class Packing:
    """Small leaves of one dtype end to end, as one array: a compiled step then has few operations, not few a leaf.

    Only for pillars' own optimisers, which treat every entry alike.
    """

    def __init__(self, plan: Plan, params: Any) -> None:
        self.xp = plan.backend.xp
        leaves, self.treedef = tree_flatten(params)
        self.shapes = [leaf.shape for leaf in leaves]
        self.on = (
            type(plan.optimizer.update) is Update
            and len(leaves) > 1
            and all(leaf.dtype == leaves[0].dtype and math.prod(leaf.shape) <= _JOINED for leaf in leaves)
            and dtype_kind(leaves[0].dtype) == "float"
        )

    def pack(self, tree: Any) -> Any:
        """A tree like the parameters, packed."""
        return self.joined(tree_leaves(tree)) if self.on else tree

    def joined(self, leaves: list[Any]) -> Any:
        """Leaves like the parameters', packed."""
        return self.xp.concat([self.xp.reshape(leaf, (-1,)) for leaf in leaves])

    def unpack(self, packed: Any) -> Any:
        """The tree again."""
        if not self.on:
            return packed
        leaves, start = [], 0
        for shape in self.shapes:
            stop = start + math.prod(shape)
            leaves.append(self.xp.reshape(packed[start:stop], shape))
            start = stop
        return tree_unflatten(self.treedef, leaves)

    def pack_state(self, state: Any, slots: int) -> Any:
        """An optimiser's state with its trees packed."""
        return (
            type(state)(*state[:2], *map(self.pack, state[2 : 2 + slots]), *state[2 + slots :])
            if self.on
            else state
        )
