"""From the cotangents of a trace's results to those of its parameters."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from pillars.backends import summed
from pillars.calculus.autodiff._rule import Rule, is_complex
from pillars.calculus.autodiff._tape import OBSERVER, Node, Trace
from pillars.calculus.autodiff._traced_array import TracedArray, strip

__all__ = ["Whole", "backward"]


class Whole:
    """The rule of an operation with a hand-derived gradient: one function gives all cotangents at once.

    Its node keeps the pullback where other nodes keep values. Each of several results has a node of its own below it.
    `reach`: the pullback asks which parts of the results were used.
    """

    __slots__ = ("name", "reach")

    def __init__(self, name: str, *, reach: bool = False) -> None:
        self.name = name
        self.reach = reach


class Part:
    """The rule of one result among several: its cotangent goes to that place."""

    __slots__ = ()


PART = Part()

# rules that only pick, move and add up numbers
_PICKING = frozenset(
    (
        *(
            "where",
            "maximum",
            "minimum",
            "max",
            "min",
            "reshape",
            "permute_dims",
            "broadcast_to",
            "astype",
            "flip",
        ),
        *("roll", "tril", "triu", "concat", "stack", "gather", "scatter", "sum", "mean", "cumulative_sum"),
    )
)

# of those, the ones whose pullback gives zeros to what was not picked
_SELECTING = frozenset(("where", "maximum", "minimum", "max", "min", "tril", "triu", "gather"))


def _fit(xp: Any, d: Any, parent: Node) -> Any:
    """Of the parent's shape, summed over the axes that broadcasting added or repeated, and of its dtype."""
    shape = parent.shape
    if d.shape != shape:
        extra = len(d.shape) - len(shape)
        axes = tuple(i for i, n in enumerate(d.shape) if i < extra or (shape[i - extra] == 1 and n != 1))
        d = summed(d, axes) if axes else d
        d = d if d.shape == shape else xp.reshape(d, shape)
    if d.dtype == parent.dtype:
        return d
    return xp.astype(xp.real(d) if is_complex(d) and not is_complex(parent) else d, parent.dtype)


def backward(
    trace: Trace, seeds: Sequence[tuple[Node, Any]], *, careful: bool | None = None
) -> dict[int, Any]:
    """Cotangents of the leaves that the seeds reach, by node number.

    Where a selection (where, clip, maximum, max) has kept a cotangent away, it stays 0 through elementwise rules,
    whatever their slope: where 0·∞ or 0·NaN turns up in a parameter's cotangent, the walk is made again with that
    convention. So the usual walk pays nothing for it. A cotangent that is 0 by its size alone is multiplied as it is.

    `careful` is for who looks at the numbers anyway: True for that convention, False for the walk without it.
    """
    space = trace.space
    with space.root.quiet():
        if not space.root.host:  # to look at the numbers would wait for the device
            return _walk(trace, seeds, careful=_selects(seeds))
        if careful is not None:
            return _walk(trace, seeds, careful=careful)
        result = _walk(trace, seeds, careful=False)
        isfinite = space.base.isfinite
        if all(isfinite(strip(g)).all() for g in result.values()):
            return result
        return _walk(trace, seeds, careful=True)


def _selects(seeds: Sequence[tuple[Node, Any]]) -> bool:
    """Whether anything on the way back may keep a cotangent away, or asks what was; else both walks are the same."""
    ahead, seen = [node for node, _ in seeds], set()
    while ahead:
        node = ahead.pop()
        if node.number in seen:
            continue
        seen.add(node.number)
        rule: Any = node.rule
        if type(rule) in (Rule, Whole) and (rule.reach or rule.name in _SELECTING):
            return True
        ahead.extend(parent for parent in node.parents if parent is not None)
    return False


