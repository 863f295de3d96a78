"""Bytes and floating operations against counts by hand, written out as the textbook's algorithm goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pillars import CapabilityError
from pillars.algorithms import attention
from pillars.backends import call_cost, gradient_cost, records
from pillars.calculus import huber, mean_absolute_error, mean_squared_error
from pillars.layers import embedding, gelu, layer_norm, leaky_relu, linear, relu, rms_norm, silu, tanh
from pillars.linalg import eigh, sqrtm
from pillars.probability import cross_entropy, log_sigmoid, log_softmax, logsumexp, sigmoid, softmax

X = np.ones((2, 3), np.float32)  # six entries, 24 bytes
ROW = np.ones(3, np.float32)
WEIGHT = np.ones((3, 4), np.float32)
BIAS = np.ones(4, np.float32)
LABELS = np.asarray([0, 2], np.int64)
Q, K, V = np.ones((2, 3, 4)), np.ones((2, 5, 4)), np.ones((2, 5, 6))  # two heads, 3 queries, 5 keys

# operation, arrays, options; bytes of the call and of the gradient; operations of either, counted by hand
COUNTED: list[tuple[Any, tuple[Any, ...], dict[str, Any], tuple[int, int], tuple[int, int]]] = [
    (softmax, (X,), {}, (24 + 24, 24 + 24 + 24 + 24), (5 * 6, 5 * 6 + 4 * 6)),
    (log_softmax, (X,), {}, (48, 96), (30, 54)),
    (logsumexp, (X,), {}, (24 + 8, 24 + 8 + 8 + 24), (4 * 6, 7 * 6)),
    (cross_entropy, (X, LABELS), {}, (24 + 16 + 4, 24 + 16 + 4 + 4 + 24), (4 * 6, 6 * 6)),
    (sigmoid, (X,), {}, (48, 96), (4 * 6, 7 * 6)),
    (log_sigmoid, (X,), {}, (48, 96), (6 * 6, 11 * 6)),
    (relu, (X,), {}, (48, 96), (6, 12)),
    (leaky_relu, (X,), {}, (48, 96), (12, 24)),
    (tanh, (X,), {}, (48, 96), (6, 24)),
    (silu, (X,), {}, (48, 96), (30, 60)),
    (gelu, (X,), {}, (48, 96), (30, 72)),
    (gelu, (X,), {"approximate": True}, (48, 96), (54, 114)),
    # 2·3·4 products, each with its sum: 48; one bias for each of the 8 results
    (linear, (X, WEIGHT), {}, (24 + 48 + 32, 24 + 48 + 2 * 32 + 24 + 48), (48, 3 * 48)),
    (linear, (X, WEIGHT, BIAS), {}, (120, 24 + 48 + 16 + 2 * 32 + 88), (48 + 8, 3 * 48 + 8 + 8)),
    (linear, (X, WEIGHT, BIAS), {"activation": "relu"}, (120, 240), (56 + 8, 160 + 16)),
    (linear, (X, WEIGHT, BIAS), {"activation": "gelu"}, (120, 240), (56 + 5 * 8, 160 + 12 * 8)),
    (layer_norm, (X, ROW, ROW), {}, (24 + 12 + 12 + 24, 48 + 48 + 48), (7 * 6, 18 * 6)),
    (layer_norm, (X, ROW), {}, (60, 24 + 12 + 48 + 36), (6 * 6, 16 * 6)),
    (rms_norm, (X, ROW), {}, (60, 120), (4 * 6, 12 * 6)),
    # of three rows two are read
    (embedding, (WEIGHT, LABELS), {}, (32 + 16 + 32, 32 + 16 + 64 + 48), (0, 8)),
    (mean_squared_error, (X, X), {}, (52, 48 + 8 + 48), (18, 30)),
    (mean_absolute_error, (X, X), {}, (52, 48 + 8 + 48), (18, 36)),
    (huber, (X, X), {}, (52, 48 + 8 + 48), (42, 66)),
    # 2 heads of 15 pairs; a pair: 2·4 for its score, 4 to its weight, 2·6 for its value
    (attention, (Q, K, V), {}, (8 * (24 + 40 + 60 + 36), 8 * (124 + 72 + 124)), (30 * 24, 30 * (24 + 52))),
    # the queries see 1, 2 and 3 keys; then 3, 4 and 5; then none
    (attention, (Q, K, V), {"causal": True}, (1280, 2560), (12 * 24, 12 * 76)),
    (attention, (Q, K, V), {"causal": True, "query_offset": 2}, (1280, 2560), (24 * 24, 24 * 76)),
    (attention, (Q, K, V), {"causal": True, "query_offset": -3}, (1280, 2560), (0, 0)),
    (eigh, (np.eye(2),), {}, (32 + 16 + 32, 32 + 2 * 48 + 32), (72, 120)),
    (sqrtm, (np.eye(2),), {}, (32 + 32, 32 + 32 + 32 + 32), (88, 224)),
    # on a host results in float64; sums and differences of 6 entries; six distinct products of columns, of 2 rows
    (records()["linalg.mean_covariance"].function, (X,), {}, (24 + 12 * 8, 24 + 2 * 96 + 24), (36, 84)),
]


@pytest.mark.parametrize(("f", "arrays", "options", "moved", "flops"), COUNTED)
def test_counts_by_hand(f: Any, arrays: Any, options: Any, moved: tuple[int, int], flops: Any) -> None:
    record = f.record
    values = record.bind(arrays, options)
    y = f.reference(*arrays, **options)
    found = call_cost(record, values, y), gradient_cost(record, values, y)
    assert tuple(cost.bytes for cost in found) == moved
    assert tuple(cost.flops for cost in found) == flops


def test_what_nobody_counted_is_said() -> None:
    record = records()["probability.erf"]
    with pytest.raises(
        CapabilityError, match=r"probability\.erf: nobody has counted its floating operations"
    ):
        call_cost(record, record.bind((X,), {}), X)
