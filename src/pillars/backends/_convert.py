"""What becomes an array, and the one way from a library or device to another."""

from __future__ import annotations

import sys
from typing import Any

from pillars._errors import BackendError, DTypeError, ShapeError
from pillars.backends._boundary import array_inside
from pillars.backends._context import backend as find_backend
from pillars.backends._context import chosen
from pillars.backends._dtypes import dtype_kind, dtype_name
from pillars.backends._protocol import Backend
from pillars.backends._registry import adapter_of_type, backend_named, backend_of_type, type_name
from pillars.backends._tree import tree_map

__all__ = ["asarray", "move"]


def asarray(obj: Any, *, backend: str | None = None, device: Any = None, dtype: Any = None) -> Any:
    """A list, scalar, array, DLPack object or data frame as an array of pillars' libraries.

    Parameters
    ----------
    obj : nested lists of numbers; an array of NumPy, CuPy or JAX (returned as it is where nothing is to change); an
        object with ``__dlpack__`` (a torch tensor); a data frame or series of pandas, polars or pyarrow.
    backend : where to put host data. None: arrays stay where they are, the rest goes to the chosen default.
    device : a device of that backend; None: the chosen one, or the library's default.
    dtype : the result's dtype or its name; None: floats keep theirs, lists of floats get the chosen or default one.

    Returns
    -------
    array. Shares memory with `obj` where the library can.

    Raises
    ------
    BackendError : an array that sits on another library or device: moving it is :func:`move`'s, and explicit.
    DTypeError : objects, strings, masked arrays, integers that the target's dtype cannot hold.
    ShapeError : rows of unequal length.

    Examples
    --------
    >>> import pillars
    >>> pillars.asarray([[1, 2], [3, 4]], dtype="float32")
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    kind = type(obj)
    if adapter_of_type(kind) is not None:
        return obj
    if backend_named("numpy").is_masked(obj):
        raise DTypeError(
            "asarray: got a masked array, expected a plain one: its masked entries would count. "
            "Fill it (x.filled(...)) or drop those rows first."
        )
    owner = backend_of_type(kind)
    choice = chosen()
    target = find_backend(backend) if backend is not None else owner or find_backend(choice.backend)
    if owner is not None and owner is not target and owner.name != "numpy":
        raise BackendError(
            f"asarray: got an array on {owner.name}, expected host data for backend {target.name!r}. "
            "Moving between libraries is explicit: pillars.move(x, backend)."
        )
    dtype = _dtype(target, dtype)
    if owner is target:
        wanted = None if device is None else target.device_of(target.asarray(0.0, device=device))
        if wanted is not None and target.device_of(obj) not in {None, wanted}:
            raise BackendError(
                f"asarray: got an array on device {target.device_of(obj)}, expected {device}. "
                "Moving between devices is explicit: pillars.move(x, backend, device=...)."
            )
        _refuse(obj.dtype)
        if dtype is None or obj.dtype == dtype:
            return obj
        if target.host:
            _refuse_loss(obj, target, dtype)
        return target.xp.astype(obj, dtype)
    if owner is None and hasattr(obj, "__dlpack__"):
        return _from_dlpack(obj, target, device, dtype)
    host = obj if owner is not None else _host(obj)
    _refuse(host.dtype)
    mine = choice.backend == target.name
    if (
        dtype is None
        and mine
        and owner is None
        and not hasattr(obj, "dtype")
        and dtype_kind(host.dtype) == "float"
    ):
        dtype = choice.dtype
    if device is None and mine and backend is None:
        device = choice.device
    _refuse_loss(host, target, dtype)
    return target.asarray(host, dtype=dtype, device=device)


def _dtype(target: Backend, dtype: Any) -> Any:
    if isinstance(dtype, str):
        found = getattr(target.xp, dtype, None)
        if found is None or dtype_kind(found) == "other":
            raise DTypeError(
                f"asarray: dtype is {dtype!r}, expected a numeric dtype of {target.name}, such as 'float32'."
            )
        return found
    return dtype


def _refuse(dtype: Any) -> None:
    if dtype_kind(dtype) == "other":
        raise DTypeError(
            f"asarray: got dtype {dtype_name(dtype)}, expected numbers. Convert to float64, or drop what is no number."
        )


def _host(obj: Any) -> Any:
    """A list, scalar or data frame as a NumPy array."""
    host = backend_named("numpy")
    frame = _frame(obj)
    if frame is not None:
        return frame
    if not isinstance(obj, (list, tuple, range, bool, int, float, complex)) and not hasattr(obj, "__array__"):
        raise DTypeError(
            f"asarray: got a {type_name(type(obj))}, expected a list, an array, a DLPack object or a data frame."
        )
    stranger = array_inside(obj) if isinstance(obj, (list, tuple)) else None
    if stranger is not None:
        raise DTypeError(
            f"asarray: got a list that holds a {type_name(type(stranger))}, expected a list of plain numbers. "
            "Fill what is masked; join arrays with their library's stack."
        )
    try:
        return host.asarray(obj)
    except (ValueError, TypeError) as error:
        raise ShapeError(
            f"asarray: got a {type_name(type(obj))} that makes no array ({error}), expected rows of equal length of "
            "numbers. Pad or filter the rows."
        ) from None


def _frame(obj: Any) -> Any:
    """The values of a data frame or series; None where the object is neither."""
    if not any(name in sys.modules for name in ("pandas", "polars", "pyarrow", "modin", "cudf")):
        return None
    import narwhals

    frame = narwhals.from_native(obj, allow_series=True, pass_through=True)
    if isinstance(frame, narwhals.LazyFrame):
        raise DTypeError("asarray: got a lazy data frame, expected its values. Collect it first.")
    if isinstance(frame, narwhals.Series):
        return frame.to_numpy()
    if not isinstance(frame, narwhals.DataFrame):
        return None
    words = [
        name for name, dtype in frame.schema.items() if not (dtype.is_numeric() or dtype == narwhals.Boolean)
    ]
    if words:
        raise DTypeError(
            f"asarray: got a data frame whose columns {', '.join(map(repr, words))} are no numbers, expected numeric "
            "columns. Drop or encode them."
        )
    return frame.to_numpy()


def _from_dlpack(obj: Any, target: Backend, device: Any, dtype: Any) -> Any:
    try:
        made = target.xp.from_dlpack(obj)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise BackendError(
            f"asarray: got a {type_name(type(obj))} that {target.name} cannot take over ({reason}), expected data on a "
            "device that it reaches. Detach it from its graph and copy it to that device first."
        ) from None
    if dtype is not None and made.dtype != dtype:
        made = target.xp.astype(made, dtype)
    return made if device is None else target.asarray(made, device=device)


def _refuse_loss(host: Any, target: Backend, dtype: Any) -> None:
    """Refuse numbers that the dtype to come cannot hold: integers that wrap around, floats that become infinite."""
    dtype = target.stored_dtype(host.dtype if dtype is None else dtype)
    kind, given = dtype_kind(dtype), dtype_kind(host.dtype)
    if (
        dtype_name(dtype) == dtype_name(host.dtype)
        or kind not in ("integer", "float", "half")
        or host.size == 0
    ):
        return
    xp = backend_named("numpy").xp
    info = target.xp.iinfo(dtype) if kind == "integer" else target.xp.finfo(dtype)
    if given == "complex" or (given != "float" and kind == "float"):
        return
    numbers = host if given in ("integer", "bool") or kind == "integer" else host[xp.isfinite(host)]
    if numbers.size == 0:
        return
    low, high = numbers.min(), numbers.max()
    if not (low >= info.min and high <= info.max):  # NaN, which no integer holds, fails this too
        name = dtype_name(dtype)
        remedy = "Choose a wider dtype, or scale the numbers."
        if name != dtype_name(target.stored_dtype(target.xp.float64)) and target.name == "jax":
            remedy = "Switch JAX_ENABLE_X64 on for 64-bit numbers, choose a wider dtype, or scale them."
        raise DTypeError(
            f"asarray: got numbers from {low} to {high}, expected what {name} holds on {target.name}, "
            f"{info.min} to {info.max}. {remedy}"
        )


def move(x: Any, backend: str, *, device: Any = None) -> Any:
    """Move an array, or every array of a tree, to another library or device: the only transfer in pillars.

    Parameters
    ----------
    x : array or pytree of arrays. Python scalars stay as they are.
    backend : "numpy", "cupy" or "jax".
    device : one of ``pillars.backend(backend).devices``; None: the library's default.

    Returns
    -------
    the same tree on the other side; arrays that are already there are returned as they are. JAX with x64 off turns
    float64 into float32: 16 digits become 7.

    Raises
    ------
    BackendError : unknown or unusable backend, or a traced array, which has no numbers yet.
    DTypeError : integers that the target cannot hold.

    Examples
    --------
    >>> import numpy, pillars
    >>> pillars.move({"w": numpy.ones(2)}, "numpy")
    {'w': array([1., 1.])}
    """
    target = find_backend(backend)

    def one(leaf: Any) -> Any:
        kind = type(leaf)
        owner = backend_of_type(kind)
        if adapter_of_type(kind) is not None or (owner is not None and owner.is_tracer(kind)):
            raise BackendError(
                "move: got a traced array, expected numbers: inside a differentiated or jitted function there are none "
                "to move. Move before, or after."
            )
        if owner is None:
            return (
                leaf if isinstance(leaf, (bool, int, float, complex, str)) else asarray(leaf, backend=backend)
            )
        if owner is target:
            there = device is None or target.device_of(leaf) == target.device_of(
                target.asarray(0.0, device=device)
            )
            return leaf if there else target.asarray(leaf, device=device)
        if {owner.name, target.name} == {"cupy", "jax"}:
            return _from_dlpack(leaf, target, device, None)
        host = owner.to_numpy(leaf)
        _refuse(host.dtype)
        _refuse_loss(host, target, None)
        return target.asarray(host, device=device)

    return tree_map(one, x)
