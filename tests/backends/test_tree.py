"""Pytrees: the same order on every backend, and JAX's order where JAX knows the tree."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import pytest
from hypothesis import given, strategies as st

import pillars
from pillars.backends import tree_flatten, tree_leaves, tree_map, tree_paths, tree_unflatten


class Layer(NamedTuple):
    weight: Any
    bias: Any = None


LEAVES = st.floats(allow_nan=False) | st.integers() | st.text(max_size=3)
TREES = st.recursive(
    LEAVES | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.builds(Layer, inner, inner)
    ),
    max_leaves=12,
)


@given(TREES)
def test_taken_apart_and_put_together_it_is_the_same(tree):
    leaves, treedef = tree_flatten(tree)
    assert tree_unflatten(treedef, leaves) == tree
    assert hash(treedef) == hash(tree_flatten(tree)[1])
    assert len(tree_paths(tree)) == len(leaves)


@given(TREES)
def test_the_order_is_jax_s(tree):
    jax = pytest.importorskip("jax")
    assert tree_leaves(tree) == jax.tree_util.tree_leaves(tree)
    assert tree_map(lambda leaf: (leaf,), tree) == jax.tree_util.tree_map(lambda leaf: (leaf,), tree)


@given(TREES)
def test_mapping_keeps_the_structure(tree):
    assert tree_flatten(tree_map(repr, tree))[1] == tree_flatten(tree)[1]
    assert tree_leaves(tree_map(lambda a, b: a is b, tree, tree)) == [True] * len(tree_leaves(tree))


def test_dictionaries_are_walked_by_sorted_key_and_keep_their_kind():
    tree = OrderedDict(b=1, a=2)
    assert tree_leaves({"b": 1, "a": 2}) == [2, 1]
    assert tree_map(lambda leaf: leaf * 10, {"b": 1, "a": 2}) == {"a": 20, "b": 10}
    assert type(tree_map(lambda leaf: leaf, tree)) is OrderedDict
    assert tree_leaves({1: "a", "x": "b"}) == ["a", "b"]  # keys that do not compare stay as they came


def test_a_default_dictionary_survives():
    tree = defaultdict(list, a=1)
    assert tree_map(lambda leaf: leaf + 1, tree) == {"a": 2}


def test_paths_name_each_leaf():
    tree = {"w": Layer([1, 2], None), "b": (3,)}
    assert tree_paths(tree) == ["['b'][0]", "['w'].weight[0]", "['w'].weight[1]"]


def test_trees_that_differ_are_described():
    with pytest.raises(
        pillars.ShapeError, match=r"tree_map: the trees differ: got \{'b': \*\}, expected \{'a': \*\}"
    ):
        tree_map(max, {"a": 1}, {"b": 1})
    with pytest.raises(pillars.ShapeError):
        tree_map(max, [1, 2], [1])
    with pytest.raises(pillars.ShapeError):
        tree_map(max, Layer(1), (1, None))


def test_nodes_registered_with_jax_are_nodes_here():
    jax = pytest.importorskip("jax")

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Point:
        x: Any
        y: Any

    tree = {"p": Point(1.0, [2.0, 3.0]), "q": 4.0}
    assert tree_leaves(tree) == jax.tree_util.tree_leaves(tree)
    doubled = tree_map(lambda leaf: leaf * 2, tree)
    assert doubled["p"].y == [4.0, 6.0]


def test_a_tree_without_an_end_is_refused():
    cyclic = [1.0]
    cyclic.append(cyclic)
    deep = 1.0
    for _ in range(100_000):
        deep = [deep]
    for tree in (cyclic, deep):
        with pytest.raises(pillars.ShapeError, match="deeper than Python's stack, or contains itself"):
            tree_leaves(tree)
        with pytest.raises(pillars.ShapeError, match="deeper than Python's stack, or contains itself"):
            tree_paths(tree)
    while isinstance(deep, list):  # taken down one by one: to forget it whole is deep as well
        deep = deep[0]
