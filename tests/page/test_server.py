"""What the page's server answers whom: tokens, hosts, origins, garbage; and that a run never waits for it."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from testbed.dashboard.page.app import MOST_CONNECTIONS, MOST_REQUEST
from testbed.dashboard.page.feed import LivePage, Wanted
from testbed.dashboard.page.ground import ground_of
from testbed.dashboard.page.guard import own_host, own_page, same_token
from testbed.errors import CannotRun, InputError
from testbed.run.prepare import prepare
from tests.live_run.kit import SCENARIO, until
from tests.page.kit import Shown, shown

JSON = {"Content-Type": "application/json"}
asked: list[Mapping[str, Any]] = []


def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stands at the end of the way, where a held testbed's door is: what comes through is looked at."""
    asked.append(request)
    if request.get("name") == "none":
        raise InputError("heal: no fault 'none' is in force")
    if request.get("name") == "broken":
        raise CannotRun("it can't")
    return {"healed": []}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with shown(tmp_path_factory.mktemp("served") / "run", Wanted(port=0), answer) as found:
        yield found


def do(run: Shown, body: Any, headers: Mapping[str, str] = JSON) -> tuple[int, dict[str, Any]]:
    status, _, said = run.ask(run.own("do"), "POST", json.dumps(body).encode(), headers)
    return status, json.loads(said) if said.startswith(b"{") else {}


def raw(run: Shown, data: bytes) -> bytes:
    """Whatever comes back until the other side closes or has nothing to say."""
    with socket.create_connection(("127.0.0.1", run.port), 10) as s:
        s.sendall(data)
        s.settimeout(2)
        got = b""
        try:
            while piece := s.recv(1 << 16):
                got += piece
        except (TimeoutError, ConnectionError):
            pass
        return got


def test_with_the_token_there_is_a_page_that_needs_nothing_from_elsewhere(run: Shown) -> None:
    status, headers, body = run.ask(run.own())
    assert status == 200 and b'<script type="module" src="page.js">' in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"
    assert "Server" not in headers
    for name in ("page.css", "page.js", "map.js", "chart.js", "tables.js", "hands.js", "draw.js"):
        status, _, text = run.ask(run.own(name))
        assert status == 200
        assert b"http://" not in text.replace(b"http://www.w3.org/2000/svg", b"") and b"https://" not in text, name
    sheet = run.ask(run.own("page.css"))[2]
    assert b"--h4:" in sheet and b".flow" in sheet  # the report's colours, and ours


@pytest.mark.parametrize("name", ["", "page.js", "stream", "do"])
def test_without_the_token_nothing_is_told(run: Shown, name: str) -> None:
    token = run.page.token
    for wrong in ("", "x", token[:-1], token + "x", token.swapcase(), "%00", "ü"):
        path = f"/{wrong}/{name}".replace("ü", "%C3%BC")
        assert run.ask(path)[0] == 403, path
    assert run.ask("/")[0] == run.ask("/favicon.ico")[0] == 403
    assert run.ask(f"/{token[:-1]}/do", "POST", b"{}", JSON)[0] == 403


def test_with_the_token_what_there_is_not_is_not_there(run: Shown) -> None:
    for name in ("none.js", "..", "../../etc/passwd", "%2e%2e/guard.py", "a/b"):
        assert run.ask(run.own(name))[0] == 404, name
    assert run.ask(run.own("do"))[0] == 405


STRANGERS = ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "a@127.0.0.1", "", "[::1", "10.77.0.1"]


@pytest.mark.parametrize("host", STRANGERS)
def test_under_another_name_nobody_is_answered(run: Shown, host: str) -> None:
    for path in (run.own(), run.own("stream"), "/metrics"):
        assert run.ask(path, headers={"Host": host})[0] in (400, 403)


def test_names_of_the_loopback() -> None:
    assert all(map(own_host, ("127.0.0.1", "127.0.0.1:8000", "localhost:1", "LOCALHOST", "[::1]:80")))
    assert not any(map(own_host, ("127.0.0.1:x", "localhost/", "localhost?", "127.0.0.1#", "localhost.", " ")))
    assert own_page("localhost:1", None, None) and own_page("localhost:1", "http://localhost:1", "same-origin")
    assert not own_page("localhost:1", "http://localhost:2", None)
    assert not own_page("localhost:1", None, "cross-site")
    assert not same_token("", None) and same_token("", "") is not False


def test_what_changes_something_must_come_from_the_page(run: Shown) -> None:
    asked.clear()
    heal = {"do": "heal", "name": None}
    assert do(run, heal, JSON | {"Origin": "http://evil.example"})[0] == 403
    assert do(run, heal, JSON | {"Origin": "null"})[0] == 403
    assert do(run, heal, JSON | {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert do(run, heal, {"Content-Type": "text/plain"})[0] == 415  # what a form elsewhere could send
    assert asked == []
    own = JSON | {"Origin": f"http://127.0.0.1:{run.port}"}
    assert do(run, heal, own) == (200, {"ok": True, "answer": {"healed": []}})
    assert asked == [heal]


def test_answers_of_the_run_come_back_as_they_are(run: Shown) -> None:
    assert do(run, {"do": "heal", "name": "none"}) == (
        400, {"ok": False, "code": 2, "error": "heal: no fault 'none' is in force"},
    )  # fmt: skip
    assert do(run, {"do": "heal", "name": "broken"})[0] == 409


@pytest.mark.parametrize("request_", [{"do": "down"}, {"do": "status"}, {}, {"do": ["inject"]}])
def test_two_things_only_can_be_asked_for(run: Shown, request_: Any) -> None:
    asked.clear()
    status, said = do(run, request_)
    assert status == 409 and "read-only" in said["error"] and asked == []


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b"\xff\xfe", b"[" * 10_000, b'{"do":'])
def test_a_body_that_is_no_request(run: Shown, body: bytes) -> None:
    assert run.ask(run.own("do"), "POST", body, JSON)[0] == 400


