"""How a backend multiplies float32 matrices: found by multiplying, since settings say only what was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from pillars.backends import backend as backend_of
from pillars.layers import linear

__all__ = ["DOUBLE", "SINGLE", "Precision", "doubled", "product_precision", "product_unit", "unit_of"]

SINGLE, DOUBLE = 2.0**-24, 2.0**-53  # unit roundoffs


def unit_of(dtype: str) -> float:
    """The unit roundoff of float32 or float64."""
    return DOUBLE if dtype == "float64" else SINGLE


def product_unit(name: str, dtype: str) -> float:
    """What a backend's matrix products round their inputs to: no library shortens float64."""
    return DOUBLE if dtype == "float64" else product_precision(name).unit


class Precision(NamedTuple):
    """The format that matrix products round their inputs to, and its unit roundoff."""

    name: str
    unit: float


_FORMATS = (Precision("float32", SINGLE), Precision("tf32", 2.0**-11), Precision("bfloat16", 2.0**-8))


def product_precision(name: str) -> Precision:
    """Multiply 1 + 2⁻¹², then 1 + 2⁻⁹, by the identity: float32 keeps both, TF32 the second, bfloat16 neither.

    The product goes through ``linear``, so that pillars' own policy is what is found; 256 x 256, since small products
    may take another path than large ones.
    """
    backend, host = backend_of(name), backend_of("numpy").xp
    single = backend.xp.float32
    identity = backend.asarray(host.eye(256), dtype=single)
    for precision, bit in zip(_FORMATS, (2.0**-12, 2.0**-9), strict=False):
        entry = 1.0 + bit
        product = linear(backend.asarray(host.full((256, 256), entry), dtype=single), identity)
        if float(product[0, 0]) == entry:
            return precision
    return _FORMATS[-1]


@contextmanager
def doubled(names: Sequence[str], dtype: str) -> Iterator[None]:
    """A context in which all these backends have the dtype: on JAX, x64 is on for float64 alone."""
    with ExitStack() as stack:
        for name in names:
            if dtype == "float64":
                stack.enter_context(backend_of(name).double())
        yield
