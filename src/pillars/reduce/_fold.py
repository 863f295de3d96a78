"""Folding data that comes in blocks: a state from each block, states merged in a tree of fixed shape, a result.

The tree depends on the number of blocks alone, and BLAS runs on one thread, so that one worker, two workers and a
repeated block give the same bits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from pillars._errors import DTypeError, ShapeError, shown
from pillars.backends import num_threads, plain_int, pool_map, procedure, single_threaded_blas

__all__ = ["Reducer", "Runner", "fold", "row_blocks", "serial", "threaded", "tree_reduce"]

Block = TypeVar("Block")
State = TypeVar("State")
Result = TypeVar("Result")

_BLOCK_ELEMENTS = 2**18  # two megabytes in float64: what a core's cache holds, and a millisecond of work


@dataclass(frozen=True, slots=True)
class Reducer(Generic[Block, State, Result]):
    """A computation over blocks that any runner can spread out.

    Attributes
    ----------
    chunk : block -> state: what one block contributes. Pure, and of bounded size: states travel, blocks do not.
    merge : (state, state) -> state: of neighbouring blocks, the earlier one first. Associative but for rounding.
    finish : state -> result.
    """

    chunk: Callable[[Block], State]
    merge: Callable[[State, State], State]
    finish: Callable[[State], Result]


class Runner(Protocol):
    """An ordered, lazy map, ``runner(f, blocks) -> iterator``: `serial`, `threaded`, or a cluster engine's."""

    def __call__(self, f: Callable[[Any], Any], blocks: Iterable[Any], /) -> Iterator[Any]: ...


@procedure()
def row_blocks(x: Any, rows: int | None = None) -> Iterator[Any]:
    """Consecutive blocks of rows, the last one shorter: views where the library has them.

    Parameters
    ----------
    x : array (n, ...).
    rows : int, 1 or more; None: as many as make 262,144 elements, a number that depends on the row's size alone.

    Returns
    -------
    iterator of arrays (rows, ...), the last (1 ... rows, ...). An array without rows is one block, which knows the
    number of columns.

    Raises
    ------
    DTypeError : `x` is no array, or `rows` no integer. ShapeError : `x` is 0-d, or `rows` is less than 1.

    Notes
    -----
    Nothing is copied on NumPy. A quarter of a million elements are 1 MiB in float32: they stay in a core's cache.

    Examples
    --------
    >>> import numpy as np
    >>> [block.shape for block in row_blocks(np.zeros((5, 3)), 2)]
    [(2, 3), (2, 3), (1, 3)]
    """
    if not hasattr(x, "shape"):
        raise DTypeError(
            f"row_blocks: x is a {type(x).__name__}, expected an array (n, ...). Convert it with pillars.asarray."
        )
    if len(x.shape) == 0:
        raise ShapeError("row_blocks: x is 0-d, expected rows along axis 0. Reshape it to (1, ...).")
    if rows is None:
        rows = max(1, _BLOCK_ELEMENTS // max(1, math.prod(x.shape[1:])))
    step = plain_int(rows)
    if step is None:
        raise DTypeError(
            f"row_blocks: rows is {shown(rows)}, expected a plain integer, or None for blocks that fit the cache."
        )
    if step < 1:
        raise ShapeError(f"row_blocks: rows is {step}, expected 1 or more.")
    n = x.shape[0]
    return (x[begin : min(begin + step, n), ...] for begin in range(0, max(n, 1), step))


@procedure()
def tree_reduce(states: Iterable[State], merge: Callable[[State, State], State]) -> State:
    """Merge states pairwise, neighbours first: a tree whose shape depends on their number alone.

    Level by level, 0 with 1, 2 with 3 and so on, an odd last one going up as it is; worked off as the states come, so
    that log₂(n) of them are held at once.

    Parameters
    ----------
    states : iterable of states, in order; one or more.
    merge : (earlier, later) -> state.

    Returns
    -------
    the one state that is left.

    Raises
    ------
    ShapeError : no states.

    Notes
    -----
    One merge fewer than there are states. Rounding grows with log₂ of their number, not with the number.

    References
    ----------
    Higham (2002), Accuracy and Stability of Numerical Algorithms, 2nd edition, section 4.2, on pairwise sums.

    Examples
    --------
    >>> tree_reduce("abcde", lambda a, b: f"({a}{b})")
    '(((ab)(cd))e)'
    """
    waiting: list[tuple[int, State]] = []
    for leaf in states:
        state, height = leaf, 0
        while waiting and waiting[-1][0] == height:
            state = merge(waiting.pop()[1], state)
            height += 1
        waiting.append((height, state))
    if not waiting:
        raise ShapeError("tree_reduce: got no states, expected at least one block. An empty block will do.")
    _, state = waiting.pop()
    while waiting:
        state = merge(waiting.pop()[1], state)
    return state


def serial(f: Callable[[Any], Any], blocks: Iterable[Any], /) -> Iterator[Any]:
    """The runner that takes one block after the other."""
    # Not map(): there a StopIteration that f raises would end the blocks in silence; here it is a RuntimeError.
    for block in blocks:
        yield f(block)


def threaded(f: Callable[[Any], Any], blocks: Iterable[Any], /) -> Iterator[Any]:
    """The runner on the thread pool: for blocks of a millisecond's work or more.

    Blocks are drawn in the calling thread, four a thread at once, so that a file is read in order and memory stays
    bounded.
    """
    source = iter(blocks)
    window = 4 * num_threads()
    while taken := list(itertools.islice(source, window)):
        yield from pool_map(f, taken)


@procedure()
def fold(
    reducer: Reducer[Block, State, Result], blocks: Iterable[Block], *, runner: Runner = serial
) -> Result:
    """Run a reducer over blocks: chunk each, merge in a tree of fixed shape, finish.

    Parameters
    ----------
    reducer : chunk, merge and finish.
    blocks : iterable of blocks, one or more, such as ``row_blocks(x)`` or a generator that reads a file.
    runner : `serial`, `threaded`, or any ordered map. It changes the time, not one bit of the result: BLAS is limited
        to one thread meanwhile.

    Returns
    -------
    what ``reducer.finish`` returns.

    Raises
    ------
    ShapeError : no blocks. RuntimeError : `chunk` raised StopIteration, which a runner would take for the last block's
    end. What else the reducer's functions raise comes through.

    Notes
    -----
    The result's bits depend on how the rows are cut into blocks; differently cut, it differs by rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from pillars.reduce import fold, moments, row_blocks
    >>> fold(moments(), row_blocks(np.arange(10.0)[:, None], 3)).variance
    array([9.16666667])
    """
    with single_threaded_blas():
        return reducer.finish(tree_reduce(runner(partial(_state_of, reducer.chunk), blocks), reducer.merge))


def _state_of(chunk: Callable[[Block], State], block: Block) -> State:
    """One block's state. Any runner may be an iterator in which StopIteration means that the blocks are through."""
    try:
        return chunk(block)
    except StopIteration as error:
        raise RuntimeError(
            "fold: reducer.chunk raised StopIteration, expected a state of the block. "
            "Give next() a default, or catch it in chunk."
        ) from error
