"""The other end of a testbed's socket: which testbeds are up, one request, and waiting for one to have gone."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun, InputError
from testbed.hands import wire
from testbed.record.folder import MARKER
from testbed.world.live.names import Names

#: Each testbed has its folder here.
ROOT = Path(Names("0").folder).parent
CONNECT_S = 2.0
DOWN_S = 240.0  # for a testbed to revert, remove and write
POLL_S = 0.1


def up_now() -> list[str]:
    """Run ids of the testbeds that listen. CannotRun for those who may not look."""
    if ROOT.is_dir() and not os.access(ROOT, os.R_OK | os.X_OK):
        raise CannotRun(f"{ROOT} is root's: say it with sudo")
    return [path.parent.name for path in sorted(ROOT.glob(f"*/{wire.SOCKET}")) if _listens(path)]


def choose(run: str | None) -> str:
    """The testbed that is meant. CannotRun where there is none, InputError where a choice has to be made."""
    ids = up_now()
    if run is not None and run not in ids:
        there = f"up are: {', '.join(ids)}" if ids else "none is up"
        raise CannotRun(f"no testbed {run} is up; {there}. Open one with `sudo ./shaketable up FILE`")
    if not ids:
        raise CannotRun("no testbed is up (or you are not root): open one with `sudo ./shaketable up FILE`")
    if run is None and len(ids) > 1:
        raise InputError(f"{len(ids)} testbeds are up: choose with --run, one of {', '.join(ids)}")
    return run or ids[0]


def ask(run: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The testbed's answer. InputError and CannotRun as it raised them; CannotRun where it does not answer."""
    path = ROOT / run / wire.SOCKET
    try:
        line = wire.encode(dict(request))
    except (TypeError, ValueError) as error:
        raise InputError(f"request: {error}") from None
    try:
        with _connected(path) as connection:
            connection.sendall(line)
            said = wire.read_line(connection, wire.ANSWER_BYTES, wire.REQUEST_S + 2 * wire.ANSWER_S)
        heard = json.loads(said)
    except OSError as error:
        raise CannotRun(
            f"the testbed {run} does not answer ({error}); `sudo ./shaketable status` lists none?"
        ) from None
    except ValueError:
        raise CannotRun(f"the testbed {run} went away in the middle of its answer") from None
    if heard["ok"]:
        return dict(heard["answer"])
    raise (InputError if heard["code"] == InputError.exit_code else CannotRun)(str(heard["error"]))


def holder(run: str) -> int:
    """The process that holds the testbed, as the kernel has it. CannotRun where none does."""
    try:
        with _connected(ROOT / run / wire.SOCKET) as connection:
            who = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError as error:
        raise CannotRun(f"the testbed {run} does not answer ({error})") from None
    return int(struct.unpack("3i", who)[0])


def await_down(pid: int, folder: Path) -> None:
    """Until the records are whole, or the process that held the testbed has ended. CannotRun if it takes too long."""
    end = time.monotonic() + DOWN_S
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            while time.monotonic() < end:
                if (folder / MARKER).exists() or select.select([process], [], [], POLL_S)[0]:
                    return
        finally:
            os.close(process)
        raise CannotRun(f"the testbed is still going down after {DOWN_S:.0f} s (process {pid})")


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_S)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _listens(path: Path) -> bool:
    """A socket that a dead process left refuses."""
    try:
        _connected(path).close()
    except OSError:
        return False
    return True
