"""Dataclasses as nodes of trees: which of their fields are subtrees, and which stay as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Fields", "fields_of", "is_dataclass", "rebuilt"]

_UNSET = object()


class _Static:
    """The value of a field that is no subtree; it may compare oddly, and need not hash."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Static):
            return NotImplemented
        if self.value is other.value:
            return True
        try:
            return type(self.value) is type(other.value) and bool(self.value == other.value)
        except Exception:
            # a comparison of the caller's own that fails has not found them equal
            return False

    def __hash__(self) -> int:
        try:
            return hash(self.value)
        except TypeError:
            return hash(type(self.value))

    def __repr__(self) -> str:
        return f"{self.value!r:.40}"


class Fields(NamedTuple):
    """A dataclass without its subtrees.

    Attributes
    ----------
    kind : its class.
    names : the fields that are subtrees, in order.
    static : names and values of the others.
    """

    kind: Any
    names: tuple[str, ...]
    static: tuple[tuple[str, _Static], ...]

    def described(self, parts: list[str]) -> str:
        """It in words, its subtrees being `parts`."""
        fields = [f"{name}={part}" for name, part in zip(self.names, parts, strict=True)]
        fields += [f"{name}={value!r}" for name, value in self.static]
        return f"{self.kind.__name__}({', '.join(fields)})"


def is_dataclass(x: Any) -> bool:
    """Whether an object is an instance of a dataclass."""
    return hasattr(type(x), "__dataclass_fields__")


def fields_of(x: Any, leaves_of: Callable[[Any], list[Any]]) -> tuple[Fields, list[Any]]:
    """A dataclass apart: what stays, and its subtrees.

    A field stays as it is, and is part of the tree's structure, if its metadata says so (``{"static": True}``, as in
    JAX, or ``{"pytree_node": False}``), or if nothing in it is an array, a float or None: text, functions, integers,
    settings. A plain integer in a field annotated ``float`` is a subtree all the same: what it stands for moves.
    A field that was never set stays unset.
    """
    names, children, static = [], [], []
    for field in dataclasses.fields(x):
        value = getattr(x, field.name, _UNSET)
        if value is _UNSET:
            continue
        if _stays(field, value, leaves_of):
            static.append((field.name, _Static(value)))
        else:
            names.append(field.name)
            children.append(value)
    return Fields(type(x), tuple(names), tuple(static)), children


def _stays(field: dataclasses.Field[Any], value: Any, leaves_of: Callable[[Any], list[Any]]) -> bool:
    if field.metadata.get("static", False) or not field.metadata.get("pytree_node", True):
        return True
    # written 0 for 0.0: were it structure, it would silently never be trained
    if type(value) is int and field.type in (float, "float"):
        return False
    leaves = leaves_of(value)
    return bool(leaves) and not any(
        hasattr(leaf, "dtype") or isinstance(leaf, (float, complex)) for leaf in leaves
    )


def rebuilt(fields: Fields, children: list[Any]) -> Any:
    """The dataclass with these subtrees.

    Field by field, frozen or not: what its ``__init__`` and ``__post_init__`` do has been done, and would be done to
    tracers.
    """
    made = object.__new__(fields.kind)
    for name, child in zip(fields.names, children, strict=True):
        object.__setattr__(made, name, child)
    for name, value in fields.static:
        object.__setattr__(made, name, value.value)
    return made
