"""Gradient checkers on the same drawn cases: planted faults to be seen, right gradients not to be accused.

    python bench/checkers.py                 440 cases, into bench/results/checkers.json
    python bench/checkers.py 3 --out FILE    fewer of each kind, elsewhere

Each case is a function of arrays and its gradient by hand, right or with one fault, given to every checker in its own
library: a `jax.custom_vjp` to `jax.test_util.check_grads`, a `torch.autograd.Function` to `gradcheck` in both modes, a
pair of functions to `scipy.optimize.check_grad` and to `pillars.calculus.check_gradient`, all with their defaults.
SciPy gives a number and no verdict: it is given the limit, relative to max(1, ‖g‖), that serves it best on these cases.
torch and SciPy are meant for float64 alone, and run on it alone.
Where a function has many outputs, SciPy and pillars are given their sum with drawn weights, since both take a scalar.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads
from scipy.optimize import check_grad

from pillars.calculus import check_gradient
from pillars.measure import environment

try:
    import array_api_compat.torch as torch_xp
    import torch
except ImportError:  # gigabytes large: its checkers run only where it is installed
    torch = None

HERE = Path(__file__).parent


class Case(NamedTuple):
    """A function ``value(xp, x, *data)`` and its rule ``pull(xp, g, x, *data)``, right or with a fault, at a point."""

    kind: str
    right: bool
    value: Callable[..., Any]
    pull: Callable[..., Any]
    x: Any
    data: tuple[Any, ...] = ()


# ------------------------------------------------------------------------------------------------------------- cases
def _terms(rng: np.random.Generator, fault: bool) -> Case:
    """Σ aᵢ sin(bᵢ xᵢ), a thousand terms; the fault: 3 % in one."""
    x, a, b, off = (
        rng.standard_normal(1000),
        rng.uniform(0.5, 2, 1000),
        rng.uniform(0.5, 2, 1000),
        np.ones(1000),
    )
    steep = np.flatnonzero(np.abs(np.cos(b * x)) > 0.5)
    off[rng.choice(steep)] = 1.03 if fault else 1.0
    return Case(
        "3% in one term of 1000",
        not fault,
        lambda xp, x, a, b, off: xp.sum(a * xp.sin(b * x)),
        lambda xp, g, x, a, b, off: g * a * b * xp.cos(b * x) * off,
        x,
        (a, b, off),
    )


def _outputs(rng: np.random.Generator, fault: bool) -> Case:
    """tanh of a thousand numbers; the fault: no derivative at all."""
    scale = 0.0 if fault else 1.0
    return Case(
        "zero derivative, 1000 outputs",
        not fault,
        lambda xp, x: xp.tanh(x),
        lambda xp, g, x: scale * (1 - xp.tanh(x) ** 2) * g,
        rng.standard_normal(1000),
    )


def _log_softmax(xp: Any, z: Any) -> Any:
    shifted = z - xp.max(z, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def _sign(rng: np.random.Generator, fault: bool) -> Case:
    """Cross-entropy of logits; the fault: y − p in place of p − y."""
    labels = np.eye(10)[rng.integers(0, 10, 20)]
    sign = -1.0 if fault else 1.0
    return Case(
        "wrong sign",
        not fault,
        lambda xp, z, labels: -xp.sum(labels * _log_softmax(xp, z)),
        lambda xp, g, z, labels: sign * g * (xp.exp(_log_softmax(xp, z)) - labels),
        2 * rng.standard_normal((20, 10)),
        (labels,),
    )


def _small(rng: np.random.Generator, fault: bool) -> Case:
    """1e-7·Σx²; the fault: its derivative without the 2."""
    factor = 1e-7 if fault else 2e-7
    return Case(
        "1e-7 that should be 2e-7",
        not fault,
        lambda xp, x: 1e-7 * xp.sum(x * x),
        lambda xp, g, x: factor * g * x,
        rng.standard_normal(10),
    )


def _bias(rng: np.random.Generator, fault: bool) -> Case:
    """A layer's bias; the fault: the cotangent of one row, where the sum over all is due."""
    data = rng.standard_normal((8, 5)), rng.standard_normal((5, 4))

    def pull(xp: Any, g: Any, b: Any, z: Any, w: Any) -> Any:
        each = g * (1 - xp.tanh(z @ w + b) ** 2)
        return each[0, :] if fault else xp.sum(each, axis=0)

    return Case(
        "missing broadcast sum",
        not fault,
        lambda xp, b, z, w: xp.tanh(z @ w + b),
        pull,
        rng.standard_normal(4),
        data,
    )


def _matrix(rng: np.random.Generator, fault: bool) -> Case:
    """A x; the fault: A g in place of Aᵀ g."""
    a = rng.standard_normal((20, 20))
    return Case(
        "transposed Jacobian",
        not fault,
        lambda xp, x, a: a @ x,
        lambda xp, g, x, a: (a if fault else a.T) @ g,
        rng.standard_normal(20),
        (a,),
    )


