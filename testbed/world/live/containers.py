"""Single containers of a run through the Docker API: announced to the ledger, created hardened, started, removed.

Containers get a read-only root, a bounded log and a user that is not root, services no capability. Inside,
/run/shaketable holds the run's control socket (`hub.sock`) and /run/shaketable/node the node's busy counter (`busy`).
What is mounted into them lets any user write: the run's folder above it is root's alone.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun
from testbed.world.live import engine, undo
from testbed.world.live.cgroups import Cgroups
from testbed.world.live.ledger import Ledger
from testbed.world.live.names import LABEL, Names
from testbed.world.live.pod import USER

INSIDE = "/run/shaketable"  # docs/wire.md
PIDS = 256  # processes and threads of one container: a runaway service can't take the machine with it
LOG = {"type": "json-file", "config": {"max-size": "1m", "max-file": "1"}}


class Containers:
    """All containers of one run, by their names (Names.container). Methods may be called from several threads.

    api: the daemon's, late or failing where a fault says so. folder: the run's, of which a container sees `ctl` and its
    node's own.
    """

    def __init__(self, names: Names, ledger: Ledger, image: str, folder: Path) -> None:
        """The daemon must answer; nothing is made yet. The image is kept by its number: its name may go or be given to
        another while the run goes on, and what a container uses stays."""
        self.names, self.ledger, self.folder = names, ledger, folder
        self.client = engine.connect()
        self.image = _image_id(self.client, image)
        self.api = engine.Late(self.client.api, random.Random(names.run_id).random)
        info = self.api.info()
        self.cgroups = Cgroups(str(info.get("CgroupDriver", "cgroupfs")))
        self.maps_users = any("userns" in o or "rootless" in o for o in info.get("SecurityOptions") or ())
        self._undo: dict[str, int] = {}  # container name → its ledger entry
        self._lock = threading.Lock()
        self.ctl = folder / "ctl"
        (self.ctl / "node").mkdir(parents=True, exist_ok=True)  # where the node's own folder is mounted
        for path in (self.ctl, self.ctl / "node"):  # whatever the umask
            path.chmod(0o755)

    def cgroup(self, host: str) -> str:
        """Path of the host's cgroup below each hierarchy's root."""
        return f"{self.names.cgroup}/{safe(host)}"

    def node_folder(self, host: str) -> Path:
        """What the host's services see as /run/shaketable/node."""
        return self.folder / "nodes" / safe(host)

    def of_pod(self, host: str) -> str:
        """The name of the host's own container."""
        return self.names.container(safe(host))

    def of_service(self, id: str, node: str) -> str:
        return self.names.container(f"{safe(node)}.{safe(id)}")

    def announce(self, names: Sequence[str]) -> None:
        """Into the ledger, before anything is made."""
        numbers = self.ledger.add_all([("container", {"name": name}) for name in names])
        with self._lock:
            self._undo.update(zip(names, numbers, strict=True))

    def create(
        self,
        name: str,
        command: Sequence[str],
        node: str,
        *,
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[str, str] | None = None,
        hostname: str | None = None,
        user: str = USER,
        **host: Any,
    ) -> str:
        """Create the announced container `name`; its id."""
        from docker.types import Mount

        bind = [Mount(INSIDE, str(self.ctl), type="bind", read_only=True)]
        bind += [Mount(f"{INSIDE}/node", str(self.node_folder(node)), type="bind")]
        bind += [Mount(inside, here, type="bind", read_only=True) for here, inside in (mounts or {}).items()]
        config = self.api.create_host_config(
            cgroup_parent=self.cgroups.parent(self.cgroup(node)), mounts=bind, read_only=True, cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"], restart_policy={"Name": "no"}, pids_limit=PIDS,
            log_config=LOG, ipc_mode="none", **host,
        )  # fmt: skip
        try:
            made = self.api.create_container(
                self.image, list(command), name=name, hostname=hostname, user=user, environment=dict(environment or {}),
                labels={LABEL: self.names.run_id, "shaketable.node": node}, host_config=config,
            )  # fmt: skip
        except Exception as error:
            if engine.status_of(error) == 409:
                raise self._held(name) from error
            raise CannotRun(f"Docker did not create {name}: {engine.words(error)}") from error
        return str(made["Id"])

    def start(self, container: str, node: str) -> int:
        """Start a created container; pid of its first process. CannotRun with its last words when it ends at once.

        The kernel's list of the container's processes saves a question to the daemon; where it does not tell, the
        daemon does.
        """
        try:
            self.api.start(container)
            if pid := self.cgroups.first_process(self.cgroup(node), container):
                return pid
            state = self.api.inspect_container(container)["State"]
            if not state["Pid"]:
                said = self.last_words(container)
                raise CannotRun(f"container {container[:12]} ended at once (exit {state['ExitCode']}): {said}")
            return int(state["Pid"])
        except CannotRun:
            raise
        except Exception as error:
            raise CannotRun(f"Docker did not start container {container[:12]}: {engine.words(error)}") from error

    def _held(self, name: str) -> CannotRun:
        """The name belongs to a container that is there already: whose, and what to do."""
        try:
            holder = self.api.inspect_container(name)
        except Exception as error:
            return CannotRun(f"the container name {name} is taken ({engine.words(error)}): start again")
        of_run = (holder["Config"]["Labels"] or {}).get(LABEL)
        if of_run is None:
            mend = f"rename or remove it (`docker rename {name} …`), or start this run with another id"
            return CannotRun(f"the container name {name} is held by a container that is not ours: {mend}")
        mend = f"`sudo testbed clean --run {of_run}` removes what that run left, if it is dead"
        return CannotRun(f"the container name {name} is held by run {of_run!r}: {mend}")

    def remove(self, names: Sequence[str] | None) -> int:
        """Remove ours of `names` (None: all of the run) and tick them off; CannotRun when one stays."""
        removed = undo.remove_containers(self.names.run_id, names)
        left = self.states().keys()
        with self._lock:
            gone = [name for name in (self._undo if names is None else names) if name not in left]
            numbers = [self._undo.pop(name) for name in gone if name in self._undo]
        self.ledger.done(*numbers)
        return len(removed)

    def states(self) -> dict[str, str]:
        """Container name → state, of all that bear the run's label, as Docker lists them."""
        listed = self.api.containers(all=True, filters={"label": f"{LABEL}={self.names.run_id}"})
        return {c["Names"][0].lstrip("/"): str(c["State"]) for c in listed}

    def ticked(self, name: str) -> None:
        """It is gone, as its ledger entry is from now on."""
        with self._lock:
            number = self._undo.pop(name, None)
        if number is not None:
            self.ledger.done(number)

    def logs(self, container: str, tail: int) -> str:
        return str(self.api.logs(container, tail=tail).decode("utf-8", "replace"))

    def last_words(self, container: str) -> str:
        return self.logs(container, 5).strip()


def _image_id(client: Any, image: str) -> str:
    try:
        return str(client.api.inspect_image(image)["Id"])
    except Exception as error:
        raise CannotRun(f"Docker does not have the image {image} ({engine.words(error)}): start again") from error


def safe(name: str) -> str:
    """As Docker and the file system take it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
