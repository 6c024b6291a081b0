"""What this machine can do for a live run, found by trying, and which backend each part will use.

Kernel features are tried in a scratch network namespace (`unshare -n`; without root in a user namespace as well,
where the kernel allows one): module lists lie on kernels that load modules on demand or have them built in. Every
probe is bounded in time. None in a field means "could not be probed".
"""

from __future__ import annotations

import dataclasses
import http.client
import importlib.util
import json
import os
import platform
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.world.live import cgroups, engine

PROBE_S = 20.0  # bound on one probe; an emulated processor loads a module in seconds
SETUP = "./shaketable setup"
START = "sudo ./shaketable demo"
LINKS = {"netem": "netem in the kernel", "relay": "TAP relay in userspace", "none": "impossible"}
ABSENT, DENIED = "not installed", "permission denied"

#: Commands a live run calls, and the kernel features with the shell lines that try them in a scratch namespace.
TOOLS = ("ip", "tc", "nsenter", "ethtool", "mnexec", "ovs-vsctl", "ovs-ofctl")
TRIES: Mapping[str, str] = {
    "veth": "ip link add pv0 type veth peer name pv1",
    "tun": "ip tuntap add dev pt0 mode tap",
    "htb": "tc qdisc add dev lo root handle 1: htb",
    "netem": "tc qdisc add dev lo root netem delay 1ms",
    "ifb_mirred": "ip link add pi0 type ifb && ip link set pi0 up && ip link set lo up && "
    "tc qdisc add dev lo handle ffff: ingress && tc filter add dev lo parent ffff: protocol all "
    "u32 match u32 0 0 action mirred egress redirect dev pi0",
    "ovs_kernel": "ovs-dpctl --timeout=15 add-dp probe",
}


@dataclass(frozen=True, slots=True)
class Missing:
    """What a live run lacks, why it matters, and the command that mends it."""

    what: str
    why: str
    mend: str


@dataclass(frozen=True, slots=True)
class Docker:
    """running False: `trouble` says why. api and version as the daemon gives them, e.g. "1.41", "20.10.24+dfsg1"."""

    running: bool
    trouble: str = ""
    version: str = ""
    api: str = ""
    cgroup_driver: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ovs:
    """datapath: "system" (kernel) or "netdev" (userspace). running None: its sockets are root's."""

    version: str
    running: bool | None
    datapath: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """JSON by `as_json`. features: as in TRIES; memory in bytes."""

    root: bool
    kernel: str
    python: str
    distribution: str
    cores: int
    memory: int
    cgroup_version: int
    docker: Docker
    ovs: Ovs
    tools: Mapping[str, str | None]
    features: Mapping[str, bool | None]
    sched_fifo: bool | None
    modules: Mapping[str, bool] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def link_backend(self) -> str:
        """For links with delay, jitter or loss: "netem", "relay" (TAP relay in userspace) or "none"; see links.choice.

        Where it is "netem" the relay still replays packet traces, if there are TAP devices.
        """
        needed = ("veth", "htb", "ifb_mirred", "netem")
        if all(self.features.get(f) for f in needed):
            return "netem"
        return "relay" if self.features.get("tun") else "none"


def numbers(text: str) -> tuple[int, ...]:
    """ "20.10.24+dfsg1" → (20, 10, 24), "v3.1" → (3, 1): the leading dotted number, whatever follows."""
    match = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(int(n) for n in match[0].split(".")) if match else ()


def features() -> dict[str, bool | None]:
    """What the kernel does of TRIES, by trying; about 0.05 s. None: could not be tried."""
    wanted = {name: line for name, line in TRIES.items() if name != "ovs_kernel"}
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(wanted, pool.map(_try_in_namespace, wanted.values()), strict=True))


