"""What becomes an array, and the one way from a library or device to another."""

from __future__ import annotations

import math
from typing import Any

from pillars._errors import BackendError, DTypeError, ShapeError
from pillars.backends._call_arguments import array_inside
from pillars.backends._context import backend as find_backend, chosen, probe
from pillars.backends._dtypes import dtype_kind, dtype_name, dtype_range, refuse_narrowing
from pillars.backends._frames import frame_values
from pillars.backends._protocol import Backend
from pillars.backends._registry import adapter_of_type, backend_named, backend_of_type, type_name
from pillars.backends._tree import tree_map

__all__ = ["asarray", "move"]

_RANGED = ("integer", "float", "half")


def asarray(obj: Any, *, backend: str | None = None, device: Any = None, dtype: Any = None) -> Any:
    """A list, scalar, array, DLPack object or data frame as an array of pillars' libraries.

    Parameters
    ----------
    obj : nested lists of numbers; an array of NumPy, CuPy or JAX (returned as it is where nothing is to change); an
        object with ``__dlpack__`` (a torch tensor, sliced or not); a data frame or series of pandas, polars or pyarrow,
        whose columns come together in their common dtype. Nulls of a column of floats are NaN.
    backend : where to put host data. None: arrays stay where they are, the rest goes to the chosen default.
    device : a device of that backend; None: the chosen one, or the library's default.
    dtype : the result's dtype or its name; None: floats keep theirs, lists of floats get the chosen or default one.

    Returns
    -------
    array. Shares memory with `obj` where the library can.

    Raises
    ------
    BackendError : an array that sits on another library or device: moving it is :func:`move`'s, and explicit. A DLPack
        object that cannot be taken over: it belongs to a graph, is sparse, or out of reach.
    DTypeError : a column of words, or of integers or booleans with nulls, by name; objects, strings, masked arrays;
        numbers that the dtype cannot hold, which for arrays on a device is looked at where it is narrower than theirs;
        a dtype that the library does not have, or has switched off.
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
        wanted = None if device is None else target.device_of(probe("asarray", target, device))
        if wanted is not None and target.device_of(obj) not in {None, wanted}:
            raise BackendError(
                f"asarray: got an array on device {target.device_of(obj)}, expected {device}. "
                "Moving between devices is explicit: pillars.move(x, backend, device=...)."
            )
        _refuse("asarray", obj.dtype)
        if dtype is None or obj.dtype == dtype:
            return obj
        _refuse_loss("asarray", obj, target, dtype)
        return target.xp.astype(obj, dtype)
    frame = frame_values(obj) if owner is None else None
    if owner is None and frame is None and hasattr(obj, "__dlpack__"):
        return _from_dlpack("asarray", obj, target, device, dtype)
    host = obj if owner is not None else _host(obj) if frame is None else frame
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
    if device is not None:
        probe("asarray", target, device)
    return _placed("asarray", host, target, device, dtype)


def _dtype(target: Backend, dtype: Any) -> Any:
    """The dtype asked for, as the target's own; None stays."""
    if dtype is None:
        return None
    if dtype in (bool, int, float, complex):
        return target.asarray(dtype(0)).dtype
    name = dtype if isinstance(dtype, str) else dtype_name(dtype)
    result = getattr(target.xp, name, None) if dtype_kind(name) != "other" else None
    if result is None:
        raise DTypeError(
            f"asarray: dtype is {name!r}, expected a numeric dtype of {target.name}, such as 'float32'."
        )
    refuse_narrowing("asarray", target, result)
    return result


def _refuse(where: str, dtype: Any) -> None:
    if dtype_kind(dtype) == "other":
        name = dtype_name(dtype)
        remedy = "Convert to float64, or drop what is no number."
        if name.startswith("key<"):
            remedy = "Unwrap the key with jax.random.key_data."
        raise DTypeError(f"{where}: got dtype {name}, expected numbers. {remedy}")


def _host(obj: Any) -> Any:
    """A list or scalar as a NumPy array."""
    host = backend_named("numpy")
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


# DLPack's numbers of devices whose memory the processor reads: CPU, CUDA host, ROCm host
_HOST_MEMORY = (1, 3, 11)


def _dlpack_device(obj: Any) -> int:
    """DLPack's number of the kind of device; 0 where the object does not say."""
    try:
        return int(obj.__dlpack_device__()[0])
    except Exception:
        return 0


def _taken(obj: Any, target: Backend) -> Any:
    """A DLPack object as an array of `target`; as one of NumPy where the processor reads its memory.

    From there it goes on as any host array does: a library that narrows 64 bits, or takes compact data alone, says
    nothing of it on this way, or refuses what NumPy takes.
    """
    host = backend_named("numpy")
    if target is host or _dlpack_device(obj) not in _HOST_MEMORY:
        with target.double():
            return target.xp.from_dlpack(obj)
    try:
        return host.xp.from_dlpack(obj)
    except Exception:  # a dtype that NumPy lacks
        with target.double():
            return target.to_numpy(target.xp.from_dlpack(obj))


def _across(x: Any, owner: Backend, target: Backend) -> Any:
    """An array from device to device; by way of the host where one of the two libraries reaches no GPU."""
    try:
        return _taken(x, target)
    except Exception:
        return owner.to_numpy(x)


