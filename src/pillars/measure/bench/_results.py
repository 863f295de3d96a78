"""What a bench found: plain records, and their JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pillars.measure.bench._ceiling import Ceiling
from pillars.measure.bench._environment import Environment
from pillars.measure.bench._interval import Proportion
from pillars.measure.bench._schema import BENCH_UNITS
from pillars.measure.bench._timing import Timing

__all__ = [
    "BackendState",
    "Bench",
    "Crossover",
    "GradientRow",
    "Job",
    "JobRun",
    "OperationRow",
    "PeerTime",
    "Reduction",
    "Reference",
    "Side",
    "as_json",
]


class BackendState(NamedTuple):
    """One backend asked for: whether it ran, on what, and why not.

    Attributes
    ----------
    precision : how float32 products are computed on it ("float32", "tf32", ...).
    device : where its calls run, as a ceiling names it; empty where it did not run.
    double : whether float64 exists without asking: on JAX, x64. The float64 rows ask.
    """

    name: str
    ran: bool
    version: str | None
    devices: tuple[str, ...]
    reason: str
    precision: str
    device: str
    double: bool


class Reference(NamedTuple):
    """The job in float64 on NumPy, by the hand-derived gradient, that every run is compared with."""

    loss: float
    accuracy: Proportion
    steps: int
    status: str


class Reduction(NamedTuple):
    """Principal components of the training rows on one backend, and their scores.

    Attributes
    ----------
    error, bound : of the variances, relative to the largest; what rounding allows.
    angle, angle_bound : the sine of the largest angle between the components' span and the float64 one; 1: any.
    first, steady : seconds for components and scores: the first time, and again.
    failure : why it did not run; empty where it did.
    """

    backend: str
    error: float
    bound: float
    angle: float
    angle_bound: float
    first: float | None
    steady: Timing | None
    ok: bool
    failure: str


class JobRun(NamedTuple):
    """One descent: a backend and a way to the gradient.

    Attributes
    ----------
    gradient : "hand-derived" or "autodiff".
    loss, loss_error, loss_bound : the last training loss, its distance from that of float64 on the same scores, and
        what rounding allows.
    parameter_error, parameter_bound : the same for all parameters together, in the 2-norm relative to float64's.
    accuracy : held-out.
    disagreements : held-out samples whose predicted class differs from that of the job wholly in float64.
    first, steady : seconds for the whole descent: the first time, and again.
    error : why the run failed; empty where it did not.
    """

    backend: str
    gradient: str
    dtype: str
    loss: float
    loss_error: float
    loss_bound: float
    parameter_error: float
    parameter_bound: float
    accuracy: Proportion | None
    disagreements: int
    status: str
    first: float
    steady: Timing | None
    ok: bool
    error: str


class Job(NamedTuple):
    """Standardise, principal components, softmax regression: on a data set.

    Attributes
    ----------
    constant : names of the features that are constant on the training rows: centred, not scaled, and of no effect.
    learning_rate, smoothness : 1/L and L, the bound on the loss's curvature that the rate is derived from.
    steps : of gradient descent from zero.
    components, explained : how many components the regression is on, and the part of the variance that they have;
        0 where they are left out, the data having thousands of rows and of features.
    reductions : a row a backend.
    """

    data: str
    rows: int
    features: int
    classes: int
    train: int
    held_out: int
    constant: tuple[str, ...]
    smoothness: float
    learning_rate: float
    steps: int
    components: int
    explained: float
    reductions: tuple[Reduction, ...]
    reference: Reference
    runs: tuple[JobRun, ...]


class PeerTime(NamedTuple):
    """What a user would otherwise pick, on the same arrays in the same race.

    Attributes
    ----------
    name : "scipy", "scikit-learn", "torch"; "plain": the textbook's lines in the backend's own library, compiled where
        it compiles.
    error, steady, failure : as of an OperationRow.
    """

    name: str
    error: float
    steady: Timing | None
    failure: str


class OperationRow(NamedTuple):
    """One function at one size and dtype on one backend.

    Attributes
    ----------
    error : max |y - y64| / max |y64| against the float64 body on the same inputs.
    bound : what rounding allows, from dtype, size and conditioning.
    transfer : seconds to bring the inputs from the host; None where they live there.
    first : seconds of the first call, compilation included; steady: afterwards.
    bytes, flops : the least that must move and be computed; see :class:`pillars.backends.Cost`.
    least : seconds that these take at the device's ceilings; None where those were not measured.
    peers : what else does the same, where it is installed.
    failure : why it did not run; empty where it did.
    """

    operation: str
    size: str
    shape: str
    backend: str
    dtype: str
    kernel: str
    error: float
    bound: float
    ok: bool
    first: float | None
    transfer: float | None
    steady: Timing | None
    bytes: float | None
    flops: float | None
    least: float | None
    peers: tuple[PeerTime, ...]
    failure: str

    @property
    def reached(self) -> float | None:
        """The share of the device's limit that the steady state reaches."""
        return self.least / self.steady.median if self.steady is not None and self.least is not None else None


class Crossover(NamedTuple):
    """Where the fastest backend of an operation changes.

    Attributes
    ----------
    before, after : the backends that are the fastest below and above.
    bytes : that the call must move at that size, where both take as long: between two measured sizes by a straight line
        through the logarithms.
    """

    operation: str
    before: str
    after: str
    bytes: float


class Side(NamedTuple):
    """One way to a gradient: its error, and its time for value and gradient together.

    Attributes
    ----------
    memory : bytes taken at the peak beside the arguments, results included; None where it cannot be told.
    """

    error: float
    ok: bool
    first: float | None
    steady: Timing | None
    memory: int | None
    failure: str


class GradientRow(NamedTuple):
    """An operation's gradient on one backend: the hand-derived one against automatic differentiation of the body.

    Attributes
    ----------
    bytes, flops, least : as of an OperationRow, for value and gradient together.
    """

    operation: str
    size: str
    shape: str
    backend: str
    dtype: str
    bound: float
    bytes: float
    flops: float
    least: float | None
    hand: Side
    autodiff: Side


class Bench(NamedTuple):
    """Everything one run of `pillars bench` found.

    Attributes
    ----------
    schema : of the JSON; it changes when a reader of the old one would break.
    interrupted : whether Ctrl-C ended it: the rows are those measured until then.
    ceilings : what each device copies and multiplies at best, measured in this run.
    findings : what is wrong, a line each.
    remarks : where a library's own autodiff of a body is off and the hand-derived gradient is right, a line each.
    units : field -> unit, for the numbers in the JSON.
    """

    schema: str
    quick: bool
    environment: Environment
    backends: tuple[BackendState, ...]
    ceilings: tuple[Ceiling, ...]
    job: Job
    operations: tuple[OperationRow, ...]
    crossovers: tuple[Crossover, ...]
    gradients: tuple[GradientRow, ...]
    findings: tuple[str, ...]
    remarks: tuple[str, ...]
    seconds: float
    interrupted: bool = False
    units: Mapping[str, str] = BENCH_UNITS


def as_json(result: Any) -> str:
    """Any result record as JSON text: NamedTuples become objects, numbers that JSON lacks become null."""
    return json.dumps(_plain(result), indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    fields = getattr(value, "_fields", None)
    if fields is not None:
        return {name: _plain(getattr(value, name)) for name in fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
