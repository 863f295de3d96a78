"""The engine of `pillars bench`: problems, timing, parity, gradients, peers, and what comes of them."""

from __future__ import annotations

from pillars.measure.bench._bench import backend_states, run_bench
from pillars.measure.bench._ceiling import Ceiling, measure_ceilings
from pillars.measure.bench._compare import Change, Comparison, compare
from pillars.measure.bench._environment import Environment, environment
from pillars.measure.bench._interval import Proportion, wilson_interval
from pillars.measure.bench._job import run_job
from pillars.measure.bench._load_bench import load_bench
from pillars.measure.bench._results import (
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
from pillars.measure.bench._schema import AUDIT, AUDIT_UNITS, BACKENDS, CAPABILITIES
from pillars.measure.bench._timing import Candidate, Timing, first_call, race, summarise

__all__ = [
    "AUDIT",
    "AUDIT_UNITS",
    "BACKENDS",
    "CAPABILITIES",
    "BackendState",
    "Bench",
    "Candidate",
    "Ceiling",
    "Change",
    "Comparison",
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
    "backend_states",
    "compare",
    "environment",
    "first_call",
    "load_bench",
    "measure_ceilings",
    "race",
    "run_bench",
    "run_job",
    "summarise",
    "wilson_interval",
]