def test_too_long_is_cut_off(run: Shown) -> None:
    head = f"POST {run.own('do')} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert raw(run, f"{head}Content-Length: {MOST_REQUEST + 1}\r\n\r\n".encode())[:12] in (b"HTTP/1.1 400", b"")
    assert (
        b"200"
        not in raw(run, f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {'x' * MOST_REQUEST * 2}\r\n\r\n".encode())[
            :12
        ]
    )
    assert run.ask("/metrics")[0] == 200


def test_garbage_leaves_it_standing(run: Shown) -> None:
    dice = random.Random(1)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", run.port), 10) as s:
            s.sendall(dice.randbytes(dice.randrange(1, 2000)))
    for data in (
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 100,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):
        assert b" 200 " not in raw(run, data)[:20]
    assert run.ask("/metrics")[0] == 200


def test_many_who_say_nothing_are_let_go_and_others_served_again(run: Shown) -> None:
    silent = [socket.create_connection(("127.0.0.1", run.port), 10) for _ in range(MOST_CONNECTIONS + 5)]
    time.sleep(0.2)
    for s in silent:
        s.close()
    until(lambda: _served(run), "served again")


def _served(run: Shown) -> bool:
    try:
        return run.ask("/metrics")[0] == 200
    except OSError:
        return False


def test_it_runs_as_nobody(run: Shown) -> None:
    facts = Path(f"/proc/{run.page._process.pid}/status").read_text()
    words = dict(line.split(":\t", 1) for line in facts.splitlines() if ":\t" in line)
    assert words["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert words["Uid"].split() == ["65534"] * 4 and words["CapEff"] == "0" * 16


def test_metrics_need_no_token_and_are_text(run: Shown) -> None:
    status, headers, body = run.ask("/metrics")
    assert status == 200 and headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n") and run.page.token.encode() not in body


def test_the_stream_begins_with_everything(run: Shown) -> None:
    with socket.create_connection(("127.0.0.1", run.port), 10) as s:
        s.sendall(f"GET {run.own('stream')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        got = b""
        while b"\n\n" not in got.partition(b"event: everything")[2]:
            got += s.recv(1 << 16)
    told = json.loads(got.partition(b"data: ")[2].partition(b"\n\n")[0])
    assert told["ground"]["hands"] is True and "token" not in told["ground"]
    assert told["status"]["t"] == run.said[-1]["now"]
    assert run.page.token.encode() not in got


def page(tmp_path: Path, wanted: Wanted, ask: Any = answer) -> LivePage:
    return LivePage(wanted, "r", tmp_path, ground_of(prepare(SCENARIO, (), "twin"), "r"), ask)


def test_read_only_the_server_refuses_too(tmp_path: Path) -> None:
    asked.clear()
    with shown(tmp_path / "run", Wanted(port=0, read_only=True), answer) as run:
        status, said = do(run, {"do": "heal", "name": None})
        assert status == 403 and "read-only" in said["error"] and asked == []


def test_metrics_alone_serve_no_page(tmp_path: Path) -> None:
    with shown(tmp_path / "run", Wanted(metrics=0), answer) as run:
        assert run.page.page is None and run.ask("/metrics")[0] == 200
        assert run.ask(run.own())[0] == 403 and do(run, {"do": "heal", "name": None})[0] == 403


def test_a_port_that_is_taken_is_said_before_anything_is_built(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CannotRun, match=r"can't be listened on .*name another"):
            page(tmp_path, Wanted(port=taken.getsockname()[1]))


def test_a_run_never_waits_for_a_page_that_hangs_or_dies(tmp_path: Path) -> None:
    with page(tmp_path, Wanted(port=0)) as one:
        os.kill(one._process.pid, signal.SIGSTOP)
        (tmp_path / "events.jsonl").write_text('{"kind":"origin","actual_s":0,"planned_s":0}\n' * 100_000)
        status = {"now": 1.0, "resolved": 0, "on_time": 0, "links": [], "instances": [], "more": "x" * 1_000_000}
        for _ in range(1000):  # a gigabyte, were it kept
            one.show(status)
        os.kill(one._process.pid, signal.SIGKILL)
        one._process.wait()
        one.show(status)
    until(lambda: not any(thread.is_alive() for thread in one._threads), "both threads have ended")


def test_it_ends_when_its_run_has_gone(tmp_path: Path) -> None:
    with page(tmp_path, Wanted(port=0)) as one:
        one._ours.shutdown(socket.SHUT_RDWR)  # what the kernel does when the run's process dies
        one._process.wait(10)
