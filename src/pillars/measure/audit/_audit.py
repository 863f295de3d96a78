"""The audit: every hand-derived gradient of the package, on every backend, by every method that applies."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pillars._errors import one_line
from pillars.backends import (
    Backend,
    Draw,
    Record,
    available,
    backend,
    dtype_kind,
    dtype_name,
    forward_and_pullback,
    namespace,
    records,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from pillars.calculus import CheckRow
from pillars.calculus.gradient_check import LONGEST, METHODS, Subject, check_subject
from pillars.measure._all_operations import rooms
from pillars.measure.audit._rules import GRAD, rule_checks
from pillars.measure.audit._special_points import SECOND, second_order
from pillars.measure.bench import AUDIT, AUDIT_UNITS, backend_states

__all__ = ["Audit", "AuditRow", "AuditState", "audit", "audit_operation", "run_audit"]

_DRAWS, _MOST = 2, 8  # JAX, where every draw is compiled anew, gets one


class AuditRow(NamedTuple):
    """One operation's gradient on one backend, by one method.

    Attributes
    ----------
    error, tolerance : the worst of all drawn inputs, as in :class:`pillars.calculus.CheckRow`; NaN where nothing
        applied.
    ok : None where the method does not apply, with the reason in `note`.
    """

    operation: str
    backend: str
    method: str
    error: float
    tolerance: float
    ok: bool | None
    note: str

    @property
    def traced(self) -> bool:
        """Whether it is a function that the tracing array differentiates, and no operation with a rule of its own."""
        return self.operation.startswith(f"{GRAD}.")


class AuditState(NamedTuple):
    """One backend asked for: in which dtype its gradients were audited, or why they were not.

    Attributes
    ----------
    dtype : the backend's default float; empty where it did not run.
    """

    name: str
    ran: bool
    version: str | None
    devices: tuple[str, ...]
    reason: str
    dtype: str


class Audit(NamedTuple):
    """Everything one run of `pillars audit` found."""

    schema: str
    units: Mapping[str, str]
    backends: tuple[AuditState, ...]
    rows: tuple[AuditRow, ...]


def run_audit(backends: Sequence[str] | None = None) -> Audit:
    """The audit with what it ran on; a backend that is not usable here is told with its reason.

    Parameters
    ----------
    backends : names; None: all that there are.

    Returns
    -------
    Audit.

    Raises
    ------
    BackendError : an unknown name, or none of the named ones usable.
    """
    states = tuple(
        AuditState(
            state.name,
            state.ran,
            state.version,
            state.devices,
            state.reason,
            dtype_name(backend(state.name).default_float) if state.ran else "",
        )
        for state in backend_states(backends)
    )
    return Audit(AUDIT, AUDIT_UNITS, states, tuple(audit([state.name for state in states if state.ran])))


def audit(backends: Sequence[str] | None = None) -> list[AuditRow]:
    """Check every hand-derived gradient of the package, and every rule of the tracing array.

    The first against autodiff of its body and three numerical methods, the rules against these three.

    Parameters
    ----------
    backends : names; None: all that are usable here. "strict" is audited where it is named.

    Returns
    -------
    list of AuditRow(operation, backend, method, error, tolerance, ok, note): four rows, one a method, for every
    operation and backend; then three for every function that :func:`pillars.grad` differentiates ("grad.exp"), on the
    backends whose gradients are its own. There both have one more, "second_order", the gradient of the gradient against
    its differences, and functions with points such as 0, ties or singular matrices "special_points": both derivatives
    there against their closed form, right or NaN. All floating arguments and all numbers (temperatures) are
    differentiated, at inputs from the operation's domain, in float64; on JAX without x64 in float32, as the note says.

    Raises
    ------
    BackendError : a name that is unknown, or a backend that is not usable here.

    Notes
    -----
    About half a second an operation on JAX, most of it compilation, and a tenth elsewhere. See
    :func:`pillars.calculus.check_gradient` for the methods.

    Examples
    --------
    >>> rows = audit(["numpy"])
    >>> all(row.ok is not False for row in rows), {row.method for row in rows if row.ok}
    (True, {...})
    """
    names = (
        [name for name, result in available().items() if result.usable]
        if backends is None
        else list(backends)
    )
    owners = [backend(name) for name in names]
    rooms()
    audited = [
        record
        for record in records().values()
        if record.rules.vjp is not None and record.body.__module__.startswith("pillars.")
    ]
    result = [row for record in audited for owner in owners for row in audit_operation(record, owner)]
    rules = [
        _worst(name, owner, method, rows)
        for owner in owners
        for name, checked in rule_checks(owner)
        for method, rows in checked.items()
    ]
    return result + sorted(rules, key=lambda row: row.operation)


def audit_operation(record: Record, owner: Backend) -> list[AuditRow]:
    """The four rows of one operation on one backend."""
    result: dict[str, list[CheckRow]] = {method: [] for method in METHODS}
    for seed in range(_MOST):
        if seed >= (1 if owner.name == "jax" else _DRAWS) and not any(map(_vague, result.values())):
            break
        try:
            rows = check_subject(subject_of(record, owner, seed)).rows
        except Exception as error:  # an operation that fails is a row that says so, not the end of the audit
            rows = tuple(
                CheckRow(method, math.inf, 0.0, False, one_line(error, LONGEST)) for method in METHODS
            )
        for row in rows:
            result[row.method].append(row)
    if not owner.differentiates:
        result[SECOND] = [_second_order(record, owner, seed) for seed in range(_DRAWS)]
    return [_worst(record.name, owner, method, rows) for method, rows in result.items()]


def _vague(rows: Sequence[CheckRow]) -> bool:
    """Whether it was for the points drawn that a method had no verdict: attention to a single key has no slope."""
    return all(row.ok is None for row in rows) and rows[-1].note.startswith("confirms nothing")


def _worst(name: str, owner: Backend, method: str, rows: Sequence[CheckRow]) -> AuditRow:
    failed = [row for row in rows if row.ok is False]
    judged = failed or [row for row in rows if row.ok]
    if not judged:
        return AuditRow(name, owner.name, method, math.nan, math.nan, None, rows[0].note)
    worst = max(judged, key=lambda row: row.error / row.tolerance if row.tolerance else math.inf)
    note = worst.note
    if dtype_name(owner.default_float) == "float32":
        note += "; float32: x64 is off"
    return AuditRow(name, owner.name, method, worst.error, worst.tolerance, worst.ok, note)


def _drawn(record: Record, owner: Backend, seed: int) -> tuple[list[Any], list[int]]:
    """A call from the operation's domain, and the places in it of the floating arrays and numbers."""
    call = record.domain(Draw(seed))  # type: ignore[misc]
    values = record.bind(call.args, call.options)
    places = []
    for parameter in record.differentiable:
        value = values[parameter.position]
        if value is None:
            continue
        floating = isinstance(value, float) or (
            hasattr(value, "dtype") and dtype_kind(value.dtype) == "float"
        )
        values[parameter.position] = owner.asarray(value, dtype=owner.default_float if floating else None)
        if floating:
            places.append(parameter.position)
    return values, places


