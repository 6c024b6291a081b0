"""One SSH connection: a host key nobody vouches for is never accepted, and every refusal says what to do next."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import paramiko

from testbed.errors import CannotRun, InputError
from testbed.vm.host import Host, Keys

CONNECT_S = 15.0  # for each of: TCP, the banner, the authentication
ALIVE_S = 15  # between signs of life, so that a dead host is noticed
BLOCK = 1 << 16
END_S = 10.0  # for a command to end in order
KEPT_LINES = 200
SHIP = ("/etc/ssh/ssh_known_hosts", "~/.ssh/known_hosts")
INTERRUPT = b"\x03"  # what Ctrl-C types

# what it has to say reaches the user as our own errors
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class _Nobody(paramiko.MissingHostKeyPolicy):
    def __init__(self, host: Host) -> None:
        self.host = host

    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:
        line = f"{self.host.known_as} {key.get_name()} {key.get_base64()}"
        raise CannotRun(
            f"{self.host}: nobody vouches for this machine: its host key is in no known_hosts file.\n"
            f"  fingerprint  {key.fingerprint} ({key.get_name()})\n"
            "  compare it, on the machine itself:  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\n"
            f"  if it is the same, add this line to ~/.ssh/known_hosts (or to a file named with --known-hosts):\n"
            f"  {line}"
        )


@dataclass(frozen=True, slots=True)
class Done:
    """What a command without a terminal said and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Sink:
    """Where a tar is written to."""

    channel: paramiko.Channel

    def write(self, data: bytes) -> int:
        self.channel.sendall(data)
        return len(data)


class Held:
    """A command that goes on there until the block ends, or the connection: its terminal goes with it.

    What it says is read by a thread, of which the last lines are kept.
    """

    def __init__(self, host: Host, channel: paramiko.Channel, stack: ExitStack) -> None:
        self.host, self._channel, self._stack = host, channel, stack
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name=f"ssh {host}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it as Ctrl-C does, and waits a while for it to be gone."""
        with suppress(OSError):
            self._channel.send(INTERRUPT)
            self._reader.join(END_S)
        self._stack.close()

    def until(self, wanted: re.Pattern[str], seconds: float) -> str:
        """The first group of the first line that has it. Raises CannotRun when the command ends, or time passes."""
        with self._news:
            self._news.wait_for(lambda: self._ended or any(map(wanted.search, self._lines)), seconds)
            for line in self._lines:
                if found := wanted.search(line):
                    return found[1]
        raise CannotRun(f"{self.host}: what was started there did not say that it is ready: {self.last()}")

    def check(self) -> None:
        """Raises CannotRun where it has ended."""
        if self._ended:
            raise CannotRun(f"{self.host}: what was started there has ended: {self.last()}")

    def last(self) -> str:
        """What it said last."""
        return next((line for line in reversed(self._lines) if line), "nothing")

    def _read(self) -> None:
        with suppress(OSError), self._channel.makefile("rb") as lines:
            for line in lines:
                with self._news:
                    self._lines.append(line.decode(errors="replace").strip())
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


