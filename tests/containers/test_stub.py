"""One stub, spoken to by raw frames: queue disciplines, early drop, limits, bad input, health, state."""

import itertools
import socket
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.containers.bed import FORK, HOST, ONE, ROOT, VQA, Bed, free_port, until

sys.path.insert(0, str(ROOT / "containers"))
from common import wire


class Peer:
    """A sender without a view: one connection to a stub, and a listener where its replies arrive."""

    def __init__(self, port):
        self.listener = socket.create_server((HOST, 0))
        self.socket = socket.create_connection((HOST, port), timeout=10)
        self.tasks = itertools.count(1)

    def header(self, stage="a", kind="one", deadline=10.0, work=0.0, **fields):
        return {
            "task": next(self.tasks),
            "type": kind,
            "stage": stage,
            "from": "ingress",
            "src": "gw1",
            "attempt": 1,
            "deadline": time.monotonic() + deadline,
            "bind": {},
            "work": {stage: work},
            "size": 1.0,
            "reply": [HOST, self.listener.getsockname()[1]],
            "gw": "gw1",
            **fields,
        }

    def send(self, **fields):
        header = self.header(**fields)
        self.socket.sendall(wire.head(wire.REQUEST, header, 10) + bytes(10))
        return header["task"]

    def replies(self, n):
        """n frames from the stub to the gateway."""
        connection, _ = self.listener.accept()
        connection.settimeout(10)
        decoder, frames = wire.Decoder(), []
        while len(frames) < n:
            frames += decoder.feed(connection.recv(65536))
        connection.close()
        return frames

    def closed(self):
        """Whether the stub has ended the connection."""
        try:
            while self.socket.recv(4096):
                pass
        except ConnectionError:
            pass
        return True

    def close(self):
        self.socket.close()
        self.listener.close()


@pytest.fixture
def bed(tmp_path):
    bed = Bed(tmp_path, (ONE, VQA, FORK))
    yield bed
    bed.close()


@pytest.fixture
def start(bed):
    """start(**config): a ready stub of service "a" and a peer connected to it."""
    peers = []

    def begin(service="a", workers=1, **config):
        port = bed.stub("a-1", service, workers=workers, **config)
        bed.announce()
        peers.append(Peer(port))
        return peers[-1]

    yield begin
    for peer in peers:
        peer.close()


def outcomes(bed):
    return {s.task: s.outcome for s in bed.stages}


@pytest.mark.parametrize(("queue", "order"), [("edf", [1, 4, 3, 2]), ("fifo", [1, 2, 3, 4])])
def test_waiting_requests_are_served_in_the_order_of_the_discipline(bed, start, queue, order):
    peer = start(queue=queue)
    peer.send(work=0.3)  # occupies the only worker while the others come
    for deadline in (9.0, 8.0, 7.0):
        peer.send(work=0.001, deadline=deadline)
    bed.rows(stages=4)
    assert [s.task for s in sorted(bed.stages, key=lambda s: s.started)] == order


def test_a_request_that_cannot_be_done_in_time_is_dropped_when_it_comes_up(bed, start):
    peer = start()
    peer.send(work=0.3)
    hopeless = peer.send(work=0.2, deadline=0.4)  # comes up at 0.3, would end at 0.5
    good = peer.send(work=0.05, deadline=5.0)
    bed.rows(stages=3)
    assert outcomes(bed) == {1: "done", hopeless: "dropped", good: "done"}
    failed = [f for f in peer.replies(3) if f.kind == wire.FAILED]
    assert [f.header for f in failed] == [{"task": hopeless, "attempt": 1, "stage": "a", "why": "expired"}]
    assert max(w for b in bed.batches for w in b.waits.get("a", ())) >= 0.29  # it counts with the wait it had
    row = next(s for s in bed.stages if s.outcome == "dropped")
    assert row.started is None and row.finished - row.arrived >= 0.29, "and its row says so"


def test_without_early_drop_everything_is_served(bed, start):
    peer = start(early_drop=False)
    peer.send(work=0.1)
    peer.send(work=0.1, deadline=0.01)
    bed.rows(stages=2)
    assert set(outcomes(bed).values()) == {"done"}


