from __future__ import annotations

import numpy as np
import pytest

import pillars.probability  # its records are what the table is made of
from pillars.backends import Call, Draw, capabilities, capability, namespace, operation, records, require
from pillars.backends._capabilities import FEATURES
from pillars.backends._record import _records


@pytest.fixture
def toy():
    """An operation that no jit can follow, taken off the list again afterwards."""

    def points(draw: Draw) -> Call:
        return Call.of(draw.normal(3))

    @operation(domain=points, unsupported={"jit": "its result's length depends on the numbers"})
    def positives(x: pillars._typing.Array, /) -> pillars._typing.Array:
        xp = namespace(x)
        return xp.maximum(x, xp.zeros_like(x))

    yield positives
    del _records[positives.record.name]


def test_every_cell_is_there_once_with_a_reason():
    table = capabilities()
    cells = [(row.operation, row.backend, row.feature) for row in table]
    assert len(cells) == len(set(cells)) == len(records()) * 3 * len(FEATURES)
    assert all(row.level in {"native", "generic", "no"} and row.reason for row in table)


def test_the_table_says_what_the_record_says():
    record = pillars.softmax.record
    assert capability(record, "numpy", "jit").level == "no"
    assert capability(record, "numpy", "grad") == (
        record.name,
        "numpy",
        "grad",
        "native",
        "hand-derived gradient",
    )
    assert capability(record, "numpy", "vmap").level == "generic"
    assert capability(record, "jax", "jit").level == "native"


def test_a_no_is_a_capability_error_with_the_reason(toy):
    assert capability(toy.record, "jax", "jit").level == "no"
    with pytest.raises(pillars.CapabilityError, match="depends on the numbers"):
        require(toy.record, "jax", "jit", "Call it outside.")
    np.testing.assert_array_equal(toy(np.array([-1.0, 2.0])), [0.0, 2.0])


def test_under_jit_the_same_error_reaches_the_user(toy):
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([-1.0, 2.0])
    np.testing.assert_array_equal(toy(x), [0.0, 2.0])
    with pytest.raises(pillars.CapabilityError, match=r"positives.*jit.*depends on the numbers"):
        jax.jit(toy)(x)


def test_the_table_costs_no_library():
    import subprocess
    import sys

    code = (
        "import sys, pillars.probability, pillars.backends as b; rows = b.capabilities();"
        "assert any(r.backend == 'cupy' for r in rows);"
        "assert not {'jax', 'cupy'} & set(sys.modules), 'the table imported a library'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
