"""The container that holds a node's network namespace, and how it comes by one.

Docker needs twice as long to start a container when it makes the namespace itself: runc then runs the whole daemon's
binary once more as a hook. So our pause program starts in the host's namespace and leaves it at once (decision 13);
nothing is wired and no service started before every pod has been seen in a namespace of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from testbed.errors import CannotRun
from testbed.world.live.images import PROGRAMS

#: Whose processes those in containers are, user and group: numbers that no distribution gives away.
UID = 47114
USER, ROOT = f"{UID}:{UID}", "0:0"
#: -I -S -E: no site, no environment; it needs neither.
PAUSE = ("python3", "-ISE", PROGRAMS["pause"], "--own-network", str(UID))
OWN_NETWORK_S = 20.0  # for a pause to reach its own namespace; a tenth of a second even on a busy machine


@dataclass(frozen=True, slots=True)
class Pod:
    """A node as it runs. container: Docker id; netns: inode of its network namespace; cgroup: path below the roots."""

    name: str
    container: str
    pid: int
    netns: int
    cgroup: str


def own_network(command: Sequence[str], maps_users: bool) -> tuple[Sequence[str], dict[str, Any]]:
    """The command, and the user and host configuration that give a pod's container a namespace of its own.

    Docker makes it for any command but PAUSE, and where the daemon maps users: there, a capability of the container is
    none in the host's namespace. PAUSE begins as root and becomes USER by itself.
    """
    if command is not PAUSE:
        return command, {"user": USER, "network_mode": "none"}
    if maps_users:
        return PAUSE[:-2], {"user": USER, "network_mode": "none"}
    return PAUSE, {"user": ROOT, "network_mode": "host", "cap_add": ["SYS_ADMIN", "SETUID", "SETGID"]}


def settled(pods: Sequence[Pod], last_words: Callable[[str], str]) -> list[Pod]:
    """The pods with their namespaces, once none is in ours any more; CannotRun says which stays. last_words: of a
    container, by its id."""
    ours, deadline = netns(os.getpid()), time.monotonic() + OWN_NETWORK_S
    found = []
    for pod in pods:
        while (inode := netns(pod.pid)) == ours and time.monotonic() < deadline:
            time.sleep(0.002)
        if inode in (0, ours):
            raise CannotRun(
                f"node {pod.name}: its container has no network namespace of its own "
                f"({last_words(pod.container) or 'it said nothing'}): does a security module forbid unshare(2) to a "
                "container with CAP_SYS_ADMIN?"
            )
        found.append(replace(pod, netns=inode))
    return found


def netns(pid: int) -> int:
    """Inode of the process's network namespace; 0 when the process is gone."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except (FileNotFoundError, ProcessLookupError):
        return 0