def test_the_queue_is_bounded_and_what_is_refused_is_told(bed, start):
    peer = start(queue_limit=2)
    for _ in range(6):
        peer.send(work=0.2)
    bed.rows(stages=6)
    assert sorted(outcomes(bed).values()) == ["done"] * 3 + ["dropped"] * 3
    why = [f.header["why"] for f in peer.replies(6) if f.kind == wire.FAILED]
    assert why == ["overflow"] * 3


def test_resize_takes_effect_while_requests_wait(bed, start):
    peer = start(workers=1)
    for _ in range(8):
        peer.send(work=0.4)
    until(lambda: bed.hub.take().backlogs["a-1"] == (8, 1))
    bed.hub.resize("a-1", 4)
    until(lambda: bed.hub.take().backlogs["a-1"][1] == 4)
    bed.hub.resize("a-1", 1)
    until(lambda: bed.hub.take().backlogs["a-1"][1] == 1)
    assert [t.workers for t in bed.hub._views._targets.values()] == [1]


def test_service_time_is_work_over_speed_times_contention(bed, start):
    """u = (3 cores of another service) / 6 light cores = 0.5: 0.1 / 2 · (1 + 1 · 0.25)."""
    counter = bed.folder / "busy"
    counter.write_bytes(bytes(4) + (3000).to_bytes(4, "little") + bytes(1016))
    peer = start(speed=2.0, contention=1.0, cpu_per_worker=1.0, light_cpu=6.0, busy_slot=0)
    peer.send(work=0.1)
    until(lambda: counter.read_bytes()[:4] == (1000).to_bytes(4, "little"))
    bed.rows(stages=1)
    [sample] = [x for b in bed.batches for x in b.service_samples.get("a", [])]
    assert sample >= 0.0625  # a wait may end late, never early
    assert counter.read_bytes()[:4] == bytes(4)


def test_busy_mode_burns_the_cpu_seconds_it_is_told(bed, start):
    peer = start(mode="busy", cpu_seconds=0.5)
    before = cpu_of(bed.processes["a-1"].pid)
    peer.send(work=0.6)
    bed.rows(stages=1)
    assert cpu_of(bed.processes["a-1"].pid) - before >= 0.28  # 0.6 × 0.5, in ticks of 10 ms


