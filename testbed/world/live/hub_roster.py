"""Who is expected, who is connected, and who is let in."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from testbed.world.live.hub_books import Member
from testbed.world.live.hub_connection import Connection, Message, line


class Roster:
    """The hub's containers by id. on_message(member, message): from those let in. Owned by the hub's loop."""

    def __init__(
        self,
        on_hello: Callable[[Member], None],
        on_message: Callable[[Member, Message], None],
        on_gone: Callable[[Member], None],
        note: Callable[[str], None],
    ) -> None:
        self.members: dict[str, Member] = {}
        self._anonymous: set[Connection] = set()
        self._on_hello = on_hello
        self._on_message = on_message
        self._on_gone = on_gone
        self._note = note

    def accept(self) -> Connection:
        """A connection that has not said hello yet."""
        connection = Connection(self._message, self._lost, self._note)
        self._anonymous.add(connection)
        return connection

    def connections(self) -> list[Connection]:
        known = [m.connection for m in self.members.values() if m.connection is not None]
        return [*known, *self._anonymous]

    def gateways(self) -> list[Member]:
        """The connected ones."""
        return [m for m in self.members.values() if m.role == "gateway" and m.connection is not None]

    def seen_by_all(self, version: int) -> bool:
        """Whether every connected container reports with this view or a newer one."""
        return all(m.view_seen >= version for m in self.members.values() if m.connection is not None)

    def forget(self, id: str) -> Member | None:
        """Expect it no more: its token is void and nothing it still says counts. None: it was not expected."""
        for gateway in self.members.values():
            gateway.released.discard(id)
        return self.members.pop(id, None)

    def why_not_ready(self, id: str) -> tuple[str, bool] | None:
        """(why, whether waiting is pointless); None when it is ready."""
        member = self.members.get(id)
        if member is None:
            return f"{id} was never expected, or died before it was ready", True
        if member.failed is not None:
            return f"{id} failed: {member.failed}", True
        if member.ready_at is not None:
            return None
        return f"{id} is starting" if member.connection is not None else f"{id} has not called", False

    def _lost(self, connection: Connection) -> None:
        self._anonymous.discard(connection)
        member = self.members.get(connection.id) if connection.id is not None else None
        if member is not None and member.connection is connection:
            member.connection = None
            self._on_gone(member)

    def _message(self, connection: Connection, message: Message) -> None:
        if connection.id is None:
            self._hello(connection, message)
            return
        member = self.members.get(connection.id)
        if member is not None and member.connection is connection:
            self._on_message(member, message)

    def _hello(self, connection: Connection, message: Message) -> None:
        """Match a container with its expectation; refuse anything else."""
        member = self.members.get(str(message.get("id")))
        if message["t"] != "hello" or member is None or message.get("role") != member.role:
            connection.drop(f"hello of nobody expected: {message.get('id')!r}, role {message.get('role')!r}")
            return
        if not hmac.compare_digest(str(message.get("token")).encode(), member.token.encode()):
            connection.drop(f"hello of {member.id!r} with a wrong token")
            return
        former, member.connection = member.connection, connection
        if former is not None:
            former.close()
        self._anonymous.discard(connection)
        connection.id = member.id
        self._on_hello(member)
        for text in member.outbox:
            connection.send(text)
        member.outbox.clear()


def send(member: Member, message: Message) -> None:
    """Queue a message for a container, if it is connected."""
    if member.connection is not None:
        member.connection.send(line(message))
