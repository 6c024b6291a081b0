"""A testbed from Python: brought up, shaken, looked at and taken down (docs/python-api.md).

from testbed.api import Bed

with Bed.up("scenarios/demo.yaml") as bed:
    with bed.inject("link_down", "any trunk", length="30 s"):
        bed.wait_for(lambda s: (s["on_time_rate_last_5_s"] or 0.0) > 0.8, seconds=20)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from testbed.errors import CannotRun, InputError
from testbed.hands import client
from testbed.hands.hold import Held, hold
from testbed.record.folder import read

LOOK_S = 0.2  # real s between two looks of wait_for

Status = dict[str, Any]


class Bed:
    """A testbed that is up. Times given to it carry a unit ("10 s", nominal); seconds to wait are real ones."""

    def __init__(self, run_id: str, folder: Path, holding: _Holding | None = None) -> None:
        self.run_id, self.folder, self._holding = run_id, folder, holding

    # -- beginning and end

    @classmethod
    def up(
        cls, file: str | Path, sets: Sequence[str] = (), out: str | Path | None = None, length: str | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> Bed:  # fmt: skip
        """Bring a scenario up in this process, its loop in a thread of its own; returns once it can be worked on.

        sets: as `--set`. length: as `--for`. say: hears a line of progress. Raises InputError and CannotRun.
        """
        holding = _Holding(hold(Path(file), sets, None if out is None else Path(out), length, say), say)
        holding.begin()
        return cls(holding.held.run_id, holding.held.out.absolute(), holding)

    @classmethod
    def attach(cls, run: str | None = None) -> Bed:
        """One that is up already, here or elsewhere on this machine; `run` chooses among several."""
        chosen = client.choose(run)
        return cls(chosen, Path(client.ask(chosen, {"do": "status"})["folder"]))

    def __enter__(self) -> Bed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Down, where it was brought up here; one that was attached to stays."""
        if self._holding is not None:
            self.down()

    def down(self) -> dict[str, Any]:
        """Revert, remove, write the records; the summary. A second time it only gives the summary again."""
        if self._holding is not None:
            return self._holding.end(self.run_id)
        if self.run_id in client.up_now():
            pid = client.holder(self.run_id)
            client.ask(self.run_id, {"do": "down"})
            client.await_down(pid, self.folder)
        try:
            return dict(read(self.folder)[0])
        except InputError as error:
            raise CannotRun(f"run {self.run_id} left no whole records: {error}") from None

    # -- shaking and looking

    def inject(
        self, kind: str, target: str, length: str, name: str | None = None, overlap: bool = False, **parameters: Any
    ) -> Injection:
        """A fault of the catalogue, from now on; used with `with`, it ends with the block. parameters: its `with`."""
        answer = client.ask(
            self.run_id,
            {"do": "inject", "kind": kind, "target": target, "for": length, "with": parameters, "name": name,
             "overlap": overlap},
        )  # fmt: skip
        return Injection(self, answer["name"], answer["faults"])

    def heal(self, name: str | None = None) -> list[dict[str, Any]]:
        """End one fault, or all in force, before their time; what was ended, with the evidence."""
        return list(client.ask(self.run_id, {"do": "heal", "name": name})["healed"])

    def status(self) -> Status:
        """As `status --json`."""
        return client.ask(self.run_id, {"do": "status"})

    def wait_for(self, condition: Callable[[Status], object], seconds: float = 30.0) -> Status:
        """The first status that satisfies the condition. TimeoutError after so many real seconds."""
        end = time.monotonic() + seconds
        while not condition(status := self.status()):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds:g} s; the last status is of t = {status['t_s']:.1f} s")
            time.sleep(LOOK_S)
        return status

    @property
    def net(self) -> Any:
        """Mininet's network: `bed.net.get("n1").cmd("ip a")`. CannotRun for a testbed that another process holds."""
        if self._holding is None:
            raise CannotRun("Mininet's objects live in the process that brought the testbed up: use Bed.up there")
        return self._holding.held.world.net  # type: ignore[attr-defined]  # of the live world alone


class Injection:
    """A fault that was injected. faults: its occurrences as in `status`, with the evidence of each."""

    def __init__(self, bed: Bed, name: str, faults: list[Mapping[str, Any]]) -> None:
        self.bed, self.name, self.faults = bed, name, faults

    def heal(self) -> None:
        """End it; nothing to do where its time was over."""
        if any(self.name == f["name"] or f["name"].startswith(f"{self.name}_") for f in self.bed.status()["faults"]):
            self.bed.heal(self.name)

    def __enter__(self) -> Injection:
        return self

    def __exit__(self, *error: object) -> None:
        self.heal()


class _Holding:
    """The thread that holds a testbed. A daemon: a program that ends without `down` is the reaper's."""

    def __init__(self, held: Held, say: Callable[[str], None]) -> None:
        self.held, self._say = held, say
        self._open = threading.Event()
        self._summary: dict[str, Any] | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="testbed", daemon=True)

    def begin(self) -> None:
        self._thread.start()
        self._open.wait()
        if self._error is not None:
            raise self._error

    def end(self, run_id: str) -> dict[str, Any]:
        if self._thread.is_alive() and run_id in client.up_now():
            client.ask(run_id, {"do": "down"})
        self._thread.join(client.DOWN_S)
        if self._error is not None:
            raise self._error
        if self._summary is None:
            raise CannotRun(f"the testbed is still going down after {client.DOWN_S:.0f} s")
        return self._summary

    def _run(self) -> None:
        try:
            self._summary = self.held.run(self._open.set, lambda status: None, self._say)
        except BaseException as error:  # raised where it is waited for
            self._error = error
        finally:
            self._open.set()
