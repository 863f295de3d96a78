"""No digit hangs on the unit: where f(2^k x) = 2^(pk) f(x), it holds over all exponents that input and result can have.

A multiplication by a power of two is exact. So is the law, but for what overflows or vanishes on the way, and that is
what it finds: squares of numbers whose squares cannot be held, tolerances that are not relative. An operation has laws
in the table below, or says there why it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from contracts._support import (
    draw,
    expected,
    invoke,
    leaves,
    no_error,
    not_applicable,
    place,
    refill,
    rounded,
)
from contracts._variants import Variant
from pillars.backends import Record, forced_kernels
from pillars.backends._kernels import kernel_of

__all__ = ["LAWS", "RUNS_ON", "Law", "check", "exponents", "unscaled"]

RUNS_ON = ("numpy", "strict", "jax", "cupy", "jax-gpu")
_PARTS = (-0.97, -0.85, -0.7, -0.55, -0.4, -0.2, 0.2, 0.4, 0.55, 0.7, 0.85, 0.97)
_HEADROOM = 8  # exponents below the largest number, for the sums of some numbers as large


class Law(NamedTuple):
    """The degree of each argument that is multiplied, and of what comes out: one for all arrays, or one each.

    It may hold of some calls alone, or with some options.
    """

    arguments: dict[str, int]
    result: int | tuple[int, ...]
    when: Callable[[dict[str, Any]], bool] = lambda values: True
    options: tuple[tuple[str, Any], ...] = ()


def _affine(values: dict[str, Any]) -> bool:
    return values["activation"] in (None, "relu")


_BY_EXPONENTIALS = "exponentials have no degree"
_DRAWS = "it draws, and what it draws does not depend on a unit"
_NORMALISED = [
    Law({"x": 1, "epsilon": 2}, 0),
    Law({"x": 1}, 0, options=(("epsilon", 0.0),)),
    Law({"weight": 1, "bias": 1}, 1),
]
LAWS: dict[str, list[Law] | str] = {
    "algorithms.attention": [Law({"v": 1}, 1), Law({"q": 1, "k": -1}, 0)],
    "algorithms.attention_backward": [Law({"g": 1}, 1)],
    "algorithms.attention_forward": [Law({"v": 1}, (1, 0)), Law({"q": 1, "k": -1}, 0)],
    "algorithms.attention_logsumexp": [Law({"v": 1}, (1, 0)), Law({"q": 1, "k": -1}, 0)],
    "algorithms.attention_weights": [Law({"q": 1, "k": -1}, 0)],
    "calculus.huber": [Law({"prediction": 1, "target": 1, "delta": 1}, 2)],
    "calculus.mean_absolute_error": [Law({"prediction": 1, "target": 1}, 1)],
    "calculus.mean_squared_error": [Law({"prediction": 1, "target": 1}, 2)],
    "layers.embedding": [Law({"table": 1}, 1)],
    "layers.gelu": _BY_EXPONENTIALS,
    "layers.layer_norm": _NORMALISED,
    "layers.leaky_relu": [Law({"x": 1}, 1)],
    "layers.linear": [Law({"x": 1, "bias": 1}, 1, _affine), Law({"weight": 1, "bias": 1}, 1, _affine)],
    "layers.relu": [Law({"x": 1}, 1)],
    "layers.rms_norm": _NORMALISED,
    "layers.scatter_rows": [Law({"g": 1}, 1)],
    "layers.silu": _BY_EXPONENTIALS,
    "layers.tanh": _BY_EXPONENTIALS,
    "linalg.directional": [Law({"direction": 1}, 1)],
    "linalg.eigh": [Law({"a": 1}, (1, 0))],
    "linalg.expm": _BY_EXPONENTIALS,
    "linalg.inv_sqrtm": [Law({"a": 2}, -1)],
    "linalg.inverse_transform": [
        Law({"scores": 1, "mean": 1}, 1),
        Law({"mean": 1, "scale": -1}, 1),
    ],
    "linalg.leading_eigh": [Law({"a": 1}, (1, 0))],
    "linalg.leading_right": [Law({"x": 1}, (1, 0))],
    "linalg.log_likelihood": "a unit adds its logarithm",
    "linalg.logm": "a unit adds its logarithm",
    "linalg.matrix_function": [
        Law({"a": 2}, 1, lambda values: values["f"] == "sqrt"),
        Law({"a": 2}, -1, lambda values: values["f"] == "inv_sqrt"),
    ],
    "linalg.mean_covariance": [Law({"x": 1}, (1, 2)), Law({"x": 1, "scale": -1}, (1, 0))],
    "linalg.model_covariance": [Law({"variances": 1, "noise": 1}, 1)],
    "linalg.projected_svd": [Law({"x": 1, "shift": 1, "rest": 1}, (0, 1, 0)), Law({"omega": 1}, 0)],
    "linalg.right_singular": [Law({"x": 1}, (1, 0))],
    "linalg.sqrtm": [Law({"a": 2}, 1)],
    "linalg.transform": [Law({"x": 1, "mean": 1}, 1), Law({"scale": 1}, 1)],
    "probability.cross_entropy": [Law({"logits": 1, "temperature": 1}, 0)],
    "probability.erf": _BY_EXPONENTIALS,
    "probability.log_sigmoid": _BY_EXPONENTIALS,
    "probability.log_softmax": [Law({"x": 1, "temperature": 1}, 0)],
    "probability.logsumexp": _BY_EXPONENTIALS,
    "probability.ndtr": _BY_EXPONENTIALS,
    "probability.sigmoid": _BY_EXPONENTIALS,
    "probability.softmax": [Law({"x": 1, "temperature": 1}, 0)],
    "random.bits": _DRAWS,
    "random.categorical": _BY_EXPONENTIALS,
    "random.draw_exponential": _DRAWS,
    "random.draw_integers": _DRAWS,
    "random.draw_normal": _DRAWS,
    "random.draw_uniform": [Law({"low": 1, "high": 1}, 1)],
    "random.fold": _DRAWS,
    "random.permute": _DRAWS,
    "random.permute_each": _DRAWS,
    "random.split": _DRAWS,
    "reduce.block_moments": [Law({"x": 1}, (0, 1, 2))],
}


def check(record: Record, where: Variant, seed: int) -> None:
    assert record.name in LAWS, (
        f"{record.name}: has no law of scale; add one to tests/contracts/scale.py, or say there why"
    )
    laws = LAWS[record.name]
    if isinstance(laws, str):
        not_applicable(laws)
    values = draw(record, seed)
    looked = sum(_check_law(record, where, seed, values, law) for law in laws)
    if not looked:
        not_applicable("this call has none of the arguments that are scaled")


def _check_law(record: Record, where: Variant, seed: int, values: list[Any], law: Law) -> int:
    """How many multiples of the call were compared."""
    places = {p.name: p.position for p in record.parameters}
    values = refill(values, [places[name] for name, _ in law.options], [value for _, value in law.options])
    by_name = {name: values[position] for name, position in places.items()}
    degrees = {p.position: law.arguments[p.name] for p in record.parameters if p.name in law.arguments}
    degrees = {position: degree for position, degree in degrees.items() if values[position] is not None}
    if not degrees or not law.when(by_name):
        return 0
    looked = 0
    for dtype in where.floats:
        if dtype in record.unsupported:
            continue
        start = rounded(record, values, dtype)
        truth = expected(record, values, dtype)
        for k in exponents(dtype):
            changed = list(start)
            for position, degree in degrees.items():
                with np.errstate(all="ignore"):
                    scaled = np.ldexp(start[position], degree * k)
                changed[position] = float(scaled) if isinstance(start[position], float) else scaled
            if not all(_held(changed[position], start[position], dtype) for position in degrees):
                continue
            what = (
                f"{record.name} of 2^{k} times {', '.join(law.arguments)}, {dtype} on {where.id}, seed {seed}"
            )
            placed = place(record, changed, where, dtype)
            with no_error(what):
                calls = [leaves(invoke(record, placed))]
                if where.library == "numpy" and kernel_of(where.backend, record) is not None:
                    with forced_kernels():
                        calls.append(leaves(invoke(record, placed)))
            for got in calls:
                result = law.result if isinstance(law.result, tuple) else (law.result,) * len(got)
                arrays = [where.to_numpy(y) for y in got]
                kept = list(unscaled(arrays, truth.arrays, [degree * k for degree in result]))
                truth._replace(
                    arrays=[truth.arrays[index] for index, _ in kept],
                    kappas=[truth.kappas[index] for index, _ in kept],
                ).agree([y for _, y in kept], dtype, what)
                looked += len(kept)
    return looked


def exponents(dtype: str) -> Iterator[int]:
    """From one end of the dtype's to the other."""
    return (round(part * np.finfo(dtype).maxexp) for part in _PARTS)


def _held(x: Any, start: Any, dtype: str) -> bool:
    """Whether numbers have all their digits in that dtype."""
    info = np.finfo(dtype)
    sizes = np.abs(np.asarray(x, dtype=np.float64))[np.asarray(start) != 0]
    return bool(np.all((sizes >= 16 * float(info.tiny)) & (sizes <= float(info.max) / 16)))


def unscaled(got: list[Any], truth: list[Any], powers: list[int]) -> Iterator[tuple[int, Any]]:
    """Which of the results their dtype holds with all digits, and these without the power of two."""
    for index, (y, true, power) in enumerate(zip(got, truth, powers, strict=True)):
        info = np.finfo(y.dtype)
        size = float(np.abs(true[np.isfinite(true)]).max(initial=0.0))
        exponent = float(np.log2(size)) + power if size > 0 else 0.0
        if info.minexp + info.nmant + 5 <= exponent <= info.maxexp - _HEADROOM:
            with np.errstate(all="ignore"):
                yield index, np.ldexp(y, -power)