class Connection:
    """Commands on `host`. Every method raises CannotRun where the connection is lost."""

    def __init__(self, host: Host, client: paramiko.SSHClient) -> None:
        self.host, self._client = host, client

    def ask(self, command: str) -> Done:
        """A short command; what it said."""
        with self._channel(command) as channel:
            out, err = bytearray(), bytearray()
            with channel.makefile("rb") as o, channel.makefile_stderr("rb") as e:
                out += o.read()
                err += e.read()
            return Done(self._code(channel), out.decode(errors="replace"), err.decode(errors="replace"))

    def send(self, command: str, write: Callable[[Sink], None]) -> Done:
        """A command that reads what `write` writes."""
        with self._channel(command) as channel:
            try:
                write(Sink(channel))
                channel.shutdown_write()
            except OSError:
                if not channel.exit_status_ready():
                    raise  # else it ended before it had read all, and says why
            err = channel.makefile_stderr("rb").read()
            return Done(self._code(channel), "", err.decode(errors="replace"))

    @contextmanager
    def reading(self, command: str) -> Iterator[tuple[BinaryIO, Callable[[], Done]]]:
        """What the command writes, as a stream; to be read to its end before the second value is called."""
        with self._channel(command) as channel:

            def done() -> Done:
                err = channel.makefile_stderr("rb").read()
                return Done(self._code(channel), "", err.decode(errors="replace"))

            yield channel.makefile("rb", BLOCK), done

    def follow(self, command: str, write: Callable[[bytes], None], terminal: bool) -> int:
        """A long command with a terminal of its own there: what it says goes to `write` as it comes; its exit code.

        Ctrl-C is typed there, too, so that it ends in order; the second one here leaves it alone. Where the connection
        is lost, its terminal closes, which ends a run as Ctrl-C does.
        """
        with self._channel(command, terminal=terminal) as channel:
            interrupted = False
            while True:
                try:
                    block = channel.recv(BLOCK)
                    if not block:
                        return self._code(channel)
                    write(block if terminal else block.replace(b"\r\n", b"\n"))
                except KeyboardInterrupt:
                    if interrupted:
                        raise
                    interrupted = True
                    channel.send(INTERRUPT)

    def hold(self, command: str) -> Held:
        """A command that goes on meanwhile, with a dumb terminal of its own."""
        stack = ExitStack()
        return Held(self.host, stack.enter_context(self._channel(command, terminal=False)), stack)

    @contextmanager
    def _channel(self, command: str, terminal: bool | None = None) -> Iterator[paramiko.Channel]:
        """terminal: None none, else one as ours (True) or a dumb one."""
        channel = None
        try:
            transport = self._client.get_transport()
            if transport is None:
                raise EOFError
            channel = transport.open_session(timeout=CONNECT_S)
            if terminal is not None:
                size = shutil.get_terminal_size((120, 40))
                kind = os.environ.get("TERM", "dumb") if terminal else "dumb"
                channel.get_pty(kind, size.columns, size.lines)
            channel.exec_command(command)
            yield channel
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise CannotRun(f"{self.host}: the connection was lost ({error or 'closed by the other side'})") from None
        finally:
            if channel is not None:
                channel.close()

    def _code(self, channel: paramiko.Channel) -> int:
        code = channel.recv_exit_status()
        if code < 0:
            raise EOFError("no exit code came back")
        return code


@contextmanager
def connect(host: Host, keys: Keys) -> Iterator[Connection]:
    """CannotRun: unreachable, an unknown or changed host key, or no key of ours is accepted."""
    client = paramiko.SSHClient()
    try:
        _load_known_hosts(client, keys)
        client.set_missing_host_key_policy(_Nobody(host))
        _open(client, host, keys)
        transport = client.get_transport()
        assert transport is not None
        transport.set_keepalive(ALIVE_S)
        yield Connection(host, client)
    finally:
        client.close()


def _load_known_hosts(client: paramiko.SSHClient, keys: Keys) -> None:
    if keys.known_hosts is not None and not keys.known_hosts.is_file():
        raise InputError(f"--known-hosts {keys.known_hosts}: there is no such file")
    for file in [keys.known_hosts] if keys.known_hosts else map(Path, map(os.path.expanduser, SHIP)):
        if file.is_file():
            try:
                client.load_system_host_keys(str(file))
            except (OSError, paramiko.SSHException) as error:
                raise CannotRun(f"{file}: can't be read as known hosts ({error})") from None


def _open(client: paramiko.SSHClient, host: Host, keys: Keys) -> None:
    if keys.identity is not None and not keys.identity.is_file():
        raise InputError(f"--key {keys.identity}: there is no such file")
    named = None if keys.identity is None else str(keys.identity)
    try:
        client.connect(
            host.name, host.port, host.user, key_filename=named, look_for_keys=named is None, allow_agent=named is None,
            timeout=CONNECT_S, banner_timeout=CONNECT_S, auth_timeout=CONNECT_S,
        )  # fmt: skip
    except paramiko.BadHostKeyException as error:
        raise CannotRun(
            f"{host}: its host key is not the one known_hosts has: another machine, or somebody in between.\n"
            f"  known    {error.expected_key.fingerprint}\n  offered  {error.key.fingerprint}\n"
            f"  if the machine was made anew:  ssh-keygen -R {shlex.quote(host.known_as)}"
        ) from None
    except paramiko.PasswordRequiredException:
        raise CannotRun(
            f"{host}: the key {named or 'in ~/.ssh'} has a passphrase; add it to an agent: ssh-add"
        ) from None
    except paramiko.AuthenticationException:
        tried = f"the key {named}" if named else "the agent's keys and those in ~/.ssh"
        raise CannotRun(
            f"{host}: refused {tried}; put the public key into ~{host.user}/.ssh/authorized_keys there"
            " (ssh-copy-id), or name another with --key"
        ) from None
    except socket.gaierror:
        raise CannotRun(f"{host}: there is no machine of that name; look at --host") from None
    except TimeoutError:
        raise CannotRun(f"{host}: does not answer within {CONNECT_S:.0f} s; is it up, and is the port right?") from None
    except (OSError, EOFError, paramiko.SSHException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error).strip() or "closed by the other side"
        raise CannotRun(
            f"{host}: no SSH connection ({why}); is a server running there, and is the port right?"
        ) from None
