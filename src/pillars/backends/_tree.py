"""Pytrees: dict, list, tuple, NamedTuple and dataclass of arrays, on every backend alike.

``None`` is an empty subtree and dictionaries are walked by sorted key, as JAX does, so that a tree has one order
everywhere. Where JAX is loaded, node types registered with JAX are nodes here too, as they were registered. Any other
dataclass is walked by its fields; those that hold nothing to compute with stay with it (see ``_dataclasses``).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pillars._errors import ShapeError
from pillars.backends._dataclasses import fields_of, is_dataclass, rebuilt

__all__ = ["TreeDef", "is_node", "tree_flatten", "tree_leaves", "tree_map", "tree_paths", "tree_unflatten"]


class TreeDef(NamedTuple):
    """The shape of a tree: its node kind, what rebuilds that node, and its children."""

    kind: str  # "leaf" "none" "dict" "list" "tuple" "named" "jax" "dataclass"
    data: Any
    children: tuple[TreeDef, ...]


_LEAF = TreeDef("leaf", None, ())
_NONE = TreeDef("none", None, ())


def _children(tree: Any) -> tuple[str, Any, list[Any]] | None:
    """The node kind, its data and its children; None where the object is a leaf."""
    if isinstance(tree, dict):
        try:
            keys = sorted(tree)
        except TypeError:
            keys = list(tree)
        kind = type(tree)
        made = kind if not isinstance(tree, defaultdict) else (kind, tree.default_factory)
        return "dict", (made, tuple(keys)), [tree[key] for key in keys]
    if isinstance(tree, tuple):
        return ("named" if hasattr(tree, "_fields") else "tuple"), type(tree), list(tree)
    if isinstance(tree, list):
        return "list", None, tree
    if hasattr(tree, "dtype") or isinstance(tree, (int, float, complex, str)):
        return None
    if "jax" in sys.modules:
        from pillars.backends.on_jax._pytrees import node_children

        node = node_children(tree)
        if node is not None:
            return node
    if is_dataclass(tree):
        fields, children = fields_of(tree, tree_leaves)
        return "dataclass", fields, children
    return None


def is_node(tree: Any) -> bool:
    """Whether an object is a tree of others, not a leaf; ``None`` is neither."""
    return tree is not None and _children(tree) is not None


def _walk(tree: Any, leaves: list[Any]) -> TreeDef:
    if tree is None:
        return _NONE
    node = _children(tree)
    if node is None:
        leaves.append(tree)
        return _LEAF
    kind, data, children = node
    return TreeDef(kind, data, tuple([_walk(child, leaves) for child in children]))


def tree_flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """The leaves in order, and what :func:`tree_unflatten` needs to put them back.

    Raises
    ------
    ShapeError : a tree that contains itself, or is nested deeper than Python's stack.
    """
    leaves: list[Any] = []
    try:
        return leaves, _walk(tree, leaves)
    except RecursionError:
        raise _endless("tree_flatten") from None


def _endless(where: str) -> ShapeError:
    return ShapeError(
        f"{where}: the tree is nested deeper than Python's stack, or contains itself. Pass a flatter tree."
    )


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves of a tree in order; ``None`` is not a leaf."""
    return tree_flatten(tree)[0]


def _rebuild(treedef: TreeDef, leaves: Iterator[Any]) -> Any:
    if treedef.kind == "leaf":
        return next(leaves)
    if treedef.kind == "none":
        return None
    children = [_rebuild(child, leaves) for child in treedef.children]
    match treedef.kind:
        case "dict":
            kind, keys = treedef.data
            items = zip(keys, children, strict=True)
            return kind[0](kind[1], items) if isinstance(kind, tuple) else kind(items)
        case "named":
            return treedef.data(*children)
        case "tuple":
            return tuple(children)
        case "jax":
            from pillars.backends.on_jax._pytrees import node_rebuild

            return node_rebuild(treedef.data, children)
        case "dataclass":
            return rebuilt(treedef.data, children)
    return children


def tree_unflatten(treedef: TreeDef, leaves: Sequence[Any]) -> Any:
    """The tree of shape `treedef` with these leaves."""
    iterator = iter(leaves)
    return _rebuild(treedef, iterator)


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`f` of every leaf, and of the leaves at the same places of `rest`, as a tree of the same shape.

    Raises
    ------
    ShapeError : a tree of `rest` has another structure.
    """
    leaves, treedef = tree_flatten(tree)
    columns = [leaves]
    for other in rest:
        other_leaves, other_def = tree_flatten(other)
        if other_def != treedef:
            raise ShapeError(
                f"tree_map: the trees differ: got {describe(other_def)}, expected {describe(treedef)}. "
                "Pass trees with the same keys and lengths."
            )
        columns.append(other_leaves)
    return tree_unflatten(treedef, [f(*parts) for parts in zip(*columns, strict=True)])


def tree_paths(tree: Any, prefix: str = "") -> list[str]:
    """Where each leaf sits, in the order of :func:`tree_leaves`: ``.weight``, ``[0]['bias']``.

    Raises
    ------
    ShapeError : as :func:`tree_flatten`.
    """
    try:
        return _paths(tree, prefix)
    except RecursionError:
        raise _endless("tree_paths") from None


def _paths(tree: Any, prefix: str) -> list[str]:
    if tree is None:
        return []
    node = _children(tree)
    if node is None:
        return [prefix]
    kind, data, children = node
    if kind == "dict":
        names = [f"[{key!r}]" for key in data[1]]
    elif kind == "named":
        names = [f".{field}" for field in data._fields]
    elif kind == "dataclass":
        names = [f".{field}" for field in data.names]
    else:
        names = [f"[{position}]" for position in range(len(children))]
    return [
        path for name, child in zip(names, children, strict=True) for path in _paths(child, prefix + name)
    ]


def describe(treedef: TreeDef) -> str:
    """A tree's structure in words, ``*`` for a leaf."""
    parts = [describe(child) for child in treedef.children]
    match treedef.kind:
        case "leaf":
            return "*"
        case "none":
            return "None"
        case "dict":
            return (
                "{"
                + ", ".join(f"{key!r}: {part}" for key, part in zip(treedef.data[1], parts, strict=True))
                + "}"
            )
        case "list":
            return f"[{', '.join(parts)}]"
        case "tuple":
            return f"({', '.join(parts)})"
        case "dataclass":
            return str(treedef.data.described(parts))
    name = getattr(treedef.data, "__name__", treedef.kind)
    return f"{name}({', '.join(parts)})"
