"""What the JSON of the commands promises: a name that changes when a reader would break, and units."""

from __future__ import annotations

__all__ = ["AUDIT", "AUDIT_UNITS", "BACKENDS", "BENCH", "BENCH_UNITS", "CAPABILITIES"]

BENCH = "pillars.bench/3"
AUDIT = "pillars.audit/1"
BACKENDS = "pillars.backends/1"
CAPABILITIES = "pillars.capabilities/1"

_SECONDS_A_CALL = (
    "seconds a call; in the job's runs: a whole descent, in its reductions: components and scores"
)
_RELATIVE = "max |found - float64| / max |float64|, no unit"

# field -> unit, wherever a number of that name stands; fields that count things are not listed
BENCH_UNITS = {
    "seconds": "seconds, the whole bench",
    "load": "processes that wanted a core, mean over the minute before",
    "first": f"{_SECONDS_A_CALL}, the first one: compilation included",
    "transfer": "seconds to bring the inputs from the host; null where they live there",
    "median": _SECONDS_A_CALL,
    "low": f"{_SECONDS_A_CALL}, lower quartile; in an accuracy: fraction, 95% interval",
    "high": f"{_SECONDS_A_CALL}, upper quartile; in an accuracy: fraction, 95% interval",
    "estimate": "fraction of the held-out rows",
    "loss": "nats, mean over the rows",
    "loss_error": "nats, absolute",
    "loss_bound": "nats, absolute: what rounding allows",
    "parameter_error": "2-norm relative to the reference's, no unit",
    "parameter_bound": "as parameter_error: what rounding allows",
    "explained": "fraction of the variance",
    "angle": "sine of the largest angle between two spans",
    "angle_bound": "as angle: what rounding allows",
    "memory": "bytes at the peak beside the arguments, results included",
    "smoothness": "L, a bound on the loss's curvature, in nats",
    "learning_rate": "1/L",
    "error": _RELATIVE,
    "bound": f"{_RELATIVE}: what rounding allows",
    "bytes": "bytes that must move: each input once, each result once",
    "flops": "floating operations of the textbook's algorithm",
    "least": "seconds: the larger of bytes/bandwidth and flops/rate at the device's ceilings; null where not measured",
    "bandwidth": "bytes a second, of a copy: those read and those written",
    "rate": "floating operations a second, of a square matrix product",
}
AUDIT_UNITS = {
    "error": "relative to the derivative, no unit; taylor: how far the remainder's order is below 2",
    "tolerance": "as error",
}
