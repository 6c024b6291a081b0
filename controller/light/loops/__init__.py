"""The innermost loops of light control: what NumPy would do in dozens of steps over a few dozen numbers each.

Plain Python, compiled by Numba where it is installed: the same operations in the same order, so the same bits. Compiled
code is kept beside its file (or in the user's cache): a loop may call loops of its own file, and of no other. Arrays
hold numbers of nodes, clusters (their places in `Index.domains`) and columns (candidate nodes of one service), from 0.
"""

from controller.light.loops.compiled import Compiled
from controller.light.loops.places import add_nearest, add_return, candidates, carry, offers, senders, take
from controller.light.loops.search import arranged
from controller.light.loops.workers import exceeding, exponent, sized

_ALL: tuple[Compiled, ...] = (  # type: ignore[type-arg]
    candidates, add_nearest, add_return, carry, offers, senders, take, arranged, exponent, exceeding, sized,
)  # fmt: skip


def ready() -> None:
    """All of them compiled: before a run begins, so that no slot of it waits for that."""
    for loop in _ALL:
        loop.ready()


__all__ = [
    "add_nearest",
    "add_return",
    "arranged",
    "candidates",
    "carry",
    "exceeding",
    "exponent",
    "offers",
    "ready",
    "senders",
    "sized",
    "take",
]