class _Walk:
    """What is still to be visited: nodes by descending number, which is a topological order.

    A stack would be as deep as the program is long.
    """

    def __init__(self, space: Any) -> None:
        self.space = space
        self.nodes: dict[int, Node] = {}
        self.pending: dict[int, Any] = {}
        self.heap: list[int] = []

    def add(self, node: Node, d: Any, xp: Any) -> None:
        """A cotangent of a node, beside those that came by other ways."""
        if d.shape != node.shape or d.dtype != node.dtype:
            d = _fit(xp, d, node)
        number = node.number
        pending = self.pending
        if number in pending:
            pending[number] = pending[number] + d
        else:
            pending[number], self.nodes[number] = d, node
            heapq.heappush(self.heap, -number)

    def pop(self) -> tuple[int, Node, Any]:
        """The next node, with its number and its cotangent."""
        number = -heapq.heappop(self.heap)
        return number, self.nodes.pop(number), self.pending.pop(number)

    def add_place(self, node: Node, place: int, g: Any) -> None:
        """A cotangent of one of an operation's results."""
        number = node.number
        if number not in self.pending:
            self.pending[number], self.nodes[number] = {}, node
            heapq.heappush(self.heap, -number)
        self.pending[number][place] = g  # each result has one node, and is visited once


class _Watched(_Walk):
    """A walk whose cotangents somebody is shown, and the node that each is pulled through."""

    def __init__(self, space: Any, observer: Any) -> None:
        super().__init__(space)
        self.observer = observer

    def pop(self) -> tuple[int, Node, Any]:
        number, node, g = super().pop()
        self.observer.enter(node)
        return number, node, g

    def add(self, node: Node, d: Any, xp: Any) -> None:
        self.observer.pulled(d)
        super().add(node, d, xp)


class _Reach:
    """How far the seeds reach into each node, as ones and zeros: 0 where selections have kept every way away.

    Rules that pick and move numbers are linear with slopes that are not negative, so that their own pullback moves the
    ones and zeros. Elementwise rules leave them where they are; what mixes numbers may take any of them anywhere.
    """

    def __init__(self, trace: Trace, seeds: Sequence[tuple[Node, Any]]) -> None:
        self.xp, self.trace = trace.space.base, trace
        self.pending: dict[int, Any] = {}
        self.places: dict[int, dict[int, Any]] = {}
        for node, g in seeds:
            self.add(node, self.xp.ones_like(strip(g)))

    def add(self, node: Node, r: Any) -> None:
        whole = node.shape is None or node.dtype is None  # an operation of several results: all, or none
        r = self.xp.max(r) if whole else _fit(self.xp, r, node)
        r = r + self.pending[node.number] if node.number in self.pending else r
        r = self.xp.real(r) if is_complex(r) else r
        self.pending[node.number] = self.xp.astype(~(r <= 0), r.dtype)  # NaN, of an extreme of NaN, is no 0

    def below(self, node: Node) -> list[Any]:
        """What of a node's parents is reached by way of it, before broadcasting is undone; they learn it too."""
        r, rule = self.pending.pop(node.number), node.rule
        if type(rule) is Part:
            top: Any = node.parents[0]
            self.places.setdefault(top.number, {})[node.options["place"]] = r
        picks = type(rule) is Rule and rule.name in _PICKING
        saved = tuple(strip(x) for x in node.saved) if picks else ()
        result: list[Any] = [None] * len(node.parents)
        for position, parent in enumerate(node.parents):
            if parent is None:
                continue
            if picks and rule.variadic:
                mine = rule.pulls[0](self.xp, r, None, saved[1:], position, **node.options)
            elif picks:
                mine = rule.pulls[position](self.xp, r, *saved, **node.options)
            elif (type(rule) is Rule and rule.elementwise) or parent.shape is None:
                mine = r
            else:
                mine = self.xp.broadcast_to(self.xp.max(r), parent.shape)
            result[position] = mine if picks or (type(rule) is Rule and rule.elementwise) else None
            self.add(parent, mine)
        return result


def _walk(trace: Trace, seeds: Sequence[tuple[Node, Any]], *, careful: bool) -> dict[int, Any]:
    observer = OBSERVER.get()
    if observer is None:
        return _pull(trace, _Walk(trace.space), seeds, careful=careful)
    result = _pull(trace, _Watched(trace.space, observer), seeds, careful=careful)
    observer.enter(None)
    return result


