"""What comes in: which library a call belongs to, what is converted, what is promoted, what is refused.

This is the unusual path. A call whose arrays and options are exactly of the expected types never comes here.
"""

from __future__ import annotations

from typing import Any

from pillars._errors import BackendError, DTypeError, ShapeError, shown
from pillars._typing import Kind
from pillars.backends._context import backend as find_backend, chosen
from pillars.backends._dtypes import common_dtype, dtype_kind, dtype_name, dtype_range
from pillars.backends._host_numbers import plain_bool, plain_float, plain_int
from pillars.backends._protocol import Backend
from pillars.backends._record import Parameter, Record
from pillars.backends._registry import adapter_of_type, backend_named, backend_of_type, type_name

_DEEPEST = 64  # the axes that a NumPy array can have

__all__ = [
    "array_inside",
    "backend_of_call",
    "common_backend",
    "compute_dtype",
    "float_of",
    "normalise",
    "promote",
]

_ADVICE = (
    "Pass an array of NumPy, CuPy or JAX, or a list; pillars.asarray converts others (DLPack, data frames)."
)


def _where(record: Record, parameter: Parameter) -> str:
    return f"{record.body.__name__}: {parameter.name}"


def backend_of_call(record: Record, values: list[Any]) -> Backend:
    """The backend that a call's arrays (and traced numbers) belong to, else the chosen one.

    Raises
    ------
    BackendError : arrays of two libraries. Inside a JAX trace NumPy arrays are constants, as JAX users expect.
    """
    result: list[tuple[str, Backend, type]] = []
    for parameter in (*record.arrays, *record.numbers):
        kind = type(values[parameter.position])
        owner = backend_of_type(kind)
        if owner is None or (parameter.kind is Kind.NUMBER and owner.name == "numpy"):
            continue
        result.append((parameter.name, owner, kind))
    if not result:
        return backend_named(chosen().backend)
    return _agreed(record.body.__name__, result)


def common_backend(where: str, /, **arrays: Any) -> Backend:
    """The one backend of the arrays, by the rule of `backend_of_call`, for functions that are no operation.

    Raises
    ------
    BackendError : arrays of two libraries, or an object that is no array.
    """
    return _agreed(where, [(name, find_backend(x), type(x)) for name, x in arrays.items()])


def _agreed(where: str, found: list[tuple[str, Backend, type]]) -> Backend:
    """The backend of named arrays, or the refusal of two."""
    first: dict[str, tuple[str, Backend]] = {}
    for name, owner, _ in found:
        first.setdefault(owner.name, (name, owner))
    if len(first) == 1:
        return found[0][1]
    if len(first) == 2 and "numpy" in first:
        other = next(owner for _, owner in first.values() if owner.name != "numpy")
        if any(owner is other and other.is_tracer(kind) for _, owner, kind in found) or other.in_trace():
            return other
    places = " and ".join(f"{name} on {owner.name}" for name, owner in first.values())
    raise BackendError(f"{where}: got {places}, expected one library. Convert one of them with pillars.move.")


def normalise(record: Record, values: list[Any], backend: Backend) -> list[Any]:
    """Arrays of `backend`, statics of their declared types, numbers as floats or 0-d arrays of `backend`."""
    values = list(values)
    for parameter in record.parameters:
        value = values[parameter.position]
        if value is None and parameter.optional:
            continue
        if parameter.kind is Kind.NUMBER:
            values[parameter.position] = _number(record, parameter, value, backend)
        elif not parameter.is_array:
            values[parameter.position] = _static(record, parameter, value)
    weak = []
    for parameter in record.arrays:
        value = values[parameter.position]
        if value is None and parameter.optional:
            continue
        owner = backend_of_type(type(value))
        if owner is backend:
            continue
        if adapter_of_type(type(value)) is not None:
            continue
        if owner is not None:  # a NumPy constant inside somebody's trace
            values[parameter.position] = _constant(backend, value, None)
        else:
            weak.append(parameter)
    if weak:
        _convert(record, values, weak, backend)
    return values


