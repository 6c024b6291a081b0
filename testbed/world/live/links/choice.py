"""Which backend realises a link: the first of those this kernel can run that does not refuse it.

The order is from least to most processor time per frame. A backend is one module: its class, and here its line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from testbed.errors import CannotRun
from testbed.world.live.links.base import LinkBackend, WireLink
from testbed.world.live.links.htb import Htb
from testbed.world.live.links.netem import Netem
from testbed.world.live.links.relay import Relay

#: What each needs of the kernel, found by trying (testbed/world/live/capabilities.py TRIES).
REQUIRES: Mapping[str, frozenset[str]] = {
    "htb": frozenset({"veth", "htb", "ifb_mirred"}),
    "netem": frozenset({"veth", "htb", "ifb_mirred", "netem"}),
    "relay": frozenset({"tun"}),
}
_REFUSES: Mapping[str, Callable[[WireLink, Collection[str]], str]] = {
    "htb": Htb.refuses,
    "netem": Netem.refuses,
    "relay": Relay.refuses,
}


def offered(features: Mapping[str, bool | None]) -> list[str]:
    """The backends this kernel can run, in the order of preference. features: as probed."""
    return [name for name, wanted in REQUIRES.items() if all(features.get(f) for f in wanted)]


def refusals(link: WireLink, needs: Collection[str], features: Mapping[str, bool | None]) -> dict[str, str]:
    """Backend → why it does not take this link, for those before the first that does; all of them: nobody does.

    needs: fields of the shape that will change during the run, and "trace" for a packet-opportunity file.
    """
    why: dict[str, str] = {}
    for name, wanted in REQUIRES.items():
        missing = sorted(f for f in wanted if not features.get(f))
        reason = f"this kernel has no {', '.join(missing)}" if missing else _REFUSES[name](link, needs)
        if not reason:
            return why
        why[name] = reason
    return why


def choose(link: WireLink, needs: Collection[str], features: Mapping[str, bool | None]) -> str:
    """Name of the backend for this link; CannotRun with every backend's reason where there is none."""
    why = refusals(link, needs, features)
    taken = next((name for name in REQUIRES if name not in why), None)
    if taken is None:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in why.items())
        raise CannotRun(
            f"link {link.name} can't be made here. {reasons}. Run `modprobe tun` and make /dev/net/tun accessible, "
            "or use a virtual machine"
        )
    return taken


def make(name: str, seed: int, alias: str) -> LinkBackend:
    """A backend with no links yet. seed: of what is left to chance, where it is ours to draw."""
    if name == "relay":
        return Relay(seed, alias)
    return Netem(alias) if name == "netem" else Htb(alias)
