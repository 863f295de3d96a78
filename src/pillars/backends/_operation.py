"""The record behind every public numeric function: ``@operation`` and ``@procedure``.

The body of an operation is its specification: short, readable, pure Array API, no branching on values. Its checks,
derivatives, kernels and domain hang on the same record; tests, the gradient audit, the capability table and the
benchmark walk the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, cast

from pillars._errors import DTypeError, shown
from pillars._typing import Kind
from pillars.backends._call_arguments import backend_of_call, float_of, normalise
from pillars.backends._generic_call import run_generic
from pillars.backends._kernels import kernel_of, refusal
from pillars.backends._protocol import Backend
from pillars.backends._public_function import build, entry_key
from pillars.backends._record import Record, enlist
from pillars.backends._registry import adapter_of_type, backend_named

__all__ = [
    "Explanation",
    "Operation",
    "Procedure",
    "explain",
    "forced_kernels",
    "operation",
    "procedure",
    "reference_bodies",
]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

_modes: list[str] = []  # not empty while any thread is in another mode: sends every call to the slow path
_mode: ContextVar[str] = ContextVar("pillars_mode", default="auto")


class Procedure(Protocol[P, R_co]):
    """A public function that takes callables, iterators or pytrees."""

    __name__: str
    record: Record

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class Operation(Procedure[P, R_co], Protocol[P, R_co]):
    """A public numeric function, as a type checker sees it. At run time it is a plain function."""

    def reference(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The body, unjitted and without kernels, nested operations included."""
        ...

    def check(self, rule: F) -> F:
        """Register what must hold of shapes, dtypes and statics; runs first, on tracers too."""
        ...

    def check_values(self, rule: F) -> F:
        """Register what must hold of the numbers in host arrays; a device gets NaN instead."""
        ...

    def vjp(self, rule: F) -> F:
        """Register the hand-derived gradient: ``(g, y, *arrays, needs, **options) -> one cotangent a parameter``."""
        ...

    def forward(self, rule: F) -> F:
        """Register a body that also returns what the gradient wants kept: ``-> (y, residuals)``."""
        ...

    def jvp(self, rule: F) -> F:
        """Register the forward-mode derivative: ``(tangents, y, *arrays, **options) -> tangent of y``."""
        ...

    def flops(self, rule: F) -> F:
        """Register the count of floating operations: ``(*arrays, **options) -> Flops(value, gradient)``."""
        ...


def operation(
    *,
    domain: Callable[..., Any],
    half: str = "wide",
    jax_derivative: str = "body",
    kinks: bool = False,
    unsupported: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Operation[P, R]]:
    """Make a body the specification of a public operation.

    Parameters
    ----------
    domain : ``domain(draw) -> Call``: draws valid inputs for tests, audit and benchmarks.
    half : "wide" computes float16 and bfloat16 in float32 and rounds once; "native" leaves them to the body.
    jax_derivative : "body": JAX differentiates the body; "jvp", "vjp": it uses that rule.
    kinks : the function has points without a derivative (its domain draws away from them).
    unsupported : feature ("jit", "vmap", "grad", "float32", or on one backend alone "grad on numpy") -> why this
        function lacks it.
    """

    def decorate(body: Callable[P, R]) -> Operation[P, R]:
        record = Record(
            body,
            kind="operation",
            domain=domain,
            half=half,
            jax_derivative=jax_derivative,
            kinks=kinks,
            unsupported=unsupported,
        )
        function: Any = build(record, slow, _modes)
        record.function = function
        function.record = record
        function.reference = _reference(record)
        for rule in ("check", "check_values", "vjp", "forward", "jvp", "flops"):
            setattr(function, rule, _registrar(record, rule))
        enlist(record)
        return cast("Operation[P, R]", function)

    return decorate


def procedure(
    *, domain: Callable[..., Any] | None = None, unsupported: Mapping[str, str] | None = None
) -> Callable[[Callable[P, R]], Procedure[P, R]]:
    """Enlist a public function that takes callables, iterators or pytrees. It is returned as it is."""

    def decorate(body: Callable[P, R]) -> Procedure[P, R]:
        record = Record(body, kind="procedure", domain=domain, unsupported=unsupported)
        function = cast("Procedure[P, R]", body)
        function.record = record
        enlist(record)
        return function

    return decorate


def _registrar(record: Record, rule: str) -> Callable[[F], F]:
    def register(function: F) -> F:
        setattr(record.rules, rule, function)
        record.entries.clear()
        record.cache.clear()
        return function

    register.__name__ = rule
    return register


def _reference(record: Record) -> Callable[..., Any]:
    def reference(*args: Any, **options: Any) -> Any:
        with reference_bodies():
            return record.function(*args, **options)

    reference.__doc__ = (
        f"The body of {record.name}, unjitted and without kernels, nested operations included."
    )
    return reference


@contextmanager
def mode(name: str) -> Iterator[None]:
    """Run every operation of this context in another mode: "reference" or "forced"."""
    token = _mode.set(name)
    _modes.append(name)
    try:
        yield
    finally:
        _modes.remove(name)
        _mode.reset(token)


def forced_kernels() -> Any:
    """A context in which kernels run below their size threshold, for the contract suites."""
    return mode("forced")


def reference_bodies() -> Any:
    """A context in which every operation is its body: no kernel, no compilation, no hand-derived rule."""
    return mode("reference")


def current_mode() -> str:
    """The mode that operations run in here: "auto", "reference" or "forced"."""
    return _mode.get() if _modes else "auto"


def in_reference() -> bool:
    """Whether this context runs bodies alone, without kernels and hand-derived gradients."""
    return bool(_modes) and _mode.get() == "reference"


