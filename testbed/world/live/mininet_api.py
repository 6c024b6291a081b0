"""Mininet in charge of a live run: its API on pods and Open vSwitch bridges that are made in batches.

`net.get("n1").cmd("ip a")`, `popen`, `net.links`, `net.pingAll()`, `net.start()`, `net.stop()` and Mininet's own CLI
work. Mininet would make each thing by commands of its own; here its objects only say what there is, and its two
batch hooks are the points of commitment: `Switch.batchStartup` (in `net.start()`) builds the *fabric*, and
`Switch.batchShutdown` (in `net.stop()`) removes it. Nothing of Mininet's that names things by pattern is called.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from typing import Any, Protocol

from mininet import link as mininet_link
from mininet import net as mininet_net
from mininet import node as mininet_node
from mininet.log import error
from mininet.util import getincrementaldecoder

from testbed.errors import CannotRun
from testbed.world.live import ovs

LINE_BYTES = 4_000  # a terminal in canonical mode cuts a line at 4,095 bytes, without a word
PROMPT = chr(127)  # what Mininet takes for the end of a command's output


class Fabric(Protocol):
    """What Mininet's objects stand for."""

    def commit(self) -> None: ...

    def remove(self) -> None: ...

    def set_link_state(self, link: str, up: bool) -> tuple[bool, str]: ...

    def connected(self, switch: str) -> bool: ...


class Shell:
    """The part of a Mininet node that runs commands; its shell starts with the first one.

    netns: path of its network namespace, None for the host's. Everything else (files, processes, users) is the
    host's: any image will do, and the tools are those of the host.
    """

    name: str
    shell: Any
    waiting: bool
    _netns: str | None = None
    _ended = False

    @classmethod
    def setup(cls) -> None:
        """Mininet looks for ifconfig and mnexec here; neither is used."""

    def _enter(self) -> list[str]:
        return ["nsenter", f"--net={self._netns}", "--"] if self._netns else []

    def startShell(self, mnopts: Any = None) -> None:
        """Called by Mininet's constructor: not yet. 60 shells take half a second and nobody may ever type."""

    def mountPrivateDirs(self) -> None:
        """A pod has its own file system; the shell's is the host's."""

    def unmountPrivateDirs(self) -> None:
        """Nothing was mounted."""

    def _ensure_shell(self) -> None:
        if self._ended:
            raise CannotRun(f"{self.name} has been stopped: its network is gone, start a new run")
        if self.shell is None:
            self._start_shell()

    def _start_shell(self) -> None:
        """As Mininet's startShell, but by nsenter and with a controlling terminal, so that Ctrl-C reaches a command
        and the shell ends when our side of the terminal closes, however we died."""
        node: Any = self
        node.master, node.slave = pty.openpty()
        # a run started in the background ignores SIGINT, and its children would inherit that
        words = ["setsid", "--ctty", *self._enter(), "env", "--default-signal=INT,QUIT", f"PS1={PROMPT}"]
        words += ["bash", "--norc", "--noediting", "-is", f"mininet:{self.name}"]
        self.shell = subprocess.Popen(words, stdin=node.slave, stdout=node.slave, stderr=node.slave)
        node.stdin = node.stdout = os.fdopen(node.master, "r")
        node.decoder = getincrementaldecoder()
        node.pollOut = select.poll()
        node.pollOut.register(node.stdout)
        node.outToNode[node.stdout.fileno()] = node.inToNode[node.stdin.fileno()] = node
        node.execed, node.lastCmd, node.lastPid, node.readbuf = False, None, None, ""
        while not node.read(1024).endswith(PROMPT):
            node.pollOut.poll()
        self.waiting = False
        self.cmd("unset HISTFILE; stty -echo; set +m")

    def sendCmd(self, *args: Any, **kwargs: Any) -> None:
        self._ensure_shell()
        super().sendCmd(*args, **kwargs)  # type: ignore[misc]

    def cmd(self, *args: Any, **kwargs: Any) -> Any:
        self._ensure_shell()
        return super().cmd(*args, **kwargs)  # type: ignore[misc]

    def write(self, data: str) -> None:
        """To the shell. A line too long for the terminal goes by way of a file, which removes itself when read."""
        if any(len(line) > LINE_BYTES for line in data.encode().split(b"\n")):
            with tempfile.NamedTemporaryFile("w", prefix="shaketable-", suffix=".sh", delete=False) as script:
                script.write(f"rm -f {script.name}\n{data}")
            data = f". {script.name}\n"
        super().write(data)  # type: ignore[misc]

    def popen(self, *args: Any, **kwargs: Any) -> Any:
        """Mininet's own enters a pod by `mnexec -a`, which takes the mount namespace along and finds no tools there."""
        kwargs.setdefault("mncmd", self._enter())
        return super().popen(*args, **kwargs)  # type: ignore[misc]

    def terminate(self) -> None:
        """End the shell and what it runs. The namespace is not ours to end."""
        self._ended = True
        if self.shell is not None and self.shell.poll() is None:
            os.killpg(self.shell.pid, signal.SIGHUP)
        self.cleanup()  # type: ignore[attr-defined]


