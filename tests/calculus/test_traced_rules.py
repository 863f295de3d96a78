"""Every rule of the table and every function of the traced namespace, against numbers and against JAX.

A rule or function without a case here fails `test_every_rule_has_a_case` or `test_every_function_has_a_case`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest

from pillars.backends import backend, namespace
from pillars.calculus import grad, vjp
from pillars.calculus._rules import RULES
from pillars.calculus._traced_fourier import FOURIER
from pillars.calculus._traced_functions import FUNCTIONS, LINALG
from pillars.calculus._traced_names import UFUNC_NAMES
from traced_cases import MORE, Case

INDEX = np.asarray([2, 0, 2, 1])
MATCHED = np.asarray([[0, 2, 1, 1], [2, 2, 0, 1], [1, 0, 0, 2]])
MASK = np.asarray([True, False, True])


def draw(words: str, rng: Any) -> Any:
    """Inputs away from kinks and poles: "kind:shape"."""
    kind, _, shape = words.partition(":")
    lengths = tuple(int(n) for n in shape.split("x")) if shape else ()
    match kind:
        case "normal":
            return rng.standard_normal(lengths)
        case "positive":
            return np.exp(0.5 * rng.standard_normal(lengths))
        case "unit":
            return rng.uniform(-0.8, 0.8, lengths)
        case "above":
            return 1.2 + np.exp(0.5 * rng.standard_normal(lengths))
        case "apart":  # no two of them, and no two magnitudes, closer than 0.1, nor 0
            size = int(np.prod(lengths, dtype=int))
            spaced = 0.3 * (np.arange(size) - size // 2) + 0.2
            return rng.permutation(spaced).reshape(lengths)
    raise ValueError(words)


def unary(name: str, kind: str = "normal", **more: Any) -> Case:
    return Case(name, lambda xp, x: getattr(xp, name)(x), (f"{kind}:3x4",), name, **more)


def binary(name: str, first: str = "normal:3x4", second: str = "normal:4", **more: Any) -> Case:
    return Case(name, lambda xp, x, y: getattr(xp, name)(x, y), (first, second), name, **more)


def reduce(name: str, kind: str = "normal", *, axis: Any = 1, keepdims: bool = False, **more: Any) -> Case:
    rule = "cumulative_sum" if name in ("cumsum", "cumulative_sum") else name
    return Case(
        name,
        lambda xp, x: getattr(xp, name)(x, axis=axis, keepdims=keepdims),
        (f"{kind}:3x4x2",),
        rule,
        **more,
    )


def host(xp: Any, x: Any) -> Any:
    """Indices on the library that runs; constants of the program on JAX."""
    return xp.asarray(x) if xp.__name__ == "array_api_strict" or "traced" in repr(xp) else np.asarray(x)


CASES = [
    *(
        unary(name)
        for name in (
            "exp",
            "expm1",
            "square",
            "sin",
            "cos",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "atan",
            "negative",
            "positive",
        )
    ),
    unary("exp2", strict=False),
    unary("deg2rad", strict=False),
    unary("rad2deg", strict=False),
    *(unary(name, "positive") for name in ("log", "log2", "log10", "log1p", "sqrt", "reciprocal")),
    unary("cbrt", "positive", strict=False),
    *(unary(name, "unit") for name in ("tan", "asin", "acos", "atanh")),
    unary("acosh", "above"),
    unary("abs", "apart"),
    *(binary(name) for name in ("add", "subtract", "multiply", "logaddexp")),
    binary("divide", second="positive:4"),
    binary("pow", "positive:3x4"),
    Case("pow", lambda xp, x: x**2 + x**3 - x**-1 + 2.0**x + x**0.5 + x**1 + x**0, ("positive:3x4",), "pow"),
    binary("remainder", "apart:3x1", "above:4", smooth=False),
    binary("maximum", "apart:3x4", "normal:3x1"),
    binary("minimum", "apart:3x4", "normal:3x1"),
    binary("atan2", "above:3x4"),
    binary("hypot", "above:3x4"),
    binary("copysign", "apart:3x4", "apart:4"),
    Case("where", lambda xp, x, y: xp.where(x > y, x * y, xp.exp(y)), ("apart:3x4", "apart:4"), "where"),
    Case("where", lambda xp, x: xp.where(x > 0, x, 0.0), ("apart:3x4",), "where"),
    Case("clip", lambda xp, x: xp.clip(x, -0.5, 0.7), ("apart:3x4",)),
    Case(
        "astype",
        lambda xp, x: xp.astype(xp.astype(x, xp.float32), xp.float64),
        ("normal:3",),
        "astype",
        smooth=False,
    ),
    *(
        reduce(name, kind, axis=axis, keepdims=keepdims)
        for name, kind in (
            ("sum", "normal"),
            ("mean", "normal"),
            ("max", "apart"),
            ("min", "apart"),
            ("var", "normal"),
            ("std", "normal"),
            ("prod", "normal"),
        )
        for axis, keepdims in ((1, False), ((0, -1), True), (None, False))
    ),
    Case("var", lambda xp, x: xp.var(x, axis=0, correction=1), ("normal:5x2",), "var"),
    Case("cumulative_sum", lambda xp, x: xp.cumulative_sum(x, axis=1), ("normal:3x4",), "cumulative_sum"),
    Case("cumulative_sum", lambda xp, x: xp.cumulative_sum(x, axis=0, include_initial=True), ("normal:3x4",)),
    Case("cumsum", lambda xp, x: xp.cumsum(x), ("normal:3x4",), strict=False),
    *(
        Case("matmul", lambda xp, x, y: x @ y, (f"normal:{first}", f"normal:{second}"), "matmul")
        for first, second in (
            ("3", "3"),
            ("2x3", "3"),
            ("3", "3x2"),
            ("2x3", "3x4"),
            ("5x2x3", "3x4"),
            ("2x3", "5x3x4"),
            ("5x1x2x3", "4x3x2"),
            ("5x2x3", "3"),
            ("3", "5x3x2"),
        )
    ),
    Case(
        "dot",
        lambda xp, x, y: xp.dot(x, y) * xp.dot(x[0, 0], y[0, 0]),
        ("normal:2x3", "normal:3x4"),
        strict=False,
    ),
    Case("dot", lambda xp, x, y: xp.dot(x, y), ("normal:2x3", "normal:4x3x2"), strict=False),
    Case("inner", lambda xp, x, y: xp.inner(x, y), ("normal:2x3", "normal:4x3"), strict=False),
    Case("outer", lambda xp, x, y: xp.linalg.outer(x, y), ("normal:3", "normal:4"), linalg=True),
    Case("outer", lambda xp, x, y: xp.outer(x, y), ("normal:3", "normal:4"), strict=False),
    Case("vecdot", lambda xp, x, y: xp.vecdot(x, y), ("normal:2x3", "normal:3")),
    Case("vecdot", lambda xp, x, y: xp.linalg.vecdot(x, y), ("normal:2x3", "normal:3"), linalg=True),
    Case("tensordot", lambda xp, x, y: xp.tensordot(x, y, axes=2), ("normal:2x3x4", "normal:3x4x2")),
    Case(
        "tensordot",
        lambda xp, x, y: xp.linalg.tensordot(x, y, axes=((0, 2), (1, 0))),
        ("normal:2x3x4", "normal:4x2x3"),
        linalg=True,
    ),
    Case("matmul", lambda xp, x, y: xp.linalg.matmul(x, y), ("normal:2x3", "normal:3x4"), linalg=True),
    Case(
        "einsum",
        lambda xp, x, y: xp.einsum("ij,jk->ki", x, y),
        ("normal:2x3", "normal:3x4"),
        "einsum",
        strict=False,
    ),
    Case(
        "einsum",
        lambda xp, x, y: xp.einsum("ijl,j", x, y),
        ("normal:2x3x4", "normal:3"),
        "einsum",
        strict=False,
    ),
    Case(
        "einsum",
        lambda xp, x, y: xp.einsum("ij,kj->k", x, y),
        ("normal:2x3", "normal:4x3"),
        "einsum",
        strict=False,
    ),
    *(
        Case(
            "vector_norm",
            lambda xp, x, p=p: xp.linalg.vector_norm(x, axis=1, ord=p),
            ("apart:3x4",),
            "vector_norm" if p == 2 else None,
            linalg=True,
        )
        for p in (2, 1, 3, float("inf"), -float("inf"))
    ),
    *(
        Case(
            "norm",
            lambda xp, x, o=o, a=a: xp.linalg.norm(x, o, axis=a),
            ("apart:3x4",),
            linalg=True,
            strict=False,
        )
        for o, a in (
            (None, None),
            (None, 0),
            (1, None),
            (-1, None),
            (3, 1),
            (np.inf, None),
            (-np.inf, (0, 1)),
            ("fro", None),
        )
    ),
    Case("matrix_norm", lambda xp, x: xp.linalg.matrix_norm(x, ord=1), ("apart:2x3x4",), linalg=True),
    Case("matrix_norm", lambda xp, x: xp.linalg.matrix_norm(x), ("normal:2x3x4",), linalg=True),
    Case("reshape", lambda xp, x: xp.reshape(x, (2, -1)), ("normal:3x4",), "reshape"),
    Case("ravel", lambda xp, x: xp.ravel(x), ("normal:3x4",), strict=False),
    Case("permute_dims", lambda xp, x: xp.permute_dims(x, (2, 0, 1)), ("normal:2x3x4",), "permute_dims"),
    Case("transpose", lambda xp, x: xp.transpose(x) * xp.transpose(x, (1, 0)), ("normal:3x4",), strict=False),
    Case("matrix_transpose", lambda xp, x: xp.matrix_transpose(x), ("normal:2x3x4",)),
    Case("matrix_transpose", lambda xp, x: xp.linalg.matrix_transpose(x), ("normal:2x3x4",), linalg=True),
    Case("swapaxes", lambda xp, x: xp.swapaxes(x, 0, -1), ("normal:2x3x4",), strict=False),
    Case("moveaxis", lambda xp, x: xp.moveaxis(x, (0, 1), (-1, 0)), ("normal:2x3x4",)),
    Case("squeeze", lambda xp, x: xp.squeeze(x, axis=1), ("normal:3x1x4",)),
    Case("expand_dims", lambda xp, x: xp.expand_dims(x, axis=1), ("normal:3x4",)),
    Case("broadcast_to", lambda xp, x: xp.broadcast_to(x, (5, 3, 4)), ("normal:3x1",), "broadcast_to"),
    Case("broadcast_arrays", lambda xp, x, y: xp.broadcast_arrays(x, y)[1] * x, ("normal:3x1", "normal:4")),
    Case("flip", lambda xp, x: xp.flip(x, axis=0), ("normal:3x4",), "flip"),
    Case("roll", lambda xp, x: xp.roll(x, 2, axis=1), ("normal:3x4",), "roll"),
    Case("roll", lambda xp, x: xp.roll(x, (1, -1), axis=(0, 1)), ("normal:3x4",), "roll"),
    Case("roll", lambda xp, x: xp.roll(x, 5), ("normal:3x4",), "roll"),
    Case(
        "full", lambda xp, x: namespace(x).full((2, 3), x[0, 0]) * x[0, 1], ("normal:3x4",)
    ),  # NumPy's own does not dispatch
    Case("full_like", lambda xp, x: xp.full_like(x, x[0, 0]) * x, ("normal:3x4",)),
    Case("full_like", lambda xp, x: xp.full_like(x, 2.0) * x, ("normal:3x4",)),
    Case("tile", lambda xp, x: xp.tile(x, (2, 1, 3)), ("normal:3x4",)),
    Case("repeat", lambda xp, x: xp.repeat(x, 3, axis=1), ("normal:3x4",)),
    Case("repeat", lambda xp, x: xp.repeat(x, host(xp, [1, 0, 2]), axis=0), ("normal:3x4",)),
    Case("tril", lambda xp, x: xp.tril(x, k=-1), ("normal:4x4",), "tril"),
    Case("triu", lambda xp, x: xp.triu(x, k=1), ("normal:4x4",), "triu"),
    Case("atleast_1d", lambda xp, x: xp.atleast_1d(x), ("normal",), strict=False),
    Case("atleast_2d", lambda xp, x: xp.atleast_2d(x), ("normal:3",), strict=False),
    Case("concat", lambda xp, x, y: xp.concat([x, y, x], axis=1), ("normal:3x2", "normal:3x4"), "concat"),
    Case("concat", lambda xp, x, y: xp.concat((x, y), axis=None), ("normal:3x2", "normal:4"), "concat"),
    Case("concatenate", lambda xp, x, y: xp.concatenate([x, y]), ("normal:3x2", "normal:1x2"), strict=False),
    Case("stack", lambda xp, x, y: xp.stack([x, y, x], axis=-1), ("normal:3x2", "normal:3x2"), "stack"),
    Case("unstack", lambda xp, x: xp.unstack(x, axis=1)[1], ("normal:3x2",)),
    Case("hstack", lambda xp, x, y: xp.hstack([x, y]), ("normal:3x2", "normal:3x1"), strict=False),
    Case("vstack", lambda xp, x, y: xp.vstack([x, y]), ("normal:3x2", "normal:2"), strict=False),
    Case("column_stack", lambda xp, x, y: xp.column_stack([x, y]), ("normal:3x2", "normal:3"), strict=False),
    *(
        Case("getitem", lambda xp, x, at=at: x[at], ("normal:3x4x2",), "gather")
        for at in (
            (1, ...),
            (slice(None, None, 2), ...),
            (..., 0),
            (slice(2, 0, -1), 1, slice(None)),
            (None, slice(None), 0, ...),
        )
    ),
    Case("getitem", lambda xp, x: x[host(xp, INDEX)], ("normal:3",), "gather"),
    Case("getitem", lambda xp, x: x[host(xp, INDEX), host(xp, INDEX)], ("normal:3x4",), "gather"),
    Case("getitem", lambda xp, x: x[:, INDEX] * x[INDEX].T, ("normal:3x3",), "gather", strict=False),
    Case("getitem", lambda xp, x: x[MASK], ("normal:3x4",), "gather", strict=False),
    Case("take", lambda xp, x: xp.take(x, host(xp, INDEX), axis=1), ("normal:3x4",), "scatter"),
    Case(
        "take_along_axis",
        lambda xp, x: xp.take_along_axis(x, host(xp, MATCHED), axis=1),
        ("normal:3x4",),
        "gather",
    ),
    Case("diagonal", lambda xp, x: xp.linalg.diagonal(x, offset=1), ("normal:2x3x4",), linalg=True),
    Case("diagonal", lambda xp, x: xp.diagonal(x, -1), ("normal:3x2x4",), strict=False),
    Case("trace", lambda xp, x: xp.linalg.trace(x, offset=-1), ("normal:2x3x4",), linalg=True),
    Case("trace", lambda xp, x: xp.trace(x), ("normal:3x2x4",), strict=False),
    Case("diff", lambda xp, x: xp.diff(x, n=2, axis=0), ("normal:4x2",), strict=False),
    *(
        Case(name, lambda xp, x, name=name: getattr(xp, name)(x) * x, ("normal:3",), strict=False)
        for name in ("conj", "real", "copy")
    ),
    Case("amax", lambda xp, x: xp.amax(x), ("apart:3x4",), strict=False),
    Case("amin", lambda xp, x: xp.amin(x), ("apart:3x4",), strict=False),
    *MORE,
]
# other names of functions that have a case
ALIASES = {"conjugate": "conj", "ascontiguousarray": "copy", "asarray_chkfinite": "copy"}
NUMBERED = [pytest.param(case, id=f"{case.name}-{i}") for i, case in enumerate(CASES)]


def arguments(case: Case, number: int = 0) -> tuple[int, list[Any]]:
    """Seed and inputs of a case."""
    seed = zlib.crc32(f"{case.name}{CASES.index(case)}{number}".encode())
    rng = np.random.default_rng(seed)
    return seed, [draw(words, rng) for words in case.draws]


def scalar(case: Case, xp: Any, weights: Any, *args: Any) -> Any:
    """The case's result against fixed weights, so that every entry of it matters."""
    return xp.sum(case.f(xp, *args) * weights)