def probe() -> Capabilities:
    """Try everything, in threads; about 0.1 s."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        features = {name: pool.submit(_try_in_namespace, line) for name, line in TRIES.items()}
        docker, ovs = pool.submit(_docker), pool.submit(_ovs_running)
        fifo = pool.submit(_fifo)
        found = {name: future.result() for name, future in features.items()}
    version, running = ovs.result()
    kernel_datapath = found.pop("ovs_kernel")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Capabilities(
        root=os.geteuid() == 0,
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        distribution=_distribution(),
        cores=len(os.sched_getaffinity(0)),
        memory=memory,
        cgroup_version=cgroups.version(),
        docker=docker.result(),
        ovs=Ovs(version, running, "system" if kernel_datapath else "netdev"),
        tools={tool: _which(tool) for tool in TOOLS},
        features=found,
        sched_fifo=fifo.result(),
        modules={m: importlib.util.find_spec(m) is not None for m in ("docker", "mininet", "os_ken")},
    )


def problems(caps: Capabilities) -> list[Missing]:
    """What keeps a live run from starting, most basic first. Empty: it can start."""
    found = []
    if not caps.root:
        found.append(Missing("root", "a live run makes namespaces, containers and bridges", START))
    found += [Missing(t, f"a live run calls `{t}`", SETUP) for t, path in caps.tools.items() if path is None]
    found += [
        Missing(f"Python module {m}", "a live run uses it", SETUP) for m, there in caps.modules.items() if not there
    ]
    if not caps.docker.running and (caps.root or caps.docker.trouble != DENIED):  # denied: root mends it
        mend = SETUP if caps.docker.trouble == ABSENT else START
        if caps.docker.trouble.startswith("DOCKER_HOST"):
            mend = "unset DOCKER_HOST"
        found.append(Missing("Docker", f"nodes are containers; {caps.docker.trouble}", mend))
    if caps.tools.get("ovs-vsctl") and caps.ovs.running is False:
        found.append(Missing("Open vSwitch", "switches are its bridges; ovs-vswitchd does not answer", START))
    if caps.cgroup_version == 0:
        found.append(Missing("cgroups", "nodes have limits", "mount -t cgroup2 none /sys/fs/cgroup"))
    for feature, why in (("veth", "links end in namespaces"), ("htb", "links have a rate")):
        if caps.features.get(feature) is False:
            found.append(
                Missing(feature, f"{why}; this kernel refuses it", "use another kernel, or ./shaketable vm-test")
            )
    if caps.link_backend == "none" and caps.root:
        mend = "modprobe tun, or use a kernel that has it"
        found.append(Missing("tun", "links with delay pass through TAP devices", mend))
    return found


def table(caps: Capabilities) -> list[tuple[str, str, str, str]]:
    """Rows for `doctor`: what, found, what a live run will use, command that mends it ("" where nothing is to mend)."""
    mends = {m.what: m.mend for m in problems(caps)}
    docker, ovs = caps.docker, caps.ovs
    rows = [
        ("root", _yes(caps.root), "", mends.get("root", "")),
        ("kernel", caps.kernel, caps.distribution, ""),
        ("cores, memory", f"{caps.cores}, {caps.memory / 2**30:.1f} GiB", "", ""),
        ("cgroups", f"v{caps.cgroup_version}" if caps.cgroup_version else "none",
         f"limits by {'slice' if docker.cgroup_driver == 'systemd' else 'cgroup folder'}", mends.get("cgroups", "")),
        ("Docker", f"{docker.version}, API {docker.api}, {docker.cgroup_driver}" if docker.running else docker.trouble,
         "nodes and services", mends.get("Docker", "")),
        ("images", ", ".join(docker.images) or "none yet", "made at the first run from this machine's Python", ""),
        ("Open vSwitch", f"{ovs.version or 'not installed'}, running: {_yes(ovs.running)}",
         f"{'kernel' if ovs.datapath == 'system' else 'userspace'} datapath ({ovs.datapath})",
         mends.get("Open vSwitch", mends.get("ovs-vsctl", ""))),
        ("links with delay or loss", f"netem {_yes(caps.features.get('netem'))}, tun {_yes(caps.features.get('tun'))}",
         LINKS[caps.link_backend], mends.get("tun", "")),
        ("links with a rate only", f"veth {_yes(caps.features.get('veth'))}, htb {_yes(caps.features.get('htb'))}",
         "veth with htb", mends.get("veth", mends.get("htb", ""))),
        ("ifb with mirred", _yes(caps.features.get("ifb_mirred")), "", ""),
        ("real-time priority", _yes(caps.sched_fifo), f"relay: {'SCHED_FIFO' if caps.sched_fifo else 'as others'}", ""),
    ]  # fmt: skip
    for tool, path in caps.tools.items():
        rows.append((tool, path or "missing", "", mends.get(tool, "")))
    for module, there in caps.modules.items():
        rows.append((f"Python module {module}", _yes(there), "", mends.get(f"Python module {module}", "")))
    return rows


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Since boot, over all cores, s. steal: wanted to run while the hypervisor ran somebody else."""

    busy: float
    idle: float
    steal: float


