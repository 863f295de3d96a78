"""The bundled digits are the published ones."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np

from pillars.measure import load_digits


def test_shape_types_and_names() -> None:
    digits = load_digits()
    assert digits.x.shape == (1797, 64)
    assert digits.y.shape == (1797,)
    assert (digits.x.dtype, digits.y.dtype) == (np.float64, np.int64)
    assert len(digits.features) == len(set(digits.features)) == 64
    assert digits.classes == tuple("0123456789")


def test_the_values_are_the_published_ones() -> None:
    digits = load_digits()
    stored = digits.x.astype(np.uint8).tobytes() + digits.y.astype(np.uint8).tobytes()
    expected = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
    assert hashlib.sha256(stored).hexdigest() == expected
    assert np.bincount(digits.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (digits.x.min(), digits.x.max()) == (0, 16)


def test_they_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits as published

    digits, original = load_digits(), published()
    np.testing.assert_array_equal(digits.x, original.data)
    np.testing.assert_array_equal(digits.y, original.target)


def test_they_are_small_and_carry_their_licence() -> None:
    folder = files("pillars.measure.data")
    assert len(folder.joinpath("digits.npz").read_bytes()) < 100_000
    for text in (folder.joinpath("digits.txt").read_text(encoding="utf-8"), load_digits.__doc__ or ""):
        assert "CC BY 4.0" in text
        assert "Alpaydin" in text
        assert "doi.org/10.24432/C50P49" in text
