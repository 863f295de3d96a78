"""What every operation is compared with: SciPy, mpmath, or the formula written out once more, never its own body.

One entry an operation, under its record's name: same arguments, NumPy float64 in, NumPy float64 or integers out. A new
operation gets one line here, and one in contracts/scale.py; without them the completeness tests fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import scipy.linalg
from scipy import special, stats

__all__ = ["ORACLES"]

mpmath.mp.dps = 40


def _elementwise(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of mpmath numbers, 40 digits, over arrays."""

    def over(*arrays: Any) -> Any:
        rows = [
            float(f(*(mpmath.mpf(float(v)) for v in row)))
            for row in np.broadcast(*arrays, np.zeros(()))  # the last one only makes a broadcast of one array
            for row in [row[:-1]]
        ]
        return np.asarray(rows, dtype=np.float64).reshape(np.broadcast_shapes(*(np.shape(x) for x in arrays)))

    return over


# -------------------------------------------------------------------------------------------------- the softmax family
def _masked(x: Any, where: Any) -> Any:
    return x if where is None else np.where(np.asarray(where) != 0, x, -np.inf)


def _softmax(x: Any, *, axis: Any, temperature: float = 1.0, where: Any = None) -> Any:
    with np.errstate(invalid="ignore"):  # of a slice in which nothing counts
        y = special.softmax(_masked(x, where) / temperature, axis=axis)
    return y if where is None else np.where(np.asarray(where) != 0, y, 0.0)


def _log_softmax(x: Any, *, axis: Any, temperature: float = 1.0, where: Any = None) -> Any:
    z = _masked(x, where) / temperature
    total = special.logsumexp(z, axis=axis, keepdims=True)
    return z - np.where(total == -np.inf, 0.0, total)


def _logsumexp(
    x: Any, *, axis: Any, keepdims: bool = False, b: Any = None, return_sign: bool = False, where: Any = None
) -> Any:
    return special.logsumexp(_masked(x, where), axis=axis, keepdims=keepdims, b=b, return_sign=return_sign)


def _surprise(logits: Any, labels: Any, label_smoothing: float, temperature: float, weight: Any) -> Any:
    """−Σ w·q log p with q the smoothed one-hot or given targets; each row in 40 digits."""
    k = logits.shape[-1]
    hard = np.issubdtype(labels.dtype, np.integer)
    targets = np.eye(k)[labels] if hard else labels
    worth = np.ones(k) if weight is None else weight
    losses = []
    for row, target in zip(logits.reshape(-1, k), targets.reshape(-1, k), strict=True):
        z = [mpmath.mpf(float(v)) / mpmath.mpf(temperature) for v in row]
        total = mpmath.log(mpmath.fsum(mpmath.exp(v) for v in z))
        s = mpmath.mpf(label_smoothing)
        q = [float(w) * ((1 - s) * mpmath.mpf(float(t)) + s / k) for t, w in zip(target, worth, strict=True)]
        losses.append(float(mpmath.fsum(share * (total - v) for share, v in zip(q, z, strict=True))))
    return np.asarray(losses).reshape(logits.shape[:-1])


