"""Things of somebody else beside the runs that are killed: of every kind, some named almost as ours are."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from testbed.world.live import cgroups, ledger
from testbed.world.live.names import LABEL, Names
from tests.world.live import hosts_kit


def do(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


class Foreign:
    """tag: six hex digits in all names. `state` reads everything from the machine, the same as long as it is whole."""

    def __init__(self, tag: str) -> None:
        self.tag, self._undo = tag, ExitStack()
        self._docker: list[str] = []
        self._links: list[str] = []
        self._pids: list[int] = []
        self._folders: list[Path] = []

    def make(self) -> None:
        t = self.tag
        like = Names(f"t{t}")  # a run that never was
        self.container(like.container("n1"))
        self.container(f"stranger-{t}", f"{LABEL}.node=n1", f"{LABEL}s={t}", "shaketable.node=n1")
        self.container(f"created-{t}", start=False)
        self.link(f"{like.prefix}0a", f"{like.prefix}0b")
        self.link(f"sk{t}", f"sk{t}p", alias=f"{LABEL}s={t}")
        self._bridge(like.bridge(0))
        self._namespace(f"{like.prefix}client")
        for name in ("shaketable", f"shaketable.run{t}", f"not-shaketable.run-{t}"):
            self._cgroup(name)
        self._process({"SHAKETABLE_CHILD": t, f"X{ledger.MARK}": t})
        self._folder(Path(f"/run/shaketable-{t}"))

    def container(self, name: str, *labels: str, start: bool = True) -> None:
        marks = [word for label in labels for word in ("--label", label)]
        words = ["docker", "create", "--network=none", "--name", name, *marks, hosts_kit.image(), *hosts_kit.PAUSE]
        identity = do(*words)
        self._docker.append(identity)
        self._undo.callback(do, "docker", "rm", "-f", identity)
        if start:
            do("docker", "start", identity)

    def link(self, one: str, other: str, alias: str = "") -> None:
        do("ip", "link", "add", one, "type", "veth", "peer", other)
        self._undo.callback(do, "ip", "link", "del", one)
        self._links += [one, other]
        if alias:
            do("ip", "link", "set", one, "alias", alias)

    def _bridge(self, name: str) -> None:
        ids = [f"external_ids:owner={self.tag}", f'external_ids:"{LABEL}s"={self.tag}']
        do("ovs-vsctl", "--timeout=10", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", *ids)
        self._undo.callback(do, "ovs-vsctl", "--timeout=10", "--if-exists", "del-br", name)
        self.bridge = name

    def _namespace(self, name: str) -> None:
        do("ip", "netns", "add", name)
        self._undo.callback(do, "ip", "netns", "delete", name)
        self.namespace = Path("/run/netns", name)

    def _cgroup(self, name: str) -> None:
        mount = cgroups.mounts().get("cpu") or cgroups.mounts()[""]
        folder = mount / name
        if not folder.exists():
            folder.mkdir()
            self._undo.callback(folder.rmdir)
        self._folders.append(folder)

    def _process(self, environment: dict[str, str]) -> None:
        words = ["sleep", "3600"]
        process = subprocess.Popen(words, env={**os.environ, **environment}, start_new_session=True)
        self._undo.callback(process.wait)
        self._undo.callback(process.kill)
        self._pids.append(process.pid)

    def _folder(self, path: Path) -> None:
        path.mkdir()
        self._undo.callback(path.rmdir)
        self._folders.append(path)

    def state(self) -> dict[str, object]:
        """By what tells a thing from a later one of the same name: ids, indices, inodes, start times."""
        inspected = json.loads(do("docker", "inspect", *self._docker))
        links = {k["ifname"]: (k["ifindex"], k.get("ifalias"), k["flags"]) for k in json.loads(do("ip", "-j", "link"))}
        return {
            "containers": [(c["Id"], c["Name"], c["State"]["Status"], c["State"]["StartedAt"]) for c in inspected],
            "links": [(name, links.get(name)) for name in self._links],
            "bridge": do("ovs-vsctl", "--timeout=10", "--if-exists", "get", "bridge", self.bridge, "_uuid"),
            "namespace": self.namespace.stat().st_ino if self.namespace.exists() else None,
            "folders": [(str(f), f.stat().st_ino if f.exists() else None) for f in self._folders],
            "processes": [(pid, ledger.start_time(pid)) for pid in self._pids],
        }

    def close(self) -> None:
        self._undo.close()


@contextmanager
def twin(run_id: str) -> Iterator[tuple[str, str]]:
    """A stranger's pair of interfaces with the very prefix of this run, but no alias and in nobody's ledger; names."""
    ends = f"{Names(run_id).prefix}zz", f"{Names(run_id).prefix}zy"
    do("ip", "link", "add", ends[0], "type", "veth", "peer", ends[1])
    try:
        yield ends
        do("ip", "link", "show", "dev", ends[0])
    finally:
        do("ip", "link", "del", ends[0])


@contextmanager
def foreign(tag: str) -> Iterator[Foreign]:
    """Made before, and removed after, by the ids this test holds."""
    things = Foreign(tag)
    try:
        things.make()
        yield things
    finally:
        things.close()
