"""Bodies of many ufuncs in blocks that stay in cache, the blocks spread over the thread pool.

A body of twenty ufuncs sends twenty temporaries through memory when it is given a large array whole. The same body on
65,536 elements at a time keeps them in a cache, and its blocks are independent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends._record import records
from pillars.backends._threads import pool_map

__all__ = ["contiguous", "erf"]

_SMALLEST = 2**17
_BLOCK = 2**16  # shorter ones have the threads wait for each other's turn in the interpreter
_SPAN = 2 * _BLOCK  # one task: long enough to be worth handing to another thread


def contiguous(x: Any, /) -> str | None:
    """Why not in blocks of the memory's order, if so."""
    flags = x.flags
    return None if flags.c_contiguous or flags.f_contiguous else "x is not contiguous"


def _in_blocks(name: str, x: Any) -> Any:
    body: Callable[..., Any] = np.errstate(all="ignore")(records()[name].body)
    y = np.empty_like(x)  # keeps Fortran order, so that both ravel to a view
    flat, out = x.ravel(order="K"), y.ravel(order="K")

    def span(start: int) -> None:
        for at in range(start, min(start + _SPAN, flat.size), _BLOCK):
            out[at : at + _BLOCK] = body(flat[at : at + _BLOCK])

    pool_map(span, range(0, flat.size, _SPAN))
    return y


@kernel(minimum_size=_SMALLEST, eligible=contiguous)
def erf(x: Any, /) -> Any:
    """erf, block by block."""
    return _in_blocks("probability.erf", x)