def weights_of(case: Case, args: list[Any], seed: int) -> Any:
    return np.random.default_rng(seed + 1).uniform(0.5, 1.5, np.shape(case.f(np, *args)))


def central(f: Callable[..., Any], args: list[Any], place: int) -> Any:
    """Central differences, one entry at a time."""
    x = args[place]
    found = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        h = 6e-6 * max(1.0, abs(float(x[at])))
        ends = []
        for sign in (1.0, -1.0):
            moved = x.copy()
            moved[at] += sign * h
            ends.append(float(f(*args[:place], moved, *args[place + 1 :])))
        found[at] = (ends[0] - ends[1]) / (2.0 * h)
    return found


def test_every_rule_has_a_case() -> None:
    assert set(RULES) - {case.rule for case in CASES} == set()


# what HIPS autograd 1.9 has rules for in numpy, numpy.linalg and numpy.fft (its own helpers left out)
AUTOGRAD = """
absolute add amax amin angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh array_split astype atleast_1d
atleast_2d atleast_3d broadcast_to clip concatenate conjugate cos cosh cross cumsum deg2rad degrees diag diagonal diff
divide dot dsplit einsum exp exp2 expand_dims expm1 fabs fliplr flipud fmax fmin full gradient hsplit hypot imag inner
kron linspace log log10 log1p log2 logaddexp logaddexp2 matmul max maximum mean min minimum moveaxis multiply nan_to_num
negative outer pad partition power prod rad2deg radians ravel real real_if_close reciprocal remainder repeat reshape
roll rollaxis rot90 sin sinc sinh sort split sqrt square squeeze std subtract sum swapaxes tan tanh tensordot tile trace
transpose tril triu var vsplit where
linalg.cholesky linalg.det linalg.eig linalg.eigh linalg.inv linalg.norm linalg.pinv linalg.slogdet linalg.solve
linalg.svd fft.fft fft.fft2 fft.fftn fft.fftshift fft.ifft fft.ifft2 fft.ifftn fft.ifftshift fft.irfft fft.irfft2
fft.irfftn fft.rfft fft.rfft2 fft.rfftn
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", AUTOGRAD)
def test_what_autograd_differentiates_we_do(name: str) -> None:
    part, _, last = name.rpartition(".")
    known = {"linalg": LINALG, "fft": FOURIER, "": FUNCTIONS}[part]
    assert UFUNC_NAMES.get(last, last) in known


def test_every_function_has_a_case() -> None:
    cased = {case.name for case in CASES} | {ALIASES.get(name, name) for name in ALIASES} | set(ALIASES)
    assert set(FUNCTIONS) - cased == set()
    assert set(LINALG) - {case.name for case in CASES if case.linalg} == set()
    assert set(FOURIER) - {case.name for case in CASES if case.fourier} == set()


@pytest.mark.parametrize("case", NUMBERED)
def test_against_central_differences(case: Case) -> None:
    seed, args = arguments(case)
    w = weights_of(case, args, seed)
    if case.rule == "astype":
        pytest.skip("not applicable: a rounded function has no differences")
    gradients = grad(lambda *x: scalar(case, np, w, *x), tuple(range(len(args))))(*args)
    for place, g in enumerate(gradients):
        wanted = central(lambda *x: scalar(case, np, w, *x), args, place)
        # h² f‴/6 + eps |f| / h, with |f| and f‴ of order 10 in every case
        np.testing.assert_allclose(g, wanted, rtol=1e-7, atol=2e-8, err_msg=f"argument {place}, seed {seed}")
        assert type(g) is np.ndarray
        assert g.dtype == np.float64


@pytest.mark.parametrize("case", NUMBERED)
def test_the_value_is_numpy_s(case: Case) -> None:
    seed, args = arguments(case)
    wanted = case.f(np, *args)
    found, _ = vjp(lambda *x: case.f(np, *x), *args)
    # reductions and products in another order: a few roundings of what is of order 10
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-14, err_msg=f"seed {seed}")
    assert np.shape(found) == np.shape(wanted)


def in_jax(case: Case, xp: Any) -> bool:
    return case.jax and (case.linalg or case.fourier or case.name == "getitem" or hasattr(xp, case.name))


@pytest.fixture(scope="module")
def by_jax() -> dict[int, Any]:
    """JAX's gradients of all cases, compiled as one program: alone, each would take longer than all of them here."""
    jax = pytest.importorskip("jax")
    xp = jax.numpy
    with jax.enable_x64(True):
        inputs, functions = {}, {}
        for number, case in enumerate(CASES):
            if in_jax(case, xp):
                seed, args = arguments(case)
                inputs[number] = (weights_of(case, args, seed), args)
                places = tuple(range(1, len(args) + 1))
                functions[number] = jax.grad(lambda w, *x, case=case: scalar(case, xp, w, *x), places)

        def together(given: Any) -> Any:
            return {number: functions[number](w, *args) for number, (w, args) in given.items()}

        compiled = jax.jit(together, compiler_options={"xla_backend_optimization_level": 0})
        return jax.tree.map(np.asarray, compiled(inputs))


