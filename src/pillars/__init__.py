"""pillars: the mathematics under machine learning, on NumPy, CuPy or JAX.

Everything here is loaded when it is first used: ``import pillars`` imports no array library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pillars._version import __version__

if TYPE_CHECKING:
    from pillars import (
        algorithms,
        backends,
        calculus,
        cli,
        diagnosis,
        layers,
        linalg,
        measure,
        probability,
        random,
        reduce,
        report,
        statistics,
    )
    from pillars._errors import (
        BackendError,
        CapabilityError,
        CheckpointError,
        DTypeError,
        PillarsError,
        ShapeError,
    )
    from pillars.algorithms import attention
    from pillars.backends import asarray, available, backend, explain, move, use, using
    from pillars.calculus import grad, gradient_descent, value_and_grad
    from pillars.layers import linear
    from pillars.linalg import pca
    from pillars.measure import audit
    from pillars.probability import softmax

_HOMES = {
    "attention": "algorithms",
    "asarray": "backends",
    "available": "backends",
    "backend": "backends",
    "explain": "backends",
    "move": "backends",
    "use": "backends",
    "using": "backends",
    "grad": "calculus",
    "gradient_descent": "calculus",
    "value_and_grad": "calculus",
    "linear": "layers",
    "pca": "linalg",
    "audit": "measure",
    "softmax": "probability",
    "BackendError": "_errors",
    "CapabilityError": "_errors",
    "CheckpointError": "_errors",
    "DTypeError": "_errors",
    "PillarsError": "_errors",
    "ShapeError": "_errors",
}
_ROOMS = (
    "algorithms",
    "backends",
    "calculus",
    "cli",
    "diagnosis",
    "layers",
    "linalg",
    "measure",
    "probability",
    "random",
    "reduce",
    "report",
    "statistics",
)

__all__ = [
    "BackendError",
    "CapabilityError",
    "CheckpointError",
    "DTypeError",
    "PillarsError",
    "ShapeError",
    "__version__",
    "algorithms",
    "asarray",
    "attention",
    "audit",
    "available",
    "backend",
    "backends",
    "calculus",
    "cli",
    "diagnosis",
    "explain",
    "grad",
    "gradient_descent",
    "layers",
    "linalg",
    "linear",
    "measure",
    "move",
    "pca",
    "probability",
    "random",
    "reduce",
    "report",
    "softmax",
    "statistics",
    "use",
    "using",
    "value_and_grad",
]


if not TYPE_CHECKING:  # a type checker knows the names above, and no others

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            found = getattr(importlib.import_module(f"pillars.{_HOMES[name]}"), name)
        elif name in _ROOMS:
            found = importlib.import_module(f"pillars.{name}")
        else:
            raise AttributeError(f"module 'pillars' has no attribute {name!r}{_elsewhere(name)}")
        globals()[name] = found
        return found


def _elsewhere(name: str, room: str = "") -> str:
    """Where a name lives that is not in this room, or at the front door: the words after the error's."""
    if name.startswith("_"):
        return ""
    import difflib

    entered = [one for one in _ROOMS if one not in ("cli", "report")]
    rooms = {one: importlib.import_module(f"pillars.{one}").__all__ for one in entered}
    for elsewhere, names in rooms.items():
        if name in names:
            return f": it is pillars.{elsewhere}.{name}"
    own = {one.lower(): f"{room}.{one}" for one in rooms.get(room, ())}
    known = {one.lower(): f"{elsewhere}.{one}" for elsewhere, names in rooms.items() for one in names}
    known |= {one.lower(): one for one in __all__}
    low = name.lower()
    near = [one[low] for one in (own, known) if low in one][:1]
    if not near:
        # a small letter asks for a function
        alike = [one for one in rooms.get(room, ()) if one[0].isupper() == name[0].isupper()]
        near = [f"{room}.{one}" for one in difflib.get_close_matches(name, alike, n=3)]
    near = near or [known[one] for one in difflib.get_close_matches(low, known, n=1)]
    return f": did you mean {' or '.join(f'pillars.{one}' for one in near)}?" if near else ""


def __dir__() -> list[str]:
    return __all__
