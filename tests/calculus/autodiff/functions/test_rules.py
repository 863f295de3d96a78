"""Every rule of the table and every function of the traced namespace, against numbers and against JAX.

A rule or function without a case here fails `test_every_rule_has_a_case` or `test_every_function_has_a_case`.
"""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np
import pytest

from calculus._traced_cases import NUMBERED, arguments, central, scalar, weights_of
from pillars.backends import backend, namespace
from pillars.calculus import grad, vjp
from pillars.calculus.autodiff._dispatch import UFUNC_NAMES
from pillars.calculus.autodiff._rule import RULES
from pillars.calculus.autodiff.functions._table import FOURIER, FUNCTIONS, LINALG
from pillars.measure.audit.cases import CASES, Case

# other names of functions that have a case
ALIASES = {"conjugate": "conj", "ascontiguousarray": "copy", "asarray_chkfinite": "copy"}


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
