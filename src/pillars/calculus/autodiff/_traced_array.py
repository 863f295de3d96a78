"""The tracing array: a value, and how it came about.

An operation on traced arrays computes its value at once, on the plain arrays inside, and notes a node that points to
the nodes of its operands. Nothing else holds nodes: a branch that the result does not use is freed like any object.

Traces nest. Each has a level; an operation belongs to the innermost trace among its operands, for which operands of
outer traces are constants whose values happen to be traced. Its rules then run on traced values, and are themselves
differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from pillars._errors import CapabilityError
from pillars.calculus.autodiff._aliasing import freeze
from pillars.calculus.autodiff._rule import RULES, Rule
from pillars.calculus.autodiff._tape import CALLER, IN_PLACE, ClosedWayOut, Node, Trace

__all__ = ["TracedArray", "apply", "apply_one", "apply_two", "escaped", "strip"]

_NO_OPTIONS: dict[str, Any] = {}


def strip(x: Any) -> Any:
    """The plain value inside, through every level."""
    while type(x) is TracedArray:
        x = x._value
    return x


def escaped(name: str) -> NoReturn:
    """Refuse a traced array whose trace has ended."""
    raise CapabilityError(
        f"{name}: got a traced array outside the call that traced it, expected it to be used inside alone. "
        "Return what you need from the differentiated function, or take pillars.calculus.vjp."
    )


def apply(rule: Rule, operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """The primitive's value, recorded in the innermost trace among its operands.

    At least one operand is traced. Operands have been admitted: they are arrays of one backend, or numbers.
    """
    trace: Trace | None = None
    for x in operands:
        if type(x) is TracedArray and (trace is None or x._trace.level > trace.level):
            trace = x._trace
    assert trace is not None
    if not trace.open:
        escaped(trace.name)
    values: list[Any] = []
    parents: list[Node | None] = []
    for x in operands:
        if type(x) is not TracedArray:
            values.append(x)
            parents.append(None)
        elif x._trace is trace or x._trace.level == 0:
            values.append(x._value)
            parents.append(x._node)
        else:
            trace.nested = True
            values.append(x)
            parents.append(None)
    space = trace.space
    if trace.nested and any(type(x) is TracedArray for x in values):
        # the same primitive, one level further out: what a rule computes with sees plain values alone
        y = apply(rule, tuple(values), options)
    else:
        y = rule.compute(space.base, values, options)
    kind = type(y)
    if kind is not space.array_type and kind is not TracedArray:
        y = space.base.asarray(y)
    if trace.reading is not None:
        trace.reading(rule.name, values, (y,), options)
    if not any(parents):
        return TracedArray(y, None, trace)
    kept: list[Any] = [y if rule.keep_y else None]
    keep = rule.keep * len(values) if rule.variadic else rule.keep
    for operand, value, wanted in zip(operands, values, keep, strict=True):
        # nobody else holds what is inside a traced array
        kept.append((value if type(operand) is TracedArray else freeze(trace, value)) if wanted else None)
    return TracedArray(y, Node(rule, tuple(parents), tuple(kept), options, y.shape, y.dtype), trace)


def apply_one(rule: Rule, a: TracedArray, options: dict[str, Any] = _NO_OPTIONS) -> Any:
    """:func:`apply` for one operand, written out: most of a trace is made of these."""
    trace, x, node = a._trace, a._value, a._node
    if not trace.open:
        escaped(trace.name)
    space = trace.space
    if type(x) is TracedArray:
        y = apply_one(rule, x, options)
    elif rule.infix is not None:
        y = rule.infix(x)
    else:
        base, forward = space.base, rule.forward
        y = getattr(base, rule.name)(x, **options) if forward is None else forward(base, x, **options)
    kind = type(y)
    if kind is not space.array_type and kind is not TracedArray:
        y = space.base.asarray(y)
    if trace.reading is not None:
        trace.reading(rule.name, (x,), (y,), options)
    if node is None:
        return TracedArray(y, None, trace)
    saved = (y if rule.keep_y else None, x if rule.keep[0] else None)
    return TracedArray(y, Node(rule, (node,), saved, options, y.shape, y.dtype), trace)


def apply_two(rule: Rule, a: Any, b: Any) -> Any:
    """:func:`apply` for two operands that broadcast, of which one is traced; operators come here.

    NotImplemented where the other operand is nothing to calculate with.
    """
    if type(a) is TracedArray:
        trace, up, x = a._trace, a._node, a._value
        if type(b) is TracedArray:
            if b._trace is not trace:
                return apply(rule, (a, b), _NO_OPTIONS)
            down, z = b._node, b._value
        elif type(b) in trace.space.known:
            down, z = None, b
        else:
            other = trace.space.admit(b, rule.name, a)
            return other if other is NotImplemented else apply(rule, (a, other), _NO_OPTIONS)
    else:
        trace, down, z = b._trace, b._node, b._value
        if type(a) not in trace.space.known:
            other = trace.space.admit(a, rule.name, b)
            return other if other is NotImplemented else apply(rule, (other, b), _NO_OPTIONS)
        up, x = None, a
    if not trace.open:
        escaped(trace.name)
    space = trace.space
    if type(x) is TracedArray or type(z) is TracedArray:
        y = apply(rule, (x, z), _NO_OPTIONS)
    else:
        y = (rule.infix or getattr(space.base, rule.name))(x, z)
    kind = type(y)
    if kind is not space.array_type and kind is not TracedArray:
        y = space.base.asarray(y)
    if trace.reading is not None:
        trace.reading(rule.name, (x, z), (y,), _NO_OPTIONS)
    if up is None and down is None:
        return TracedArray(y, None, trace)
    first, second = rule.keep
    saved = (
        y if rule.keep_y else None,
        (x if up is not None else freeze(trace, x)) if first else None,
        (z if down is not None else freeze(trace, z)) if second else None,
    )
    return TracedArray(y, Node(rule, (up, down), saved, _NO_OPTIONS, y.shape, y.dtype), trace)


def _operator(name: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """An operator and its reflection."""

    def forward(self: Any, other: Any) -> Any:
        return apply_two(RULES[name], self, other)

    def reflected(self: Any, other: Any) -> Any:
        return apply_two(RULES[name], other, self)

    return forward, reflected


def _constant(name: str) -> Callable[[Any, Any], Any]:
    """An operator whose result does not vary with its operands but in jumps: a plain array."""

    def operate(self: Any, other: Any) -> Any:
        return self._trace.space.constant(getattr(strip(self), name)(strip(other)))

    operate.__name__ = name
    return operate


def _method(name: str) -> Callable[..., Any]:
    """A method that is a function of the namespace."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        space = self._trace.space
        if options:
            args, options = space.as_method(name, args, options)
        return getattr(space, name)(self, *args, **options)

    method.__name__ = name
    method.__doc__ = f"``{name}`` of the namespace, of this array."
    return method


