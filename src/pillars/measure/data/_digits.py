"""The optical digits, bundled."""

from __future__ import annotations

from importlib.resources import files

from pillars.backends import backend
from pillars.measure.data._types import Dataset

__all__ = ["load_digits"]


def load_digits() -> Dataset:
    """The optical digits: 1797 images of handwritten digits, 8 x 8 pixels, ten classes.

    Alpaydin, E. and Kaynak, C. (1998), *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository,
    https://doi.org/10.24432/C50P49, licensed CC BY 4.0; the 1797 images of its test set, values unchanged.

    Returns
    -------
    Dataset of x (1797, 64), counts of set pixels from 0 to 16, and y (1797,), digits 0 to 9. Three of the 64 columns
    (0, 32 and 39) are 0 in every image. Reads 44 KB; no network.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.x.shape, len(digits.classes)
    ((1797, 64), 10)
    """
    host = backend("numpy").xp
    with files(__package__).joinpath("digits.npz").open("rb") as stream, host.load(stream) as stored:
        x = stored["x"].astype(host.float64)
        y = stored["y"].astype(host.int64)
    pixels = tuple(f"pixel {row},{column}" for row in range(8) for column in range(8))
    return Dataset("optical digits", x, y, pixels, tuple(str(digit) for digit in range(10)))
