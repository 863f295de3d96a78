"""Reduced matrix products are noticed, whatever a library's settings say."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from pillars.measure.bench._precision import SINGLE, product_precision

module = sys.modules["pillars.measure.bench._precision"]


FORMATS = [(23, "float32", SINGLE), (10, "tf32", 2**-11), (7, "bfloat16", 2**-8)]


def truncated(bits: int) -> Any:
    """A product whose inputs keep `bits` bits after the leading one, as tensor cores do."""

    def product(x: Any, weight: Any) -> Any:
        mantissa, exponent = np.frexp(x)
        return np.ldexp(np.round(mantissa * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponent) @ weight

    return product


@pytest.mark.parametrize(
    ("bits", "name", "unit"), [(23, "float32", SINGLE), (10, "tf32", 2**-11), (7, "bfloat16", 2**-8)]
)
def test_formats_are_told_apart(monkeypatch: pytest.MonkeyPatch, bits: int, name: str, unit: float) -> None:
    monkeypatch.setattr(module, "linear", truncated(bits))
    assert product_precision("numpy") == (name, unit)


def test_the_processor_multiplies_in_single_precision() -> None:
    assert product_precision("numpy").name == "float32"