@pytest.mark.parametrize("number", [pytest.param(i, id=p.id) for i, p in enumerate(NUMBERED)])
def test_against_jax(number: int, by_jax: dict[int, Any]) -> None:
    case = CASES[number]
    if number not in by_jax:
        pytest.skip(f"not applicable: jax.numpy has no {case.name} of this kind")
    seed, args = arguments(case)
    w = weights_of(case, args, seed)
    mine = grad(lambda *x: scalar(case, np, w, *x), tuple(range(len(args))))(*args)
    for a, b in zip(mine, by_jax[number], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13, err_msg=f"seed {seed}")


@pytest.mark.parametrize("case", [p for p in NUMBERED if p.values[0].strict])
def test_on_strict(case: Case) -> None:
    seed, args = arguments(case)
    w = weights_of(case, args, seed)
    places = tuple(range(1, len(args) + 1))
    mine = grad(lambda w, *x: scalar(case, np, w, *x), places)(w, *args)
    strict = array_api_strict
    given = [strict.asarray(x) for x in (w, *args)]
    found = grad(lambda w, *x: scalar(case, x[0].__array_namespace__(), w, *x), places)(*given)
    for a, b in zip(mine, found, strict=True):
        assert type(b) is type(given[0])
        np.testing.assert_allclose(
            backend("strict").to_numpy(b), a, rtol=1e-13, atol=1e-14, err_msg=f"seed {seed}"
        )