def cpu_times() -> CpuTimes:
    """From /proc/stat; differences of two readings tell whether a run had the machine it thought it had."""
    fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, idle, iowait, irq, softirq, steal = fields[:8]
    tick = os.sysconf("SC_CLK_TCK")
    return CpuTimes((user + nice + system + irq + softirq) / tick, (idle + iowait) / tick, steal / tick)


def _yes(value: bool | None) -> str:
    return "could not be probed" if value is None else "yes" if value else "no"


def _succeeds(command: list[str]) -> bool | None:
    """None: it did not end in time, which says nothing about what was tried."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_S, check=False, env=_environment())
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return None
    except OSError:
        return False


def _try_in_namespace(line: str) -> bool | None:
    """Whether `line` succeeds in a network namespace that goes with it. None: no such namespace, or no such tool."""
    root = os.geteuid() == 0
    unshare = ["unshare", "--net"] if root else ["unshare", "--map-root-user", "--net"]
    if _which(line.split()[0]) is None or not _succeeds([*unshare, "true"]):
        return None
    works = _succeeds([*unshare, "sh", "-c", line])
    return works or (works if root else None)  # refused in a user namespace says nothing about root


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": _path()}


def _path() -> str:
    """As root has it: an ordinary user's PATH often lacks the sbin folders."""
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def _which(tool: str) -> str | None:
    return shutil.which(tool, path=_path())


def _fifo() -> bool | None:
    works = _which("chrt") is not None and _succeeds(["chrt", "-f", "1", "true"])
    return works or (False if os.geteuid() == 0 and _which("chrt") else None)


def _ovs_running() -> tuple[str, bool | None]:
    if _which("ovs-vsctl") is None:
        return "", False
    try:
        command = [_which("ovs-vsctl") or "ovs-vsctl", "--version"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S, check=False)
    except (subprocess.TimeoutExpired, OSError):
        return "", False
    version = ".".join(map(str, numbers(said.stdout)))
    database = _succeeds(["ovs-vsctl", "--timeout=15", "--no-wait", "get-manager"])
    running = database and _succeeds(["ovs-appctl", "--timeout=15", "-t", "ovs-vswitchd", "version"])
    return version, running or (False if os.geteuid() == 0 else None)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the daemon's Unix socket: the probe must work where the SDK is not installed."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def _get(path: str, where: str) -> Any:
    connection = _UnixConnection(where, timeout=PROBE_S)
    try:
        connection.request("GET", path, headers={"Host": "docker"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def _docker() -> Docker:
    where = engine.address()
    if not where.startswith("unix://"):
        return Docker(False, f"DOCKER_HOST is {where}: the daemon must be on this machine")
    where = where.removeprefix("unix://")
    try:
        version, info = _get("/version", where), _get("/info", where)
        images = _get("/images/json?filters=%7B%22reference%22%3A%5B%22shaketable%2Fnode%22%5D%7D", where)
    except FileNotFoundError:
        return Docker(False, "not running" if _which("dockerd") else ABSENT)
    except PermissionError:
        return Docker(False, DENIED)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Docker(False, f"no answer ({error})")
    tags = tuple(tag for image in images for tag in image.get("RepoTags") or ())
    return Docker(
        True, "", version.get("Version", ""), version.get("ApiVersion", ""), info.get("CgroupDriver", ""), tags
    )


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""
