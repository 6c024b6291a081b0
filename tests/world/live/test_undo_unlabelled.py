"""Settings of the host and what else carries no label: restored or removed by the ledger, and nothing beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testbed.world.live import engine, ledger, reaper, undo
from testbed.world.live import undo_unlabelled as unlabelled
from testbed.world.live.ledger import Entry, Ledger
from testbed.world.live.names import Names
from tests.world.live.hosts_kit import new_run_id

pytestmark = pytest.mark.live


@contextmanager
def dummy() -> Iterator[str]:
    """An interface of this test with settings of its own in /proc/sys/net."""
    name = f"xs{os.getpid() % 100000}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", f"{name}p"], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)


@contextmanager
def book(run_id: str = "") -> Iterator[Ledger]:
    run_id = run_id or new_run_id()
    made = Ledger(run_id, Path(Names(run_id).folder))
    try:
        yield made
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)


def entry(kind: str, **fields: Any) -> list[Entry]:
    return [Entry(1, kind, fields)]


def test_a_sysctl_goes_back_while_ours_stands() -> None:
    with dummy() as name, book() as mine:
        path = Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter")
        before = path.read_text()
        unlabelled.set_sysctl(mine, str(path), "2")
        assert path.read_text() == "2\n" and [e.kind for e in mine.pending()] == ["sysctl"]
        done, failed = undo.entries(mine.run_id, mine.pending())
        assert path.read_text() == before and failed == [] and done == [f"sysctl {path} back to {before.strip()!r}"]
        assert undo.entries(mine.run_id, mine.pending()) == ([], [])  # twice is once
        path.write_text("1")
        assert (
            undo.entries(mine.run_id, mine.pending()) == ([], []) and path.read_text() == "1\n"
        )  # somebody changed it since


def test_of_two_runs_the_last_one_restores_a_sysctl() -> None:
    with dummy() as name, book(new_run_id()) as first, book(new_run_id()) as second:
        path = Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter")
        before = path.read_text()
        for mine in (first, second):
            unlabelled.set_sysctl(mine, str(path), "2")
        assert undo.entries(first.run_id, first.pending()) == ([], []) and path.read_text() == "2\n"
        first.done(1)
        undo.entries(second.run_id, second.pending())
        assert path.read_text() == before


def test_only_settings_of_the_network_are_restored(tmp_path: Path) -> None:
    outside = tmp_path / "value"
    outside.write_text("1")
    burst = Path("/proc/sys/kernel/printk_ratelimit_burst")
    for path in (str(outside), f"/proc/sys/net/../../..{outside}", str(burst)):
        now = Path(path).read_text()
        assert undo.entries("r1", entry("sysctl", path=path, old="7", new=now)) == ([], [])
        assert Path(path).read_text() == now


def test_keys_and_connections_of_open_vswitch_go_back_to_what_was() -> None:
    bridge = f"xo{os.getpid() % 100000}"
    userspace = ["--", "set", "bridge", bridge, "datapath_type=netdev", "other_config:mine=1"]
    subprocess.run(["ovs-vsctl", "--timeout=10", "add-br", bridge, *userspace], check=True)
    fields: dict[str, Any] = {"table": "Bridge", "record": bridge, "column": "other_config"}

    def get(key: str) -> str:
        words = ["ovs-vsctl", "--if-exists", "get", "bridge", bridge, f"other_config:{key}"]
        return subprocess.check_output(words, text=True).strip().strip('"')

    try:
        settings = ["other_config:mine=2", "other_config:new=3"]
        subprocess.run(["ovs-vsctl", "--timeout=10", "set", "bridge", bridge, *settings], check=True)
        undo.entries("r1", entry("ovs_setting", **fields, key="mine", old="1", new="2"))
        undo.entries("r1", entry("ovs_setting", **fields, key="new", new="3"))
        assert (get("mine"), get("new")) == ("1", "")
        assert undo.entries("r1", entry("ovs_setting", **fields, key="mine", old="9", new="2")) == ([], [])
        assert get("mine") == "1"  # not ours any more
        for zone in (64998, 64999):
            subprocess.run(["ovs-ofctl", "-O", "OpenFlow13", "packet-out", bridge, *committed(zone)], check=True)
        assert connections(64998) == connections(64999) == 1
        assert undo.entries("r1", entry("conntrack", zone="64999")) == (["conntrack zone=64999"], [])
        assert (connections(64998), connections(64999)) == (1, 0)
        assert undo.entries("r1", entry("conntrack", zone="0")) == ([], [])
    finally:
        subprocess.run(["ovs-vsctl", "--timeout=10", "del-br", bridge], check=True)
    assert undo.entries("r1", entry("ovs_setting", **fields, key="mine", old="1", new="2")) == ([], [])


def committed(zone: int) -> list[str]:
    """A datagram 10.1.1.1:1 → 10.1.1.2:2 that becomes a connection of the zone, for `ovs-ofctl packet-out`."""
    header = "0a00000000020a000000000108004500001c00000000401164cd0a0101010a010102"
    return [f"in_port=CONTROLLER packet={header}0001000200080000 actions=ct(commit,zone={zone})"]


def connections(zone: int) -> int:
    words = ["ovs-appctl", "dpctl/dump-conntrack", f"zone={zone}"]
    return len(subprocess.check_output(words, text=True).splitlines())


def test_half_made_images_go_finished_ones_stay() -> None:
    api = engine.connect().api
    tags = ["new-0123456789ab", f"keep{os.getpid()}"]
    answer = api.import_image_from_data(shutil_tar(), repository="shaketable/node", tag=tags[0])
    assert "error" not in str(answer)
    api.tag(f"shaketable/node:{tags[0]}", "shaketable/node", tags[1])
    try:
        pending = [Entry(i, "image", {"tag": f"shaketable/node:{tag}"}) for i, tag in enumerate(tags)]
        assert undo.entries("r1", pending) == ([f"image shaketable/node:{tags[0]}"], [])
        assert undo.entries("r1", pending) == ([], [])
        api.inspect_image(f"shaketable/node:{tags[1]}")
    finally:
        api.remove_image(f"shaketable/node:{tags[1]}")


def shutil_tar() -> bytes:
    """A root file system with one empty folder."""
    import io
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        folder = tarfile.TarInfo("empty")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    return stream.getvalue()


def test_named_namespaces_of_the_run_go_others_stay() -> None:
    run_id = new_run_id()
    ours, other = f"{Names(run_id).prefix}client", f"x{Names(run_id).prefix}client"
    for name in (ours, other):
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        pending = [Entry(i, "namespace", {"name": n}) for i, n in enumerate((ours, other, f"../netns/{ours}"))]
        assert undo.entries(run_id, pending) == ([f"namespace {ours}"], [])
        assert Path("/run/netns", other).exists() and not Path("/run/netns", ours).exists()
    finally:
        subprocess.run(["ip", "netns", "delete", other], check=True)


def test_folders_of_the_run_go_no_link_leads_out(tmp_path: Path) -> None:
    run_id = new_run_id()
    keep = tmp_path / f"shaketable-{run_id}-mine"
    keep.mkdir()
    with book(run_id) as mine:
        (mine.folder / "ctl").mkdir()
        (mine.folder / "link").symlink_to(tmp_path)
        temporary = Path(tempfile.mkdtemp(prefix=f"shaketable-{run_id}-"))
        paths = [mine.folder / "ctl", mine.folder / "link", mine.folder / "link" / keep.name, temporary, keep,
                 Path(f"{mine.folder}/../../..{tmp_path}")]  # fmt: skip
        assert unlabelled.remove_folders(run_id, map(str, paths)) == [
            f"folder {mine.folder / 'ctl'}", f"folder {temporary}",
        ]  # fmt: skip
        assert keep.is_dir() and not temporary.exists()


def test_a_kind_from_another_version_stays_in_the_ledger_and_is_told() -> None:
    with book() as mine:
        line = '{"n":1,"kind":"satellite","name":"s1"}\n'
        mine.path.write_text(mine.path.read_text() + line)
        said: list[str] = []
        left = reaper.sweep(mine.folder, said.append, 0.2)
        assert left == ["a 'satellite' is unknown to this version: clean with the version that made it"]
        assert ledger.read(mine.folder).pending != ()