@pytest.mark.parametrize("case", [p for p in NUMBERED if p.values[0].smooth])
def test_the_gradient_of_the_gradient(case: Case) -> None:
    seed, args = arguments(case, 1)
    w = weights_of(case, args, seed)
    rng = np.random.default_rng(seed + 2)
    places = tuple(range(len(args)))
    directions = [rng.standard_normal(x.shape) for x in args]

    def inner(*x: Any) -> Any:
        # the square makes every second derivative matter, of linear functions too
        return scalar(case, np, w, *x) ** 2 / 2

    def slope(*x: Any) -> Any:
        gradients = grad(inner, places)(*x)
        return sum(np.sum(g * v) for g, v in zip(gradients, directions, strict=True))

    found = grad(slope, places)(*args)
    h = 1e-5
    ends = [
        grad(inner, places)(*(x + s * h * v for x, v in zip(args, directions, strict=True)))
        for s in (1.0, -1.0)
    ]
    for g, high, low in zip(found, *ends, strict=True):
        wanted = (high - low) / (2.0 * h)
        np.testing.assert_allclose(
            g, wanted, rtol=1e-5, atol=1e-5 * (1.0 + np.abs(wanted).max()), err_msg=f"seed {seed}"
        )


@pytest.mark.parametrize("case", [p for p in NUMBERED if p.values[0].strict and p.values[0].smooth])
def test_the_gradient_of_the_gradient_on_strict(case: Case) -> None:
    seed, args = arguments(case, 1)
    w = weights_of(case, args, seed)
    rng = np.random.default_rng(seed + 2)
    count = len(args)
    directions = [rng.standard_normal(x.shape) for x in args]

    def slope(*given: Any) -> Any:
        xp, places = namespace(*given), tuple(range(1, count + 1))
        w, x, v = given[0], given[1 : count + 1], given[count + 1 :]
        gradients = grad(lambda w, *x: scalar(case, xp, w, *x) ** 2 / 2, places)(w, *x)
        return sum(xp.sum(g * direction) for g, direction in zip(gradients, v, strict=True))

    places = tuple(range(1, count + 1))
    wanted = grad(slope, places)(w, *args, *directions)
    found = grad(slope, places)(*(array_api_strict.asarray(x) for x in (w, *args, *directions)))
    for a, b in zip(wanted, found, strict=True):
        assert type(b) is type(array_api_strict.asarray(0.0))
        np.testing.assert_allclose(
            backend("strict").to_numpy(b), a, rtol=1e-11, atol=1e-12, err_msg=f"seed {seed}"
        )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("case", NUMBERED)
def test_the_dtype_is_the_primal_s(case: Case, dtype: str) -> None:
    if case.rule == "astype":
        pytest.skip("not applicable: the case is about dtypes")
    if dtype == "float16" and (case.linalg or not case.half):
        pytest.skip("not applicable: NumPy has no half precision of linalg and of complex numbers")
    if not case.narrow:
        pytest.skip("not applicable: the function is of float64 beside this case's own numbers")
    _, args = arguments(case)
    narrow = [x.astype(dtype) for x in args]
    y, pullback = vjp(lambda *x: case.f(np, *x), *narrow)
    assert y.dtype == dtype
    for g, x in zip(pullback(np.ones_like(y)), narrow, strict=True):
        assert g.dtype == dtype
        assert g.shape == x.shape