def cpu_of(pid):
    """User and system time, s."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_a_join_starts_once_when_every_predecessor_came_once(bed, start):
    peer = start(service="llm")
    task = peer.send(stage="llm", kind="vqa", work=0.01)
    for _ in range(3):
        peer.send(stage="llm", kind="vqa", task=task, work=0.01)  # the same part again
    until(lambda: bed.hub.take().backlogs["a-1"] == (0, 0))
    assert not bed.stages
    for _ in range(2):
        peer.send(stage="llm", kind="vqa", task=task, work=0.01, **{"from": "vision"})
    bed.rows(stages=1)
    other = peer.send(stage="llm", kind="vqa", **{"from": "vision"})
    peer.send(stage="llm", kind="vqa", task=other)
    bed.rows(stages=2)
    assert [s.task for s in bed.stages] == [task, other]


def test_a_new_attempt_does_not_complete_the_old_ones_join(bed, start):
    peer = start(service="llm")
    task = peer.send(stage="llm", kind="vqa")
    peer.send(stage="llm", kind="vqa", task=task, attempt=2, **{"from": "vision"})
    bed.rows(stages=1)
    assert [(s.attempt, s.outcome) for s in bed.stages] == [(1, "lost")]
    peer.send(stage="llm", kind="vqa", task=task, attempt=2)
    bed.rows(stages=2)
    assert (bed.stages[1].attempt, bed.stages[1].outcome) == (2, "done")


BAD = {
    "garbage": b"\x00" * 64,
    "magic": b"SX" + wire.head(wire.FIN, {})[2:],
    "version": wire.PREFIX.pack(b"SK", 9, 4, 2, 0) + b"{}",
    "kind": wire.PREFIX.pack(b"SK", 1, 99, 2, 0) + b"{}",
    "header too long": wire.PREFIX.pack(b"SK", 1, 1, 65_537, 0),
    "payload too long": wire.PREFIX.pack(b"SK", 1, 1, 2, 64 * 1024 * 1024 + 1),
    "not JSON": wire.PREFIX.pack(b"SK", 1, 1, 5, 0) + b"{nope",
    "deep JSON": wire.PREFIX.pack(b"SK", 1, 1, 65_000, 0) + b"[" * 65_000,
    "not an object": wire.PREFIX.pack(b"SK", 1, 1, 2, 0) + b"[]",
    "no fields": wire.head(wire.REQUEST, {}),
    "not for a service": wire.head(wire.RESULT, {"task": 1, "attempt": 1, "stage": "a"}),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_malformed_frame_closes_its_connection_only(bed, start, bad):
    peer = start()
    other = Peer(bed.targets["a-1"].port)
    other.socket.sendall(bad)
    assert other.closed()
    task = peer.send(work=0.001)
    bed.rows(stages=1)
    assert outcomes(bed) == {task: "done"}
    other.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "nothing"},
        {"stage": "nothing"},
        {"stage": "image", "type": "vqa"},
        {"from": "nobody"},
        {"deadline": "soon"},
        {"deadline": float("nan")},
        {"deadline": 10**400},
        {"work": {"a": -1}},
        {"size": -1},
        {"reply": ["127.0.0.1"]},
        {"bind": {"llm": "llm-1"}},
        {"task": True},
    ],
    ids=str,
)
def test_a_request_with_a_bad_field_closes_its_connection_only(bed, start, fields):
    peer = start()
    other = Peer(bed.targets["a-1"].port)
    other.socket.sendall(wire.head(wire.REQUEST, {**other.header(), **fields}))
    assert other.closed()
    task = peer.send(work=0.001)
    bed.rows(stages=1)
    assert outcomes(bed) == {task: "done"}
    other.close()


def test_health_and_metrics_answer_on_the_services_port(bed, start):
    peer = start()
    base = f"http://{HOST}:{bed.targets['a-1'].port}"
    assert urllib.request.urlopen(f"{base}/health").read() == b"ready\n"
    peer.send(work=0.001)
    bed.rows(stages=1)
    text = urllib.request.urlopen(f"{base}/metrics").read().decode()
    assert 'shaketable_requests_total{service="a",outcome="done"} 1' in text
    assert 'shaketable_workers{service="a"} 1' in text
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{base}/nothing")
    assert error.value.code == 404
    bed.hub.drain("a-1", 5.0)
    until(lambda: b"draining" in health(base))


def health(base):
    try:
        return urllib.request.urlopen(f"{base}/health").read()
    except urllib.error.HTTPError as error:
        return error.read()


def test_state_travels_before_a_new_instance_is_ready(bed):
    port = bed.stub("a-1", "a", state_bytes=5_000_000)
    bed.announce()
    bed.stub("a-2", "a", state_from=[HOST, port], state_bytes=5_000_000)
    bed.hub.wait_ready(["a-2"], 10)
    assert bed.hub.state_whole("a-2") is True


def test_without_an_answer_an_instance_begins_without_state_and_says_so(bed):
    bed.stub("a-2", "a", state_from=[HOST, free_port()])
    bed.hub.wait_ready(["a-2"], 10)
    assert bed.hub.state_whole("a-2") is False


def test_ready_is_not_before_ready_at(bed):
    at = time.monotonic() + 0.7
    bed.stub("a-1", "a", ready_at=at)
    bed.hub.wait_ready(["a-1"], 10)
    assert bed.hub.ready_at("a-1") >= at


def test_sigterm_ends_it_gracefully_and_what_it_held_is_lost(bed, start):
    peer = start()
    for _ in range(3):
        peer.send(work=5.0)
    until(lambda: bed.hub.take().backlogs["a-1"] == (3, 1))
    bed.processes["a-1"].terminate()
    assert bed.processes["a-1"].wait(10) == 0
    assert [f.header["why"] for f in peer.replies(3)] == ["broken"] * 3
    bed.rows(stages=3)
    assert set(outcomes(bed).values()) == {"lost"}
