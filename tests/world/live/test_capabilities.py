"""What the machine can do: the rules on given findings, and one probe of the real thing."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testbed.world.live import capabilities
from testbed.world.live.capabilities import TOOLS, Capabilities, Docker, Ovs, numbers, problems, table

GOOD = Capabilities(
    root=True,
    kernel="Linux 6.1.0 x86_64",
    python="3.11.2",
    distribution="Debian GNU/Linux 12 (bookworm)",
    cores=2,
    memory=4 * 2**30,
    cgroup_version=2,
    docker=Docker(True, "", "20.10.24+dfsg1", "1.41", "systemd", ()),
    ovs=Ovs("3.1.0", True, "system"),
    tools={tool: f"/usr/sbin/{tool}" for tool in TOOLS},
    features={"veth": True, "tun": True, "htb": True, "netem": True, "ifb_mirred": True},
    sched_fifo=True,
    modules={"docker": True, "mininet": True, "os_ken": True},
)


@pytest.mark.parametrize(
    ("text", "found"),
    [("20.10.24+dfsg1", (20, 10, 24)), ("v3.1", (3, 1)), ("ovs-vsctl (Open vSwitch) 3.1.0\nDB", (3, 1, 0)), ("?", ())],
)
def test_versions_are_read_leniently(text: str, found: tuple[int, ...]) -> None:
    assert numbers(text) == found


def test_a_good_machine_has_no_problems_and_every_row_is_complete() -> None:
    assert problems(GOOD) == []
    assert all(len(row) == 4 and row[0] and row[1] and not row[3] for row in table(GOOD))


@pytest.mark.parametrize(
    ("change", "what", "mend"),
    [
        ({"root": False}, "root", "sudo ./shaketable demo"),
        ({"docker": Docker(False, "not running")}, "Docker", "sudo ./shaketable demo"),
        ({"docker": Docker(False, "not installed")}, "Docker", "./shaketable setup"),
        ({"ovs": Ovs("3.1.0", False, "netdev")}, "Open vSwitch", "sudo ./shaketable demo"),
        ({"tools": {**GOOD.tools, "mnexec": None}}, "mnexec", "./shaketable setup"),
        ({"modules": {**GOOD.modules, "os_ken": False}}, "Python module os_ken", "./shaketable setup"),
        ({"features": {**GOOD.features, "netem": False, "tun": False}}, "tun", "use a kernel"),
        ({"cgroup_version": 0}, "cgroups", "mount -t cgroup2"),
    ],
)
def test_each_lack_is_named_with_its_mend_also_in_the_table(change: dict[str, Any], what: str, mend: str) -> None:
    caps = dataclasses.replace(GOOD, **change)
    found = problems(caps)
    assert [p.what for p in found] == [what]
    assert found[0].why and mend in found[0].mend
    assert any(mend in row[3] for row in table(caps))


def test_what_root_alone_can_see_is_no_second_problem() -> None:
    caps = dataclasses.replace(
        GOOD, root=False, docker=Docker(False, "permission denied"), ovs=Ovs("3.1.0", None, "netdev"), sched_fifo=None
    )
    assert [p.what for p in problems(caps)] == ["root"]
    assert any("could not be probed" in row[1] for row in table(caps))


@pytest.mark.parametrize(
    ("netem", "tun", "backend"),
    [(True, True, "netem"), (True, False, "netem"), (False, True, "relay"), (None, None, "none")],
)
def test_link_backend(netem: bool | None, tun: bool | None, backend: str) -> None:
    caps = dataclasses.replace(GOOD, features={**GOOD.features, "ifb_mirred": True, "netem": netem, "tun": tun})
    assert caps.link_backend == backend


def test_cpu_times_count_on() -> None:
    """Busy, idle and stolen time only grow, and together they are about the time since boot on all cores."""
    first = capabilities.cpu_times()
    second = capabilities.cpu_times()
    assert second.busy >= first.busy and second.steal >= first.steal
    uptime, _ = map(float, Path("/proc/uptime").read_text().split())
    assert first.busy + first.idle + first.steal > 0.5 * uptime


@pytest.mark.live
def test_probe_agrees_with_the_tools_themselves() -> None:
    caps = capabilities.probe()
    assert json.loads(json.dumps(caps.as_json()))["root"] is True
    said = subprocess.check_output(["docker", "version", "-f", "{{.Server.Version}} {{.Server.APIVersion}}"], text=True)
    assert f"{caps.docker.version} {caps.docker.api}" == said.strip()
    assert caps.ovs.version in subprocess.check_output(["ovs-vsctl", "--version"], text=True)
    assert caps.ovs.running and caps.features["veth"] and problems(caps) == []


@pytest.mark.live
def test_probe_leaves_nothing_behind() -> None:
    def look() -> tuple[str, str]:
        links = subprocess.check_output(["ip", "-o", "-br", "link"], text=True)
        return "\n".join(line for line in links.splitlines() if line[:1] == "p"), Path("/proc/self/mounts").read_text()

    before = look()
    capabilities.probe()
    assert look() == before


def test_a_probe_that_does_not_end_in_time_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "PROBE_S", 0.05)
    assert capabilities._succeeds(["sleep", "5"]) is None
    monkeypatch.setattr(capabilities, "PROBE_S", 20.0)
    assert capabilities._succeeds(["true"]) is True and capabilities._succeeds(["false"]) is False
