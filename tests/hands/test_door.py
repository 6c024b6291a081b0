"""The socket of a held testbed: what is refused, what is bounded, and that nothing hangs."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import CannotRun, InputError
from testbed.hands import client, wire
from testbed.hands.door import AT_ONCE, Door

INJECT = {"do": "inject", "kind": "link_down", "target": "a--b", "for": "1 s"}


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """Run "r" listens; nobody serves it yet."""
    monkeypatch.setattr(client, "ROOT", tmp_path)
    (tmp_path / "r").mkdir()
    door = Door(tmp_path / "r" / wire.SOCKET)
    door.open()
    yield door
    door.close()


@pytest.fixture
def served(door: Door) -> Iterator[Door]:
    """A loop that echoes; "heal x" it refuses."""
    stop = threading.Event()

    def carry_out(request: wire.Request) -> dict[str, Any]:
        if isinstance(request, wire.Heal):
            raise InputError("heal: no fault 'x' is in force")
        return {"heard": request.do}

    def loop() -> None:
        while not stop.wait(0.01):
            door.serve(carry_out)

    thread = threading.Thread(target=loop)
    thread.start()
    yield door
    stop.set()
    thread.join()


def raw(door: Door, data: bytes) -> dict[str, Any]:
    """The answer to these bytes."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(door.path))
        s.sendall(data)
        answer: dict[str, Any] = json.loads(wire.read_line(s, wire.ANSWER_BYTES, 10))
        return answer


def test_a_request_and_its_answer(served: Door) -> None:
    assert client.up_now() == ["r"] and client.choose(None) == "r"
    assert client.ask("r", INJECT) == {"heard": "inject"}
    with pytest.raises(InputError, match="no fault 'x'"):
        client.ask("r", {"do": "heal", "name": "x"})
    assert served.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\n", "one line of JSON"),
        (b"\xff\xfe\x00\n", "one line of JSON"),
        (b"[" * 50_000 + b"\n", "one line of JSON"),
        (b'{"do": "format"}\n', "format"),
        (b'{"do": "heal", "name": 3}\n', "name"),
        (b'{"do": "inject", "kind": "nothing", "target": "a"}\n', "for"),
        (b'{"do": "status", "more": 1}\n', "more"),
    ],
)
def test_garbage_is_refused_and_the_door_stays_open(served: Door, data: bytes, says: str) -> None:
    answer = raw(served, data)
    assert (answer["ok"], answer["code"]) == (False, 2)
    assert says in answer["error"]
    assert client.ask("r", {"do": "status"}) == {"heard": "status"}


def test_a_request_without_an_end_is_cut(served: Door) -> None:
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(served.path))
        s.sendall(b"x" * (wire.REQUEST_BYTES + 1))
        assert f"longer than {wire.REQUEST_BYTES} bytes" in wire.read_line(s, 1000, 10).decode()


def test_clients_that_say_nothing_or_die_hold_nobody_up(served: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "REQUEST_S", 0.5)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(AT_ONCE)]
    for s in silent[:-1]:
        s.connect(str(served.path))
    assert client.ask("r", {"do": "status"}) == {"heard": "status"}
    silent[0].settimeout(10)
    assert b"did not arrive" in silent[0].recv(1000)
    with socket.socket(socket.AF_UNIX) as dies:
        dies.connect(str(served.path))
        dies.sendall(b'{"do": "sta')
    assert client.ask("r", {"do": "status"}) == {"heard": "status"}
    for s in silent:
        s.close()


def test_two_at_once_are_served_one_after_the_other(served: Door) -> None:
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(client.ask("r", {"do": "status"}))) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    assert answers == [{"heard": "status"}] * 6


def test_what_nobody_waits_for_is_not_done(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "ANSWER_S", 0.4)
    with pytest.raises(CannotRun, match="no answer"):
        client.ask("r", INJECT)
    done: list[str] = []
    door.serve(lambda request: {"done": done.append(request.do)})
    assert done == []


def test_a_closed_door_tells_who_waits(door: Door) -> None:
    threading.Timer(0.3, door.close).start()
    before = time.monotonic()
    with pytest.raises(CannotRun, match="going down"):
        client.ask("r", {"do": "status"})
    assert time.monotonic() - before < wire.ANSWER_S / 2
    assert not door.path.exists() and client.up_now() == []


def test_which_one_is_meant(door: Door, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    second = Door(tmp_path / "s" / wire.SOCKET)
    second.open()
    with pytest.raises(InputError, match="2 testbeds are up: choose with --run, one of r, s"):
        client.choose(None)
    assert client.choose("s") == "s"
    second.close()
    with pytest.raises(CannotRun, match=r"no testbed s is up; up are: r"):
        client.choose("s")
    door.close()
    with pytest.raises(CannotRun, match="no testbed is up"):
        client.choose(None)


def test_a_socket_that_a_dead_process_left_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ROOT", tmp_path)
    (tmp_path / "dead").mkdir()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "dead" / wire.SOCKET))
    assert client.up_now() == []


@given(st.binary(max_size=300) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(wire.encode))
def test_every_line_is_a_request_or_an_input_error(line: bytes) -> None:
    try:
        wire.parse(line)
    except InputError as error:
        assert str(error).startswith("request: ")
