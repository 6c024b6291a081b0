"""Which backend realises a link: the first of those this kernel can run that does not refuse it.

The order is from least to most processor time per frame. A backend is one module: its class, and here its line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from testbed.errors import CannotRun
from testbed.world.live.links.base import LinkBackend, WireLink
from testbed.world.live.links.htb import Htb
from testbed.world.live.links.netem import Netem
from testbed.world.live.links.relay import Relay


@dataclass(frozen=True, slots=True)
class Offer:
    """requires: of the kernel, found by trying (capabilities.py TRIES). make: of a seed, for what is left to chance
    where it is ours to draw, and of the alias that marks interfaces as the run's."""

    requires: frozenset[str]
    refuses: Callable[[WireLink, Collection[str]], str]
    make: Callable[[int, str], LinkBackend]


#: In the order in which they are asked.
OFFERS: dict[str, Offer] = {
    "htb": Offer(frozenset({"veth", "htb", "ifb_mirred"}), Htb.refuses, lambda seed, alias: Htb(alias)),
    "netem": Offer(frozenset({"veth", "htb", "ifb_mirred", "netem"}), Netem.refuses, lambda seed, alias: Netem(alias)),
    "relay": Offer(frozenset({"tun"}), Relay.refuses, Relay),
}


def offered(features: Mapping[str, bool | None]) -> list[str]:
    """The backends this kernel can run, in the order of preference. features: as probed."""
    return [name for name, offer in OFFERS.items() if all(features.get(f) for f in offer.requires)]


def refusals(link: WireLink, needs: Collection[str], features: Mapping[str, bool | None]) -> dict[str, str]:
    """Backend → why it does not take this link, for those before the first that does; all of them: nobody does.

    needs: fields of the shape that will change during the run, and "trace" for a packet-opportunity file.
    """
    why: dict[str, str] = {}
    for name, offer in OFFERS.items():
        missing = sorted(f for f in offer.requires if not features.get(f))
        reason = f"this kernel has no {', '.join(missing)}" if missing else offer.refuses(link, needs)
        if not reason:
            return why
        why[name] = reason
    return why


def choose(link: WireLink, needs: Collection[str], features: Mapping[str, bool | None]) -> str:
    """Name of the backend for this link; CannotRun with every backend's reason where there is none."""
    why = refusals(link, needs, features)
    taken = next((name for name in OFFERS if name not in why), None)
    if taken is None:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in why.items())
        raise CannotRun(
            f"link {link.name} can't be made here. {reasons}. Run `modprobe tun` and make /dev/net/tun accessible, "
            "or use a virtual machine"
        )
    return taken


def make(name: str, seed: int, alias: str) -> LinkBackend:
    """A backend with no links yet."""
    return OFFERS[name].make(seed, alias)
