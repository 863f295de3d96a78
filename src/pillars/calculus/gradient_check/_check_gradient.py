"""Gradient checks to be trusted: four independent methods, tolerances from measured rounding, kinks told apart."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from pillars._errors import DTypeError, ShapeError
from pillars.backends import (
    dtype_kind,
    dtype_name,
    forward_and_pullback,
    namespace,
    procedure,
    refuse_traced,
    tree_flatten,
    tree_leaves,
    tree_paths,
    tree_unflatten,
)
from pillars.calculus._parameters import backend_of_parameters, matching_leaves, start
from pillars.calculus.autodiff import numbers_of, places_of, require_function
from pillars.calculus.gradient_check._flat_function import Subject, floating_parts
from pillars.calculus.gradient_check._verdict import METHODS, GradientCheck, check_subject

__all__ = ["check_gradient"]


@procedure(
    unsupported=dict.fromkeys(("jit", "vmap", "grad"), "it returns words: call it outside jit, vmap and grad")
)
def check_gradient(
    f: Callable[..., Any],
    *args: Any,
    gradient: Callable[..., Any] | None = None,
    argnums: int | Sequence[int] = 0,
    methods: Sequence[str] | None = None,
) -> GradientCheck:
    r"""Compare a gradient with automatic differentiation, complex steps, Taylor remainders and central differences.

    Parameters
    ----------
    f : ``f(*args) -> 0-d array``; or arrays, or a tree of them (tuple, NamedTuple, list, dict), which are contracted
        with drawn weights, every part at once; parts of integers are left out. An operation of pillars with a
        hand-derived gradient has that one checked, against differentiation of its body.
    args : arrays and trees of arrays, at the point of the check. Floating ones may be Python floats.
    gradient : ``gradient(*args) -> like args[argnums]``, for a scalar `f`; None: the operation's own, else that of
        automatic differentiation is what is checked.
    argnums : the argument, or arguments, to differentiate: float32 or float64.
    methods : of "autodiff", "complex_step", "taylor", "central"; None: all.

    Returns
    -------
    GradientCheck(ok, rows), true only where `ok` is True. A row has method, error, tolerance, ok, note. Methods that do
    not apply have `ok` None and the reason.

    Raises
    ------
    ShapeError : the gradient's structure or shapes are not the argument's; an unknown method; an argument named twice.
    DTypeError : half precision, integers, complex numbers where a derivative is asked for.
    BackendError : arrays of two libraries.

    Notes
    -----
    - autodiff: every entry, within a few roundings and what a change of the point by units in the last place does.
    - complex_step: Im f(x + ih·u)/h with h = 1e-30, which cancels nothing: 16 digits in float64. For functions that are
      analytic in what they compute; one whose complex slope is not its real one (abs, conj, real) does not apply.
    - taylor: |f(x + h·u) − f(x) − h·g·u| must fall with order 2 as h is halved; a wrong gradient's order decays to 1.
    - central: over a ladder of steps, the one with the smallest estimated truncation and rounding, both measured; the
      tolerance is four times their sum, so that it adapts to scale and conditioning.

    A difference from autodiff or the complex step that is erratic from point to point is the rounding of a formula that
    cancels, and widens the tolerance; where it varies over long ways alone, by eps^(2/3) at most, which central
    differences would not see either. A method whose tolerance is above a quarter of the largest slope confirms nothing.

    Directions: every entry of arguments with up to 16, else eight with random signs, each entry moving by about
    max(1, \|x\|), drawn (seed 0); steps are halved down to 2⁻²⁶, 2⁻²⁰ in float32, or below the smallest entry where
    the slopes have not settled by then. One-sided slopes that disagree however small the step are a kink, and a
    function that changes however small the step has a jump: neither right nor wrong. Entries without are searched for
    and checked all the same. NaN or infinity in the gradient where the function has a slope is wrong; but the NaN of
    automatic differentiation is no answer, which is not a wrong one (a root of 0, equal eigenvalues): not judged.

    Costs about 55 evaluations of `f` a direction, 45 in float32, up to three times as many beside kinks and for
    small entries, and up to 60 more directions in search of entries without kinks. An argument without entries has
    nothing to check: `ok` is None.

    References
    ----------
    Squire, Trapp (1998), Using complex variables to estimate derivatives of real functions. Press and others (2007),
    Numerical Recipes, 3rd edition, section 5.7.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([1.0, 2.0, 3.0])
    >>> check_gradient(lambda x: np.sum(x**3), x, gradient=lambda x: 3 * x**2).ok
    True
    >>> check_gradient(lambda x: np.sum(x**3), x, gradient=lambda x: 2 * x**2).ok
    False
    """
    wanted = _methods(methods)
    require_function("check_gradient", f, "of these arguments")
    refuse_traced("check_gradient", _arrays_only(args))
    numbers = numbers_of("check_gradient", argnums)
    several = not isinstance(numbers, int)
    places = places_of("check_gradient", numbers, len(args))
    chosen = tuple(args[place] for place in places)
    rest = tuple(argument for place, argument in enumerate(args) if place not in places)
    backend = backend_of_parameters(
        "check_gradient", chosen if several else chosen[0], [_arrays_only(x) for x in rest]
    )
    first = start("check_gradient", chosen if several else chosen[0], rest, backend, "argument")
    for path, leaf in zip(tree_paths(first), tree_leaves(first), strict=True):
        if dtype_kind(leaf.dtype) == "half":
            raise DTypeError(
                f"check_gradient: argument{path} has dtype {dtype_name(leaf.dtype)}, expected float32 or float64: half "
                "precision has too few digits for differences. Convert it."
            )
    leaves, treedef = tree_flatten(first)

    def arguments(leaves: list[Any], others: tuple[Any, ...] = rest) -> list[Any]:
        made = tree_unflatten(treedef, leaves)
        given = iter(others)
        by_place = dict(zip(places, made if several else (made,), strict=True))
        return [by_place[place] if place in by_place else next(given) for place in range(len(args))]

    def contracted(f: Callable[..., Any]) -> Callable[[list[Any], list[Any]], list[Any]]:
        def total(leaves: list[Any], cotangents: list[Any], others: tuple[Any, ...]) -> Any:
            result = floating_parts(f(*arguments(leaves, others)))
            parts = [_sum(y * c) for y, c in zip(result, cotangents, strict=True)]
            return functools.reduce(lambda a, b: a + b, parts)

        derive = backend.grad(total)
        return lambda leaves, cotangents: tree_leaves(derive(leaves, cotangents, rest))

    record = getattr(f, "record", None)
    own = record is not None and getattr(record.rules, "vjp", None) is not None
    body = record.body if own and record is not None else f
    if gradient is not None:
        _refuse_jacobian(backend, f, arguments(leaves))

        def by_hand(leaves: list[Any], cotangents: list[Any]) -> list[Any]:
            made = tree_unflatten(treedef, leaves)
            return matching_leaves("check_gradient: gradient", gradient(*arguments(leaves)), made, backend)

        names = [path or "argument" for path in tree_paths(first)]
        subject = Subject(
            backend, leaves, lambda leaves: f(*arguments(leaves)), by_hand, contracted(f), names=names
        )
    elif own:
        subject = Subject(
            backend,
            leaves,
            lambda leaves: f(*arguments(leaves)),
            _pulled_back(record, arguments, places),
            contracted(body),
            lambda leaves: body(*arguments(leaves)),
        )
    else:
        subject = Subject(backend, leaves, lambda leaves: f(*arguments(leaves)), contracted(f), None)
    return check_subject(subject, wanted)


def _pulled_back(record: Any, arguments: Callable[[list[Any]], list[Any]], places: list[int]) -> Any:
    def pull(leaves: list[Any], cotangents: list[Any]) -> list[Any]:
        values = record.bind(tuple(arguments(leaves)), {})
        needs = record.needs(*[p.is_array and p.position in places for p in record.differentiable])
        y, pullback = forward_and_pullback(record, values, needs)
        given = pullback(tree_unflatten(tree_flatten(y)[1], cotangents))
        result = {p.position: g for p, g in zip(record.differentiable, given, strict=True) if g is not None}
        return [result[place] for place in places]

    return pull


# ------------------------------------------------------------------------------------------------------ what comes in
def _methods(methods: Sequence[str] | None) -> tuple[str, ...]:
    if methods is None:
        return METHODS
    wanted = (methods,) if isinstance(methods, str) else tuple(methods)
    for name in wanted:
        if name not in METHODS:
            raise ShapeError(
                f"check_gradient: methods has {name!r}, expected some of {', '.join(map(repr, METHODS))}."
            )
    if not wanted:
        raise ShapeError("check_gradient: methods is empty, expected at least one, or None for all.")
    return wanted


def _arrays_only(tree: Any) -> list[Any]:
    return [leaf for leaf in tree_leaves(tree) if hasattr(leaf, "shape")]


def _refuse_jacobian(backend: Any, f: Callable[..., Any], arguments: list[Any]) -> None:
    with backend.quiet():
        result = tree_leaves(f(*arguments))
    shapes = [tuple(getattr(y, "shape", ())) for y in result]
    if shapes != [()]:
        raise ShapeError(
            f"check_gradient: f returned shape {shapes[0] if len(shapes) == 1 else shapes} beside a gradient, expected "
            "one number, (). Sum the result, or contract it with fixed weights in both."
        )


def _sum(x: Any) -> Any:
    return namespace(x).sum(x)
