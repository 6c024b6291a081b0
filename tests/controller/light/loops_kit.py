"""What the tests of the innermost loops share: seeds, and compiled against plain Python, bit for bit."""

from __future__ import annotations

import numpy as np

SEEDS = range(40)


def dice(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def both(loop, *arguments):
    """The result as called, which is compiled where Numba is, after a check against the plain function."""
    loop.ready()
    kept = [np.array(x) if isinstance(x, np.ndarray) else x for x in arguments]
    compiled, plain = loop(*arguments), loop.plain(*kept)
    for a, b in zip((*arguments, *several(compiled)), (*kept, *several(plain)), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    return compiled


def several(result):
    return result if isinstance(result, tuple) else (result,)