def _pull(trace: Trace, walk: _Walk, seeds: Sequence[tuple[Node, Any]], *, careful: bool) -> dict[int, Any]:
    space, base = trace.space, trace.space.base
    leaves: dict[int, Any] = {}
    reach = _Reach(trace, seeds) if careful else None
    for node, g in seeds:
        walk.add(node, g, space)
    heap = walk.heap
    rule: Any = None
    try:
        while heap:
            number, node, g = walk.pop()
            rule = node.rule
            reached = None if reach is None else reach.below(node)
            if rule is None:
                leaves[number] = g
                continue
            nested = trace.nested or type(g) is TracedArray
            xp = space if nested else base
            kind = type(rule)
            if kind is Rule:
                saved = node.saved
                if nested and space.wraps and rule.results == 1:
                    saved, g = tuple(space.constant(x) for x in saved), space.constant(g)
                if rule.variadic:
                    _variadic(walk, node, g, xp, saved)
                    continue
                if rule.results > 1:
                    _several(walk, node, g, xp, saved, _reached(reach, number, g))
                    continue
                for position, (parent, pull) in enumerate(zip(node.parents, rule.pulls, strict=True)):
                    if parent is not None:
                        d = pull(xp, g, *saved, **node.options)
                        if reached is not None and reached[position] is not None:
                            d = xp.where(reached[position] == 0, xp.zeros_like(d), d)
                        walk.add(parent, space.constant(d) if nested else d, xp)
            elif kind is Part:
                walk.add_place(node.parents[0], node.options["place"], g)  # type: ignore[arg-type]
            else:
                _whole(walk, node, g if type(g) is dict else _array(space, g, nested=nested), xp, reach)
    except Exception as error:
        if type(error).__name__ != "LinAlgError":
            raise
        raise _named(trace.name, rule, error) from None
    return leaves


def _named(name: str, rule: Any, error: Exception) -> Exception:
    """LAPACK's error, with the function and the reason."""
    return type(error)(
        f"{name}: got a matrix at which {rule.name} cannot be differentiated ({error}), expected one where it has a "
        "gradient. Look at what that function is given: entries that are not finite, rank, conditioning."
    ).with_traceback(error.__traceback__)


def _whole(walk: _Walk, node: Node, g: Any, xp: Any, reach: _Reach | None) -> None:
    """An operation with a hand-derived gradient, which gives the cotangents of all its parents."""
    space = walk.space
    asked = (_reached(reach, node.number, g),) if node.rule.reach else ()
    for parent, d in zip(node.parents, node.saved(g, *asked), strict=True):
        if parent is not None and d is not None:
            d = d if hasattr(d, "dtype") else space.base.asarray(d, dtype=parent.dtype)  # noqa: PLW2901
            walk.add(parent, space.constant(d) if xp is space else d, xp)


def _reached(reach: _Reach | None, number: int, g: dict[int, Any]) -> dict[int, Any]:
    """What was made of each of a node's results: True, or where it is known which entries; the others are missing."""
    return dict.fromkeys(g, True) if reach is None else reach.places.get(number, {})


def _variadic(walk: _Walk, node: Node, g: Any, xp: Any, saved: tuple[Any, ...]) -> None:
    pull, y, operands = node.rule.pulls[0], saved[0], saved[1:]
    for position, parent in enumerate(node.parents):
        if parent is not None:
            d = pull(xp, g, y, operands, position, **node.options)
            walk.add(parent, walk.space.constant(d) if xp is walk.space else d, xp)


def _several(
    walk: _Walk, node: Node, g: dict[int, Any], xp: Any, saved: tuple[Any, ...], reached: dict[int, Any]
) -> None:
    """A primitive of several results, each of which may have a cotangent."""
    [parent], rule, space = node.parents, node.rule, walk.space
    given: tuple[Any, ...] = tuple(g.get(place) for place in range(rule.results))
    y, a = saved
    if xp is space or any(type(one) is TracedArray for one in given):
        xp = space

        def beside(x: Any) -> Any:
            return x if x is None else space.constant(x)

        given, y, a = tuple(map(beside, given)), y and tuple(map(beside, y)), beside(a)
    options = node.options
    if rule.reach:
        options = {**options, "reached": tuple(reached.get(place, False) for place in range(rule.results))}
    d = rule.pulls[0](xp, given, y, a, **options)
    if d is not None and parent is not None:
        walk.add(parent, space.constant(d) if xp is space else d, xp)


def _array(space: Any, g: Any, *, nested: bool) -> Any:
    """A hand-derived rule asks its cotangent for its namespace: a scalar of the library has none."""
    if type(g) is TracedArray:
        return g
    g = g if type(g) is space.array_type else space.base.asarray(g)
    return space.constant(g) if nested else g
