"""The machines of a campaign, one a line (docs/campaigns.md, "Workers on other machines")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.catalogue import nearest
from testbed.errors import InputError
from testbed.vm.host import FOLDER, Host, parse

MOST_WORKERS = 256
WORDS = ("workers", "live", "dir")


@dataclass(frozen=True, slots=True)
class Machine:
    """workers: worker processes there, 0 for none. live: its only worker takes live runs. folder: ours there."""

    host: Host
    workers: int = 1
    live: bool = False
    folder: str = FOLDER


def read_hosts(path: Path) -> tuple[Machine, ...]:
    """The first one carries the scheduler, too. Raises InputError with every mistake."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--hosts {path}: can't be read ({getattr(error, 'strerror', None) or error})") from None
    found: list[Machine] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            machine = _machine(words)
        except InputError as error:
            problems.append(f"{path}:{number}: {str(error).removeprefix('--host ')}")
            continue
        if any(m.host == machine.host for m in found):
            problems.append(f"{path}:{number}: {machine.host} stands there twice; workers=2 makes two on one machine")
        found.append(machine)
    if not problems and not any(m.workers for m in found):
        problems.append(f"{path}: names no machine with a worker; write user@host[:port] [workers=N], one a line")
    if problems:
        raise InputError("\n".join(problems))
    return tuple(found)


def _machine(words: list[str]) -> Machine:
    settings = dict(_settings(words[1:]))
    live = "live" in settings
    if live and "workers" in settings:
        raise InputError("a machine for live runs has one worker; leave out workers=")
    count = settings.get("workers", "1")
    if not count.isdigit() or int(count) > MOST_WORKERS:
        raise InputError(f"workers={count}: a whole number from 0 to {MOST_WORKERS}")
    if not settings.get("dir", FOLDER):
        raise InputError(f"dir= names no folder; leave it out for ~/{FOLDER}")
    return Machine(parse(words[0]), int(count), live, settings.get("dir", FOLDER))


def _settings(words: list[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        key, equals, value = word.partition("=")
        if key not in WORDS or bool(equals) == (key == "live"):
            raise InputError(f"{word!r} means nothing here. {nearest(key, WORDS)} (workers=N, live, dir=PATH)")
        yield key, value