def _cross_entropy(
    logits: Any,
    labels: Any,
    *,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    weight: Any = None,
    ignore_index: int | None = None,
    where: Any = None,
    axis: int = -1,
) -> Any:
    """One sample after another; of a mean, what each counts for."""
    hard = np.issubdtype(labels.dtype, np.integer)
    logits = np.moveaxis(logits, axis, -1)
    labels = labels if hard else np.moveaxis(labels, axis, -1)
    counts = np.broadcast_to(np.asarray(True if where is None else where) != 0, logits.shape[:-1])
    if hard and ignore_index is not None:
        counts = counts & (labels != ignore_index)
    labels = np.where(counts, labels, 0) if hard else labels
    losses = np.where(counts, _surprise(logits, labels, label_smoothing, temperature, weight), 0.0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return np.sum(losses)
    share = counts * (weight[labels] if hard and weight is not None else 1.0)
    with np.errstate(invalid="ignore"):
        return np.sum(losses) / np.sum(share)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _phi(x: Any) -> Any:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


# -------------------------------------------------------------------------------------------------------------- layers
_ACTIVATIONS: dict[str | None, Callable[..., Any]] = {
    None: lambda x: x,
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "gelu": _elementwise(lambda x: x * _phi(x)),
    "silu": _elementwise(lambda x: x * _sigmoid(x)),
    "tanh": _elementwise(mpmath.tanh),
    "sigmoid": _elementwise(_sigmoid),
}


def _gelu(x: Any, *, approximate: bool = False) -> Any:
    if not approximate:
        return _ACTIVATIONS["gelu"](x)
    inner = mpmath.sqrt(2 / mpmath.pi)
    return _elementwise(lambda v: v / 2 * (1 + mpmath.tanh(inner * (v + mpmath.mpf("0.044715") * v**3))))(x)


def _linear(x: Any, weight: Any, bias: Any = None, *, activation: Any = None, name: Any = None) -> Any:
    y = np.einsum("...i,io->...o", x, weight)
    return _ACTIVATIONS[activation](y if bias is None else y + bias)


def _leaky_relu(x: Any, *, negative_slope: float = 0.01) -> Any:
    return np.where(x > 0, x, negative_slope * x)


# ----------------------------------------------------------------------------------------------------------- attention
def _rows(q: Any, k: Any, mask: Any, causal: bool, query_offset: Any, scale: Any) -> Any:
    """Each query by itself: its place, its key head's, the keys that it sees, and its scores of those alone."""
    lead, (lq, lk) = q.shape[:-2], (q.shape[-2], k.shape[-2])
    every = np.broadcast_to(True if mask is None else mask, (*lead, lq, lk))
    additive = every.dtype != bool
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    for at in np.ndindex(*lead, lq):
        home = (*at[:-2], at[-2] // (q.shape[-3] // k.shape[-3])) if lead else ()
        keys = [
            j
            for j in range(lk)
            if (additive or every[at][j]) and not (causal and j > at[-1] + int(query_offset))
        ]
        scores = [factor * math.fsum(q[at] * k[home][j]) + (every[at][j] if additive else 0.0) for j in keys]
        yield at, home, keys, np.asarray(scores)


def _attention_forward(
    q: Any,
    k: Any,
    v: Any,
    *,
    mask: Any = None,
    causal: bool = False,
    query_offset: Any = 0,
    scale: Any = None,
) -> Any:
    y, log_sum = np.zeros((*q.shape[:-1], v.shape[-1])), np.full(q.shape[:-1], -np.inf)
    for at, home, keys, scores in _rows(q, k, mask, causal, query_offset, scale):
        if keys:
            y[at], log_sum[at] = special.softmax(scores) @ v[home][keys], special.logsumexp(scores)
    return y, log_sum


def _attention_weights(
    q: Any, k: Any, *, mask: Any = None, causal: bool = False, query_offset: Any = 0, scale: Any = None
) -> Any:
    p = np.zeros((*q.shape[:-1], k.shape[-2]))
    for at, _, keys, scores in _rows(q, k, mask, causal, query_offset, scale):
        if keys:
            p[at][keys] = special.softmax(scores)
    return p


def _attention_backward(
    g: Any,
    y: Any,
    log_sum: Any,
    q: Any,
    k: Any,
    v: Any,
    *,
    mask: Any = None,
    causal: bool = False,
    query_offset: Any = 0,
    scale: Any = None,
    mask_gradient: bool = False,
) -> Any:
    """Dao (2023), algorithm 2, one score at a time."""
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    dq, dk, dv, dscale, ds = (
        np.zeros_like(q),
        np.zeros_like(k),
        np.zeros_like(v),
        0.0,
        np.zeros((*q.shape[:-1], k.shape[-2])),
    )
    for at, home, keys, scores in _rows(q, k, mask, causal, query_offset, scale):
        for j, score in zip(keys, scores, strict=True):
            p = math.exp(score - log_sum[at])
            ds[at][j] = p * (g[at] @ v[home][j] - g[at] @ y[at])
            dv[home][j] += p * g[at]
            dq[at] += factor * ds[at][j] * k[home][j]
            dk[home][j] += factor * ds[at][j] * q[at]
            dscale += ds[at][j] * (q[at] @ k[home][j])
    if not mask_gradient:
        return dq, dk, dv, np.asarray(dscale)
    full = (1,) * (ds.ndim - mask.ndim) + mask.shape
    repeated = tuple(axis for axis, n in enumerate(full) if n == 1)
    return dq, dk, dv, np.asarray(dscale), ds.sum(axis=repeated, keepdims=True).reshape(mask.shape)


def _normalised(centred: bool) -> Callable[..., Any]:
    """Each slice in 40 digits."""

    def over(
        x: Any,
        weight: Any = None,
        bias: Any = None,
        *,
        axis: Any = -1,
        epsilon: float = 1e-5 if centred else 1e-6,
        name: Any = None,
    ) -> Any:
        axes = tuple(one % x.ndim for one in (axis if isinstance(axis, tuple) else (axis,)))
        last = tuple(range(-len(axes), 0))
        moved = np.moveaxis(x, sorted(axes), last)
        rows = []
        for row in moved.reshape(-1, math.prod(moved.shape[x.ndim - len(axes) :])):
            values = [mpmath.mpf(float(v)) for v in row]
            mean = mpmath.fsum(values) / len(values) if centred else mpmath.mpf(0)
            root = mpmath.sqrt(mpmath.fsum((v - mean) ** 2 for v in values) / len(values) + epsilon)
            rows.append([float((v - mean) / root) for v in values])
        y = np.asarray(rows).reshape(moved.shape)
        y = y if weight is None else y * weight
        return np.moveaxis(y if bias is None else y + bias, last, sorted(axes))

    return over


def _scatter_rows(g: Any, places: Any, *, rows: int) -> Any:
    z = np.zeros((rows, g.shape[1]))
    for row, place in zip(g, places, strict=True):
        z[int(place)] += row
    return z


# -------------------------------------------------------------------------------------------------------------- losses
def _losses(f: Callable[[Any], Any]) -> Callable[..., Any]:
    def loss(prediction: Any, target: Any, **options: Any) -> Any:
        difference = np.asarray(np.asarray(prediction) - np.asarray(target))
        return np.asarray(math.fsum(f(d, **options) for d in difference.ravel()) / difference.size)

    return loss


def _huber(d: float, *, delta: float = 1.0) -> float:
    return 0.5 * d * d if abs(d) <= delta else delta * (abs(d) - 0.5 * delta)


# -------------------------------------------------------------------------------------- random numbers, from the paper
def _threefry(key: Any, x0: int, x1: int) -> tuple[int, int]:
    """Threefry-2x32-20 on Python's integers: Salmon, Moraes, Dror, Shaw (2011), figure 2 and table 2."""
    word = 2**32 - 1
    k = [int(key[0]), int(key[1])]
    k.append(k[0] ^ k[1] ^ 0x1BD11BDA)
    x0, x1 = (x0 + k[0]) & word, (x1 + k[1]) & word
    for turn in range(20):
        by = ((13, 15, 26, 6), (17, 29, 16, 24))[turn // 4 % 2][turn % 4]
        x0 = (x0 + x1) & word
        x1 = (((x1 << by) | (x1 >> (32 - by))) & word) ^ x0
        if turn % 4 == 3:
            step = turn // 4 + 1
            x0, x1 = (x0 + k[step % 3]) & word, (x1 + k[(step + 1) % 3] + step) & word
    return x0, x1


def _counted(key: Any, shape: Any, f: Callable[[int], Any], dtype: Any) -> Any:
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    return np.asarray([f(i) for i in range(math.prod(lengths))], dtype=dtype).reshape(lengths)


def _bits(key: Any, shape: Any) -> Any:
    return _counted(key, shape, lambda i: _threefry(key, 0, i)[0] ^ _threefry(key, 0, i)[1], np.uint32)


def _split(key: Any, n: int) -> Any:
    return np.asarray([_threefry(key, 0, i) for i in range(n)], dtype=np.uint32).reshape(n, 2)


def _fold(key: Any, counter: Any) -> Any:
    high, low = (int(word) for word in counter) if np.ndim(counter) else divmod(int(counter) % 2**64, 2**32)
    return np.asarray(_threefry(key, high, low), dtype=np.uint32)


def _uniform(key: Any, low: Any, high: Any, *, shape: Any, dtype: str) -> Any:
    def one(i: int) -> float:
        a, b = _threefry(key, 0, i)
        u = ((a >> 5) * 2**26 + (b >> 6)) / 2**53 if dtype == "float64" else (a >> 8) / 2**24
        return float(low + (high - low) * u)

    return _counted(key, shape, one, np.float64)


def _normal(key: Any, *, shape: Any, dtype: str) -> Any:
    def one(i: int) -> float:
        a, b = _threefry(key, 0, i // 2)
        more_a, more_b = _threefry(key, 1, i // 2)
        wide = dtype == "float64"
        u = (mpmath.mpf(a) * 2**32 + more_a + 0.5) / 2**64 if wide else (mpmath.mpf(a) + 0.5) / 2**32
        fraction = (mpmath.mpf(more_b) + 0.5) / 2**32 if wide else mpmath.mpf(0.5)
        angle = ((b % 2**30) - 2**29 + fraction) * mpmath.pi / 2**31
        cosine = mpmath.cos(angle) * (-1 if b >> 31 else 1)
        part = cosine if (b >> 30) % 2 == i % 2 else mpmath.sin(angle)
        return float(mpmath.sqrt(-2 * mpmath.log(u)) * part)

    return _counted(key, shape, one, np.float64)


def _waiting(key: Any, i: int, dtype: str) -> Any:
    a, b = _threefry(key, 0, i)
    p = mpmath.mpf(a) / 2**32 + (mpmath.mpf(b) + 0.5) / 2**64
    return -mpmath.log1p(-min(p, 1 - mpmath.mpf(float(np.finfo(dtype).eps)) / 2))


def _exponential(key: Any, *, shape: Any, dtype: str) -> Any:
    return _counted(key, shape, lambda i: float(_waiting(key, i, dtype)), np.float64)


def _integers(key: Any, low: Any, reach: Any, *, shape: Any, dtype: str) -> Any:
    width = 8 * np.asarray(reach).dtype.itemsize
    lows, reaches = (np.broadcast_to(x, shape).ravel() for x in (low, reach))

    def one(i: int) -> int:
        a, b = _threefry(key, 0, i)
        if width == 64:
            more_a, more_b = _threefry(key, 1, i)
            a, b = a << 32 | b, more_a << 32 | more_b
        return int(lows[i]) + (((a << width) + b) * (int(reaches[i]) + 1) >> 2 * width)

    return _counted(key, shape, one, dtype)


def _permute(key: Any, *, n: int, dtype: str) -> Any:
    return np.asarray(sorted(range(n), key=lambda i: (_threefry(key, 0, i), i)), dtype=dtype)


def _permute_each(key: Any, *, shape: Any, axis: int, dtype: str) -> Any:
    pairs = np.empty(shape, object)
    for i in range(math.prod(shape)):
        pairs.ravel()[i] = (_threefry(key, 0, i), i)
    rows = np.moveaxis(pairs, axis, -1)
    order = [sorted(range(rows.shape[-1]), key=row.__getitem__) for row in rows.reshape(-1, rows.shape[-1])]
    return np.moveaxis(np.asarray(order, dtype=dtype).reshape(rows.shape), -1, axis)


def _categorical(key: Any, logits: Any, *, n: int | None = None, replace: bool = True) -> Any:
    """The race: the least of Eᵢ·exp(−logitᵢ) wins; without replacement, the first n."""
    k, lead = logits.shape[-1], logits.shape[:-1]
    races = np.repeat(logits[..., None, :], n, axis=-2) if replace and n is not None else logits
    times = [
        mpmath.log(_waiting(key, i, "float64")) - mpmath.mpf(float(v)) for i, v in enumerate(races.ravel())
    ]
    rows = [times[start : start + k] for start in range(0, len(times), k)]
    first = [sorted(range(k), key=row.__getitem__)[: 1 if replace or n is None else n] for row in rows]
    return np.asarray(first, dtype=int).reshape(lead if n is None else (*lead, n))


# -------------------------------------------------------------------------------------------------------------- states
def _turned(rows: Any) -> Any:
    """Rows whose largest entry is positive."""
    return np.asarray([row * np.sign(row[np.argmax(np.abs(row))]) for row in rows])


def _eigh(a: Any, *, repeated: str = "nan") -> Any:
    """By LAPACK's other driver, of the lower triangle of the symmetric part."""
    values, vectors = scipy.linalg.eigh((a + a.T) / 2, driver="evr")
    return values, _turned(vectors.T).T


MATRIX_FUNCTIONS: dict[str, Any] = {
    "sqrt": scipy.linalg.sqrtm,
    "inv_sqrt": lambda a: np.linalg.inv(scipy.linalg.sqrtm(a)),
    "log": scipy.linalg.logm,
    "exp": scipy.linalg.expm,
    "sin": scipy.linalg.sinm,
    "cos": scipy.linalg.cosm,
}


def _directional(a: Any, direction: Any, others: Any = None, *, f: str) -> Any:
    """The corner of the function of a block triangular matrix (Higham, Relton, 2014, theorem 3.5)."""
    block, d = a, a.shape[0]
    for k, e in enumerate([direction, *([] if others is None else others)]):
        upper = np.kron(np.eye(2**k), 0.5 * (e + e.T))
        block = np.block([[block, upper], [np.zeros_like(block), block]])
    return MATRIX_FUNCTIONS[f](block)[:d, -d:]


def _right_singular(x: Any) -> Any:
    u, s, vh = scipy.linalg.svd(x, full_matrices=False, lapack_driver="gesvd")
    turned = _turned(vh)
    return u * np.sign(np.sum(turned * vh, axis=1)), s, turned


def _projected_svd(x: Any, shift: Any, rest: Any, omega: Any, *, k: int, powers: int, blocks: int) -> Any:
    """QR at every half step of the iteration, all blocks' QR at once, then the whole SVD of the rows in their space."""
    z = x - shift - rest
    z = z if z.shape[0] >= z.shape[1] else z.T
    q = np.linalg.qr(omega)[0]
    krylov = [q]
    for _ in range(powers + blocks - 1):
        q = np.linalg.qr(z.T @ np.linalg.qr(z @ q)[0])[0]
        krylov.append(q)
    basis = np.linalg.qr(np.hstack(krylov[powers:]))[0]
    near = z @ basis @ basis.T
    near = near if x.shape[0] >= x.shape[1] else near.T
    u, s, vh = _right_singular(near)
    return u[:, :k], s[:k], vh[:k]


def _model_covariance(components: Any, variances: Any, noise: Any) -> Any:
    """Beside the components' plane the noise alone."""
    k, d = components.shape
    beside = scipy.linalg.null_space(components)
    assert beside.shape == (d, d - k)
    return components.T @ np.diag(np.maximum(variances, noise)) @ components + noise * beside @ beside.T


def _log_likelihood(x: Any, mean: Any, components: Any, variances: Any, noise: Any) -> Any:
    covariance = _model_covariance(components, variances, noise)
    return np.asarray([stats.multivariate_normal(mean, covariance).logpdf(row) for row in x])


def _block_moments(x: Any) -> Any:
    n, d = x.shape
    columns = [[mpmath.mpf(float(v)) for v in x[:, j]] for j in range(d)]
    means = [mpmath.fsum(column) / max(n, 1) for column in columns]
    rest = [[v - mean for v in column] for column, mean in zip(columns, means, strict=True)]
    m2 = [[float(mpmath.fsum(a * b for a, b in zip(p, q, strict=True))) for q in rest] for p in rest]
    return np.asarray(float(n)), np.asarray([float(m) for m in means]), np.asarray(m2).reshape(d, d)


ORACLES: dict[str, Callable[..., Any]] = {
    "algorithms.attention": lambda *arrays, **options: _attention_forward(*arrays, **options)[0],
    "algorithms.attention_backward": _attention_backward,
    "algorithms.attention_forward": _attention_forward,
    "algorithms.attention_logsumexp": _attention_forward,
    "algorithms.attention_weights": _attention_weights,
    "calculus.huber": _losses(_huber),
    "calculus.mean_absolute_error": _losses(abs),
    "calculus.mean_squared_error": _losses(lambda d: d * d),
    "layers.embedding": lambda table, indices, *, padding_index=None, name=None: (
        np.eye(table.shape[0])[indices] @ table
    ),
    "layers.gelu": _gelu,
    "layers.layer_norm": _normalised(centred=True),
    "layers.leaky_relu": _leaky_relu,
    "layers.linear": _linear,
    "layers.relu": _ACTIVATIONS["relu"],
    "layers.rms_norm": _normalised(centred=False),
    "layers.scatter_rows": _scatter_rows,
    "layers.silu": _ACTIVATIONS["silu"],
    "layers.tanh": _ACTIVATIONS["tanh"],
    "probability.cross_entropy": _cross_entropy,
    "probability.erf": _elementwise(mpmath.erf),
    "probability.erfc": _elementwise(mpmath.erfc),
    "probability.log_ndtr": _elementwise(lambda x: mpmath.log(_phi(x))),
    "probability.log_sigmoid": _elementwise(lambda x: mpmath.log(_sigmoid(x))),
    "probability.log_softmax": _log_softmax,
    "probability.logsumexp": _logsumexp,
    "probability.ndtr": _elementwise(_phi),
    "probability.sigmoid": _elementwise(_sigmoid),
    "probability.softmax": _softmax,
    "random.bits": _bits,
    "random.categorical": _categorical,
    "random.draw_exponential": _exponential,
    "random.draw_integers": _integers,
    "random.draw_normal": _normal,
    "random.draw_uniform": _uniform,
    "random.fold": _fold,
    "random.permute": _permute,
    "random.permute_each": _permute_each,
    "random.split": _split,
    "linalg.directional": _directional,
    "linalg.eigh": _eigh,
    "linalg.expm": scipy.linalg.expm,
    "linalg.inv_sqrtm": lambda a: np.linalg.inv(scipy.linalg.sqrtm(a)),
    "linalg.leading_eigh": lambda a, *, k: (_eigh(a)[0], _eigh(a)[1][..., -k:]),
    "linalg.leading_right": lambda x, *, k: (_right_singular(x)[1], _right_singular(x)[2][:k]),
    "linalg.logm": scipy.linalg.logm,
    "linalg.matrix_function": lambda a, *, f: MATRIX_FUNCTIONS[f](a),
    "linalg.mean_covariance": lambda x, scale=None: (
        x.mean(axis=0),
        np.cov(x * (1.0 if scale is None else scale), rowvar=False).reshape(x.shape[1], x.shape[1]),
    ),
    "linalg.inverse_transform": lambda scores, mean, components, scale: (
        np.einsum("...nk,...k,...kd->...nd", scores, 1 / scale, components) + mean[..., None, :]
    ),
    "linalg.log_likelihood": _log_likelihood,
    "linalg.model_covariance": _model_covariance,
    "linalg.projected_svd": _projected_svd,
    "linalg.sqrtm": scipy.linalg.sqrtm,
    "linalg.right_singular": lambda x: _right_singular(x)[1:],
    "linalg.transform": lambda x, mean, components, scale: np.einsum(
        "...nd,...kd,...k->...nk", x - mean[..., None, :], components, scale
    ),
    "reduce.block_moments": _block_moments,
}
