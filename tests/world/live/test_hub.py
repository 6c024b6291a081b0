"""The hub with real containers' processes: drains, deaths, and visitors who do not keep to docs/wire.md."""

import json
import signal
import socket
import time
from collections import Counter

import pytest

from testbed.errors import CannotRun
from testbed.world.live.hub import Hub
from tests.containers.bed import HOST, ONE, VQA, Bed, draws, until


@pytest.fixture
def bed(tmp_path):
    bed = Bed(tmp_path, (ONE, VQA))
    yield bed
    bed.close()


class Visitor:
    """A container that is none."""

    def __init__(self, bed):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(bed.folder / "hub.sock"))
        self.buffer = b""

    def say(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")

    def hear(self):
        """The next line, or None at the end."""
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(text)

    def ended(self):
        while self.hear() is not None:
            pass
        self.socket.close()
        return True


CONFIG = {"types": [], "service": "a", "node": "n1", "workers": 1}


def dag(bed):
    bed.gateway()
    for service in ("image", "vision", "llm", "format"):
        bed.stub(f"{service}-1", service, node="n1")
        bed.stub(f"{service}-2", service, node="n2")
    bed.announce()


@pytest.mark.parametrize("service", ["vision", "llm"])  # llm is a join, bound at admission
def test_a_drain_under_load_loses_no_task(bed, service):
    dag(bed)
    bed.go(draws(VQA, 200, rate=100, work=0.008))
    bed.rows(tasks=60)
    result = bed.hub.drain(f"{service}-1").result(15)
    assert result.lost == 0
    bed.processes.pop(f"{service}-1").kill()  # as a container is stopped, once drained
    bed.hub.remove(f"{service}-1")
    bed.rows(tasks=200)
    assert bed.summary() == {"on_time": 200}
    assert {t.attempts for t in bed.tasks} == {1}
    used = Counter(s.instance for s in bed.stages if s.service == service)
    assert used[f"{service}-1"] > 0 and used[f"{service}-2"] > used[f"{service}-1"]
    bed.rows(stages=800)


def test_a_drain_that_can_not_end_ends_at_its_time_and_says_what_it_lost(bed):
    bed.gateway()
    bed.stub("a-1", "a", workers=1)
    bed.announce()
    bed.go(draws(ONE, 3, rate=100, work=30.0, deadline=60.0))
    until(lambda: bed.hub.take().backlogs["a-1"] == (3, 1))
    result = bed.hub.drain("a-1", timeout_s=0.5).result(5)
    assert result.lost == 3 and result.seconds >= 0.5


@pytest.mark.parametrize("service", ["image", "vision", "llm", "format"])
def test_after_a_kill_tasks_are_sent_again_and_each_has_one_row(bed, service):
    """Frozen first, until tasks are stuck there: some reported to the hub, some on their way and never acknowledged."""
    dag(bed)
    bed.go(draws(VQA, 200, rate=100, work=0.01, deadline=5.0))
    bed.rows(tasks=20)
    bed.processes[f"{service}-1"].send_signal(signal.SIGSTOP)
    until(lambda: bed.pull() or stuck(bed))
    bed.processes[f"{service}-1"].kill()
    until(lambda: bed.pull() or f"{service}-1" in bed.gone)
    bed.hub.dead(f"{service}-1")
    bed.rows(tasks=200)
    assert sorted(t.id for t in bed.tasks) == list(range(1, 201))
    assert bed.summary() == {"on_time": 200}
    assert max(t.attempts for t in bed.tasks) >= 2
    assert bed.hub.outstanding() == 0 and not bed.notes
    visits = Counter((s.task, s.stage, s.attempt) for s in bed.stages if s.outcome == "done")
    assert max(visits.values()) == 1  # a stage runs at most once per attempt


def stuck(bed):
    """Whether an old task is still out while younger ones are back."""
    back = {t.id for t in bed.tasks}
    return len([i for i in range(1, max(back) - 20) if i not in back]) >= 3


def test_a_death_with_no_other_instance_leaves_tasks_unanswered_but_accounted_for(bed):
    bed.gateway()
    bed.stub("a-1", "a", workers=1)
    bed.announce()
    bed.go(draws(ONE, 30, rate=100, work=0.05, deadline=0.8))
    bed.rows(tasks=3)
    bed.processes["a-1"].kill()
    until(lambda: bed.pull() or "a-1" in bed.gone)
    held = bed.hub.dead("a-1")
    bed.rows(tasks=30)
    ends = bed.summary()
    assert sum(ends.values()) == 30 and ends["unanswered"] >= 10
    assert sum(s.outcome == "lost" for s in bed.stages) == held > 0


@pytest.mark.parametrize(
    "hello",
    [
        {"t": "hello", "id": "a-1", "role": "stub", "token": "0" * 32},
        {"t": "hello", "id": "a-1", "role": "stub"},
        {"t": "hello", "id": "nobody", "role": "stub", "token": "x"},
        {"t": "hello", "id": "a-1", "role": "gateway", "token": "x"},
        {"t": "ready", "at": 1},
        {"id": 3},
        [],
        b"\xff\xfe nonsense\n",
        b"[" * 100_000 + b"\n",
    ],
    ids=lambda h: str(h)[:40],
)
def test_a_visitor_without_the_token_is_refused_and_the_expected_one_still_gets_in(bed, hello):
    token = bed.hub.expect("a-1", "stub", CONFIG)
    visitor = Visitor(bed)
    visitor.say(hello)
    assert visitor.ended()
    assert len(bed.hub.take().notes) == 1
    right = Visitor(bed)
    right.say({"t": "hello", "id": "a-1", "role": "stub", "token": token})
    config = right.hear()
    assert (config["t"], config["service"], config["origin"], config["view_interval"]) == ("config", "a", None, 0.05)
    right.say({"t": "ready", "at": 12.5})
    bed.hub.wait_ready(["a-1"], 5)
    assert bed.hub.ready_at("a-1") == 12.5
    right.socket.close()


@pytest.mark.parametrize(
    "message",
    [
        b"nonsense\n",
        {"t": "telemetry"},
        {"t": "telemetry", "v": "x", "backlog": 1, "busy": 1},
        {"t": "telemetry", "v": 1, "backlog": 1, "busy": 1, "rows": [[1, 2]]},
        {"t": "telemetry", "v": 1, "backlog": 1, "busy": 1, "rows": [[1, "a", 1, 0, 0, 0, "eaten", 1]]},
        {"t": "telemetry", "v": 1, "backlog": 1, "busy": 1, "rows": [[[], "a", 1, 0, 0, 0, "done", 1]]},
        {"t": "dance"},
    ],
    ids=str,
)
def test_a_garbage_line_ends_that_connection_and_no_other(bed, message):
    visitors = {}
    for name in ("a-1", "a-2"):
        token = bed.hub.expect(name, "stub", CONFIG)
        visitors[name] = Visitor(bed)
        visitors[name].say({"t": "hello", "id": name, "role": "stub", "token": token})
        assert visitors[name].hear()["t"] == "config"
    visitors["a-1"].say(message)
    assert visitors["a-1"].ended()
    batch = bed.hub.take()
    assert batch.gone == ("a-1",) and "can't be used" in batch.notes[0] and "a-1" in batch.notes[0]
    assert visitors["a-2"].hear()["t"] == "view"
    visitors["a-2"].socket.close()


def test_a_container_that_does_not_read_is_dropped_and_holds_nobody_up(bed, monkeypatch):
    monkeypatch.setattr("testbed.world.live.hub_connection.READ_LIMIT", 0.3)
    token = bed.hub.expect("gw9", "gateway", {**CONFIG, "name": "gw9"})
    deaf = Visitor(bed)
    deaf.say({"t": "hello", "id": "gw9", "role": "gateway", "token": token})
    assert deaf.hear()["t"] == "config"
    begun = time.monotonic()
    bed.hub.offer("gw9", draws(ONE, 20_000, rate=100, work=0.1))  # 1.5 MB: more than a socket holds
    assert time.monotonic() - begun < 5
    until(lambda: any("did not read" in note for note in bed.hub.take().notes))
    deaf.socket.close()


def test_not_ready_is_said_with_names_and_reasons(bed):
    bed.hub.expect("a-1", "stub", CONFIG)
    with pytest.raises(CannotRun, match="a-1 has not called"):
        bed.hub.wait_ready(["a-1"], 0.1)
    taken = socket.create_server((HOST, 0))
    token = bed.hub.expect("gw2", "gateway", {
        **CONFIG, **bed.run, "name": "gw2", "address": HOST, "port": taken.getsockname()[1], "admission": True,
    })  # fmt: skip
    bed.launch("gw2", "gateway", token)
    with pytest.raises(CannotRun, match=r"gw2 failed: .*in use"):
        bed.hub.wait_ready(["gw2"], 10)
    taken.close()


def test_a_container_comes_back_after_its_control_connection_broke(bed):
    bed.gateway()
    bed.stub("a-1", "a")
    bed.announce()
    bed.go(draws(ONE, 100, rate=100, work=0.002))
    bed.rows(tasks=20)
    for member in list(bed.hub._members.values()):
        bed.hub._call(member.connection.close)
    bed.rows(tasks=100, stages=100)
    assert bed.summary() == {"on_time": 100}


def test_a_garbage_line_from_the_hub_is_ignored_by_containers(bed):
    bed.gateway()
    bed.stub("a-1", "a")
    bed.announce()
    for member in list(bed.hub._members.values()):
        for junk in (b"nonsense\n", b"[]\n", b"\xff\n", b'{"t":"dance"}\n', b"{}\n"):
            bed.hub._call(lambda member=member, junk=junk: member.connection.send(junk))
    bed.go(draws(ONE, 20, rate=100, work=0.002))
    bed.rows(tasks=20)
    assert bed.summary() == {"on_time": 20}


def test_a_socket_that_can_not_be_made_is_a_clear_error(tmp_path):
    with pytest.raises(CannotRun, match="control socket"):
        Hub(str(tmp_path / "no" / "such" / "folder.sock"), 1, 1, 0.1).start()


def test_values_are_nominal_outside_and_dilated_and_shrunk_on_the_wire(tmp_path):
    bed = Bed(tmp_path, (ONE,), dilate=2.0, shrink=10.0)
    try:
        token = bed.hub.expect("gw1", "gateway", {**CONFIG, "name": "gw1"})
        visitor = Visitor(bed)
        visitor.say({"t": "hello", "id": "gw1", "role": "gateway", "token": token})
        assert visitor.hear()["t"] == "config"
        bed.hub.set_paths(["gw1", "n1"], [[0, 0.01], [-1, 0]], [[0, 1e-6], [float("inf"), 0]], [[0, 3e-6], [0, 0]])
        view = visitor.hear()
        while len(view["view"].get("endpoints", [])) < 2:
            view = visitor.hear()
        assert view["view"]["delay"] == [[0, 0.02], [-1, 0]]
        assert view["view"]["per_byte"] == [[0, pytest.approx(2e-5)], [-1, 0]]
        assert view["view"]["toll"] == [[0, pytest.approx(6e-5)], [0, 0]]
        bed.hub.offer("gw1", draws(ONE, 1, rate=1, work=0.5, deadline=0.7))
        message = visitor.hear()
        while message["t"] != "tasks":
            assert "delay" not in message["view"]  # unchanged
            message = visitor.hear()
        assert message["tasks"] == [[1, "one", 0.0, 1.4, 0.01, {"a": 1.0}, 1.0]]
        assert bed.types[0]["stages"][0]["inputs"][0]["bytes"] == 100 and bed.types[0]["deadline"] == 4.0
        visitor.socket.close()
    finally:
        bed.close()


def test_a_taken_name_is_refused_and_free_again_after_remove(bed):
    bed.hub.expect("a-1", "stub", CONFIG)
    with pytest.raises(ValueError, match="already expected"):
        bed.hub.expect("a-1", "stub", CONFIG)
    bed.hub.remove("a-1")
    assert bed.hub.expect("a-1", "stub", CONFIG)


def test_a_resize_of_one_that_is_not_there_yet_or_no_more_is_told_to_nobody(bed):
    bed.hub.resize("a-1", 3)
    token = bed.hub.expect("a-1", "stub", CONFIG)
    bed.hub.resize("a-1", 4)
    visitor = Visitor(bed)
    visitor.say({"t": "hello", "id": "a-1", "role": "stub", "token": token})
    assert visitor.hear()["workers"] == 4  # in its configuration: it says hello after the resize
    bed.hub.remove("a-1")
    bed.hub.resize("a-1", 5)
    assert visitor.ended()


def test_nothing_stays_of_instances_that_died(tmp_path):
    """Hundreds die in a long run: what they said is in the rows, and a former one's hello is nobody's."""
    hub = Hub(str(tmp_path / "hub.sock"), 1.0, 1.0, 0.05)
    hub.start()
    try:
        hub.expect("gw1", "gateway", {**CONFIG, "name": "gw1"})
        before = len(hub._members)
        for k in range(300):
            hub.expect(f"a-{k}", "stub", dict(CONFIG))
            hub._members["gw1"].released.add(f"a-{k}")
            assert hub.dead(f"a-{k}") == 0
        assert len(hub._members) == before and hub._members["gw1"].released == set()
        assert hub.dead("a-0") == 0, "twice does no harm"
        with pytest.raises(CannotRun, match="died before it was ready"):
            hub.wait_ready(["a-7"], 1.0)
    finally:
        hub.close()
