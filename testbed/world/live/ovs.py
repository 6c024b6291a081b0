"""Open vSwitch: all bridges and ports of a run in one OVSDB transaction, read back and removed in one.

Nothing here says what the switches forward: they come up *secure* (without a flow they drop) and ask the run's own
controller. Everything carries external_ids shaketable.run=<id>; a bridge without it is never touched.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from testbed.errors import CannotRun
from testbed.world.live.names import LABEL

Datapath = Literal["system", "netdev"]

WAIT_S = 20  # for ovs-vswitchd to carry out a transaction; 100 ports take under a second
PROBE_MS = 10_000  # echo request on an idle control channel; a late controller on a busy machine is not a dead one
BACKOFF_MS = 1_000  # longest pause between two attempts to connect; the default of 8 s would delay a restart
ARGUMENT_BYTES = 1_000_000  # of one command line, half of Linux's usual limit; above it: several transactions
START = "`/usr/share/openvswitch/scripts/ovs-ctl start --system-id=random` (or `systemctl start openvswitch-switch`)"


@dataclass(frozen=True, slots=True)
class Bridge:
    """A switch to be made. ports: {interface: OpenFlow port number}, interfaces that exist in the host's namespace."""

    name: str
    datapath_id: int
    ports: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PortState:
    """ofport: None while ovs-vswitchd has not opened it; error: what it said when it could not; link: has carrier."""

    ofport: int | None
    error: str
    run: str | None
    link: bool


@dataclass(frozen=True, slots=True)
class BridgeState:
    """A bridge as Open vSwitch reports it. connected: its controller is, told up to 5 s late; None: it has none."""

    datapath_id: int
    datapath: str
    fail_mode: str
    run: str | None
    controllers: tuple[str, ...]
    connected: bool | None
    ports: Mapping[str, PortState] = field(default_factory=dict)


def datapath() -> Datapath:
    """ "system" where the kernel carries the packets, found by making a datapath there; else "netdev" (userspace)."""
    name = f"skprobe{os.getpid() % 100_000}"
    answer = _run(["ovs-dpctl", "--timeout=5", "add-dp", name])
    if answer.returncode != 0:
        return "netdev"
    _run(["ovs-dpctl", "--timeout=5", "del-dp", name])
    return "system"


def create(bridges: Sequence[Bridge], run_id: str, datapath_type: str, controller_port: int) -> None:
    """Make all bridges with their ports, or none. Raises CannotRun: a name is taken, or Open vSwitch does not answer.

    datapath_type: as `datapath` finds it. One transaction as long as the command line allows it; else bridges first
    and ports after, in as many as needed.
    """
    _refuse_taken(bridges)
    commands = [_bridge_command(b, run_id, datapath_type, controller_port) for b in bridges]
    commands += [_port_command(b.name, port, number, run_id) for b in bridges for port, number in b.ports.items()]
    try:
        for chunk in _chunks(commands):
            _vsctl(chunk)
    except CannotRun:
        with suppress(CannotRun):  # where Open vSwitch does not answer there is nothing to remove either
            remove([b.name for b in bridges], run_id)
        raise


def remove(names: Sequence[str], run_id: str) -> None:
    """Delete those of the bridges that are this run's, in one transaction. Does nothing twice."""
    ours = [n for n, state in state_of(names).items() if state.run == run_id]
    for chunk in _chunks([["--if-exists", "del-br", name] for name in ours]):
        _vsctl(chunk)


def state_of(names: Sequence[str]) -> dict[str, BridgeState]:
    """What Open vSwitch has under these names; one that does not exist is missing. All in one call."""
    return states(_tables(), names)


def states(tables: Mapping[str, Mapping[str, Mapping[str, Any]]], names: Sequence[str]) -> dict[str, BridgeState]:
    """Out of {table: {uuid: {column: cell in OVSDB's JSON}}}; columns that are not there read as unknown."""
    wanted = set(names)
    rows = {t: {u: {k: _value(k, v) for k, v in r.items()} for u, r in by.items()} for t, by in tables.items()}
    ports, interfaces, controllers = rows["Port"], rows["Interface"], rows["Controller"]
    found = {}
    for b in rows["Bridge"].values():
        if b["name"] not in wanted:
            continue
        members = [interfaces[u] for p in b["ports"] if p in ports for u in ports[p]["interfaces"] if u in interfaces]
        mine = [controllers[u] for u in b["controller"] if u in controllers]
        found[b["name"]] = BridgeState(
            int((b["datapath_id"] or ["0"])[0], 16),
            b["datapath_type"],
            (b["fail_mode"] or [""])[0],
            b["external_ids"].get(LABEL),
            tuple(c["target"] for c in mine),
            all(c.get("is_connected") for c in mine) if mine else None,
            {i["name"]: _port_state(i) for i in members if i["name"] != b["name"]},
        )
    return found


def flows_of(bridge: str) -> list[str]:
    """Its flows as `ovs-ofctl dump-flows` prints them, one a line, asked past the controller."""
    return run_ofctl("dump-flows", bridge, "--no-names").splitlines()


def run_ofctl(command: str, bridge: str, *arguments: str) -> str:
    """Output of `ovs-ofctl -O OpenFlow13 COMMAND BRIDGE …`; CannotRun when it fails."""
    answer = _run(["ovs-ofctl", "-O", "OpenFlow13", f"--timeout={WAIT_S}", command, bridge, *arguments])
    if answer.returncode != 0:
        raise CannotRun(f"`ovs-ofctl {command} {bridge}` failed: {answer.stderr.strip()}")
    return answer.stdout


