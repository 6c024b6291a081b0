"""What a fault or a fluctuation can be aimed at: a name of the topology, a service, the run's own control, or a
selector drawn per seed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from testbed.catalogue import nearest
from testbed.scenario.model import JOINED, Fault
from testbed.scenario.streams import stream
from testbed.topology.model import Link, Topology

ANY = "any "
ROLES = ("link", "node", "ingress", "site", "service", "control")
#: One direction of a link, "a->b"; a role for those kinds that can act on one.
DIRECTION = "direction"
#: What the run itself does: views, Docker calls, path control. A role, and its only name.
CONTROL = "control"
#: The node whose core services carry the most work by the placement: known once they are placed (testbed.run.prepare).
BUSIEST = "busiest node"
#: "any trunk": a link, but none of those that lead to a host.
SELECTORS = {f"{ANY}{role}": role for role in ROLES if role != CONTROL} | {f"{ANY}trunk": "link", BUSIEST: "node"}

#: Several at once: "all nodes", "2 of nodes", "25 % of trunks"; which ones, is drawn per seed.
PLURALS = {
    "links": "link", "trunks": "trunk", "nodes": "node", "ingresses": "ingress", "sites": "site", "services": "service",
}  # fmt: skip
MANY = re.compile(
    rf"(?:(?P<all>all)|(?P<count>\d{{1,4}}) of|(?P<share>\d{{1,3}}(?:\.\d{{1,3}})?) ?% of) (?P<of>{'|'.join(PLURALS)})"
)


def names(topology: Topology, role: str, services: Sequence[str] = ()) -> list[str]:
    """Names of one role, links by their own name "a--b"; role "trunk": the links between sites."""
    if role == "service":
        return list(services)
    if role == CONTROL:
        return [CONTROL]
    if role in ("link", "trunk"):
        return [k.name for k in topology.links if role == "link" or k.role == "trunk"]
    if role == DIRECTION:
        return [way for k in topology.links for way in (f"{k.a}->{k.b}", f"{k.b}->{k.a}")]
    if role == "site":
        return [s.name for s in topology.sites]
    return [h.name for h in (topology.nodes if role == "node" else topology.ingresses)]


def crowd(target: str, topology: Topology, services: Sequence[str] = ()) -> tuple[list[str], int] | None:
    """(names, how many of them) that "all nodes", "2 of nodes" or "25 % of trunks" means; None: no such words.

    A share is rounded to the nearest number, and is at least one.
    """
    words = MANY.fullmatch(target)
    if words is None:
        return None
    known = names(topology, PLURALS[words["of"]], services)
    if words["all"]:
        return known, len(known)
    if words["share"]:
        return known, max(1, int(len(known) * float(words["share"]) / 100 + 0.5))
    return known, int(words["count"])


def _crowd_mistake(target: str, topology: Topology, roles: Sequence[str], services: Sequence[str]) -> str | None:
    """Of words that `crowd` understands."""
    plural = target.rpartition(" ")[2]
    if SELECTORS[ANY + PLURALS[plural]] not in roles:
        allowed = [p for p, role in PLURALS.items() if SELECTORS[ANY + role] in roles]
        what = f"{target!r} is no target of this kind of fault"
        return f"{what}. Allowed after `of`: {', '.join(allowed)}" if allowed else what
    known, count = crowd(target, topology, services) or ([], 0)
    if not known:
        return f"the topology {topology.name!r} has no {plural}"
    words = MANY.fullmatch(target)
    share = words["share"] if words else None
    if share is not None and not 0 < float(share) <= 100:
        return f"{target!r}: write a share above 0 and up to 100 %"
    if not 1 <= count <= len(known):
        return f"{target!r}: the topology {topology.name!r} has {len(known)} {plural}: write 1 to {len(known)} of them"
    return None


def find(
    topology: Topology, target: str, roles: Sequence[str] = (*ROLES, DIRECTION), services: Sequence[str] = ()
) -> str | None:
    """The target's own name ("b--a" becomes "a--b"), or None where no such thing has one of the roles."""
    swapped = "--".join(reversed(target.split("--")))
    for role in roles:
        known = names(topology, role, services)
        if target in known:
            return target
        if role == "link" and swapped in known:
            return swapped
    return None


def mistake(topology: Topology, target: str, roles: Sequence[str], services: Sequence[str] = ()) -> str | None:
    """Why the target can't be aimed at, or None."""
    if isinstance(target, str) and MANY.fullmatch(target):  # it may be a hole where a mistake was
        return _crowd_mistake(target, topology, roles, services)
    selectors = [s for s, role in SELECTORS.items() if role in roles]
    if selectors:
        selectors.append(f"2 of {next(p for p, role in PLURALS.items() if SELECTORS[ANY + role] in roles)}")
    if target in SELECTORS:
        if target not in selectors:
            return f"{target!r} is no target of this kind of fault. {nearest(target, selectors)}"
        role = "node" if target == BUSIEST else target.removeprefix(ANY)
        return None if names(topology, role, services) else f"the topology {topology.name!r} has no {role}"
    if find(topology, target, roles, services):
        return None
    shorter = ["trunk" if role == "link" else role for role in roles if role != DIRECTION]
    known = [n for role in shorter for n in names(topology, role, services)]
    elsewhere = next((r for r in ROLES if r not in roles and find(topology, target, (r,), services)), None)
    shown = [role for role in roles if role != DIRECTION]
    what = (
        f"{target!r} is {'an' if elsewhere == 'ingress' else 'a'} {elsewhere}, no target"
        if elsewhere
        else f"there is no {' or '.join(shown)} {target!r}"
    )
    drawn = f"; or, chosen per seed: {', '.join(selectors)}" if selectors else ""
    return f"{what} in the topology {topology.name!r}. {nearest(target, known)}{drawn}"


def concrete(fault: Fault, index: int, topology: Topology, seed: int, services: Sequence[str] = ()) -> Fault:
    """The fault with its target's own name, or several joined by JOINED (`Fault.targets`).

    A selector is drawn from its own stream, BUSIEST waits for a placement.
    """
    if fault.target == BUSIEST:
        return fault
    if many := crowd(fault.target, topology, services):
        known, count = many
        drawn = sorted(stream(seed, "fault", index).permutation(len(known))[:count].tolist())
        return fault.model_copy(update={"target": JOINED.join(known[k] for k in drawn)})
    if fault.target in SELECTORS:
        known = names(topology, fault.target.removeprefix(ANY), services)
        target: str | None = known[int(stream(seed, "fault", index).integers(len(known)))]
    else:
        target = find(topology, fault.target, services=services)
    return fault if target is None else fault.model_copy(update={"target": target})


def selected(topology: Topology, links: str) -> list[tuple[Link, str]]:
    """(link, track name) for "trunks", "all", a link name in either order, or one direction "a->b"."""
    if links in ("trunks", "all"):
        return [(k, k.name) for k in topology.links if links == "all" or k.role == "trunk"]
    if "->" in links:
        a, b = links.split("->")
        return [(k, links) for k in topology.links if {k.a, k.b} == {a, b}]
    return [(k, k.name) for k in topology.links if links in (k.name, f"{k.b}--{k.a}")]