def slow(record: Record, given: tuple[Any, ...]) -> Any:
    """Every call that is not exactly of the expected types: adapters, lists, odd numbers, the first of its kind."""
    values = list(given)
    for parameter in record.statics:
        after = values[parameter.position]
        if parameter.kind is Kind.AFTER and callable(after):
            values[parameter.position] = None
            return after(slow(record, tuple(values)))
    for parameter in (*record.arrays, *record.numbers):
        adapter = adapter_of_type(type(values[parameter.position]))
        if adapter is not None:
            return adapter.call(record, values)
    backend = backend_of_call(record, values)
    values = normalise(record, values, backend)
    current = _mode.get()
    if current == "reference":
        return run_generic(backend, record, values, record.body)
    if current == "forced":
        return run_generic(backend, record, values, choose(backend, record, values, forced=True)[0])
    kinds = tuple(type(values[p.position]) for p in record.arrays)
    key = entry_key(record, values)
    entry = record.entries.get(key)
    if entry is None or _numbers_traced(record, values):
        entry = backend.entry(record, kinds, _numbers_traced(record, values))
        if not _numbers_traced(record, values):
            record.entries[key] = entry
    if backend.name == "numpy":
        _remember_integers(record, given, values, entry)
    return entry(*values)


def _remember_integers(
    record: Record, given: tuple[Any, ...], values: list[Any], entry: Callable[..., Any]
) -> None:
    """A plain integer where an array of integers may stand, a default above all, goes the hot path from now on."""
    raw = [type(given[p.position]) for p in record.arrays]
    places = [p.position for p, kind in zip(record.arrays, raw, strict=True) if kind is int]
    same = all(kind in (int, type(values[p.position])) for p, kind in zip(record.arrays, raw, strict=True))
    if not places or not same or any(record.parameters[place].kind is not Kind.ANY_ARRAY for place in places):
        return
    convert = backend_named("numpy").xp.asarray

    def with_integers(*unusual: Any) -> Any:
        usual = list(unusual)
        for place in places:
            usual[place] = convert(usual[place])
        return entry(*usual)

    record.entries[entry_key(record, list(given))] = with_integers


def _numbers_traced(record: Record, values: list[Any]) -> bool:
    return any(
        values[p.position] is not None and not isinstance(values[p.position], float) for p in record.numbers
    )


def choose(
    backend: Backend, record: Record, values: list[Any], *, forced: bool = False
) -> tuple[Callable[..., Any], str, str]:
    """What runs for these values: the function, its name, and why."""
    kernel = kernel_of(backend, record)
    if kernel is None:
        return record.body, "body", f"{backend.name} has no kernel for {record.name}"
    traced = any(backend.is_tracer(type(value)) for value in values)
    reason = refusal(record, kernel, values, forced=forced, traced=traced)
    name = _kernel_name(kernel)
    if reason is None:
        return kernel, name, "forced" if forced else "eligible and above its size threshold"
    served = kernel.otherwise is not None and not traced
    if served and (
        not hasattr(kernel.otherwise, "eligible")
        or refusal(record, kernel.otherwise, values, forced=forced, traced=traced) is None
    ):
        return kernel.otherwise, _kernel_name(kernel.otherwise), f"not {name}: {reason}"
    return record.body, "body", f"not {name}: {reason}"


def _kernel_name(kernel: Any) -> str:
    return f"{kernel.__module__.rpartition('backends.')[2]}:{kernel.__name__}"


class Explanation(NamedTuple):
    """Which implementation a call runs, why, and what else there is."""

    kernel: str
    reason: str
    alternatives: tuple[str, ...]

    def __str__(self) -> str:
        others = f"\nothers: {', '.join(self.alternatives)}" if self.alternatives else ""
        return f"{self.kernel}: {self.reason}{others}"


def explain(f: Any, /, *args: Any, **options: Any) -> Explanation:
    """Which kernel ``f(*args, **options)`` runs, and why; nothing is computed.

    Parameters
    ----------
    f : a public operation of pillars.

    Returns
    -------
    Explanation(kernel, reason, alternatives): kernel is "body" for the portable specification.

    Raises
    ------
    DTypeError : `f` is no operation. What the call itself raises of its arguments.

    Examples
    --------
    >>> import pillars
    >>> pillars.explain(pillars.softmax, [1.0, 2.0]).kernel
    'on_numpy.softmax:softmax_in_place'
    >>> print(pillars.explain(pillars.softmax, [1.0, 2.0]))
    on_numpy.softmax:softmax_in_place: not on_numpy.softmax:softmax: 2 elements are fewer than ...
    others: body, softmax
    """
    record = getattr(f, "record", None)
    if not isinstance(record, Record) or record.kind != "operation":
        raise DTypeError(
            f"explain: got {shown(f)}, expected an operation of pillars, such as pillars.softmax."
        )
    values = record.bind(args, options)
    for parameter in record.statics:  # a callable that is applied to the result decides nothing
        if parameter.kind is Kind.AFTER and callable(values[parameter.position]):
            values[parameter.position] = None
    for parameter in (*record.arrays, *record.numbers):
        if adapter_of_type(type(values[parameter.position])) is not None:
            rule = "its hand-derived gradient" if record.rules.vjp else "the body, traced"
            return Explanation(
                "traced", f"an argument is being differentiated: {rule} is recorded", ("body",)
            )
    backend = backend_of_call(record, values)
    values = normalise(record, values, backend)
    float_of(backend, record, values)  # which refuses dtypes
    record.run_check(values)
    if backend.host:
        record.run_check_values(values)
    _, name, reason = choose(backend, record, values)
    notes = backend.explain_entry(record, values)
    known = ["body"] + ([kernel_of(backend, record).__name__] if kernel_of(backend, record) else [])
    return Explanation(name, "; ".join([reason, *notes]), tuple(other for other in known if other != name))
