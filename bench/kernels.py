"""Every kernel of a backend against the body that it replaces, and against peers: time, and error beside it.

    python bench/kernels.py                        every kernel that has a case here, on NumPy
    python bench/kernels.py softmax cross_entropy  those alone; the others' rows in the file stay
    python bench/kernels.py --out FILE             elsewhere than bench/results/kernels_numpy.json

A kernel stays only with a win recorded here (CONTRIBUTING, "Add a kernel"). Candidates take turns; times are medians.
Errors are the largest |got − true| over the largest |true|, in eps of the dtype; true is the body in float64.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from pillars import algorithms, layers, probability, random
from pillars.backends import Call, kernel_table, records, tree_leaves
from pillars.measure import Candidate, environment, race

RESULTS = Path(__file__).parent / "results"


class Case(NamedTuple):
    """One operation: the sizes it is timed at, what it is given at each, and what else computes the same."""

    function: Any
    sizes: tuple[tuple[int, ...], ...]
    call: Callable[[Any, tuple[int, ...]], Call]  # (generator, size) -> float64 arguments
    peers: Mapping[str, Callable[..., Any]] = MappingProxyType({})


def _logits(scale: float) -> Callable[[Any, tuple[int, ...]], Call]:
    return lambda rng, size: Call.of(scale * rng.standard_normal(size))


def _logits_and_labels(rng: Any, size: tuple[int, ...]) -> Call:
    return Call.of(rng.standard_normal(size), rng.integers(0, size[1], size[0]))


def _torch(name: str) -> dict[str, Callable[..., Any]]:
    try:
        import torch
    except ImportError:
        return {}
    functional = torch.nn.functional
    ways = {
        "softmax": lambda x: functional.softmax(torch.from_numpy(x), -1),
        "log_softmax": lambda x: functional.log_softmax(torch.from_numpy(x), -1),
        "cross_entropy": lambda x, y: functional.cross_entropy(torch.from_numpy(x), torch.from_numpy(y)),
        "layer_norm": lambda x, *w: functional.layer_norm(
            torch.from_numpy(x), x.shape[-1:], *map(torch.from_numpy, w)
        ),
        "attention": lambda *x: functional.scaled_dot_product_attention(*map(torch.from_numpy, x)),
        "embedding": lambda t, i: functional.embedding(torch.from_numpy(i), torch.from_numpy(t)),
    }
    return {"torch": ways[name]}


def _queries_keys_and_values(**options: Any) -> Callable[[Any, tuple[int, ...]], Call]:
    return lambda rng, size: Call.of(*(rng.standard_normal(size) for _ in range(3)), **options)


def _kept_by_attention(rng: Any, size: tuple[int, ...]) -> Call:
    g, y, q, k, v = (rng.standard_normal(size) for _ in range(5))
    return Call.of(g, y, rng.standard_normal(size[:-1]) + 6.0, q, k, v)


def _features(parameters: int) -> Callable[[Any, tuple[int, ...]], Call]:
    return lambda rng, size: Call.of(*(rng.standard_normal(size[i > 0 :]) for i in range(1 + parameters)))


def _affine(activation: str) -> Callable[[Any, tuple[int, ...]], Call]:
    def call(rng: Any, size: tuple[int, ...]) -> Call:
        n, i, o = size
        x, weight, bias = rng.standard_normal((n, i)), rng.standard_normal((i, o)), rng.standard_normal(o)
        return Call.of(x, weight / i**0.5, bias, activation=activation)

    return call


def _tokens(rng: Any, size: tuple[int, ...]) -> Call:
    n, v, d = size
    return Call.of(rng.standard_normal((v, d)), rng.integers(0, v, n))


def _rows_of_tokens(rng: Any, size: tuple[int, ...]) -> Call:
    n, v, d = size
    return Call.of(rng.standard_normal((n, d)), rng.integers(0, v, n), rows=v)


def _operation(name: str) -> Any:
    return records()[f"random.{name}"].function


def _draws(*bounds: Any) -> Callable[[Any, tuple[int, ...]], Call]:
    return lambda rng, size: Call.of(random.key(0), *map(np.asarray, bounds), shape=size, dtype="float32")


_HEADS = ((1, 8, 8), (8, 32, 16), (8, 64, 64), (8, 512, 64), (8, 2048, 64))
_SIZES = ((32, 10), (64, 64), (1797, 10), (1024, 256), (8192, 4096))
CASES = {
    "attention": Case(algorithms.attention, _HEADS, _queries_keys_and_values(), _torch("attention")),
    "attention, causal": Case(
        algorithms.attention, _HEADS[2:], _queries_keys_and_values(causal=True, query_offset=np.asarray(0))
    ),
    "attention, with what its gradient keeps": Case(
        records()["algorithms.attention_forward"].function, _HEADS[2:], _queries_keys_and_values()
    ),
    "attention, backwards": Case(
        records()["algorithms.attention_backward"].function, _HEADS, _kept_by_attention
    ),
    "softmax": Case(
        probability.softmax,
        _SIZES,
        _logits(1.0),
        {"scipy": lambda x: special.softmax(x, axis=-1), **_torch("softmax")},
    ),
    "softmax, large logits": Case(probability.softmax, ((8192, 4096),), _logits(100.0), _torch("softmax")),
    "log_softmax": Case(
        probability.log_softmax,
        _SIZES,
        _logits(1.0),
        {"scipy": lambda x: special.log_softmax(x, axis=-1), **_torch("log_softmax")},
    ),
    "logsumexp": Case(
        probability.logsumexp,
        ((64, 300), (2048, 1024)),
        lambda rng, size: Call.of(rng.standard_normal(size), axis=-1),
        {"scipy": lambda x: special.logsumexp(x, axis=-1)},
    ),
    "cross_entropy": Case(
        probability.cross_entropy,
        ((32, 10), (64, 64), (1797, 10), (1024, 256), (4096, 32000)),
        _logits_and_labels,
        _torch("cross_entropy"),
    ),
    "layer_norm": Case(layers.layer_norm, _SIZES, _features(2), _torch("layer_norm")),
    "rms_norm": Case(layers.rms_norm, _SIZES, _features(1)),
    **{
        f"linear, {activation}": Case(
            layers.linear, ((32, 64, 10), (512, 784, 256), (2048, 1024, 4096)), _affine(activation)
        )
        for activation in ("relu", "tanh", "gelu", "silu", "sigmoid")
    },
    "embedding": Case(layers.embedding, ((8, 1000, 64), (16384, 32000, 512)), _tokens, _torch("embedding")),
    "embedding, backwards": Case(
        records()["layers.scatter_rows"].function, ((8, 100, 64), (2048, 4096, 256)), _rows_of_tokens
    ),
    "sigmoid": Case(probability.sigmoid, ((1 << 15,), (1 << 21,)), _logits(2.0)),
    "leaky_relu": Case(layers.leaky_relu, ((1 << 15,), (1 << 21,)), _logits(2.0)),
    "gelu, by tanh": Case(
        layers.gelu,
        ((1 << 18,), (1 << 22,)),
        lambda rng, size: Call.of(2.0 * rng.standard_normal(size), approximate=True),
    ),
    "gelu": Case(
        layers.gelu, ((1 << 15,), (1 << 21,)), _logits(2.0), {"scipy": lambda x: x * special.ndtr(x)}
    ),
    "relu": Case(layers.relu, ((1 << 19,), (1 << 21,)), _logits(2.0)),
    "silu": Case(layers.silu, ((1 << 20,), (1 << 22,)), _logits(2.0)),
    "erf": Case(probability.erf, ((1 << 17,), (1 << 22,)), _logits(2.0), {"scipy": special.erf}),
    "ndtr": Case(probability.ndtr, ((1 << 17,), (1 << 22,)), _logits(2.0), {"scipy": special.ndtr}),
    "random bits": Case(random.bits, ((8,), (1 << 20,)), lambda rng, size: Call.of(random.key(0), size)),
    "random split": Case(random.split, ((8,), (1 << 16,)), lambda rng, size: Call.of(random.key(0), *size)),
    "random normal": Case(_operation("draw_normal"), ((8,), (1 << 20,)), _draws()),
    "random exponential": Case(_operation("draw_exponential"), ((8,), (1 << 20,)), _draws()),
    "random uniform": Case(
        _operation("draw_uniform"), ((8,), (1 << 20,)), _draws(np.float32(0), np.float32(1))
    ),
    "random integers": Case(
        _operation("draw_integers"),
        ((8,), (1 << 20,)),
        lambda rng, size: Call.of(
            random.key(0), np.asarray(0), np.asarray(9, dtype=np.uint32), shape=size, dtype="int32"
        ),
    ),
    "random permutation": Case(
        _operation("permute"),
        ((8,), (1 << 18,)),
        lambda rng, size: Call.of(random.key(0), n=size[0], dtype="int32"),
    ),
    "random fold_in": Case(
        _operation("fold"), ((),), lambda rng, size: Call.of(random.key(0), np.asarray(7))
    ),
}


def _error(got: Any, true: Any, dtype: str) -> float:
    worst = 0.0
    for a, b in zip(tree_leaves(got), tree_leaves(true), strict=True):
        off = np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)).max()
        worst = max(worst, float(off) / max(float(np.abs(b).max()), 1e-300))
    return worst / float(np.finfo(dtype).eps)


def _floating(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(bool)).kind == "f"


def measure(name: str, case: Case, size: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """One row: what the public function takes, what its body would, and what peers do."""
    record = case.function.record
    call = case.call(np.random.default_rng(0), size)
    arrays = [x.astype(dtype) if _floating(x) else x for x in call.args]
    body = np.errstate(all="ignore")(record.body)
    options = call.options
    ways = {
        "pillars": lambda: case.function(*arrays, **options),
        "body": lambda: body(*arrays, **options),
        **{way: lambda f=f: f(*arrays) for way, f in case.peers.items()},
    }
    true = body(*[x.astype(np.float64) if _floating(x) else x for x in arrays], **options)
    errors = {way: _error(f(), true, dtype) for way, f in ways.items()}
    del true
    candidates = {way: Candidate(f, lambda result: result) for way, f in ways.items()}
    times = race(candidates, rounds=4, samples=5)
    return {
        "case": name,
        "operation": record.name,
        "size": list(size),
        "dtype": dtype,
        "milliseconds": {way: round(1e3 * timing.median, 5) for way, timing in times.items()},
        "spread": {way: round(timing.spread, 3) for way, timing in times.items()},
        "error_in_eps": {way: round(error, 3) for way, error in errors.items()},
        "times_the_body": round(times["body"].median / times["pillars"].median, 2),
    }


def main() -> int:
    """Time what is named, keep the rest of the file, say which kernels won nothing anywhere."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="operations; none: all of them")
    parser.add_argument("--out", type=Path, default=RESULTS / "kernels_numpy.json")
    parser.add_argument("--dtype", action="append", choices=("float32", "float64"))
    options = parser.parse_args()
    table = kernel_table("numpy")
    rows = []
    for name, case in CASES.items():
        operation = case.function.record.name
        if operation not in table or (options.names and operation.split(".")[1] not in options.names):
            continue
        for size in case.sizes:
            for dtype in options.dtype or ("float32",):
                row = {**measure(name, case, size, dtype), "kernel": table[operation].rpartition(".")[2]}
                rows.append(row)
                print(f"{name:24} {size!s:14} {dtype}  {row['milliseconds']}  x{row['times_the_body']}")
    where = environment()._asdict()
    before: dict[str, Any] = {"rows": [], "environments": {}}
    if options.out.exists():
        before = json.loads(options.out.read_text(encoding="utf-8"))
    measured = {row["operation"] for row in rows}
    kept = [row for row in before["rows"] if row["operation"] not in measured]
    merged = sorted([*rows, *kept], key=lambda row: (row["case"], row["size"], row["dtype"]))
    places = {**before["environments"], where["date"]: where}
    for row in rows:
        row["measured"] = where["date"]
    document = {"environments": {row["measured"]: places[row["measured"]] for row in merged}, "rows": merged}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    lost = measured - {row["operation"] for row in rows if row["times_the_body"] > 1.1}
    if lost:
        print(f"no win anywhere: {', '.join(sorted(lost))}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
