"""What is served: below /TOKEN/ the page, its stream and its door; /metrics without a token (numbers only)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from testbed.dashboard.page.guard import HEADERS, own_host, own_page, same_token
from testbed.dashboard.page.openmetrics import CONTENT_TYPE, exposition
from testbed.dashboard.page.view import View
from testbed.report.style import STYLE

WEB = Path(__file__).with_name("web")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
MOST_CONNECTIONS = 100
MOST_STREAMS = 20
MOST_REQUEST = 1 << 14  # bytes of a request's body, and of its head
IDLE_S = 60.0
BODY_S = 5.0
BEAT_S = 15.0  # between two signs of life in a stream
BEHIND = 200  # messages a reader may be behind before it is let go: it comes again and is told everything

#: Passes a request on to the run; its answer.
Ask = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class Hub:
    """What all connections share: the view, whoever listens, and the way to the run (None: nobody may ask)."""

    def __init__(self, view: View, ask: Ask | None) -> None:
        self.view, self.ask = view, ask
        self.readers: set[asyncio.Queue[str]] = set()

    def tell(self, what: str, value: Any) -> None:
        """To everybody who reads the stream."""
        message = sse(what, value)
        for queue in list(self.readers):
            if queue.full():
                self.readers.discard(queue)
                queue.get_nowait()
                queue.put_nowait("")  # the end of its stream
            else:
                queue.put_nowait(message)


def sse(what: str, value: Any) -> str:
    """A server-sent event; JSON has no line breaks of its own."""
    return f"event: {what}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n"


class Guarded(RequestHandler):
    """Refuses what no page of ours would send, and says of every answer what a browser may do with it."""

    hub: Hub
    needs_token = True

    def initialize(self, hub: Hub) -> None:
        self.hub = hub

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        if not own_host(self.request.host):
            raise HTTPError(403, reason="Forbidden host")
        token = self.path_kwargs.get("token") or ""
        if self.needs_token and not same_token(token, self.hub.view.ground["token"]):
            raise HTTPError(403, reason="Forbidden")

    def write_error(self, status_code: int, **facts: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code} {self._reason}\n")


class Nothing(Guarded):
    """Any other address: whoever has no token learns nothing, not even what there is."""

    def prepare(self) -> None:
        if not own_host(self.request.host):
            raise HTTPError(403, reason="Forbidden host")
        token = self.request.path.strip("/").split("/")[0]
        raise HTTPError(404 if same_token(token, self.hub.view.ground["token"]) else 403)


class File(Guarded):
    """A file of the page. Which ones there are is looked up once: nothing in an address becomes a path."""

    def get(self, token: str, name: str = "") -> None:
        found = FILES.get(name or "index.html")
        if found is None:
            raise HTTPError(404)
        kind, data = found
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.finish(data)


class Stream(Guarded):
    """Server-sent events: `everything` once, then what is new."""

    async def get(self, token: str) -> None:
        if len(self.hub.readers) >= MOST_STREAMS:
            raise HTTPError(503, reason="Too many readers")
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        queue: asyncio.Queue[str] = asyncio.Queue(BEHIND)
        self.hub.readers.add(queue)
        self._queue = queue
        try:
            self.write(sse("everything", self.hub.view.everything()))
            await self.flush()
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), BEAT_S)
                except TimeoutError:
                    message = ":\n\n"
                if not message:
                    return
                self.write(message)
                await self.flush()
        except StreamClosedError:
            return
        finally:
            self.hub.readers.discard(queue)

    def on_connection_close(self) -> None:
        """The reader has gone: its coroutine need not wait for the next message to see it."""
        self.hub.readers.discard(self._queue)
        if not self._queue.full():
            self._queue.put_nowait("")


class Door(Guarded):
    """Asks the run to inject or to heal."""

    async def post(self, token: str) -> None:
        headers = self.request.headers
        if not own_page(self.request.host, headers.get("Origin"), headers.get("Sec-Fetch-Site")):
            raise HTTPError(403, reason="Forbidden origin")
        if headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            raise HTTPError(415)
        if self.hub.ask is None:
            self._say(403, {"ok": False, "error": "read-only: nothing can be asked for here"})
            return
        try:
            request = json.loads(self.request.body)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            self._say(400, {"ok": False, "error": "one JSON object is expected"})
            return
        answer = await self.hub.ask(request)
        self._say(200 if answer["ok"] else 400 if answer["code"] == 2 else 409, answer)

    def _say(self, status: int, answer: Mapping[str, Any]) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(answer))


class Metrics(Guarded):
    needs_token = False

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(exposition(self.hub.view))


class Bounded(HTTPServer):
    """So many connections at a time; one more is closed at once."""

    open_now = 0

    def handle_stream(self, stream: Any, address: Any) -> None:
        if self.open_now >= MOST_CONNECTIONS:
            stream.close()
            return
        self.open_now += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        self.open_now -= 1
        super().on_close(server_conn)


def server(hub: Hub) -> HTTPServer:
    """Ready for its sockets."""
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)  # addresses hold the token
    logging.getLogger("tornado.general").setLevel(logging.ERROR)  # what strangers send is no news
    one = {"hub": hub}
    paths: list[Any] = [
        (r"/metrics", Metrics, one),
        (r"/(?P<token>[\w-]{1,64})/stream", Stream, one),
        (r"/(?P<token>[\w-]{1,64})/do", Door, one),
        (r"/(?P<token>[\w-]{1,64})/(?P<name>[\w.-]{0,32})", File, one),
    ]
    app = Application(paths, default_handler_class=Nothing, default_handler_args=one)
    return Bounded(
        app, max_header_size=MOST_REQUEST, max_body_size=MOST_REQUEST, max_buffer_size=1 << 22,
        idle_connection_timeout=IDLE_S, body_timeout=BODY_S,
    )  # fmt: skip


def _files() -> dict[str, tuple[str, bytes]]:
    """name → (media type, content). The sheet is the report's, and ours after it."""
    found = {f.name: (TYPES[f.suffix], f.read_bytes()) for f in WEB.iterdir() if f.suffix in TYPES}
    kind, own = found["page.css"]
    return found | {"page.css": (kind, STYLE.encode() + b"\n" + own)}


FILES = _files()
