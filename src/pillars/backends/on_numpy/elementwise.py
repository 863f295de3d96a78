"""Elementwise bodies in blocks that stay in cache, the blocks spread over the thread pool.

A body of twenty ufuncs sends twenty temporaries through memory when it is given a large array whole. The same body on
16,384 elements at a time keeps them in the second-level cache, and its blocks are independent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pillars.backends._kernels import kernel
from pillars.backends._record import records
from pillars.backends._threads import pool_map

__all__ = ["erf", "gelu", "ndtr", "silu"]

_BLOCK = 16384
_LARGE = 1 << 20  # a body of few ufuncs gains only where its temporaries leave the last-level cache
_SPAN = 8 * _BLOCK  # one task: long enough to be worth handing to another thread


def _contiguous(x: Any, /, **options: Any) -> str | None:
    flags = x.flags
    return None if flags.c_contiguous or flags.f_contiguous else "x is not contiguous"


def _in_blocks(name: str, x: Any, options: dict[str, Any]) -> Any:
    body: Callable[..., Any] = np.errstate(all="ignore")(records()[name].body)
    y = np.empty_like(x)  # keeps Fortran order, so that both ravel to a view
    flat, out = x.ravel(order="K"), y.ravel(order="K")

    def span(start: int) -> None:
        for at in range(start, min(start + _SPAN, flat.size), _BLOCK):
            out[at : at + _BLOCK] = body(flat[at : at + _BLOCK], **options)

    pool_map(span, range(0, flat.size, _SPAN))
    return y


@kernel(minimum_size=_SPAN, eligible=_contiguous)
def erf(x: Any, /) -> Any:
    """erf, block by block."""
    return _in_blocks("probability.erf", x, {})


@kernel(minimum_size=_SPAN, eligible=_contiguous)
def ndtr(x: Any, /) -> Any:
    """ndtr, block by block."""
    return _in_blocks("probability.ndtr", x, {})


def _by_tanh(x: Any, /, *, approximate: bool) -> str | None:
    return _contiguous(x) if approximate else "the exact form's time is in ndtr, which has a kernel"


@kernel(minimum_size=1 << 18, eligible=_by_tanh)
def gelu(x: Any, /, *, approximate: bool) -> Any:
    """gelu, block by block."""
    return _in_blocks("layers.gelu", x, {"approximate": approximate})


@kernel(minimum_size=_LARGE, eligible=_contiguous)
def silu(x: Any, /) -> Any:
    """silu, block by block."""
    return _in_blocks("layers.silu", x, {})
