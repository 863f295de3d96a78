"""Every contract, on every operation there is, on every backend that it speaks of. Nobody writes a test for these."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import (
    bad_inputs,
    caches,
    depth,
    derivatives,
    grad,
    interface,
    jit,
    kernels,
    kinds,
    oracle,
    parity,
    purity,
    scale,
    special_points,
    vmap,
)
from contracts._support import NotApplicable, operations, procedures
from contracts._variants import GPU_VARIANTS, variant
from oracles import ORACLES
from pillars.backends import Record

SEEDS = (0, 1)

# the contract, its check, where it runs, with how many seeds
CONTRACTS: list[tuple[str, Any, tuple[str, ...], int]] = [
    ("oracle", oracle.check, oracle.RUNS_ON, 2),
    ("kernel", kernels.check, kernels.RUNS_ON, 2),
    ("kind", kinds.check, kinds.RUNS_ON, 1),
    ("purity", purity.check, purity.RUNS_ON, 1),
    ("parity", parity.check, parity.RUNS_ON, 2),
    ("scale", scale.check, scale.RUNS_ON, 2),
    ("jit", jit.check, jit.RUNS_ON, 1),
    ("vmap", vmap.check, vmap.RUNS_ON, 1),
    ("grad", grad.check, grad.RUNS_ON, 1),
    ("depth", depth.check, depth.RUNS_ON, 1),
    ("traced-cotangent", depth.check_cotangent, depth.COTANGENT_RUNS_ON, 1),
    ("differences", derivatives.check, derivatives.RUNS_ON, 2),
    ("autodiff", derivatives.check_autodiff, ("numpy",), 2),
    ("complex-step", derivatives.check_complex_step, ("numpy",), 2),
    ("special-points", special_points.check, special_points.RUNS_ON, 1),
    ("needs", derivatives.check_needs, ("numpy",), 1),
    ("bad-inputs", bad_inputs.check, bad_inputs.RUNS_ON, 1),
    ("mixed", bad_inputs.check_mixed, bad_inputs.RUNS_ON, 1),
    ("caches", caches.check, caches.RUNS_ON, 1),
    ("interface", interface.check, interface.RUNS_ON, 1),
]


# the derivative that is its own rule: the functions of matrices above it run it at every depth
_LONG = frozenset({("depth", "linalg.directional"), ("special-points", "linalg.directional")})


def _marks(contract: str, record: Record, seed: int) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if seed > 0 or (contract, record.name) in _LONG else []


def cases() -> list[Any]:
    gpu = {one.id for one in GPU_VARIANTS}
    return [
        pytest.param(
            check,
            record,
            name,
            seed,
            id=f"{contract}-{record.name}-{name}-seed{seed}",
            marks=_marks(contract, record, seed) + ([pytest.mark.gpu] if name in gpu else []),
        )
        for contract, check, names, seeds in CONTRACTS
        for record in operations()
        for name in names
        for seed in SEEDS[:seeds]
    ]


@pytest.mark.parametrize(("check", "record", "name", "seed"), cases())
def test_contract(check: Any, record: Record, name: str, seed: int) -> None:
    where = variant(name)
    reason = where.why_not()
    if reason is not None:
        pytest.skip(f"not run: {reason}")
    try:
        with where.strictest():
            check(record, where, seed)
    except NotApplicable as reason:
        pytest.skip(f"not applicable: {reason}")


@pytest.mark.parametrize("record", procedures(), ids=lambda record: record.name)
def test_a_procedure_is_a_real_function(record: Record) -> None:
    interface.check(record, variant("numpy"), 0)


def test_every_operation_has_an_oracle() -> None:
    assert [record.name for record in operations() if record.name not in ORACLES] == []
