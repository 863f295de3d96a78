"""What is measured of pillars: the bench, the audit of its gradients, its capabilities; and the data for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.measure._capabilities import CapabilityRow, CapabilityTable, capability_table
from pillars.measure.audit import Audit, AuditRow, AuditState, audit, run_audit
from pillars.measure.bench import (
    BACKENDS,
    BackendState,
    Bench,
    Candidate,
    Ceiling,
    Change,
    Comparison,
    Environment,
    GradientRow,
    Job,
    JobRun,
    OperationRow,
    PeerTime,
    Proportion,
    Reduction,
    Side,
    Timing,
    as_json,
    backend_states,
    compare,
    environment,
    first_call,
    load_bench,
    measure_ceilings,
    race,
    run_bench,
    run_job,
    summarise,
    wilson_interval,
)
from pillars.measure.data import DataError, Dataset, load_digits, load_table

__all__ = [
    "BACKENDS",
    "Audit",
    "AuditRow",
    "AuditState",
    "BackendState",
    "Bench",
    "Candidate",
    "CapabilityRow",
    "CapabilityTable",
    "Ceiling",
    "Change",
    "Comparison",
    "DataError",
    "Dataset",
    "Environment",
    "GradientRow",
    "Job",
    "JobRun",
    "OperationRow",
    "PeerTime",
    "Proportion",
    "Reduction",
    "Side",
    "Timing",
    "as_json",
    "audit",
    "backend_states",
    "capability_table",
    "compare",
    "environment",
    "first_call",
    "load_bench",
    "load_digits",
    "load_table",
    "measure_ceilings",
    "race",
    "run_audit",
    "run_bench",
    "run_job",
    "summarise",
    "wilson_interval",
]

if not TYPE_CHECKING:
    __getattr__ = no_such_name(__name__)
