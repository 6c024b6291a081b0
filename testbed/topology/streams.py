"""Random streams that never disturb each other: one per (seed, name), Philox keyed by a hash of the key.

`stream` is for what is drawn one after the other; `uniforms` for the k-th of many alike: Philox is a function of key
and counter, so the k-th is had without those before it, and at the speed of a block.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

UNIT = 2.0**-53  # 53 random bits make a number in [0, 1)


def stream(seed: int, *key: str | int) -> np.random.Generator:
    """The generator of this key. Same arguments, same numbers, on every machine; others are independent.

    stream(7, "access", 12) is another stream than stream(7, "access", "12") and stream(7, "access1", 2).
    """
    return np.random.Generator(np.random.Philox(key=_key(seed, key)))


def uniforms(first: int, n: int, seed: int, *key: str | int) -> NDArray[np.float64]:
    """[n, 4]: the four numbers in [0, 1) of each of the counters first, …, first + n − 1 of this key.

    They are Philox 4x64-10 of counter + 1 (NumPy counts before it computes), the top 53 bits of each word. Not the
    numbers of stream(seed, *key) with the same key: "counted" is part of it.
    """
    raw = np.random.Philox(key=_key(seed, ("counted", *key)), counter=first).random_raw(4 * n)
    return np.asarray((raw >> np.uint64(11)) * UNIT).reshape(n, 4)


def _key(seed: int, parts: tuple[str | int, ...]) -> int:
    digest = blake2b(digest_size=16, person=b"shaketable")
    for part in (seed, *parts):
        text = f"{type(part).__name__[0]}{part}".encode()
        digest.update(len(text).to_bytes(4, "big") + text)
    return int.from_bytes(digest.digest(), "big")
