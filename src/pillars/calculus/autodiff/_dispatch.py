"""What a name of the traced namespace means: a rule, a constant, or a refusal; and its parts, such as linalg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillars._errors import CapabilityError
from pillars.backends import dtype_kind
from pillars.calculus.autodiff._rule import is_complex
from pillars.calculus.autodiff._tape import CALLER
from pillars.calculus.autodiff._traced_array import TracedArray, strip

__all__ = [
    "ACCUMULATIONS",
    "CONSTANTS",
    "INSTEAD",
    "OTHERWISE",
    "REDUCTIONS",
    "UFUNC_NAMES",
    "Part",
    "attribute",
]


class Part:
    """A part of the namespace, such as linalg."""

    def __init__(self, space: Any, name: str, table: dict[str, Callable[..., Any]]) -> None:
        self._space = space
        self._base = getattr(space.base, name, None)
        self._table = table

    def __getattr__(self, name: str) -> Any:
        result = attribute(self._space, self._base, name, self._table)
        setattr(self, name, result)
        return result


def _traced_among(args: Any) -> bool:
    return any(type(x) is TracedArray or (type(x) in (list, tuple) and _traced_among(x)) for x in args)


def attribute(space: Any, base: Any, name: str, table: dict[str, Callable[..., Any]]) -> Any:
    """The namespace's attribute of that name."""
    function = table.get(name)
    plain = getattr(base, name, None)
    if function is None:
        if plain is None:
            raise AttributeError(f"{space!r} has no {name!r}")
        if not callable(plain) or isinstance(plain, type) or dtype_kind(plain) != "other":
            return plain
        return _on_values(space, plain, name) if name in CONSTANTS else _refusing(space, plain, name)
    single = plain is not None and name not in (
        "concat",
        "concatenate",
        "stack",
        "hstack",
        "vstack",
        "column_stack",
    )

    def dispatch(*args: Any, **options: Any) -> Any:
        if (
            (single and args and type(args[0]) is TracedArray)
            or _traced_among(args)
            or _traced_among(options.values())
        ):
            if options.get("dtype") is not None and plain is not None and not space.floats(options["dtype"]):
                return _on_values(space, plain, name)(*args, **options)
            try:
                return function(space, *args, **options)
            except TypeError as error:
                if "argument" not in str(error) or isinstance(error, CapabilityError):
                    raise
                raise CapabilityError(
                    f"{CALLER.get()}: got {name} of a traced array with options that its rule does not take ({error}), "
                    "expected those of the Array API standard. Leave them out, or compute with where."
                ) from None
        if plain is None:
            raise AttributeError(f"{space!r} has no {name!r} of plain arrays")
        return space.constant(plain(*args, **options))

    dispatch.__name__ = name
    return dispatch


def _differentiated(x: Any) -> bool:
    """Whether a gradient flows through anything in here, lists of arrays too."""
    if type(x) is TracedArray:
        return bool(x._trace.level)
    if isinstance(x, dict):
        return any(_differentiated(one) for one in x.values())
    return isinstance(x, (list, tuple)) and any(_differentiated(one) for one in x)


def _plain(x: Any) -> Any:
    if type(x) is TracedArray:
        return strip(x)
    return type(x)(_plain(one) for one in x) if type(x) in (list, tuple) else x


_OF_REALS = frozenset({"sign", "rint", "round", "around"})  # of complex ones they are no steps, or mean two


def _on_values(space: Any, plain: Callable[..., Any], name: str) -> Callable[..., Any]:
    def constant(*args: Any, **options: Any) -> Any:
        if name in _OF_REALS and any(is_complex(x) for x in args):
            raise space.no_rule(f"{name} of complex numbers")
        result = plain(*(_plain(x) for x in args), **{key: _plain(x) for key, x in options.items()})
        return space.constant(result)

    return constant


def _refusing(space: Any, plain: Callable[..., Any], name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **options: Any) -> Any:
        if not _traced_among(args) and not _traced_among(options.values()):
            return space.constant(plain(*args, **options))
        if _differentiated((args, options)):
            raise space.no_rule(name)
        return space.constant(
            plain(*(_plain(x) for x in args), **{key: _plain(x) for key, x in options.items()})
        )

    return refuse


# what has no derivative: computed on the plain values
CONSTANTS = frozenset(
    """
    all allclose any argmax argmin argpartition argsort argwhere around array_equal array_equiv array_repr array_str
    array2string can_cast ceil common_type count_nonzero diag_indices_from digitize einsum_path empty_like equal finfo
    fix flatnonzero floor floor_divide greater greater_equal iinfo isclose iscomplex
    iscomplexobj isdtype isfinite isin isinf isnan isneginf isposinf isreal isrealobj less less_equal lexsort
    logical_and logical_not logical_or logical_xor matrix_rank may_share_memory min_scalar_type nanargmax nanargmin
    ndim nonzero not_equal ones_like result_type rint round searchsorted shape shares_memory sign signbit size spacing
    tril_indices_from triu_indices_from trunc zeros_like
    """.split()  # noqa: SIM905 - a hundred names, one a line, would be three screens
)

UFUNC_NAMES = {
    "absolute": "abs",
    "fabs": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "conjugate": "conj",
    "degrees": "rad2deg",
    "float_power": "pow",
    "mod": "remainder",
    "power": "pow",
    "radians": "deg2rad",
    "true_divide": "divide",
}
REDUCTIONS = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logaddexp": "log_sum_exp",
}
ACCUMULATIONS = {"add": "cumsum", "multiply": "cumprod", "maximum": "running_max", "minimum": "running_min"}
_BUILD = "It writes into an array; build a new one with where, concatenate or stack."
INSTEAD = {
    **dict.fromkeys(
        ("copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask", "add.at"), _BUILD
    ),
    "lstsq": "Multiply by linalg.pinv, or solve the normal equations.",
    "unique": "Order the plain values with argsort, and pick with take.",
    "insert": "Join the pieces with concatenate.",
    "piecewise": "Use where, or select.",
    "vectorize": "Call the function with whole arrays.",
}
OTHERWISE = "Write it with those, or pass the gradient by hand."