def _convert(record: Record, values: list[Any], weak: list[Parameter], backend: Backend) -> None:
    """Lists and scalars: they follow the arrays beside them, else the chosen default."""
    strong = [
        values[p.position]
        for p in record.arrays
        if p not in weak and backend_of_type(type(values[p.position]))
    ]
    floats = [x.dtype for x in strong if dtype_kind(x.dtype) in ("float", "half")]
    choice = chosen()
    mine = choice.backend == backend.name
    dtype = common_dtype(backend.xp, *floats) if floats else (choice.dtype if mine else None)
    device = backend.device_beside(strong[0]) if strong else (choice.device if mine else None)
    for parameter in weak:
        value = _host_array(record, parameter, values[parameter.position])
        kind = dtype_kind(value.dtype)
        keep = parameter.kind is Kind.ANY_ARRAY and kind in ("integer", "bool")
        if kind not in ("complex", "other") and not keep:
            own = (
                value.dtype
                if hasattr(values[parameter.position], "dtype") and kind in ("float", "half")
                else None
            )
            target = dtype if dtype is not None else own
            made = backend.asarray(value, dtype=target or backend.default_float, device=device)
        else:
            made = _constant(backend, value, device) if kind in ("integer", "bool") else value
        if not backend.owns(type(made)):
            _refuse_dtype(record, parameter, value.dtype)
        values[parameter.position] = made


def _constant(backend: Backend, value: Any, device: Any) -> Any:
    """A host array in another library. Integers that its dtypes do not reach go to their ends: they would wrap."""
    stored = backend.stored_dtype(value.dtype)
    if dtype_kind(value.dtype) == "integer" and dtype_name(stored) != dtype_name(value.dtype):
        value = value.clip(*dtype_range(dtype_name(stored)))
    return backend.asarray(value, device=device)