def _kinks(rng: np.random.Generator, fault: bool) -> Case:
    """Σ|x|, right, some entries as near to the kink as 1e-6."""
    x = rng.standard_normal(30)
    x[:10] = rng.choice([-1.0, 1.0], 10) * 10.0 ** rng.uniform(-6, -2, 10)
    return Case("near kinks", True, lambda xp, x: xp.sum(xp.abs(x)), lambda xp, g, x: g * xp.sign(x), x)


def _large(rng: np.random.Generator, fault: bool) -> Case:
    """Σ x³/3, right, at numbers of 1e3 to 1e6."""
    x = rng.standard_normal(20) * 10.0 ** rng.uniform(3, 6)
    return Case("large scale", True, lambda xp, x: xp.sum(x * x * x) / 3, lambda xp, g, x: g * x * x, x)


def _conditioned(rng: np.random.Generator, fault: bool) -> Case:
    """½ xᵀ H x, right, H of condition 1e4 to 1e8."""
    basis, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    h = (basis * np.logspace(0, rng.uniform(4, 8), 12)) @ basis.T
    h = (h + h.T) / 2
    return Case(
        "ill-conditioned",
        True,
        lambda xp, x, h: 0.5 * xp.sum(x * (h @ x)),
        lambda xp, g, x, h: g * (h @ x),
        rng.standard_normal(12),
        (h,),
    )


def _guarded(rng: np.random.Generator, fault: bool) -> Case:
    """Σ log x where x > 0, else 0; the fault: NaN for the others, as of a backward pass that multiplies by 0."""
    x = rng.choice([-1.0, 1.0], 20) * rng.uniform(0.5, 2, 20)

    def pull(xp: Any, g: Any, x: Any) -> Any:
        inner = xp.where(x > 0, x, xp.ones_like(x))
        slope = xp.where(x > 0, g / inner, xp.zeros_like(x))
        return slope + (xp.where(x > 0, xp.zeros_like(x), xp.full_like(x, xp.nan)) if fault else 0 * x)

    return Case(
        "NaN behind a where",
        not fault,
        lambda xp, x: xp.sum(xp.where(x > 0, xp.log(xp.where(x > 0, x, xp.ones_like(x))), xp.zeros_like(x))),
        pull,
        x,
    )


FAULTY = (_terms, _outputs, _sign, _small, _bias, _matrix, _guarded)
RIGHT = (_kinks, _large, _conditioned)


def cases(each: int, seed: int) -> list[tuple[Case, str]]:
    """Faulty and right ones of every kind, in both dtypes."""
    rng = np.random.default_rng(seed)
    found = [make(rng, fault) for make in FAULTY for fault in (True, False) for _ in range(each)]
    found += [make(rng, False) for make in RIGHT for _ in range(2 * each)]
    return [(case, dtype) for case in found for dtype in ("float64", "float32")]


# ---------------------------------------------------------------------------------------------------------- checkers
def _scalar(case: Case, dtype: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any], Any]:
    """For NumPy: the value, or its sum with weights, and that one's gradient."""
    x, data = case.x.astype(dtype), [part.astype(dtype) for part in case.data]
    shape = np.shape(case.value(np, x, *data))
    weights = (
        np.random.default_rng(1).standard_normal(shape).astype(dtype)[()] if shape else np.ones((), dtype)[()]
    )

    def value(x: Any) -> Any:
        return np.sum(case.value(np, x, *data) * weights)

    return value, lambda x: case.pull(np, weights, x, *data), x


def by_pillars(case: Case, dtype: str, methods: tuple[str, ...] | None = None) -> str:
    """Its verdict; "undecided" where it says that it cannot tell."""
    value, gradient, x = _scalar(case, dtype)
    ok = check_gradient(value, x, gradient=gradient, methods=methods).ok
    return {True: "right", False: "wrong", None: "undecided"}[ok]


def by_differences(case: Case, dtype: str) -> str:
    """The same without automatic differentiation of the function."""
    return by_pillars(case, dtype, ("complex_step", "taylor", "central"))


def by_jax(case: Case, dtype: str) -> str:
    """Reverse mode, first order."""
    data = [jnp.asarray(part, dtype) for part in case.data]

    @jax.custom_vjp
    def f(x: Any) -> Any:
        return case.value(jnp, x, *data)

    f.defvjp(lambda x: (f(x), x), lambda x, g: (case.pull(jnp, g, x, *data),))
    try:
        check_grads(f, (jnp.asarray(case.x, dtype),), order=1, modes=("rev",))
    except AssertionError:
        return "wrong"
    return "right"


