"""The traced namespace: the Array API of one backend, for traced and plain arrays alike.

Bodies written against the standard run on it; NumPy's own functions and ufuncs arrive here by NumPy's protocols. What
has no rule is refused by name; what varies in jumps (comparisons, argmax, floor) is a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars._errors import BackendError, CapabilityError, DTypeError
from pillars.backends import backend as backend_named, dtype_kind
from pillars.calculus.autodiff._aliasing import freeze
from pillars.calculus.autodiff._dispatch import (
    ACCUMULATIONS,
    CONSTANTS,
    INSTEAD,
    OTHERWISE,
    REDUCTIONS,
    UFUNC_NAMES,
    Part,
    attribute,
)
from pillars.calculus.autodiff._keywords import as_called
from pillars.calculus.autodiff._rule import RULES
from pillars.calculus.autodiff._tape import CALLER, Trace
from pillars.calculus.autodiff._traced_array import TracedArray, apply, apply_one, strip
from pillars.calculus.autodiff.functions import FOURIER, FUNCTIONS, LINALG, special_rule

__all__ = ["TracedNamespace", "space_of"]


class TracedNamespace:
    """One backend's namespace, traced. Attributes that are no functions (dtypes, pi) are the backend's own.

    Attributes
    ----------
    base : the backend's own namespace.
    root : the backend.
    array_type : the type of its arrays.
    wraps : whether its arrays refuse a stranger beside them, so that plain results are wrapped as constants.
    known : types of operands that need no second look.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self.base = root.xp
        self.array_type = root.array_type
        self.wraps = root.name != "numpy"
        self.known: set[type] = {float, int, bool, root.array_type}
        self.constants = Trace(self, level=0)
        self.linalg = Part(self, "linalg", LINALG)
        self.fft = Part(self, "fft", FOURIER)
        self.ufuncs: dict[Any, Callable[..., Any]] = {}
        self.traced_backend: Any = None  # its Backend object, made when first asked for
        self.float64, self.float32 = self.base.float64, self.base.float32

    def __getattr__(self, name: str) -> Any:
        result = attribute(self, self.base, name, FUNCTIONS)
        setattr(self, name, result)
        return result

    def __repr__(self) -> str:
        return f"<traced namespace of {self.root.name}>"

    # what the functions need
    def constant(self, y: Any) -> Any:
        """A plain result, in the form that works beside traced arrays."""
        if self.wraps and type(y) is self.array_type:
            return TracedArray(y, None, self.constants)
        return tuple(self.constant(one) for one in y) if self.wraps and isinstance(y, tuple) else y

    def admit(self, x: Any, name: str, beside: Any = None) -> Any:
        """A plain operand of a type not seen so far: as it is, converted (to the device of `beside`), or refused."""
        if x is None or isinstance(x, (str, bytes)):
            return NotImplemented
        if isinstance(x, complex) or self.root.owns(type(x)) or self.root.is_scalar(x):
            self.known.add(type(x))
            return x
        if backend_named("numpy").is_scalar(x):  # such as np.sqrt(2.0), beside arrays of another library
            return self.constant(self.root.asarray(x, device=getattr(beside, "device", None)))
        if isinstance(x, (list, tuple)):
            if any(type(one) is TracedArray for one in x):
                return self.stack([self.operand(one, name) for one in x])
            return self.constant(self.root.asarray(x))
        self.no_subclass(x, name)
        if hasattr(x, "shape") and hasattr(x, "dtype"):
            raise BackendError(
                f"{name}: got a {type(x).__module__.split('.')[0]} array beside a traced {self.root.name} one, "
                "expected one library. Convert one of them with pillars.move, outside the differentiated function."
            )
        return NotImplemented

    def operand(self, x: Any, name: str) -> Any:
        """A function's operand: traced, an array, or a number."""
        if type(x) is TracedArray or type(x) in self.known:
            return x
        result = self.admit(x, name)
        if result is NotImplemented:
            raise DTypeError(
                f"{name}: got a {type(x).__name__} beside a traced array, expected an array or a number."
            )
        return result

    def frozen(self, x: Any, *beside: Any) -> Any:
        """A plain array that a rule keeps: a condition, or indices."""
        if type(x) is TracedArray:
            return strip(x)
        self.no_subclass(x, CALLER.get())
        if not hasattr(x, "dtype"):
            whole = {"dtype": self.base.int64} if isinstance(x, (list, tuple)) and not x else {}
            return self.root.asarray(x, **whole)
        trace = next((other._trace for other in beside if type(other) is TracedArray), self.constants)
        return freeze(trace, x)

    def no_subclass(self, x: Any, name: str) -> None:
        """Refuse arrays in which arithmetic means something else."""
        if self.root.is_masked(x):
            raise DTypeError(
                f"{name}: got a masked array beside a traced one, expected a plain array. Fill it, or drop those rows."
            )
        if isinstance(x, self.array_type) and not self.root.owns(type(x)):
            raise DTypeError(
                f"{name}: got a {type(x).__name__} beside a traced array, expected a plain array: the subclass changes "
                "what arithmetic means. Convert it with asarray."
            )

    def floating(self, dtype: Any) -> bool:
        """Whether numbers of this dtype have derivatives."""
        return dtype_kind(dtype) in ("float", "half", "complex")

    def floats(self, dtype: Any) -> bool:
        """:meth:`floating` of a dtype by any of its names; what is of another is a constant."""
        return self.floating(getattr(self.base.empty((0,), dtype=dtype), "dtype", dtype))

    def counts(self, dtype: Any) -> bool:
        """Whether the dtype is an integer one."""
        return dtype_kind(dtype) == "integer"

    def no_out(self, out: Any) -> None:
        """Refuse to write into an array."""
        if out is not None:
            raise CapabilityError(
                f"{CALLER.get()}: got an in-place operation (out=, or a += traced into a plain array), expected a new "
                "array: a plain array cannot hold a gradient. Write a = a + b."
            )

    def no_rule(self, what: str) -> CapabilityError:
        """The error for what cannot be differentiated."""
        instead = INSTEAD.get(what.rsplit(".", 1)[-1].rsplit(" ", 1)[-1], OTHERWISE)
        return CapabilityError(
            f"{CALLER.get()}: got {what} of a traced array, which has no derivative rule, expected a function that has "
            "one: operators, indexing, the elementwise functions, reductions, products, linalg, and what orders, "
            "reshapes, joins and picks. " + instead
        )

    # creation and inspection, which differ from the backend's on traced arrays
    def asarray(self, obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
        """An array as it is, or in another dtype; a list of traced numbers is stacked."""
        if type(obj) is TracedArray:
            return obj if dtype is None else self.astype(obj, dtype)
        if isinstance(obj, (list, tuple)) and any(type(one) is TracedArray for one in obj):
            y = self.stack([self.operand(one, "asarray") for one in obj])
            return y if dtype is None else self.astype(y, dtype)
        return self.constant(self.base.asarray(obj, dtype=dtype, device=device, copy=copy))

    # how rules and NumPy's protocols get here
    def apply_rule(self, rule: Any, operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A primitive, recorded if an operand is traced."""
        if any(type(x) is TracedArray for x in operands):
            return apply(rule, operands, options)
        return self.constant(rule.forward(self.base, *operands, **options))

    def from_ufunc(self, ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """NumPy's ``__array_ufunc__``."""
        if method == "__call__" and not options:
            direct = self.ufuncs.get(ufunc)
            if direct is None:
                direct = self.ufuncs[ufunc] = self._ufunc(ufunc)
            return direct(*inputs)
        name = UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__)
        if options:
            options = dict(options)
            self.no_out(options.pop("out", None))
            for harmless in ("casting", "order", "subok"):
                options.pop(harmless, None)
            if options.get("where") is True:
                del options["where"]
        if method == "__call__":
            dtype = options.pop("dtype", None) if options else None
            if name not in FUNCTIONS and name not in CONSTANTS:
                raise self.no_rule(name)
            y = getattr(self, name)(*inputs, **options)
            return y if dtype is None else self.astype(y, dtype)
        if method in ("reduce", "accumulate"):
            options.setdefault("axis", 0)
        if method == "reduce" and name in REDUCTIONS:
            return getattr(self, REDUCTIONS[name])(*inputs, **options)
        if method == "accumulate" and name in ACCUMULATIONS:
            return getattr(self, ACCUMULATIONS[name])(*inputs, **options)
        if method == "outer" and name in FUNCTIONS:
            a, b = (self.asarray(x) for x in inputs)
            return getattr(self, name)(self.reshape(a, (*a.shape, *(1,) * b.ndim)), b, **options)
        raise self.no_rule(f"{ufunc.__name__}.{method}")

    def _ufunc(self, ufunc: Any) -> Callable[..., Any]:
        name = UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__)
        rule = RULES.get(name)
        if rule is not None and rule.elementwise and len(rule.pulls) == 1 and name != "square":
            return lambda x: apply_one(rule, x)
        special = special_rule(ufunc, self.no_rule)
        if special is not None:
            return lambda *operands: apply(special, tuple(self.operand(x, name) for x in operands), {})
        if name not in FUNCTIONS and name not in CONSTANTS:
            raise self.no_rule(name)
        result: Callable[..., Any] = getattr(self, name)
        return result

    def from_function(self, func: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """NumPy's ``__array_function__``."""
        name = func.__name__
        part = func.__module__
        if part not in _PARTS:
            raise self.no_rule(f"{part}.{name}")
        inner, table = _PARTS[part]
        own = table.get(name)
        if own is not None:
            args, options = as_called(own, func, args, options)
        return getattr(getattr(self, inner) if inner else self, name)(*args, **options)

    def as_method(
        self, name: str, args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a method, which NumPy calls what it calls those of its function of that name."""
        own, theirs = FUNCTIONS.get(name), getattr(backend_named("numpy").xp, name, None)
        if own is None or theirs is None:
            return args, options
        args, options = as_called(own, theirs, (None, *args), options)
        return args[1:], options


_PARTS = {"numpy": ("", FUNCTIONS), "numpy.linalg": ("linalg", LINALG), "numpy.fft": ("fft", FOURIER)}
_spaces: dict[str, TracedNamespace] = {}


def space_of(root: Any) -> TracedNamespace:
    """The traced namespace of a backend."""
    result = _spaces.get(root.name)
    if result is None:
        result = _spaces[root.name] = TracedNamespace(backend_named(root.name))
    return result
