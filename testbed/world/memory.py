"""Whether an instance still fits a node whose memory is squeezed, by the planner's figures. The same in every world."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from controller.decision import Start
from controller.model import Light, Model


class Placed(Protocol):
    """An instance, as both worlds keep it."""

    id: str
    service: str
    node: str
    workers: int


def need(model: Model, service: str, workers: int) -> float:
    """Bytes of an instance: of a light service, per worker."""
    m = model.service(service)
    return m.memory * workers if isinstance(m, Light) else m.memory


def lacking(model: Model, start: Start, keep: float, placed: Iterable[Placed]) -> str:
    """Why the start does not fit beside what is on its node, of whose memory the share `keep` is left; "": it does."""
    if keep >= 1.0:
        return ""
    left = keep * model.node(start.node).memory
    held = sum(need(model, i.service, i.workers) for i in placed if i.node == start.node and i.id != start.id)
    more = need(model, start.service, start.workers)
    if held + more <= left:
        return ""
    return (
        f"node {start.node} is out of memory: {left / 1e9:.3g} GB are left, {held / 1e9:.3g} GB are taken, "
        f"{start.id} needs {more / 1e9:.3g} GB"
    )
