"""Node types that were registered with JAX (dataclasses, modules of other libraries), one level at a time."""

from __future__ import annotations

from typing import Any

import jax

__all__ = ["node_children", "node_rebuild"]


def node_children(tree: Any) -> tuple[str, Any, list[Any]] | None:
    """The children of a node that JAX knows; None where JAX calls it a leaf."""
    leaves, treedef = jax.tree_util.tree_flatten(tree, is_leaf=lambda node: node is not tree)
    if jax.tree_util.treedef_is_leaf(treedef):
        return None
    return "jax", treedef, leaves


def node_rebuild(treedef: Any, children: list[Any]) -> Any:
    """The node again, from its children."""
    return jax.tree_util.tree_unflatten(treedef, children)