def _host_array(record: Record, parameter: Parameter, value: Any) -> Any:
    """A list or scalar as a NumPy array; anything else is refused with its name."""
    host = backend_named("numpy")
    where = _where(record, parameter)
    if isinstance(value, (list, tuple, range)):
        stranger = array_inside(value)
        if stranger is not None:
            raise BackendError(
                f"{where} is a list that holds a {type_name(type(stranger))}, expected a list of plain numbers. "
                "Join arrays with their library's stack."
            )
        try:
            made = host.asarray(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise ShapeError(
                f"{where} is a list that makes no array ({error}), expected rows of equal length of numbers. "
                "Pad or filter the rows."
            ) from None
        if dtype_kind(made.dtype) == "other":
            _refuse_dtype(record, parameter, made.dtype)
        if made.size == 0 and parameter.kind is Kind.ANY_ARRAY:
            return made.astype("int64")  # no labels are class numbers: NumPy's float64 for [] says nothing
        return made
    if isinstance(value, (bool, int, float, complex)) or host.is_scalar(value):
        return host.asarray(value)
    if host.is_masked(value):
        raise DTypeError(
            f"{where} is a masked array, expected a plain one: its masked entries would count. "
            "Fill it (x.filled(...)) or drop those rows first."
        )
    if value is None:
        raise DTypeError(f"{where} is None, expected an array. {_ADVICE}")
    raise DTypeError(f"{where} is a {type_name(type(value))}, expected an array. {_ADVICE}")


def array_inside(items: Any, depth: int = 0) -> Any:
    """The first item of nested lists that NumPy must not take in: it would move it, or count what is masked."""
    if depth > _DEEPEST:  # NumPy refuses what is deeper, lists that hold themselves among it
        return None
    for item in items:
        if isinstance(item, (list, tuple)):
            result = array_inside(item, depth + 1)
            if result is not None:
                return result
        elif adapter_of_type(type(item)) is not None or backend_named("numpy").is_masked(item):
            return item
        else:
            owner = backend_of_type(type(item))
            if owner is not None and owner.name != "numpy":
                return item
    return None


def _refuse_dtype(record: Record, parameter: Parameter, dtype: Any) -> None:
    name = dtype_name(dtype)
    remedy = {
        "complex": "Take its real part, or its absolute value, first.",
        "other": "Convert to float64, or drop what is no number.",
    }.get(dtype_kind(dtype), "Convert it to a floating dtype.")
    raise DTypeError(f"{_where(record, parameter)} has dtype {name}, expected real numbers. {remedy}")


def _number(record: Record, parameter: Parameter, value: Any, backend: Backend) -> Any:
    """A Python float, or a 0-d array of the call's backend (which may be traced)."""
    where = _where(record, parameter)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return plain_float(value)
    kind = type(value)
    owner = backend_of_type(kind)
    if adapter_of_type(kind) is not None or owner is not None:
        if getattr(value, "shape", ()) != ():
            raise ShapeError(
                f"{where} has shape {tuple(value.shape)}, expected one number. "
                "Loop, or use vmap, over several values."
            )
        if dtype_kind(value.dtype) not in ("float", "half", "integer"):
            _refuse_dtype(record, parameter, value.dtype)
        return float(value) if owner is not None and owner.name == "numpy" else value
    if backend_named("numpy").is_scalar(value) and value.dtype.kind in "fiu":
        return float(value)
    raise DTypeError(f"{where} is {shown(value)} ({type_name(kind)}), expected a real number.")


def _static(record: Record, parameter: Parameter, value: Any) -> Any:
    """A value of one of the declared types: integers of other libraries become int, lists become tuples."""
    where = _where(record, parameter)
    allowed = parameter.types
    if type(value) in allowed:
        return value
    owner = backend_of_type(type(value))
    if adapter_of_type(type(value)) is not None or (owner is not None and owner.is_tracer(type(value))):
        raise DTypeError(
            f"{where} is traced, expected a plain value: it decides the program's shape. "
            "Pass it as a Python value, outside the traced arguments."
        )
    number = plain_int(value) if int in allowed else None
    if number is not None:
        return number
    if bool in allowed and plain_bool(value) is not None:
        return bool(value)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if tuple in allowed and isinstance(value, list):
        return tuple(value)
    plain: Any
    for plain in (str, tuple, float):
        if plain in allowed and isinstance(value, plain):
            return plain(value)
    if parameter.kind is Kind.NAME:
        return str(value)
    words = " or ".join(sorted(kind.__name__.replace("NoneType", "None") for kind in allowed))
    raise DTypeError(f"{where} is {shown(value)} ({type_name(type(value))}), expected {words}.")


def float_of(backend: Backend, record: Record, values: list[Any]) -> Any:
    """The floating dtype of a call: that of its floating arrays together, else the backend's default."""
    floats = []
    for parameter in record.arrays:
        x = values[parameter.position]
        if x is None:
            continue
        kind = dtype_kind(x.dtype)
        if kind in ("complex", "other"):
            _refuse_dtype(record, parameter, x.dtype)
        if kind in ("float", "half"):
            floats.append(x.dtype)
    if not floats:
        return backend.default_float
    return backend.native_dtype(common_dtype(backend.xp, *floats))


def compute_dtype(backend: Backend, record: Record, dtype: Any) -> Any:
    """What a call whose floating dtype is `dtype` computes in: half precision is widened, once, to float32."""
    return backend.xp.float32 if record.half == "wide" and dtype_kind(dtype) == "half" else dtype


def promote(backend: Backend, record: Record, values: list[Any], dtype: Any) -> list[Any]:
    """All arrays and numbers in the floating dtype of the call: integers too; half precision is widened."""
    values = list(values)
    wide = compute_dtype(backend, record, dtype)
    astype = backend.xp.astype
    for parameter in record.arrays:
        x = values[parameter.position]
        if x is None:
            continue
        kind = dtype_kind(x.dtype)
        if kind == "half" and record.half == "wide":
            values[parameter.position] = astype(x, backend.xp.float32)
        elif parameter.kind is Kind.ARRAY and x.dtype != wide and kind != "half":
            values[parameter.position] = astype(x, wide)
    for parameter in record.numbers:
        x = values[parameter.position]
        if x is not None and not isinstance(x, float) and x.dtype != wide:
            values[parameter.position] = astype(x, wide)
    return values
