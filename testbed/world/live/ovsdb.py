"""What Open vSwitch's database says, told by itself: the OVSDB protocol (RFC 7047) over its Unix socket.

`ovs-vsctl` asks once and costs a process; a monitor hears of each change and costs nothing while there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun

_PATIENCE_S = 10.0
#: Table → columns, as `ovs.states` wants them; those that traffic or time changes are left out.
COLUMNS = {
    "Bridge": ["name", "ports", "controller", "datapath_id", "datapath_type", "fail_mode", "external_ids"],
    "Port": ["name", "interfaces"],
    "Interface": ["name", "ofport", "error", "external_ids"],
    "Controller": ["target"],
}


def socket_path() -> Path:
    return Path(os.environ.get("OVS_RUNDIR", "/var/run/openvswitch")) / "db.sock"


class Monitor:
    """The tables of COLUMNS as they are now: {table: {row's uuid: {column: value in OVSDB's JSON}}}."""

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        """patience_s: for its first answer; CannotRun without one."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(patience_s)
        self._decoder, self._text = json.JSONDecoder(), ""
        self.tables: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in COLUMNS}
        wanted = {table: {"columns": columns} for table, columns in COLUMNS.items()}
        try:
            self._socket.connect(str(socket_path()))
            self._send({"id": 1, "method": "monitor", "params": ["Open_vSwitch", None, wanted]})
            deadline = time.monotonic() + patience_s
            answer: dict[str, Any] = {}
            while answer.get("id") != 1:
                answer = next(self._received(deadline - time.monotonic()), {})
        except OSError as error:
            self.close()
            raise CannotRun(f"Open vSwitch's database at {socket_path()} can't be watched: {error}") from error
        self._take(answer["result"])

    def fileno(self) -> int:
        return self._socket.fileno()

    def changed(self) -> bool:
        """Take in what was told since the last call; whether that was anything. OSError when the database has gone."""
        any_change = False
        for message in self._received(0.0):
            if message.get("method") == "echo":
                self._send({"id": message["id"], "result": message["params"], "error": None})
            elif message.get("method") == "update":
                self._take(message["params"][1])
                any_change = True
        return any_change

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def _take(self, updates: dict[str, Any]) -> None:
        for table, rows in updates.items():
            for uuid, row in rows.items():
                if "new" in row:
                    self.tables[table][uuid] = row["new"]
                else:
                    self.tables[table].pop(uuid, None)

    def _send(self, message: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode())

    def _received(self, patience_s: float) -> Iterator[dict[str, Any]]:
        """Whole messages; with no patience, only those that are there."""
        self._socket.settimeout(max(patience_s, 0.0))
        try:
            while data := self._socket.recv(1 << 18):
                self._text += data.decode()
                yield from self._whole()
                if patience_s:
                    return
            raise ConnectionError("it closed the connection")
        except BlockingIOError:
            return
        finally:
            self._socket.settimeout(_PATIENCE_S)

    def _whole(self) -> Iterator[dict[str, Any]]:
        while self._text:
            try:
                message, end = self._decoder.raw_decode(self._text)
            except json.JSONDecodeError:  # the rest is still under way
                return
            self._text = self._text[end:].lstrip()
            yield message
