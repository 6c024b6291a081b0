"""Random streams that never disturb each other: one per (seed, name), Philox keyed by a hash of the key."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def stream(seed: int, *key: str | int) -> np.random.Generator:
    """The generator of this key. Same arguments, same numbers, on every machine; others are independent.

    stream(7, "access", 12) is another stream than stream(7, "access", "12") and stream(7, "access1", 2).
    """
    digest = blake2b(digest_size=16, person=b"shaketable")
    for part in (seed, *key):
        text = f"{type(part).__name__[0]}{part}".encode()
        digest.update(len(text).to_bytes(4, "big") + text)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest.digest(), "big")))