def by_torch(case: Case, dtype: str, *, fast: bool) -> str:
    data = [torch.from_numpy(part.astype(dtype)) for part in case.data]

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return case.value(torch_xp, x, *data)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return case.pull(torch_xp, g, ctx.saved_tensors[0], *data)

    x = torch.from_numpy(case.x.astype(dtype)).requires_grad_()
    agreed = torch.autograd.gradcheck(Function.apply, (x,), fast_mode=fast, raise_exception=False)
    return "right" if agreed else "wrong"


def by_scipy(case: Case, dtype: str) -> float:
    """The norm of what its forward differences differ by, a gradient of norm 1 (or less) for the unit."""
    value, gradient, x = _scalar(case, dtype)
    error = check_grad(
        lambda x: value(x.reshape(case.x.shape)),
        lambda x: gradient(x.reshape(case.x.shape)).reshape(-1),
        x.reshape(-1),
    )
    found = float(error) / max(1.0, float(np.linalg.norm(gradient(x))))
    return found if np.isfinite(found) else np.inf


def best_limit(errors: list[tuple[float, bool]]) -> float:
    """Between wrong and right so that the fewest errors are on the wrong side of it, seen afterwards."""
    ends = sorted({error for error, _ in errors if np.isfinite(error)})
    limits = [0.5 * ends[0], *(float(np.sqrt(a * b)) for a, b in itertools.pairwise(ends)), 2 * ends[-1]]
    return min(limits, key=lambda limit: sum((error <= limit) is not right for error, right in errors))


# the others are of float64 alone
NARROW = ("pillars", "pillars, without autodiff", "jax.test_util.check_grads")
CHECKERS: dict[str, Callable[[Case, str], Any]] = {
    "pillars": by_pillars,
    "pillars, without autodiff": by_differences,
    "jax.test_util.check_grads": by_jax,
    **(
        {
            "torch gradcheck": lambda case, dtype: by_torch(case, dtype, fast=False),
            "torch gradcheck, fast": lambda case, dtype: by_torch(case, dtype, fast=True),
        }
        if torch
        else {}
    ),
    "scipy check_grad": by_scipy,
}


def table(each: int, seed: int) -> tuple[float, list[dict[str, Any]]]:
    """SciPy's limit; a row a checker, dtype and kind: what it said of right and of faulty gradients, and its time."""
    said: dict[tuple[str, str, str, bool], Counter[str]] = defaultdict(Counter)
    seconds: Counter[tuple[str, str, str, bool]] = Counter()
    numbers: list[tuple[tuple[str, str, str, bool], float]] = []
    for case, dtype in cases(each, seed):
        for name, checker in CHECKERS.items():
            if dtype == "float32" and name not in NARROW:
                continue
            key = (name, dtype, case.kind, case.right)
            start = time.perf_counter()
            try:
                verdict = checker(case, dtype)
            except Exception as error:  # an answer too
                verdict = f"raised {type(error).__name__}"
            seconds[key] += time.perf_counter() - start
            if isinstance(verdict, float):
                numbers.append((key, verdict))
            else:
                said[key][verdict] += 1
    limit = best_limit([(error, key[3]) for key, error in numbers])
    for key, error in numbers:
        said[key]["right" if error <= limit else "wrong"] += 1
    return limit, [
        {
            "checker": name,
            "dtype": dtype,
            "kind": kind,
            "gradient": "right" if right else "wrong",
            "said": dict(found),
            "milliseconds": round(1e3 * seconds[name, dtype, kind, right] / sum(found.values()), 2),
        }
        for (name, dtype, kind, right), found in said.items()
    ]


def totals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a checker and dtype: faults seen and missed, right gradients accused, and what it left open."""
    found = []
    for name in CHECKERS:
        for dtype in ("float64", "float32") if name in NARROW else ("float64",):
            mine = [row for row in rows if row["checker"] == name and row["dtype"] == dtype]
            faults = Counter[str]()
            right = Counter[str]()
            for row in mine:
                (right if row["gradient"] == "right" else faults).update(row["said"])
            found.append(
                {
                    "checker": name,
                    "dtype": dtype,
                    "faults": sum(faults.values()),
                    "missed": faults["right"],
                    "right": sum(right.values()),
                    "accused": right["wrong"],
                    "open": sum(
                        times
                        for said in (faults, right)
                        for word, times in said.items()
                        if word not in ("right", "wrong")
                    ),
                }
            )
    return found


def main() -> int:
    """Draw, check, write, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "each", nargs="?", type=int, default=11, help="cases of a kind; right ones twice as many"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "checkers.json")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    limit, rows = table(options.each, options.seed)
    made = {
        "environment": environment()._asdict(),
        "each": options.each,
        "seed": options.seed,
        "limit given to scipy": limit,
        "totals": totals(rows),
        "rows": rows,
    }
    options.out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    for row in made["totals"]:
        print(
            f"{row['checker']:28} {row['dtype']}  missed {row['missed']:3} of {row['faults']} faults, accused "
            f"{row['accused']:3} of {row['right']} right ones, {row['open']} left open"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