def _second_order(record: Record, owner: Backend, seed: int) -> CheckRow:
    """The second derivative that the rule has, itself differentiated."""
    if record.name.startswith("random."):
        return CheckRow(
            SECOND, math.nan, math.nan, None, "draws are rounded to steps, which no difference sees"
        )
    values, places = _drawn(record, owner, seed)
    weights: list[Any] = []

    def total(*leaves: Any) -> Any:
        given = list(values)
        for place, leaf in zip(places, leaves, strict=True):
            given[place] = leaf
        positional, options = record.split(given)
        result = [
            y for y in tree_leaves(record.function(*positional, **options)) if dtype_kind(y.dtype) == "float"
        ]
        if not weights:
            rng = backend("numpy").xp.random.default_rng(seed)
            weights.extend(owner.asarray(rng.uniform(0.5, 1.5, tuple(y.shape))) for y in result)
        parts = [namespace(y).sum(y * w) for y, w in zip(result, weights, strict=True)]
        return functools.reduce(lambda a, b: a + b, parts)

    return second_order(total, [values[place] for place in places], seed)


def subject_of(record: Record, owner: Backend, seed: int) -> Subject:
    """The operation at inputs drawn from its domain: floating arrays and numbers are what is differentiated."""
    values, places = _drawn(record, owner, seed)
    others = [None if place in places else value for place, value in enumerate(values)]
    constants = {place: value for place, value in enumerate(others) if hasattr(value, "shape")}

    def fill(leaves: Sequence[Any], fixed: dict[int, Any] = constants) -> list[Any]:
        given = list(others)
        for place, leaf in zip(places, leaves, strict=True):
            given[place] = leaf
        for place, value in fixed.items():
            given[place] = value
        return given

    def body(leaves: Sequence[Any], fixed: dict[int, Any] = constants) -> Any:
        positional, options = record.split(fill(leaves, fixed))
        result = record.body(*positional, **options)
        shape[:] = [tree_flatten(result)[1]]
        return result

    shape: list[Any] = []  # of the result's tree: noted when the body runs, which it does before its gradient

    def by_hand(leaves: list[Any], cotangents: list[Any]) -> list[Any]:
        needs = record.needs(*[p.position in places for p in record.differentiable])
        _, pullback = forward_and_pullback(record, fill(leaves), needs)
        result = pullback(tree_unflatten(shape[0], cotangents))
        return [g for p, g in zip(record.differentiable, result, strict=True) if p.position in places]

    def total(leaves: list[Any], cotangents: list[Any], fixed: dict[int, Any]) -> Any:
        result = tree_leaves(body(leaves, fixed))
        parts = [namespace(y).sum(y * c) for y, c in zip(result, cotangents, strict=True)]
        return functools.reduce(lambda a, b: a + b, parts)

    derive = owner.grad(total)
    return Subject(
        owner,
        [values[place] for place in places],
        body,
        by_hand,
        lambda leaves, cotangents: list(derive(leaves, cotangents, constants)),
        seed=seed,
    )
