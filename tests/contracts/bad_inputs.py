"""Whatever comes in: an error that names the function and what it expected, or the right answer.

Never an exception of somebody else's, a warning, a hang, or a changed input.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from contracts._bad_table import LAZY, REFUSED, Row, array_rows, number_rows, static_rows
from contracts._support import draw, invoke, leaves, not_applicable, place, public, reference
from contracts._tolerance import agree, conditioning
from contracts._variants import Variant, variant
from pillars._errors import BackendError, PillarsError
from pillars._typing import Kind
from pillars.backends import Record, dtype_kind, dtype_name

__all__ = ["RUNS_ON", "check", "check_mixed", "deadline"]

RUNS_ON = ("numpy", "strict", "jax")
_SECONDS = 20
_WORDS = ("expected", " takes ")  # "x has 784 features but weight takes 128": got and expected in one


def check(record: Record, where: Variant, seed: int) -> None:
    if not public(record):
        not_applicable("internal: the public functions around it say what they refuse")
    values = draw(record, seed)
    failures = []
    for position, row in _rows(record, values):
        if where.library != "numpy" and row.label not in LAZY:
            continue
        name = record.parameters[position].name
        try:
            with deadline(_SECONDS):
                _one(record, where, values, position, row)
        except AssertionError as error:
            failures.append(f"{record.body.__name__}({name}: {row.label}) on {where.id}: {error}")
    assert not failures, f"{len(failures)} rows, seed {seed}:\n" + "\n".join(failures)


def _rows(record: Record, values: list[Any]) -> Iterator[tuple[int, Row]]:
    for parameter in record.parameters:
        value = values[parameter.position]
        if parameter.is_array and value is not None:
            made = array_rows(parameter, value)
        elif parameter.kind is Kind.NUMBER and isinstance(value, float):
            made = number_rows(parameter, value)
        elif parameter.kind is Kind.STATIC:
            made = static_rows(parameter, value)
        else:
            continue
        for row in made:
            yield parameter.position, row


def _one(record: Record, where: Variant, values: list[Any], position: int, row: Row) -> None:
    given = place(record, values, where, where.default_float)
    given[position] = _placed(row, where)
    before = _fingerprint(given)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = leaves(invoke(record, given))
    except PillarsError as error:
        _helpful(record, error)
        _may_refuse(row, error, changed=_fingerprint(given) != before)
        return
    except Exception as error:
        raise AssertionError(f"raised {type(error).__name__}: {str(error).strip()[:200]}") from error
    assert _fingerprint(given) == before, "an input was changed"
    assert row.cleaned is not REFUSED, f"answered {str(outcome[0])[:80]}, though it is no such thing"
    _right(record, where, values, given, position, row, outcome)


def _placed(row: Row, where: Variant) -> Any:
    """The row's value in the variant's library, where it is an array; anything else as it is."""
    if not isinstance(row.value, np.ndarray) or where.library == "numpy":
        return row.value
    return where.asarray(row.value)


def _may_refuse(row: Row, error: PillarsError, *, changed: bool) -> None:
    assert not row.owed, f"refused ({error})"
    assert not changed, "an input was changed before it was refused"


def _helpful(record: Record, error: PillarsError) -> None:
    message = str(error)
    assert record.body.__name__ in message, f"the error does not name the function: {message}"
    assert any(word in message for word in _WORDS), f"the error does not say what was expected: {message}"


def _right(
    record: Record,
    where: Variant,
    values: list[Any],
    given: list[Any],
    position: int,
    row: Row,
    outcome: list[Any],
) -> None:
    cleaned = list(values)
    cleaned[position] = row.cleaned
    got = [where.to_numpy(y) for y in outcome]

    def body(inputs: list[Any]) -> list[Any]:
        return leaves(reference(record, inputs))

    try:
        truth = body(cleaned)
    except PillarsError as error:
        _may_be_silent(where, got, error)
        return
    arrays = [given[p.position] for p in record.arrays]
    kappas = (
        conditioning(body, cleaned)
        if any(dtype_kind(np.asarray(y).dtype) == "float" for y in truth)
        else [0.0] * 9
    )
    size = sum(np.size(cleaned[p.position]) for p in record.arrays if cleaned[p.position] is not None)
    for y, expected, kappa in zip(got, truth, kappas, strict=False):
        dtype = _coarsest(arrays, y)
        agree(
            y, expected, dtype=dtype, size=size, kappa=kappa, what="another answer than the body in float64"
        )


def _may_be_silent(where: Variant, got: list[Any], error: PillarsError) -> None:
    """The numbers in device arrays cannot be looked at: there the answer is NaN, or a class that is none."""
    silent = where.library != "numpy" and any(_nonsense(y) for y in got)
    assert silent, f"answered {str(got[0])[:80]}, where NumPy's float64 is refused: {error}"


def _coarsest(arrays: list[Any], y: Any) -> str:
    """The fewest digits among what went in and what came out: float32 beside float64 is still float32."""
    names = [dtype_name(x.dtype) for x in (*arrays, y) if hasattr(x, "dtype")]
    return next((name for name in ("float16", "float32") if name in names), "float64")


def _nonsense(y: Any) -> bool:
    return dtype_kind(y.dtype) == "integer" or (dtype_kind(y.dtype) == "float" and not np.isfinite(y).all())


def _fingerprint(values: list[Any]) -> list[Any]:
    """What an input looks like: bytes of arrays, words of the rest."""
    return [
        (value.tobytes(), value.shape, value.strides, str(value.dtype))
        if isinstance(value, np.ndarray) and value.dtype != object
        else repr(value)
        for value in values
    ]


def check_mixed(record: Record, where: Variant, seed: int) -> None:
    """Arrays of two libraries, or of two devices: an error that names both."""
    values = draw(record, seed)
    given = [p for p in record.arrays if values[p.position] is not None]
    if len(given) < 2:
        not_applicable("one array alone cannot be of two libraries")
    pairs = {
        "strict": (where, variant("strict-device1"), ("CPU_DEVICE", "device1")),
        "numpy": (where, variant("strict"), ("numpy", "strict")),
        "jax": (where, variant("numpy"), ("jax", "numpy")),
    }
    one, other, names = pairs[where.library]
    dtype = where.default_float
    for odd in given:
        mixed = place(record, values, one, dtype)
        mixed[odd.position] = place(record, values, other, dtype)[odd.position]
        what = f"{record.name} with {odd.name} of {other.id} beside {one.id}"
        try:
            invoke(record, mixed)
        except BackendError as error:
            _names_both(what, names, error)
            _helpful(record, error)
        except Exception as error:
            raise AssertionError(f"{what}: raised {type(error).__name__}: {error}") from error
        else:
            raise AssertionError(f"{what}: went through")


def _names_both(what: str, names: tuple[str, str], error: BackendError) -> None:
    assert all(name in str(error) for name in names), f"{what}: the error does not name both: {error}"


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Fail what hangs, where the system can interrupt it."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: Any) -> None:
        raise AssertionError(f"still running after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
