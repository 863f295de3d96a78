"""Names that the traced namespace knows: what is a constant, what ufuncs are called, what to do instead."""

from __future__ import annotations

__all__ = ["ACCUMULATIONS", "CONSTANTS", "INSTEAD", "OTHERWISE", "REDUCTIONS", "UFUNC_NAMES"]

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
