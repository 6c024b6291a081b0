"""TAP devices and namespaces by system call: what the relay process needs of Linux and Python 3.11 does not offer."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

from testbed.world.live.links.base import MTU, End

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _TUNSETCARRIER = 0x400454CA, 0x400454E2
_IFF_TAP, _IFF_NO_PI, _IFF_TUN_EXCL = 0x0002, 0x1000, 0x8000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFMTU, _SIOCSIFTXQLEN, _SIOCETHTOOL = 0x8913, 0x8914, 0x8922, 0x8943, 0x8946
_ETHTOOL_GLINK = 0x0000000A
_IFF_UP = 0x1
_PR_SET_TIMERSLACK = 29
_TFD_CLOEXEC, _TFD_NONBLOCK, _TFD_TIMER_ABSTIME = os.O_CLOEXEC, os.O_NONBLOCK, 1
_CLOCK_MONOTONIC = 1
_RING = 1000  # frames between the kernel and the relay, twice the default: a stall of 10 ms at 100 kframe/s

_libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the interpreter lock: these calls never block


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def tighten_timers() -> None:
    """Let timers of this thread fire to the microsecond instead of the default 50 µs."""
    _check(_libc.prctl(_PR_SET_TIMERSLACK, 1000, 0, 0, 0), "prctl(PR_SET_TIMERSLACK)")


def prompt(priority: int) -> bool:
    """Run this process before all ordinary ones (SCHED_FIFO, its children not); False where that is not permitted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError:
        return False
    return True


@contextlib.contextmanager
def inside(netns: str | None) -> Iterator[None]:
    """Run the body in the network namespace at this path (None: stay): this thread only, and programs it starts."""
    if netns is None:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(target, _CLONE_NEWNET), f"setns({netns})")
        finally:
            os.close(target)
        try:
            yield
        finally:
            _check(_libc.setns(home, _CLONE_NEWNET), "setns(home)")
    finally:
        os.close(home)


class Timer:
    """A timerfd on CLOCK_MONOTONIC, because epoll's own time-out is rounded to milliseconds."""

    def __init__(self) -> None:
        self.fd = _check(_libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_CLOEXEC | _TFD_NONBLOCK), "timerfd_create")
        self._spec = (ctypes.c_long * 4)()  # interval s, ns; value s, ns

    def arm(self, at: float) -> None:
        """Fire at this time of time.monotonic(); a time in the past fires at once."""
        seconds = int(at)
        self._spec[2], self._spec[3] = seconds, max(1, int((at - seconds) * 1e9))
        _check(_libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, self._spec, None), "timerfd_settime")


class Tap:
    """One end of a link: the descriptor that carries its frames, and a socket to command it in its namespace."""

    def __init__(self, end: End, alias: str) -> None:
        self.end = end
        self._name = end.interface.encode()
        with contextlib.ExitStack() as undo:
            with inside(end.netns):
                self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                undo.callback(os.close, self.fd)
                flags = _IFF_TAP | _IFF_NO_PI | _IFF_TUN_EXCL
                try:
                    fcntl.ioctl(self.fd, _TUNSETIFF, struct.pack("16sH22x", self._name, flags))
                except OSError as error:
                    taken = " exists already" if error.errno in (errno.EBUSY, errno.EINVAL) else ""
                    raise OSError(error.errno, f"interface {end.interface}{taken} ({error.strerror})") from error
                self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                undo.callback(self._control.close)
                self._configure(alias)
            undo.pop_all()

    def _configure(self, alias: str) -> None:
        with (
            contextlib.suppress(FileNotFoundError),  # a kernel without IPv6 has nothing to switch off
            open(f"/proc/sys/net/ipv6/conf/{self.end.interface}/disable_ipv6", "w") as file,
        ):
            file.write("1")
        fcntl.ioctl(self._control, _SIOCSIFMTU, struct.pack("16si20x", self._name, MTU))
        fcntl.ioctl(self._control, _SIOCSIFTXQLEN, struct.pack("16si20x", self._name, _RING))
        request = fcntl.ioctl(self._control, _SIOCGIFFLAGS, struct.pack("16sh22x", self._name, 0))
        flags = struct.unpack_from("h", request, 16)[0] | _IFF_UP
        fcntl.ioctl(self._control, _SIOCSIFFLAGS, struct.pack("16sh22x", self._name, flags))
        if self.end.netns is None and alias:
            with open(f"/sys/class/net/{self.end.interface}/ifalias", "w") as file:
                file.write(alias)

    def carrier(self, up: bool) -> None:
        """Set the carrier, then ask for it: the question makes the kernel tell everybody now, not within a second."""
        fcntl.ioctl(self.fd, _TUNSETCARRIER, struct.pack("i", up))
        value = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_GLINK, 0))
        fcntl.ioctl(self._control, _SIOCETHTOOL, struct.pack("16sP16x", self._name, ctypes.addressof(value)))

    def drain(self) -> int:
        """Throw away the frames the kernel holds for us; their number."""
        count = 0
        while True:
            try:
                os.read(self.fd, 2048)
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        os.close(self.fd)
        self._control.close()
