"""What a trace consists of: the trace itself, its nodes, and the refusal to let numbers out of it."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from pillars._errors import CapabilityError

__all__ = ["CALLER", "IN_PLACE", "OBSERVER", "ClosedWayOut", "Node", "Trace", "next_number"]

IN_PLACE = frozenset(
    {"byteswap", "fill", "itemset", "partition", "put", "resize", "setfield", "setflags", "sort"}
)

next_number = itertools.count(1).__next__
_next_level = itertools.count(1).__next__


# who watches the backward walks of this context, because it reads a trace: see calculus/autodiff/_observe.py
OBSERVER: ContextVar[Any] = ContextVar("OBSERVER", default=None)

# the public function that traces in this context: errors begin with its name
CALLER: ContextVar[str] = ContextVar("CALLER", default="grad")


class Trace:
    """One differentiation: everything whose derivative is taken together.

    Attributes
    ----------
    name : of the public function that traces, as errors begin.
    level : larger than that of every trace that was open when this one began; 0 for constants.
    space : the traced namespace of its backend.
    nested : whether a value inside has turned out to be traced by an outer trace.
    open : whether the differentiated function is still running.
    reading : who is told of every operation, ``(name, operands, results, options, record) -> None``; None: nobody.
    """

    __slots__ = ("level", "name", "nested", "open", "reading", "space")

    def __init__(self, space: Any, name: str = "grad", level: int | None = None) -> None:
        self.name = name
        self.level = _next_level() if level is None else level
        self.space = space
        self.nested = False
        self.open = True
        self.reading: Callable[..., None] | None = None


class Node:
    """How one value came about: the rule, the operands' nodes, and what the rule wants kept."""

    __slots__ = ("dtype", "number", "options", "parents", "rule", "saved", "shape")

    def __init__(
        self,
        rule: Any,
        parents: tuple[Node | None, ...],
        saved: Any,
        options: dict[str, Any],
        shape: Any,
        dtype: Any,
    ) -> None:
        self.number = next_number()  # parents have smaller numbers: descending is a topological order
        self.rule = rule
        self.parents = parents
        self.saved = saved
        self.options = options
        self.shape = shape
        self.dtype = dtype


def _leaving(x: Any, what: str) -> Any:
    """The plain value of a constant; of what has a gradient, the reason why not."""
    if x._trace.level == 0:
        return x._value
    raise CapabilityError(
        f"{CALLER.get()}: got {what} of a traced array, expected array functions of it: a plain number there would "
        "lose the gradient in silence. Keep it an array; return it, or compute it outside the differentiated function."
    )


class ClosedWayOut:
    """What makes plain numbers of an array, refused with the reason.

    Constants of a library whose arrays need wrapping may leave.
    """

    __slots__ = ()

    def __float__(self) -> float:
        return float(_leaving(self, "a float"))

    def __int__(self) -> int:
        return int(_leaving(self, "an int"))

    def __complex__(self) -> complex:
        return complex(_leaving(self, "a complex number"))

    def __index__(self) -> int:
        return operator.index(_leaving(self, "an index"))

    def item(self, *args: Any) -> Any:
        """Refused: a Python number has no gradient."""
        return _leaving(self, "item()").item(*args)

    def tolist(self) -> Any:
        """Refused: Python numbers have no gradient."""
        return _leaving(self, "tolist()").tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise CapabilityError(
            f"{CALLER.get()}: got a traced array where a plain one is made of it (np.array of a list, np.r_, np.c_, "
            "np.full, ndarray.dot, assignment, a masked or sparse array beside it), expected array functions of it. "
            "Instead of np.array([a, b]) write np.stack([a, b]), of np.array([[a, b], [c, d]]) np.block([[a, b], [c, "
            "d]]), of np.r_[a, b] np.hstack([a, b]), of np.c_[a, b] np.column_stack([a, b]), of np.full(shape, a) "
            "np.broadcast_to(a, shape), of np.sum([a, b]) np.sum(np.stack([a, b])), of x.dot(y) x @ y; build "
            "the result instead of assigning into it, fill what is masked, and convert a data frame beside it with "
            "pillars.asarray(frame)."
        )

    @property
    def __jax_array__(self) -> Any:
        # JAX asks whether there is such a method before anything else: the answer is the reason
        raise CapabilityError(
            f"{CALLER.get()}: got a function of jax.numpy on traced arrays of another library, expected functions of "
            "that library: NumPy's, or xp = pillars.backend(x).xp. To differentiate by JAX start from its arrays: "
            'pillars.move(params, "jax").'
        )

    def __reduce__(self) -> Any:
        raise CapabilityError(
            f"{CALLER.get()}: got a traced array to pickle (or to send to a process), expected plain arrays: its "
            "gradient would end there. Return it from the differentiated function first."
        )

    def __dlpack__(self, **options: Any) -> Any:
        return _leaving(self, "the memory").__dlpack__(**options)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise CapabilityError(
            f"{CALLER.get()}: got an assignment into a traced array, expected a new array: the old value may be needed "
            "by the gradient. Use where(condition, new, old), concatenate or stack."
        )
