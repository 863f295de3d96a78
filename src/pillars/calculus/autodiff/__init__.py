"""The tracing array, and what differentiates with it: grad, value_and_grad, vjp, jacobian, hvp, hessian."""

from __future__ import annotations

from pillars.calculus.autodiff import _operations, functions  # noqa: F401 - they enter the rules, and the array type
from pillars.calculus.autodiff._aliasing import lending
from pillars.calculus.autodiff._arguments import (
    backend_of_arguments,
    numbers_of,
    outside,
    places_of,
    require_function,
    value_of,
)
from pillars.calculus.autodiff._backward import backward
from pillars.calculus.autodiff._grad import grad, value_and_grad, vjp
from pillars.calculus.autodiff._hessian import hessian
from pillars.calculus.autodiff._hvp import hvp
from pillars.calculus.autodiff._jacobian import jacobian
from pillars.calculus.autodiff._namespace import space_of
from pillars.calculus.autodiff._observe import Computed, layer_of, read
from pillars.calculus.autodiff._pullback import call
from pillars.calculus.autodiff._rule import RULES
from pillars.calculus.autodiff._tape import Node, Trace
from pillars.calculus.autodiff._traced_array import TracedArray
from pillars.calculus.autodiff.functions import along

__all__ = [
    "RULES",
    "Computed",
    "Node",
    "Trace",
    "TracedArray",
    "along",
    "backend_of_arguments",
    "backward",
    "call",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "layer_of",
    "lending",
    "numbers_of",
    "outside",
    "places_of",
    "read",
    "require_function",
    "space_of",
    "value_and_grad",
    "value_of",
    "vjp",
]