def _remedy(obj: Any) -> str:
    """What to do with what DLPack refuses."""
    if getattr(obj, "requires_grad", False):
        return "data outside a graph. Detach it first: x.detach()."
    if getattr(obj, "is_sparse", False) or "strided" not in str(getattr(obj, "layout", "strided")):
        return "a dense array. Write it out first: x.to_dense()."
    if callable(getattr(obj, "is_conj", None)) and obj.is_conj():
        return "its own numbers. Conjugate them in memory first: x.resolve_conj()."
    if _dlpack_device(obj) not in _HOST_MEMORY:
        return "data on a device that it reaches. Copy it to the host first: x.cpu()."
    return "a dtype that it has. Convert it first, for instance to float32."


def _from_dlpack(where: str, obj: Any, target: Backend, device: Any, dtype: Any) -> Any:
    try:
        made = _taken(obj, target)
    except Exception as error:
        reason = " ".join(str(error).split())
        compact = _dlpack_device(obj) not in (0, *_HOST_MEMORY) and "strid" in reason
        remedy = "compact data. Copy it first: x.contiguous()." if compact else _remedy(obj)
        raise BackendError(
            f"{where}: got a {type_name(type(obj))} that {target.name} cannot take over ({reason}), expected {remedy}"
        ) from None
    return _placed(where, made, target, device, dtype)


def _placed(where: str, made: Any, target: Backend, device: Any, dtype: Any) -> Any:
    """An array of `target` or of NumPy on `target`, after a look at whether the dtype to come holds its numbers."""
    _refuse(where, made.dtype)
    _refuse_loss(where, made, target, dtype)
    if not target.owns(type(made)):
        return target.asarray(made, dtype=dtype, device=device)
    kept = target.stored_dtype(made.dtype if dtype is None else dtype)
    if made.dtype != kept:
        with target.double():
            made = target.xp.astype(made, kept)
    return made if device is None else target.asarray(made, device=device)


def _refuse_loss(where: str, x: Any, target: Backend, dtype: Any) -> None:
    """Refuse what the dtype to come cannot hold: imaginary parts, integers that wrap, floats that become infinite."""
    asked = x.dtype if dtype is None else dtype
    dtype = target.stored_dtype(asked)
    kind, given, name = dtype_kind(dtype), dtype_kind(x.dtype), dtype_name(dtype)
    if given == "complex" and kind != "complex":
        raise DTypeError(
            f"{where}: got complex numbers and dtype {name}, expected a complex dtype: the imaginary parts would be "
            "lost. Take the real part, or the absolute value, first."
        )
    # An integer or half-precision number is a float's to hold, whatever its value.
    if kind not in _RANGED or given not in _RANGED or (kind == "float" and given != "float"):
        return
    owner = find_backend(x)
    if name == dtype_name(x.dtype) or owner.is_tracer(type(x)) or math.prod(x.shape) == 0:
        return
    least, most = dtype_range(name)
    from_, to = dtype_range(dtype_name(x.dtype))
    if kind == given and least <= from_ and to <= most:
        return
    read = int if given == "integer" else float
    with owner.double():
        numbers = x
        if given != "integer" and kind != "integer":
            numbers = owner.xp.where(owner.xp.isfinite(x), x, owner.xp.zeros_like(x))
        low, high = read(owner.xp.min(numbers)), read(owner.xp.max(numbers))
    if not (low >= least and high <= most):  # NaN, which no integer holds, fails this too
        remedy = "Choose a wider dtype, or scale the numbers."
        if name != dtype_name(asked):
            remedy = "Switch JAX_ENABLE_X64 on for 64-bit numbers, choose a wider dtype, or scale them."
        raise DTypeError(
            f"{where}: got numbers from {low} to {high}, expected what {name} holds on {target.name}, "
            f"{least} to {most}. {remedy}"
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
    BackendError : unknown or unusable backend or device, or a traced array, which has no numbers yet.
    DTypeError : integers that the target cannot hold; arrays of what is no number, JAX's typed keys among them.

    Examples
    --------
    >>> import numpy, pillars
    >>> pillars.move({"w": numpy.ones(2)}, "numpy")
    {'w': array([1., 1.])}
    """
    target = find_backend(backend)
    place = None if device is None else target.device_of(probe("move", target, device))

    def one(leaf: Any) -> Any:
        kind = type(leaf)
        owner = backend_of_type(kind)
        if adapter_of_type(kind) is not None or (owner is not None and owner.is_tracer(kind)):
            raise BackendError(
                "move: got a traced array, expected numbers: inside a differentiated or jitted function there are none "
                "to move. Move before, or after."
            )
        if owner is None:
            if isinstance(leaf, (bool, int, float, complex, str)):
                return leaf
            return asarray(leaf, backend=backend, device=device)
        if owner is target:
            there = place is None or target.device_of(leaf) == place
            return leaf if there else target.asarray(leaf, device=device)
        _refuse("move", leaf.dtype)
        direct = {owner.name, target.name} == {"cupy", "jax"}
        made = _across(leaf, owner, target) if direct else owner.to_numpy(leaf)
        return _placed("move", made, target, device, None)

    return tree_map(one, x)
