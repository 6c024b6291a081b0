"""What Open vSwitch is asked and what its errors become."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from testbed.errors import CannotRun
from testbed.world.live import ovs
from testbed.world.live.names import Names


def test_commands_are_cut_where_a_command_line_would_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.sysconf("SC_ARG_MAX") > ovs.ARGUMENT_BYTES
    commands = [ovs._port_command("br", f"port{i}", i, "run") for i in range(50)]
    assert ovs._chunks(commands) == [commands], "one transaction as long as it fits"
    one = sum(len(w) + 9 for w in commands[10]) + 11
    monkeypatch.setattr(ovs, "ARGUMENT_BYTES", 7 * one)
    chunks = ovs._chunks(commands)
    assert [c for chunk in chunks for c in chunk] == commands
    assert max(map(len, chunks)) == 7
    assert ovs._chunks([]) == []


def test_ovsdb_values_are_read_as_what_their_column_is() -> None:
    """RFC 7047 §5.1; a set with one value comes bare."""
    assert ovs._value("name", "br0") == "br0"
    assert ovs._value("ofport", ["set", []]) == [] and ovs._value("ofport", 3) == [3]
    assert ovs._value("ports", ["set", [["uuid", "a"], ["uuid", "b"]]]) == ["a", "b"]
    assert ovs._value("ports", ["uuid", "a"]) == ["a"] and ovs._value("_uuid", ["uuid", "a"]) == "a"
    assert ovs._value("external_ids", ["map", [["k", "v"]]]) == {"k": "v"}


@pytest.mark.live
def test_open_vswitch_that_does_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))  # where its socket would be
    with pytest.raises(CannotRun, match=r"Open vSwitch does not run .*ovs-ctl start"):
        ovs.state_of(["br0"])


def test_open_vswitch_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotRun, match=r"ovs-vsctl is missing: install Open vSwitch with `\./shaketable setup`"):
        ovs.state_of(["br0"])


@pytest.mark.live
def test_all_bridges_or_none_and_only_ours_are_removed() -> None:
    names = Names(secrets.token_hex(4))
    first, second = names.bridge(0), names.bridge(1)
    subprocess.run(["ip", "link", "add", names.port(0, "a"), "type", "veth", "peer", names.port(0, "b")], check=True)
    try:
        twice = [
            ovs.Bridge(first, names.datapath_id(0), {names.port(0, "a"): 5}),
            ovs.Bridge(second, names.datapath_id(1), {names.port(0, "a"): 1}),
        ]
        with pytest.raises(CannotRun, match=f"port named {names.port(0, 'a')} already exists"):
            ovs.create(twice, names.run_id, ovs.datapath(), 1)
        assert ovs.state_of([first, second]) == {}, "the transaction is one: the first is not there either"

        ovs.create(twice[:1], names.run_id, ovs.datapath(), 1)
        state = ovs.state_of([first])[first]
        assert (state.datapath_id, state.fail_mode, state.run) == (names.datapath_id(0), "secure", names.run_id)
        assert state.ports[names.port(0, "a")].ofport == 5 and state.controllers == ("tcp:127.0.0.1:1",)
        ovs.remove([first], "another run")
        assert first in ovs.state_of([first])
        ovs.remove([first], names.run_id)
        ovs.remove([first], names.run_id)
        assert ovs.state_of([first]) == {}

        with pytest.raises(CannotRun, match="is held by a network interface"):
            ovs.create([ovs.Bridge(names.port(0, "b"), 1, {})], names.run_id, ovs.datapath(), 1)
    finally:
        ovs.remove([first, second], names.run_id)
        subprocess.run(["ip", "link", "del", names.port(0, "a")], check=True)
