"""The machine to be driven, as the user wrote it."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import CannotRun, InputError

WRITTEN = re.compile(
    r"^(?:(?P<user>[^@\s:/]+)@)?(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>\d+))?$"
)

FOLDER = "shaketable-vm"  # where `testbed vm up` puts us, in the home of the user there


def need_paramiko(word: str) -> None:
    """Raises CannotRun where a word that speaks SSH can't."""
    try:
        import paramiko  # noqa: F401
    except ImportError:
        raise CannotRun(
            f"`{word}` needs the Python package paramiko: ./shaketable setup, or pip install paramiko"
        ) from None


@dataclass(frozen=True, slots=True)
class Host:
    """user at name:port; name may be a name, an IPv4 or an IPv6 address."""

    user: str
    name: str
    port: int

    @property
    def known_as(self) -> str:
        """How known_hosts spells it."""
        return self.name if self.port == 22 else f"[{self.name}]:{self.port}"

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{self.user}@{name}" + ("" if self.port == 22 else f":{self.port}")


def parse(text: str | None) -> Host:
    """ "user@host:port"; the user is the one here and the port 22 where nothing is said."""
    if not text:
        raise InputError("vm: which machine? Give --host user@host[:port], or set SHAKETABLE_HOST")
    found = WRITTEN.match(text)
    port = int(found["port"] or 22) if found else 0
    if found is None or (found["name"] and found["name"].startswith("-")) or not 0 < port < 65536:
        raise InputError(
            f"--host {text!r}: write user@host[:port], an IPv6 address in brackets, e.g. me@[fd00::2]:2222"
        )
    return Host(found["user"] or getpass.getuser(), found["six"] or found["name"], port)


@dataclass(frozen=True, slots=True)
class Keys:
    """identity: a private key's file (None: the agent, then the usual files in ~/.ssh). known_hosts: a file that is
    believed instead of the user's and the machine's own."""

    identity: Path | None = None
    known_hosts: Path | None = None
