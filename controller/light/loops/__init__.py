"""The innermost loops of light control: what NumPy would do in dozens of steps over a few dozen numbers each.

Plain Python, compiled by Numba where it is installed: the same operations in the same order, so the same bits. Compiled
code is kept beside its file (or in the user's cache): a loop may call loops of its own file, and of no other. Arrays
hold numbers of nodes, clusters (their places in `Index.domains`) and columns (candidate nodes of one service), from 0.
"""

from controller.light.loops.compiled import Compiled
from controller.light.loops.groups import pools
from controller.light.loops.places import add_nearest, add_return, candidates, carry, offers, senders, take
from controller.light.loops.search import arranged_each
from controller.light.loops.stages import nearest, reach, serve
from controller.light.loops.workers import exceeding, exponent, sizes

_ALL: tuple[Compiled, ...] = (  # type: ignore[type-arg]
    candidates, add_nearest, add_return, carry, offers, senders, take, pools, arranged_each, exponent, exceeding,
    nearest, reach, serve, sizes,
)  # fmt: skip


def ready() -> None:
    """All of them compiled: before a run begins, so that no slot of it waits for that."""
    for loop in _ALL:
        loop.ready()


__all__ = [
    "add_nearest",
    "add_return",
    "arranged_each",
    "candidates",
    "carry",
    "exceeding",
    "exponent",
    "nearest",
    "offers",
    "pools",
    "reach",
    "ready",
    "senders",
    "serve",
    "sizes",
    "take",
]