def _port_state(interface: Mapping[str, Any]) -> PortState:
    number = interface["ofport"]
    return PortState(
        number[0] if number and number[0] > 0 else None,
        (interface["error"] or [""])[0],
        interface["external_ids"].get(LABEL),
        (interface.get("link_state") or [""])[0] == "up",
    )


def _refuse_taken(bridges: Sequence[Bridge]) -> None:
    existing = set(_vsctl([["list-br"]]).split())
    for b in bridges:
        if b.name in existing:
            raise CannotRun(
                f"Open vSwitch already has a bridge {b.name!r}, not of this run: it was left by a run of the same tag "
                f"(`sudo testbed clean`), or delete it if it is yours (`ovs-vsctl del-br {b.name}`)"
            )
        if Path("/sys/class/net", b.name).exists():
            raise CannotRun(
                f"the name of bridge {b.name!r} is held by a network interface: delete it if it is yours "
                f"(`ip link del {b.name}`) or start a run with another id"
            )


def _bridge_command(b: Bridge, run_id: str, datapath_type: str, controller_port: int) -> list[str]:
    mark = f"external_ids:{_quoted(LABEL)}={_quoted(run_id)}"
    reference = f"@{b.name.replace('-', '_')}"
    return [
        f"--id={reference}", "create", "Controller", f"target={_quoted(f'tcp:127.0.0.1:{controller_port}')}",
        "connection_mode=out-of-band", f"inactivity_probe={PROBE_MS}", f"max_backoff={BACKOFF_MS}", mark,
        "--", "add-br", b.name,
        "--", "set", "Bridge", b.name, f"datapath_type={datapath_type}", "fail_mode=secure", "protocols=OpenFlow13",
        f"other_config:datapath-id={b.datapath_id:016x}", "other_config:disable-in-band=true",
        f"controller={reference}", mark,
    ]  # fmt: skip


def _port_command(bridge: str, port: str, number: int, run_id: str) -> list[str]:
    mark = f"external_ids:{_quoted(LABEL)}={_quoted(run_id)}"
    return ["add-port", bridge, port, "--", "set", "Interface", port, f"ofport_request={number}", mark]


def _quoted(text: str) -> str:
    return json.dumps(text)


def _chunks(commands: Sequence[list[str]]) -> list[list[list[str]]]:
    """The commands in order, in groups that fit a command line."""
    chunks: list[list[list[str]]] = []
    size = ARGUMENT_BYTES
    for command in commands:
        length = sum(len(word) + 1 + 8 for word in command) + 11  # the string, its end, its pointer; the "--"
        if size + length > ARGUMENT_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(command)
        size += length
    return chunks


def _tables() -> dict[str, dict[str, dict[str, Any]]]:
    wanted = {
        "Bridge": "_uuid,name,ports,controller,datapath_id,datapath_type,fail_mode,external_ids",
        "Port": "_uuid,name,interfaces",
        "Interface": "_uuid,name,ofport,error,external_ids,link_state",
        "Controller": "_uuid,target,is_connected",
    }
    commands = [[f"--columns={columns}", "list", name] for name, columns in wanted.items()]
    lines = _vsctl(commands, "--format=json").splitlines()  # one line a table
    found = {}
    for name, line in zip(wanted, lines, strict=True):
        table = json.loads(line)
        rows = [dict(zip(table["headings"], row, strict=True)) for row in table["data"]]
        found[name] = {row["_uuid"][1]: row for row in rows}
    return found


#: Columns of zero or more values. A single value comes bare, so it has to be known that it is one of several.
_SETS = frozenset({"ports", "interfaces", "controller", "datapath_id", "fail_mode", "ofport", "error", "link_state"})


def _value(column: str, cell: Any) -> Any:
    """OVSDB's JSON (RFC 7047 §5.1): ["uuid", x] → x, ["set", […]] → list, ["map", [[k, v], …]] → dict."""
    if isinstance(cell, list) and cell[0] == "map":
        return dict(cell[1])
    if isinstance(cell, list) and cell[0] == "set":
        return [_value("", x) for x in cell[1]]
    value = cell[1] if isinstance(cell, list) else cell
    return [value] if column in _SETS else value


def _vsctl(commands: Sequence[Sequence[str]], *options: str) -> str:
    """One ovs-vsctl, one transaction; waits until ovs-vswitchd has carried it out."""
    words = ["ovs-vsctl", f"--timeout={WAIT_S}", *options]
    for command in commands:
        words += ["--", *command]
    answer = _run(words)
    if answer.returncode == 0:
        return answer.stdout
    said = answer.stderr.strip()
    if "database connection failed" in said:
        raise CannotRun(f"Open vSwitch does not run ({said}): start it with {START}")
    if answer.returncode in (-14, 142) or "Alarm clock" in said:
        raise CannotRun(f"ovs-vswitchd did not answer within {WAIT_S} s: start it with {START}")
    raise CannotRun(f"Open vSwitch refused the transaction: {said}")


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=2 * WAIT_S, check=False)
    except FileNotFoundError as error:
        raise CannotRun(f"{words[0]} is missing: install Open vSwitch with `./shaketable setup`") from error
    except subprocess.TimeoutExpired as error:
        raise CannotRun(f"`{words[0]}` did not end within {2 * WAIT_S} s: is ovs-vswitchd hanging? {START}") from error
