"""Asking and telling the kernel by iproute2, in the host's namespace or a pod's, without entering it ourselves."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from testbed.errors import CannotRun

_PATIENCE = 30  # s for one batch; a batch of 100 links takes a tenth of a second


def within(netns: str | None) -> list[str]:
    """Words that put a command into the namespace at this path."""
    return [] if netns is None else ["nsenter", f"--net={netns}"]


def run(words: Sequence[str], netns: str | None = None, text: str = "") -> str:
    """Standard output of a command fed with `text`; CannotRun with what it said when it fails."""
    try:
        done = subprocess.run(
            [*within(netns), *words], input=text, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except FileNotFoundError as error:
        raise CannotRun(f"{error.filename} is missing: install iproute2, ethtool and util-linux") from error
    except subprocess.TimeoutExpired as error:
        raise CannotRun(
            f"`{' '.join(words)}` did not end within {_PATIENCE} s: is another program holding the network?"
        ) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise CannotRun(
            f"`{' '.join(words)}` in {netns or 'the host'} failed: {said}"
            + (f" (given: {text.strip()[:400]})" if text else "")
        )
    return done.stdout


def ask(words: Sequence[str], netns: str | None = None) -> Any:
    """The JSON a command prints."""
    return json.loads(run(words, netns) or "[]")


def refuse_taken(wanted: Mapping[str | None, set[str]]) -> None:
    """CannotRun where one of these interfaces is there already. wanted: namespace's path (None: the host's) → names."""
    for netns, names in wanted.items():
        taken = names & {link["ifname"] for link in ask(["ip", "-j", "link"], netns)}
        if taken:
            where = netns or "the host's namespace"
            raise CannotRun(f"interface {', '.join(sorted(taken))} exists already in {where}: run `testbed clean`")


def operational(interface: str, netns: str | None) -> bool:
    """Is the interface up with a carrier? Asking for one interface makes the kernel settle a pending carrier change."""
    info = ask(["ip", "-j", "link", "show", "dev", interface], netns)[0]
    return info["operstate"] in ("UP", "UNKNOWN") and {"UP", "LOWER_UP"} <= set(info["flags"])
