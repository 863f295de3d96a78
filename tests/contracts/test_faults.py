"""Every contract can fail: each planted fault, in each operation, must be noticed by the contract that it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from contracts._faults import FAULTS, Fault
from contracts._support import NotApplicable, operations
from contracts._variants import variant
from contracts.test_contracts import CONTRACTS
from pillars.backends import Record

SAMPLE = "probability.softmax"


def cases() -> list[Any]:
    return [
        pytest.param(
            fault, record, id=f"{fault.contract}-{fault.name}-{fault.variant}-{record.name}".replace(" ", "_")
        )
        for fault in FAULTS
        for record in operations()
        if fault.everywhere or record.name == SAMPLE
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "record"), cases())
def test_a_planted_fault_is_noticed(fault: Fault, record: Record) -> None:
    where = variant(fault.variant)
    reason = where.why_not()
    if reason is not None:
        pytest.skip(f"not run: {reason}")
    try:
        with where.strictest(), fault.plant(record), pytest.raises(AssertionError):
            fault.check(record, where, 0)
    except NotApplicable as reason:
        pytest.skip(f"not applicable: {reason}")


def test_the_record_is_whole_again() -> None:
    for record in operations():
        assert record.body is record.function.__wrapped__  # type: ignore[attr-defined]


def test_every_contract_has_a_fault() -> None:
    broken = {fault.contract.replace(" ", "-") for fault in FAULTS}
    assert {contract for contract, *_ in CONTRACTS} - broken == set()
