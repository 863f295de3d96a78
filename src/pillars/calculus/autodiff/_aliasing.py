"""Arrays that a differentiated function takes from outside: what may be kept as it is, and what must be copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pillars._errors import CapabilityError
from pillars.calculus.autodiff._tape import Trace

__all__ = ["freeze", "lending", "owner_of", "unchanged"]

_PLAIN = frozenset({float, int, bool, type(None)})
_lent: Counter[int] = Counter()  # owners of the arguments' memory, which nobody refills during the call


def owner_of(x: Any) -> Any:
    """What holds the memory that a view shows: an array, or an object with a buffer, such as bytes."""
    while (under := getattr(x, "obj" if isinstance(x, memoryview) else "base", None)) is not None:
        x = under
    return x


def _refillable(owner: Any) -> bool:
    """Whether somebody may write to this memory; yes where nothing is known of it."""
    flags = getattr(owner, "flags", None)
    if flags is not None:
        return bool(getattr(flags, "writeable", True))
    try:
        return not memoryview(owner).readonly
    except TypeError:
        return True


@contextmanager
def lending(arrays: Sequence[Any]) -> Iterator[None]:
    """While entered, read-only views of these arrays are taken as they are: their owners have lent them."""
    owners = [id(owner_of(x)) for x in arrays]
    _lent.update(owners)
    try:
        yield
    finally:
        for owner in owners:
            _lent[owner] -= 1
            if not _lent[owner]:
                del _lent[owner]


_SAMPLES = 32


def _sampled(x: Any) -> bytes:
    result: bytes = x.flat[:: x.size // _SAMPLES + 1].tobytes()
    return result


@contextmanager
def unchanged(name: str, arrays: Sequence[Any]) -> Iterator[None]:
    """While entered, nobody may refill these arrays, which are used without a copy: some numbers of each are compared.

    A few microseconds an array, whatever its size. A single number that changes may be missed; a refill is not.

    Raises
    ------
    CapabilityError : on leaving, where numbers have changed.
    """
    watched = [x for x in arrays if hasattr(type(x), "flags") and x.flags.writeable and x.size]
    before = [_sampled(x) for x in watched]
    yield
    for x, kept in zip(watched, before, strict=True):
        if _sampled(x) != kept:
            raise CapabilityError(
                f"{name}: got an argument of shape {tuple(x.shape)} whose memory changed during the call, expected it "
                "to stay: the gradient would be of a mixture of both. Hand over a copy, or refill it between calls."
            )


def freeze(trace: Trace, x: Any) -> Any:
    """A captured array as it is now: memory that its owner may refill is copied, read-only memory is not."""
    if type(x) in _PLAIN:
        return x
    flags = getattr(x, "flags", None)
    if not getattr(flags, "writeable", True):
        owner = owner_of(x)
        if not _refillable(owner) or id(owner) in _lent:
            return x
    if not hasattr(x, "shape") or (flags is None and type(x) is not trace.space.array_type):
        return x
    return trace.space.base.asarray(x, copy=True)
