"""Chaos Toolkit on a testbed that is up: the catalogue of faults as actions, the metrics as probes.

An experiment names this module and a function of it (docs/chaos-toolkit.md). Durations carry a unit and are nominal;
`run` chooses among several testbeds and may be left out where one is up. What the testbed refuses is ActivityFailed,
in the testbed's words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chaoslib.exceptions import ActivityFailed

from testbed.api import Bed
from testbed.errors import ShaketableError

__all__ = ["fault_in_force", "heal", "inject", "instances", "links_up", "on_time_rate", "status", "value"]


# -- actions


def inject(
    kind: str, target: str, length: str, name: str | None = None, overlap: bool = False,
    parameters: Mapping[str, Any] | None = None, run: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A fault of the catalogue from now on, for `length` ("10 s"): its name, and its occurrences with the evidence.

    parameters: the fault's `with`.
    """
    with _words():
        made = Bed.attach(run).inject(kind, target, length, name, overlap, **dict(parameters or {}))
    return {"name": made.name, "faults": [dict(f) for f in made.faults]}


def heal(name: str | None = None, run: str | None = None) -> list[dict[str, Any]]:
    """End a fault before its time, or all in force; what was ended. One that is over already is no failure."""
    with _words():
        bed = Bed.attach(run)
        there = [f["name"] for f in bed.status()["faults"]]
        if name is not None and not any(f == name or f.startswith(f"{name}_") for f in there):
            return []
        return bed.heal(name)


# -- probes


def status(run: str | None = None) -> dict[str, Any]:
    """Everything that `testbed status --json` says."""
    with _words():
        return Bed.attach(run).status()


def on_time_rate(run: str | None = None) -> float:
    """Share of the tasks resolved in the last 5 s that came back on time, 0 to 1; ActivityFailed for none."""
    rate = status(run)["on_time_rate_last_5_s"]
    if rate is None:
        raise ActivityFailed("no task was resolved in the last 5 s: the testbed is still warming up, or idle")
    return float(rate)


def links_up(run: str | None = None) -> bool:
    """Whether every trunk is up."""
    return all(link["up"] for link in status(run)["links"])


def instances(service: str | None = None, run: str | None = None) -> int:
    """How many instances there are, of one service or of all."""
    return sum(service in (None, i["service"]) for i in status(run)["instances"])


def fault_in_force(name: str, run: str | None = None) -> bool:
    """Whether a fault of that name, or an occurrence of it, is in force."""
    return any(
        f["state"] == "in_force" and (f["name"] == name or f["name"].startswith(f"{name}_"))
        for f in status(run)["faults"]
    )


def value(path: str, run: str | None = None) -> Any:
    """A value of the status by its path, e.g. "tasks.offered" or "links.0.rate_bps"."""
    found: Any = status(run)
    for step in path.split("."):
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, ValueError, TypeError):
            has = ", ".join(sorted(found)) if isinstance(found, dict) else f"{type(found).__name__}"
            raise ActivityFailed(f"the status has no {path!r}: at {step!r} there is {has}") from None
    return found


@contextmanager
def _words() -> Iterator[None]:
    try:
        yield
    except ShaketableError as error:
        raise ActivityFailed(str(error)) from error
