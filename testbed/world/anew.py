"""What a node that restarts runs again: the instances it had, under names of their own. The same in every world."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Protocol

from controller.decision import Decision, Start

#: Of the name of an instance that began anew: how often.
AGAIN = re.compile(r"(?P<first>.+)\.r(?P<times>\d+)")


class Running(Protocol):
    """An instance, as both worlds keep it."""

    id: str
    service: str
    node: str
    workers: int
    state: str


def running(instances: Iterable[Running], node: str) -> list[Start]:
    """What serves on the node now: ready, and not told to leave."""
    mine = sorted((i for i in instances if i.node == node and i.state == "ready"), key=lambda i: i.id)
    return [Start(i.id, i.service, i.node, i.workers) for i in mine]


def anew(ran: Iterable[Start], taken: Collection[str], now: float) -> Decision:
    """Starts of what ran, "see-1" as "see-1.r1": the policy may not have heard yet that the old one is gone."""
    starts = []
    for s in ran:
        words = AGAIN.fullmatch(s.id)
        first, times = (words["first"], int(words["times"])) if words else (s.id, 0)
        id = next(name for k in range(times + 1, times + 1000) if (name := f"{first}.r{k}") not in taken)
        starts.append(Start(id, s.service, s.node, s.workers))
    return Decision(0, tuple(starts), tuple(f"{s.node} restarted at {now:.1f} s" for s in starts))
