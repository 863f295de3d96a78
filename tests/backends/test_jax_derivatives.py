"""A record's own rules on JAX: custom_jvp keeps every transform, custom_vjp the reverse ones; both see integers."""

from __future__ import annotations

import numpy as np
import pytest

from backends._toys import make_power_sum

jax = pytest.importorskip("jax")
jnp = jax.numpy

X = np.asarray([0.5, 1.5, 2.0], np.float32)
COUNTS = np.asarray([1, 0, 2], np.int32)
CLOSE = {"rtol": 64 * np.finfo(np.float32).eps}


@pytest.fixture(params=["jvp", "vjp"])
def ruled(request):
    return make_power_sum(request.param)


@pytest.fixture
def plain():
    return make_power_sum("body")


def call(f, **options):
    return lambda x, exponent: f(x, jnp.asarray(COUNTS), exponent=exponent, **options)


TRANSFORMS = {
    "value": lambda f: f,
    "grad": lambda f: jax.grad(f, argnums=(0, 1)),
    "jit of grad": lambda f: jax.jit(jax.grad(f, argnums=(0, 1))),
    "grad of jit": lambda f: jax.grad(jax.jit(f), argnums=(0, 1)),
    "vmap of grad": lambda f: lambda x, p: jax.vmap(jax.grad(f), (0, None))(jnp.stack([x, 2 * x]), p),
    "grad of vmap": lambda f: jax.grad(
        lambda x, p: jnp.sum(jax.vmap(f, (0, None))(jnp.stack([x, x]), p)), (0, 1)
    ),
    "jacrev": jax.jacrev,
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("power", [1, 3])
def test_reverse_transforms(ruled, plain, name, power):
    transform = TRANSFORMS[name]
    got = transform(call(ruled, power=power))(jnp.asarray(X), 1.5)
    expected = transform(call(plain, power=power))(jnp.asarray(X), 1.5)
    jax.tree_util.tree_map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), got, expected)
    if name != "value":
        assert ruled.runs
        assert not plain.runs


FORWARD = {
    "jvp": lambda f: lambda x, p: jax.jvp(f, (x, p), (jnp.ones_like(x), 1.0))[1],
    "jacfwd": jax.jacfwd,
    "grad of grad": lambda f: lambda x, p: jax.grad(lambda v: jnp.sum(jax.grad(f)(v, p)))(x),
    "hessian": jax.hessian,
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_transforms_where_the_rule_is_a_jvp(plain, name):
    ruled = make_power_sum("jvp")
    transform = FORWARD[name]
    got, expected = transform(call(ruled))(jnp.asarray(X), 1.5), transform(call(plain))(jnp.asarray(X), 1.5)
    np.testing.assert_allclose(got, expected, **CLOSE)
    assert "jvp" in ruled.runs


def test_a_custom_vjp_ends_forward_mode_and_explain_says_so():
    import pillars

    ruled = make_power_sum("vjp")
    with pytest.raises(TypeError, match="custom_vjp"):
        FORWARD["jvp"](call(ruled))(jnp.asarray(X), 1.5)
    reason = pillars.explain(ruled, jnp.asarray(X), jnp.asarray(COUNTS)).reason
    assert "custom_vjp: reverse mode only" in reason


def test_reverse_of_reverse_works_with_a_custom_vjp(plain):
    ruled = make_power_sum("vjp")
    for transform in (FORWARD["grad of grad"], lambda f: jax.jacrev(jax.grad(f))):
        got, expected = (
            transform(call(ruled))(jnp.asarray(X), 1.5),
            transform(call(plain))(jnp.asarray(X), 1.5),
        )
        np.testing.assert_allclose(got, expected, **CLOSE)


def test_integers_have_no_gradient_and_do_not_stop_one(ruled):
    def f(x, counts):
        return ruled(x, counts, exponent=2.0)

    zeros = jax.grad(f, argnums=1, allow_int=True)(jnp.asarray(X), jnp.asarray(COUNTS))
    assert zeros.dtype == jax.dtypes.float0
    assert jax.grad(f)(jnp.asarray(X), jnp.asarray(COUNTS)).dtype == np.float32


def test_a_number_is_not_rounded_to_an_integer_where_all_arrays_are(ruled):
    exact = ruled(jnp.asarray([1, 4]), jnp.asarray([1, 1]), exponent=0.5)
    np.testing.assert_allclose(exact, 3.0, **CLOSE)


def test_one_rule_per_statics_and_one_compilation_for_all_numbers(ruled):
    for exponent in np.linspace(0.5, 2.0, 20):
        ruled(jnp.asarray(X), jnp.asarray(COUNTS), exponent=float(exponent))
    assert ruled.record.cache["jit"]._cache_size() == 1
    ruled(jnp.asarray(X), jnp.asarray(COUNTS), power=2)
    assert ruled.record.cache["jit"]._cache_size() == 2


def test_half_precision_keeps_its_dtype_backwards(ruled):
    x = jnp.asarray(X, jnp.bfloat16)
    assert jax.grad(lambda v: ruled(v, jnp.asarray(COUNTS)).astype("float32"))(x).dtype == jnp.bfloat16
