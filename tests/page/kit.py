"""A page over a run in the twin: its real records and statuses, without the machine a live one needs."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from testbed.dashboard.page.feed import Ask, LivePage, Wanted
from testbed.dashboard.page.ground import ground_of
from testbed.run.execute import execute, run_id_of
from testbed.run.prepare import Prepared, prepare
from testbed.run.worlds import bins, make_world
from tests.live_run.kit import SCENARIO


@dataclass(frozen=True)
class Shown:
    """A page of a run that is over. said: the statuses it was given."""

    page: LivePage
    prepared: Prepared
    summary: Mapping[str, Any]
    said: list[dict[str, Any]]

    @property
    def port(self) -> int:
        return int(urlsplit(self.page.page or self.page.metrics).port or 0)

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def own(self, name: str = "") -> str:
        return f"/{self.page.token}/{name}"


@contextmanager
def shown(folder: Path, wanted: Wanted, ask: Ask | None = None) -> Iterator[Shown]:
    prepared = prepare(SCENARIO, (), "twin")
    run_id, said = run_id_of(prepared), list[dict[str, Any]]()
    with LivePage(wanted, run_id, folder, ground_of(prepared, run_id), ask) as page:

        def listen(status: dict[str, Any]) -> None:
            said.append(status)
            page.show(status)

        world = make_world("twin", run_id, lambda line: None)
        summary = execute(prepared, world, folder, bins(), listen, lambda line: None, run_id)
        yield Shown(page, prepared, summary, said)
