"""Threefry-2x32 with twenty rounds on Python's own integers, written out from the paper: what draws are compared with.

Salmon, Moraes, Dror, Shaw (2011), Parallel random numbers: as easy as 1, 2, 3. Its known answers are in ANSWERS.
"""

from __future__ import annotations

__all__ = ["ANSWERS", "fraction", "threefry2x32", "words"]

# counter, key, result: Random123's kat_vectors, threefry2x32 20
ANSWERS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def threefry2x32(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """The cipher of one counter: a key injection before the rounds and after every fourth."""
    rotations = (13, 15, 26, 6, 17, 29, 16, 24)
    schedule = (*key, 0x1BD11BDA ^ key[0] ^ key[1])
    x, y = ((c + k) % 2**32 for c, k in zip(counter, key, strict=True))
    for i in range(20):
        turn = rotations[i % 8]
        x = (x + y) % 2**32
        y = (y * 2**turn % 2**32 + y // 2 ** (32 - turn)) ^ x
        if i % 4 == 3:
            j = i // 4 + 1
            x = (x + schedule[j % 3]) % 2**32
            y = (y + schedule[(j + 1) % 3] + j) % 2**32
    return x, y


def words(key: tuple[int, int], n: int, *, stream: int = 0) -> list[tuple[int, int]]:
    """Both words of the counters 0 ... n − 1."""
    return [threefry2x32(key, (stream, i)) for i in range(n)]


def fraction(key: tuple[int, int], i: int) -> int:
    """128 random bits of counter i: stream 0, then stream 1."""
    a, b = threefry2x32(key, (0, i))
    c, d = threefry2x32(key, (1, i))
    return (a << 96) | (b << 64) | (c << 32) | d
