"""The engine of `pillars bench`: problems, timing, parity, gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillars._errors import no_such_name
from pillars.measure._audit import Audit, AuditRow, AuditState, audit, run_audit
from pillars.measure._bench import backend_states, run_bench
from pillars.measure._capabilities import CapabilityRow, CapabilityTable, capability_table
from pillars.measure._ceiling import Ceiling, measure_ceilings
from pillars.measure._compare import Change, Comparison, compare
from pillars.measure._environment import Environment, environment
from pillars.measure._interval import Proportion, wilson_interval
from pillars.measure._job import run_job
from pillars.measure._reading import load_bench
from pillars.measure._results import (
    BackendState,
    Bench,
    GradientRow,
    Job,
    JobRun,
    OperationRow,
    PeerTime,
    Reduction,
    Side,
    as_json,
)
from pillars.measure._schema import BACKENDS
from pillars.measure._timing import Candidate, Timing, first_call, race, summarise
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
