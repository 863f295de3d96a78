"""embedding: rows by number, its gradient with repeated numbers, and numbers that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contracts._variants import Variant
from pillars import DTypeError, ShapeError, grad
from pillars.backends import Draw, namespace
from pillars.calculus import hvp
from pillars.layers import embedding
from pillars.layers._embedding import scatter_rows
from running import ONCE, eps, on, pullback


@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (0,), (2, 0, 3)], ids=str)
def test_rows(variant: Variant, draw: Draw, shape: tuple[int, ...]) -> None:
    table = draw.normal(5, 4).astype(variant.default_float)
    indices = draw.integers(0, 5, *shape)
    y = on(variant, embedding, table, indices)
    assert y.shape == (*shape, 4)
    assert np.array_equal(y, table[indices])


def test_one_hot_rows_times_the_table(variant: Variant, draw: Draw) -> None:
    table, indices = draw.normal(6, 3), draw.integers(0, 6, 20)
    y = on(variant, embedding, table, indices)
    assert np.allclose(y, np.eye(6)[indices] @ table, rtol=0, atol=eps(variant))


def test_a_row_of_nan_stays_where_it_is_asked_for(variant: Variant) -> None:
    table = np.ones((3, 2))
    table[1] = np.nan
    y = on(variant, embedding, table, np.asarray([0, 1, 2]))
    assert np.array_equal(np.isnan(y), [[False] * 2, [True] * 2, [False] * 2])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_integers_of_any_width(variant: Variant, draw: Draw, dtype: str) -> None:
    table = draw.normal(1000, 2).astype(variant.default_float)  # more rows than a byte can count
    indices = draw.integers(0, 100, 30).astype(dtype)
    placed = variant.asarray(table), variant.asarray(indices, dtype)
    assert np.array_equal(variant.to_numpy(variant.compiled(embedding)(*placed)), table[indices])


@ONCE
@pytest.mark.parametrize("shape", [(), (40,), (4, 10), (0,)], ids=str)
def test_the_gradient_sums_repeated_rows(variant: Variant, draw: Draw, shape: tuple[int, ...]) -> None:
    table, indices = draw.normal(5, 3), draw.integers(0, 5, *shape)
    g = draw.normal(*shape, 3)
    dtable, dindices = pullback(variant, embedding, g, table, indices)
    expected = np.zeros((5, 3))
    np.add.at(expected, indices.reshape(-1), g.reshape(-1, 3))
    assert dindices is None
    assert np.allclose(dtable, expected, rtol=0, atol=40 * eps(variant))


@ONCE
def test_what_is_not_finite_stays_in_its_row(variant: Variant) -> None:
    g = np.ones((4, 2))
    g[2] = np.nan
    dtable, _ = pullback(variant, embedding, g, np.ones((3, 2)), np.asarray([0, 0, 1, 2]))
    assert np.array_equal(dtable[[0, 2]], [[2.0, 2.0], [1.0, 1.0]])
    assert np.all(np.isnan(dtable[1]))


def test_a_table_of_no_features_has_a_gradient_of_none(variant: Variant) -> None:
    table, indices = np.ones((3, 0)), np.asarray([0, 1])
    assert pullback(variant, embedding, np.ones((2, 0)), table, indices)[0].shape == (3, 0)


def test_gradients_of_gradients_on_numpy(draw: Draw) -> None:
    table, indices, direction = draw.normal(4, 2), np.asarray([1, 1, 3]), draw.normal(4, 2)

    def loss(t: Any) -> Any:
        rows = embedding(t, indices)
        return (rows * rows * rows).sum()

    hessian_times = grad(lambda t: (grad(loss)(t) * direction).sum())(table)
    counts = np.bincount(indices, minlength=4)[:, None]
    assert np.allclose(hessian_times, 6 * counts * table * direction, rtol=1e-13, atol=0)


def test_scattering_is_the_adjoint(variant: Variant, draw: Draw) -> None:
    table, g, places = draw.normal(6, 3), draw.normal(15, 3), draw.integers(0, 6, 15)
    rows = on(variant, embedding, table, places)
    back = on(variant, scatter_rows, g, places, rows=6)
    assert np.sum(rows * g) == pytest.approx(np.sum(table * back), rel=200 * eps(variant), abs=0)


def test_places_outside_the_table_are_dropped(variant: Variant) -> None:
    got = on(variant, scatter_rows, np.ones((4, 2)), np.asarray([-1, 0, 2, 7]), rows=3)
    assert np.array_equal(got, [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])


def test_torch(draw: Draw) -> None:
    torch = pytest.importorskip("torch")
    table, indices, g = draw.normal(9, 4), draw.integers(0, 9, 6, 5), draw.normal(6, 5, 4)
    theirs = torch.tensor(table, requires_grad=True)
    y = torch.nn.functional.embedding(torch.from_numpy(indices), theirs)
    y.backward(torch.from_numpy(g))
    assert np.array_equal(embedding(table, indices), y.detach().numpy())
    dtable = pullback(Variant("numpy", "numpy"), embedding, g, table, indices)[0]
    assert np.allclose(dtable, theirs.grad.numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (
            [[0, 1], [2, 5]],
            (
                r"^embedding 'tokens': indices\[1, 1\] is 5, expected the number of a row in \[0, 4\) of the table "
                r"of shape \(4, 3\) \(1 of 4 are outside\)\. The table needs more than 5 rows for these\.$"
            ),
        ),
        ([3, -1, 9], r"indices\[1\] is -1, expected .* \(2 of 3 are outside\)\. Count rows from 0\."),
        (4, r"the index is 4, expected"),
    ],
)
@pytest.mark.parametrize("name", ["numpy", "strict"])
def test_numbers_of_no_row_on_the_host(name: str, indices: Any, message: str) -> None:
    where = Variant(name, name)
    if name == "strict":  # whose numbers are not looked at: it stands for a device
        rows = on(where, embedding, np.ones((4, 3)), np.asarray(indices))
        outside = (np.asarray(indices) < 0) | (np.asarray(indices) >= 4)
        assert np.array_equal(np.isnan(rows).all(-1), outside)
        return
    with pytest.raises(ShapeError, match=message):
        embedding(np.ones((4, 3)), np.asarray(indices), name="tokens")


def test_numbers_of_no_row_on_jax() -> None:
    jax = pytest.importorskip("jax")
    table, indices = jax.numpy.ones((4, 3)), jax.numpy.asarray([0, -1, 4, 3])
    for rows in (embedding(table, indices), jax.jit(embedding)(table, indices)):
        assert np.array_equal(np.isnan(rows).all(-1), [False, True, True, False])
    slope = jax.grad(lambda t: jax.numpy.nansum(embedding(t, indices)))(table)
    assert np.array_equal(slope, [[1.0] * 3, [0.0] * 3, [0.0] * 3, [1.0] * 3])


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (), (0, 3)], ids=str)
def test_tables_that_are_none(variant: Variant, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ShapeError, match=r"^embedding: table has shape .*expected \(v, d\) with v at least 1"
    ):
        on(variant, embedding, np.ones(shape), np.asarray([0]))


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_numbers_that_are_no_integers(variant: Variant, dtype: str) -> None:
    placed = variant.asarray(np.ones((4, 3))), variant.asarray(np.asarray([0, 1]), dtype)
    with pytest.raises(DTypeError, match=rf"^embedding 'e': indices have dtype {dtype}, expected integers"):
        variant.compiled(lambda t, i: embedding(t, i, name="e"))(*placed)


# -------------------------------------------------------------------------------------------------------------- padding
def total(x: Any) -> Any:
    return namespace(x).sum(x)


def test_padding_is_read_as_it_is_and_gets_no_gradient(variant: Variant) -> None:
    dtype = variant.default_float
    table = variant.asarray(np.arange(12.0).reshape(4, 3), dtype)
    for kind in ("int32", "uint8"):
        indices = variant.asarray(np.array([[1, 3, 1], [0, 1, 2]]), kind)
        read = variant.compiled(lambda t, i: embedding(t, i, padding_index=1))
        np.testing.assert_array_equal(
            variant.to_numpy(read(table, indices)), variant.to_numpy(embedding(table, indices))
        )

        def loss(t: Any, indices: Any = indices, padding: int | None = 1) -> Any:
            return total(embedding(t, indices, padding_index=padding) ** 2)

        found = variant.to_numpy(variant.compiled(grad(loss))(table))
        whole = variant.to_numpy(grad(lambda t, i=indices: loss(t, i, None))(table))
        np.testing.assert_array_equal(found[1], np.zeros(3))
        np.testing.assert_array_equal(np.delete(found, 1, 0), np.delete(whole, 1, 0))


def test_a_padding_cotangent_that_is_no_number_goes_nowhere(variant: Variant) -> None:
    table = variant.asarray(np.ones((3, 2)), variant.default_float)
    factor = variant.asarray(np.array([[np.nan], [2.0]]), variant.default_float)
    indices = variant.asarray(np.array([0, 2]), "int32")
    slope = grad(lambda t: total(embedding(t, indices, padding_index=0) * factor))
    assert variant.to_numpy(slope(table)).tolist() == [[0.0, 0.0], [0.0, 0.0], [2.0, 2.0]]


def test_padding_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    table, indices, w = (
        rng.standard_normal((5, 3)),
        rng.integers(0, 5, (4, 6)),
        rng.standard_normal((4, 6, 3)),
    )
    there = torch.tensor(table, requires_grad=True)
    (
        torch.nn.functional.embedding(torch.tensor(indices), there, padding_idx=2) ** 2 * torch.tensor(w)
    ).sum().backward()
    found = grad(lambda t: (embedding(t, indices, padding_index=2) ** 2 * w).sum())(table)
    np.testing.assert_allclose(found, there.grad.numpy(), rtol=1e-12)
    curved = hvp(lambda t: (embedding(t, indices, padding_index=2) ** 2 * w).sum(), table, table)
    assert np.all(curved[2] == 0)


@pytest.mark.parametrize("padding", [3, -1])
def test_padding_outside_the_table_is_refused(padding: int) -> None:
    with pytest.raises(
        ShapeError, match=rf"padding_index is {padding}, expected the number of a row in \[0, 3\)"
    ):
        embedding(np.ones((3, 2)), np.array([0]), padding_index=padding)
