"""What is fuzzed: every door by which something from outside comes in. Bytes go in; a refusal in our own words, or
nothing, comes out. Whatever else an input does is a defect."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from testbed import cli
from testbed.cli.check import check_file
from testbed.errors import InputError
from testbed.hands import wire as hands
from testbed.load import rate_csv, trace
from testbed.scenario.model import ArrivalTrace
from testbed.topology import build
from testbed.world.live.hub_books import Books, Member
from testbed.world.live.hub_connection import Connection
from testbed.world.live.links import mahimahi

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "containers"))

from common import wire  # noqa: E402  # runs in containers, from a folder of its own

KINDS = ("big", "medium", "small")
DEFECT = "this is a defect of testbed"  # what the command says of an exception nobody expected


class Flaw(AssertionError):
    """An input was answered otherwise than by acceptance or a refusal that says what is wrong."""


@dataclass(frozen=True)
class Target:
    """run: what is done with the bytes in a folder of the target's own; True: accepted, False: refused in our words.

    corpus: inputs to begin with, good ones mostly.
    """

    name: str
    corpus: Callable[[], list[bytes]]
    run: Callable[[Path, bytes], bool]


def _refused(error: InputError) -> bool:
    if not str(error).strip() or any(not p.message.strip() for p in error.problems):
        raise Flaw(f"a refusal without words: {error!r}")
    return False


# -- files


def _scenario(folder: Path, data: bytes) -> bool:
    (folder / "trace.csv").write_text("TIMESTAMP,ContextTokens\n0,10\n1,20\n2,30\n")
    (folder / "rates.csv").write_text("time_s,rate_Mbit_s\n0,40\n1,20\n")
    return _in_file(folder / "s.yaml", data, lambda path: check_file(path, ()))


def _in_file(path: Path, data: bytes, read: Callable[[Path], object]) -> bool:
    path.write_bytes(data)
    try:
        read(path)
    except InputError as error:
        return _refused(error)
    return True


def _topology(suffix: str) -> Callable[[Path, bytes], bool]:
    def run(folder: Path, data: bytes) -> bool:
        return _in_file(folder / f"net{suffix}", data, lambda path: build.build(path, KINDS, 1))

    return run


def _mahimahi(folder: Path, data: bytes) -> bool:
    return _in_file(folder / "t.down", data, lambda path: mahimahi.bins(str(path), 0.1))


def _rates(folder: Path, data: bytes) -> bool:
    return _in_file(folder / "r.csv", data, lambda path: rate_csv.read(str(path)))


def _arrivals(folder: Path, data: bytes) -> bool:
    def read(path: Path) -> None:
        trace.window(ArrivalTrace.model_validate({"file": str(path)}), 1.0, {"gw1": 0.5, "gw2": 0.5}, 60.0, 1)

    return _in_file(folder / "a.csv", data, read)


# -- wires


def _frames(folder: Path, data: bytes) -> bool:
    decoder, half = wire.Decoder(keep=True), len(data) // 2
    try:
        for piece in (data[:half], data[half:]):
            for frame in decoder.feed(piece):
                (wire.check_request if frame.kind == wire.REQUEST else wire.check_reply)(frame.header)
    except wire.WireError as error:
        if not str(error).strip():
            raise Flaw("a refusal without words") from None
        return False
    return True


def _hands(folder: Path, data: bytes) -> bool:
    try:
        hands.parse(data)
    except InputError as error:
        return _refused(error)
    return True


class _Wire(asyncio.Transport):
    """A transport that remembers only whether it was closed."""

    closed = False

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0


def _hub(folder: Path, data: bytes) -> bool:
    """Lines of a stub and of a gateway, into the hub's books."""
    books = Books(1.0)
    types = [{"name": "t", "deadline": 1.0}]
    stub = Member("a-0", "stub", "", {"service": "a", "node": "n1", "types": types})
    gateway = Member("gw1", "gateway", "", {"name": "gw1", "types": types})

    def heard(connection: Connection, message: dict[str, Any]) -> None:
        if message["t"] == "gateway":
            books.gateway(gateway, message)
        else:
            books.stub(stub, message, 1.0)

    async def talk() -> list[str]:
        notes: list[str] = []
        connection = Connection(heard, lambda connection: None, notes.append)
        connection.connection_made(_Wire())
        for piece in (data[: len(data) // 2], data[len(data) // 2 :] + b"\n"):
            connection.data_received(piece)
        books.lose(stub)
        books.take({"a-0": stub, "gw1": gateway})
        return notes

    return not _loop().run_until_complete(talk())


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


# -- the command


def _command(folder: Path, data: bytes) -> bool:
    """A line of words as a shell would split it. Only words that neither touch the machine nor take their time."""
    text = data.decode("utf-8", "replace").replace("\0", "\ufffd")
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    words = [w for w in words if w != "--links"]
    if not words or words[0] not in ("check", "plan", "report", "replay", "completion", "inject", "heal", "status"):
        words = ["plan", *words]
    if words[0] in ("inject", "heal", "status"):
        words += ["--run", "none-such"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(words)
        except SystemExit as end:  # argparse leaves so
            code = end.code if isinstance(end.code, int) else 1
    said = err.getvalue()
    if DEFECT in said or "Traceback" in said:
        raise Flaw(f"{words}\n{said}")
    if code not in (0, 2, 4) or (code and not said.strip()):
        raise Flaw(f"{words}: exit code {code}, said {said!r}")
    return code == 0


# -- where to begin

SMALL = """name: small
question: Does it work?
topology: metro9
nodes:
  big: {cpu: 8, memory: 8 GB, speed: 2}
  medium: {cpu: 8, memory: 8 GB}
  small: {cpu: 4, memory: 4 GB}
services:
  see: {tier: core, work: 40 ms, cpu: 4, memory: 4 GB, streams: 2, rate: {law: uniform, spread: 0.1}}
  cut: {tier: light, work: 10 ms, memory: 1 GB, state: 1 MB, costs: {deploy: 4, keep: 1}}
tasks:
  photo:
    share: 1
    deadline: 500 ms
    output: 1 kB
    stages:
      cut: {inputs: {ingress: 1 MB}}
      see: {inputs: {cut: 1 MB}}
access: {rate: 100 Mbit/s, nakagami: 3}
arrivals: {law: trace, rate: 5 /s, trace: {file: trace.csv}, weights: {gw1: 1, gw2: 2}}
bandwidth:
  - {links: trunks, law: markov, levels: [1, 0.5], mean_dwell: 2 s}
  - {links: s1--s2, law: trace, file: rates.csv, scale: 2}
faults:
  - {name: cut, kind: link_down, target: any trunk, at: 10 s, for: 5 s, every: 10 s, times: 2}
  - {kind: load_spike, target: gw1, after: cut, for: 2 s, with: {factor: 2}, when: {metric: backlog, above: 3}}
safety: {nodes: 0.5, stop: [{metric: on_time, below: 0.1, lasting: 2 s}]}
variation: {work: 0.1}
run: {warmup: 2 s, duration: 40 s, slot: 1 s, seed: 1, dilate: 2, shrink: 50}
claims:
  - {id: ok, metric: on_time_rate, at_least: 0.5, runs: 3}
"""
GENERATED = SMALL.replace("topology: metro9", "topology: {generator: ring, sites: 4}").replace(
    "gw1: 1, gw2: 2", "gw1: 1"
)
GML = """graph [
  Network "Net"
  node [ id 0 label "A" Longitude -74.0 Latitude 40.7 ]
  node [ id 1 label "B" Longitude -87.6 Latitude 41.8 ]
  node [ id 2 label "C" hyperedge 1 ]
  edge [ source 0 target 1 LinkSpeed "10" LinkSpeedUnits "G" LinkSpeedRaw 10000000000.0 ]
  edge [ source 1 target 2 LinkLabel "x" ]
  edge [ source 0 target 2 ]
]
"""
GRAPHML = """<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
 <key attr.name="label" attr.type="string" for="node" id="d1"/>
 <key attr.name="LinkSpeedRaw" attr.type="double" for="edge" id="d2"/>
 <key attr.name="Longitude" attr.type="double" for="node" id="d3"/>
 <key attr.name="Latitude" attr.type="double" for="node" id="d4"/>
 <graph edgedefault="undirected">
  <node id="0"><data key="d1">A</data><data key="d3">-74.0</data><data key="d4">40.7</data></node>
  <node id="1"><data key="d1">B</data></node><node id="2"/>
  <edge source="0" target="1"><data key="d2">1e9</data></edge><edge source="1" target="2"/>
 </graph>
</graphml>
"""
REQUEST = {"task": 1, "attempt": 1, "type": "t", "stage": "s", "from": "gw1", "src": "n1", "gw": "gw1", "deadline": 5.0,
           "size": 1.0, "work": {"s": 0.1}, "bind": {"j": ["a-0", "10.77.0.1", 7000]},
           "reply": ["10.77.0.1", 6000]}  # fmt: skip
TELEMETRY = {"t": "telemetry", "v": 1, "backlog": 2, "busy": 1, "arrivals": {"n1": 2}, "arrived": [[1, "s", 1, 0.5]],
             "rows": [[1, "s", 1, 0.1, 0.2, 0.3, "done", 0.1]]}  # fmt: skip
RESULTS = {"t": "gateway", "inflight": 1, "sent": 2, "cpu": 0.1, "rows": [[1, "on_time", 0.1, 1, 0.0]]}
INJECT = {"do": "inject", "kind": "link_down", "target": "a--b", "for": "10 s", "with": {"keep": 0.5}, "name": None,
          "overlap": False}  # fmt: skip
LINES = (
    "plan s.yaml --set load=2", "check s.yaml", "plan s.yaml --policy static --seed 3 --json",
    "plan s.yaml --set run.duration='20 s' --set faults.0.with.factor=3 --set bandwidth.1.links=s1--s2",
    "plan s.yaml --set topology=net.gml --set arrivals.rate='3 /s'", "report .", "replay .", "completion bash",
    "inject link_down 'any trunk' share=0.1 --for 10s", "heal cut", "status --json",
    "plan s.yaml --dilate 2 --shrink 10",
)  # fmt: skip


def _json(*values: Any) -> list[bytes]:
    return [json.dumps(v).encode() for v in values]


def _frame_corpus() -> list[bytes]:
    reply = {"task": 1, "attempt": 1, "stage": "s"}
    frames = [
        wire.head(wire.REQUEST, REQUEST, 4) + b"abcd",
        wire.head(wire.RESULT, reply, 0),
        wire.head(wire.FIN, {}, 0),
    ]
    return [*frames, b"".join(frames), wire.head(wire.ACK, {"n": 3})]


SHIPPED = [ROOT / "topologies" / f"{name}.yaml" for name in ("metro9", "abilene")]
DEMO = ROOT / "scenarios" / "demo.yaml"
ARRIVALS = b"""TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319569,3180,8
"""
RATES = [b"time_s,rate_Mbit_s\n0,40\n1.5,20\n3,0\n", b"x,time_ms,rate_kbit_s\na,5,7\nb,9,8\n"]

TARGETS = {
    t.name: t
    for t in (
        Target("scenario", lambda: [SMALL.encode(), GENERATED.encode(), DEMO.read_bytes()], _scenario),
        Target("topology", lambda: [path.read_bytes() for path in SHIPPED], _topology(".yaml")),
        Target("gml", lambda: [GML.encode()], _topology(".gml")),
        Target("graphml", lambda: [GRAPHML.encode()], _topology(".graphml")),
        Target("mahimahi", lambda: [b"0\n1\n1\n5\n40\n", b"1\n"], _mahimahi),
        Target("rates", lambda: RATES, _rates),
        Target("arrivals", lambda: [ARRIVALS, b"TIMESTAMP\n0\n1\n2.5\n"], _arrivals),
        Target("frames", _frame_corpus, _frames),
        Target("hands", lambda: _json(INJECT, {"do": "heal", "name": "x"}, {"do": "status"}, {"do": "down"}), _hands),
        Target("hub", lambda: _json(TELEMETRY, RESULTS), _hub),
        Target("command", lambda: [line.encode() for line in LINES], _command),
    )
}


def prepare(folder: Path) -> None:
    """What the command finds in its folder."""
    (folder / "s.yaml").write_text(SMALL)
    (folder / "net.gml").write_text(GML)
    (folder / "trace.csv").write_text("TIMESTAMP,ContextTokens\n" + "".join(f"{k},{k + 10}\n" for k in range(100)))
    (folder / "rates.csv").write_text("time_s,rate_Mbit_s\n0,40\n1,20\n")
