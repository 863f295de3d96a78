"""Nodes of trees and JAX: those registered with it one level at a time, and what it does not know in an envelope."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from pillars.backends._tree import tree_flatten, tree_unflatten

__all__ = ["node_children", "node_rebuild", "opened", "opening", "sealed"]


def node_children(tree: Any) -> tuple[str, Any, list[Any]] | None:
    """The children of a node that JAX knows; None where JAX calls it a leaf."""
    leaves, treedef = jax.tree_util.tree_flatten(tree, is_leaf=lambda node: node is not tree)
    if jax.tree_util.treedef_is_leaf(treedef):
        return None
    return "jax", treedef, leaves


def node_rebuild(treedef: Any, children: list[Any]) -> Any:
    """The node again, from its children."""
    return jax.tree_util.tree_unflatten(treedef, children)


@jax.tree_util.register_pytree_node_class
class _Envelope:
    """A tree with dataclasses that JAX does not know, on its way through JAX: leaves, and how they were arranged."""

    __slots__ = ("leaves", "treedef")

    def __init__(self, leaves: Any, treedef: Any) -> None:
        self.leaves, self.treedef = leaves, treedef

    def tree_flatten(self) -> tuple[Any, Any]:
        return tuple(self.leaves), self.treedef

    @classmethod
    def tree_unflatten(cls, treedef: Any, leaves: Any) -> _Envelope:
        return cls(leaves, treedef)


def _has_dataclass(treedef: Any) -> bool:
    return treedef.kind == "dataclass" or any(_has_dataclass(child) for child in treedef.children)


def sealed(tree: Any) -> Any:
    """A tree as JAX takes it: as it is, where JAX knows all its nodes."""
    if hasattr(tree, "dtype") or tree is None:
        return tree
    if type(tree) is tuple:
        # the arguments, the results: each for itself, so that they can be told apart on the way
        return tuple(sealed(part) for part in tree)
    leaves, treedef = tree_flatten(tree)
    return _Envelope(leaves, treedef) if _has_dataclass(treedef) else tree


def opened(tree: Any) -> Any:
    """What :func:`sealed` was given, of what came back."""
    if type(tree) is _Envelope:
        return tree_unflatten(tree.treedef, tree.leaves)
    return tuple(opened(part) for part in tree) if type(tree) is tuple else tree


def opening(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, of sealed arguments, to a sealed result."""

    @functools.wraps(f, assigned=("__module__", "__name__", "__qualname__"), updated=())
    def run(*args: Any, **options: Any) -> Any:
        return sealed(f(*map(opened, args), **{name: opened(value) for name, value in options.items()}))

    return run
