"""Asking and telling the kernel, in the host's namespace or a pod's: by iproute2 in batches, by system calls else."""

from __future__ import annotations

import ctypes
import fcntl
import json
import socket
import struct
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from testbed.errors import CannotRun
from testbed.world.live.links.tap import inside
from testbed.world.live.netlink import Channel

T = TypeVar("T")
R = TypeVar("R")

THREADS = 2  # namespaces at a time: the work is mostly fork and exec
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCETHTOOL = 0x8913, 0x8914, 0x8946
_ETHTOOL_STXCSUM = 0x17
_PATIENCE = 30  # s for one batch; a batch of 100 links takes a tenth of a second


def run(words: Sequence[str], netns: str | None = None, text: str = "") -> str:
    """Standard output of a command fed with `text`; CannotRun with what it said when it fails.

    netns: path of the namespace to run it in; the command starts there, no other program enters first.
    """
    where = netns or "the host"
    try:
        with entered(netns):
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
    except FileNotFoundError as error:
        raise CannotRun(f"{error.filename} is missing: install iproute2, ethtool and util-linux") from error
    with process:
        try:
            out, said = process.communicate(text, timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise CannotRun(
                f"`{' '.join(words)}` did not end within {_PATIENCE} s: is another program holding the network?"
            ) from error
    if process.returncode:
        raise CannotRun(
            f"`{' '.join(words)}` in {where} failed: {(said or out).strip()}"
            + (f" (given: {text.strip()[:400]})" if text else "")
        )
    return out


@contextmanager
def entered(netns: str | None) -> Iterator[None]:
    """As tap.inside; CannotRun where the namespace is gone."""
    try:
        home = inside(netns)
        home.__enter__()
    except OSError as error:
        raise CannotRun(f"the namespace {netns} is gone: {error.strerror}") from error
    try:
        yield
    finally:
        home.__exit__(None, None, None)


def each(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`work` of every item, THREADS at a time, in order; the first failure is raised."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, items))


def ask(words: Sequence[str], netns: str | None = None) -> Any:
    """The JSON a command prints."""
    return json.loads(run(words, netns) or "[]")


def refuse_taken(wanted: Mapping[str | None, Collection[str]]) -> None:
    """CannotRun where one of these interfaces is there already. wanted: namespace's path (None: the host's) → names."""
    for netns, names in wanted.items():
        with Channel(netns) as channel:
            taken = channel.links().keys() & set(names)
        if taken:
            where = netns or "the host's namespace"
            raise CannotRun(f"interface {', '.join(sorted(taken))} exists already in {where}: run `testbed clean`")


def operational(interface: str, netns: str | None) -> bool:
    """Is the interface there and up with a carrier?"""
    with Channel(netns) as channel:
        link = channel.link(interface)
    return link is not None and link.running


def prepare(netns: str | None, interfaces: Iterable[str]) -> None:
    """IPv6 off, transmit checksum offload off, up, as `sysctl`, `ethtool -K … tx off` and `ip link set … up` would."""
    with entered(netns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        for name in interfaces:
            with suppress(FileNotFoundError):  # a kernel without IPv6 has nothing to switch off
                Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6").write_text("1")
            _ethtool(door, name, _ETHTOOL_STXCSUM, 0)
            request = fcntl.ioctl(door, _SIOCGIFFLAGS, struct.pack("16sh22x", name.encode(), 0))
            flags = struct.unpack_from("h", request, 16)[0] | 1
            fcntl.ioctl(door, _SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), flags))


def _ethtool(door: socket.socket, interface: str, command: int, value: int) -> None:
    argument = ctypes.create_string_buffer(struct.pack("II", command, value))
    with suppress(OSError):  # a device without this offload has nothing to switch off
        fcntl.ioctl(door, _SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), ctypes.addressof(argument)))