class Intf(mininet_link.Intf):
    """An interface made elsewhere; asks the kernel by `ip` and never configures."""

    def config(self, **_params: Any) -> dict[str, Any]:
        return {}

    def updateAddr(self) -> tuple[str | None, str | None]:
        """(address, MAC) as the kernel has them now."""
        out, _, code = self.node.pexec(["ip", "-j", "address", "show", "dev", self.name])
        found = json.loads(out)[0] if code == 0 and out.strip() else {}
        ips = [a for a in found.get("addr_info", ()) if a["family"] == "inet"]
        ip = ips[0]["local"] if ips else None
        self.ip, self.prefixLen, self.mac = ip, ips[0]["prefixlen"] if ips else None, found.get("address")
        return ip, self.mac

    def updateIP(self) -> str | None:
        return self.updateAddr()[0]

    def updateMAC(self) -> str | None:
        return self.updateAddr()[1]

    def isUp(self, setUp: bool = False) -> bool:
        out, _, code = self.node.pexec(["ip", "-j", "link", "show", "dev", self.name])
        return code == 0 and "UP" in json.loads(out)[0]["flags"]

    def delete(self) -> None:
        raise CannotRun(f"{self.name} is part of a running testbed: it goes with net.stop()")


class Link(mininet_link.Link):
    """A link of the topology, under its name there. Its interfaces are made by a link backend."""

    def __init__(self, node1: Any, node2: Any, link: str = "", **params: Any) -> None:
        super().__init__(node1, node2, **params)
        self.name = link

    @classmethod
    def makeIntfPair(cls, *_args: Any, **_kwargs: Any) -> None:
        """The fabric makes all pairs in one batch."""

    def stop(self) -> None:
        """The fabric removes all pairs in one batch."""


class Node(Shell, mininet_node.Node):
    """A host: a pod seen from outside, through its network namespace. pid: of its pause process."""

    def __init__(self, name: str, netns: str, pid: int, **params: Any) -> None:
        self._netns = netns
        super().__init__(name, inNamespace=True, **params)
        self.pid = pid

    def config(self, **_params: Any) -> dict[str, Any]:
        """Addresses are written by the fabric, in one batch a pod."""
        return {}


class Switch(Shell, mininet_node.Switch):
    """An Open vSwitch bridge of the fabric. Mininet's constructor is left out: it configures `lo` by a shell."""

    def __init__(self, name: str, bridge: str, datapath_id: int, fabric: Fabric, **params: Any) -> None:
        params.pop("inNamespace", None)
        mininet_node.Node.__init__(self, name, inNamespace=False, **params)
        self.bridge, self.dpid, self.fabric = bridge, f"{datapath_id:016x}", fabric
        self.opts, self.listenPort = "", None
        self.controlIntf = Intf("lo", self, port=0)

    @classmethod
    def batchStartup(cls, switches: Iterable[Switch]) -> Iterable[Switch]:
        for fabric in dict.fromkeys(s.fabric for s in switches):
            fabric.commit()
        return switches

    @classmethod
    def batchShutdown(cls, switches: Iterable[Switch]) -> Iterable[Switch]:
        for fabric in dict.fromkeys(s.fabric for s in switches):
            fabric.remove()
        return switches

    def start(self, controllers: Any) -> None:
        """Nothing alone: all switches start together, in batchStartup."""

    def stop(self, deleteIntfs: bool = True) -> None:
        error(f"{self.name} does not stop alone; cut its links instead, e.g. `link {self.name} s2 down`\n")

    def connected(self) -> bool:
        """Is its controller there?"""
        return self.fabric.connected(self.name)

    def dpctl(self, command: str, *args: str) -> str:
        """`ovs-ofctl COMMAND` on its bridge, e.g. dpctl("dump-flows")."""
        return ovs.run_ofctl(command, self.bridge, *args)


class Net(mininet_net.Mininet):
    """Mininet on a fabric. Hosts, switches and links carry the topology's names."""

    def __init__(self, fabric: Fabric) -> None:
        # Mininet's init() raises the host's sysctls (fixLimits) for networks built its way; ours needs none of it.
        mininet_net.Mininet.inited = True
        super().__init__(host=Node, switch=Switch, link=Link, intf=Intf, controller=None, build=False, cleanup=False)
        self.fabric = fabric
        self._stopped = False

    def configLinkStatus(self, src: str, dst: str, status: str) -> None:
        """The CLI's `link s1 s2 down`, by way of the link's backend, both directions at once."""
        if missing := [n for n in (src, dst) if n not in self]:
            error(f"no node {', '.join(missing)}; there are: {' '.join(self)}\n")
            return
        between = self.linksBetween(self[src], self[dst])
        if not between:
            error(f"{src} and {dst} are not joined by a link\n")
        for link in between:
            done, evidence = self.fabric.set_link_state(link.name, status == "up")
            if not done:
                error(f"link {link.name} is not {status}: {evidence}\n")

    def stop(self) -> None:
        """End the shells and remove the fabric: what this run made and nothing else. May be called twice."""
        if not self._stopped:
            self._stopped = True
            super().stop()
