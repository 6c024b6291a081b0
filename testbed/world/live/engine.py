"""The one door to the Docker Engine: the SDK, imported late (0.3 to 0.7 s), and its errors in our words."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from testbed.errors import CannotRun, ShaketableError

if TYPE_CHECKING:
    from docker import DockerClient

T = TypeVar("T")
R = TypeVar("R")

SOCKET = "/var/run/docker.sock"
THEIRS = ("docker", "requests", "urllib3")  # packages whose exceptions the SDK raises
TIMEOUT_S = 180.0  # of one request; an emulated machine takes 8 s for a container start, beside other load over 60


def address() -> str:
    """Where the daemon is. Given explicitly: `from_env()` would follow the CLI's contexts."""
    return os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}"


def connect() -> DockerClient:
    """A client whose daemon has answered. CannotRun says what is wrong and which command mends it."""
    where = address()
    if not where.startswith("unix://"):
        raise CannotRun(
            f"DOCKER_HOST is {where!r}: pods share this machine's network namespaces, so the daemon must be local. "
            "Unset DOCKER_HOST, or set it to unix:///var/run/docker.sock"
        )
    try:
        import docker
    except ImportError as error:
        raise CannotRun("the Docker SDK for Python is missing: `./shaketable setup` installs it") from error
    try:
        return docker.DockerClient(base_url=where, timeout=TIMEOUT_S, version="auto")
    except docker.errors.DockerException as error:
        raise CannotRun(_unreachable(where.removeprefix("unix://"))) from error


class Late:
    """The daemon's API, each call `seconds` late (real), and a `share` of them failing before they are made.

    dice: uniform in [0, 1). failed: how many have.
    """

    def __init__(self, api: Any, dice: Callable[[], float]) -> None:
        self._api, self._dice = api, dice
        self.seconds, self.share, self.failed = 0.0, 0.0, 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._api, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **more: Any) -> Any:
            time.sleep(self.seconds)
            if self.share and self._dice() < self.share:
                from docker.errors import APIError

                self.failed += 1
                raise APIError(f"{name} failed", explanation=f"{name}: failed on purpose (docker_failing)")
            return found(*arguments, **more)

        return call


@contextmanager
def refusals(doing: str) -> Iterator[None]:
    """CannotRun for whatever the SDK raises in the block: the daemon refused, or is no more. doing: what it was for."""
    try:
        yield
    except ShaketableError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in THEIRS:
            raise
        if status_of(error) is None:  # no answer at all: its sentence is of sockets and pools
            said = _unreachable(address().removeprefix("unix://"))
            raise CannotRun(f"Docker was lost while {doing}. {said}") from error
        raise CannotRun(f"Docker refused while {doing}: {words(error)}") from error


def _unreachable(socket_path: str) -> str:
    if not os.path.exists(socket_path):
        return (
            f"Docker is not running (no {socket_path}): `sudo ./shaketable demo` starts it, or start dockerd yourself"
        )
    if not os.access(socket_path, os.R_OK | os.W_OK):
        return f"no permission on {socket_path}: a live run needs root, start it with sudo"
    return f"Docker does not answer on {socket_path}: look at `docker version`, then start or restart the daemon"


def threads() -> int:
    """Two to four threads saturate two cores when containers start (measured); more only queue up in the daemon."""
    return 2 * len(os.sched_getaffinity(0))


def each(work: Callable[[T], R], items: Iterable[T]) -> list[tuple[T, R | None, Exception | None]]:
    """`work` of every item in threads; all have ended when this returns, results and exceptions side by side."""
    todo = list(items)
    if not todo:
        return []

    def guarded(item: T) -> tuple[T, R | None, Exception | None]:
        try:
            return item, work(item), None
        except Exception as error:  # handed to the caller, who decides once all have ended
            return item, None, error

    with ThreadPoolExecutor(max_workers=min(threads(), len(todo))) as pool:
        return list(pool.map(guarded, todo))


def status_of(error: Exception) -> int | None:
    """HTTP status of an answer from the daemon, None for anything else."""
    return getattr(getattr(error, "response", None), "status_code", None)


def words(error: Exception) -> str:
    """The daemon's own sentence."""
    explanation: Any = getattr(error, "explanation", None)
    return str(explanation or error)