class _UfuncProtocol:
    """``__array_ufunc__``, which CuPy asks the instance for and NumPy the type.

    CuPy gives way to another class's operator only where it reads None there; NumPy's functions need the method.
    """

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return _ufunc
        return None if instance._trace.space.wraps else _ufunc.__get__(instance)


def _ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    traced = self if type(self) is TracedArray else next(x for x in inputs if type(x) is TracedArray)
    return traced._trace.space.from_ufunc(ufunc, method, inputs, options)


class TracedArray(ClosedWayOut):
    """An array of the differentiated function: use it as the plain array that it stands for.

    Comparisons give plain arrays, so branching on them works, and follows the branch of these values alone.
    """

    __slots__ = ("_node", "_trace", "_value")
    __array_priority__ = 1e6
    __array_ufunc__ = _UfuncProtocol()
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any, node: Node | None, trace: Trace) -> None:
        self._value = value
        self._node = node
        self._trace = trace

    # what it is
    shape = property(lambda self: tuple(self._value.shape))
    ndim = property(lambda self: self._value.ndim)
    size = property(lambda self: self._value.size)
    dtype = property(lambda self: self._value.dtype)
    device = property(lambda self: strip(self).device)
    itemsize = property(lambda self: strip(self).itemsize)
    nbytes = property(lambda self: strip(self).nbytes)
    real = property(lambda self: self._trace.space.real(self))
    imag = property(lambda self: self._trace.space.imag(self))
    T = property(lambda self: self._trace.space.transpose(self))
    mT = property(lambda self: self._trace.space.matrix_transpose(self))  # noqa: N815 - the standard's name

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a traced array without axes")
        return int(self.shape[0])

    def __bool__(self) -> bool:
        return bool(strip(self))

    def __repr__(self) -> str:
        return f"traced({strip(self)!r})"

    def __format__(self, spec: str) -> str:
        return f"traced({format(strip(self), spec)})" if spec else repr(self)  # to be read, not to be parsed

    # arithmetic
    __add__, __radd__ = _operator("add")
    __sub__, __rsub__ = _operator("subtract")
    __mul__, __rmul__ = _operator("multiply")
    __truediv__, __rtruediv__ = _operator("divide")
    __pow__, __rpow__ = _operator("pow")
    __mod__, __rmod__ = _operator("remainder")
    __lt__, __le__, __gt__, __ge__ = (_constant(f"__{name}__") for name in ("lt", "le", "gt", "ge"))
    __eq__, __ne__ = (_constant(f"__{name}__") for name in ("eq", "ne"))
    __floordiv__, __rfloordiv__ = _constant("__floordiv__"), _constant("__rfloordiv__")

    __and__, __rand__ = _constant("__and__"), _constant("__rand__")
    __or__, __ror__ = _constant("__or__"), _constant("__ror__")
    __xor__, __rxor__ = _constant("__xor__"), _constant("__rxor__")

    def __round__(self, digits: int | None = None) -> Any:
        return self._trace.space.round(self, digits or 0)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __invert__(self) -> Any:
        return self._trace.space.constant(~strip(self))

    def __neg__(self) -> Any:
        return apply_one(RULES["negative"], self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return apply_one(RULES["abs"], self)

    def __matmul__(self, other: Any) -> Any:
        return self._trace.space.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self._trace.space.matmul(other, self)

    def __getitem__(self, index: Any) -> Any:
        return self._trace.space.getitem(self, index)

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i, ...] for i in range(len(self))])

    # methods of the plain arrays
    sum, prod, mean, var, std = (_method(name) for name in ("sum", "prod", "mean", "var", "std"))
    max, min, cumsum, clip, round = (_method(name) for name in ("max", "min", "cumsum", "clip", "round"))
    any, all, argmax, argmin, argsort = (
        _method(name) for name in ("any", "all", "argmax", "argmin", "argsort")
    )
    cumprod, nonzero, searchsorted = (_method(name) for name in ("cumprod", "nonzero", "searchsorted"))
    ravel, flatten, squeeze, swapaxes = (_method(name) for name in ("ravel", "ravel", "squeeze", "swapaxes"))
    repeat, take, diagonal, trace = (_method(name) for name in ("repeat", "take", "diagonal", "trace"))
    dot, conj, astype = (_method(name) for name in ("dot", "conj", "astype"))

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        """The same numbers in another shape, which comes as a tuple or as several integers."""
        return self._trace.space.reshape(self, shape[0] if len(shape) == 1 else shape, order=order, copy=copy)

    def transpose(self, *axes: Any) -> Any:
        """Axes in another order, reversed without one."""
        order = axes[0] if len(axes) == 1 else axes or None
        return self._trace.space.transpose(self, order)

    def compress(self, condition: Any, axis: int | None = None) -> Any:
        """The slices along an axis where the condition holds."""
        return self._trace.space.compress(condition, self, axis=axis)

    def copy(self, *args: Any, **options: Any) -> Any:
        """The array itself: nothing can write to it."""
        return self

    __copy__ = __deepcopy__ = copy

    def __array_function__(self, func: Any, types: Any, args: Any, options: Any) -> Any:
        return self._trace.space.from_function(func, args, options)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return self._trace.space

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"traced array has no attribute {name!r}")
        space = self._trace.space
        if not hasattr(space.array_type, name):
            raise AttributeError(f"traced array has no attribute {name!r}")
        if name in IN_PLACE:
            raise CapabilityError(
                f"{CALLER.get()}: got the method {name}, which writes into the traced array, expected a new array: the "
                "old value may be needed by the gradient. Use the function of that name, where, concatenate or stack."
            )
        raise space.no_rule(f"the method {name}")
